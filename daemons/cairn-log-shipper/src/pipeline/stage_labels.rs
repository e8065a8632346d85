//! `labels`: labels from extracted values.

use serde_json::Value;

use super::entry::Entry;
use super::label_sources;
use super::stage::{EntryStage, Stage};

/// Sets each label to the value of its source. Without one, or with one that is no UTF-8, the label stays as it is; an
/// empty value removes it.
#[derive(Debug)]
struct SetLabels(Vec<(String, String)>);

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    Ok(Stage::Entry(Box::new(SetLabels(label_sources(options)?))))
}

impl EntryStage for SetLabels {
    fn process(&self, entry: &mut Entry<'_>) -> Result<(), &str> {
        for (name, source) in &self.0 {
            if let Some(value) = entry.extracted.utf8(source) {
                entry.labels.edit().set(name, &value);
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
    fn missing_sources_set_nothing_and_empty_ones_remove() {
        let mut file = Harness::new(json!([
            {"regex": {"expression": "(?P<job>x*)=(?P<status>[0-9]+)?"}},
            {"labels": {"job": "", "code": "status", "gone": "nowhere"}},
        ]));
        assert_eq!(
            file.feed(&["xx=200", "=", "nothing"]),
            [
                r#"{code="200", filename="/a", job="xx"} xx=200"#,
                r#"{filename="/a"} ="#,
                r#"{filename="/a", job="x"} nothing"#,
            ]
        );
    }
}
