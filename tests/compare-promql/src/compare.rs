//! Whether two answers are the same.

use std::collections::BTreeMap;

use crate::expr::Expr;
use crate::outcome::{Outcome, Row, Value};

/// Values count as equal when they differ by no more than this share of the larger one: a store may sum in another
/// order, and the standard libraries of Go and C round their functions differently in the last bits.
pub const TOLERANCE: f64 = 1e-9;

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The same.
    Equal {
        /// Values that are equal only within the tolerance.
        inexact: usize,
        /// The widest distance among them, as a share.
        widest: f64,
        /// Whether both refuse, in other words.
        words_differ: bool,
    },
    /// Not the same.
    Different(Difference),
}

/// The first difference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// What differs.
    pub(crate) what: String,
    /// At which time, if it is about a value or a sample.
    pub(crate) time: Option<i64>,
}

impl Verdict {
    /// Whether they are the same.
    pub(crate) fn is_equal(&self) -> bool {
        matches!(self, Self::Equal { .. })
    }
}

/// What a difference in the order of a matrix is called.
pub(crate) const OTHER_ORDER: &str = "the order of the series";

const EQUAL: Verdict = Verdict::Equal { inexact: 0, widest: 0.0, words_differ: false };

/// Compares answers to `expr`: Cairn's, the peer's.
pub(crate) fn compare(expr: &Expr, ours: &Outcome, theirs: &Outcome) -> Verdict {
    match (ours, theirs) {
        (
            Outcome::Error { status, kind, message },
            Outcome::Error { status: their_status, kind: their_kind, message: their_message },
        ) => {
            if (status, kind) != (their_status, their_kind) {
                return different(format!("{status} {kind} against {their_status} {their_kind}"), None);
            }
            let words_differ = plain(message) != plain(their_message);
            Verdict::Equal { inexact: 0, widest: 0.0, words_differ }
        }
        (
            Outcome::Single { kind, time, text },
            Outcome::Single { kind: their_kind, time: their_time, text: their_text },
        ) => {
            if (kind, time) != (their_kind, their_time) {
                return different(format!("{kind} @ {time} against {their_kind} @ {their_time}"), None);
            }
            if text == their_text { EQUAL } else { compare_texts(kind, text, their_text) }
        }
        (Outcome::Series { kind, rows }, Outcome::Series { kind: their_kind, rows: their_rows }) => {
            if kind != their_kind {
                return different(format!("{kind} against {their_kind}"), None);
            }
            compare_rows(expr, kind, rows, their_rows)
        }
        _ => different("one is an error, or of another type".to_owned(), None),
    }
}

fn compare_texts(kind: &str, text: &str, their_text: &str) -> Verdict {
    let number = |text: &str| Value { text: text.to_owned(), number: text.parse().unwrap_or(f64::NAN) };
    if kind == "scalar"
        && let Some(distance) = distance(&number(text), &number(their_text))
    {
        return Verdict::Equal { inexact: 1, widest: distance, words_differ: false };
    }
    different(format!("{text} against {their_text}"), None)
}

/// Series by series, value by value. The order counts where it means something.
fn compare_rows(expr: &Expr, kind: &str, ours: &[Row], theirs: &[Row]) -> Verdict {
    let by_labels = |rows: &[Row]| -> BTreeMap<String, Vec<(i64, Value)>> {
        rows.iter().map(|row| (row.labels.clone(), row.points.clone())).collect()
    };
    let (our_map, their_map) = (by_labels(ours), by_labels(theirs));
    if our_map.len() != ours.len() || their_map.len() != theirs.len() {
        return different("a label set is there twice".to_owned(), None);
    }
    let (mut inexact, mut widest) = (0, 0.0_f64);
    for (labels, points) in &our_map {
        let Some(their_points) = their_map.get(labels) else {
            return different(format!("only Cairn has {labels}"), points.first().map(|point| point.0));
        };
        match compare_points(points, their_points) {
            Ok((count, distance)) => (inexact, widest) = (inexact + count, widest.max(distance)),
            Err((what, time)) => return different(format!("{labels}: {what}"), Some(time)),
        }
    }
    if let Some((labels, points)) = their_map.iter().find(|(labels, _)| !our_map.contains_key(*labels)) {
        return different(format!("only Prometheus has {labels}"), points.first().map(|point| point.0));
    }
    if kind == "matrix" && ours.iter().map(|row| &row.labels).ne(theirs.iter().map(|row| &row.labels)) {
        return different(OTHER_ORDER.to_owned(), None);
    }
    if kind == "vector" && ["sort", "sort_desc"].contains(&expr.head.as_str()) && !same_order(ours, theirs) {
        return different("the order of the values".to_owned(), None);
    }
    Verdict::Equal { inexact, widest, words_differ: false }
}

/// Equal values, to which both zeros belong, may stand in any order among themselves.
fn same_order(ours: &[Row], theirs: &[Row]) -> bool {
    let values = |rows: &[Row]| -> Vec<Value> {
        rows.iter().flat_map(|row| row.points.iter().map(|point| point.1.clone())).collect()
    };
    values(ours).iter().zip(values(theirs)).all(|(a, b)| a.number == b.number || distance(a, &b).is_some())
}

