//! From tokens to tree: entry points, selectors, and what all rules share. Metric expressions are in
//! `parser_metric.rs`, pipeline stages in `parser_stages.rs`.
//!
//! Recursive descent with the messages of an LALR parser: at each place where Loki's goyacc tables know at most four
//! tokens, the same are named behind `expecting`. Checks that Loki makes after parsing (types of operands, grouping,
//! parameters) are noted and reported only when the whole text parses.

use cairn_model::{MatchOp, Matcher, number};

use crate::ast::*;
use crate::lexer::{Kind, Token, tokenize};

/// Longest query, in bytes.
pub const MAX_QUERY_BYTES: usize = 131_072;

/// Deepest nesting of parentheses: parsing, printing and evaluating recurse on it.
const MAX_DEPTH: usize = 128;

/// Most operators in one query (arithmetic, `and`, `or`): a chain of them is a tree of that height.
const MAX_OPERATORS: usize = 512;

/// What a selector without any selective matcher is told.
const EMPTY_SELECTOR: &str = "queries require at least one regexp or equality matcher that does not have an \
    empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";

/// Why a text is no query, in Loki's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line, from 1; 0 where Loki's scanner lost it.
    pub line: usize,
    /// Column in characters, from 1; 0 together with a line of 0 when the error has no place.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    /// An error of the meaning, which has no place.
    pub(crate) fn semantic(message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, message: message.into() }
    }
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

/// Reads a query. Regular expressions, templates and patterns in it are checked too.
///
/// # Errors
/// [`ParseError`], in Loki's words.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text)?;
    let expr = parser.expr(0)?;
    parser.finish()?;
    match &expr {
        Expr::Log(log) => {
            check_matchers(&log.matchers)?;
            crate::pipeline::Pipeline::compile(&log.stages)?;
        }
        Expr::Metric(metric) => check_metric(metric)?,
    }
    Ok(expr)
}

/// Reads a plain stream selector, as the label and series endpoints take it. `{}` is accepted: it selects everything,
/// and only some endpoints allow that ([`check_matchers`]).
///
/// # Errors
/// [`ParseError`]; `only label matchers are supported` for anything but a selector.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text)?;
    let expr = parser.expr(0)?;
    parser.finish()?;
    match expr {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        _ => Err(ParseError::semantic("only label matchers are supported")),
    }
}

/// Refuses a selector that would read every stream: one matcher at least must be unable to match the empty text.
///
/// # Errors
/// [`ParseError`].
pub fn check_matchers(matchers: &[Matcher]) -> Result<(), ParseError> {
    let is_selective = |m: &Matcher| !m.matches_empty();
    if matchers.iter().any(is_selective) { Ok(()) } else { Err(ParseError::semantic(EMPTY_SELECTOR)) }
}

fn check_metric(expr: &MetricExpr) -> Result<(), ParseError> {
    match expr {
        MetricExpr::Range(agg) => {
            check_matchers(&agg.log.matchers)?;
            crate::pipeline::Pipeline::compile(&agg.log.stages)?;
            if let Some(unwrap) = &agg.unwrap {
                let filters: Vec<Stage> = unwrap.filters.iter().cloned().map(Stage::LabelFilter).collect();
                crate::pipeline::Pipeline::compile(&filters)?;
            }
            Ok(())
        }
        MetricExpr::Vector(agg) => check_metric(&agg.inner),
        MetricExpr::Binary(binary) => {
            check_metric(&binary.left)?;
            check_metric(&binary.right)
        }
        MetricExpr::LabelReplace(replace) => check_metric(&replace.inner),
        MetricExpr::Literal(_) | MetricExpr::VectorOf(_) => Ok(()),
    }
}

pub(crate) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    operators: usize,
    /// First fault of the meaning.
    semantic: Option<ParseError>,
}

pub(crate) type Parsed<T> = Result<T, ParseError>;

impl Parser {
    fn new(text: &str) -> Parsed<Self> {
        if text.len() >= MAX_QUERY_BYTES {
            let message = format!("input size too long ({} > {MAX_QUERY_BYTES})", text.len());
            return Err(ParseError::semantic(message));
        }
        Ok(Self { tokens: tokenize(text), at: 0, depth: 0, operators: 0, semantic: None })
    }

