//! Functions that give scalars: of the query, of its steps, of other scalars, of a vector; and `vector`, the way back.

use std::sync::Arc;

use cairn_model::Labels;

use crate::answer::EvalError;
use crate::ast::{Call, Expr};
use crate::evaluator::{Evaluator, Sink};
use crate::func_math::{nan_max, nan_min};
use crate::series::{Series, Steps, is_absent, seconds};

/// `time()`: the step's time, seconds since the epoch.
pub(crate) fn time(_: &Evaluator<'_>, time_ms: i64, _: &[f64]) -> f64 {
    seconds(time_ms)
}

/// `pi()`
pub(crate) fn pi(_: &Evaluator<'_>, _: i64, _: &[f64]) -> f64 {
    std::f64::consts::PI
}

/// `start()`: the query's first instant.
pub(crate) fn start(query: &Evaluator<'_>, _: i64, _: &[f64]) -> f64 {
    seconds(query.query_start)
}

/// `end()`: the query's last instant.
pub(crate) fn end(query: &Evaluator<'_>, _: i64, _: &[f64]) -> f64 {
    seconds(query.query_end)
}

/// `step()`: the distance of the query's instants.
pub(crate) fn step(query: &Evaluator<'_>, _: i64, _: &[f64]) -> f64 {
    query.lengths.step
}

/// `range()`: the query's end minus its start.
pub(crate) fn range(query: &Evaluator<'_>, _: i64, _: &[f64]) -> f64 {
    query.lengths.range
}

/// `min_of(a, b)`
pub(crate) fn min_of(_: &Evaluator<'_>, _: i64, params: &[f64]) -> f64 {
    nan_min(params[0], params[1])
}

/// `max_of(a, b)`
pub(crate) fn max_of(_: &Evaluator<'_>, _: i64, params: &[f64]) -> f64 {
    nan_max(params[0], params[1])
}

/// `scalar(v)`: the value of the only element, NaN where there is not exactly one.
pub(crate) fn only_element<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &'a Expr,
    steps: Steps,
) -> Result<Vec<f64>, EvalError> {
    evaluator.hold(steps.n)?;
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
    evaluator.release(steps.n);
    Ok(values)
}

/// `vector(s)`: one series without labels.
pub(crate) fn vector<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let values = evaluator.scalar(&call.args[0], steps)?;
    sink(evaluator, unlabelled(values))
}

/// A series without labels.
pub(crate) fn unlabelled(values: Vec<f64>) -> Series {
    Series::floats(Arc::new(Labels::empty()), false, values)
}
