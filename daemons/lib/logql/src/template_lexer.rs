//! Go's `text/template` language: the words inside of an action.

use cairn_model::gotext;

use crate::units;

/// A token inside of an action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// `.a`, attached to what is before it when `attached`.
    Field {
        name: String,
        attached: bool,
    },
    Dot,
    Variable(String),
    Word(String),
    Number(Number),
    String(String),
    Pipe,
    Open,
    /// `)`
    Close,
    Comma,
    Declare,
    Assign,
    End,
}

/// A constant number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

/// Where reading stands. A copy is a place to come back to.
#[derive(Clone, Copy)]
pub(crate) struct Lexer<'a> {
    /// What is left, inside and outside of actions.
    pub(crate) rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// A message with the line in front.
    pub(crate) fn fault(&self, message: impl std::fmt::Display) -> String {
        format!("{}: {message}", self.line)
    }

    /// Consumes `len` bytes.
    pub(crate) fn skip(&mut self, len: usize) {
        self.line += self.rest[..len].matches('\n').count();
        self.rest = &self.rest[len..];
    }

    /// Consumes `}}` or ` -}}` if it is next.
    pub(crate) fn close(&mut self) -> Result<bool, String> {
        let trimmed = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let blanks = self.rest.len() - trimmed.len();
        if blanks > 0 && trimmed.starts_with("-}}") {
            self.skip(blanks + 3);
            let text = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            self.skip(self.rest.len() - text.len());
            return Ok(true);
        }
        if trimmed.starts_with("}}") {
            self.skip(blanks + 2);
            return Ok(true);
        }
        Ok(false)
    }

    /// The next word of an action.
    ///
    /// # Errors
    /// Go's text.
    pub(crate) fn token(&mut self) -> Result<Token, String> {
        if self.close()? {
            return Ok(Token::End);
        }
        let trimmed = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let attached = trimmed.len() == self.rest.len();
        self.skip(self.rest.len() - trimmed.len());
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return Err(self.fault("unclosed action")) };
        let word_len =
            |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let second_is_digit = rest[first.len_utf8()..].starts_with(|c: char| c.is_ascii_digit() || c == '.');
        let (token, len) = match first {
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            '=' => (Token::Assign, 1),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => return self.number(),
            '.' => match word_len(&rest[1..]) {
                0 => (Token::Dot, 1),
                len => (Token::Field { name: rest[1..=len].to_owned(), attached }, len + 1),
            },
            '$' => {
                let len = 1 + word_len(&rest[1..]);
                (Token::Variable(rest[..len].to_owned()), len)
            }
            '"' => {
                let mut escaped = false;
                let end = rest[1..].find(|c: char| {
                    let is_end = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    is_end
                });
                let Some(end) = end else { return Err(self.fault("unterminated quoted string")) };
                let body = &rest[1..=end];
                let text = gotext::unescape(body, '"').map_err(|_| self.fault("invalid syntax"))?;
                (Token::String(text), end + 2)
            }
            '`' => {
                let Some(end) = rest[1..].find('`') else {
                    return Err(self.fault("unterminated raw quoted string"));
                };
                (Token::String(rest[1..=end].to_owned()), end + 2)
            }
            '\'' => {
                let Some(end) = rest[1..].find('\'') else {
                    return Err(self.fault("unterminated character constant"));
                };
                let text = gotext::unescape(&rest[1..=end], '\'').unwrap_or_default();
                let code = text.chars().next().map_or(0, |c| i64::from(u32::from(c)));
                (Token::Number(Number::Int(code)), end + 2)
            }
            '0'..='9' => return self.number(),
            '+' | '-' if second_is_digit => return self.number(),
            c if c == '_' || c.is_alphabetic() => {
                let len = word_len(rest);
                (Token::Word(rest[..len].to_owned()), len)
            }
            c => {
                return Err(self.fault(format!("unexpected {} in operand", gotext::quote(&c.to_string()))));
            }
        };
        self.skip(len);
        Ok(token)
    }

    fn number(&mut self) -> Result<Token, String> {
        let rest = self.rest;
        let sign = usize::from(rest.starts_with(['+', '-']));
        let mut previous = ' ';
        let len = rest[sign..]
            .find(|c: char| {
                let is_part = c.is_ascii_alphanumeric()
                    || matches!(c, '.' | '_')
                    || (matches!(c, '+' | '-') && matches!(previous, 'e' | 'E'));
                previous = c;
                !is_part
            })
            .unwrap_or(rest.len() - sign);
        let text = &rest[..sign + len];
        let value = crate::template_value::parse_int(text)
            .map(Number::Int)
            .or_else(|| units::parse_float(text).map(Number::Float))
            .ok_or_else(|| self.fault(format!("bad number syntax: {}", gotext::quote(text))))?;
        self.skip(sign + len);
        Ok(Token::Number(value))
    }
}

impl Token {
    /// As messages name it.
    pub(crate) fn show(&self) -> String {
        match self {
            Token::Field { name, .. } => format!("<.{name}>"),
            Token::Dot => "<.>".to_owned(),
            Token::Variable(name) | Token::Word(name) => format!("<{name}>"),
            Token::Number(_) => "number".to_owned(),
            Token::String(text) => gotext::quote(text),
            Token::Pipe => "\"|\"".to_owned(),
            Token::Open => "\"(\"".to_owned(),
            Token::Close => "\")\"".to_owned(),
            Token::Comma => "\",\"".to_owned(),
            Token::Declare => "\":=\"".to_owned(),
            Token::Assign => "\"=\"".to_owned(),
            Token::End => "\"}}\"".to_owned(),
        }
    }
}
