//! YAML text to a serde type, as the peers' files use it: YAML 1.1 booleans, anchors, nothing expanded.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::error::{ConfigError, split_about};
use super::position::{key_before, line_column, offset_of, yaml_key_at};

/// Most nodes (scalars, lists, maps) after aliases are followed: what a bomb of aliases can cost.
const MAX_NODES: usize = 250_000;
/// Most events replayed for aliases in all.
const MAX_REPLAYED_EVENTS: usize = 250_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;

/// Reads YAML text of one document; empty text reads as an empty map. `path` only names it in errors.
///
/// `yes`, `no`, `on` and `off` are booleans where the type wants one and text where it wants text, as the peers'
/// reader does it. A key that occurs twice is an error.
///
/// # Errors
/// [`ConfigError`] with line, column, key and what was expected.
pub fn parse_yaml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_depth: MAX_DEPTH, max_documents: 1 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED_EVENTS },
        strict_booleans: false,
        with_snippet: false,
        emit_comments: false,
    };
    let is_empty = text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    });
    let text_or_map = if is_empty { "{}" } else { text };
    serde_saphyr::from_str_with_options(text_or_map, options).map_err(|error| {
        let bare = error.without_snippet();
        let Some(location) = bare.location().filter(|location| location.line() > 0) else {
            let message = bare.to_string();
            return ConfigError::rule(path, "", split_about(&message).1);
        };
        let as_index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (line, column) = (as_index(location.line()), as_index(location.column()));
        let start = offset_of(text, line, column);
        let message = without_location(&bare.to_string());
        let (about, message) = split_about(&message);
        let key = about.and_then(|key| key_before(text, start, key));
        let start = key.unwrap_or(start);
        let word = text[start..].find([' ', '\n', ',', ']', '}']).unwrap_or(text.len() - start);
        let word = text[start..start + word].trim_end_matches(':').len();
        let line = key.map_or(line, |key| line_column(text, key).line);
        ConfigError::at(path, text, start..start + word, yaml_key_at(text, line), message.to_owned())
    })
}

/// Takes the crate's own ` at line 1, column 2` (or its like) off a message: it is said before the message already.
fn without_location(message: &str) -> String {
    let start = message
        .rfind(" at line ")
        .filter(|start| message[*start..].chars().all(|c| c.is_ascii_digit() || " atlinecoum,".contains(c)));
    start.map_or(message, |start| &message[..start]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::units::HumanDuration;
    use super::*;

    #[derive(serde::Deserialize, Debug, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        honor_labels: bool,
        scrape_interval: Option<HumanDuration>,
        replacement: String,
        labels: BTreeMap<String, String>,
        targets: Vec<String>,
        batchsize: Option<u64>,
        nested: Option<Box<Sample>>,
    }

    fn parse(text: &str) -> Result<Sample, String> {
        parse_yaml(text, Path::new("x.yml")).map_err(|error| error.to_string())
    }

    #[test]
    fn booleans_of_yaml_1_1_are_read_where_a_boolean_is_wanted() {
        for (word, want) in
            [("yes", true), ("on", true), ("true", true), ("no", false), ("off", false), ("False", false)]
        {
            assert_eq!(parse(&format!("honor_labels: {word}\n")).unwrap().honor_labels, want, "{word}");
        }
        let labels = parse("labels: {country: no, state: on, port: 80, version: 1.10}\n").unwrap().labels;
        assert_eq!(labels["country"], "no");
        assert_eq!(labels["state"], "on");
        assert_eq!(labels["port"], "80");
        assert_eq!(labels["version"], "1.10", "the text as it stands, not a number printed again");
    }

    #[test]
    fn dollar_signs_survive() {
        for text in ["replacement: ${1}\n", "replacement: \"${1}\"\n", "replacement: '${1}'\n"] {
            assert_eq!(parse(text).unwrap().replacement, "${1}");
        }
        assert_eq!(parse("replacement: ${env:HOME}\n").unwrap().replacement, "${env:HOME}");
    }

    #[test]
    fn empty_files_are_empty_maps() {
        for text in ["", "# nothing\n", "---\n"] {
            assert!(!parse(text).unwrap().honor_labels);
        }
    }

    #[test]
    fn errors_name_file_line_column_key_and_what_was_expected() {
        let check = |text: &str, start: &str, part: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(start), "{error}");
            assert!(error.contains(part), "{error}");
        };
        check(
            "nested:\n  scrap: 1\n",
            "x.yml:2:3: nested.scrap: unknown field `scrap`",
            "expected one of honor_labels, ",
        );
        check(
            "nested:\n  batchsize: many\n",
            "x.yml:2:14: nested.batchsize: ",
            "2 |   batchsize: many\n  |              ^^^^",
        );
        check("scrape_interval: 15\n", "x.yml:1:18: scrape_interval: ", "expected a duration such as");
        check("honor_labels: maybe\n", "x.yml:1:15: honor_labels: ", "bool");
        check("honor_labels: yes\nhonor_labels: no\n", "x.yml:2:1: honor_labels: ", "duplicate");
        check("targets: [a\nlabels: {}\n", "x.yml:2:", "");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "labels: {}\ntargets:\n".to_owned();
        text.insert_str(0, "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
        for level in 1..10 {
            let previous = format!("*x{}", level - 1);
            let items = vec![previous; 10].join(", ");
            text.insert_str(text.find("labels").unwrap(), &format!("x{level}: &x{level} [{items}]\n"));
        }
        let error = parse_yaml::<BTreeMap<String, serde_json::Value>>(&text, Path::new("x.yml")).unwrap_err();
        assert!(error.to_string().starts_with("x.yml"), "{error}");
    }
}
