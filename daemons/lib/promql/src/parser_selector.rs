//! Grammar of selectors: a metric name, matchers in braces, or both.

use cairn_model::{MatchOp, Matcher};

use crate::ast::{BinaryOp, Expr, ExprKind, Extension, VectorSelector};
use crate::error::ParseError;
use crate::parser::Parser;
use crate::parser_expr::string_value;
use crate::token::{Token, TokenKind};

/// The label that holds a metric's name.
pub(crate) const METRIC_NAME: &str = "__name__";

impl Parser<'_> {
    /// `up`, `up{job="a"}`, `{job="a"}`, `{"utf-8 name", job="a"}`, without anything behind.
    pub(crate) fn plain_selector(&mut self) -> Result<Expr, ParseError> {
        let first = self.peek();
        let mut selector = VectorSelector {
            name: None,
            matchers: Vec::new(),
            offset: None,
            at: None,
            extension: Extension::None,
        };
        if first.kind.may_be_metric_name() {
            self.take();
            selector.name = Some(first.text.to_owned());
        } else if first.kind != TokenKind::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        if self.take_if(TokenKind::LeftBrace).is_some() {
            self.matchers(&mut selector)?;
        }
        // The name's own matcher stands last; the order has no meaning.
        if let Some(name) = &selector.name {
            selector.matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok(Expr { span: self.span_from(first.span), kind: ExprKind::Vector(selector) })
    }

    /// Matchers up to and including the closing brace.
    fn matchers(&mut self, selector: &mut VectorSelector) -> Result<(), ParseError> {
        while self.take_if(TokenKind::RightBrace).is_none() {
            let token = self.peek();
            match token.kind {
                TokenKind::Identifier => {
                    self.take();
                    let matcher = self.matcher(token.text.to_owned(), &token)?;
                    selector.matchers.push(matcher);
                }
                TokenKind::String => {
                    self.take();
                    let text = string_value(&token)?;
                    if matches!(self.peek().kind, TokenKind::Comma | TokenKind::RightBrace) {
                        if let Some(name) = &selector.name {
                            return Err(ParseError::at(
                                token.span,
                                format!(
                                    "metric name must not be set twice: {} or {}",
                                    cairn_model::gotext::quote(name),
                                    cairn_model::gotext::quote(&text)
                                ),
                            ));
                        }
                        selector.name = Some(text);
                    } else {
                        let matcher = self.matcher(text, &token)?;
                        selector.matchers.push(matcher);
                    }
                }
                _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
            }
            if self.take_if(TokenKind::Comma).is_none() && self.peek().kind != TokenKind::RightBrace {
                return Err(self.unexpected("label matching", "\",\" or \"}\""));
            }
        }
        Ok(())
    }

    fn matcher(&mut self, name: String, name_token: &Token<'_>) -> Result<Matcher, ParseError> {
        let op = match self.peek().kind {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::RegexEqual => MatchOp::Regex,
            TokenKind::RegexNotEqual => MatchOp::NotRegex,
            _ if name.eq_ignore_ascii_case("or") => {
                // `{a="b" or c="d"}` is Loki's and VictoriaMetrics's, not Prometheus's.
                return Err(ParseError::at(
                    name_token.span,
                    "unexpected identifier \"or\" in label matching, expected \",\" or \"}\"",
                ));
            }
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.take();
        let token = self.peek();
        if token.kind != TokenKind::String {
            return Err(self.unexpected("label matching", "string"));
        }
        self.take();
        Matcher::new(name, op, string_value(&token)?)
            .map_err(|error| ParseError::at(self.span_from(name_token.span), error.to_string()))
    }
}
