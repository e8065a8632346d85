//! From text to tokens, with the positions that Loki's error texts carry.
//!
//! Loki's lexer sits on Go's `text/scanner`, whose line number is lost whenever a token was completed by hand (two
//! character operators, durations, ranges, flags): such tokens report line 0. Clients show these texts, so the
//! positions are kept as they are.

use cairn_model::{duration, gotext, number};

use crate::ast::{RangeOp, VectorOp};
use crate::parser::ParseError;
use crate::units;

/// What kind of token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    End,
    /// The text cannot be read from here on; the message is the token's text.
    Fault,
    Bytes,
    Identifier,
    String,
    Number,
    Flag,
    Duration,
    Range,
    /// A punctuation mark, an operator or a reserved word: its own spelling.
    Word(&'static str),
    RangeOp(RangeOp),
    VectorOp(VectorOp),
    VectorFn,
    LabelReplace,
    BytesConv,
    DurationConv,
    DurationSecondsConv,
}

/// One token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// The unquoted string, the identifier, the number as written, the flag, the fault.
    pub(crate) text: String,
    /// Nanoseconds of a duration or range, bytes of a size.
    pub(crate) amount: i64,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Kind {
    /// As error texts name it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::End | Self::Fault => "$end".to_owned(),
            Self::Bytes => "BYTES".to_owned(),
            Self::Identifier => "IDENTIFIER".to_owned(),
            Self::String => "STRING".to_owned(),
            Self::Number => "NUMBER".to_owned(),
            Self::Flag => "PARSER_FLAG".to_owned(),
            Self::Duration => "DURATION".to_owned(),
            Self::Range => "RANGE".to_owned(),
            Self::Word(word) => word.to_owned(),
            Self::RangeOp(op) => op.as_str().to_uppercase(),
            Self::VectorOp(op) => op.as_str().to_uppercase(),
            Self::VectorFn => "VECTOR".to_owned(),
            Self::LabelReplace => "LABEL_REPLACE".to_owned(),
            Self::BytesConv => "BYTES_CONV".to_owned(),
            Self::DurationConv => "DURATION_CONV".to_owned(),
            Self::DurationSecondsConv => "DURATION_SECONDS_CONV".to_owned(),
        }
    }
}

/// Operators of two characters, tried before those of one.
const TWO: [&str; 10] = ["|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<="];

/// Marks of one character.
const ONE: [&str; 16] = ["{", "}", "(", ")", "]", ",", ".", "|", "=", ">", "<", "+", "*", "/", "%", "^"];

/// Words that are never names.
const RESERVED: [&str; 23] = [
    "by",
    "without",
    "bool",
    "json",
    "regexp",
    "logfmt",
    "unpack",
    "pattern",
    "line_format",
    "label_format",
    "unwrap",
    "offset",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "drop",
    "keep",
    "ip",
    "decolorize",
];

