//! Calls of functions, all that 2.42 has.

use crate::dataset::Use;
use crate::dialect::{Border, Text};
use crate::expr::{Expr, Kind};
use crate::grammar::Grammar;

const OF_VECTOR: [&str; 42] = [
    "abs",
    "ceil",
    "floor",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "absent",
    "sort",
    "sort_desc",
    "timestamp",
    "timestamp",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
    "histogram_count",
    "histogram_sum",
    "round",
    "clamp",
    "clamp_min",
    "clamp_max",
];

/// They divide by their range.
const RATES: [&str; 3] = ["rate", "increase", "delta"];

const OVER_RANGE: [&str; 19] = [
    "avg_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
    "changes",
    "resets",
    "irate",
    "idelta",
    "deriv",
    "quantile_over_time",
    "predict_linear",
    "holt_winters",
    "last_over_time",
];

const QUANTILES: [&str; 9] = ["0.5", "0.9", "0.99", "0", "1", "0.25", "-1", "1.5", "NaN"];
const SMOOTHING: [&str; 5] = ["0.5", "0.1", "0.9", "0.3", "1"];

impl Grammar<'_> {
    /// Of an instant vector.
    pub(crate) fn call_of_vector(&mut self, depth: u32) -> Expr {
        let name = self.pick(&OF_VECTOR);
        let is_date = name.starts_with("day") || ["minute", "hour", "month", "year"].contains(&name);
        let call = Expr::new(Kind::Vector, name).text(format!("{name}("));
        if is_date && self.chance(0.2) {
            return call.text(")");
        }
        // Dates of dates; sample times of samples.
        let call = match name {
            _ if is_date && self.chance(0.5) => call.text("event_time_seconds"),
            "timestamp" if self.chance(0.6) => call.expr(self.selector(None)),
            _ => call.expr(self.vector(depth)),
        };
        let scalar = &["0", "1", "-1", "0.5", "3", "10", "NaN", "Inf"];
        let call = match name {
            "round" if self.chance(0.5) => {
                call.text(", ").expr(self.parameter(&["0.5", "10", "0.1", "3", "-2", "0", "1e-3"], depth))
            }
            "clamp" => call
                .text(", ")
                .expr(self.parameter(scalar, depth))
                .text(", ")
                .expr(self.parameter(scalar, depth)),
            "clamp_min" | "clamp_max" => call.text(", ").expr(self.parameter(scalar, depth)),
            _ => call,
        };
        call.text(")")
    }

    /// Of a range vector.
    pub(crate) fn call_of_range(&mut self, depth: u32) -> Expr {
        if self.chance(0.35) {
            let name = self.pick(&RATES);
            let usage = if self.chance(0.8) { Some(Use::Counter) } else { None };
            let range = self.range(depth, Border::Avoided, usage);
            return Expr::new(Kind::Vector, name).text(format!("{name}(")).expr(range).text(")");
        }
        let name = self.pick(&OVER_RANGE);
        let call = Expr::new(Kind::Vector, name);
        let call = match name {
            "holt_winters" => {
                call.both(Text::Each("double_exponential_smoothing".to_owned(), name.to_owned())).text("(")
            }
            _ => call.text(name).text("("),
        };
        let call = match name {
            "quantile_over_time" => call.expr(self.parameter(&QUANTILES, depth)).text(", "),
            _ => call,
        };
        let usage = if name.starts_with('i') && self.chance(0.5) { Some(Use::Counter) } else { None };
        let call = call.expr(self.range(depth, Border::Narrowed, usage));
        let call = match name {
            "predict_linear" => call.text(", ").expr(self.parameter(&["60", "3600", "-300", "0"], depth)),
            "holt_winters" => {
                let (smoothing, trend) =
                    (self.parameter(&SMOOTHING, depth), self.parameter(&SMOOTHING, depth));
                call.text(", ").expr(smoothing).text(", ").expr(trend)
            }
            _ => call,
        };
        call.text(")")
    }

    /// `histogram_quantile` of buckets, mostly; `histogram_fraction`, which knows no classic ones, seldom.
    pub(crate) fn histogram_quantile(&mut self, depth: u32) -> Expr {
        let buckets = match self.below(10) {
            0..3 => self.selector(Some(Use::Buckets)),
            3..6 => {
                let range = self.range(0, Border::Avoided, Some(Use::Buckets));
                Expr::new(Kind::Vector, "rate").text("rate(").expr(range).text(")")
            }
            6..9 => {
                let range = self.range(0, Border::Avoided, Some(Use::Buckets));
                let rate = Expr::new(Kind::Vector, "increase").text("increase(").expr(range).text(")");
                let by = self.pick(&["le", "le, job", "job, le", "job"]);
                Expr::new(Kind::Vector, "sum").text(format!("sum by ({by}) (")).expr(rate).text(")")
            }
            _ => self.vector(depth),
        };
        let call = Expr::new(Kind::Vector, "histogram_quantile").text("histogram_quantile(");
        call.expr(self.parameter(&QUANTILES, depth)).text(", ").expr(buckets).text(")")
    }

    /// `label_replace` and `label_join`.
    pub(crate) fn label_call(&mut self, depth: u32) -> Expr {
        let targets = &["job", "new", "instance", "__name__", "code", "le"];
        let sources = &["job", "instance", "absent", "__name__", "code", "label"];
        let vector = self.vector(depth);
        if self.chance(0.6) {
            let call = Expr::new(Kind::Vector, "label_replace").text("label_replace(").expr(vector);
            let target = self.literal_of(targets);
            let replacement =
                self.literal_of(&["$1", "${1}x", "fixed", "", "$0-$2", "$$1", "a${name}", "ü$1"]);
            let source = self.literal_of(sources);
            let pattern =
                self.pick(&["(.*)", "(.*):.*", "", "a.*", "(?P<name>[a-z]+).*", "(.)(.*)", "([0-9])+"]);
            let call = call.text(format!(", {target}, {replacement}, {source}, "));
            return call.both(crate::dialect::regex(pattern)).text(")");
        }
        let mut call = Expr::new(Kind::Vector, "label_join").text("label_join(").expr(vector);
        let (target, separator) = (self.literal_of(targets), self.literal_of(&["-", "", "::"]));
        call = call.text(format!(", {target}, {separator}"));
        for _ in 0..self.below(4) {
            let source = self.literal_of(sources);
            call = call.text(format!(", {source}"));
        }
        call.text(")")
    }
}