    fn finish(&mut self) -> Parsed<()> {
        if self.kind() != Kind::End {
            return Err(self.unexpected(&[]));
        }
        self.semantic.take().map_or(Ok(()), Err)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.tokens[self.at].kind
    }

    /// The text of the next token.
    pub(crate) fn peek_text(&self) -> String {
        self.tokens[self.at].text.clone()
    }

    pub(crate) fn kind_after(&self, n: usize) -> Kind {
        self.tokens.get(self.at + n).map_or(Kind::End, |t| t.kind)
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self.kind(), Kind::Word(w) if w == word)
    }

    pub(crate) fn bump(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        // The last token (end or fault) is never passed.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.bump();
        }
        found
    }

    pub(crate) fn unexpected(&self, expecting: &[&str]) -> ParseError {
        self.tokens[self.at].unexpected(expecting)
    }

    pub(crate) fn expect(&mut self, word: &str, expecting: &[&str]) -> Parsed<()> {
        if self.eat(word) { Ok(()) } else { Err(self.unexpected(expecting)) }
    }

    pub(crate) fn string(&mut self, expecting: &[&str]) -> Parsed<String> {
        if self.kind() == Kind::String { Ok(self.bump().text) } else { Err(self.unexpected(expecting)) }
    }

    pub(crate) fn identifier(&mut self, expecting: &[&str]) -> Parsed<String> {
        if self.kind() == Kind::Identifier { Ok(self.bump().text) } else { Err(self.unexpected(expecting)) }
    }

    pub(crate) fn note(&mut self, message: impl Into<String>) {
        self.semantic.get_or_insert_with(|| ParseError::semantic(message));
    }

    pub(crate) fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the query nests deeper than {MAX_DEPTH} parentheses");
            return Err(ParseError::semantic(message));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(crate) fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(ParseError::semantic(format!("the query has more than {MAX_OPERATORS} operators")));
        }
        Ok(())
    }

    pub(crate) fn number(&mut self) -> Parsed<f64> {
        let token = self.bump();
        number::parse_float(&token.text).ok_or_else(|| token.unexpected(&["NUMBER"]))
    }

    /// A number with an optional sign.
    pub(crate) fn signed_number(&mut self) -> Parsed<f64> {
        let negative = self.is("-");
        if negative || self.is("+") {
            self.bump();
            if self.kind() != Kind::Number {
                return Err(self.unexpected(&["NUMBER"]));
            }
        }
        let value = self.number()?;
        Ok(if negative { -value } else { value })
    }

    pub(crate) fn selector(&mut self) -> Parsed<Vec<Matcher>> {
        self.expect("{", &[])?;
        let mut matchers = Vec::new();
        if self.eat("}") {
            return Ok(matchers);
        }
        if self.kind() != Kind::Identifier {
            return Err(self.unexpected(&["IDENTIFIER", "}"]));
        }
        loop {
            let name = self.identifier(&["IDENTIFIER"])?;
            let op = self.match_op().ok_or_else(|| self.unexpected(&["=", "=~", "!~", "!="]))?;
            self.bump();
            let value = self.string(&["STRING"])?;
            if let Some(matcher) = self.matcher(name, op, value) {
                matchers.push(matcher);
            }
            if self.eat("}") {
                return Ok(matchers);
            }
            self.expect(",", &["}", ","])?;
        }
    }

    pub(crate) fn match_op(&self) -> Option<MatchOp> {
        let Kind::Word(word) = self.kind() else { return None };
        Some(match word {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            "!~" => MatchOp::NotRegex,
            _ => return None,
        })
    }

    /// Compiles a matcher; a bad pattern is noted.
    pub(crate) fn matcher(&mut self, name: String, op: MatchOp, value: String) -> Option<Matcher> {
        match Matcher::new(name, op, value) {
            Ok(matcher) => Some(matcher),
            Err(error) => {
                self.note(error.to_string());
                None
            }
        }
    }
}

/// Stages and what may end them inside of a range aggregation.
pub(crate) struct ParsedPipeline {
    pub(crate) stages: Vec<Stage>,
    pub(crate) unwrap: Option<Unwrap>,
}
