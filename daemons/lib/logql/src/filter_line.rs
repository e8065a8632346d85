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
    negative: bool,
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
        Ok(Self { negative: filter.op.is_negative(), tests })
    }

    /// Whether a line passes.
    pub(crate) fn keeps(&self, line: &[u8]) -> bool {
        self.tests.iter().any(|t| t.matches(line)) != self.negative
    }

    /// Texts that every passing line contains.
    pub(crate) fn needles(&self, out: &mut Vec<Vec<u8>>) {
        let [test] = self.tests.as_slice() else { return };
        if self.negative {
            return;
        }
        match test {
            Test::Literal(finder) => out.push(finder.needle().to_vec()),
            Test::Pattern(pattern) => out.extend(pattern.literals().map(<[u8]>::to_vec)),
            Test::Regex(regex) => out.extend(plain_text(regex.as_str()).map(|t| t.as_bytes().to_vec())),
            Test::Ip(_) => {}
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
}
