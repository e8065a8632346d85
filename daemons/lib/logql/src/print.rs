//! Trees as text, in Loki's compact form. Reading the text gives the same tree; the one exception is a line filter
//! `!=` or `!~` right behind the plain name of a `drop` or `keep`, which the language reads as a matcher.

use std::fmt::{self, Display, Formatter, Write};

use cairn_model::{Matcher, duration, gotext::quote_to, number};

use crate::ast::*;
use crate::units;

/// `a, b, c` with a separator of choice.
fn list<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

/// `{a="b", c="d"}`
pub(crate) struct Selector<'a>(pub(crate) &'a [Matcher]);

impl Display for Selector<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        list(f, self.0, ", ")?;
        f.write_char('}')
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Selector(&self.matchers).fmt(f)?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineFilter(filter) => filter.fmt(f),
            Self::Json(extractions) => {
                f.write_str("| json")?;
                spaced(f, extractions)
            }
            Self::Logfmt(logfmt) => {
                f.write_str("| logfmt")?;
                if logfmt.strict {
                    f.write_str(" --strict")?;
                }
                if logfmt.keep_empty {
                    f.write_str(" --keep-empty")?;
                }
                spaced(f, &logfmt.extractions)
            }
            Self::Regexp(text) => quoted(f, "| regexp ", text),
            Self::Pattern(text) => quoted(f, "| pattern ", text),
            Self::Unpack => f.write_str("| unpack"),
            Self::Decolorize => f.write_str("| decolorize"),
            Self::LabelFilter(filter) => write!(f, "| {filter}"),
            Self::LineFormat(text) => quoted(f, "| line_format ", text),
            Self::LabelFormat(formats) => {
                f.write_str("| label_format")?;
                spaced(f, formats)
            }
            Self::Drop(choices) => {
                f.write_str("| drop")?;
                spaced(f, choices)
            }
            Self::Keep(choices) => {
                f.write_str("| keep")?;
                spaced(f, choices)
            }
        }
    }
}

/// A blank and the items, when there are any.
fn spaced<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    f.write_char(' ')?;
    list(f, items, ",")
}

fn quoted(f: &mut Formatter<'_>, before: &str, text: &str) -> fmt::Result {
    f.write_str(before)?;
    quote_to(f, text)
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.op.as_str())?;
        list(f, &self.alternatives, " or ")
    }
}

impl Display for LineText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => quote_to(f, text),
            Self::Ip(pattern) => {
                quoted(f, "ip(", pattern)?;
                f.write_char(')')
            }
        }
    }
}

impl Display for Extraction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        quote_to(f, &self.source)
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        match &self.value {
            LabelFormatValue::Rename(from) => f.write_str(from),
            LabelFormatValue::Template(text) => quote_to(f, text),
        }
    }
}

impl Display for LabelChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Matcher(matcher) => matcher.fmt(f),
        }
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(matcher) => matcher.fmt(f),
            Self::Number { name, op, value } => {
                write!(f, "{name}{}", op.as_str())?;
                number::write_plain_float(f, *value)
            }
            Self::Duration { name, op, nanos } => {
                write!(f, "{name}{}{}", op.as_str(), duration::format_go(*nanos))
            }
            Self::Bytes { name, op, bytes } => {
                write!(f, "{name}{}{}", op.as_str(), units::format_bytes(*bytes))
            }
            Self::Ip { name, negative, pattern } => {
                write!(f, "{name}{}ip(", if *negative { "!=" } else { "=" })?;
                quote_to(f, pattern)?;
                f.write_char(')')
            }
            Self::And(left, right) => write!(f, "( {left} , {right} )"),
            Self::Or(left, right) => write!(f, "( {left} or {right} )"),
        }
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.without { "without (" } else { "by (" })?;
        list(f, &self.labels, ",")?;
        f.write_char(')')
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match self.conversion {
            Conversion::Float => write!(f, "| unwrap {label}")?,
            Conversion::Duration => write!(f, "| unwrap duration({label})")?,
            Conversion::DurationSeconds => write!(f, "| unwrap duration_seconds({label})")?,
            Conversion::Bytes => write!(f, "| unwrap bytes({label})")?,
        }
        self.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))
    }
}

impl RangeAgg {
    /// `[5m] offset 1m0s`
    pub(crate) fn window_text(&self) -> String {
        let mut text = format!("[{}]", duration::format_prometheus(self.range / 1_000_000));
        if self.offset != 0 {
            let _ = write!(text, " offset {}", duration::format_go(self.offset));
        }
        text
    }
}

impl Display for RangeAgg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(parameter) = self.parameter {
            number::write_plain_float(f, parameter)?;
            f.write_char(',')?;
        }
        self.log.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
        }
        write!(f, "{})", self.window_text())?;
        self.grouping.as_ref().map_or(Ok(()), |grouping| write!(f, " {grouping}"))
    }
}

impl Binary {
    /// The operator with its modifiers: `== bool`, `/ on (a) group_left (b)`; `separator` stands between labels.
    pub(crate) fn operator_text(&self, separator: &str) -> String {
        let mut text = self.op.as_str().to_owned();
        if self.return_bool {
            text.push_str(" bool");
        }
        if let Some(matching) = &self.matching {
            let word = if matching.on { "on" } else { "ignoring" };
            let _ = write!(text, " {word} ({})", matching.labels.join(separator));
            if let Some(group) = &matching.group {
                let side = if group.left { "group_left" } else { "group_right" };
                let _ = write!(text, " {side} ({})", group.include.join(separator));
            }
        }
        text
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(agg) => agg.fmt(f),
            Self::Vector(agg) => {
                f.write_str(agg.op.as_str())?;
                if let Some(grouping) = &agg.grouping {
                    write!(f, " {grouping}")?;
                }
                f.write_char('(')?;
                if agg.op.takes_count() {
                    write!(f, "{},", agg.count)?;
                }
                write!(f, "{})", agg.inner)
            }
            Self::Binary(binary) => {
                write!(f, "({} {} {})", binary.left, binary.operator_text(","), binary.right)
            }
            Self::Literal(value) => number::write_plain_float(f, *value),
            Self::VectorOf(value) => {
                f.write_str("vector(")?;
                number::write_plain_float(f, *value)?;
                f.write_char(')')
            }
            Self::LabelReplace(replace) => {
                write!(f, "label_replace({}", replace.inner)?;
                for text in [&replace.destination, &replace.replacement, &replace.source, &replace.regex] {
                    f.write_char(',')?;
                    quote_to(f, text)?;
                }
                f.write_char(')')
            }
        }
    }
}
