//! Line filters: `|=`, `!=`, `|~`, `!~`, `|>`, `!>` with their `or` chains and `ip(...)`.

use cairn_model::goregex;
use memchr::memmem::Finder;

use crate::ast::{LineFilter, LineOp, LineText};
use crate::filter_ip::IpPattern;
use crate::filter_pattern::LinePattern;

enum Test {
    Literal(Box<Finder<'static>>),
    Regex(regex::bytes::Regex),
    Pattern(LinePattern),
    Ip(IpPattern),
}

impl Test {
    fn matches(&self, line: &[u8]) -> bool {
        match self {
            Self::Literal(finder) => finder.find(line).is_some(),
            Self::Regex(regex) => regex.is_match(line),
            Self::Pattern(pattern) => pattern.matches(line),
            Self::Ip(pattern) => pattern.is_in(line),
        }
    }
}

/// A line filter, compiled once per query.
pub(crate) struct CompiledLineFilter {
    op: LineOp,
    tests: Vec<Test>,
}

impl CompiledLineFilter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// What is wrong with one of its texts.
    pub(crate) fn compile(filter: &LineFilter) -> Result<Self, String> {
        let test = |text: &LineText| match (filter.op, text) {
            (LineOp::Contains | LineOp::NotContains, LineText::Ip(pattern)) => IpPattern::parse(pattern)
                .map(Test::Ip)
                .ok_or_else(|| format!("ip: invalid pattern: {}", cairn_model::gotext::quote(pattern))),
            (_, LineText::Ip(_)) => Err("ip: invalid operation".to_owned()),
            (LineOp::Contains | LineOp::NotContains, LineText::Text(text)) => {
                Ok(Test::Literal(Box::new(Finder::new(text.as_bytes()).into_owned())))
            }
            (LineOp::Regex | LineOp::NotRegex, LineText::Text(text)) => {
                goregex::compile_search_bytes(text).map(Test::Regex).map_err(|e| e.to_string())
            }
            (LineOp::Pattern | LineOp::NotPattern, LineText::Text(text)) => {
                LinePattern::compile(text).map(Test::Pattern)
            }
        };
        let tests = filter.alternatives.iter().map(test).collect::<Result<_, _>>()?;
        Ok(Self { op: filter.op, tests })
    }

    /// Whether a line passes.
    pub(crate) fn keeps(&self, line: &[u8]) -> bool {
        self.tests.iter().any(|t| t.matches(line)) != self.op.is_negative()
    }

    /// Texts that every passing line contains, byte for byte. The store skips chunks without them: one text too many
    /// loses lines without a word. So each operator decides for itself.
    pub(crate) fn needles(&self, out: &mut Vec<Vec<u8>>) {
        let [test] = self.tests.as_slice() else { return };
        match (self.op, test) {
            (LineOp::Contains, Test::Literal(finder)) => out.push(finder.needle().to_vec()),
            (LineOp::Regex, Test::Regex(regex)) => {
                out.extend(plain_text(regex.as_str()).map(|text| text.as_bytes().to_vec()));
            }
            (LineOp::Pattern, Test::Pattern(pattern)) => {
                out.extend(pattern.literals().map(<[u8]>::to_vec));
            }
            (LineOp::Contains | LineOp::Regex | LineOp::Pattern, _)
            | (LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern, _) => {}
        }
    }
}

/// The pattern itself, when it means just its text.
fn plain_text(pattern: &str) -> Option<&str> {
    let is_plain = |c: char| {
        c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '/' | ':' | '=' | '"' | ',' | ';' | '@')
    };
    (!pattern.is_empty() && pattern.chars().all(is_plain)).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(op: LineOp, texts: &[&str], line: &str) -> bool {
        let alternatives = texts.iter().map(|t| LineText::Text((*t).to_owned())).collect();
        CompiledLineFilter::compile(&LineFilter { op, alternatives }).unwrap().keeps(line.as_bytes())
    }

    #[test]
    fn alternatives_and_negation() {
        assert!(keeps(LineOp::Contains, &["x", "b"], "abc"));
        assert!(!keeps(LineOp::NotContains, &["x", "b"], "abc"));
        assert!(keeps(LineOp::NotRegex, &["^b"], "abc"));
        assert!(keeps(LineOp::Contains, &[""], "abc"));
        assert!(!keeps(LineOp::NotContains, &[""], ""));
        assert!(keeps(LineOp::NotPattern, &["<_>x<_>"], "abc"));
    }

    #[test]
    fn every_kept_line_contains_the_needles() {
        let texts = ["", "error", "Error", "(?i)error", "e.ror", "err|or", "<_>error<_>", "<_> of <_>"];
        let lines = ["", "an error", "an ERROR of mine", "Error", "e ror", "or", "x of y", "<_>error<_>"];
        let mut n_needles = 0;
        for op in LineOp::ALL {
            for text in texts {
                let filter = LineFilter { op, alternatives: vec![LineText::Text(text.to_owned())] };
                let Ok(filter) = CompiledLineFilter::compile(&filter) else { continue };
                let mut needles = Vec::new();
                filter.needles(&mut needles);
                n_needles += needles.len();
                for line in lines.iter().filter(|line| filter.keeps(line.as_bytes())) {
                    for needle in &needles {
                        let is_there = Finder::new(needle).find(line.as_bytes()).is_some();
                        assert!(is_there, "{op:?} {text:?} keeps {line:?}");
                    }
                }
            }
        }
        assert!(n_needles > 5, "{n_needles}");
    }
}