fn compare_points(ours: &[(i64, Value)], theirs: &[(i64, Value)]) -> Result<(usize, f64), (String, i64)> {
    let (mut inexact, mut widest) = (0, 0.0_f64);
    for (index, (time, value)) in ours.iter().enumerate() {
        let Some((their_time, their_value)) = theirs.get(index) else {
            return Err((format!("only Cairn has a sample, {}, at {time}", value.text), *time));
        };
        match time.cmp(their_time) {
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Less => {
                return Err((format!("only Cairn has a sample, {}, at {time}", value.text), *time));
            }
            std::cmp::Ordering::Greater => {
                return Err((
                    format!("only Prometheus has a sample, {}, at {their_time}", their_value.text),
                    *their_time,
                ));
            }
        }
        let Some(distance) = distance(value, their_value) else {
            return Err((format!("{} against {} at {time}", value.text, their_value.text), *time));
        };
        if value.text != their_value.text {
            inexact += 1;
            widest = widest.max(distance);
        }
    }
    match theirs.get(ours.len()) {
        Some((time, value)) => {
            Err((format!("only Prometheus has a sample, {}, at {time}", value.text), *time))
        }
        None => Ok((inexact, widest)),
    }
}

/// How far values are apart, as a share of the larger one; `None` if too far, or if one number is written in two ways, or a zero
/// has two signs.
fn distance(ours: &Value, theirs: &Value) -> Option<f64> {
    if ours.text == theirs.text {
        return Some(0.0);
    }
    let (a, b) = (ours.number, theirs.number);
    if !a.is_finite() || !b.is_finite() || a == b {
        return None;
    }
    // Numbers below the smallest normal one have fewer digits.
    let share = (a - b).abs() / a.abs().max(b.abs()).max(f64::MIN_POSITIVE);
    (share <= TOLERANCE).then_some(share)
}

/// An error's words without what Prometheus 3 puts in front.
fn plain(message: &str) -> &str {
    message.strip_prefix("invalid parameter \"query\": ").unwrap_or(message)
}

fn different(what: String, time: Option<i64>) -> Verdict {
    Verdict::Different(Difference { what, time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Kind;

    fn series(kind: &str, rows: &[(&str, &[(i64, &str)])]) -> Outcome {
        let value = |text: &str| Value { text: text.to_owned(), number: text.parse().unwrap() };
        let rows = rows.iter().map(|(labels, points)| Row {
            labels: (*labels).to_owned(),
            points: points.iter().map(|(time, text)| (*time, value(text))).collect(),
        });
        Outcome::Series { kind: kind.to_owned(), rows: rows.collect() }
    }

    fn is_exact(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Equal { inexact: 0, words_differ: false, .. })
    }

    fn verdict(head: &str, ours: &Outcome, theirs: &Outcome) -> Verdict {
        compare(&Expr::new(Kind::Vector, head), ours, theirs)
    }

    #[test]
    fn value_is_equal_within_the_tolerance_only() {
        let one = |text: &str| series("vector", &[("{}", &[(1, text)])]);
        let check = |ours: &str, theirs: &str| verdict("x", &one(ours), &one(theirs));
        assert!(is_exact(&check("NaN", "NaN")) && is_exact(&check("1", "1")));
        let close = check("1", "1.0000000001");
        assert!(close.is_equal() && !is_exact(&close));
        for (ours, theirs) in
            [("1", "1.00000001"), ("0", "1e-300"), ("NaN", "1"), ("+Inf", "-Inf"), ("1", "1e0"), ("-0", "0")]
        {
            assert!(!check(ours, theirs).is_equal(), "{ours} {theirs}");
        }
    }

    #[test]
    fn missing_and_additional_samples_are_found() {
        let full = series("matrix", &[("{}", &[(1, "1"), (2, "2")])]);
        for other in [
            series("matrix", &[("{}", &[(1, "1")])]),
            series("matrix", &[("{}", &[(2, "2")])]),
            series("matrix", &[]),
            series("matrix", &[("{}", &[(1, "1"), (2, "2")]), ("{\"a\":\"b\"}", &[(1, "1")])]),
            series("vector", &[("{}", &[(1, "1"), (2, "2")])]),
        ] {
            assert!(!verdict("x", &full, &other).is_equal());
            assert!(!verdict("x", &other, &full).is_equal());
        }
    }

    #[test]
    fn order_counts_when_sorted() {
        let rows = |first: &str, second: &str| {
            let row = |value: &str| format!("{{\"v\":\"{value}\"}}");
            series("vector", &[(&row(first), &[(1, first)]), (&row(second), &[(1, second)])])
        };
        assert!(!verdict("sort", &rows("1", "2"), &rows("2", "1")).is_equal());
        assert!(verdict("sum", &rows("1", "2"), &rows("2", "1")).is_equal());
    }

    #[test]
    fn errors_are_compared_by_status_and_type() {
        let error = |status, message: &str| Outcome::Error {
            status,
            kind: "bad_data".to_owned(),
            message: message.to_owned(),
        };
        assert!(is_exact(&verdict("x", &error(400, "invalid parameter \"query\": a"), &error(400, "a"))));
        assert!(matches!(
            verdict("x", &error(400, "b"), &error(400, "a")),
            Verdict::Equal { words_differ: true, .. }
        ));
        assert!(!verdict("x", &error(400, "a"), &error(422, "a")).is_equal());
        assert!(!verdict("x", &error(400, "a"), &series("vector", &[])).is_equal());
    }
}
