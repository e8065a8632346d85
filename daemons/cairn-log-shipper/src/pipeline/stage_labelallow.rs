//! `labelallow`: the only labels that are wanted.

use cairn_model::LabelsBuilder;
use serde_json::Value;

use super::label_names;
use super::stage::{Stage, StreamStage};

/// Removes every label that is not listed.
#[derive(Debug)]
struct LabelAllow(Vec<String>);

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    Ok(Stage::Stream(Box::new(LabelAllow(label_names(options)?))))
}

impl StreamStage for LabelAllow {
    fn edit_labels(&self, labels: &mut LabelsBuilder) {
        labels.retain(|name, _| self.0.iter().any(|allowed| allowed == name));
    }
}
