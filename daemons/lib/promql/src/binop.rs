//! Binary operations between a vector and something else.
//!
//! Numbers in `binop_arithmetic.rs`, vectors that match each other in `binop_match.rs`, sets in `binop_set.rs`.

use cairn_model::Labels;

use crate::answer::EvalError;
use crate::ast::{Binary, Expr, ValueType, VectorMatching};
use crate::binop_arithmetic::{is_histogram_only, with_scalar};
use crate::evaluator::{Evaluator, Sink};
use crate::facts;
use crate::parser_selector::METRIC_NAME;
use crate::series::{Series, Steps};
use crate::{binop_match, binop_set};

/// Pushes the result of an operation with at least one vector.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    binary: &'a Binary,
    expr: &'a Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let is_vector = |side: &Expr| side.value_type() == ValueType::InstantVector;
    match (is_vector(&binary.lhs), is_vector(&binary.rhs), &binary.matching) {
        (true, true, Some(matching)) if binary.op.is_set() => {
            binop_set::stream(evaluator, binary, matching, steps, sink)
        }
        (true, true, Some(matching)) => {
            binop_match::stream(evaluator, binary, matching, expr.span, steps, sink)
        }
        (true, false, _) => {
            with_one_scalar(evaluator, binary, &binary.lhs, &binary.rhs, true, expr, steps, sink)
        }
        (false, true, _) => {
            with_one_scalar(evaluator, binary, &binary.rhs, &binary.lhs, false, expr, steps, sink)
        }
        _ => Err(EvalError::Execution(format!("operator {} has no vector", binary.op.as_str()))),
    }
}

#[expect(clippy::too_many_arguments, reason = "the two calls above differ in four of them")]
fn with_one_scalar<'a>(
    evaluator: &mut Evaluator<'a>,
    binary: &'a Binary,
    vector: &'a Expr,
    scalar: &'a Expr,
    vector_is_left: bool,
    expr: &'a Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let scalar = evaluator.scalar(scalar, steps)?;
    let apply = |evaluator: &mut Evaluator<'a>, sink: Sink<'_, 'a>| {
        let mut has_input = false;
        evaluator.stream(vector, steps, &mut |evaluator, mut series: Series| {
            has_input = true;
            evaluator.tick(steps.n)?;
            with_scalar(binary.op, binary.return_bool, &mut series, &scalar, vector_is_left);
            if series.is_empty() { Ok(()) } else { sink(evaluator, series) }
        })?;
        if has_input && is_histogram_only(binary.op) {
            incompatible_floats(evaluator, binary, expr);
        }
        Ok(())
    };
    if binary.op.is_comparison() && !binary.return_bool {
        return apply(evaluator, sink);
    }
    let unique = facts::stays_unique_without_name(vector);
    evaluator.dropping_names(unique, sink, apply)
}

/// Two floats met an operator that only trims histograms.
fn incompatible_floats(evaluator: &mut Evaluator<'_>, binary: &Binary, expr: &Expr) {
    let op = cairn_model::gotext::quote(binary.op.as_str());
    evaluator.annotations.info(
        &format!(
            "incompatible sample types encountered for binary operator {op}: float {} float",
            binary.op.as_str()
        ),
        expr.span,
    );
}

/// The labels by which elements of two vectors match.
pub(crate) fn signature(matching: &VectorMatching, labels: &Labels) -> Labels {
    let is_named = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.iter().filter(|(name, _)| is_named(name)).collect()
    } else {
        labels.iter().filter(|(name, _)| *name != METRIC_NAME && !is_named(name)).collect()
    }
}
