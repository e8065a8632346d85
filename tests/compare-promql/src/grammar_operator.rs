//! Operators and aggregations.

use crate::dialect::{self, Border};
use crate::expr::{Expr, Kind};
use crate::grammar::Grammar;

pub(crate) const ARITHMETIC: [&str; 7] = ["+", "-", "*", "/", "%", "^", "atan2"];
pub(crate) const COMPARISONS: [&str; 6] = ["==", "!=", ">", "<", ">=", "<="];
pub(crate) const SETS: [&str; 3] = ["and", "or", "unless"];

const AGGREGATIONS: [&str; 14] = [
    "sum",
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "count_values",
    "count",
];

/// Sides that fit each other, with how.
const PAIRS: [(&str, &str, &str); 14] = [
    ("cpu_usage", "cpu_limit", "on (instance) group_left ()"),
    ("cpu_usage", "cpu_limit", "on (instance, job) group_left (zone)"),
    ("cpu_limit", "cpu_usage", "ignoring (cpu, mode) group_right"),
    ("cpu_usage{mode=\"idle\"}", "cpu_usage{mode=\"user\"}", "ignoring (mode)"),
    ("requests_total", "build_info", "on (job, instance) group_left (version, zone)"),
    ("build_info", "requests_total", "on (job, instance) group_right (version, absent)"),
    ("errors_total", "requests_total", "on (job, instance, code) group_right ()"),
    ("errors_total", "requests_total{method=\"GET\"}", "ignoring (method)"),
    ("temperature", "queue_length", ""),
    ("twin_a", "twin_b", ""),
    ("bytes_total", "temperature", "on (job, instance)"),
    ("odd", "odd", "on (label) group_left"),
    ("cpu_usage", "build_info", "on (instance) group_left (version)"),
    ("ratio", "constant", "ignoring ()"),
];

