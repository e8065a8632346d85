//! `labeldrop`: labels that are not wanted.

use cairn_model::LabelsBuilder;
use serde_json::Value;

use super::label_names;
use super::stage::{Stage, StreamStage};

/// Removes labels by name.
#[derive(Debug)]
struct LabelDrop(Vec<String>);

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    Ok(Stage::Stream(Box::new(LabelDrop(label_names(options)?))))
}

impl StreamStage for LabelDrop {
    fn edit_labels(&self, labels: &mut LabelsBuilder) {
        for name in &self.0 {
            labels.remove(name);
        }
    }
}
