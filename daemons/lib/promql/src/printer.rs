//! Prints a tree as Prometheus prints it: the text of `format_query` on one line. What is printed parses again.

use std::fmt::{self, Display, Formatter, Write};

use cairn_model::gotext::quote_to;
use cairn_model::number::general_float;
use cairn_model::{MatchOp, duration};

use crate::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, Expr, ExprKind, Extension, Grouping, NumberLiteral,
    Subquery, VectorMatching, VectorSelector,
};
use crate::parser_selector::METRIC_NAME;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(literal) => literal.fmt(f),
            ExprKind::String(text) => quote_to(f, text),
            ExprKind::Vector(selector) => {
                write_selector(f, selector)?;
                write_extension(f, selector.extension)?;
                write_modifiers(f, selector.at, selector.offset.as_ref())
            }
            ExprKind::Matrix(matrix) => {
                write_selector(f, &matrix.selector)?;
                write!(f, "[{}]", Whole(&matrix.range))?;
                write_extension(f, matrix.selector.extension)?;
                write_modifiers(f, matrix.selector.at, matrix.selector.offset.as_ref())
            }
            ExprKind::Subquery(subquery) => {
                subquery.expr.fmt(f)?;
                write_subquery_suffix(f, subquery)
            }
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                write_list(f, &call.args)?;
                f.write_char(')')
            }
            ExprKind::Aggregate(aggregate) => aggregate.fmt(f),
            ExprKind::Binary(binary) => binary.fmt(f),
            ExprKind::Unary(unary) => {
                write!(f, "{}{}", if unary.is_negative { '-' } else { '+' }, unary.expr)
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ms = self.value * 1000.0;
        if self.is_duration && ms.abs() < 9e15 {
            #[expect(clippy::cast_possible_truncation, reason = "bounds checked above")]
            return f.write_str(&duration::format_prometheus(ms.round() as i64));
        }
        f.write_str(&general_float(self.value))
    }
}

/// A duration that stands alone: there a plain number of seconds prints as the duration it is.
struct Whole<'a>(&'a DurationExpr);

impl Display for Whole<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            DurationExpr::Number(literal) => NumberLiteral { is_duration: true, ..*literal }.fmt(f),
            other => other.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(literal) => literal.fmt(f),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Sign { is_negative, of } => write!(f, "{}{of}", if *is_negative { '-' } else { '+' }),
            Self::Binary { op, lhs, rhs } => write!(f, "{lhs} {} {rhs}", op.as_str()),
            Self::MinOf(a, b) => write!(f, "min_of({a}, {b})"),
            Self::MaxOf(a, b) => write!(f, "max_of({a}, {b})"),
            Self::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_aggregation(f, self)?;
        f.write_char('(')?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

/// Operator and grouping: what stands before the parenthesis.
pub(crate) fn write_aggregation(f: &mut impl Write, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.as_str())?;
    let (word, labels) = match &aggregate.grouping {
        Grouping::All => return Ok(()),
        // `by ()` says nothing that leaving it out does not say.
        Grouping::By(labels) if labels.is_empty() => return Ok(()),
        Grouping::By(labels) => ("by", labels),
        Grouping::Without(labels) => ("without", labels),
    };
    write!(f, " {word} (")?;
    write_labels(f, labels)?;
    f.write_str(") ")
}

/// Length, step and modifiers of a subquery: what stands after its expression.
pub(crate) fn write_subquery_suffix(f: &mut impl Write, subquery: &Subquery) -> fmt::Result {
    write!(f, "[{}:", Whole(&subquery.range))?;
    if let Some(step) = &subquery.step {
        write!(f, "{}", Whole(step))?;
    }
    f.write_char(']')?;
    write_modifiers(f, subquery.at, subquery.offset.as_ref())
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lhs, self.op.as_str())?;
        if self.return_bool {
            f.write_str(" bool")?;
        }
        if let Some(matching) = &self.matching {
            write_matching(f, matching)?;
        }
        write!(f, " {}", self.rhs)
    }
}

pub(crate) fn write_matching(f: &mut impl Write, matching: &VectorMatching) -> fmt::Result {
    let is_grouped = matches!(matching.card, Cardinality::ManyToOne | Cardinality::OneToMany);
    if !matching.labels.is_empty() || matching.on || is_grouped {
        f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
        write_labels(f, &matching.labels)?;
        f.write_char(')')?;
    }
    if is_grouped {
        f.write_str(if matching.card == Cardinality::ManyToOne {
            " group_left ("
        } else {
            " group_right ("
        })?;
        write_labels(f, &matching.include)?;
        f.write_char(')')?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
            write!(f, " fill ({})", general_float(left))
        }
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", general_float(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", general_float(right))?;
            }
            Ok(())
        }
    }
}

/// Name and matchers, sorted by their text, without modifiers.
fn write_selector(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let mut parts = Vec::new();
    let mut quoted_name = None;
    if let Some(name) = &selector.name {
        if is_metric_identifier(name) {
            f.write_str(name)?;
        } else {
            quoted_name = Some(cairn_model::gotext::quote(name));
        }
    }
    for matcher in &selector.matchers {
        let is_the_name = matcher.name() == METRIC_NAME
            && matcher.op() == MatchOp::Equal
            && selector.name.as_deref() == Some(matcher.value());
        if !is_the_name {
            let mut part = String::new();
            write_label_name(&mut part, matcher.name())?;
            part.push_str(matcher.op().as_str());
            quote_to(&mut part, matcher.value())?;
            parts.push(part);
        }
    }
    parts.sort();
    parts.splice(0..0, quoted_name);
    // Without a name either, as `info()` takes it, nothing would be left to parse.
    if parts.is_empty() && selector.name.is_some() {
        return Ok(());
    }
    write!(f, "{{{}}}", parts.join(","))
}

fn write_extension(f: &mut Formatter<'_>, extension: Extension) -> fmt::Result {
    match extension {
        Extension::None => Ok(()),
        _ => write!(f, " {}", extension.as_str()),
    }
}

fn write_modifiers(f: &mut impl Write, at: Option<At>, offset: Option<&DurationExpr>) -> fmt::Result {
    match at {
        None => {}
        #[expect(clippy::cast_precision_loss, reason = "three decimals of a time of our era")]
        Some(At::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0)?,
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
    }
    match offset {
        // `offset 0s` is the same as none, also to Prometheus's printer.
        Some(DurationExpr::Number(literal)) if literal.value == 0.0 => Ok(()),
        // After `offset` only one operand stands; anything else needs its parentheses.
        Some(binary @ DurationExpr::Binary { .. }) => write!(f, " offset ({binary})"),
        Some(offset) => write!(f, " offset {}", Whole(offset)),
        None => Ok(()),
    }
}

fn write_list(f: &mut Formatter<'_>, items: &[Expr]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn write_labels(f: &mut impl Write, labels: &[String]) -> fmt::Result {
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write_label_name(f, label)?;
    }
    Ok(())
}

fn write_label_name(out: &mut impl Write, name: &str) -> fmt::Result {
    if is_label_identifier(name) { out.write_str(name) } else { quote_to(out, name) }
}

fn is_label_identifier(name: &str) -> bool {
    is_metric_identifier(name) && !name.contains(':')
}

/// Whether the name can be written without quotes.
fn is_metric_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        && crate::token::TokenKind::of_word(name).may_be_metric_name()
}
