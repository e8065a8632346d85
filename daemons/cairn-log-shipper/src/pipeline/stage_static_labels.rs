//! `static_labels`: labels with fixed values.

use std::collections::BTreeMap;

use cairn_model::LabelsBuilder;
use serde_json::Value;

use super::Stage;

/// Sets labels, over existing ones. An empty value removes the label.
#[derive(Debug)]
pub(super) struct StaticLabels(BTreeMap<String, String>);

impl StaticLabels {
    pub(super) fn build(options: &Value) -> Result<Self, String> {
        let labels = serde_json::from_value(options.clone());
        labels.map(Self).map_err(|_| "expected a map of label names to texts".to_owned())
    }
}

impl Stage for StaticLabels {
    fn edit_labels(&self, labels: &mut LabelsBuilder) {
        for (name, value) in &self.0 {
            labels.set(name, value);
        }
    }
}
