//! Makes queries: every construct of the language that both know, nested a few levels deep.
//!
//! | part | file |
//! |---|---|
//! | what a query is, which kinds of vectors and scalars there are | here |
//! | selectors, windows, subqueries, `offset` and `@` | `grammar_selector` |
//! | calls of functions | `grammar_call` |
//! | operators and aggregations | `grammar_operator` |
//! | queries that must be refused | `grammar_wrong` |

use cairn_bench_metrics::noise::Noise;

use crate::dataset::{Metric, Use};
use crate::dialect::literal;
use crate::expr::{Expr, Kind};
use crate::grammar_operator::{ARITHMETIC, COMPARISONS, SETS};

/// How deep vectors are nested.
const MAX_DEPTH: u32 = 4;

/// A maker of queries.
#[derive(Debug)]
pub(crate) struct Grammar<'a> {
    /// Chance.
    pub(crate) noise: Noise,
    /// What there is to ask for.
    pub(crate) metrics: &'a [Metric],
}

impl<'a> Grammar<'a> {
    /// Starts one.
    pub(crate) fn new(seed: u64, metrics: &'a [Metric]) -> Self {
        Self { noise: Noise::new(seed), metrics }
    }

    /// Any query.
    pub(crate) fn query(&mut self) -> Expr {
        let depth = 1 + u32::try_from(self.below(MAX_DEPTH as usize)).unwrap_or(0);
        match self.below(100) {
            0..4 => self.scalar(depth.min(2)),
            4..8 => self.range(depth.min(2), crate::dialect::Border::Narrowed, None),
            8 => Expr::word(Kind::Text, "string", self.text()),
            9..16 => self.wrong(depth),
            _ => self.vector(depth),
        }
    }

    /// Any instant vector.
    pub(crate) fn vector(&mut self, depth: u32) -> Expr {
        if depth == 0 {
            return if self.chance(0.95) { self.selector(None) } else { self.vector_of_scalar(0) };
        }
        match self.below(100) {
            0..6 => self.selector(None),
            6..9 => self.vector_of_scalar(depth - 1),
            9..24 => self.call_of_vector(depth - 1),
            24..52 => self.call_of_range(depth - 1),
            52..57 => self.histogram_quantile(depth - 1),
            57..62 => self.label_call(depth - 1),
            62..80 => self.aggregation(depth - 1),
            80..96 => self.binary(depth - 1),
            96..98 => self.negated(depth - 1),
            _ => self.vector(depth - 1).in_parens(),
        }
    }

    /// Any scalar.
    pub(crate) fn scalar(&mut self, depth: u32) -> Expr {
        if depth == 0 || self.chance(0.6) {
            return self.number();
        }
        match self.below(8) {
            0 => Expr::word(Kind::Scalar, "time", "time()"),
            1 => Expr::word(Kind::Scalar, "pi", "pi()"),
            2..5 => Expr::new(Kind::Scalar, "scalar").text("scalar(").expr(self.vector(depth - 1)).text(")"),
            5 => Expr::new(Kind::Scalar, "unary").text("-").expr(self.operand(Kind::Scalar, depth - 1)),
            _ => self.scalar_binary(depth - 1),
        }
    }

    /// A number as a literal.
    pub(crate) fn number(&mut self) -> Expr {
        const NUMBERS: [&str; 26] = [
            "0", "1", "2", "3", "10", "0.5", ".25", "5.", "1e3", "0x1F", "010", "1.5e-3", "-1", "-0.5", "+2",
            "7", "60", "300", "3600", "0.9", "0.99", "100", "Inf", "-Inf", "NaN", "1e300",
        ];
        Expr::word(Kind::Scalar, "number", self.pick(&NUMBERS))
    }

