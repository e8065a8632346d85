//! `labelallow`: the only labels that are wanted.

use cairn_model::LabelsBuilder;
use serde_json::Value;

use super::{Stage, label_names};

/// Removes every label that is not listed.
#[derive(Debug)]
pub(super) struct LabelAllow(Vec<String>);

impl LabelAllow {
    pub(super) fn build(options: &Value) -> Result<Self, String> {
        label_names(options).map(Self)
    }
}

impl Stage for LabelAllow {
    fn edit_labels(&self, labels: &mut LabelsBuilder) {
        labels.retain(|name, _| self.0.iter().any(|allowed| allowed == name));
    }
}
