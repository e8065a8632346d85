//! Go's `text/template` language: text to tree.

use cairn_model::gotext;

use crate::template_value::Value;
use crate::units;

/// A piece of a template.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(String),
    Action(Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Template(String, Option<Pipe>),
    Break,
    Continue,
}

/// `$x := a | b c`
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) variables: Vec<String>,
    pub(crate) is_assignment: bool,
    pub(crate) commands: Vec<Vec<Operand>>,
}

/// A word of a command, and the fields taken of it.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub(crate) base: Base,
    pub(crate) fields: Vec<String>,
}

/// What a word is.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    Dot,
    Variable(String),
    Function(String),
    Constant(Value),
    Nil,
    Pipe(Pipe),
}

/// A parsed template: its body and what `define` made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) body: Vec<Node>,
    pub(crate) defined: Vec<(String, Vec<Node>)>,
}

/// Deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 64;

/// Reads a template. `is_function` knows the functions' names.
///
/// # Errors
/// Go's text without its `template: name:` prefix: line and message.
pub(crate) fn parse(text: &str, is_function: &dyn Fn(&str) -> bool) -> Result<Parsed, String> {
    let mut parser = Parser {
        rest: text,
        line: 1,
        is_function,
        variables: vec!["$".to_owned()],
        defined: Vec::new(),
        depth: 0,
    };
    let (body, end) = parser.nodes(false)?;
    match end {
        Closing::Text => Ok(Parsed { body, defined: parser.defined }),
        Closing::End => Err(parser.fault("unexpected {{end}}")),
        Closing::Else(_) => Err(parser.fault("unexpected {{else}}")),
    }
}

/// What closed a list of nodes.
enum Closing {
    Text,
    End,
    /// `else`; the text tells what follows it (`if`, `with` or nothing).
    Else(&'static str),
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    is_function: &'a dyn Fn(&str) -> bool,
    variables: Vec<String>,
    defined: Vec<(String, Vec<Node>)>,
    depth: usize,
}

/// A token inside of an action.
#[derive(Clone, Debug, PartialEq)]
enum Token {
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
enum Number {
    Int(i64),
    Float(f64),
}

impl Parser<'_> {
    fn fault(&self, message: impl std::fmt::Display) -> String {
        format!("{}: {message}", self.line)
    }

    fn skip(&mut self, len: usize) {
        self.line += self.rest[..len].matches('\n').count();
        self.rest = &self.rest[len..];
    }

