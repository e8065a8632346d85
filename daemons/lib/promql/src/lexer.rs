//! Cuts a query into tokens.
//!
//! Which characters are legal depends on where they stand: inside braces only matchers, inside brackets only
//! durations. The messages are Prometheus's.

use cairn_model::gotext::quote;

use crate::ast::{BinaryOp, Span};
use crate::error::ParseError;
use crate::lexer_number::{is_duration_shape, is_duration_start, number_length};
use crate::token::{Token, TokenKind, Tokens};

/// Longest query in bytes. Prometheus has no limit but its HTTP server's; this one keeps places in 32 bits apart
/// from overflow and the memory of tokens bounded.
pub(crate) const MAX_QUERY_BYTES: usize = 1 << 20;

/// Cuts the whole text, or as much as can be cut.
pub(crate) fn tokens(text: &str) -> Result<Tokens<'_>, ParseError> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(ParseError {
            position: None,
            message: format!("query of {} bytes is longer than {MAX_QUERY_BYTES} bytes", text.len()),
        });
    }
    let mut lexer = Lexer {
        text,
        at: 0,
        line: 1,
        line_start: 0,
        start: Span::default(),
        out: Vec::new(),
        in_braces: false,
        in_brackets: false,
        has_colon: false,
        parens: 0,
    };
    let broken = lexer.run().err();
    if broken.is_some() {
        let place = Span { end: lexer.start.start, ..lexer.start };
        lexer.out.push(Token { kind: TokenKind::Eof, text: "", span: place });
    }
    Ok(Tokens { tokens: lexer.out, broken })
}

