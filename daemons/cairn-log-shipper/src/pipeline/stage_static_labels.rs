//! `static_labels`: labels with fixed values.

use std::collections::BTreeMap;

use cairn_model::LabelsBuilder;
use serde_json::Value;

use super::stage::{Stage, StreamStage};

/// Sets labels, over existing ones. An empty value removes the label.
#[derive(Debug)]
struct StaticLabels(BTreeMap<String, String>);

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    let labels = serde_json::from_value(options.clone())
        .map_err(|_| "expected a map of label names to texts".to_owned())?;
    Ok(Stage::Stream(Box::new(StaticLabels(labels))))
}

impl StreamStage for StaticLabels {
    fn edit_labels(&self, labels: &mut LabelsBuilder) {
        for (name, value) in &self.0 {
            labels.set(name, value);
        }
    }
}
