//! Operators on two elements, each a number or a native histogram.

use std::sync::Arc;

use cairn_model::FloatHistogram;
use cairn_model::float_histogram::{Combined, MixedSchemas};

use crate::annotations::{Combining, Note, Notes};
use crate::answer::Sample;
use crate::ast::BinaryOp;
use crate::binop_arithmetic::{elements, is_histogram_only};
use crate::histogram_trim::{self, Keep};
use crate::series::{Series, is_absent};

/// One element of a vector, or a scalar.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'s> {
    Float(f64),
    Histogram(&'s Arc<FloatHistogram>),
}

impl Operand<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Float(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }

    /// As a result of its own.
    pub(crate) fn sample(self) -> Sample {
        match self {
            Self::Float(value) => Sample::Float(value),
            Self::Histogram(histogram) => Sample::Histogram(Arc::clone(histogram)),
        }
    }
}

impl Series {
    /// The element at a step.
    #[inline]
    pub(crate) fn operand(&self, step: usize) -> Option<Operand<'_>> {
        match self.histograms.get(step) {
            Some(histogram) => Some(Operand::Histogram(histogram)),
            None => Some(self.values[step]).filter(|value| !is_absent(*value)).map(Operand::Float),
        }
    }
}

/// `left op right`; nothing where a comparison filters, or the operator is not defined for the two. A filter gives the
/// left element.
#[inline]
pub(crate) fn operate(
    op: BinaryOp,
    return_bool: bool,
    left: Operand<'_>,
    right: Operand<'_>,
    notes: &mut Notes,
) -> Option<Sample> {
    if let (Operand::Float(left), Operand::Float(right)) = (left, right)
        && !is_histogram_only(op)
    {
        let value = elements(op, return_bool, left, right);
        return if is_absent(value) { None } else { Some(Sample::Float(value)) };
    }
    with_histogram(op, return_bool, left, right, notes)
}

/// The same where one is a histogram, or the operator is for histograms only.
fn with_histogram(
    op: BinaryOp,
    return_bool: bool,
    left: Operand<'_>,
    right: Operand<'_>,
    notes: &mut Notes,
) -> Option<Sample> {
    let histogram = |histogram: FloatHistogram| Some(Sample::Histogram(Arc::new(histogram)));
    match (op, left, right) {
        (BinaryOp::Mul, Operand::Histogram(scaled), Operand::Float(factor))
        | (BinaryOp::Mul, Operand::Float(factor), Operand::Histogram(scaled)) => {
            histogram(scaled.scaled(factor).compacted())
        }
        (BinaryOp::Div, Operand::Histogram(divided), Operand::Float(divisor)) => {
            histogram(divided.divided(divisor).compacted())
        }
        (BinaryOp::TrimUpper, Operand::Histogram(trimmed), Operand::Float(bound)) => {
            histogram(histogram_trim::trim(trimmed, bound, Keep::Below))
        }
        (BinaryOp::TrimLower, Operand::Histogram(trimmed), Operand::Float(bound)) => {
            histogram(histogram_trim::trim(trimmed, bound, Keep::Above))
        }
        (BinaryOp::Add, Operand::Histogram(left), Operand::Histogram(right)) => {
            let mut sum = FloatHistogram::clone(left);
            let combined = sum.add(right);
            says(combined, op, Combining::Addition, notes)?;
            histogram(sum.compacted())
        }
        (BinaryOp::Sub, Operand::Histogram(left), Operand::Histogram(right)) => {
            let mut difference = FloatHistogram::clone(left);
            let combined = difference.subtract(right);
            says(combined, op, Combining::Subtraction, notes)?;
            histogram(difference.compacted())
        }
        (BinaryOp::Equal | BinaryOp::NotEqual, Operand::Histogram(left), Operand::Histogram(right)) => {
            let holds = left.is_same(right) == (op == BinaryOp::Equal);
            match (return_bool, holds) {
                (true, _) => Some(Sample::Float(f64::from(u8::from(holds)))),
                (false, true) => Some(Sample::Histogram(Arc::clone(left))),
                (false, false) => None,
            }
        }
        _ => {
            notes.add(Note::IncompatibleTypes(left.kind(), op, right.kind()));
            None
        }
    }
}

/// Says what is worth knowing about a sum or difference; nothing when there is none.
fn says(
    combined: Result<Combined, MixedSchemas>,
    op: BinaryOp,
    combining: Combining,
    notes: &mut Notes,
) -> Option<()> {
    let Ok(combined) = combined else {
        notes.add(Note::IncompatibleLayout(op));
        return None;
    };
    if combined.has_reset_conflict {
        notes.add(Note::ResetConflict(combining));
    }
    if combined.has_reconciled_bounds {
        notes.add(Note::ReconciledBounds(combining));
    }
    Some(())
}
