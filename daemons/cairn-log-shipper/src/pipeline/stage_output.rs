//! `output`: an extracted value takes the place of the line.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::entry::Entry;
use super::stage::{EntryStage, Stage};

/// Puts the value of its source in the place of the line, if there is one.
#[derive(Debug)]
struct Output {
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    source: String,
}

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    let Options { source } = serde_json::from_value(options.clone()).map_err(|error| error.to_string())?;
    if source.is_empty() {
        return Err("source must not be empty".to_owned());
    }
    Ok(Stage::Entry(Box::new(Output { source })))
}

impl EntryStage for Output {
    fn process(&self, entry: &mut Entry<'_>) -> Result<(), &str> {
        if let Some(text) = entry.extracted.text(&self.source) {
            entry.line = Cow::Owned(text.into_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::run::harness::Harness;

    #[test]
    fn the_value_is_the_line_also_an_empty_one_and_a_label() {
        let mut file = Harness::new(json!([
            {"regex": {"expression": "^msg=(?P<msg>.*)$"}},
            {"output": {"source": "msg"}},
        ]));
        let stream = r#"{filename="/a", job="x"}"#;
        assert_eq!(
            file.feed(&["msg=one", "msg=", "two"]),
            [format!("{stream} one"), format!("{stream} "), format!("{stream} two")]
        );
        let mut file = Harness::new(json!([{"output": {"source": "filename"}}]));
        assert_eq!(file.feed(&["x"]), [format!("{stream} /a")]);
    }
}
