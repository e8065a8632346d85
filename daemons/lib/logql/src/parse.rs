//! From text to tree.

use cairn_model::Matcher;

use crate::ast::Expr;

/// Why a text is no query, in Loki's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line, from 1; 0 with a column of 0 when the error has no place.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 && self.column == 0 {
            write!(f, "parse error : {}", self.message)
        } else {
            write!(f, "parse error at line {}, col {}: {}", self.line, self.column, self.message)
        }
    }
}

impl std::error::Error for ParseError {}

/// Reads a query.
///
/// # Errors
/// [`ParseError`].
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let _ = text;
    Err(ParseError { line: 0, column: 0, message: "not built yet".to_owned() })
}

/// Reads a plain stream selector, as the label and series endpoints take it.
///
/// # Errors
/// [`ParseError`].
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let _ = text;
    Err(ParseError { line: 0, column: 0, message: "not built yet".to_owned() })
}
