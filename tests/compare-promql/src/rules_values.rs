//! Rules about values: the series and times are the same on both sides.

use crate::blame::Blamed;
use crate::compare::{Verdict, compare};
use crate::grammar::is_operator;
use crate::grammar_operator::{COMPARISONS, SETS};
use crate::outcome::{Outcome, Row};

/// Values that differ: labels, time, Cairn's, the peer's. `None` when there is more than that.
pub(crate) fn differing_values(blamed: &Blamed) -> Option<Vec<(String, i64, f64, f64)>> {
    let (Outcome::Series { rows, .. }, Outcome::Series { rows: their_rows, .. }) =
        (&blamed.asked.ours, &blamed.asked.theirs)
    else {
        return None;
    };
    let mut found = Vec::new();
    if rows.len() != their_rows.len() {
        return None;
    }
    for row in rows {
        let other = their_rows.iter().find(|other| other.labels == row.labels)?;
        if other.points.len() != row.points.len() {
            return None;
        }
        for ((time, value), (their_time, their_value)) in row.points.iter().zip(&other.points) {
            if time != their_time {
                return None;
            }
            if value.text != their_value.text && !is_equal(blamed, row, other, *time) {
                found.push((row.labels.clone(), *time, value.number, their_value.number));
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Whether the values of two series at a time count as equal.
fn is_equal(blamed: &Blamed, ours: &Row, theirs: &Row, time: i64) -> bool {
    let only = |row: &Row| Outcome::Series {
        kind: "vector".to_owned(),
        rows: vec![Row {
            labels: row.labels.clone(),
            points: row.points.iter().filter(|point| point.0 == time).cloned().collect(),
        }],
    };
    compare(&blamed.asked.expr, &only(ours), &only(theirs)).is_equal()
}

/// All differing values are of a kind.
fn all_differ_so(blamed: &Blamed, is_so: impl Fn(&str, i64, f64, f64) -> bool) -> bool {
    differing_values(blamed).is_some_and(|values| {
        values.iter().all(|(labels, time, ours, theirs)| is_so(labels, *time, *ours, *theirs))
    })
}

fn head_is(blamed: &Blamed, heads: &[&str]) -> bool {
    heads.contains(&blamed.asked.expr.head.as_str())
}

/// What went in, as Cairn has it.
fn inputs(blamed: &Blamed) -> impl Iterator<Item = f64> {
    blamed.children.iter().flat_map(|child| match &child.ours {
        Outcome::Series { rows, .. } => {
            rows.iter().flat_map(|row| row.points.iter().map(|point| point.1.number)).collect()
        }
        Outcome::Single { text, .. } => vec![text.parse().unwrap_or(f64::NAN)],
        Outcome::Error { .. } => Vec::new(),
    })
}

/// A group of one element that is no finite number.
pub(crate) fn spread_of_no_number(blamed: &Blamed) -> bool {
    head_is(blamed, &["stddev", "stdvar"])
        && inputs(blamed).any(|value| !value.is_finite())
        && all_differ_so(blamed, |_, _, ours, theirs| ours.is_nan() && theirs == 0.0)
}

/// 0 against -0.
pub(crate) fn sum_of_negative_zero(blamed: &Blamed) -> bool {
    let is_sign =
        |_: &str, _, ours: f64, theirs: f64| ours == 0.0 && theirs == 0.0 && theirs.is_sign_negative();
    head_is(blamed, &["sum", "avg"])
        && inputs(blamed).any(|value| value == 0.0)
        && all_differ_so(blamed, is_sign)
}

/// Seconds from which on a date's year has too many digits for Go's arithmetic, or the conversion is not defined.
const FARTHEST_SECONDS: f64 = 36_028_797_018_963_968.0;

/// A part of the date of NaN, an infinity, or of a time that is billions of years away.
pub(crate) fn date_of_no_time(blamed: &Blamed) -> bool {
    let parts =
        ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year"];
    let [child] = &blamed.children[..] else { return false };
    head_is(blamed, &parts)
        && all_differ_so(blamed, |labels, time, _, _| {
            let Outcome::Series { rows, .. } = &child.ours else { return false };
            let row = rows.iter().find(|row| without_name(&row.labels) == labels);
            let value = row.and_then(|row| row.points.iter().find(|point| point.0 == time));
            value.is_some_and(|point| point.1.number.is_nan() || point.1.number.abs() >= FARTHEST_SECONDS)
        })
}

/// Labels as JSON, without the metric's name.
pub(crate) fn without_name(labels: &str) -> String {
    let mut map: std::collections::BTreeMap<String, String> =
        serde_json::from_str(labels).unwrap_or_default();
    map.remove("__name__");
    serde_json::to_string(&map).unwrap_or_default()
}

/// Values whose squares or sums overflow.
const NEARLY_TOO_LARGE: f64 = 1e150;

/// No number on one side, after values went in that are finite and so large that a sum of them, or of squares, is not.
pub(crate) fn overflow(blamed: &Blamed) -> bool {
    let sums = [
        "sum",
        "avg",
        "stddev",
        "stdvar",
        "stddev_over_time",
        "stdvar_over_time",
        "avg_over_time",
        "sum_over_time",
        "deriv",
        "predict_linear",
    ];
    head_is(blamed, &sums)
        && inputs(blamed).any(|value| value.is_finite() && value.abs() > NEARLY_TOO_LARGE)
        && all_differ_so(blamed, |_, _, ours, theirs| {
            !ours.is_finite() || !theirs.is_finite() || theirs.abs() > NEARLY_TOO_LARGE
        })
}

/// Infinite for the peer, and not far from it for Cairn.
pub(crate) fn end_of_sinh(blamed: &Blamed) -> bool {
    head_is(blamed, &["sinh", "cosh"])
        && all_differ_so(blamed, |_, _, ours, theirs| theirs.is_infinite() && ours.abs() > f64::MAX / 2.0)
}

/// Of a number below the smallest normal one.
pub(crate) fn logarithm_of_the_least(blamed: &Blamed) -> bool {
    head_is(blamed, &["ln", "log2", "log10"])
        && inputs(blamed).any(f64::is_subnormal)
        && all_differ_so(blamed, |_, _, ours, theirs| ours < theirs && theirs < -300.0)
}

/// Share of what went in by which results of sums and differences may be off.
const ROUNDING: f64 = 1e-13;

/// The distance is tiny beside what went in.
pub(crate) fn cancellation(blamed: &Blamed) -> bool {
    let sums = [
        "+",
        "-",
        "%",
        "sum",
        "avg",
        "stddev",
        "stdvar",
        "stddev_over_time",
        "stdvar_over_time",
        "avg_over_time",
        "sum_over_time",
        "deriv",
        "predict_linear",
        "rate",
        "increase",
        "delta",
        "quantile",
        "quantile_over_time",
        "chain",
        "double_exponential_smoothing",
        "holt_winters",
        "histogram_quantile",
    ];
    let largest =
        inputs(blamed).filter(|value| value.is_finite()).fold(0.0, |most: f64, value| most.max(value.abs()));
    // A spread near zero is the root of a variance near zero.
    let (scale, share) = match blamed.asked.expr.head.as_str() {
        "stdvar" | "stdvar_over_time" => (largest * largest, ROUNDING),
        "stddev" | "stddev_over_time" => (largest, ROUNDING.sqrt()),
        _ => (largest, ROUNDING),
    };
    head_is(blamed, &sums)
        && all_differ_so(blamed, |_, _, ours, theirs| (ours - theirs).abs() <= scale * share)
}

/// A comparison, a choice, a jump or an oscillation over values that are not equal to the last bit.
pub(crate) fn amplified(blamed: &Blamed) -> bool {
    let steep = [
        "ceil",
        "floor",
        "round",
        "sgn",
        "sin",
        "cos",
        "tan",
        "changes",
        "resets",
        "count_values",
        "topk",
        "bottomk",
        "quantile",
        "quantile_over_time",
        "%",
        "^",
        "exp",
        "rate",
        "increase",
        "irate",
        "chain",
        "acos",
        "asin",
        "acosh",
        "atanh",
        "ln",
        "log2",
        "log10",
        "sqrt",
        "-",
        "+",
        "sort",
        "sort_desc",
        "histogram_quantile",
        "timestamp",
        "minute",
        "hour",
    ];
    let head = blamed.asked.expr.head.as_str();
    let is_steep =
        steep.contains(&head) || COMPARISONS.contains(&head) || (is_operator(head) && SETS.contains(&head));
    is_steep
        && blamed.children.iter().any(|child| matches!(child.verdict, Verdict::Equal { inexact: 1.., .. }))
}
