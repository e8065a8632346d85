//! One test on one label.

use std::fmt;

use crate::goregex::{self, Outline, PatternError};
use crate::gotext::quote_to;
use crate::labels::Labels;

/// The four ways a label can be tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl MatchOp {
    /// As written in a selector.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }

    /// Whether the test is a negation (`!=`, `!~`).
    pub fn is_negative(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotRegex)
    }
}

/// `name op "value"`, with the regular expression compiled once.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<regex::Regex>,
    outline: Outline,
}

impl Matcher {
    /// Compiles a matcher. A missing label is tested as the empty string.
    ///
    /// # Errors
    /// [`PatternError`], worded as Go words it, when `op` is a regular expression that does not compile.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, PatternError> {
        let value = value.into();
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(goregex::compile_anchored(&value)?),
        };
        let outline = if regex.is_some() { goregex::outline(&value) } else { Outline::default() };
        Ok(Self { name: name.into(), op, value, regex, outline })
    }

    /// The matcher `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        Self { name, op: MatchOp::Equal, value, regex: None, outline: Outline::default() }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of test.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The text compared with, or the pattern as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What the texts look like that a pattern matches, whether the matcher lets them in or keeps them out. Says nothing
    /// for a matcher without a pattern.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Whether a label with this value passes.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => unreachable!("new() compiles every pattern"),
        }
    }

    /// Whether a series without this label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Whether the label set passes this one test.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.value(&self.name))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.op.as_str())?;
        quote_to(f, &self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regex_is_anchored_and_dot_takes_newline() {
        let matcher = Matcher::new("a", MatchOp::Regex, "b.*").unwrap();
        assert!(matcher.matches("b\nx") && !matcher.matches("ab"));
    }

    #[test]
    fn missing_label_is_the_empty_string() {
        for (op, value, want) in [
            (MatchOp::Equal, "", true),
            (MatchOp::NotEqual, "x", true),
            (MatchOp::Regex, ".*", true),
            (MatchOp::Regex, ".+", false),
            (MatchOp::NotRegex, "x", true),
        ] {
            assert_eq!(Matcher::new("a", op, value).unwrap().matches_empty(), want, "{op:?} {value}");
        }
    }
}
