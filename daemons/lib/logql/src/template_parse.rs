//! Go's `text/template` language: text to tree.

use cairn_model::gotext;

use crate::template_lexer::{Lexer, Number, Token};
use crate::template_value::Value;

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
        lexer: Lexer::new(text),
        is_function,
        variables: vec!["$".to_owned()],
        defined: Vec::new(),
        depth: 0,
    };
    let (body, end) = parser.nodes(false)?;
    match end {
        Closing::Text => Ok(Parsed { body, defined: parser.defined }),
        Closing::End => Err(parser.lexer.fault("unexpected {{end}}")),
        Closing::Else(_) => Err(parser.lexer.fault("unexpected {{else}}")),
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
    lexer: Lexer<'a>,
    is_function: &'a dyn Fn(&str) -> bool,
    variables: Vec<String>,
    defined: Vec<(String, Vec<Node>)>,
    depth: usize,
}

impl Parser<'_> {
    fn nodes(&mut self, in_range: bool) -> Result<(Vec<Node>, Closing), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.lexer.fault("the template nests too deeply"));
        }
        let mut nodes = Vec::new();
        let end = loop {
            let Some(open) = self.lexer.rest.find("{{") else {
                if !self.lexer.rest.is_empty() {
                    nodes.push(Node::Text(self.lexer.rest.to_owned()));
                }
                self.lexer.skip(self.lexer.rest.len());
                break Closing::Text;
            };
            let mut text = &self.lexer.rest[..open];
            let inside = &self.lexer.rest[open + 2..];
            let trims = inside.starts_with('-') && inside[1..].starts_with([' ', '\t', '\r', '\n']);
            if trims {
                text = text.trim_end_matches([' ', '\t', '\r', '\n']);
            }
            if !text.is_empty() {
                nodes.push(Node::Text(text.to_owned()));
            }
            self.lexer.skip(open + 2 + usize::from(trims));
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
        let start = self.lexer.rest.trim_start();
        if !start.starts_with("/*") {
            return Ok(false);
        }
        let offset = self.lexer.rest.len() - start.len();
        let Some(end) = start.find("*/") else { return Err(self.lexer.fault("unclosed comment")) };
        self.lexer.skip(offset + end + 2);
        if !self.lexer.close()? {
            return Err(self.lexer.fault("comment ends before closing delimiter"));
        }
        Ok(true)
    }

    fn action(&mut self, nodes: &mut Vec<Node>, in_range: bool) -> Result<Option<Closing>, String> {
        let before = self.lexer;
        let first = self.lexer.token()?;
        let Token::Word(word) = &first else {
            self.lexer = before;
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
                let saved = self.lexer;
                return Ok(Some(Closing::Else(match self.lexer.token()? {
                    Token::End => "",
                    Token::Word(word) if word == "if" => "if",
                    Token::Word(word) if word == "with" => "with",
                    _ => {
                        self.lexer = saved;
                        return Err(self.lexer.fault("unexpected token in else"));
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
                let Token::String(name) = self.lexer.token()? else {
                    return Err(self.lexer.fault("unexpected token in define clause"));
                };
                self.expect_end("define clause")?;
                let known = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
                let (body, end) = self.nodes(false)?;
                self.variables = known;
                if !matches!(end, Closing::End) {
                    return Err(self.lexer.fault("unexpected EOF in define clause"));
                }
                self.defined.push((name, body));
            }
            "template" | "block" => {
                let is_block = word == "block";
                let Token::String(name) = self.lexer.token()? else {
                    return Err(self.lexer.fault("unexpected token in template clause"));
                };
                let saved = self.lexer;
                let pipe = if self.lexer.token()? == Token::End {
                    None
                } else {
                    self.lexer = saved;
                    Some(self.pipe("template clause", true)?)
                };
                if is_block {
                    let (body, end) = self.nodes(false)?;
                    if !matches!(end, Closing::End) {
                        return Err(self.lexer.fault("unexpected EOF in block clause"));
                    }
                    self.defined.push((name.clone(), body));
                }
                nodes.push(Node::Template(name, pipe));
            }
            "break" | "continue" => {
                let node = if word == "break" { Node::Break } else { Node::Continue };
                if !in_range {
                    return Err(self.lexer.fault(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.expect_end(word)?;
                nodes.push(node);
            }
            _ => {
                self.lexer = before;
                let pipe = self.pipe("command", true)?;
                nodes.push(Node::Action(pipe));
            }
        }
        Ok(None)
    }

    fn expect_end(&mut self, context: &str) -> Result<(), String> {
        match self.lexer.token()? {
            Token::End => Ok(()),
            token => Err(self.lexer.fault(format!("unexpected {} in {context}", token.show()))),
        }
    }

    /// What follows `if`, `with` or `range`, up to its `end`.
    fn block(&mut self, kind: &'static str, in_range: bool) -> Result<Node, String> {
        let known = self.variables.len();
        let pipe = self.pipe(kind, true)?;
        let (body, end) = self.nodes(in_range || kind == "range")?;
        let otherwise = match end {
            Closing::Text => return Err(self.lexer.fault("unexpected EOF")),
            Closing::End => Vec::new(),
            Closing::Else("") => {
                let (otherwise, end) = self.nodes(in_range)?;
                match end {
                    Closing::End => otherwise,
                    Closing::Text => return Err(self.lexer.fault("unexpected EOF")),
                    Closing::Else(_) => return Err(self.lexer.fault("expected end; found {{else}}")),
                }
            }
            // `else if` shares the end of the whole.
            Closing::Else(kind) => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(self.lexer.fault("the template nests too deeply"));
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
            return Err(self.lexer.fault("the template nests too deeply"));
        }
        let mut pipe = Pipe::default();
        self.declarations(&mut pipe, context)?;
        let mut command: Vec<Operand> = Vec::new();
        loop {
            match self.lexer.token()? {
                Token::End if to_end => break,
                Token::Close if !to_end => break,
                Token::End => return Err(self.lexer.fault("unclosed left paren")),
                Token::Pipe => {
                    if command.is_empty() {
                        return Err(self.lexer.fault(format!("missing value for {context}")));
                    }
                    pipe.commands.push(std::mem::take(&mut command));
                }
                Token::Field { name, attached: true } if !command.is_empty() => {
                    let last = command.last_mut().expect("the guard says that there is one");
                    if matches!(last.base, Base::Constant(_) | Base::Nil | Base::Function(_)) {
                        return Err(self
                            .lexer
                            .fault(format!("unexpected . after term {}", show_base(&last.base))));
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
            return Err(self.lexer.fault(format!("missing value for {context}")));
        }
        for (at, command) in pipe.commands.iter().enumerate().skip(1) {
            // Only the first command may be a plain value.
            if let Base::Constant(_) | Base::Nil | Base::Dot = command[0].base
                && command[0].fields.is_empty()
            {
                return Err(self.lexer.fault(format!("non executable command in pipeline stage {}", at + 1)));
            }
        }
        if !pipe.is_assignment {
            self.variables.extend(pipe.variables.iter().cloned());
        }
        Ok(pipe)
    }

    /// `$x :=`, `$i, $x :=` or `$x =` in front of the commands.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        let saved = self.lexer;
        let mut names = Vec::new();
        while let Token::Variable(name) = self.lexer.token()? {
            names.push(name);
            match self.lexer.token()? {
                Token::Comma if context == "range" && names.len() == 1 => {}
                token @ (Token::Declare | Token::Assign) => {
                    pipe.is_assignment = token == Token::Assign;
                    pipe.variables = names;
                    return Ok(());
                }
                _ => break,
            }
        }
        self.lexer = saved;
        Ok(())
    }

    fn operand(&mut self, token: Token, context: &str) -> Result<Operand, String> {
        let plain = |base| Operand { base, fields: Vec::new() };
        Ok(match token {
            Token::Dot => plain(Base::Dot),
            Token::Field { name, .. } => Operand { base: Base::Dot, fields: vec![name] },
            Token::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(self.lexer.fault(format!("undefined variable {}", gotext::quote(&name))));
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
                _ => return Err(self.lexer.fault(format!("function {} not defined", gotext::quote(&word)))),
            },
            Token::Open => plain(Base::Pipe(self.pipe("parenthesized pipeline", false)?)),
            token => return Err(self.lexer.fault(format!("unexpected {} in {context}", token.show()))),
        })
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
