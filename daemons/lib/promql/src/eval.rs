//! Entry points of evaluation.

use crate::answer::{Answer, EvalError, Options};
use crate::ast::Expr;
use crate::source::SampleSource;
use cairn_model::TimeMs;

/// Evaluates `expr` at one instant.
///
/// # Errors
/// [`EvalError`]
pub fn eval_instant(
    source: &dyn SampleSource,
    expr: &Expr,
    time: TimeMs,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    eval_range(source, expr, time, time, 1, options)
}

/// Evaluates `expr` at `start`, `start + step_ms`, ... up to and including `end`.
///
/// # Errors
/// [`EvalError`]
pub fn eval_range(
    _source: &dyn SampleSource,
    expr: &Expr,
    _start: TimeMs,
    _end: TimeMs,
    _step_ms: i64,
    _options: &Options<'_>,
) -> Result<Answer, EvalError> {
    Err(EvalError::Execution(format!("not evaluated yet: {:?}", expr.span)))
}
