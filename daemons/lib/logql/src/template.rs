//! Go's `text/template` language: running a parsed template on an entry.
//!
//! A template comes from a query, its data from a log line: both are strangers'. Steps and output are bounded.

use std::collections::BTreeMap;

use cairn_model::TimeNs;

use crate::labelset::LabelSet;
use crate::template_funcs;
use crate::template_parse::{Base, Node, Operand, Parsed, Pipe, parse};
use crate::template_value::Value;

/// Most bytes that one run may print.
pub(crate) const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Most nodes and commands that one run may evaluate.
const MAX_STEPS: usize = 100_000;
/// Deepest call of defined templates.
const MAX_CALLS: usize = 50;

/// A template, parsed once per query.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    name: &'static str,
    parsed: Parsed,
    /// The whole template when it is but text: no entry need be looked at.
    text: Option<String>,
}

/// What a template sees of an entry.
pub(crate) struct Input<'a> {
    pub(crate) labels: Value,
    pub(crate) time: TimeNs,
    pub(crate) line: &'a [u8],
}

impl<'a> Input<'a> {
    /// The labels as they are now, errors included.
    pub(crate) fn new(labels: &LabelSet<'_>, time: TimeNs, line: &'a [u8]) -> Self {
        let labels: BTreeMap<String, String> =
            labels.all().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { labels: Value::Labels(labels), time, line }
    }
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl Template {
    /// Parses a template; `name` stands in messages.
    ///
    /// # Errors
    /// Go's text, from `template:` on.
    pub(crate) fn compile(name: &'static str, text: &str) -> Result<Self, String> {
        let parsed = parse(text, &template_funcs::is_known)
            .map_err(|message| format!("template: {name}:{message}"))?;
        let text = match parsed.body.as_slice() {
            [] => Some(String::new()),
            [Node::Text(text)] => Some(text.clone()),
            _ => None,
        };
        Ok(Self { name, parsed, text })
    }

    /// The output, when it is the same for every entry.
    pub(crate) fn constant(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Renders the template.
    ///
    /// # Errors
    /// What went wrong, in the manner of Go's text.
    pub(crate) fn render(&self, input: &Input<'_>) -> Result<String, String> {
        let mut run = Run {
            template: self,
            input,
            out: String::new(),
            variables: vec![("$".to_owned(), input.labels.clone())],
            steps: 0,
            calls: 0,
        };
        run.nodes(&self.parsed.body, &input.labels)
            .map_err(|message| format!("template: {0}:1: executing \"{0}\": {message}", self.name))?;
        Ok(run.out)
    }
}

struct Run<'a> {
    template: &'a Template,
    input: &'a Input<'a>,
    out: String,
    variables: Vec<(String, Value)>,
    steps: usize,
    calls: usize,
}

impl Run<'_> {
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(format!("the template runs for more than {MAX_STEPS} steps"));
        }
        Ok(())
    }

    fn print(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > MAX_OUTPUT_BYTES {
            return Err(format!("the template prints more than {MAX_OUTPUT_BYTES} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, String> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => self.print(text).map(|()| Flow::Next)?,
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.print(&value.to_string())?;
                    }
                    Flow::Next
                }
                Node::If(pipe, then, otherwise) => {
                    let known = self.variables.len();
                    let branch = if self.pipe(pipe, dot)?.is_true() { then } else { otherwise };
                    let flow = self.nodes(branch, dot)?;
                    self.variables.truncate(known);
                    flow
                }
                Node::With(pipe, then, otherwise) => {
                    let known = self.variables.len();
                    let value = self.pipe(pipe, dot)?;
                    let flow =
                        if value.is_true() { self.nodes(then, &value)? } else { self.nodes(otherwise, dot)? };
                    self.variables.truncate(known);
                    flow
                }
                Node::Range(pipe, body, otherwise) => {
                    self.range(pipe, body, otherwise, dot)?;
                    Flow::Next
                }
                Node::Template(name, pipe) => {
                    let dot = pipe.as_ref().map_or(Ok(Value::Nil), |pipe| self.pipe(pipe, dot))?;
                    self.call(name, &dot)?;
                    Flow::Next
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn call(&mut self, name: &str, dot: &Value) -> Result<(), String> {
        let template = self.template;
        let (_, body) = template
            .parsed
            .defined
            .iter()
            .rfind(|(defined, _)| defined == name)
            .ok_or_else(|| format!("template {} not defined", cairn_model::gotext::quote(name)))?;
        if self.calls == MAX_CALLS {
            return Err(format!("templates call each other more than {MAX_CALLS} deep"));
        }
        self.calls += 1;
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        self.nodes(body, dot)?;
        self.variables = variables;
        self.calls -= 1;
        Ok(())
    }

    fn range(&mut self, pipe: &Pipe, body: &[Node], otherwise: &[Node], dot: &Value) -> Result<(), String> {
        let known = self.variables.len();
        let value = self.commands(pipe, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| (Value::Int(i64::try_from(at).unwrap_or(0)), item))
                .collect(),
            Value::Map(members) => members.into_iter().map(|(k, v)| (Value::String(k), v)).collect(),
            Value::Labels(labels) => {
                labels.into_iter().map(|(k, v)| (Value::String(k), Value::String(v))).collect()
            }
            Value::Int(count) => {
                let most = i64::try_from(MAX_STEPS).unwrap_or(i64::MAX);
                (0..count.min(most)).map(|n| (Value::Int(n), Value::Int(n))).collect()
            }
            Value::Nil => Vec::new(),
            other => return Err(format!("range can't iterate over {other}")),
        };
        if items.is_empty() {
            self.nodes(otherwise, dot)?;
        }
        for (key, item) in items {
            self.step()?;
            match pipe.variables.as_slice() {
                [] => {}
                [one] => self.bind(pipe, one, item.clone()),
                [first, second, ..] => {
                    self.bind(pipe, first, key);
                    self.bind(pipe, second, item.clone());
                }
            }
            if self.nodes(body, &item)? == Flow::Break {
                break;
            }
            if !pipe.is_assignment {
                self.variables.truncate(known);
            }
        }
        self.variables.truncate(known);
        Ok(())
    }

    fn bind(&mut self, pipe: &Pipe, name: &str, value: Value) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        match known {
            Some((_, slot)) if pipe.is_assignment => *slot = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    /// Evaluates a pipeline and binds its variables.
    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, String> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.bind(pipe, name, value.clone());
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, String> {
        let mut value: Option<Value> = None;
        for command in &pipe.commands {
            self.step()?;
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Value::Nil))
    }

    fn command(&mut self, command: &[Operand], dot: &Value, last: Option<Value>) -> Result<Value, String> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Nil) };
        let Base::Function(name) = &first.base else {
            if !rest.is_empty() || last.is_some() {
                return Err("can't give argument to non-function".to_owned());
            }
            return self.operand(first, dot);
        };
        // These two stop at the argument that decides.
        if name == "and" || name == "or" {
            return self.logical(name == "and", rest, dot, last);
        }
        let mut args =
            rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        args.extend(last);
        template_funcs::call(name, &args, self.input)
    }

    fn logical(
        &mut self,
        is_and: bool,
        operands: &[Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, String> {
        let mut value = None;
        for operand in operands {
            let next = self.operand(operand, dot)?;
            if next.is_true() != is_and {
                return Ok(next);
            }
            value = Some(next);
        }
        let word = if is_and { "and" } else { "or" };
        last.or(value).ok_or_else(|| format!("wrong number of args for {word}: want at least 1 got 0"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        let mut value = match &operand.base {
            Base::Dot => match operand.fields.split_first() {
                // The usual case, without a copy of all labels.
                Some((first, rest)) => {
                    return rest.iter().try_fold(dot.field(first)?, |value, name| value.field(name));
                }
                None => dot.clone(),
            },
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map_or(Value::Nil, |(_, value)| value.clone())
            }
            Base::Constant(value) => value.clone(),
            Base::Nil => Value::Nil,
            Base::Function(name) => template_funcs::call(name, &[], self.input)?,
            Base::Pipe(pipe) => self.pipe(pipe, dot)?,
        };
        for name in &operand.fields {
            value = value.field(name)?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Result<String, String> {
        let labels = [
            ("a", " Hello World "),
            ("b", "3"),
            ("c", "2.5"),
            ("j", r#"{"k":"v","list":[1,2,3]}"#),
            ("em", ""),
        ];
        let labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into_iter().collect();
        let input = Input {
            labels: Value::Labels(labels),
            time: TimeNs(1_795_226_413_186_654_388),
            line: b"the line",
        };
        Template::compile("line", text)?.render(&input)
    }

    /// The table of loki.md 2.7, rendered on a live Loki.
    #[test]
    fn what_a_live_server_rendered() {
        for (text, want) in [
            (r#"{{title "hello world"}}"#, "Hello World"),
            (r#"{{Replace .a "l" "L" 1}}"#, " HeLlo World "),
            (r#"{{trimAll "$" "$5$"}}"#, "5"),
            (r#"{{trimPrefix "He" "Hello"}}{{TrimPrefix "Hello" "He"}}"#, "llollo"),
            (r#"{{regexReplaceAll "(l+)" .a "<${1}>"}}"#, " He<ll>o Wor<l>d "),
            (r#"{{regexReplaceAllLiteral "l+" .a "${1}"}}"#, " He${1}o Wor${1}d "),
            (r#"{{count "l" .a}}"#, "3"),
            (r#"{{contains "ell" .a}}"#, "true"),
            (r#"{{substr 1 3 "abcdef"}}{{substr -1 3 "abcdef"}}{{substr 2 -1 "abcdef"}}"#, "bcabccdef"),
            (r#"{{trunc 3 "abcdef"}}{{trunc -3 "abcdef"}}"#, "abcdef"),
            (
                r#"{{alignLeft 5 .b}}|{{alignRight 5 .b}}|{{alignLeft 3 "abcdef"}}|{{alignRight 3 "abcdef"}}"#,
                "3    |    3|abc|def",
            ),
            (r#"{{indent 2 "a"}}{{nindent 2 "a"}}"#, "  a\n  a"),
            (r#"{{urlencode "a b&c"}} {{urldecode "a%20b+c"}}"#, "a+b%26c a b c"),
            (r#"{{b64enc "hi"}} {{b64dec "aGk"}}"#, "aGk= hi"),
            (r#"{{bytes "1.5MB"}} {{duration "1m30s"}}"#, "1.5e+06 90"),
            (r#"{{int "12abc"}} {{int "2.9"}} {{float64 "2.5"}}"#, "0 2 2.5"),
            (r"{{add .b 1 2}} {{sub 5 .b}} {{mul .b 2}} {{div 7 2}} {{mod 7 3}}", "6 2 6 3 1"),
            (
                r"{{addf .c 1.5}} {{subf 5 .c 1}} {{divf 5 2}} {{addf 0.1 0.2}} {{mulf 1.1 1.1}}",
                "4 1.5 2.5 0.3 1.21",
            ),
            (r"{{max 1 5 3}} {{min 2 1}} {{maxf 1.5 2.5}}", "5 1 2.5"),
            (
                r"{{ceil .c}} {{floor .c}} {{round 2.567 2}} {{round 2.5 0}} {{round 2.345 2 0.4}}",
                "3 2 2.57 3 2.35",
            ),
            (r#"{{default "x" .em}}"#, "x"),
            (
                r#"{{range $i, $x := (fromJson .j).list}}{{$i}}={{$x}};{{end}}{{index (fromJson .j) "k"}}"#,
                "0=1;1=2;2=3;v",
            ),
            (r"{{fromJson .a}}", "<no value>"),
            (
                r#"{{__timestamp__ | date "2006-01-02T15:04:05.000Z07:00"}} {{__line__}}"#,
                "2026-11-21T02:00:13.186Z the line",
            ),
            (r#"{{unixEpoch (unixToTime "1700000000")}}"#, "1700000000"),
            (r"{{- .b -}}   x", "3x"),
            (r#"{{if eq .b "3"}}y{{else if true}}z{{else}}n{{end}}{{with .em}}w{{else}}e{{end}}"#, "ye"),
            (r#"{{define "x"}}d{{.}}{{end}}{{template "x" .b}}"#, "d3"),
            (r#"{{printf "%-3s|%3s|%q|%05d|%.2f|%v" .b .b .b 42 2.5 .c}}"#, "3  |  3|\"3\"|00042|2.50|2.5"),
            (r"{{$x := .b}}{{$x}}{{not true}} {{or .em .b}} {{and .b .c}} {{len .b}}", "3false 3 2.5 1"),
        ] {
            assert_eq!(render(text), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_fails_while_running() {
        for text in [
            "{{div 1 0}}",
            "{{index .b 9}}",
            "{{template \"x\"}}",
            "{{upper 5}}",
            "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}",
            "{{repeat 100000000 \"x\"}}",
            "{{range $x := 100000}}{{range $y := 100000}}{{end}}{{end}}",
        ] {
            assert!(render(text).is_err(), "{text}");
        }
    }
}
