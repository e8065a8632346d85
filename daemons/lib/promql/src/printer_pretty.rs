//! Prints a tree over several lines, as Prometheus's `format_query` does: a node that is longer than a line is split, its
//! parts indented below it.

use std::fmt::{self, Write};

use crate::ast::{Expr, ExprKind};
use crate::printer::{write_aggregation, write_matching, write_subquery_suffix};

/// Longest node that stays on one line, in bytes.
const MAX_LINE: usize = 100;

const INDENT: &str = "  ";

impl Expr {
    /// The expression with line breaks where it is long. What is printed parses again to the same tree.
    pub fn pretty(&self) -> String {
        let print = || {
            let mut out = String::new();
            push(&mut out, self, 0);
            out
        };
        // Without a thread it is printed on one line, which needs next to no stack.
        self.with_room(print).unwrap_or_else(|_| self.to_string())
    }
}

fn indent(out: &mut String, level: usize) {
    for _ in 0..level {
        out.push_str(INDENT);
    }
}

/// A line that takes no more than [`MAX_LINE`] bytes: all of a long chain at each of its operators would be too much to print.
struct Line(String);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_LINE {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn push(out: &mut String, expr: &Expr, level: usize) {
    let mut line = Line(String::new());
    if write!(line, "{expr}").is_ok() {
        // The peer does not indent a short subquery; its signs stand before what is indented.
        if !matches!(expr.kind, ExprKind::Subquery(_)) {
            indent(out, level);
        }
        out.push_str(&line.0);
        return;
    }
    // Writing to a String does not fail.
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {
            indent(out, level);
            let _ = write!(out, "{expr}");
        }
        ExprKind::Subquery(subquery) => {
            push(out, &subquery.expr, level);
            let _ = write_subquery_suffix(out, subquery);
        }
        ExprKind::Call(call) => {
            indent(out, level);
            let _ = writeln!(out, "{}(", call.function.name);
            for (index, arg) in call.args.iter().enumerate() {
                if index > 0 {
                    out.push_str(",\n");
                }
                push(out, arg, level + 1);
            }
            close(out, level);
        }
        ExprKind::Aggregate(aggregate) => {
            indent(out, level);
            let _ = write_aggregation(out, aggregate);
            out.push_str("(\n");
            if let Some(param) = &aggregate.param {
                push(out, param, level + 1);
                out.push_str(",\n");
            }
            push(out, &aggregate.expr, level + 1);
            close(out, level);
        }
        ExprKind::Binary(binary) => {
            push(out, &binary.lhs, level + 1);
            out.push('\n');
            indent(out, level);
            out.push_str(binary.op.as_str());
            if binary.return_bool {
                out.push_str(" bool");
            }
            if let Some(matching) = &binary.matching {
                let _ = write_matching(out, matching);
            }
            out.push('\n');
            push(out, &binary.rhs, level + 1);
        }
        ExprKind::Unary(unary) => {
            indent(out, level);
            out.push(if unary.is_negative { '-' } else { '+' });
            let mut child = String::new();
            push(&mut child, &unary.expr, level);
            out.push_str(child.trim());
        }
        ExprKind::Paren(inner) => {
            indent(out, level);
            out.push_str("(\n");
            push(out, inner, level + 1);
            close(out, level);
        }
    }
}

fn close(out: &mut String, level: usize) {
    out.push('\n');
    indent(out, level);
    out.push(')');
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn long_expressions_are_split_as_the_peer_splits_them() {
        let name = "a_metric_whose_name_is_so_long_that_two_of_it_do_not_fit_on_a_line";
        for (query, want) in [
            ("sum(rate(up[5m]))by(job)".to_owned(), "sum by (job) (rate(up[5m]))".to_owned()),
            (
                format!("{name} and on(a) rate({name}[5m])"),
                format!("  {name}\nand on (a)\n  rate({name}[5m])"),
            ),
            (
                format!("topk by (a) (5, (-({name} > bool {name})))"),
                format!(
                    "topk by (a) (\n  5,\n  (\n    -(\n        {name}\n      > bool\n        {name}\n    )\n  )\n)"
                ),
            ),
            (
                format!(
                    "label_replace(max_over_time(({name} + {name})[5m:1m] offset 1m), 'a', 'b', 'c', 'd')"
                ),
                format!(
                    "label_replace(\n  max_over_time(\n    (\n        {name}\n      +\n        {name}\n    )[5m:1m] offset 1m\n  ),\n  \"a\",\n  \"b\",\n  \"c\",\n  \"d\"\n)"
                ),
            ),
        ] {
            let expr = parse(&query).unwrap();
            assert_eq!(expr.pretty(), want);
            assert_eq!(parse(&want).unwrap().to_string(), expr.to_string(), "it parses again");
        }
    }
}
