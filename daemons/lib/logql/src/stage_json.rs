//! `| json`: every member of the line's object as a label, or the values at given paths.

use std::borrow::Cow;

use crate::ast::Extraction;
use crate::json_path::{self, PathStep};
use crate::json_scan::{self, Event, Kind, Step};
use crate::labelset::LabelSet;
use crate::pipeline::Hints;

/// The error label of a line that is no JSON.
pub(crate) const JSON_ERROR: &str = "JSONParserErr";

/// A label name from a key: other characters than letters, digits and `_` become `_`, one for one; a leading digit
/// gets a `_` in front when the key starts the name.
pub(crate) fn sanitize<'k>(key: &'k str, starts_name: bool) -> Cow<'k, str> {
    let key = key.trim();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let needs_prefix = starts_name && key.starts_with(|c: char| c.is_ascii_digit());
    if !needs_prefix && key.bytes().all(is_word) {
        return Cow::Borrowed(key);
    }
    let mut out = String::with_capacity(key.len() + 1);
    if needs_prefix {
        out.push('_');
    }
    out.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }));
    Cow::Owned(out)
}

/// Runs `| json`.
pub(crate) fn parse_all(line: &[u8], labels: &mut LabelSet<'_>, hints: &Hints) {
    // The name so far and where each entered object's part of it starts.
    let mut prefix = String::new();
    let mut starts: Vec<usize> = Vec::new();
    let mut progress = hints.progress();
    let result = json_scan::each_member(line, &mut |event| {
        let (key, value, kind) = match event {
            Event::Leave => {
                prefix.truncate(starts.pop().unwrap_or(0));
                return Step::Continue;
            }
            Event::Fault { .. } => return Step::Stop,
            Event::Member { key, value, kind } => (key, value, kind),
        };
        match kind {
            Kind::Array | Kind::Null => return Step::Continue,
            // A name of this length comes from hostile nesting; nothing of use lies below it.
            Kind::Object if prefix.len() > MAX_NAME_BYTES => return Step::SkipObject,
            _ => {}
        }
        let key = String::from_utf8_lossy(&key);
        let part = sanitize(&key, prefix.is_empty());
        if kind == Kind::Object {
            starts.push(prefix.len());
            if !prefix.is_empty() {
                prefix.push('_');
            }
            prefix.push_str(&part);
            return Step::Continue;
        }
        let name = if starts.is_empty() {
            part
        } else {
            let len = prefix.len();
            prefix.push('_');
            prefix.push_str(&part);
            let name = prefix.clone();
            prefix.truncate(len);
            Cow::Owned(name)
        };
        if name.is_empty() {
            return Step::Continue;
        }
        let name = labels.parsed_name(name);
        if !hints.wants(&name) || labels.has_parsed(&name) {
            return Step::Continue;
        }
        match kind {
            Kind::String => labels.set(&name, &json_scan::string_value(value)),
            _ => labels.set(&name, &String::from_utf8_lossy(value)),
        }
        if progress.found_one() { Step::Stop } else { Step::Continue }
    });
    if let Err(error) = result {
        labels.set_error(JSON_ERROR, &error.to_string());
    }
}

/// Longest name that nesting may build, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// `| json name="path"`, compiled.
pub(crate) struct JsonPaths {
    paths: Vec<(String, Vec<PathStep>)>,
}

impl JsonPaths {
    /// Compiles the paths.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub(crate) fn compile(extractions: &[Extraction]) -> Result<Self, String> {
        let compile = |e: &Extraction| {
            let path = parse_path(&e.source)
                .map_err(|message| format!("cannot parse expression [{}]: {message}", e.source))?;
            Ok((e.name.clone(), path))
        };
        Ok(Self { paths: extractions.iter().map(compile).collect::<Result<_, String>>()? })
    }

    /// Sets a label for each path; an empty one where there is nothing.
    pub(crate) fn run(&self, line: &[u8], labels: &mut LabelSet<'_>) {
        let Some(first) = line.first() else { return };
        if !matches!(first, b'{' | b'[' | b'"') {
            labels.set_error(JSON_ERROR, "");
            return;
        }
        for (name, path) in &self.paths {
            let found = json_path::lookup(line, path).unwrap_or_else(|error| {
                labels.set_error(JSON_ERROR, &error.to_string());
                None
            });
            let Some((value, kind)) = found else {
                if labels.get(name).is_none() {
                    labels.set(name, "");
                }
                continue;
            };
            let name = labels.parsed_name(Cow::Borrowed(name));
            match kind {
                Kind::Null => labels.set(&name, ""),
                Kind::String => labels.set(&name, &json_scan::string_value(value)),
                _ => labels.set(&name, &String::from_utf8_lossy(value)),
            }
        }
    }
}

