//! The length of a duration expression, once step and range of the query are known.

use crate::answer::EvalError;
use crate::ast::{BinaryOp, DurationExpr};

/// Longest duration in seconds: what nanoseconds in 64 bits hold, as in Prometheus.
const MAX_SECONDS: f64 = 9_223_372_036.0;

/// `step()` and `range()` of the query, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryLengths {
    pub(crate) step: f64,
    pub(crate) range: f64,
}

/// Milliseconds of a window or subquery step: must be above zero.
pub(crate) fn positive_ms(duration: &DurationExpr, lengths: QueryLengths) -> Result<i64, EvalError> {
    match any_ms(duration, lengths)? {
        ms if ms > 0 => Ok(ms),
        _ => Err(EvalError::BadData(format!("duration must be greater than 0: {duration}"))),
    }
}

/// Milliseconds of an offset: may be negative.
pub(crate) fn any_ms(duration: &DurationExpr, lengths: QueryLengths) -> Result<i64, EvalError> {
    let seconds = seconds(duration, lengths)?;
    if seconds.is_nan() || seconds.abs() >= MAX_SECONDS {
        return Err(EvalError::BadData(format!("duration out of range: {duration}")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounds checked above")]
    Ok((seconds * 1000.0).round() as i64)
}

fn seconds(duration: &DurationExpr, lengths: QueryLengths) -> Result<f64, EvalError> {
    Ok(match duration {
        DurationExpr::Number(literal) => literal.value,
        DurationExpr::Step => lengths.step,
        DurationExpr::Range => lengths.range,
        DurationExpr::Sign { is_negative, of } => {
            let value = seconds(of, lengths)?;
            if *is_negative { -value } else { value }
        }
        DurationExpr::Paren(inner) => seconds(inner, lengths)?,
        DurationExpr::MinOf(a, b) => seconds(a, lengths)?.min(seconds(b, lengths)?),
        DurationExpr::MaxOf(a, b) => seconds(a, lengths)?.max(seconds(b, lengths)?),
        DurationExpr::Binary { op, lhs, rhs } => {
            let (left, right) = (seconds(lhs, lengths)?, seconds(rhs, lengths)?);
            match op {
                BinaryOp::Div if right == 0.0 => {
                    return Err(EvalError::BadData("division by zero".to_owned()));
                }
                BinaryOp::Mod if right == 0.0 => {
                    return Err(EvalError::BadData("modulo by zero".to_owned()));
                }
                _ => crate::binop_arithmetic::arithmetic(*op, left, right),
            }
        }
    })
}