struct Lexer<'a> {
    text: &'a str,
    /// Next byte to read.
    at: usize,
    line: usize,
    /// First byte of the current line.
    line_start: usize,
    /// Place of the token being read (its end is not set yet).
    start: Span,
    out: Vec<Token<'a>>,
    in_braces: bool,
    in_brackets: bool,
    /// A colon was seen inside the open bracket.
    has_colon: bool,
    parens: usize,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), ParseError> {
        loop {
            self.skip_blanks();
            self.mark();
            let Some(c) = self.next() else {
                return self.finish();
            };
            if self.in_braces {
                self.inside_braces(c)?;
            } else if self.in_brackets {
                self.inside_brackets(c)?;
            } else {
                self.statement(c)?;
            }
        }
    }

    fn finish(&mut self) -> Result<(), ParseError> {
        if self.in_braces {
            return Err(self.error("unexpected end of input inside braces"));
        }
        if self.in_brackets {
            return Err(self.error("unexpected end of input in duration expression"));
        }
        if self.parens > 0 {
            return Err(self.error("unclosed left parenthesis"));
        }
        self.push(TokenKind::Eof);
        Ok(())
    }

    fn statement(&mut self, c: char) -> Result<(), ParseError> {
        let kind = match c {
            ',' => TokenKind::Comma,
            '@' => TokenKind::At,
            '+' | '-' | '*' | '/' | '%' | '^' => TokenKind::Operator(arithmetic(c)),
            '=' => match self.peek() {
                Some('=') => {
                    self.next();
                    TokenKind::Operator(BinaryOp::Equal)
                }
                Some('~') => return Err(self.error("unexpected character after '=': '~'")),
                _ => TokenKind::Equal,
            },
            '!' => match self.next() {
                Some('=') => TokenKind::Operator(BinaryOp::NotEqual),
                other => {
                    return Err(self.error(format!("unexpected character after '!': {}", show(other))));
                }
            },
            '<' => TokenKind::Operator(match self.peek() {
                Some('=') => self.with_next(BinaryOp::LessOrEqual),
                Some('/') => self.with_next(BinaryOp::TrimUpper),
                _ => BinaryOp::Less,
            }),
            '>' => TokenKind::Operator(match self.peek() {
                Some('=') => self.with_next(BinaryOp::GreaterOrEqual),
                Some('/') => self.with_next(BinaryOp::TrimLower),
                _ => BinaryOp::Greater,
            }),
            '0'..='9' => return self.number_or_duration(),
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => return self.number_or_duration(),
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            c if is_alpha(c) || c == ':' => {
                while self.peek().is_some_and(|c| is_alpha(c) || c.is_ascii_digit() || c == ':') {
                    self.next();
                }
                TokenKind::of_word(&self.text[self.start.start..self.at])
            }
            '(' | ')' => return self.paren(c),
            '{' => {
                self.in_braces = true;
                TokenKind::LeftBrace
            }
            '[' => {
                self.in_brackets = true;
                self.has_colon = false;
                TokenKind::LeftBracket
            }
            ']' => return Err(self.error("unexpected right bracket ']'")),
            other => return Err(self.error(format!("unexpected character: {}", show(Some(other))))),
        };
        self.push(kind);
        Ok(())
    }

    fn inside_brackets(&mut self, c: char) -> Result<(), ParseError> {
        let kind = match c {
            ']' => {
                self.in_brackets = false;
                TokenKind::RightBracket
            }
            '[' => return Err(self.error("unexpected left bracket '['")),
            ':' if self.has_colon => return Err(self.error("unexpected colon ':'")),
            ':' => {
                self.has_colon = true;
                TokenKind::Colon
            }
            ',' => TokenKind::Comma,
            '+' | '-' | '*' | '/' | '%' | '^' => TokenKind::Operator(arithmetic(c)),
            '(' | ')' => return self.paren(c),
            '0'..='9' => return self.number_or_duration(),
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => return self.number_or_duration(),
            c if is_alpha(c) => {
                while self.peek().is_some_and(|c| is_alpha(c) || c.is_ascii_digit()) {
                    self.next();
                }
                let word = self.text[self.start.start..self.at].to_ascii_lowercase();
                if !matches!(word.as_str(), "step" | "range" | "min_of" | "max_of") {
                    return Err(
                        self.error(format!("unexpected character in duration expression: {}", show(Some(c))))
                    );
                }
                TokenKind::of_word(&word)
            }
            other => {
                return Err(
                    self.error(format!("unexpected character in duration expression: {}", show(Some(other))))
                );
            }
        };
        self.push(kind);
        Ok(())
    }

    fn inside_braces(&mut self, c: char) -> Result<(), ParseError> {
        let kind = match c {
            ',' => TokenKind::Comma,
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '=' if self.peek() == Some('~') => self.with_next(TokenKind::RegexEqual),
            '=' => TokenKind::Equal,
            '!' => match self.next() {
                Some('~') => TokenKind::RegexNotEqual,
                Some('=') => TokenKind::Operator(BinaryOp::NotEqual),
                other => {
                    return Err(
                        self.error(format!("unexpected character after '!' inside braces: {}", show(other)))
                    );
                }
            },
            '{' => return Err(self.error("unexpected left brace '{'")),
            '}' => {
                self.in_braces = false;
                TokenKind::RightBrace
            }
            c if is_alpha(c) => {
                while self.peek().is_some_and(|c| is_alpha(c) || c.is_ascii_digit()) {
                    self.next();
                }
                TokenKind::Identifier
            }
            other => {
                return Err(self.error(format!("unexpected character inside braces: {}", show(Some(other)))));
            }
        };
        self.push(kind);
        Ok(())
    }

    fn paren(&mut self, c: char) -> Result<(), ParseError> {
        if c == '(' {
            self.parens += 1;
            self.push(TokenKind::LeftParen);
            return Ok(());
        }
        if self.parens == 0 {
            // The peer has let the parenthesis go by when it notices: its error stands behind it.
            self.mark();
            return Err(self.error("unexpected right parenthesis ')'"));
        }
        self.parens -= 1;
        self.push(TokenKind::RightParen);
        Ok(())
    }

    /// A number (decimal, hexadecimal, with `_` between digits) or a duration such as `1h30m`. Whatever letters
    /// and digits follow must belong to it.
    fn number_or_duration(&mut self) -> Result<(), ParseError> {
        self.at = self.start.start;
        let rest = &self.text[self.at..];
        let number_len = number_length(rest);
        let follows_word =
            rest[number_len..].chars().next().is_some_and(|c| is_alpha(c) || c.is_ascii_digit());
        if !follows_word {
            self.at += number_len;
            self.push(TokenKind::Number);
            return Ok(());
        }
        let word_len = rest.find(|c: char| !(is_alpha(c) || c.is_ascii_digit())).unwrap_or(rest.len());
        let word = &rest[..word_len];
        if cairn_model::duration::parse_prometheus(word).is_ok() || is_duration_shape(word) {
            self.at += word_len;
            self.push(TokenKind::Duration);
            return Ok(());
        }
        // Prometheus shows what it had read when it gave up: the number and one character more.
        let shown = if number_len > 0 { number_len } else { word_len };
        let shown = rest[shown..]
            .chars()
            .next()
            .map_or(shown, |c| if is_duration_start(word) { word_len } else { shown + c.len_utf8() });
        Err(self.error(format!("bad number or duration syntax: {}", quote(&rest[..shown]))))
    }

    fn string(&mut self, open: char) -> Result<(), ParseError> {
        loop {
            match self.next() {
                None | Some('\n') => return Err(self.error("unterminated quoted string")),
                Some('\\') => self.escape(open)?,
                Some(c) if c == open => break,
                Some(_) => {}
            }
        }
        self.push(TokenKind::String);
        Ok(())
    }

    /// Checks one escape after its backslash.
    fn escape(&mut self, open: char) -> Result<(), ParseError> {
        let (n_digits, radix, max) = match self.next() {
            None => return Err(self.error("escape sequence not terminated")),
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == open => return Ok(()),
            Some('0'..='7') => {
                self.at -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, 0x0010_ffff),
            Some('U') => (8, 16, 0x0010_ffff),
            Some(c) => {
                return Err(self.error(format!("unknown escape sequence U+{:04X} '{c}'", c as u32)));
            }
        };
        let mut code = 0u64;
        for _ in 0..n_digits {
            match self.next() {
                None => return Err(self.error("escape sequence not terminated")),
                Some(c) => match c.to_digit(radix) {
                    Some(digit) => code = code * u64::from(radix) + u64::from(digit),
                    None => {
                        return Err(self.error(format!(
                            "illegal character U+{:04X} '{c}' in escape sequence",
                            c as u32
                        )));
                    }
                },
            }
        }
        if code > max || (0xd800..0xe000).contains(&code) {
            return Err(self.error("escape sequence is an invalid Unicode code point"));
        }
        Ok(())
    }

    fn raw_string(&mut self) -> Result<(), ParseError> {
        loop {
            match self.next() {
                None => return Err(self.error("unterminated raw string")),
                Some('`') => break,
                Some(_) => {}
            }
        }
        self.push(TokenKind::String);
        Ok(())
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\n' | '\r') => {
                    self.next();
                }
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                _ => return,
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
            self.line_start = self.at;
        }
        Some(c)
    }

    fn with_next<T>(&mut self, value: T) -> T {
        self.next();
        value
    }

    /// A token starts here.
    fn mark(&mut self) {
        self.start =
            Span { start: self.at, end: self.at, line: self.line, column: self.at - self.line_start + 1 };
    }

    fn push(&mut self, kind: TokenKind) {
        let span = Span { end: self.at, ..self.start };
        self.out.push(Token { kind, text: &self.text[span.start..span.end], span });
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::at(self.start, message)
    }
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn arithmetic(c: char) -> BinaryOp {
    match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        _ => BinaryOp::Pow,
    }
}

/// A character as Go's `%q` prints it; the end of the input is Go's rune -1.
fn show(c: Option<char>) -> String {
    match c {
        Some('\'') => "'\\''".to_owned(),
        Some('\\') => "'\\\\'".to_owned(),
        Some(c) => {
            let quoted = quote(&c.to_string());
            let body = &quoted[1..quoted.len() - 1];
            format!("'{}'", if c == '"' { "\"" } else { body })
        }
        None => "'\u{fffd}'".to_owned(),
    }
}
