//! Rules about which series are there, and in which order.

use std::collections::BTreeMap;

use crate::blame::Blamed;
use crate::compare::TOLERANCE;
use crate::dialect::Dialect;
use crate::expr::{Expr, Kind};
use crate::moment::Moment;
use crate::outcome::{Outcome, Row};

/// The chosen values are the same at each time, only their labels are not.
pub(crate) fn ties(blamed: &Blamed) -> bool {
    let (Outcome::Series { rows, .. }, Outcome::Series { rows: their_rows, .. }) =
        (&blamed.asked.ours, &blamed.asked.theirs)
    else {
        return false;
    };
    ["topk", "bottomk"].contains(&blamed.asked.expr.head.as_str())
        && same_values(&values_by_time(rows), &values_by_time(their_rows))
}

/// Values at each time, sorted.
fn values_by_time(rows: &[Row]) -> BTreeMap<i64, Vec<f64>> {
    let mut all: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (time, value) in rows.iter().flat_map(|row| &row.points) {
        all.entry(*time).or_default().push(value.number);
    }
    all.values_mut().for_each(|values| values.sort_by(f64::total_cmp));
    all
}

fn same_values(ours: &BTreeMap<i64, Vec<f64>>, theirs: &BTreeMap<i64, Vec<f64>>) -> bool {
    let is_close = |(a, b): (&f64, &f64)| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
    };
    ours.keys().eq(theirs.keys())
        && ours
            .values()
            .zip(theirs.values())
            .all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(is_close))
}

/// Only the order differs, Cairn's is the right one.
pub(crate) fn unsorted(blamed: &Blamed) -> bool {
    let Outcome::Series { rows, .. } = &blamed.asked.ours else { return false };
    let labels = |row: &Row| -> Vec<(String, String)> {
        let map: BTreeMap<String, String> = serde_json::from_str(&row.labels).unwrap_or_default();
        map.into_iter().collect()
    };
    blamed.difference.what == crate::compare::OTHER_ORDER
        && blamed.asked.expr.kind == Kind::Range
        && matches!(blamed.asked.moment, Moment::Instant(_))
        && rows.is_sorted_by_key(labels)
}

/// `(x[5m] @ t)`, alone.
pub(crate) fn fixed_window_in_parentheses(blamed: &Blamed) -> bool {
    let refuses = matches!(
        &blamed.asked.theirs,
        Outcome::Error { status: 422, message, .. } if message == "unexpected number of samples"
    );
    // It is made of a call that has lost its name, too.
    let written = |expr: &Expr| expr.written(Dialect::Cairn).trim().to_owned();
    let mut inside = &blamed.asked.expr;
    let mut is_in_parens = false;
    while let Some(only) =
        inside.children().next().filter(|only| written(inside) == format!("({})", written(only)))
    {
        (inside, is_in_parens) = (only, true);
    }
    refuses
        && is_in_parens
        && inside.kind == Kind::Range
        && inside.window.at_ms.is_some()
        && matches!(blamed.asked.moment, Moment::Instant(_))
        && matches!(blamed.asked.ours, Outcome::Series { .. })
}

/// The peer refuses a negation over several steps, since series become equal; at each one alone they agree.
pub(crate) fn negation(blamed: &Blamed) -> bool {
    let refuses = matches!(
        &blamed.asked.theirs,
        Outcome::Error { message, .. } if message == "vector cannot contain metrics with the same labelset"
    );
    blamed.asked.expr.head == "unary"
        && refuses
        && has_steps(blamed)
        && !matches!(blamed.asked.ours, Outcome::Error { .. })
}

/// The peer refuses a label name that is UTF-8 and no more.
pub(crate) fn label_name(blamed: &Blamed) -> bool {
    let refuses = |outcome: &Outcome| {
        let words = ["invalid source label name in label_join()", "invalid destination label name in label_"];
        matches!(outcome, Outcome::Error { message, .. } if words.iter().any(|words| message.starts_with(words)))
    };
    refuses(&blamed.asked.theirs) && !matches!(blamed.asked.ours, Outcome::Error { .. })
}

/// The peer refuses a duration, in a query that was made wrong.
pub(crate) fn duration_as_number(blamed: &Blamed) -> bool {
    let refuses = matches!(
        &blamed.asked.theirs,
        Outcome::Error { kind, message, .. } if kind == "bad_data" && message.contains("duration")
    );
    refuses && blamed.asked.expr.head == "wrong" && !matches!(blamed.asked.ours, Outcome::Error { .. })
}

/// `timestamp(x @ t offset d)`
pub(crate) fn timestamp_at(blamed: &Blamed) -> bool {
    blamed.asked.expr.head == "timestamp"
        && blamed.asked.expr.children().all(|child| {
            child.head == "selector" && child.window.at_ms.is_some() && child.window.offset_ms != 0
        })
}

/// A window with `@` under a function that is evaluated at each step, since it or another argument depends on the step:
/// alone, at one time, they agree.
pub(crate) fn window_at(blamed: &Blamed) -> bool {
    has_steps(blamed) && blamed.difference.time.is_some() && has_fixed_window(&blamed.asked.expr)
}

fn has_fixed_window(expr: &Expr) -> bool {
    let functions = ["predict_linear", "quantile_over_time", "holt_winters"];
    let is_fixed = |child: &Expr| child.kind == Kind::Range && child.window.at_ms.is_some();
    (functions.contains(&expr.head.as_str()) && expr.children().any(is_fixed))
        || expr.children().any(has_fixed_window)
}

/// `count_values by (three labels or more)` at more than one time: alone, at one time, they agree.
pub(crate) fn counted_labels(blamed: &Blamed) -> bool {
    has_steps(blamed) && blamed.difference.time.is_some() && counts_values_by(&blamed.asked.expr)
}

fn counts_values_by(expr: &Expr) -> bool {
    (expr.head == "count_values" && expr.says(" by (")) || expr.children().any(counts_values_by)
}

/// A range query, or a subquery: what it is about is evaluated at several times.
fn has_steps(blamed: &Blamed) -> bool {
    matches!(blamed.asked.moment, Moment::Range(..)) || blamed.asked.expr.head == "subquery"
}
