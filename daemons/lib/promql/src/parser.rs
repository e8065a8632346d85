//! From text to tree: the parser's state and entry points. The grammar lies beside: `parser_expr.rs`,
//! `parser_selector.rs`, `parser_duration.rs`; types are checked in `parser_check.rs`.

use cairn_model::Matcher;

use crate::ast::{Expr, ExprKind, Span};
use crate::error::ParseError;
use crate::lexer;
use crate::parser_check;
use crate::token::{Token, TokenKind, Tokens};

/// Deepest nesting of a query in levels of the grammar. Every level costs stack in the parser, the checks and the
/// evaluation, which must do with the 2 MiB of a worker thread; real queries stay below 30.
pub(crate) const MAX_DEPTH: usize = 150;

/// Most levels of the tree. A chain `a + b + c` makes one that is as tall as the chain is long, without any nesting; programs
/// write long ones. Reading, printing, copying and dropping such a tree costs some hundred bytes of stack a level; what costs
/// more gets a stack of its own, see [`tall`](crate::tall).
pub(crate) const MAX_HEIGHT: usize = 1200;

/// Settings of parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Allow the functions and aggregations that Prometheus 3.14 has behind `promql-experimental-functions`. When off
    /// they are refused in Prometheus's words. Experimental modifiers and durations are allowed either way.
    pub experimental_functions: bool,
}

impl Default for ParseOptions {
    /// Everything is allowed.
    fn default() -> Self {
        Self { experimental_functions: true }
    }
}

/// Parses a query and checks its types, with the default options.
///
/// # Errors
/// [`ParseError`] with the place and Prometheus's words.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_with(text, ParseOptions::default())
}

/// Parses a query and checks its types.
///
/// # Errors
/// [`ParseError`] with the place and Prometheus's words.
pub fn parse_with(text: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    let tokens = lexer::tokens(text)?;
    if tokens.tokens.len() == 1 && tokens.broken.is_none() {
        return Err(ParseError { position: None, message: "no expression found in input".to_owned() });
    }
    let mut parser = Parser::new(tokens, options);
    let mut expr = parser.read_all(|parser| parser.expr(0))?;
    parser_check::check(&mut expr)?;
    Ok(expr)
}

/// Parses a plain selector such as `up{job="a"}`: the `match[]` parameter of the HTTP API.
///
/// A selector that every series passes is let through: the caller refuses it in its own words
/// (`match[] must contain at least one non-empty matcher`).
///
/// # Errors
/// [`ParseError`] with the place and Prometheus's words.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(lexer::tokens(text)?, ParseOptions::default());
    let expr = parser.read_all(Parser::plain_selector)?;
    match expr.kind {
        ExprKind::Vector(selector) => {
            parser_check::check_name_set_once(&selector, expr.span)?;
            Ok(selector.matchers)
        }
        _ => unreachable!("plain_selector() makes vector selectors"),
    }
}

/// Tokens with a place in them, and the depth of the node being read.
pub(crate) struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    /// What is wrong with the text after the last token.
    broken: Option<ParseError>,
    at: usize,
    depth: usize,
    /// Levels of the tree read last.
    height: usize,
    pub(crate) options: ParseOptions,
    /// Aggregations whose arguments are being read: a token that fits nowhere is blamed on the innermost.
    pub(crate) aggregations: usize,
}

impl<'a> Parser<'a> {
    fn new(Tokens { tokens, broken }: Tokens<'a>, options: ParseOptions) -> Self {
        Self { tokens, broken, at: 0, depth: 0, height: 0, options, aggregations: 0 }
    }

    /// Reads the whole text. Where it ends in something that is no token, an error before that place comes first.
    fn read_all(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Expr, ParseError>,
    ) -> Result<Expr, ParseError> {
        let result = read(self).and_then(|expr| self.expect_end().map(|()| expr));
        match self.broken.take() {
            Some(broken) if result.is_ok() || self.peek().kind == TokenKind::Eof => Err(broken),
            _ => result,
        }
    }

    /// The next token, which stays.
    pub(crate) fn peek(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    /// The token after the next one.
    pub(crate) fn peek_second(&self) -> Token<'a> {
        self.tokens[(self.at + 1).min(self.tokens.len() - 1)]
    }

    /// Takes the next token. The last one, the end of the input, can be taken any number of times.
    pub(crate) fn take(&mut self) -> Token<'a> {
        let token = self.tokens[self.at];
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    /// Takes the next token if it is of this kind.
    pub(crate) fn take_if(&mut self, kind: TokenKind) -> Option<Token<'a>> {
        (self.peek().kind == kind).then(|| self.take())
    }

    /// The span from `start` to the last token taken.
    pub(crate) fn span_from(&self, start: Span) -> Span {
        let end = self.tokens[self.at.saturating_sub(1)].span.end;
        Span { end: end.max(start.end), ..start }
    }

    /// `unexpected X in CONTEXT, expected EXPECTED` about the next token.
    pub(crate) fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = self.peek();
        let context = if context.is_empty() && self.aggregations > 0 { "aggregation" } else { context };
        let mut message = format!("unexpected {}", token.describe());
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        ParseError::at(token.span, message)
    }

    /// Runs `read` one level deeper.
    pub(crate) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_deep(MAX_DEPTH));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Levels of the tree read last; taken, so that the next tree starts from none.
    pub(crate) fn take_height(&mut self) -> usize {
        std::mem::take(&mut self.height)
    }

    /// Records that a node was put on top of trees of at most `below` levels.
    pub(crate) fn grow(&mut self, below: usize) -> Result<(), ParseError> {
        self.height = below + 1;
        if self.height > MAX_HEIGHT { Err(self.too_deep(MAX_HEIGHT)) } else { Ok(()) }
    }

    fn too_deep(&self, limit: usize) -> ParseError {
        ParseError::at(self.peek().span, format!("expression is nested deeper than {limit} levels"))
    }

    fn expect_end(&self) -> Result<(), ParseError> {
        match self.peek().kind {
            TokenKind::Eof => Ok(()),
            _ => Err(self.unexpected("", "")),
        }
    }
}
