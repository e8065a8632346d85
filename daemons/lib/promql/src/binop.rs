//! Binary operations between a vector and something else.
//!
//! Numbers in `binop_arithmetic.rs`, numbers and histograms in `binop_element.rs`, vectors that match each other in `binop_match.rs`, sets in `binop_set.rs`.

use std::sync::Arc;

use cairn_model::Labels;

use crate::annotations::Notes;
use crate::answer::EvalError;
use crate::ast::{Binary, Expr, ValueType, VectorMatching};
use crate::binop_arithmetic::{is_histogram_only, with_scalar};
use crate::binop_element::{Operand, operate};
use crate::evaluator::{Evaluator, Sink};
use crate::facts;
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Series, Steps};
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
    evaluator.hold(steps.n)?;
    let apply = |evaluator: &mut Evaluator<'a>, sink: Sink<'_, 'a>| {
        let mut notes = Notes::default();
        evaluator.stream(vector, steps, &mut |evaluator, mut series: Series| {
            evaluator.tick(steps.n)?;
            if series.histograms.is_none() && !is_histogram_only(binary.op) {
                with_scalar(binary.op, binary.return_bool, &mut series, &scalar, vector_is_left);
            } else {
                series = with_scalar_each(binary, &series, &scalar, vector_is_left, &mut notes);
            }
            if series.is_empty() { Ok(()) } else { sink(evaluator, series) }
        })?;
        for note in notes.drain() {
            evaluator.annotations.note(note, "", expr.span);
        }
        evaluator.release(steps.n);
        Ok(())
    };
    if keeps_name(binary) {
        return apply(evaluator, sink);
    }
    let unique = facts::stays_unique_without_name(vector);
    evaluator.dropping_names(unique, sink, apply)
}

/// Whether the result still is the metric on the left: filtered, or with fewer observations.
pub(crate) fn keeps_name(binary: &Binary) -> bool {
    (binary.op.is_comparison() && !binary.return_bool) || is_histogram_only(binary.op)
}

/// Element by element, for series with native histograms. Whichever side the vector stands on, a filter keeps its element.
fn with_scalar_each(
    binary: &Binary,
    series: &Series,
    scalar: &[f64],
    vector_is_left: bool,
    notes: &mut Notes,
) -> Series {
    let mut result =
        Series::floats(Arc::clone(&series.labels), series.drops_name, vec![ABSENT; scalar.len()]);
    for (step, scalar) in scalar.iter().enumerate() {
        let Some(element) = series.operand(step) else { continue };
        let scalar = Operand::Float(*scalar);
        let (left, right) = if vector_is_left { (element, scalar) } else { (scalar, element) };
        if let Some(sample) = operate(binary.op, binary.return_bool, left, right, notes) {
            let is_filter = binary.op.is_comparison() && !binary.return_bool;
            result.put(step, if is_filter { element.sample() } else { sample });
        }
    }
    result
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
