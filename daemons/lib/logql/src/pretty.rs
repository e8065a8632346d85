//! `format_query`: a query laid out over lines, as Loki lays it out.
//!
//! An expression whose compact text has more than [`MAX_LINE`] bytes is broken: arguments, stages and operands stand on
//! lines of their own, two blanks deeper than what they belong to.

use std::fmt::Write;

use cairn_model::{duration, gotext::quote, number};

use crate::ast::*;
use crate::print::Selector;

/// Longest compact text that stays on one line, in bytes.
const MAX_LINE: usize = 100;

/// Lays a query out.
pub fn format(expr: &Expr) -> String {
    match expr {
        Expr::Log(log) => log_expr(log, 0),
        Expr::Metric(metric) => metric_expr(metric, 0),
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn log_expr(log: &LogExpr, level: usize) -> String {
    let compact = log.to_string();
    if compact.len() <= MAX_LINE || log.stages.is_empty() {
        return indent(level) + &compact;
    }
    let mut out = format!("{}{}", indent(level), Selector(&log.matchers));
    let is_filter = |stage: &Stage| matches!(stage, Stage::LineFilter(_));
    // Neighbouring line filters are one expression.
    for stages in log.stages.chunk_by(|a, b| is_filter(a) && is_filter(b)) {
        let texts: Vec<String> = stages.iter().map(Stage::to_string).collect();
        let joined = texts.join(" ");
        let lines = if joined.len() > MAX_LINE { texts } else { vec![joined] };
        for line in lines {
            let _ = write!(out, "\n{}{line}", indent(level + 1));
        }
    }
    out
}

fn grouping_text(grouping: &Grouping) -> String {
    let word = if grouping.without { "without" } else { "by" };
    format!(" {word} ({})", grouping.labels.join(", "))
}

/// `name(` arguments `)`, each argument on its own lines.
fn call(name: &str, arguments: &[String], level: usize) -> String {
    format!("{}{name}(\n{}\n{})", indent(level), arguments.join(",\n"), indent(level))
}

fn metric_expr(expr: &MetricExpr, level: usize) -> String {
    let compact = expr.to_string();
    if compact.len() <= MAX_LINE {
        return indent(level) + &compact;
    }
    match expr {
        MetricExpr::Literal(_) | MetricExpr::VectorOf(_) => indent(level) + &compact,
        MetricExpr::Range(agg) => {
            let mut arguments = Vec::new();
            if let Some(parameter) = agg.parameter {
                arguments.push(indent(level + 1) + &number::plain_float(parameter));
            }
            arguments.push(log_range(agg, level + 1));
            let text = call(agg.op.as_str(), &arguments, level);
            text + &agg.grouping.as_ref().map(grouping_text).unwrap_or_default()
        }
        MetricExpr::Vector(agg) => {
            let mut arguments = Vec::new();
            if agg.op.takes_count() {
                arguments.push(format!("{}{}", indent(level + 1), agg.count));
            }
            arguments.push(metric_expr(&agg.inner, level + 1));
            let grouping = agg.grouping.as_ref().map(grouping_text).unwrap_or_default();
            call(&format!("{}{grouping}", agg.op.as_str()), &arguments, level)
        }
        MetricExpr::Binary(binary) => format!(
            "{}\n{}{}\n{}",
            operand(&binary.left, binary.op, false, level + 1),
            indent(level),
            binary.operator_text(", "),
            operand(&binary.right, binary.op, true, level + 1)
        ),
        MetricExpr::LabelReplace(replace) => {
            let mut arguments = vec![metric_expr(&replace.inner, level + 1)];
            let texts = [&replace.destination, &replace.replacement, &replace.source, &replace.regex];
            arguments.extend(texts.map(|text| indent(level + 1) + &quote(text)));
            call("label_replace", &arguments, level)
        }
    }
}

/// A side of an operator. A broken operation loses the parentheses of its compact text: they are set where reading
/// would group in another way without them.
fn operand(expr: &MetricExpr, op: BinaryOp, is_right: bool, level: usize) -> String {
    let MetricExpr::Binary(inner) = expr else { return metric_expr(expr, level) };
    let groups_alone = match inner.op.precedence().cmp(&op.precedence()) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => is_right == (op == BinaryOp::Power),
        std::cmp::Ordering::Less => false,
    };
    if groups_alone || expr.to_string().len() <= MAX_LINE {
        return metric_expr(expr, level);
    }
    call("", &[metric_expr(expr, level + 1)], level)
}

fn log_range(agg: &RangeAgg, level: usize) -> String {
    let mut out = log_expr(&agg.log, level);
    if let Some(unwrap) = &agg.unwrap {
        let head = Unwrap { filters: Vec::new(), ..unwrap.clone() };
        let _ = write!(out, "\n{}{head}", indent(level + 1));
        for filter in &unwrap.filters {
            let _ = write!(out, "\n{}| {filter}", indent(level + 1));
        }
    }
    let _ = write!(out, " [{}]", duration::format_prometheus(agg.range / 1_000_000));
    if agg.offset != 0 {
        let _ = write!(out, " offset {}", duration::format_prometheus(agg.offset / 1_000_000));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_queries_stay_on_one_line() {
        for (text, want) in [
            (r#"{app="x"}|=`a`!="b" # why"#, r#"{app="x"} |= "a" != "b""#),
            ("1+2*3", "7"),
            (r#"rate({a="b"}[3600s])"#, r#"rate({a="b"}[1h])"#),
            (
                r#"sum without(a)(count_over_time({app="x"}[1h]offset 5m))"#,
                r#"sum without (a)(count_over_time({app="x"}[1h] offset 5m0s))"#,
            ),
            (r#"sum(rate({a="b"}[5m]))==bool 1"#, r#"(sum(rate({a="b"}[5m])) == bool 1)"#),
        ] {
            assert_eq!(format(&crate::parse(text).unwrap()), want, "{text}");
        }
    }

    #[test]
    fn long_queries_are_broken() {
        let text = r#"sum by (namespace, cluster, container) (rate({namespace="a very long namespace name", cluster="a long cluster name"} |= "something to look for" | logfmt | level="error" [5m])) / sum by (namespace, cluster, container) (rate({namespace="a very long namespace name", cluster="a long cluster name"}[5m]))"#;
        let want = r#"  sum by (namespace, cluster, container)(
    rate(
      {namespace="a very long namespace name", cluster="a long cluster name"}
        |= "something to look for"
        | logfmt
        | level="error" [5m]
    )
  )
/
  sum by (namespace, cluster, container)(
    rate({namespace="a very long namespace name", cluster="a long cluster name"}[5m])
  )"#;
        assert_eq!(format(&crate::parse(text).unwrap()), want);
    }
}
