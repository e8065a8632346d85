//! Label filters: `level="error"`, `status >= 500`, `took > 1s`, `size > 1KB`, `ip = ip("10.0.0.0/8")`.

use cairn_model::{Matcher, duration, gotext};

use crate::ast::{CmpOp, LabelFilter};
use crate::filter_ip::IpPattern;
use crate::labelset::LabelSet;
use crate::units;

/// The error label of a value that cannot be compared.
pub(crate) const FILTER_ERROR: &str = "LabelFilterErr";

/// A label filter, compiled once per query.
pub(crate) enum CompiledLabelFilter {
    Text(Matcher),
    Number(String, CmpOp, f64),
    Duration(String, CmpOp, i64),
    Bytes(String, CmpOp, u64),
    Ip(String, bool, IpPattern),
    And(Box<CompiledLabelFilter>, Box<CompiledLabelFilter>),
    Or(Box<CompiledLabelFilter>, Box<CompiledLabelFilter>),
}

/// What Go's `strconv.ParseFloat` says about a text it refuses.
pub(crate) fn float_error(text: &str) -> String {
    // A number that is too large is well-formed; everything else is not.
    let reason = match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) => {
            "value out of range"
        }
        _ => "invalid syntax",
    };
    format!("strconv.ParseFloat: parsing {}: {reason}", gotext::quote(text))
}

impl CompiledLabelFilter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// What is wrong with an `ip(...)`.
    pub(crate) fn compile(filter: &LabelFilter) -> Result<Self, String> {
        let both = |left: &LabelFilter, right: &LabelFilter| {
            Ok::<_, String>((Box::new(Self::compile(left)?), Box::new(Self::compile(right)?)))
        };
        Ok(match filter {
            LabelFilter::Text(matcher) => Self::Text(matcher.clone()),
            LabelFilter::Number { name, op, value } => Self::Number(name.clone(), *op, *value),
            LabelFilter::Duration { name, op, nanos } => Self::Duration(name.clone(), *op, *nanos),
            LabelFilter::Bytes { name, op, bytes } => Self::Bytes(name.clone(), *op, *bytes),
            LabelFilter::Ip { name, negative, pattern } => {
                let compiled = IpPattern::parse(pattern)
                    .ok_or_else(|| format!("ip: invalid pattern: {}", gotext::quote(pattern)))?;
                Self::Ip(name.clone(), *negative, compiled)
            }
            LabelFilter::And(left, right) => both(left, right).map(|(l, r)| Self::And(l, r))?,
            LabelFilter::Or(left, right) => both(left, right).map(|(l, r)| Self::Or(l, r))?,
        })
    }

    /// Whether the entry passes. A value that cannot be compared sets the error labels, and the entry passes.
    pub(crate) fn keeps(&self, labels: &mut LabelSet<'_>) -> bool {
        match self {
            Self::Text(matcher) => matcher.matches(labels.get(matcher.name()).unwrap_or("")),
            Self::Number(name, op, right) => {
                let parse = |text: &str| units::parse_float(text).ok_or_else(|| float_error(text));
                compare(labels, name, parse, |left| op.holds(left, *right))
            }
            Self::Duration(name, op, right) => {
                let parse =
                    |text: &str| duration::parse_go(text).ok_or_else(|| units::go_duration_error(text));
                compare(labels, name, parse, |left| op.holds(left, *right))
            }
            Self::Bytes(name, op, right) => {
                compare(labels, name, units::parse_bytes, |left| op.holds(left, *right))
            }
            Self::Ip(name, negative, pattern) => {
                if labels.error().is_some() {
                    return true;
                }
                labels.get(name).is_some_and(|value| pattern.is_in(value.as_bytes()) != *negative)
            }
            // Both sides run even when the left one fails: that is when Loki sets errors, too.
            Self::And(left, right) => {
                let left = left.keeps(labels);
                let right = right.keeps(labels);
                left && right
            }
            Self::Or(left, right) => left.keeps(labels) || right.keeps(labels),
        }
    }
}

/// A missing label fails. A value that cannot be compared passes and sets the error labels, unless an earlier error
/// stands there.
fn compare<T>(
    labels: &mut LabelSet<'_>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    holds: impl Fn(T) -> bool,
) -> bool {
    let Some(text) = labels.get(name) else { return false };
    match parse(text) {
        Ok(value) => holds(value),
        Err(details) => {
            if labels.error().is_none() {
                labels.set_error(FILTER_ERROR, &details);
            }
            true
        }
    }
}
