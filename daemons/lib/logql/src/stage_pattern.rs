//! `| pattern`: captures between literals as labels.

use std::borrow::Cow;

use memchr::memmem::Finder;

use crate::filter_pattern::{Part, cut};
use crate::labelset::LabelSet;
use crate::pipeline::Hints;

/// A compiled `| pattern`.
pub(crate) struct PatternParser {
    /// Must stand at the start of the line.
    prefix: Vec<u8>,
    /// Each capture's name (none for `<_>`) and the literal behind it (none at the end).
    captures: Vec<(Option<String>, Option<Finder<'static>>)>,
}

impl PatternParser {
    /// Compiles the pattern.
    ///
    /// # Errors
    /// A text for the person who asked.
    pub(crate) fn compile(pattern: &str) -> Result<Self, String> {
        let parts = cut(pattern)?;
        let mut parser = Self { prefix: Vec::new(), captures: Vec::new() };
        for part in parts {
            match part {
                Part::Named(name) => {
                    if parser.captures.iter().any(|(n, _)| n.as_ref() == Some(&name)) {
                        return Err(format!("duplicate capture name ({name}): invalid expression"));
                    }
                    parser.captures.push((Some(name), None));
                }
                Part::Unnamed => parser.captures.push((None, None)),
                Part::Literal(text) => match parser.captures.last_mut() {
                    Some((_, literal)) => *literal = Some(Finder::new(text.as_bytes()).into_owned()),
                    None => parser.prefix = text.into_bytes(),
                },
            }
        }
        if parser.captures.iter().all(|(name, _)| name.is_none()) {
            return Err("at least one capture is required".to_owned());
        }
        Ok(parser)
    }

    /// Sets the labels of a line. A capture goes to the next literal; when that is missing it takes the rest and
    /// ends the match.
    pub(crate) fn run(&self, line: &[u8], labels: &mut LabelSet<'_>, hints: &Hints) {
        let Some(mut rest) = line.strip_prefix(self.prefix.as_slice()) else { return };
        if line.is_empty() {
            return;
        }
        for (name, literal) in &self.captures {
            let found = literal.as_ref().and_then(|l| l.find(rest).map(|at| (at, at + l.needle().len())));
            let (end, next) = found.unwrap_or((rest.len(), rest.len()));
            if let Some(name) = name {
                let name = labels.parsed_name(Cow::Borrowed(name));
                if hints.wants(&name) {
                    labels.set(&name, &String::from_utf8_lossy(&rest[..end]));
                }
            }
            if found.is_none() {
                return;
            }
            rest = &rest[next..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let fail = |pattern: &str| PatternParser::compile(pattern).err().unwrap();
        assert_eq!(fail("<a><b>"), "found consecutive capture '<a><b>': invalid expression");
        assert_eq!(fail("<a> <a>"), "duplicate capture name (a): invalid expression");
        assert_eq!(fail("x <_>"), "at least one capture is required");
    }
}
