//! `topk bottomk limitk limit_ratio`: keep some elements of each group, whole, step by step.

use cairn_model::Labels;
use cairn_model::number::general_float;

use crate::agg::{self, Groups};
use crate::answer::EvalError;
use crate::ast::{Aggregate, AggregateOp, Expr};
use crate::evaluator::{Evaluator, Sink};
use crate::func_sort::nan_last;
use crate::series::{Series, Steps};

/// Pushes the kept elements. In an instant query those of `topk` and `bottomk` come sorted by value in each group.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let param: &'a Expr = aggregate
        .param
        .as_ref()
        .ok_or_else(|| EvalError::Execution(format!("{} needs a parameter", aggregate.op.as_str())))?;
    let params = evaluator.scalar(param, steps)?;
    evaluator.hold(steps.n)?;
    let mut all = evaluator.collect(&aggregate.expr, steps)?;
    evaluator.release_series(&all);
    evaluator.release(steps.n);
    if matches!(aggregate.op, AggregateOp::TopK | AggregateOp::BottomK) {
        all.retain_mut(|series| agg::ignore_histograms(evaluator, aggregate, series));
    }
    let kept = if aggregate.op == AggregateOp::LimitRatio {
        let ratios = ratios(evaluator, param, &params)?;
        keep_by_hash(all, &ratios)
    } else {
        let limits = limits(&params)?;
        keep_in_groups(evaluator, aggregate, all, &limits, steps)?
    };
    for series in kept {
        if !series.is_empty() {
            sink(evaluator, series)?;
        }
    }
    Ok(())
}

/// How many elements to keep at each step.
fn limits(params: &[f64]) -> Result<Vec<usize>, EvalError> {
    params
        .iter()
        .map(|value| {
            if value.is_nan() {
                return Err(EvalError::Execution("Parameter value is NaN".to_owned()));
            }
            // What fits 64 bits: Go refuses the rest.
            if *value >= 9_223_372_036_854_775_807.0 || *value <= -9_223_372_036_854_775_808.0 {
                let what = if *value > 0.0 { "overflows" } else { "underflows" };
                return Err(EvalError::Execution(format!(
                    "Scalar value {} {what} int64",
                    general_float(*value)
                )));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            Ok(value.max(0.0) as usize)
        })
        .collect()
}

/// The share to keep at each step, between -1 and 1.
fn ratios(evaluator: &mut Evaluator<'_>, param: &Expr, params: &[f64]) -> Result<Vec<f64>, EvalError> {
    let mut ratios = Vec::with_capacity(params.len());
    for value in params {
        if value.is_nan() {
            return Err(EvalError::Execution("Ratio value is NaN".to_owned()));
        }
        let capped = value.clamp(-1.0, 1.0);
        if capped != *value {
            evaluator.annotations.warn(
                &format!(
                    "ratio value should be between -1 and 1, got {}, capping to {}",
                    general_float(*value),
                    general_float(capped)
                ),
                param.span,
            );
        }
        ratios.push(capped);
    }
    Ok(ratios)
}

fn keep_by_hash(all: Vec<Series>, ratios: &[f64]) -> Vec<Series> {
    all.into_iter()
        .map(|mut series| {
            let place = hash_share(&series.labels);
            for (step, ratio) in ratios.iter().enumerate() {
                let is_kept = if *ratio >= 0.0 { place < *ratio } else { place >= 1.0 + *ratio };
                if !is_kept {
                    series.clear(step);
                }
            }
            series
        })
        .collect()
}

/// Where the label set falls between 0 and 1: Prometheus's hash, so that the same series are kept. Every name and
/// value is preceded by its length (one byte, or 255 and three bytes little-endian).
fn hash_share(labels: &Labels) -> f64 {
    let mut bytes = Vec::with_capacity(labels.heap_bytes() + labels.len() * 2);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(len) if len < 255 => bytes.push(len),
                _ => {
                    bytes.push(255);
                    bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a share is wanted, not the hash")]
    let share = xxhash_rust::xxh64::xxh64(&bytes, 0) as f64 / u64::MAX as f64;
    share
}

fn keep_in_groups<'a>(
    evaluator: &mut Evaluator<'a>,
    aggregate: &Aggregate,
    mut all: Vec<Series>,
    limits: &[usize],
    steps: Steps,
) -> Result<Vec<Series>, EvalError> {
    let mut groups: Groups<Vec<usize>> = Groups::new();
    for (index, series) in all.iter().enumerate() {
        groups.of(&aggregate.grouping, series, || Ok(Vec::new()))?.state.push(index);
    }
    let is_top = aggregate.op == AggregateOp::TopK;
    let mut order = Vec::with_capacity(all.len());
    for group in groups.all {
        let mut present: Vec<usize> = Vec::with_capacity(group.state.len());
        for (step, limit) in limits.iter().enumerate() {
            evaluator.tick(group.state.len())?;
            present.clear();
            present.extend(group.state.iter().copied().filter(|at| all[*at].is_present(step)));
            if aggregate.op != AggregateOp::LimitK {
                // A stable sort: of equal values the earlier series wins.
                present.sort_by(|a, b| nan_last(all[*a].values[step], all[*b].values[step], is_top));
            }
            for lost in present.iter().skip(*limit) {
                all[*lost].clear(step);
            }
            present.truncate(*limit);
        }
        if steps.n == 1 {
            order.extend_from_slice(&present);
        } else {
            order.extend(group.state);
        }
    }
    let mut slots: Vec<Option<Series>> = all.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| slots[at].take()).collect())
}