    fn nodes(&mut self, in_range: bool) -> Result<(Vec<Node>, Closing), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault("the template nests too deeply"));
        }
        let mut nodes = Vec::new();
        let end = loop {
            let Some(open) = self.rest.find("{{") else {
                if !self.rest.is_empty() {
                    nodes.push(Node::Text(self.rest.to_owned()));
                }
                self.skip(self.rest.len());
                break Closing::Text;
            };
            let mut text = &self.rest[..open];
            let inside = &self.rest[open + 2..];
            let trims = inside.starts_with('-') && inside[1..].starts_with([' ', '\t', '\r', '\n']);
            if trims {
                text = text.trim_end_matches([' ', '\t', '\r', '\n']);
            }
            if !text.is_empty() {
                nodes.push(Node::Text(text.to_owned()));
            }
            self.skip(open + 2 + usize::from(trims));
            if self.comment()? {
                continue;
            }
            if let Some(end) = self.action(&mut nodes, in_range)? {
                break end;
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    /// Skips `/* ... */}}`.
    fn comment(&mut self) -> Result<bool, String> {
        let start = self.rest.trim_start();
        if !start.starts_with("/*") {
            return Ok(false);
        }
        let offset = self.rest.len() - start.len();
        let Some(end) = start.find("*/") else { return Err(self.fault("unclosed comment")) };
        self.skip(offset + end + 2);
        if !self.close()? {
            return Err(self.fault("comment ends before closing delimiter"));
        }
        Ok(true)
    }

    /// Consumes `}}` or ` -}}` if it is next.
    fn close(&mut self) -> Result<bool, String> {
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

    fn action(&mut self, nodes: &mut Vec<Node>, in_range: bool) -> Result<Option<Closing>, String> {
        let before = self.rest;
        let line = self.line;
        let first = self.token()?;
        let Token::Word(word) = &first else {
            (self.rest, self.line) = (before, line);
            let pipe = self.pipe("command", true)?;
            nodes.push(Node::Action(pipe));
            return Ok(None);
        };
        match word.as_str() {
            "end" => {
                self.expect_end("end")?;
                return Ok(Some(Closing::End));
            }
            "else" => {
                let saved = (self.rest, self.line);
                return Ok(Some(Closing::Else(match self.token()? {
                    Token::End => "",
                    Token::Word(word) if word == "if" => "if",
                    Token::Word(word) if word == "with" => "with",
                    _ => {
                        (self.rest, self.line) = saved;
                        return Err(self.fault("unexpected token in else"));
                    }
                })));
            }
            "if" | "with" | "range" => {
                let kind = match word.as_str() {
                    "if" => "if",
                    "with" => "with",
                    _ => "range",
                };
                nodes.push(self.block(kind, in_range)?);
            }
            "define" => {
                let Token::String(name) = self.token()? else {
                    return Err(self.fault("unexpected token in define clause"));
                };
                self.expect_end("define clause")?;
                let known = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
                let (body, end) = self.nodes(false)?;
                self.variables = known;
                if !matches!(end, Closing::End) {
                    return Err(self.fault("unexpected EOF in define clause"));
                }
                self.defined.push((name, body));
            }
            "template" | "block" => {
                let is_block = word == "block";
                let Token::String(name) = self.token()? else {
                    return Err(self.fault("unexpected token in template clause"));
                };
                let saved = (self.rest, self.line);
                let pipe = if self.token()? == Token::End {
                    None
                } else {
                    (self.rest, self.line) = saved;
                    Some(self.pipe("template clause", true)?)
                };
                if is_block {
                    let (body, end) = self.nodes(false)?;
                    if !matches!(end, Closing::End) {
                        return Err(self.fault("unexpected EOF in block clause"));
                    }
                    self.defined.push((name.clone(), body));
                }
                nodes.push(Node::Template(name, pipe));
            }
            "break" | "continue" => {
                let node = if word == "break" { Node::Break } else { Node::Continue };
                if !in_range {
                    return Err(self.fault(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.expect_end(word)?;
                nodes.push(node);
            }
            _ => {
                (self.rest, self.line) = (before, line);
                let pipe = self.pipe("command", true)?;
                nodes.push(Node::Action(pipe));
            }
        }
        Ok(None)
    }

    fn expect_end(&mut self, context: &str) -> Result<(), String> {
        match self.token()? {
            Token::End => Ok(()),
            token => Err(self.fault(format!("unexpected {} in {context}", show(&token)))),
        }
    }

    /// What follows `if`, `with` or `range`, up to its `end`.
    fn block(&mut self, kind: &'static str, in_range: bool) -> Result<Node, String> {
        let known = self.variables.len();
        let pipe = self.pipe(kind, true)?;
        let (body, end) = self.nodes(in_range || kind == "range")?;
        let otherwise = match end {
            Closing::Text => return Err(self.fault("unexpected EOF")),
            Closing::End => Vec::new(),
            Closing::Else("") => {
                let (otherwise, end) = self.nodes(in_range)?;
                match end {
                    Closing::End => otherwise,
                    Closing::Text => return Err(self.fault("unexpected EOF")),
                    Closing::Else(_) => return Err(self.fault("expected end; found {{else}}")),
                }
            }
            // `else if` shares the end of the whole.
            Closing::Else(kind) => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(self.fault("the template nests too deeply"));
                }
                let node = self.block(kind, in_range)?;
                self.depth -= 1;
                vec![node]
            }
        };
        self.variables.truncate(known);
        Ok(match kind {
            "if" => Node::If(pipe, body, otherwise),
            "with" => Node::With(pipe, body, otherwise),
            _ => Node::Range(pipe, body, otherwise),
        })
    }

    /// Commands up to the closing delimiter, or with `!to_end` to a parenthesis.
    fn pipe(&mut self, context: &str, to_end: bool) -> Result<Pipe, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault("the template nests too deeply"));
        }
        let mut pipe = Pipe::default();
        self.declarations(&mut pipe, context)?;
        let mut command: Vec<Operand> = Vec::new();
        loop {
            match self.token()? {
                Token::End if to_end => break,
                Token::Close if !to_end => break,
                Token::End => return Err(self.fault("unclosed left paren")),
                Token::Pipe => {
                    if command.is_empty() {
                        return Err(self.fault(format!("missing value for {context}")));
                    }
                    pipe.commands.push(std::mem::take(&mut command));
                }
                Token::Field { name, attached: true } if !command.is_empty() => {
                    let last = command.last_mut().expect("the guard says that there is one");
                    if matches!(last.base, Base::Constant(_) | Base::Nil | Base::Function(_)) {
                        return Err(self.fault(format!("unexpected . after term {}", show_base(&last.base))));
                    }
                    last.fields.push(name);
                }
                token => command.push(self.operand(token, context)?),
            }
        }
        self.depth -= 1;
        if !command.is_empty() {
            pipe.commands.push(command);
        }
        if pipe.commands.is_empty() {
            return Err(self.fault(format!("missing value for {context}")));
        }
        for (at, command) in pipe.commands.iter().enumerate().skip(1) {
            // Only the first command may be a plain value.
            if let Base::Constant(_) | Base::Nil | Base::Dot = command[0].base
                && command[0].fields.is_empty()
            {
                return Err(self.fault(format!("non executable command in pipeline stage {}", at + 1)));
            }
        }
        if !pipe.is_assignment {
            self.variables.extend(pipe.variables.iter().cloned());
        }
        Ok(pipe)
    }

    /// `$x :=`, `$i, $x :=` or `$x =` in front of the commands.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        let saved = (self.rest, self.line);
        let mut names = Vec::new();
        while let Token::Variable(name) = self.token()? {
            names.push(name);
            match self.token()? {
                Token::Comma if context == "range" && names.len() == 1 => {}
                token @ (Token::Declare | Token::Assign) => {
                    pipe.is_assignment = token == Token::Assign;
                    pipe.variables = names;
                    return Ok(());
                }
                _ => break,
            }
        }
        (self.rest, self.line) = saved;
        Ok(())
    }

    fn operand(&mut self, token: Token, context: &str) -> Result<Operand, String> {
        let plain = |base| Operand { base, fields: Vec::new() };
        Ok(match token {
            Token::Dot => plain(Base::Dot),
            Token::Field { name, .. } => Operand { base: Base::Dot, fields: vec![name] },
            Token::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(self.fault(format!("undefined variable {}", gotext::quote(&name))));
                }
                plain(Base::Variable(name))
            }
            Token::Number(Number::Int(value)) => plain(Base::Constant(Value::Int(value))),
            Token::Number(Number::Float(value)) => plain(Base::Constant(Value::Float(value))),
            Token::String(text) => plain(Base::Constant(Value::String(text))),
            Token::Word(word) => match word.as_str() {
                "true" | "false" => plain(Base::Constant(Value::Bool(word == "true"))),
                "nil" => plain(Base::Nil),
                _ if (self.is_function)(&word) => plain(Base::Function(word)),
                _ => return Err(self.fault(format!("function {} not defined", gotext::quote(&word)))),
            },
            Token::Open => plain(Base::Pipe(self.pipe("parenthesized pipeline", false)?)),
            token => return Err(self.fault(format!("unexpected {} in {context}", show(&token)))),
        })
    }

    fn token(&mut self) -> Result<Token, String> {
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

fn show(token: &Token) -> String {
    match token {
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

fn show_base(base: &Base) -> String {
    match base {
        Base::Constant(value) => gotext::quote(&value.to_string()),
        Base::Nil => "\"nil\"".to_owned(),
        Base::Function(name) => gotext::quote(name),
        Base::Dot | Base::Variable(_) | Base::Pipe(_) => "value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(text, &|name| name == "lower").err().unwrap_or_else(|| panic!("{text} parses"))
    }

    #[test]
    fn refusals_in_gos_words() {
        for (text, want) in [
            ("{{", "1: unclosed action"),
            ("{{.a", "1: unclosed action"),
            ("{{ if }}", "1: missing value for if"),
            ("{{ env \"HOME\" }}", "1: function \"env\" not defined"),
            ("{{ end }}", "1: unexpected {{end}}"),
            ("{{ if .a }}x", "1: unexpected EOF"),
            ("{{ $x }}", "1: undefined variable \"$x\""),
            ("\n{{ }}", "2: missing value for command"),
        ] {
            assert_eq!(fault(text), want, "{text}");
        }
        assert!(parse("{{ .a | lower | }}", &|name| name == "lower").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in r#"(\{\{|\}\}|[-.$a( )"|`'0:=]|if |end|else |range |/\*|\*/){0,24}"#) {
            let _ = parse(&text, &|_| true);
        }
    }
}
