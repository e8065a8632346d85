//! Selectors, windows, subqueries, and what moves them in time.

use crate::dataset::{Metric, Use};
use crate::dialect::{self, Border, Text, literal, regex};
use crate::expr::{AT_END, AT_START, Expr, Kind};
use crate::grammar::Grammar;
use crate::moment::{any_time, seconds};

/// Ranges of windows in seconds; some are multiples of the samples' distance, some are not.
const RANGES: [u64; 14] = [1, 15, 30, 45, 60, 90, 120, 240, 300, 301, 420, 900, 3600, 7200];
/// Ranges and steps of subqueries: not more than some dozens of steps.
const SUBQUERIES: [(u64, u64); 10] = [
    (60, 15),
    (300, 15),
    (300, 60),
    (600, 60),
    (600, 37),
    (1800, 60),
    (1800, 300),
    (3600, 120),
    (3600, 900),
    (7200, 600),
];
const OFFSETS: [u64; 8] = [1, 15, 60, 300, 301, 900, 3600, 7200];

impl Grammar<'_> {
    /// An instant selector.
    pub(crate) fn selector(&mut self, usage: Option<Use>) -> Expr {
        let expr = self.matching(Kind::Vector, usage);
        self.moved(expr)
    }

    /// A range vector: a window of a selector, or a subquery.
    pub(crate) fn range(&mut self, depth: u32, border: Border, usage: Option<Use>) -> Expr {
        if depth > 0 && self.chance(0.35) {
            return self.subquery(depth - 1, border);
        }
        let as_number = self.chance(0.05);
        let seconds = self.pick(&RANGES);
        let range = dialect::range(seconds, border, as_number);
        let mut expr = self.matching(Kind::Range, usage).text("[").both(range).text("]");
        expr.window.range_ms = border.range_ms(seconds);
        self.moved(expr)
    }

    fn subquery(&mut self, depth: u32, border: Border) -> Expr {
        let (range, step) = self.pick(&SUBQUERIES);
        let as_number = self.chance(0.05);
        let inner = self.operand(Kind::Vector, depth);
        // Without a step, it is the minute of `evaluation_interval`.
        let step = if range >= 300 && self.chance(0.15) {
            Text::Same("".into())
        } else {
            dialect::seconds(step, as_number)
        };
        let text = dialect::range(range, border, as_number);
        let expr = Expr::new(Kind::Range, "subquery").expr(inner);
        let mut expr = expr.text("[").both(text).text(":").both(step).text("]");
        expr.window.range_ms = border.range_ms(range);
        self.moved(expr)
    }

    /// A metric with matchers, without anything behind.
    fn matching(&mut self, kind: Kind, usage: Option<Use>) -> Expr {
        if usage.is_none() && self.chance(0.04) {
            return self.nameless(kind);
        }
        let metric = self.metric(usage);
        let mut matchers = Vec::new();
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2]) {
            matchers.push(self.matcher(metric));
        }
        let expr = Expr::new(kind, "selector");
        let name = metric.name.to_owned();
        let expr = match self.below(20) {
            0 => {
                let comma = if matchers.is_empty() { "" } else { "," };
                expr.both(Text::Each(format!("{{{}{comma}", literal(&name)), format!(" {name}{{")))
            }
            1 => {
                let comma = if matchers.is_empty() { "" } else { "," };
                expr.text(format!("{{__name__={}{comma}", literal(&name)))
            }
            2 => expr.text(name).text("{"),
            _ if matchers.is_empty() => return expr.text(name),
            _ => expr.text(name).text("{"),
        };
        let comma = if !matchers.is_empty() && self.chance(0.1) { "," } else { "" };
        let n = matchers.len();
        let expr = matchers.into_iter().enumerate().fold(expr, |expr, (index, (label, value))| {
            expr.text(label).both(value).text(if index + 1 < n { "," } else { comma })
        });
        expr.text("}")
    }

    /// Several metrics at once.
    fn nameless(&mut self, kind: Kind) -> Expr {
        const SELECTORS: [&str; 6] = [
            "{__name__=~\"twin_.*\"}",
            "{__name__=~\"shift_.+\"}",
            "{job=\"batch\"}",
            "{job=\"api\",instance=\"a:80\",__name__!~\".*_bucket\"}",
            "{__name__=~\"(late|early|once)\", run!=\"2\"}",
            "{__name__=\"nothing\"}",
        ];
        Expr::word(kind, "selector", self.pick(&SELECTORS))
    }

    /// A label with its operator, and the value.
    fn matcher(&mut self, metric: &Metric) -> (String, Text) {
        let label = self.below(metric.labels.len().max(1));
        let Some((label, values)) = metric.labels.iter().nth(label).filter(|_| self.chance(0.9)) else {
            let text = self.pick(&[
                "absent=\"\"",
                "absent!=\"\"",
                "absent=~\".*\"",
                "job!~\"\"",
                "job=~\"a.*|w.+\"",
            ]);
            return (text.to_owned(), Text::Same("".into()));
        };
        let value = values.iter().nth(self.below(values.len())).cloned().unwrap_or_default();
        let operator = self.pick(&["=", "=", "!=", "=~", "!~"]);
        if operator.len() == 1 || operator == "!=" {
            return (format!("{label}{operator}"), Text::Same(literal(&value).into()));
        }
        let first: String = value.chars().filter(|c| c.is_alphanumeric()).take(1).collect();
        let pattern = match self.below(7) {
            0 => format!("{first}.*"),
            1 => format!(".*{first}"),
            2 => format!(".*{first}.*"),
            3 => ".+".to_owned(),
            4 => format!("(?i:{first}.*|nothing)"),
            5 => "[a-z].*|[0-9]+".to_owned(),
            _ => format!("{first}|.{{3}}|c:8[0-9]"),
        };
        (format!("{label}{operator}"), regex(&pattern))
    }

    /// Perhaps with `offset`, `@`, or both in any order.
    fn moved(&mut self, expr: Expr) -> Expr {
        match self.below(20) {
            0..2 => self.offset(expr),
            2 => self.at(expr),
            3 => {
                let expr = self.offset(expr);
                self.at(expr)
            }
            4 => {
                let expr = self.at(expr);
                self.offset(expr)
            }
            _ => expr,
        }
    }

    fn offset(&mut self, expr: Expr) -> Expr {
        let as_number = self.chance(0.05);
        let sign = self.pick(&["", "", "-"]);
        let seconds = self.pick(&OFFSETS);
        let mut expr = expr.text(format!(" offset {sign}")).both(dialect::seconds(seconds, as_number));
        let ms = i64::try_from(seconds * 1000).unwrap_or(0);
        expr.window.offset_ms = if sign.is_empty() { ms } else { -ms };
        expr
    }

    fn at(&mut self, expr: Expr) -> Expr {
        match self.below(5) {
            0 => expr.text(AT_START),
            1 => expr.text(AT_END),
            _ => {
                let time = any_time(&mut self.noise);
                let mut expr = expr.text(format!(" @ {}", seconds(time)));
                expr.window.at_ms = Some(time);
                expr
            }
        }
    }
}
