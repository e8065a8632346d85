//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: order in the answer of an instant query.

use std::cmp::Ordering;

use crate::answer::EvalError;
use crate::ast::{Call, Span};
use crate::evaluator::{Evaluator, Sink};
use crate::func_label::text;
use crate::series::{Histograms, Series, Steps};

/// Compares two series; the texts are the labels that the call names.
pub(crate) type Order = fn(&Series, &Series, &[&str]) -> Ordering;

/// `sort(v)`: by value, NaN last.
pub(crate) fn ascending(a: &Series, b: &Series, _: &[&str]) -> Ordering {
    nan_last(value(a), value(b), false)
}

/// `sort_desc(v)`: by value, NaN last here too.
pub(crate) fn descending(a: &Series, b: &Series, _: &[&str]) -> Ordering {
    nan_last(value(a), value(b), true)
}

/// `sort_by_label(v, label...)`
pub(crate) fn by_labels(a: &Series, b: &Series, labels: &[&str]) -> Ordering {
    labels
        .iter()
        .map(|label| natural(a.labels.value(label), b.labels.value(label)))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or_else(|| a.labels.cmp(&b.labels))
}

/// `sort_by_label_desc(v, label...)`
pub(crate) fn by_labels_descending(a: &Series, b: &Series, labels: &[&str]) -> Ordering {
    by_labels(b, a, labels)
}

/// The value at the only step of an instant query.
fn value(series: &Series) -> f64 {
    series.values.first().copied().unwrap_or(f64::NAN)
}

/// Pushes the series in order. In a range query the order has no effect, which is worth a warning.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    order: Order,
    span: Span,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    if evaluator.is_range_query {
        evaluator
            .annotations
            .warn("sort is ineffective for range queries since results are always ordered by labels", span);
        return evaluator.stream(&call.args[0], steps, &mut |evaluator, mut series| {
            keep_sortable(call, &mut series);
            if series.is_empty() { Ok(()) } else { sink(evaluator, series) }
        });
    }
    let mut all = evaluator.collect(&call.args[0], steps)?;
    evaluator.release_series(&all);
    all.iter_mut().for_each(|series| keep_sortable(call, series));
    all.retain(|series| !series.is_empty());
    let labels: Vec<&str> = call.args[1..].iter().map(text).collect();
    all.sort_by(|a, b| order(a, b, &labels));
    for series in all {
        sink(evaluator, series)?;
    }
    Ok(())
}

/// Native histograms have no place in an order of numbers.
fn keep_sortable(call: &Call, series: &mut Series) {
    if call.args.len() == 1 {
        series.histograms = Histograms::default();
    }
}

/// Ascending or descending, NaN at the end in both.
pub(crate) fn nan_last(a: f64, b: f64, is_descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if is_descending { order.reverse() } else { order }
        }
        (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
    }
}

/// Compares as people do: runs of digits by their number, the rest by bytes.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(first_a), Some(first_b)) = (a.first(), b.first()) {
        if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (run_a, rest_a) = a.split_at(digits(a));
            let (run_b, rest_b) = b.split_at(digits(b));
            let order = significant(run_a)
                .len()
                .cmp(&significant(run_b).len())
                .then_with(|| significant(run_a).cmp(significant(run_b)))
                .then_with(|| run_a.len().cmp(&run_b.len()));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (rest_a, rest_b);
        } else {
            if first_a != first_b {
                return first_a.cmp(first_b);
            }
            (a, b) = (&a[1..], &b[1..]);
        }
    }
    a.len().cmp(&b.len())
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn significant(run: &[u8]) -> &[u8] {
    let zeros = run.iter().take_while(|b| **b == b'0').count();
    &run[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_inside_of_text_count() {
        let mut texts = vec!["4m1000", "4m600", "4m5", "10", "9", "", "a"];
        texts.sort_by(|a, b| natural(a, b));
        assert_eq!(texts, ["", "4m5", "4m600", "4m1000", "9", "10", "a"]);
    }
}
