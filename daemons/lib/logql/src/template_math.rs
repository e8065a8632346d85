//! Functions of templates over numbers.

use crate::template_funcs::Args;
use crate::template_value::Value;

/// Calls a function of this file; `None` when it is none.
///
/// # Errors
/// What went wrong, in the manner of Go's text.
pub(crate) fn call(args: &Args<'_>) -> Result<Option<Value>, String> {
    let values = args.values;
    let ints = || values.iter().map(Value::to_int);
    let fail = |what: &str| Err(format!("error calling {}: {what}", args.function));
    Ok(Some(match args.function {
        "int" => {
            args.exactly(1)?;
            Value::Int(values[0].to_int())
        }
        "float64" => {
            args.exactly(1)?;
            Value::Float(values[0].to_float())
        }
        "add" => Value::Int(ints().fold(0, i64::wrapping_add)),
        "sub" => {
            args.exactly(2)?;
            Value::Int(values[0].to_int().wrapping_sub(values[1].to_int()))
        }
        "mul" => {
            args.at_least(1)?;
            Value::Int(ints().fold(1, i64::wrapping_mul))
        }
        "div" | "mod" => {
            args.exactly(2)?;
            let (left, right) = (values[0].to_int(), values[1].to_int());
            if right == 0 {
                return fail("runtime error: integer divide by zero");
            }
            Value::Int(if args.function == "div" {
                left.wrapping_div(right)
            } else {
                left.wrapping_rem(right)
            })
        }
        "addf" | "subf" | "mulf" | "divf" => {
            args.at_least(1)?;
            let mut result = Decimal::of(values[0].to_float());
            for value in &values[1..] {
                let right = Decimal::of(value.to_float());
                if args.function == "divf" && right.is_zero() {
                    return fail("decimal division by 0");
                }
                result = result.apply(args.function, &right);
            }
            Value::Float(result.to_float())
        }
        "max" | "min" => {
            args.at_least(1)?;
            let pick = if args.function == "max" { i64::max } else { i64::min };
            Value::Int(ints().reduce(pick).unwrap_or(0))
        }
        "maxf" | "minf" => {
            args.at_least(1)?;
            let pick = if args.function == "maxf" { f64::max } else { f64::min };
            Value::Float(values.iter().map(Value::to_float).reduce(pick).unwrap_or(0.0))
        }
        "ceil" | "floor" => {
            args.exactly(1)?;
            let value = values[0].to_float();
            Value::Float(if args.function == "ceil" { value.ceil() } else { value.floor() })
        }
        "round" => {
            args.at_least(2)?;
            let places = i32::try_from(args.int(1)?).unwrap_or(i32::MAX).clamp(-400, 400);
            let up_from = values.get(2).map_or(0.5, Value::to_float);
            let power = 10f64.powi(places);
            let shifted = power * values[0].to_float();
            let rounded = if shifted.fract() >= up_from { shifted.ceil() } else { shifted.floor() };
            Value::Float(rounded / power)
        }
        _ => return Ok(None),
    }))
}

/// A number as sprig counts: decimal, so that 0.1 + 0.2 is 0.3. Falls back to a float where 128 bits do not do.
#[derive(Clone, Debug)]
enum Decimal {
    /// Mantissa and power of ten.
    Exact(i128, i32),
    Float(f64),
}

/// Digits behind the point that a division keeps.
const DIVISION_DIGITS: i32 = 16;

impl Decimal {
    fn of(value: f64) -> Self {
        let text = format!("{value:e}");
        let parse = || {
            let (mantissa, exponent) = text.split_once('e')?;
            let exponent: i32 = exponent.parse().ok()?;
            let decimals = mantissa.split_once('.').map_or(0, |(_, digits)| digits.len());
            let mantissa: i128 = mantissa.replace('.', "").parse().ok()?;
            Some(Self::Exact(mantissa, exponent - i32::try_from(decimals).ok()?))
        };
        parse().unwrap_or(Self::Float(value))
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Exact(mantissa, _) => *mantissa == 0,
            Self::Float(value) => *value == 0.0,
        }
    }

    fn to_float(&self) -> f64 {
        match self {
            Self::Exact(mantissa, exponent) => format!("{mantissa}e{exponent}").parse().unwrap_or(f64::NAN),
            Self::Float(value) => *value,
        }
    }

    fn apply(&self, function: &str, right: &Self) -> Self {
        self.exact(function, right).unwrap_or_else(|| {
            let (left, right) = (self.to_float(), right.to_float());
            Self::Float(match function {
                "addf" => left + right,
                "subf" => left - right,
                "mulf" => left * right,
                _ => left / right,
            })
        })
    }

    fn exact(&self, function: &str, right: &Self) -> Option<Self> {
        let (Self::Exact(a, a_power), Self::Exact(b, b_power)) = (self, right) else { return None };
        let scale =
            |mantissa: i128, by: i32| mantissa.checked_mul(10i128.checked_pow(u32::try_from(by).ok()?)?);
        match function {
            "mulf" => Some(Self::Exact(a.checked_mul(*b)?, a_power.checked_add(*b_power)?)),
            "divf" => {
                // Mantissa of the quotient with 16 digits behind the point, rounded half away from zero.
                let shift = DIVISION_DIGITS + a_power - b_power;
                let (top, bottom) =
                    if shift >= 0 { (scale(*a, shift)?, *b) } else { (*a, scale(*b, -shift)?) };
                let (quotient, rest) = (top.checked_div(bottom)?, top.checked_rem(bottom)?);
                let is_up = rest.unsigned_abs() * 2 >= bottom.unsigned_abs();
                let sign = if (top < 0) == (bottom < 0) { 1 } else { -1 };
                Some(Self::Exact(quotient + if is_up { sign } else { 0 }, -DIVISION_DIGITS))
            }
            _ => {
                let power = *a_power.min(b_power);
                let (a, b) = (scale(*a, a_power - power)?, scale(*b, b_power - power)?);
                Some(Self::Exact(
                    if function == "addf" { a.checked_add(b)? } else { a.checked_sub(b)? },
                    power,
                ))
            }
        }
    }
}
