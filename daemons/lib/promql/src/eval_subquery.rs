//! Subqueries: an instant vector evaluated at aligned steps, taken as a range vector.

use crate::answer::EvalError;
use crate::ast::Subquery;
use crate::eval_duration;
use crate::evaluator::Evaluator;
use crate::series::Steps;
use crate::windows::Placement;

/// Most inner steps of one subquery: `[10y:1ms]` must not be tried.
const MAX_INNER_STEPS: u64 = 50_000_000;

/// Where the windows of the subquery lie.
pub(crate) fn placement(
    evaluator: &Evaluator<'_>,
    subquery: &Subquery,
    steps: Steps,
) -> Result<Placement, EvalError> {
    let range = eval_duration::positive_ms(&subquery.range, evaluator.lengths)?;
    let offset = match &subquery.offset {
        Some(offset) => eval_duration::any_ms(offset, evaluator.lengths)?,
        None => 0,
    };
    Ok(Placement { steps, range, offset, at: evaluator.fixed_time(subquery.at) })
}

/// The instants at which the inside is evaluated: the multiples of the step in all windows together. `n` may be 0.
pub(crate) fn inner_steps(
    evaluator: &Evaluator<'_>,
    subquery: &Subquery,
    steps: Steps,
) -> Result<Steps, EvalError> {
    let placement = placement(evaluator, subquery, steps)?;
    let step = match &subquery.step {
        Some(step) => eval_duration::positive_ms(step, evaluator.lengths)?,
        None => evaluator.options.default_subquery_step_ms.max(1),
    };
    let low = placement.end(0).saturating_sub(placement.range);
    let high = placement.end(steps.n.saturating_sub(1));
    // The first multiple above `low`, the last one not above `high`.
    let first = low.div_euclid(step).saturating_add(1).saturating_mul(step);
    if first > high {
        return Ok(Steps { start: first, step, n: 0 });
    }
    let n = (high.abs_diff(first) / step.unsigned_abs()).saturating_add(1);
    // A series inside has a value for each step.
    if n > MAX_INNER_STEPS.min(evaluator.options.max_samples) {
        return Err(EvalError::TooManySamples);
    }
    let n = usize::try_from(n).map_err(|_| EvalError::TooManySamples)?;
    Ok(Steps { start: first, step, n })
}
