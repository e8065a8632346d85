//! `timestamp` and `start_timestamp`: when samples were taken.

use crate::answer::EvalError;
use crate::ast::{Call, ExprKind};
use crate::evaluator::{Evaluator, Sink};
use crate::series::{Steps, seconds};

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
        for step in 0..steps.n {
            if series.is_present(step) {
                series.clear(step);
                series.values[step] = seconds(steps.time(step));
            }
        }
        sink(evaluator, series)
    })
}

/// `start_timestamp(v)`: when the sample's counter started, 0 where nobody knows; nothing for anything but a plain selector,
/// and where start timestamps are not wanted.
pub(crate) fn start_timestamp<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    match &call.args[0].unwrap_parens().kind {
        ExprKind::Vector(selector) if evaluator.options.start_timestamps => {
            evaluator.stream_start_times(selector, steps, sink)
        }
        _ => evaluator.stream(&call.args[0], steps, &mut |_, _| Ok(())),
    }
}
