//! A query as it was made: text in two dialects, and the queries inside, each of which can be asked alone.

use crate::dialect::{Dialect, Text};
use crate::moment::seconds;

/// At the begin of the query.
pub(crate) const AT_START: &str = " @ start()";
/// At its end.
pub(crate) const AT_END: &str = " @ end()";

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An instant vector.
    Vector,
    /// A scalar.
    Scalar,
    /// A range vector.
    Range,
    /// A string.
    Text,
}

/// Which stretch of time an expression looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// Its range as Cairn reads it.
    pub(crate) range_ms: i64,
    /// `offset`.
    pub(crate) offset_ms: i64,
    /// `@` with a time.
    pub(crate) at_ms: Option<i64>,
}

impl Window {
    /// Its ends when it is evaluated at a time. (`@ start()` is that time in an instant query.)
    pub(crate) fn ends(&self, time: i64) -> (i64, i64) {
        let end = self.at_ms.unwrap_or(time) - self.offset_ms;
        (end - self.range_ms, end)
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    /// What it gives.
    pub(crate) kind: Kind,
    /// Its outermost operation: a function's or an aggregation's name, an operator, `selector`, `subquery`, `()`.
    pub(crate) head: String,
    /// Of a selector or subquery: when.
    pub(crate) window: Window,
    /// Text and expressions, in the order in which they are written.
    pub(crate) parts: Vec<Part>,
}

/// A piece of an expression.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Words.
    Text(Text),
    /// An expression inside.
    Expr(Expr),
}

impl Expr {
    /// An expression that begins with nothing.
    pub(crate) fn new(kind: Kind, head: impl Into<String>) -> Self {
        Self { kind, head: head.into(), window: Window::default(), parts: Vec::new() }
    }

    /// An expression of a few words.
    pub(crate) fn word(kind: Kind, head: &str, text: impl Into<String>) -> Self {
        Self::new(kind, head).text(text)
    }

    /// Followed by words.
    pub(crate) fn text(self, text: impl Into<String>) -> Self {
        self.both(Text::Same(text.into().into()))
    }

    /// Followed by words that differ between the dialects.
    pub(crate) fn both(mut self, text: Text) -> Self {
        self.parts.push(Part::Text(text));
        self
    }

    /// Followed by an expression.
    pub(crate) fn expr(mut self, expr: Self) -> Self {
        self.parts.push(Part::Expr(expr));
        self
    }

    /// In parentheses.
    pub(crate) fn in_parens(self) -> Self {
        Self::new(self.kind, "()").text("(").expr(self).text(")")
    }

    /// The expressions directly inside.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Self> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expr(expr) => Some(expr),
            Part::Text(_) => None,
        })
    }

    /// The same with `@ start()` and `@ end()` as times, so that it means the same when it is asked at other ones.
    pub(crate) fn pinned(&self, start: i64, end: i64) -> Self {
        let mut pinned = self.clone();
        for part in &mut pinned.parts {
            match part {
                Part::Expr(expr) => *expr = expr.pinned(start, end),
                Part::Text(text) => {
                    let time = match text.of(Dialect::Cairn) {
                        AT_START => start,
                        AT_END => end,
                        _ => continue,
                    };
                    *text = Text::Same(format!(" @ {}", seconds(time)).into());
                    pinned.window.at_ms = Some(time);
                }
            }
        }
        pinned
    }

    /// Whether it reads so directly, not only inside of an expression in it.
    pub(crate) fn says(&self, words: &str) -> bool {
        let says = |part: &Part| matches!(part, Part::Text(text) if text.of(Dialect::Cairn).contains(words));
        self.parts.iter().any(says)
    }

    /// Its text.
    pub(crate) fn written(&self, dialect: Dialect) -> String {
        let mut out = String::new();
        self.write(dialect, &mut out);
        out
    }

    fn write(&self, dialect: Dialect, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text.of(dialect)),
                Part::Expr(expr) => expr.write(dialect, out),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Border, range};

    #[test]
    fn expression_is_written_in_both_dialects() {
        let window =
            Expr::word(Kind::Range, "selector", "up[").both(range(60, Border::Narrowed, false)).text("]");
        let call = Expr::new(Kind::Vector, "changes").text("changes(").expr(window).text(")");
        assert_eq!(call.written(Dialect::Cairn), "changes(up[1m])");
        assert_eq!(call.written(Dialect::Peer), "changes(up[59s999ms])");
        assert_eq!(call.children().count(), 1);
    }

    #[test]
    fn start_and_end_become_times() {
        let inner = Expr::word(Kind::Vector, "selector", "up").text(AT_END);
        let outer = Expr::new(Kind::Vector, "abs").text("abs(").expr(inner).text(")").pinned(1000, 2500);
        assert_eq!(outer.written(Dialect::Peer), "abs(up @ 2.500)");
        let inner = outer.children().next().unwrap();
        assert_eq!(inner.window.ends(9000), (2500, 2500));
    }
}
