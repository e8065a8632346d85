//! The pipeline: what happens to a line between the file and the queue.
//!
//! A stage is one file, `stage_<name>.rs`, with a type that implements [`Stage`] and a constructor that reads its part
//! of the configuration; `build_stage` below is the only place that lists them. Stages run in the order of the file,
//! on the reader's thread. Two hooks: [`Stage::edit_labels`] runs once per stream, [`Stage::keep`] once per line.

mod stage_drop;
mod stage_labelallow;
mod stage_labeldrop;
mod stage_static_labels;

use std::collections::BTreeMap;
use std::fmt::Debug;

use cairn_model::LabelsBuilder;
use serde_json::Value;

use crate::chunk::Line;

/// Stages of Promtail that are not built yet: their names are refused with other words than a misspelt one.
const PROMTAIL_STAGES: [&str; 24] = [
    "cri",
    "decolorize",
    "docker",
    "eventlogmessage",
    "geoip",
    "json",
    "labels",
    "limit",
    "logfmt",
    "luhn",
    "match",
    "metrics",
    "multiline",
    "non_indexed_labels",
    "output",
    "pack",
    "regex",
    "replace",
    "sampling",
    "structured_metadata",
    "template",
    "tenant",
    "timestamp",
    "windowsevent",
];

/// One step.
pub trait Stage: Debug + Send + Sync {
    /// Changes the labels of a stream, whatever its lines say. Called once for each stream.
    fn edit_labels(&self, _labels: &mut LabelsBuilder) {}

    /// Decides about one line (without its newline): `Err` drops it, and names the reason under which it is counted.
    ///
    /// # Errors
    /// The reason for dropping the line.
    fn keep(&self, _line: &[u8]) -> Result<(), &str> {
        Ok(())
    }

    /// Whether [`keep`](Self::keep) does anything: lines are not visited for stages that don't look at them.
    fn looks_at_lines(&self) -> bool {
        false
    }
}

/// The stages of one scrape job, in order. Empty is usual.
#[derive(Debug, Default)]
pub struct Pipeline {
    stages: Vec<Box<dyn Stage>>,
    looks_at_lines: bool,
}

/// Why a stage cannot be built.
#[derive(Debug)]
pub struct StageError {
    /// Place in `pipeline_stages`, from 0.
    pub index: usize,
    /// Name of the stage.
    pub stage: String,
    /// What is wrong.
    pub message: String,
}

impl Pipeline {
    /// Builds the stages of a `pipeline_stages` list: each item is a map with one key, the stage's name.
    ///
    /// # Errors
    /// [`StageError`] for an unknown or unfinished stage, or one whose options are wrong.
    pub fn build(list: &[BTreeMap<String, Value>]) -> Result<Self, StageError> {
        let mut stages = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let mut named = item.iter();
            let (Some((name, options)), None) = (named.next(), named.next()) else {
                let message = "expected one stage, as a map with its name as the only key".to_owned();
                return Err(StageError { index, stage: String::new(), message });
            };
            let stage = build_stage(name, options).map_err(|message| StageError {
                index,
                stage: name.clone(),
                message,
            })?;
            stages.push(stage);
        }
        let looks_at_lines = stages.iter().any(|stage| stage.looks_at_lines());
        Ok(Self { stages, looks_at_lines })
    }

    /// Runs every stage's part on labels.
    pub fn edit_labels(&self, labels: &mut LabelsBuilder) {
        for stage in &self.stages {
            stage.edit_labels(labels);
        }
    }

    /// Runs every stage's part on the lines of `data`: dropped ones leave the list and are reported by reason.
    pub fn run(&self, data: &[u8], lines: &mut Vec<Line>, dropped: &mut dyn FnMut(&str)) {
        if !self.looks_at_lines {
            return;
        }
        lines.retain(|line| {
            let text = &data[line.range()];
            let verdict = self.stages.iter().try_for_each(|stage| stage.keep(text));
            verdict.inspect_err(|reason| dropped(reason)).is_ok()
        });
    }
}

fn build_stage(name: &str, options: &Value) -> Result<Box<dyn Stage>, String> {
    match name {
        "drop" => Ok(Box::new(stage_drop::Drop::build(options)?)),
        "labelallow" => Ok(Box::new(stage_labelallow::LabelAllow::build(options)?)),
        "labeldrop" => Ok(Box::new(stage_labeldrop::LabelDrop::build(options)?)),
        "static_labels" => Ok(Box::new(stage_static_labels::StaticLabels::build(options)?)),
        name if PROMTAIL_STAGES.contains(&name) => Err(
            "Promtail knows this stage, but cairn-log-shipper does not have it yet; take it out, or leave this job to Promtail"
                .to_owned(),
        ),
        _ => Err("no such stage (there are: drop, labelallow, labeldrop, static_labels)".to_owned()),
    }
}

/// A stage's options as a list of label names.
fn label_names(options: &Value) -> Result<Vec<String>, String> {
    serde_json::from_value(options.clone()).map_err(|_| "expected a list of label names".to_owned())
}

#[cfg(test)]
mod tests {
    use cairn_model::Labels;
    use serde_json::json;

    use super::*;

    fn build(list: Value) -> Result<Pipeline, StageError> {
        Pipeline::build(&serde_json::from_value::<Vec<BTreeMap<String, Value>>>(list).unwrap())
    }

    fn labels_after(list: Value) -> String {
        let mut labels = Labels::from_pairs([("job", "x"), ("env", "dev"), ("filename", "/a")]).to_builder();
        build(list).unwrap().edit_labels(&mut labels);
        labels.build().to_string()
    }

    #[test]
    fn label_stages_run_in_order() {
        let stages = json!([{"static_labels": {"team": "a", "env": "prod"}}, {"labeldrop": ["filename"]}]);
        assert_eq!(labels_after(stages), r#"{env="prod", job="x", team="a"}"#);
        assert_eq!(labels_after(json!([{"labelallow": ["job"]}])), r#"{job="x"}"#);
        assert_eq!(labels_after(json!([])), r#"{env="dev", filename="/a", job="x"}"#);
    }

    #[test]
    fn dropped_lines_are_reported_by_reason() {
        let pipeline = build(json!([
            {"drop": {"expression": "GET /health"}},
            {"drop": {"longer_than": "10b", "drop_counter_reason": "long"}}
        ]))
        .unwrap();
        let mut chunk =
            crate::chunk::Chunk::for_tests(&["GET /health 200", "short", "a line that is too long"]);
        let mut dropped = Vec::new();
        pipeline.run(&chunk.data, &mut chunk.lines, &mut |reason| dropped.push(reason.to_owned()));
        assert_eq!(chunk.texts(), ["short"]);
        assert_eq!(dropped, ["drop_stage", "long"]);
    }

    #[test]
    fn refusals_name_the_stage() {
        for (list, stage, words) in [
            (json!([{"eventlogmessage": {}}]), "eventlogmessage", "does not have it yet"),
            (json!([{"jason": {}}]), "jason", "no such stage"),
            (json!([{"labeldrop": "x"}]), "labeldrop", "expected a list"),
            (json!([{"a": 1, "b": 2}]), "", "expected one stage"),
            (json!([{"drop": {}}]), "drop", "longer_than or expression"),
            (json!([{"drop": {"expression": "("}}]), "drop", "expression"),
            (json!([{"drop": {"source": "x", "value": "y"}}]), "drop", "source"),
        ] {
            let error = build(list).unwrap_err();
            assert_eq!(error.stage, stage);
            assert!(error.message.contains(words), "{}", error.message);
        }
    }
}
