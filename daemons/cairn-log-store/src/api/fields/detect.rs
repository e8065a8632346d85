//! Which fields do these entries have, and of which type.

use std::collections::{BTreeMap, BTreeSet};

use cairn_logql::{EvalError, LogAnswer, LogExpr};
use serde_json::Value;

use super::replay::{Parsed, Replay};

/// Nesting of JSON that is followed for a field's path; the parser itself goes deeper, its fields then have no path.
const MAX_DEPTH: usize = 32;

/// Fields by name.
pub(super) type Fields = BTreeMap<String, Field>;

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The type of the first value.
    pub kind: Kind,
    /// All values.
    pub values: BTreeSet<String>,
    /// The parsers that found it; none for structured metadata.
    pub parsers: Vec<&'static str>,
    /// Its keys in a JSON line.
    pub json_path: Option<Vec<String>>,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    String,
}

impl Kind {
    /// Loki's name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    /// The first type that fits.
    fn of(value: &str) -> Self {
        if value.parse::<i64>().is_ok() {
            Self::Int
        } else if cairn_model::number::parse_float(value).is_some() {
            Self::Float
        } else if matches!(
            value,
            "t" | "T" | "TRUE" | "true" | "True" | "f" | "F" | "FALSE" | "false" | "False"
        ) {
            Self::Boolean
        } else if cairn_model::duration::parse_go(value).is_some() {
            Self::Duration
        } else if is_bytes(value) {
            Self::Bytes
        } else {
            Self::String
        }
    }
}

/// `5kB`, `3 MiB`, `1.5g`: a number and a unit.
fn is_bytes(value: &str) -> bool {
    let unit_at = value.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',')).unwrap_or(value.len());
    let (number, unit) = value.split_at(unit_at);
    let unit = unit.trim().to_ascii_lowercase();
    let is_unit = unit == "b"
        || unit
            .strip_prefix(['k', 'm', 'g', 't', 'p', 'e'])
            .is_some_and(|rest| matches!(rest, "" | "b" | "i" | "ib"));
    is_unit && number.replace(',', "").parse::<f64>().is_ok()
}

/// Finds the fields of the entries, at most `max_fields` of them: structured metadata, what the query's own pipeline
/// parsed, and what `json`, or else `logfmt`, finds in each line.
pub(super) fn detect(answer: &LogAnswer, expr: &LogExpr, max_fields: usize) -> Result<Fields, EvalError> {
    let replay = Replay::new(answer);
    let (json, logfmt) = (replay.json(expr)?, replay.logfmt(expr)?);
    let mut fields = Fields::new();
    for ((entry, json), logfmt) in answer.entries.iter().zip(json).zip(logfmt) {
        let labels = &entry.labels;
        for (name, value) in labels.metadata.iter() {
            add(&mut fields, max_fields, name, value, None, None);
        }
        let (parser, found): (Option<&'static str>, Parsed) = match (json, logfmt) {
            (Some(found), _) => (Some("json"), found),
            (None, Some(found)) => (Some("logfmt"), found),
            (None, None) => (None, Vec::new()),
        };
        let paths = if parser == Some("json") { paths_of(&entry.line) } else { BTreeMap::new() };
        for (name, value) in
            labels.parsed.iter().chain(&found).filter(|(name, _)| !name.starts_with("__error"))
        {
            let path = paths.get(name.strip_suffix("_extracted").unwrap_or(name)).or_else(|| paths.get(name));
            add(&mut fields, max_fields, name, value, parser, path);
        }
    }
    Ok(fields)
}

fn add(
    fields: &mut Fields,
    max_fields: usize,
    name: &str,
    value: &str,
    parser: Option<&'static str>,
    path: Option<&Vec<String>>,
) {
    if !fields.contains_key(name) && fields.len() >= max_fields {
        return;
    }
    let field = fields.entry(name.to_owned()).or_insert_with(|| Field {
        kind: Kind::of(value),
        values: BTreeSet::new(),
        parsers: Vec::new(),
        json_path: None,
    });
    if !field.values.contains(value) {
        field.values.insert(value.to_owned());
    }
    field.parsers.extend(parser.filter(|parser| !field.parsers.contains(parser)));
    if field.json_path.is_none() {
        field.json_path = path.cloned();
    }
}

/// The keys of each member of a JSON object, by the name that the parser gives it.
fn paths_of(line: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    if let Ok(Value::Object(members)) = serde_json::from_slice(line) {
        collect_paths(&members, &mut Vec::new(), &mut out);
    }
    out
}

fn collect_paths(
    members: &serde_json::Map<String, Value>,
    path: &mut Vec<String>,
    out: &mut BTreeMap<String, Vec<String>>,
) {
    if path.len() >= MAX_DEPTH {
        return;
    }
    for (key, value) in members {
        path.push(key.clone());
        match value {
            Value::Object(inner) => collect_paths(inner, path, out),
            _ => {
                let name: Vec<String> = path.iter().map(|part| sanitize(part)).collect();
                out.entry(name.join("_")).or_insert_with(|| path.clone());
            }
        }
        path.pop();
    }
}

fn sanitize(key: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out: String = key.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_logql::{EntryLabels, LogEntry, Stats};
    use cairn_model::{Labels, TimeNs};
    use std::sync::Arc;

    #[test]
    fn types_of_values() {
        for (value, kind) in [
            ("-12", Kind::Int),
            ("1", Kind::Int),
            ("0.5", Kind::Float),
            ("true", Kind::Boolean),
            ("1h2m", Kind::Duration),
            ("5kB", Kind::Bytes),
            ("3 MiB", Kind::Bytes),
            ("abc", Kind::String),
            ("", Kind::String),
            ("b", Kind::String),
        ] {
            assert_eq!(Kind::of(value), kind, "{value}");
        }
    }

    #[test]
    fn fields_of_metadata_json_and_logfmt() {
        let labels = Arc::new(EntryLabels {
            stream: Labels::from_pairs([("app", "x")]),
            metadata: Labels::from_pairs([("trace_id", "t1")]),
            parsed: vec![],
        });
        let entry = |time, line: &str| LogEntry {
            time: TimeNs(time),
            line: line.as_bytes().to_vec(),
            labels: Arc::clone(&labels),
        };
        let entries = vec![
            entry(3, r#"{"status":500,"req":{"User-Agent":"curl"},"app":"shadow"}"#),
            entry(2, "took=5ms status=200"),
            entry(1, "nothing here"),
        ];
        let answer = LogAnswer { entries, stats: Stats::default() };
        let Ok(cairn_logql::Expr::Log(expr)) = cairn_logql::parse(r#"{app="x"}"#) else {
            panic!("a log query")
        };
        let fields = detect(&answer, &expr, 100).unwrap();
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(names, ["app_extracted", "req_User_Agent", "status", "took", "trace_id"]);
        assert_eq!(fields["status"].parsers, ["json", "logfmt"]);
        assert_eq!(fields["status"].values.len(), 2);
        assert_eq!(fields["req_User_Agent"].json_path, Some(vec!["req".to_owned(), "User-Agent".to_owned()]));
        assert_eq!(fields["took"].kind, Kind::Duration);
        assert!(fields["trace_id"].parsers.is_empty());
        assert_eq!(detect(&answer, &expr, 2).unwrap().len(), 2, "bounded");
    }
}