    /// A number of a list, or seldom any scalar.
    pub(crate) fn parameter(&mut self, usual: &[&'static str], depth: u32) -> Expr {
        if self.chance(0.85) {
            Expr::word(Kind::Scalar, "number", self.pick(usual))
        } else {
            self.scalar(depth)
        }
    }

    /// An operand: in parentheses where it would otherwise be torn apart.
    pub(crate) fn operand(&mut self, kind: Kind, depth: u32) -> Expr {
        let expr = if kind == Kind::Scalar { self.scalar(depth) } else { self.vector(depth) };
        let head = expr.head.as_str();
        let is_loose = ["binary", "unary", "chain", "number"].contains(&head) || is_operator(head);
        if is_loose || self.chance(0.05) { expr.in_parens() } else { expr }
    }

    fn vector_of_scalar(&mut self, depth: u32) -> Expr {
        Expr::new(Kind::Vector, "vector").text("vector(").expr(self.scalar(depth)).text(")")
    }

    fn negated(&mut self, depth: u32) -> Expr {
        let sign = self.pick(&["-", "-", "+"]);
        Expr::new(Kind::Vector, "unary").text(sign).expr(self.operand(Kind::Vector, depth))
    }

    /// A string literal.
    fn text(&mut self) -> String {
        const TEXTS: [&str; 5] = ["'a'", "\"<b> & c\"", "`raw \\n`", "\"\\u4e16\\x41\\101\"", "\"\""];
        self.pick(&TEXTS).to_owned()
    }

    /// A metric for a use; for any, if none is named.
    pub(crate) fn metric(&mut self, usage: Option<Use>) -> &'a Metric {
        let metrics = self.metrics;
        let fitting: Vec<&Metric> =
            metrics.iter().filter(|metric| usage.is_none_or(|usage| metric.usage == usage)).collect();
        fitting[self.below(fitting.len())]
    }

    /// A label name, mostly one that is there.
    pub(crate) fn label(&mut self) -> String {
        const COMMON: [&str; 8] = ["job", "instance", "job", "instance", "code", "le", "absent", "__name__"];
        if self.chance(0.7) {
            return self.pick(&COMMON).to_owned();
        }
        let metric = self.metric(None);
        let at = self.below(metric.labels.len().max(1));
        metric.labels.keys().nth(at).cloned().unwrap_or_else(|| "job".to_owned())
    }

    /// Up to three label names in parentheses.
    pub(crate) fn label_list(&mut self) -> String {
        let n = self.pick(&[0, 1, 1, 2, 2, 3]);
        let labels: Vec<String> = (0..n).map(|_| self.label()).collect();
        let comma = if n > 0 && self.chance(0.05) { "," } else { "" };
        format!("({}{comma})", labels.join(", "))
    }

    /// A string literal of one of these.
    pub(crate) fn literal_of(&mut self, texts: &[&'static str]) -> String {
        literal(self.pick(texts))
    }

    /// Anything from 0 to before `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.noise.draw() % n.max(1) as u64).unwrap_or(0)
    }

    /// True with a probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.noise.unit() < probability
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Whether a head is that of an operator between two sides.
pub(crate) fn is_operator(head: &str) -> bool {
    ARITHMETIC.contains(&head) || COMPARISONS.contains(&head) || SETS.contains(&head)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dataset::Dataset;
    use crate::dialect::Dialect;

    fn heads(expr: &Expr, found: &mut BTreeSet<String>) {
        found.insert(expr.head.clone());
        expr.children().for_each(|child| heads(child, found));
    }

    #[test]
    fn whole_language_comes_up_and_runs_repeat() {
        let data = Dataset::new(1);
        let mut grammar = Grammar::new(9, &data.metrics);
        let queries: Vec<Expr> = (0..4000).map(|_| grammar.query()).collect();
        let mut found = BTreeSet::new();
        queries.iter().for_each(|query| heads(query, &mut found));
        for head in
            ["selector", "subquery", "topk", "and", "histogram_quantile", "absent", "predict_linear", "chain"]
        {
            assert!(found.contains(head), "{head} in {found:?}");
        }
        let mut again = Grammar::new(9, &data.metrics);
        assert!(
            queries.iter().all(|query| again.query().written(Dialect::Peer) == query.written(Dialect::Peer))
        );
    }
}
