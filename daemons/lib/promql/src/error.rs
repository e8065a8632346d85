//! A query that cannot be parsed.

use crate::ast::Span;

/// Why and where a query cannot be parsed. Prints as Prometheus prints it: `1:4: parse error: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line from 1 and column from 1 (in bytes); absent when the query is empty.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    /// An error about the text at `span`.
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Self {
        Self { position: Some((span.line, span.column)), message: message.into() }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}
