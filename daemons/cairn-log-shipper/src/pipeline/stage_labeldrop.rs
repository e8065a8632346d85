//! `labeldrop`: labels that are not wanted.

use cairn_model::LabelsBuilder;
use serde_json::Value;

use super::{Stage, label_names};

/// Removes labels by name.
#[derive(Debug)]
pub(super) struct LabelDrop(Vec<String>);

impl LabelDrop {
    pub(super) fn build(options: &Value) -> Result<Self, String> {
        label_names(options).map(Self)
    }
}

impl Stage for LabelDrop {
    fn edit_labels(&self, labels: &mut LabelsBuilder) {
        for name in &self.0 {
            labels.remove(name);
        }
    }
}
