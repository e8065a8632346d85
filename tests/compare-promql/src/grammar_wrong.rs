//! Queries that must be refused, and refused alike.

use crate::dialect::{Border, Text};
use crate::expr::{Expr, Kind, Part};
use crate::grammar::Grammar;

/// `V` stands for a vector, `R` for a range vector, `S` for a scalar.
const REFUSED: [&str; 62] = [
    "abs(S)",
    "abs(R)",
    "abs()",
    "abs(V, V)",
    "rate(V)",
    "sum(R)",
    "sum(S)",
    "sum()",
    "R + 1",
    "R + V",
    "V + \"a\"",
    "\"a\" + \"b\"",
    "nosuch(V)",
    "1 > 2",
    "S and S",
    "V and S",
    "V and bool V",
    "V + bool V",
    "{}",
    "{__name__=~\".*\"}",
    "up{job=~\"(\"}",
    "up{job=\"a\"",
    "up{job}",
    "up{1=\"a\"}",
    "topk(V)",
    "topk(NaN, V)",
    "topk(1e30, V)",
    "topk(\"a\", V)",
    "quantile(V, V)",
    "quantile(0.5)",
    "count_values(1, V)",
    "count_values(\"\\xff\", V)",
    "label_replace(V, \"a\", \"$1\", \"b\", \"(\")",
    "label_replace(V, \"a\", \"$1\", \"b\")",
    "label_join(V, \"a\")",
    "label_join(V, \"a\", 1)",
    "-\"a\"",
    "-R",
    "V + on (job) group_left (job) V",
    "V or on (job) group_left V",
    "S + on (job) V",
    "scalar(S)",
    "vector(V)",
    "time(1)",
    "absent(R)",
    "absent_over_time(V)",
    "V[5m",
    "(V",
    "V)",
    "V +",
    "* V",
    "V V",
    "R[5m]",
    "R[5m:1m]",
    "up offset 5m offset 1m",
    "up @ 1 @ 2",
    "up offset",
    "up[5m] @ x",
    "up[0s]",
    "up[5m:0s]",
    "1x",
    "sum by (V",
];

/// Words that do not belong anywhere, or only somewhere else.
const WORDS: [&str; 14] = [
    ")",
    "(",
    ",",
    " by (job) ",
    " offset ",
    "[5m]",
    " bool ",
    "{}",
    " 1 ",
    " == ",
    " \"a\" ",
    " @ ",
    "#",
    " or ",
];

impl Grammar<'_> {
    /// A query with a mistake, mostly: some turn out to be right.
    pub(crate) fn wrong(&mut self, depth: u32) -> Expr {
        let mut expr = if self.chance(0.4) { self.refused(depth.min(2)) } else { self.mutated(depth) };
        "wrong".clone_into(&mut expr.head);
        expr
    }

    fn refused(&mut self, depth: u32) -> Expr {
        let form = self.pick(&REFUSED);
        let mut expr = Expr::new(Kind::Vector, "wrong");
        for c in form.chars() {
            expr = match c {
                'V' => expr.expr(self.operand(Kind::Vector, depth)),
                'R' => expr.expr(self.range(depth, Border::Narrowed, None)),
                'S' => expr.expr(self.operand(Kind::Scalar, depth)),
                c => expr.text(c.to_string()),
            };
        }
        expr
    }

    /// A right query with one piece lost, doubled, or another one put in.
    fn mutated(&mut self, depth: u32) -> Expr {
        let mut expr = self.vector(depth);
        match self.inner(&expr).filter(|_| self.chance(0.6)) {
            Some(at) => {
                if let Part::Expr(inner) = &mut expr.parts[at] {
                    self.spoil(inner);
                }
            }
            None => self.spoil(&mut expr),
        }
        expr
    }

    fn inner(&mut self, expr: &Expr) -> Option<usize> {
        let places: Vec<usize> =
            (0..expr.parts.len()).filter(|at| matches!(expr.parts[*at], Part::Expr(_))).collect();
        (!places.is_empty()).then(|| places[self.below(places.len())])
    }

    fn spoil(&mut self, expr: &mut Expr) {
        // What is written in two ways stays: a mistake in it would be two different ones.
        let is_same = |part: &Part| !matches!(part, Part::Text(Text::Each(..)));
        let places: Vec<usize> = (0..expr.parts.len()).filter(|at| is_same(&expr.parts[*at])).collect();
        if places.is_empty() {
            return;
        }
        let at = places[self.below(places.len())];
        match self.below(3) {
            0 => drop(expr.parts.remove(at)),
            1 => expr.parts.insert(at, expr.parts[at].clone()),
            _ => {
                let word = self.pick(&WORDS);
                expr.parts.insert(at, Part::Text(Text::Same(word.into())));
            }
        }
        "wrong".clone_into(&mut expr.head);
    }
}
