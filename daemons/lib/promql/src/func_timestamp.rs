//! `timestamp` and `start_timestamp`: when samples were taken.

use crate::answer::EvalError;
use crate::ast::{Call, ExprKind};
use crate::evaluator::{Evaluator, Sink};
use crate::series::{ABSENT, Steps, is_absent, seconds};

/// `timestamp(v)`: the sample's own time under a plain selector, else the time of the step.
pub(crate) fn timestamp<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let arg = &call.args[0];
    if let ExprKind::Vector(selector) = &arg.unwrap_parens().kind {
        return evaluator.stream_sample_times(selector, steps, sink);
    }
    evaluator.stream(arg, steps, &mut |evaluator, mut series| {
        for (index, value) in series.values.iter_mut().enumerate() {
            *value = if is_absent(*value) { ABSENT } else { seconds(steps.time(index)) };
        }
        sink(evaluator, series)
    })
}

/// `start_timestamp(v)`: no source has start timestamps, and without them Prometheus gives nothing either.
pub(crate) fn start_timestamp<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    _: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    evaluator.stream(&call.args[0], steps, &mut |_, _| Ok(()))
}
