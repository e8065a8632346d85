//! The words of PromQL.

use cairn_model::gotext::quote;

use crate::ast::{AggregateOp, BinaryOp, Span};
use crate::error::ParseError;

/// Kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Eof,
    Identifier,
    MetricIdentifier,
    String,
    Number,
    Duration,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    /// `=`
    Equal,
    /// `=~`
    RegexEqual,
    /// `!~`
    RegexNotEqual,
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

/// Words with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    End,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Range,
    Smoothed,
    Start,
    Step,
    Without,
}

const KEYWORDS: [(&str, Keyword); 17] = [
    ("anchored", Keyword::Anchored),
    ("bool", Keyword::Bool),
    ("by", Keyword::By),
    ("end", Keyword::End),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("ignoring", Keyword::Ignoring),
    ("offset", Keyword::Offset),
    ("on", Keyword::On),
    ("range", Keyword::Range),
    ("smoothed", Keyword::Smoothed),
    ("start", Keyword::Start),
    ("step", Keyword::Step),
    ("without", Keyword::Without),
];

impl TokenKind {
    /// What a word made of letters, digits, `_` and `:` is. Case does not matter for words with a meaning.
    pub(crate) fn of_word(word: &str) -> Self {
        let lower = word.to_ascii_lowercase();
        if let Some((_, keyword)) = KEYWORDS.iter().find(|(name, _)| *name == lower) {
            return Self::Keyword(*keyword);
        }
        if let Some(op) = AggregateOp::ALL.into_iter().find(|op| op.as_str() == lower) {
            return Self::Aggregate(op);
        }
        match lower.as_str() {
            "inf" | "nan" => Self::Number,
            "and" => Self::Operator(BinaryOp::And),
            "or" => Self::Operator(BinaryOp::Or),
            "unless" => Self::Operator(BinaryOp::Unless),
            "atan2" => Self::Operator(BinaryOp::Atan2),
            _ if word.contains(':') => Self::MetricIdentifier,
            _ => Self::Identifier,
        }
    }

    /// Whether the word may name a metric when it stands where one is expected.
    pub(crate) fn may_be_metric_name(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) => true,
            Self::Operator(op) => op.is_set(),
            Self::Keyword(keyword) => !matches!(
                keyword,
                Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
            ),
            _ => false,
        }
    }

    /// Whether an expression may begin with it.
    pub(crate) fn may_start_expression(self) -> bool {
        matches!(self, Self::Number | Self::Duration | Self::String | Self::LeftParen | Self::LeftBrace)
            || matches!(self, Self::Operator(BinaryOp::Add | BinaryOp::Sub))
            || self.may_be_metric_name()
    }

    /// Whether the word may name a label in `by (...)` and its kin.
    pub(crate) fn may_be_label_name(self) -> bool {
        match self {
            Self::Identifier | Self::Aggregate(_) | Self::Keyword(_) => true,
            Self::Operator(op) => op.is_set() || op == BinaryOp::Atan2,
            _ => false,
        }
    }
}

/// A word of the query with its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    /// As written.
    pub(crate) text: &'a str,
    pub(crate) span: Span,
}

/// A text cut into tokens.
pub(crate) struct Tokens<'a> {
    /// The last token is [`TokenKind::Eof`].
    pub(crate) tokens: Vec<Token<'a>>,
    /// Why the tokens end before the text does. What is wrong with the tokens before it comes first in the text.
    pub(crate) broken: Option<ParseError>,
}

impl Token<'_> {
    /// As Prometheus names it in messages: `<by>`, `identifier "x"`, `number "1"`, `","`, `end of input`.
    pub(crate) fn describe(&self) -> String {
        let shortened = || {
            if self.text.chars().count() > 10 {
                let start: String = self.text.chars().take(10).collect();
                format!("{}...", quote(&start))
            } else {
                quote(self.text)
            }
        };
        match self.kind {
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quote(self.text)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(self.text)),
            TokenKind::String => format!("string {}", shortened()),
            TokenKind::Number => format!("number {}", shortened()),
            TokenKind::Duration => format!("duration {}", shortened()),
            TokenKind::Operator(_) | TokenKind::RegexEqual | TokenKind::RegexNotEqual | TokenKind::At => {
                format!("<op:{}>", self.text)
            }
            TokenKind::Aggregate(_) => format!("<aggr:{}>", self.text),
            TokenKind::Keyword(_) => format!("<{}>", self.text),
            _ => quote(self.text),
        }
    }
}
