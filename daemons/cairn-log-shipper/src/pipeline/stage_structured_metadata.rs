//! `structured_metadata`: structured metadata from extracted values and from labels.

use serde_json::Value;

use super::entry::Entry;
use super::label_sources;
use super::stage::{EntryStage, Stage};

/// Adds a pair for each source that has a value. A label of the source's name is moved: it is a label no more.
///
/// Promtail sends a moved label twice, since labels are extracted values as well; here it is sent once.
#[derive(Debug)]
struct SetMetadata(Vec<(String, String)>);

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    Ok(Stage::Entry(Box::new(SetMetadata(label_sources(options)?))))
}

impl EntryStage for SetMetadata {
    fn process(&self, entry: &mut Entry<'_>) -> Result<(), &str> {
        for (name, source) in &self.0 {
            // The label's value wins: the store takes the last of several, and that is Promtail's order.
            let label = entry.labels.get(source).map(str::to_owned);
            if label.is_some() {
                entry.labels.edit().remove(source);
            }
            if let Some(value) = label.or_else(|| entry.extracted.utf8(source)) {
                entry.metadata.push((name.clone(), value));
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
    fn values_are_added_and_labels_moved() {
        let mut file = Harness::new(json!([
            {"regex": {"expression": "id=(?P<id>\\w+)"}},
            {"structured_metadata": {"request_id": "id", "filename": null}},
        ]));
        assert_eq!(
            file.feed(&["a id=7", "b"]),
            [r#"{job="x"} a id=7 [filename=/a] [request_id=7]"#, r#"{job="x"} b [filename=/a]"#]
        );
    }
}