/// Splits `text` into tokens. The last one is [`Kind::End`] or [`Kind::Fault`].
pub(crate) fn tokenize(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text, line: 1, column: 1, empty: text.is_empty() };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next_token();
        let is_last = matches!(token.kind, Kind::End | Kind::Fault);
        tokens.push(token);
        if is_last {
            return tokens;
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
    empty: bool,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Consumes `len` bytes.
    fn skip(&mut self, len: usize) {
        for c in self.rest[..len].chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = &self.rest[len..];
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            self.skip(blanks);
            if !self.rest.starts_with('#') {
                return;
            }
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    fn next_token(&mut self) -> Token {
        self.skip_blanks_and_comments();
        let (line, column) = (self.line, self.column);
        let token = |kind, text: &str, line| Token { kind, text: text.to_owned(), amount: 0, line, column };
        let Some(first) = self.peek() else {
            return if self.empty {
                Token { column: 0, ..token(Kind::End, "", 0) }
            } else {
                token(Kind::End, "", line)
            };
        };
        match first {
            '"' | '`' => self.string(first, token(Kind::String, "", line)),
            '\'' => self.character(token(Kind::Identifier, "", line)),
            '[' => self.range(token(Kind::Range, "", 0)),
            '0'..='9' => self.number(token(Kind::Number, "", line)),
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.number(token(Kind::Number, "", line))
            }
            '-' => {
                for flag in ["--strict", "--keep-empty"] {
                    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
                    if self.rest.strip_prefix(flag).is_some_and(|after| !after.starts_with(goes_on)) {
                        self.skip(flag.len());
                        return token(Kind::Flag, flag, 0);
                    }
                }
                if let Some(nanos) = self.duration(1) {
                    return Token { amount: nanos, ..token(Kind::Duration, "", 0) };
                }
                self.skip(1);
                token(Kind::Word("-"), "", line)
            }
            c if c == '_' || c.is_alphabetic() => {
                let len =
                    self.rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(self.rest.len());
                let word = &self.rest[..len];
                self.skip(len);
                token(word_kind(word, self.rest), word, line)
            }
            c => {
                if let Some(two) = TWO.iter().find(|two| self.rest.starts_with(**two)) {
                    self.skip(2);
                    return token(Kind::Word(two), "", 0);
                }
                let text = &self.rest[..c.len_utf8()];
                self.skip(c.len_utf8());
                match ONE.iter().find(|one| **one == text) {
                    Some(one) => token(Kind::Word(one), "", line),
                    // Any other character is a name to Loki's lexer, and no grammar rule takes it.
                    None => token(Kind::Identifier, text, line),
                }
            }
        }
    }

    fn fault(token: Token, message: impl Into<String>) -> Token {
        Token { kind: Kind::Fault, text: message.into(), ..token }
    }

    fn string(&mut self, quote: char, token: Token) -> Token {
        let mut chars = self.rest[1..].char_indices();
        let end = loop {
            match chars.next() {
                Some((_, '\\')) if quote == '"' => {
                    chars.next();
                }
                Some((_, '\n')) if quote == '"' => break None,
                Some((at, c)) if c == quote => break Some(at + 1),
                Some(_) => {}
                None => break None,
            }
        };
        let Some(end) = end else { return Self::fault(token, "literal not terminated") };
        let body = &self.rest[1..end];
        let text = if quote == '`' {
            Ok(body.replace('\r', ""))
        } else {
            gotext::unescape(body, '"').map_err(|_| "invalid syntax".to_owned())
        };
        self.skip(end + 1);
        match text {
            Ok(text) => Token { text, ..token },
            Err(message) => Self::fault(token, message),
        }
    }

    /// A quoted character, which the grammar has no use for.
    fn character(&mut self, token: Token) -> Token {
        match self.rest[1..].find('\'') {
            Some(len) if self.rest[1..=len].chars().count() == 1 => {
                self.skip(len + 2);
                token
            }
            Some(_) => Self::fault(token, "invalid char literal"),
            None => Self::fault(token, "literal not terminated"),
        }
    }

    fn range(&mut self, token: Token) -> Token {
        let Some(end) = self.rest.find(']') else {
            return Self::fault(token, "missing closing ']' in duration");
        };
        let parsed = duration::parse_prometheus(&self.rest[1..end]);
        self.skip(end + 1);
        match parsed {
            Ok(ms) => Token { amount: ms * 1_000_000, ..token },
            Err(error) => Self::fault(token, error.to_string()),
        }
    }

    fn number(&mut self, token: Token) -> Token {
        let bytes = self.rest.as_bytes();
        let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let len = if bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X')) {
            2 + bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count()
        } else {
            let mut len = digits(0);
            if bytes.get(len) == Some(&b'.') {
                len = digits(len + 1);
            }
            if matches!(bytes.get(len), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
                let end = digits((len + 1 + sign).min(bytes.len()));
                if end > len + 1 + sign {
                    len = end;
                }
            }
            len
        };
        if let Some(nanos) = self.duration(len) {
            return Token { kind: Kind::Duration, amount: nanos, line: 0, ..token };
        }
        if let Some(size) = self.bytes(len) {
            return Token { kind: Kind::Bytes, amount: size, line: 0, ..token };
        }
        let text = self.rest[..len].to_owned();
        self.skip(len);
        if number::parse_float(&text).is_none() {
            let message = format!("strconv.ParseFloat: parsing {}: invalid syntax", gotext::quote(&text));
            return Self::fault(token, message);
        }
        Token { text, ..token }
    }

    /// Consumes a duration whose first `len` bytes are a number or a sign.
    fn duration(&mut self, len: usize) -> Option<i64> {
        let is_part = |c: char| {
            c.is_numeric() || matches!(c, 'n' | 'u' | 'µ' | 'm' | 's' | 'h' | 'd' | 'w' | 'y' | '.')
        };
        let more = self.rest[len..].find(|c| !is_part(c)).unwrap_or(self.rest.len() - len);
        let text = &self.rest[..len + more];
        if more == 0 || !text.contains(char::is_alphabetic) {
            return None;
        }
        let nanos = match duration::parse_prometheus(text) {
            Ok(ms) => ms.checked_mul(1_000_000)?,
            Err(_) => duration::parse_go(text)?,
        };
        self.skip(len + more);
        Some(nanos)
    }

    /// Consumes a size in bytes whose first `len` bytes are a number.
    fn bytes(&mut self, len: usize) -> Option<i64> {
        let is_part =
            |c: char| c.is_numeric() || matches!(c, 'B' | 'i' | 'k' | 'K' | 'M' | 'G' | 'T' | 'P' | '.');
        let more = self.rest[len..].find(|c| !is_part(c)).unwrap_or(self.rest.len() - len);
        if more == 0 {
            return None;
        }
        let size = units::parse_bytes(&self.rest[..len + more]).ok()?;
        self.skip(len + more);
        i64::try_from(size).ok()
    }
}

