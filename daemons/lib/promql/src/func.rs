//! Function calls: which file computes which function.
//!
//! | file | functions |
//! |---|---|
//! | `func_math.rs` | `abs` ... `tanh`, `clamp*`, `round` |
//! | `func_date.rs` | `minute` ... `year` |
//! | `func_label.rs` | `label_replace`, `label_join` |
//! | `func_sort.rs` | `sort*` |
//! | `func_absent.rs` | `absent`, `absent_over_time` |
//! | `func_histogram.rs` | `histogram_quantile`, `histogram_fraction` over classic buckets |
//! | `func_range.rs` | everything over range vectors, by way of `func_rate.rs`, `func_over_time.rs` and their kin |

use std::sync::Arc;

use cairn_model::Labels;

use crate::answer::EvalError;
use crate::ast::{Call, Expr, ExprKind, Span};
use crate::evaluator::{Evaluator, Sink};
use crate::facts;
use crate::series::{ABSENT, Series, Steps, is_absent, seconds};
use crate::{func_absent, func_date, func_histogram, func_label, func_math, func_range, func_sort};

/// Evaluates a function that gives a scalar.
pub(crate) fn scalar_call<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
) -> Result<Vec<f64>, EvalError> {
    let constant = |value: f64| Ok(vec![value; steps.n]);
    match call.function.name {
        "time" => Ok((0..steps.n).map(|index| seconds(steps.time(index))).collect()),
        "pi" => constant(std::f64::consts::PI),
        "start" => constant(seconds(evaluator.query_start)),
        "end" => constant(seconds(evaluator.query_end)),
        "step" => constant(evaluator.lengths.step),
        "range" => constant(evaluator.lengths.range),
        "scalar" => only_element(evaluator, &call.args[0], steps),
        name @ ("min_of" | "max_of") => {
            let mut left = evaluator.scalar(&call.args[0], steps)?;
            let right = evaluator.scalar(&call.args[1], steps)?;
            for (left, right) in left.iter_mut().zip(right) {
                *left = match name {
                    _ if left.is_nan() || right.is_nan() => f64::NAN,
                    "min_of" => left.min(right),
                    _ => left.max(right),
                };
            }
            Ok(left)
        }
        name => Err(EvalError::Execution(format!("function {name}() is not evaluated by this engine yet"))),
    }
}

/// `scalar(v)`: the value of the only element, NaN where there is not exactly one.
fn only_element<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &'a Expr,
    steps: Steps,
) -> Result<Vec<f64>, EvalError> {
    let mut values = vec![f64::NAN; steps.n];
    let mut counts = vec![0u32; steps.n];
    evaluator.stream(arg, steps, &mut |_, series| {
        for ((value, count), found) in values.iter_mut().zip(&mut counts).zip(&series.values) {
            if !is_absent(*found) {
                *count = count.saturating_add(1);
                *value = if *count == 1 { *found } else { f64::NAN };
            }
        }
        Ok(())
    })?;
    Ok(values)
}

/// Evaluates a function that gives an instant vector.
pub(crate) fn stream_call<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    span: Span,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let args = &call.args;
    let name = call.function.name;
    if let Some(function) = func_math::of_one(name) {
        return map_elements(evaluator, &args[0], steps, sink, |_, value| function(value));
    }
    if let Some(field) = func_date::field(name) {
        let Some(arg) = args.first() else {
            let values = (0..steps.n).map(|index| field(seconds(steps.time(index)))).collect();
            return sink(evaluator, unlabelled(values));
        };
        return map_elements(evaluator, arg, steps, sink, |_, value| field(value));
    }
    match name {
        "clamp" => {
            let min = evaluator.scalar(&args[1], steps)?;
            let max = evaluator.scalar(&args[2], steps)?;
            map_elements(evaluator, &args[0], steps, sink, |index, value| {
                func_math::clamp(value, min[index], max[index])
            })
        }
        "clamp_min" => {
            let min = evaluator.scalar(&args[1], steps)?;
            map_elements(evaluator, &args[0], steps, sink, |index, value| {
                func_math::nan_max(value, min[index])
            })
        }
        "clamp_max" => {
            let max = evaluator.scalar(&args[1], steps)?;
            map_elements(evaluator, &args[0], steps, sink, |index, value| {
                func_math::nan_min(value, max[index])
            })
        }
        "round" => {
            let nearest = match args.get(1) {
                Some(arg) => evaluator.scalar(arg, steps)?,
                None => vec![1.0; steps.n],
            };
            map_elements(evaluator, &args[0], steps, sink, |index, value| {
                func_math::round(value, nearest[index])
            })
        }
        "vector" => {
            let values = evaluator.scalar(&args[0], steps)?;
            sink(evaluator, unlabelled(values))
        }
        "timestamp" => stream_timestamps(evaluator, &args[0], steps, sink),
        "label_replace" => func_label::stream_replace(evaluator, call, steps, sink),
        "label_join" => func_label::stream_join(evaluator, call, steps, sink),
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
            func_sort::stream(evaluator, call, span, steps, sink)
        }
        "absent" => func_absent::stream(evaluator, &args[0], steps, sink),
        "absent_over_time" => func_absent::stream_over_time(evaluator, &args[0], steps, sink),
        "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
            func_histogram::stream(evaluator, call, steps, sink)
        }
        // These look at native histograms only and pass floats over; no source has native histograms yet.
        "histogram_avg" | "histogram_count" | "histogram_stddev" | "histogram_stdvar" | "histogram_sum" => {
            evaluator.stream(&args[0], steps, &mut |_, _| Ok(()))
        }
        // No source has start timestamps, and without them Prometheus gives nothing either.
        "start_timestamp" => evaluator.stream(&args[0], steps, &mut |_, _| Ok(())),
        _ if func_range::is_range_function(name) => func_range::stream(evaluator, call, steps, sink),
        _ => Err(EvalError::Execution(format!("function {name}() is not evaluated by this engine yet"))),
    }
}

/// A series without labels.
pub(crate) fn unlabelled(values: Vec<f64>) -> Series {
    Series { labels: Arc::new(Labels::empty()), drops_name: false, values }
}

/// Replaces each value by what `f` makes of it and of its step's index, and drops names. [`ABSENT`] takes it away.
fn map_elements<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &'a Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
    f: impl Fn(usize, f64) -> f64,
) -> Result<(), EvalError> {
    let unique = facts::stays_unique_without_name(arg);
    evaluator.dropping_names(unique, sink, |evaluator, sink| {
        evaluator.stream(arg, steps, &mut |evaluator, mut series| {
            for (index, value) in series.values.iter_mut().enumerate() {
                if !is_absent(*value) {
                    *value = f(index, *value);
                }
            }
            if series.is_empty() {
                return Ok(());
            }
            evaluator.tick(steps.n)?;
            sink(evaluator, series)
        })
    })
}

/// `timestamp(v)`: the sample's own time under a plain selector, else the time of the step.
fn stream_timestamps<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &'a Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let unique = facts::stays_unique_without_name(arg);
    evaluator.dropping_names(unique, sink, |evaluator, sink| {
        if let ExprKind::Vector(selector) = &arg.unwrap_parens().kind {
            return evaluator.stream_sample_times(selector, steps, sink);
        }
        evaluator.stream(arg, steps, &mut |evaluator, mut series| {
            for (index, value) in series.values.iter_mut().enumerate() {
                *value = if is_absent(*value) { ABSENT } else { seconds(steps.time(index)) };
            }
            sink(evaluator, series)
        })
    })
}