/// Reads `a.b[0]["odd key"]`.
fn parse_path(text: &str) -> Result<Vec<PathStep>, String> {
    let unexpected =
        |what: &str, expecting: &str| format!("syntax error: unexpected {what}, expecting {expecting}");
    let mut steps = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let is_first = steps.is_empty();
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = bracket(inside)?;
            steps.push(step);
            rest = after.trim_start();
        } else {
            let after_dot = rest.strip_prefix('.');
            let field = match (is_first, after_dot) {
                (true, None) => rest,
                (false, Some(after)) => after,
                (false, None) if rest.is_empty() => return Ok(steps),
                (true, Some(_)) => return Err(unexpected("DOT", "LSB or FIELD")),
                (false, None) => return Err(format!("syntax error: unexpected {}", token_name(rest))),
            };
            let expecting = if is_first { "LSB or FIELD" } else { "FIELD" };
            let len = field.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(field.len());
            if len == 0 || field.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(unexpected(token_name(field), expecting));
            }
            steps.push(PathStep::Field(field[..len].to_owned()));
            rest = field[len..].trim_start();
        }
        if steps.len() > MAX_PATH_STEPS {
            return Err(format!("the path has more than {MAX_PATH_STEPS} steps"));
        }
    }
}

/// Most steps of one path.
const MAX_PATH_STEPS: usize = 128;

fn token_name(rest: &str) -> &'static str {
    match rest.chars().next() {
        Some('.') => "DOT",
        Some('[') => "LSB",
        Some(']') => "RSB",
        Some('"') => "STRING",
        Some(c) if c.is_ascii_digit() => "INDEX",
        Some(c) if c.is_alphabetic() || c == '_' => "FIELD",
        _ => "$end",
    }
}

/// What stands between brackets, and what follows them.
fn bracket(inside: &str) -> Result<(PathStep, &str), String> {
    let fail =
        |rest: &str| format!("syntax error: unexpected {}, expecting STRING or INDEX", token_name(rest));
    let inside = inside.trim_start();
    let (step, rest) = if let Some(body) = inside.strip_prefix('"') {
        let mut escaped = false;
        let end = body
            .char_indices()
            .find(|(_, c)| {
                let is_end = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                is_end
            })
            .map(|(at, _)| at);
        let end = end.ok_or_else(|| "syntax error: unexpected $end, expecting STRING or INDEX".to_owned())?;
        let name = cairn_model::gotext::unescape(&body[..end], '"').map_err(|e| e.to_string())?;
        (PathStep::Field(name), &body[end + 1..])
    } else {
        let len = inside.bytes().take_while(u8::is_ascii_digit).count();
        let index = inside[..len].parse::<usize>().map_err(|_| fail(inside))?;
        (PathStep::Index(index), &inside[len..])
    };
    let rest = rest.trim_start();
    let after = rest
        .strip_prefix(']')
        .ok_or_else(|| format!("syntax error: unexpected {}, expecting RSB", token_name(rest)))?;
    Ok((step, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (key, want) in
            [("1a", "_1a"), ("a.b", "a_b"), ("é", "_"), (" x ", "x"), ("a-b c", "a_b_c"), ("", "")]
        {
            assert_eq!(sanitize(key, true), want);
        }
        assert_eq!(sanitize("2b", false), "2b");
    }

    #[test]
    fn paths() {
        let field = |name: &str| PathStep::Field(name.to_owned());
        for (text, want) in [
            ("a.b.c", vec![field("a"), field("b"), field("c")]),
            ("a[0].b", vec![field("a"), PathStep::Index(0), field("b")]),
            (r#"["odd key"][1]"#, vec![field("odd key"), PathStep::Index(1)]),
        ] {
            assert_eq!(parse_path(text), Ok(want), "{text}");
        }
        for (text, want) in [
            ("", "syntax error: unexpected $end, expecting LSB or FIELD"),
            ("a.", "syntax error: unexpected $end, expecting FIELD"),
            ("tags[-1]", "syntax error: unexpected $end, expecting STRING or INDEX"),
            ("tags[a]", "syntax error: unexpected FIELD, expecting STRING or INDEX"),
            ("tags[", "syntax error: unexpected $end, expecting STRING or INDEX"),
        ] {
            assert_eq!(parse_path(text), Err(want.to_owned()), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(text in r#"[\[\]".a0é\\ ]{0,20}"#) {
            let _ = parse_path(&text);
        }
    }
}
