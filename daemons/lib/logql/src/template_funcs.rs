//! The functions of templates: Go's own and those that Loki adds. Texts are in `template_text.rs`, numbers in
//! `template_math.rs`.

use cairn_model::{TimeNs, duration};

use crate::gotime;
use crate::template::Input;
use crate::template_math as math;
use crate::template_text as text;
use crate::template_value::{Value, compare, from_json};
use crate::units;

/// Every function's name.
const NAMES: [&str; 84] = [
    "__line__",
    "__timestamp__",
    "add",
    "addf",
    "alignLeft",
    "alignRight",
    "and",
    "b64dec",
    "b64enc",
    "bytes",
    "ceil",
    "contains",
    "count",
    "date",
    "default",
    "div",
    "divf",
    "duration",
    "duration_seconds",
    "eq",
    "float64",
    "floor",
    "fromJson",
    "ge",
    "gt",
    "hasPrefix",
    "hasSuffix",
    "html",
    "indent",
    "index",
    "int",
    "js",
    "le",
    "len",
    "lower",
    "lt",
    "max",
    "maxf",
    "min",
    "minf",
    "mod",
    "mul",
    "mulf",
    "ne",
    "nindent",
    "not",
    "or",
    "print",
    "printf",
    "println",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "repeat",
    "replace",
    "Replace",
    "round",
    "slice",
    "sub",
    "subf",
    "substr",
    "title",
    "toDate",
    "toDateInZone",
    "ToLower",
    "ToUpper",
    "Trim",
    "trim",
    "trimAll",
    "TrimLeft",
    "trimPrefix",
    "TrimPrefix",
    "TrimRight",
    "TrimSpace",
    "trimSuffix",
    "TrimSuffix",
    "trunc",
    "unixEpoch",
    "unixEpochMillis",
    "unixEpochNanos",
    "unixToTime",
    "upper",
    "urldecode",
    "urlencode",
    "urlquery",
];

/// Whether a function exists.
pub(crate) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Arguments of a call, with Go's complaints about their number and types.
pub(crate) struct Args<'a> {
    pub(crate) function: &'a str,
    pub(crate) values: &'a [Value],
}

impl<'a> Args<'a> {
    /// The call has exactly `count` arguments.
    pub(crate) fn exactly(&self, count: usize) -> Result<(), String> {
        if self.values.len() == count {
            return Ok(());
        }
        Err(format!("wrong number of args for {}: want {count} got {}", self.function, self.values.len()))
    }

    /// The call has at least `count` arguments.
    pub(crate) fn at_least(&self, count: usize) -> Result<(), String> {
        if self.values.len() >= count {
            return Ok(());
        }
        Err(format!(
            "wrong number of args for {}: want at least {count} got {}",
            self.function,
            self.values.len()
        ))
    }

    /// The argument at `at`, which must be a text.
    pub(crate) fn text(&self, at: usize) -> Result<&'a str, String> {
        match &self.values[at] {
            Value::String(text) => Ok(text),
            other => Err(format!(
                "error calling {}: wrong type for value; expected string; got {}",
                self.function,
                other.type_name()
            )),
        }
    }

    /// The argument at `at`, which must be a whole number.
    pub(crate) fn int(&self, at: usize) -> Result<i64, String> {
        match &self.values[at] {
            Value::Int(value) => Ok(*value),
            other => Err(format!(
                "error calling {}: wrong type for value; expected int; got {}",
                self.function,
                other.type_name()
            )),
        }
    }

    fn time(&self, at: usize) -> Result<TimeNs, String> {
        match &self.values[at] {
            Value::Time(time) => Ok(*time),
            other => Err(format!(
                "error calling {}: wrong type for value; expected time.Time; got {}",
                self.function,
                other.type_name()
            )),
        }
    }
}

/// Calls a function.
///
/// # Errors
/// What went wrong, in the manner of Go's text.
pub(crate) fn call(name: &str, values: &[Value], input: &Input<'_>) -> Result<Value, String> {
    let args = Args { function: name, values };
    if let Some(value) = text::call(&args)? {
        return Ok(value);
    }
    if let Some(value) = math::call(&args)? {
        return Ok(value);
    }
    match name {
        "__line__" => Ok(Value::String(String::from_utf8_lossy(input.line).into_owned())),
        "__timestamp__" => Ok(Value::Time(input.time)),
        "default" => {
            args.at_least(1)?;
            let given = values.get(1).filter(|given| given.is_true());
            Ok(given.unwrap_or(&values[0]).clone())
        }
        "fromJson" => {
            args.exactly(1)?;
            Ok(from_json(args.text(0)?).unwrap_or(Value::Nil))
        }
        "bytes" => {
            args.exactly(1)?;
            #[expect(clippy::cast_precision_loss, reason = "the result is a float by contract")]
            units::parse_bytes(args.text(0)?).map(|bytes| Value::Float(bytes as f64))
        }
        "duration" | "duration_seconds" => {
            args.exactly(1)?;
            let text = args.text(0)?;
            let nanos = duration::parse_go(text)
                .ok_or_else(|| format!("error calling {name}: {}", units::go_duration_error(text)))?;
            Ok(Value::Float(crate::range_values::seconds(nanos)))
        }
        "not" => {
            args.exactly(1)?;
            Ok(Value::Bool(!values[0].is_true()))
        }
        "len" => length(&args),
        "index" => index(&args),
        "slice" => slice(&args),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => comparison(&args),
        _ => time_function(&args),
    }
}

