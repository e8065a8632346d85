//! TOML text to a serde type, in three steps: parse with positions, expand references, deserialize.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, split_about};
use super::expand::{SystemValues, Values, expand};
use super::position::key_before;

/// Reads TOML text. `path` only names it in errors.
///
/// # Errors
/// [`ConfigError`] with line, column, key and what was expected.
pub fn parse_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    parse_with(text, path, &SystemValues)
}

fn parse_with<T: DeserializeOwned>(text: &str, path: &Path, values: &impl Values) -> Result<T, ConfigError> {
    let to_error = |error: &toml::de::Error, key: String| {
        ConfigError::at(path, text, error.span().unwrap_or(0..0), key, error.message().trim_end().to_owned())
    };
    let mut table = DeTable::parse(text).map_err(|error| to_error(&error, String::new()))?;
    let mut problem = None;
    expand_table(table.get_mut(), values, &mut problem);
    if let Some((span, message)) = problem {
        let key = key_at(text, &span);
        return Err(ConfigError::at(path, text, span, key, message));
    }
    T::deserialize(toml::de::Deserializer::from(table)).map_err(|error| {
        let (about, message) = split_about(error.message().trim_end());
        let span = error.span().map(|span| {
            let key = about.and_then(|key| Some((key_before(text, span.start, key)?, key.len())));
            key.map_or(span, |(start, len)| start..start + len)
        });
        let key = span.as_ref().map(|span| key_at(text, span)).unwrap_or_default();
        ConfigError::at(path, text, span.unwrap_or(0..0), key, message.to_owned())
    })
}

type Problem = Option<(Range<usize>, String)>;

fn expand_table(table: &mut DeTable<'_>, values: &impl Values, problem: &mut Problem) {
    for (_, value) in table.iter_mut() {
        let span = value.span();
        expand_value(value.get_mut(), span, values, problem);
    }
}

fn expand_value(value: &mut DeValue<'_>, span: Range<usize>, values: &impl Values, problem: &mut Problem) {
    match value {
        DeValue::String(text) => match expand(text, values) {
            Ok(Cow::Borrowed(_)) => {}
            Ok(Cow::Owned(expanded)) => *text = Cow::Owned(expanded),
            Err(message) => {
                // Tables are kept sorted by key: take the first in the file, which is where a person starts.
                if problem.as_ref().is_none_or(|(first, _)| span.start < first.start) {
                    *problem = Some((span, message));
                }
            }
        },
        DeValue::Array(items) => {
            for item in items.iter_mut() {
                let span = item.span();
                expand_value(item.get_mut(), span, values, problem);
            }
        }
        DeValue::Table(table) => expand_table(table, values, problem),
        _ => {}
    }
}

/// The full name of the key whose name or value covers `span`, as deep as it goes. Only called for errors, so the
/// second parse costs nothing that matters.
fn key_at(text: &str, span: &Range<usize>) -> String {
    let mut best = (usize::MAX, Vec::new());
    if let Ok(table) = DeTable::parse(text) {
        search(table.get_ref(), span, &mut Vec::new(), &mut best);
    }
    best.1.join(".")
}

fn search(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>, best: &mut (usize, Vec<String>)) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        for candidate in [key.span(), value.span()] {
            let covers = candidate.start <= span.start && span.end <= candidate.end && !candidate.is_empty();
            let width = candidate.len();
            // Dotted keys and table headers share spans: of equal ones the deeper key says more.
            if covers && (width < best.0 || (width == best.0 && path.len() > best.1.len())) {
                *best = (width, path.clone());
            }
        }
        search_value(value.get_ref(), span, path, best);
        path.pop();
    }
}

fn search_value(
    value: &DeValue<'_>,
    span: &Range<usize>,
    path: &mut Vec<String>,
    best: &mut (usize, Vec<String>),
) {
    match value {
        DeValue::Table(table) => search(table, span, path, best),
        DeValue::Array(items) => {
            for item in items {
                search_value(item.get_ref(), span, path, best);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::units::{ByteSize, HumanDuration};
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        listen: Option<String>,
        limits: Option<Limits>,
        #[serde(default)]
        clients: Vec<Client>,
    }

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Limits {
        max_body: Option<ByteSize>,
        timeout: Option<HumanDuration>,
    }

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Client {
        url: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }

    struct Fixed;

    impl Values for Fixed {
        fn env(&self, name: &str) -> Result<String, String> {
            if name == "HOST" {
                Ok("h".into())
            } else {
                Err(format!("environment variable {name} is not set"))
            }
        }

        fn file(&self, path: &str) -> Result<String, String> {
            Ok(path.to_owned())
        }
    }

    fn parse(text: &str) -> Result<Sample, String> {
        parse_with(text, Path::new("x.toml"), &Fixed).map_err(|error| error.to_string())
    }

    #[test]
    fn references_are_expanded_in_values_at_any_depth() {
        let sample = parse(
            "[[clients]]\nurl = \"http://${env:HOST}/\"\nlabels = { host = \"${env:HOST}\", re = \"${1}\" }\n",
        )
        .unwrap();
        assert_eq!(sample.clients[0].url, "http://h/");
        assert_eq!(sample.clients[0].labels["host"], "h");
        assert_eq!(sample.clients[0].labels["re"], "${1}");
    }

    #[test]
    fn errors_name_file_line_column_key_and_what_was_expected() {
        let check = |text: &str, want: &str| assert_eq!(parse(text).unwrap_err(), want);
        check(
            "[limits]\nmax_boby = \"1MiB\"\n",
            "x.toml:2:1: limits.max_boby: unknown field `max_boby`, expected `max_body` or `timeout`\n  |\n2 | max_boby = \"1MiB\"\n  | ^^^^^^^^",
        );
        check(
            "listen = 5000\n",
            "x.toml:1:10: listen: invalid type: integer `5000`, expected a string\n  |\n1 | listen = 5000\n  |          ^^^^",
        );
        check(
            "limits.timeout = \"15 parsecs\"\n",
            "x.toml:1:18: limits.timeout: expected a duration such as \"15s\", \"5m\" or \"7d\", got \"15 parsecs\"\n  |\n1 | limits.timeout = \"15 parsecs\"\n  |                  ^^^^^^^^^^^^",
        );
        check(
            "listen = \"a\"\nlisten = \"b\"\n",
            "x.toml:2:1: duplicate key\n  |\n2 | listen = \"b\"\n  | ^^^^^^",
        );
    }

    #[test]
    fn a_missing_variable_is_reported_where_it_stands() {
        let error =
            parse("[[clients]]\nurl = \"http://a\"\n[[clients]]\nurl = \"${env:NOPE}\"\n").unwrap_err();
        assert!(
            error.starts_with("x.toml:4:7: clients.url: environment variable NOPE is not set\n"),
            "{error}"
        );
    }

    #[test]
    fn positions_survive_an_expansion_earlier_in_the_file() {
        let error = parse("listen = \"${file:/a/long/path}\"\n[limits]\nmax_body = 7\n").unwrap_err();
        assert!(error.starts_with("x.toml:3:12: limits.max_body: "), "{error}");
    }
}
