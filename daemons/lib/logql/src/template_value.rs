//! Values of templates, and how Go prints, compares and converts them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use cairn_model::TimeNs;

use crate::gotime;
use crate::units;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// No value at all: a missing member, JSON's null.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    Time(TimeNs),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// The labels of the entry: a map whose missing members are empty texts.
    Labels(BTreeMap<String, String>),
}

impl Value {
    /// Go's name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::String(_) => "string",
            Self::Time(_) => "time.Time",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Labels(_) => "map[string]string",
        }
    }

    /// What `if` thinks of it.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::String(text) => !text.is_empty(),
            Self::Time(_) => true,
            Self::List(items) => !items.is_empty(),
            Self::Map(members) => !members.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
        }
    }

    /// A member of a map.
    ///
    /// # Errors
    /// The value has no members.
    pub(crate) fn field(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Labels(labels) => Ok(Self::String(labels.get(name).cloned().unwrap_or_default())),
            Self::Map(members) => Ok(members.get(name).cloned().unwrap_or(Self::Nil)),
            Self::Nil => Err(format!("nil pointer evaluating interface {{}}.{name}")),
            other => Err(format!("can't evaluate field {name} in type {}", other.type_name())),
        }
    }

    /// As a whole number, the way sprig casts: what is no number is 0.
    #[expect(clippy::cast_possible_truncation, reason = "casting cuts off, by contract")]
    pub(crate) fn to_int(&self) -> i64 {
        match self {
            Self::Bool(value) => i64::from(*value),
            Self::Int(value) => *value,
            Self::Float(value) => *value as i64,
            Self::String(text) => {
                parse_int(text).or_else(|| units::parse_float(text).map(|f| f as i64)).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// As a float, the way sprig casts.
    #[expect(clippy::cast_precision_loss, reason = "casting rounds, by contract")]
    pub(crate) fn to_float(&self) -> f64 {
        match self {
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Int(value) => *value as f64,
            Self::Float(value) => *value,
            Self::String(text) => units::parse_float(text).unwrap_or(0.0),
            _ => 0.0,
        }
    }
}

/// Reads a whole number with Go's prefixes (`0x`, `0o`, `0b`, a leading 0) and underscores.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let digits = digits.replace('_', "");
    i64::from_str_radix(&digits, radix).ok().map(|value| sign * value)
}

/// The power of ten from which on Go's `%v` prints a float with an exponent.
const PLAIN_BELOW: i32 = 6;

/// A float as Go's `%v` prints it: shortest text, with an exponent for small and large ones.
pub(crate) fn print_float(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return cairn_model::number::plain_float(value);
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..PLAIN_BELOW).contains(&exponent) {
        return cairn_model::number::plain_float(value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("<no value>"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&print_float(*value)),
            Self::String(text) => f.write_str(text),
            Self::Time(time) => f.write_str(&gotime::print(*time)),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    let blank = if at > 0 { " " } else { "" };
                    write!(f, "{blank}{}", Inner(item))?;
                }
                f.write_str("]")
            }
            Self::Map(members) => print_map(f, members.iter().map(|(k, v)| (k.as_str(), Inner(v)))),
            Self::Labels(labels) => print_map(f, labels.iter().map(|(k, v)| (k.as_str(), v))),
        }
    }
}

/// A value inside of another one: nothing prints as `<nil>` there.
struct Inner<'a>(&'a Value);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Nil => f.write_str("<nil>"),
            value => value.fmt(f),
        }
    }
}

fn print_map<'a, V: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    members: impl Iterator<Item = (&'a str, V)>,
) -> fmt::Result {
    f.write_str("map[")?;
    for (at, (name, value)) in members.enumerate() {
        let blank = if at > 0 { " " } else { "" };
        write!(f, "{blank}{name}:{value}")?;
    }
    f.write_str("]")
}

/// Compares two basic values of one kind.
///
/// # Errors
/// Kinds that Go refuses to compare.
pub(crate) fn compare(left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        (Value::Time(a), Value::Time(b)) => Ok(Some(a.cmp(b))),
        (Value::Nil, Value::Nil) => Ok(Some(Ordering::Equal)),
        (Value::Nil, _) | (_, Value::Nil) => Ok(None),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// Reads a JSON document; `None` when it is none.
pub(crate) fn from_json(text: &str) -> Option<Value> {
    fn convert(value: serde_json::Value) -> Value {
        match value {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Value::String(text),
            serde_json::Value::Array(items) => Value::List(items.into_iter().map(convert).collect()),
            serde_json::Value::Object(members) => {
                Value::Map(members.into_iter().map(|(name, value)| (name, convert(value))).collect())
            }
        }
    }
    serde_json::from_str(text).ok().map(convert)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, want) in [
            ("12", Some(12)),
            ("-7", Some(-7)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("1_0", Some(10)),
            ("12a", None),
            ("--1", None),
        ] {
            assert_eq!(parse_int(text), want, "{text}");
        }
    }

    #[test]
    fn floats_print_like_go() {
        for (value, want) in [
            (2.5, "2.5"),
            (1.5e6, "1.5e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (100_000.0, "100000"),
            (0.00001, "1e-05"),
            (90.0, "90"),
        ] {
            assert_eq!(print_float(value), want);
        }
    }
}
