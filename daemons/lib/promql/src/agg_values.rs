//! `quantile` and `count_values`: operators that need all values of a group's step together.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::number::plain_float;

use crate::agg::{self, Groups};
use crate::answer::EvalError;
use crate::ast::{Aggregate, Expr, Grouping};
use crate::binop_element::Operand;
use crate::evaluator::{Evaluator, Sink};
use crate::func_label::{is_label_name, text};
use crate::quantile;
use crate::series::{ABSENT, Series, Steps, is_absent, merge_equal};

fn param(aggregate: &Aggregate) -> Result<&Expr, EvalError> {
    aggregate
        .param
        .as_deref()
        .ok_or_else(|| EvalError::Execution(format!("{} needs a parameter", aggregate.op.as_str())))
}

/// `quantile(q, v)`
pub(crate) fn stream_quantile<'a>(
    evaluator: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let param = param(aggregate)?;
    let q = evaluator.scalar(param, steps)?;
    for warning in quantile::out_of_range_warnings(&q) {
        evaluator.annotations.warn(&warning, param.span);
    }
    evaluator.hold(steps.n)?;
    let mut all = evaluator.collect(&aggregate.expr, steps)?;
    evaluator.release_series(&all);
    evaluator.release(steps.n);
    all.retain_mut(|series| agg::ignore_histograms(evaluator, aggregate, series));
    let mut groups: Groups<Vec<usize>> = Groups::new();
    for (index, series) in all.iter().enumerate() {
        groups.of(&aggregate.grouping, series, || Ok(Vec::new()))?.state.push(index);
    }
    let mut present = Vec::new();
    for group in groups.all {
        let mut values = Vec::with_capacity(steps.n);
        for (step, q) in q.iter().enumerate() {
            evaluator.tick(group.state.len())?;
            present.clear();
            present.extend(group.state.iter().map(|at| all[*at].values[step]).filter(|v| !is_absent(*v)));
            values.push(if present.is_empty() { ABSENT } else { quantile::of(*q, &mut present) });
        }
        sink(evaluator, Series::floats(group.labels, group.drops_name, values))?;
    }
    Ok(())
}

/// `count_values("label", v)`
pub(crate) fn stream_count_values<'a>(
    evaluator: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let label = text(param(aggregate)?);
    if !is_label_name(label) {
        let label = cairn_model::gotext::quote(label);
        return Err(EvalError::Execution(format!("invalid label name {label}")));
    }
    let grouping = grouping_beside(&aggregate.grouping, label);
    // `without` the very label that takes the values: only the number of elements is left.
    let is_dropped =
        matches!(&aggregate.grouping, Grouping::Without(names) if names.iter().any(|name| name == label));
    let mut groups: Groups<BTreeMap<String, Vec<f64>>> = Groups::new();
    let mut n_held = 0;
    evaluator.stream(&aggregate.expr, steps, &mut |evaluator, series| {
        evaluator.tick(steps.n)?;
        let group = groups.of(&grouping, &series, || Ok(BTreeMap::new()))?;
        for step in 0..steps.n {
            let text = match series.operand(step) {
                Some(_) if is_dropped => String::new(),
                Some(Operand::Float(value)) => plain_float(value),
                Some(Operand::Histogram(histogram)) => histogram.to_string(),
                None => continue,
            };
            let counts = match group.state.get_mut(&text) {
                Some(counts) => counts,
                None => {
                    // Each different value makes a series of its own.
                    evaluator.hold(steps.n)?;
                    n_held += steps.n;
                    group.state.entry(text).or_insert_with(|| vec![ABSENT; steps.n])
                }
            };
            counts[step] = if is_absent(counts[step]) { 1.0 } else { counts[step] + 1.0 };
        }
        Ok(())
    })?;
    evaluator.release(n_held);
    let mut results = Vec::new();
    for group in groups.all {
        for (value, counts) in group.state {
            let mut builder = group.labels.to_builder();
            builder.set(label, &value);
            let labels = Arc::new(builder.build());
            results.push(Series::floats(labels, group.drops_name, counts));
        }
    }
    for series in merge_equal(results)? {
        sink(evaluator, series)?;
    }
    Ok(())
}

/// The grouping by everything but the label that takes the values: an element's own one is overwritten before elements
/// are grouped.
fn grouping_beside(grouping: &Grouping, label: &str) -> Grouping {
    match grouping {
        Grouping::All => Grouping::All,
        Grouping::By(names) => Grouping::By(names.iter().filter(|name| *name != label).cloned().collect()),
        Grouping::Without(names) => {
            Grouping::Without(names.iter().cloned().chain([label.to_owned()]).collect())
        }
    }
}
