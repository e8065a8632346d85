//! Cuts a script into commands.

use regex::Regex;

use cairn_model::duration::parse_prometheus;

pub(crate) enum Command {
    Clear,
    Load { step_ms: i64, lines: Vec<String>, with_nhcb: bool },
    Eval(Box<Eval>),
}

/// What must come out.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) ordered: bool,
    pub(crate) fails: Option<Want>,
    pub(crate) warn: Vec<Want>,
    pub(crate) info: Vec<Want>,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    /// From, to, step: the result is a range vector.
    pub(crate) range_vector: Option<(i64, i64, i64)>,
    pub(crate) string: Option<String>,
    pub(crate) lines: Vec<String>,
}

/// A text that must be there.
#[derive(Clone)]
pub(crate) enum Want {
    Any,
    Message(String),
    Pattern(Regex),
}

impl Want {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Message(message) => message == text,
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

pub(crate) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

pub(crate) struct Eval {
    pub(crate) line: usize,
    pub(crate) when: When,
    pub(crate) text: String,
    pub(crate) expected: Expected,
    /// The lines below the statement, as they stand.
    pub(crate) body: Vec<String>,
}

fn duration(text: &str) -> i64 {
    parse_prometheus(text.trim()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn commands(text: &str) -> Vec<Command> {
    let load = Regex::new(r"^load(?:_(with_nhcb))?\s+(.+?)$").unwrap();
    let instant =
        Regex::new(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$").unwrap();
    let range =
        Regex::new(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$")
            .unwrap();
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let head = lines[at];
        let number = at + 1;
        at += 1;
        if head.is_empty() {
            continue;
        }
        if head.starts_with("clear") {
            commands.push(Command::Clear);
            continue;
        }
        let mut body = Vec::new();
        while at < lines.len() && !lines[at].is_empty() {
            body.push(lines[at].to_owned());
            at += 1;
        }
        if let Some(found) = load.captures(head) {
            let with_nhcb = found.get(1).is_some();
            commands.push(Command::Load { step_ms: duration(&found[2]), lines: body, with_nhcb });
        } else if let Some(found) = range.captures(head) {
            let when = When::Range {
                start: duration(&found[2]),
                end: duration(&found[3]),
                step: duration(&found[4]),
            };
            let expected = expected(found.get(1).map(|m| m.as_str()), &body);
            commands.push(Command::Eval(Box::new(Eval {
                line: number,
                when,
                text: found[5].to_owned(),
                expected,
                body,
            })));
        } else if let Some(found) = instant.captures(head) {
            let when = When::Instant(found.get(2).map_or(0, |m| duration(m.as_str())));
            let expected = expected(found.get(1).map(|m| m.as_str()), &body);
            commands.push(Command::Eval(Box::new(Eval {
                line: number,
                when,
                text: found[3].to_owned(),
                expected,
                body,
            })));
        } else {
            panic!("line {number}: unknown command {head}");
        }
    }
    commands
}

fn expected(old_form: Option<&str>, body: &[String]) -> Expected {
    let line_form =
        Regex::new(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$").unwrap();
    let range_form = Regex::new(r"^expect range vector from (.+) to (.+) step (.+)$").unwrap();
    let mut expected = Expected::default();
    match old_form {
        Some("fail") => expected.fails = Some(Want::Any),
        Some("warn") => expected.warn.push(Want::Any),
        Some("info") => expected.info.push(Want::Any),
        Some("ordered") => expected.ordered = true,
        _ => {}
    }
    for line in body {
        if let Some(found) = line_form.captures(line) {
            let want = match (found.get(2).map(|m| m.as_str()), found.get(3).map(|m| m.as_str().trim())) {
                (Some("msg"), Some(text)) => Want::Message(text.to_owned()),
                (Some("regex"), Some(text)) => Want::Pattern(Regex::new(text).unwrap()),
                _ => Want::Any,
            };
            match &found[1] {
                "ordered" => expected.ordered = true,
                "fail" => expected.fails = Some(want),
                "warn" => expected.warn.push(want),
                "info" => expected.info.push(want),
                "no_warn" => expected.no_warn = true,
                _ => expected.no_info = true,
            }
        } else if let Some(found) = range_form.captures(line) {
            expected.range_vector = Some((duration(&found[1]), duration(&found[2]), duration(&found[3])));
        } else if let Some(text) = line.strip_prefix("expect string ") {
            let text = text.trim();
            let body = &text[1..text.len() - 1];
            expected.string = Some(match text.chars().next() {
                Some('`') => body.to_owned(),
                _ => cairn_model::gotext::unescape(body, '"').unwrap(),
            });
        } else if let Some(text) = line.strip_prefix("expected_fail_message ") {
            expected.fails = Some(Want::Message(text.trim().to_owned()));
        } else if let Some(text) = line.strip_prefix("expected_fail_regexp ") {
            expected.fails = Some(Want::Pattern(Regex::new(text.trim()).unwrap()));
        } else {
            expected.lines.push(line.clone());
        }
    }
    expected
}