fn length(args: &Args<'_>) -> Result<Value, String> {
    args.exactly(1)?;
    let len = match &args.values[0] {
        Value::String(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(members) => members.len(),
        Value::Labels(labels) => labels.len(),
        other => return Err(format!("error calling len: len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

fn index(args: &Args<'_>) -> Result<Value, String> {
    args.at_least(1)?;
    let mut value = args.values[0].clone();
    for key in &args.values[1..] {
        let position = |len: usize| match key {
            Value::Int(at) => usize::try_from(*at)
                .ok()
                .filter(|at| *at < len)
                .ok_or_else(|| format!("error calling index: index out of range: {at}")),
            other => {
                Err(format!("error calling index: cannot index slice/array with type {}", other.type_name()))
            }
        };
        value = match (&value, key) {
            (Value::Labels(_) | Value::Map(_), Value::String(name)) => value.field(name)?,
            (Value::Labels(_) | Value::Map(_), other) => {
                return Err(format!(
                    "error calling index: value has type {}; should be string",
                    other.type_name()
                ));
            }
            (Value::List(items), _) => items[position(items.len())?].clone(),
            (Value::String(text), _) => Value::Int(i64::from(text.as_bytes()[position(text.len())?])),
            (Value::Nil, _) => return Err("error calling index: index of untyped nil".to_owned()),
            (other, _) => {
                return Err(format!("error calling index: can't index item of type {}", other.type_name()));
            }
        };
    }
    Ok(value)
}

fn slice(args: &Args<'_>) -> Result<Value, String> {
    args.at_least(1)?;
    let len = match &args.values[0] {
        Value::String(text) => text.len(),
        Value::List(items) => items.len(),
        other => return Err(format!("error calling slice: can't slice item of type {}", other.type_name())),
    };
    if args.values.len() > 3 {
        return Err("error calling slice: too many slice indexes".to_owned());
    }
    let bound = |at: usize, otherwise: usize| {
        if at >= args.values.len() {
            return Ok(otherwise);
        }
        let value = args.int(at)?;
        usize::try_from(value)
            .ok()
            .filter(|v| *v <= len)
            .ok_or_else(|| format!("error calling slice: index out of range: {value}"))
    };
    let (from, to) = (bound(1, 0)?, bound(2, len)?);
    if from > to {
        return Err(format!("error calling slice: invalid slice index: {from} > {to}"));
    }
    Ok(match &args.values[0] {
        Value::List(items) => Value::List(items[from..to].to_vec()),
        Value::String(text) => {
            Value::String(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned())
        }
        other => other.clone(),
    })
}

fn comparison(args: &Args<'_>) -> Result<Value, String> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let fail = |message: String| format!("error calling {}: {message}", args.function);
    if args.function == "eq" {
        args.at_least(2)?;
        for other in &args.values[1..] {
            if compare(&args.values[0], other).map_err(fail)? == Some(Equal) {
                return Ok(Value::Bool(true));
            }
        }
        return Ok(Value::Bool(false));
    }
    args.exactly(2)?;
    let order = compare(&args.values[0], &args.values[1]).map_err(fail)?;
    Ok(Value::Bool(match args.function {
        "ne" => order != Some(Equal),
        "lt" => order == Some(Less),
        "le" => matches!(order, Some(Less | Equal)),
        "gt" => order == Some(Greater),
        _ => matches!(order, Some(Greater | Equal)),
    }))
}

fn time_function(args: &Args<'_>) -> Result<Value, String> {
    match args.function {
        "date" => {
            args.exactly(2)?;
            Ok(Value::String(gotime::format(args.time(1)?, args.text(0)?)))
        }
        "toDate" => {
            args.exactly(2)?;
            // Go gives the zero time for a text that does not fit.
            Ok(Value::Time(gotime::parse(args.text(0)?, args.text(1)?).unwrap_or(TimeNs::MIN)))
        }
        "toDateInZone" => {
            args.exactly(3)?;
            let zone = args.text(1)?;
            if !matches!(zone, "" | "UTC" | "GMT" | "Etc/UTC") {
                return Err(format!(
                    "error calling toDateInZone: time zone {zone:?} is not supported, only UTC is"
                ));
            }
            Ok(Value::Time(gotime::parse(args.text(0)?, args.text(2)?).unwrap_or(TimeNs::MIN)))
        }
        "unixEpoch" | "unixEpochMillis" | "unixEpochNanos" => {
            args.exactly(1)?;
            let unit = match args.function {
                "unixEpoch" => 1_000_000_000,
                "unixEpochMillis" => 1_000_000,
                _ => 1,
            };
            Ok(Value::String(args.time(0)?.0.div_euclid(unit).to_string()))
        }
        "unixToTime" => {
            args.exactly(1)?;
            let text = args.text(0)?;
            let fail = || {
                let text = cairn_model::gotext::quote(text);
                format!("error calling unixToTime: unable to parse time '{text}': invalid syntax")
            };
            let value: i64 = text.parse().map_err(|_| fail())?;
            let unit = match text.len() {
                5 => 86_400_000_000_000,
                10 => 1_000_000_000,
                13 => 1_000_000,
                16 => 1_000,
                19 => 1,
                _ => return Err(fail()),
            };
            Ok(Value::Time(TimeNs(value.checked_mul(unit).ok_or_else(fail)?)))
        }
        other => Err(format!("function {} not defined", cairn_model::gotext::quote(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_function() {
        let input = Input { labels: Value::Nil, time: TimeNs(0), line: b"" };
        for name in NAMES {
            let missing = format!("function {} not defined", cairn_model::gotext::quote(name));
            // `and` and `or` are the evaluator's.
            if name != "and" && name != "or" {
                assert_ne!(call(name, &[], &input), Err(missing), "{name}");
            }
        }
    }
}