/// What a word means; function names are plain names unless a call follows.
fn word_kind(word: &str, rest: &str) -> Kind {
    let lower = word.to_ascii_lowercase();
    let rest = rest.trim_start();
    // `ip` is a word before its argument only; labels are named so.
    if let Some(reserved) = RESERVED.iter().find(|r| **r == lower && (**r != "ip" || rest.starts_with('('))) {
        return Kind::Word(reserved);
    }
    let is_call = rest.starts_with('(')
        || ["by", "without"]
            .iter()
            .any(|w| rest.get(..w.len()).is_some_and(|start| start.eq_ignore_ascii_case(w)));
    if !is_call {
        return Kind::Identifier;
    }
    if let Some(op) = RangeOp::ALL.into_iter().find(|op| op.as_str() == lower) {
        return Kind::RangeOp(op);
    }
    if let Some(op) = VectorOp::ALL.into_iter().find(|op| op.as_str() == lower) {
        return Kind::VectorOp(op);
    }
    match lower.as_str() {
        "vector" => Kind::VectorFn,
        "label_replace" => Kind::LabelReplace,
        "bytes" => Kind::BytesConv,
        "duration" => Kind::DurationConv,
        "duration_seconds" => Kind::DurationSecondsConv,
        _ => Kind::Identifier,
    }
}

impl Token {
    /// The error of meeting this token where only `expecting` could stand.
    pub(crate) fn unexpected(&self, expecting: &[&str]) -> ParseError {
        let message = if self.kind == Kind::Fault {
            self.text.clone()
        } else {
            let mut message = format!("syntax error: unexpected {}", self.kind.name());
            for (index, name) in expecting.iter().enumerate() {
                message.push_str(if index == 0 { ", expecting " } else { " or " });
                message.push_str(name);
            }
            message
        };
        ParseError { line: self.line, column: self.column, message }
    }
}