impl Grammar<'_> {
    /// An operator with a vector on one side at least.
    pub(crate) fn binary(&mut self, depth: u32) -> Expr {
        match self.below(10) {
            0..2 => self.with_scalar(depth),
            2 => self.chain(depth),
            3..6 => self.pair(depth),
            _ => {
                let left = self.operand(Kind::Vector, depth);
                // Sides of the same making match more often than not.
                let right = if self.chance(0.3) { left.clone() } else { self.operand(Kind::Vector, depth) };
                let operator = self.any_operator();
                let matching = self.matching_words(operator);
                self.joined(left, operator, &matching, right)
            }
        }
    }

    /// An operator between scalars.
    pub(crate) fn scalar_binary(&mut self, depth: u32) -> Expr {
        let (left, right) = (self.operand(Kind::Scalar, depth), self.operand(Kind::Scalar, depth));
        let operator = if self.chance(0.7) {
            self.pick(&ARITHMETIC).to_owned()
        } else {
            format!("{} bool", self.pick(&COMPARISONS))
        };
        Expr::new(Kind::Scalar, "binary").expr(left).text(format!(" {operator} ")).expr(right)
    }

    fn with_scalar(&mut self, depth: u32) -> Expr {
        let (mut left, mut right) = (self.operand(Kind::Vector, depth), self.operand(Kind::Scalar, depth));
        if self.chance(0.4) {
            std::mem::swap(&mut left, &mut right);
        }
        let operator = if self.chance(0.5) { self.pick(&ARITHMETIC) } else { self.pick(&COMPARISONS) };
        let is_bool = COMPARISONS.contains(&operator) && self.chance(0.3);
        self.joined(left, operator, if is_bool { "bool" } else { "" }, right)
    }

    /// Operands without parentheses: precedence.
    fn chain(&mut self, depth: u32) -> Expr {
        let mut chain = Expr::new(Kind::Vector, "chain").expr(self.operand(Kind::Vector, depth));
        for _ in 0..2 {
            // 2.42 needs a call around `atan2`, see `dialect`.
            let operator = Some(self.any_operator()).filter(|operator| *operator != "atan2").unwrap_or("-");
            let kind = if SETS.contains(&operator) || self.chance(0.5) { Kind::Vector } else { Kind::Scalar };
            let sign = if self.chance(0.1) { "-" } else { "" };
            chain = chain.text(format!(" {operator} {sign}")).expr(self.operand(kind, depth));
        }
        chain
    }

    fn pair(&mut self, depth: u32) -> Expr {
        let (left, right, matching) = self.pick(&PAIRS);
        let is_rated = self.chance(0.2);
        let side = |name: &str| {
            let selector = Expr::word(Kind::Vector, "selector", name);
            if !is_rated {
                return selector;
            }
            let range = dialect::range(300, Border::Avoided, false);
            let mut window = Expr::word(Kind::Range, "selector", name).text("[").both(range).text("]");
            window.window.range_ms = Border::Avoided.range_ms(300);
            Expr::new(Kind::Vector, "rate").text("rate(").expr(window).text(")")
        };
        let (left, right) = (side(left), side(right));
        let right = if self.chance(0.1) { self.operand(Kind::Vector, depth) } else { right };
        let mut operator = self.any_operator();
        if matching.contains("group") && SETS.contains(&operator) {
            operator = "*";
        }
        let is_bool = COMPARISONS.contains(&operator) && self.chance(0.3);
        let matching = if is_bool { format!("bool {matching}") } else { matching.to_owned() };
        self.joined(left, operator, &matching, right)
    }

    fn joined(&mut self, left: Expr, operator: &'static str, matching: &str, right: Expr) -> Expr {
        // Upper case is for keywords too.
        let written = if self.chance(0.05) { operator.to_uppercase() } else { operator.to_owned() };
        let words = format!(" {written} {matching} ");
        let joined = Expr::new(Kind::Vector, operator);
        if operator == "atan2" {
            let (open, close) = dialect::without_name();
            return joined.both(open).expr(left).text(words).expr(right).both(close);
        }
        joined.expr(left).text(words).expr(right)
    }

    fn any_operator(&mut self) -> &'static str {
        match self.below(10) {
            0..4 => self.pick(&ARITHMETIC),
            4..7 => self.pick(&COMPARISONS),
            _ => self.pick(&SETS),
        }
    }

    fn matching_words(&mut self, operator: &str) -> String {
        let is_bool = COMPARISONS.contains(&operator) && self.chance(0.3);
        let mut words = if is_bool { "bool ".to_owned() } else { String::new() };
        if self.chance(0.5) {
            words += &format!("{} {} ", self.pick(&["on", "ignoring"]), self.label_list());
            if !SETS.contains(&operator) && self.chance(0.3) {
                words += self.pick(&["group_left", "group_right"]);
                if self.chance(0.5) {
                    words += &self.label_list();
                }
            }
        }
        words
    }

    /// An aggregation.
    pub(crate) fn aggregation(&mut self, depth: u32) -> Expr {
        let name = self.pick(&AGGREGATIONS);
        let grouping = if self.chance(0.75) {
            format!(" {} {} ", self.pick(&["by", "by", "without"]), self.label_list())
        } else {
            String::new()
        };
        let is_before = self.chance(0.5);
        let expr = Expr::new(Kind::Vector, name).text(name);
        let expr = if is_before { expr.text(grouping.clone()) } else { expr }.text("(");
        let expr = match name {
            "topk" | "bottomk" => {
                expr.expr(self.parameter(&["1", "2", "3", "5", "0", "2.9", "-1", "1000"], depth)).text(", ")
            }
            "quantile" => expr
                .expr(self.parameter(&["0.5", "0.9", "0", "1", "0.3", "-0.1", "2", "NaN"], depth))
                .text(", "),
            "count_values" => {
                let label = self.literal_of(&["value", "job", "instance", "v"]);
                expr.text(label).text(", ")
            }
            _ => expr,
        };
        let expr = expr.expr(self.vector(depth)).text(")");
        if is_before { expr } else { expr.text(grouping) }
    }
}
