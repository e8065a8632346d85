//! `regex`: named groups of a regular expression become extracted values.

use std::borrow::Cow;
use std::sync::Arc;

use cairn_model::goregex;
use serde::Deserialize;
use serde_json::Value;

use super::entry::{self, Entry};
use super::stage::{EntryStage, Stage};

/// Searches the line, or the value of a source, and extracts the named groups of the first match. A group that took no
/// part in it is extracted as empty text, as Go has it. Without a match, or without the source, nothing changes.
#[derive(Debug)]
struct Regex {
    expression: regex::bytes::Regex,
    /// Number and name of each named group.
    groups: Vec<(usize, Arc<str>)>,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    expression: String,
    source: Option<String>,
}

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    let Options { expression, source } =
        serde_json::from_value(options.clone()).map_err(|error| error.to_string())?;
    if expression.is_empty() {
        return Err("expression must not be empty".to_owned());
    }
    if source.as_ref().is_some_and(String::is_empty) {
        return Err("source must not be empty; without it the line is searched".to_owned());
    }
    let expression =
        goregex::compile_search_bytes(&expression).map_err(|error| format!("expression: {error}"))?;
    let names = expression.capture_names().enumerate();
    let groups = names.filter_map(|(number, name)| Some((number, name?.into()))).collect();
    Ok(Stage::Entry(Box::new(Regex { expression, groups, source })))
}

impl EntryStage for Regex {
    fn process(&self, entry: &mut Entry<'_>) -> Result<(), &str> {
        let text = match &self.source {
            None => Cow::Borrowed(&*entry.line),
            // A copy: the values that are about to be set may include the source itself.
            Some(source) => match entry.extracted.text(source) {
                Some(text) => Cow::Owned(text.into_owned()),
                None => return Ok(()),
            },
        };
        if let Some(found) = self.expression.captures(&text) {
            for (number, name) in &self.groups {
                let value = found.get(*number).map(|group| group.as_bytes().to_vec()).unwrap_or_default();
                entry.extracted.set(name, entry::Value::Text(value));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::run::harness::Harness;

    #[test]
    fn named_groups_of_the_first_match_are_extracted() {
        let mut file = Harness::new(json!([
            {"regex": {"expression": "(?P<method>GET|POST) (?:/(?P<first>\\w+))?(/(?<rest>\\S*))?"}},
            {"labels": {"method": null, "first": null, "rest": null}},
            {"output": {"source": "rest"}},
        ]));
        let of = |labels: &str, line: &str| format!("{{{labels}}} {line}");
        assert_eq!(
            file.feed(&["x GET /a/b?c POST /d", "POST ", "PUT /a"]),
            [
                of(r#"filename="/a", first="a", job="x", method="GET", rest="b?c""#, "b?c"),
                of(r#"filename="/a", job="x", method="POST""#, ""),
                of(r#"filename="/a", job="x""#, "PUT /a"),
            ]
        );
    }

    #[test]
    fn a_source_is_searched_instead_of_the_line() {
        let mut file = Harness::new(json!([
            {"regex": {"expression": "user=(?P<user>\\S+)"}},
            {"regex": {"source": "user", "expression": "^(?P<user>[^@]+)@"}},
            {"labels": {"user": null}},
        ]));
        assert_eq!(
            file.feed(&["user=ann@example.org x", "other@example.org"]),
            [
                r#"{filename="/a", job="x", user="ann"} user=ann@example.org x"#,
                r#"{filename="/a", job="x"} other@example.org"#,
            ]
        );
    }
}
