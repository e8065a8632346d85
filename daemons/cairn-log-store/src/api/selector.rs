//! Selectors without a pipeline, as the label, series and volume endpoints take them.

use cairn_logql::Expr;
use cairn_model::Matcher;

use super::error::ApiError;

/// Reads a selector. A query that does more than select streams is refused.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, ApiError> {
    match cairn_logql::parse(text) {
        Ok(Expr::Log(log)) if log.stages.is_empty() => Ok(log.matchers),
        Ok(_) => Err(ApiError::bad_request("only label matchers are supported")),
        Err(error) => Err(ApiError::bad_request(error.to_string())),
    }
}

/// Like [`parse`], but `{}` selects everything.
pub(super) fn parse_or_all(text: &str) -> Result<Vec<Matcher>, ApiError> {
    let is_empty_braces = text.chars().filter(|c| !c.is_whitespace()).eq("{}".chars());
    if is_empty_braces { Ok(Vec::new()) } else { parse(text) }
}

/// Like [`parse`], but no text at all selects everything.
pub(super) fn parse_optional(text: &str) -> Result<Vec<Matcher>, ApiError> {
    if text.is_empty() { Ok(Vec::new()) } else { parse(text) }
}
