//! The pipeline: what happens to a line between the file and the queue. Stages run in the order of the configuration,
//! on the reader's thread.
//!
//! # A new stage
//!
//! 1. `src/pipeline/stage_<name>.rs`: its options (a serde struct with `deny_unknown_fields`), `build`, which reads and
//!    checks them, and one of the four traits of [`stage`], with tests;
//! 2. its `mod` line below;
//! 3. its row in `STAGES` below: `NotYet` becomes `Built(stage_<name>::build)`;
//! 4. its name in the list of stages in `README.md` (a test compares).
//!
//! Configuration keys, error texts and the order of stages follow from that. Which trait:
//!
//! | trait | sees | such as |
//! |---|---|---|
//! | [`StreamStage`](stage::StreamStage) | labels, once per stream | `static_labels`, `labeldrop` |
//! | [`LineStage`](stage::LineStage) | the text of a line, to drop it | `drop` |
//! | [`EntryStage`](stage::EntryStage) | an [`Entry`](entry::Entry), to change or drop it | `regex`, `labels`, `json`, `timestamp` |
//! | [`HoldingStage`](stage::HoldingStage) | entries, to keep some back | `multiline`, `cri` |
//!
//! # What a line costs
//!
//! Stages before the first that sees entries are the head: labels are edited once per stream, lines are looked at where
//! they lie, and nothing is allocated per line. Most pipelines have nothing else. What comes after, the tail, sees every
//! line as an entry ([`run::Run`]) and is paid for by the line.
//!
//! # Receipts
//!
//! A read is acknowledged, and the position moves, up to the beginning of the oldest line that a stage holds, whatever
//! was sent after it. So a held line is in the file, not only in memory: after a crash, a stop or a reload it is read
//! again, and with it later lines of the same file that were sent meanwhile. A holding stage does nothing for it but
//! show what it holds ([`Holder::see_held`](stage::Holder::see_held)). Dropped lines hold nothing up.

pub mod entry;
pub mod run;
pub mod stage;

mod stage_drop;
mod stage_labelallow;
mod stage_labeldrop;
mod stage_labels;
mod stage_multiline;
mod stage_output;
mod stage_regex;
mod stage_static_labels;
mod stage_structured_metadata;

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::{Labels, LabelsBuilder};
use serde_json::Value;

use crate::chunk::Line;
use run::Run;
use stage::Stage;

/// What became of a stage that Promtail or Alloy has.
#[derive(Clone, Copy, Debug)]
enum Row {
    /// Reads and checks the options. The error says what is wrong with them.
    Built(fn(&Value) -> Result<Stage, String>),
    /// To be built.
    NotYet,
    /// Will not be built, because.
    Refused(&'static str),
}
use Row::{Built, NotYet, Refused};

const WINDOWS: &str = "reads the event log of Windows, which cairn-log-shipper does not run on; take it out";

/// Every stage that Promtail or Alloy has, by its name in `pipeline_stages`. The only list of them.
const STAGES: &[(&str, Row)] = &[
    ("cri", NotYet),
    ("decolorize", NotYet),
    ("docker", NotYet),
    ("drop", Built(stage_drop::build)),
    ("eventlogmessage", Refused(WINDOWS)),
    ("geoip", NotYet),
    ("json", NotYet),
    ("labelallow", Built(stage_labelallow::build)),
    ("labeldrop", Built(stage_labeldrop::build)),
    ("labels", Built(stage_labels::build)),
    ("limit", NotYet),
    ("logfmt", NotYet),
    ("luhn", NotYet),
    ("match", NotYet),
    ("metrics", NotYet),
    ("multiline", Built(stage_multiline::build)),
    ("non_indexed_labels", NotYet),
    ("output", Built(stage_output::build)),
    ("pack", NotYet),
    ("regex", Built(stage_regex::build)),
    ("replace", NotYet),
    ("sampling", NotYet),
    ("static_labels", Built(stage_static_labels::build)),
    ("structured_metadata", Built(stage_structured_metadata::build)),
    ("template", NotYet),
    ("tenant", NotYet),
    ("timestamp", NotYet),
    ("windowsevent", Refused(WINDOWS)),
];

/// The stages of one scrape job. Empty is usual.
#[derive(Debug, Default)]
pub struct Pipeline {
    /// Up to the first stage that sees entries: stages on streams and on lines.
    head: Vec<Stage>,
    /// From there on: stages of any kind.
    tail: Vec<Stage>,
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
        let mut pipeline = Self::default();
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
            let is_cheap = matches!(stage, Stage::Stream(_) | Stage::Line(_));
            let part =
                if is_cheap && pipeline.tail.is_empty() { &mut pipeline.head } else { &mut pipeline.tail };
            part.push(stage);
        }
        Ok(pipeline)
    }

    /// Edits the labels of a stream, as far as that is the same for all of its lines.
    pub fn edit_labels(&self, labels: &mut LabelsBuilder) {
        for stage in &self.head {
            if let Stage::Stream(stage) = stage {
                stage.edit_labels(labels);
            }
        }
    }

    /// Drops lines of `data`, as far as that can be said by their text as it was read.
    pub fn filter(&self, data: &[u8], lines: &mut Vec<Line>, drops: &mut Drops) {
        for stage in &self.head {
            if let Stage::Line(stage) = stage {
                lines.retain(|line| {
                    let verdict = stage.keep(&data[line.range()]);
                    verdict.inspect_err(|reason| drops.count(reason, 1)).is_ok()
                });
            }
        }
    }

    /// The state of the tail for one file, whose labels are `initial` before the first stage; `None` without a tail.
    pub fn start(self: &Arc<Self>, initial: Labels) -> Option<Run> {
        if self.tail.is_empty() {
            return None;
        }
        let mut stream = initial.to_builder();
        self.edit_labels(&mut stream);
        Some(Run::new(Arc::clone(self), Arc::new(initial), Arc::new(stream.build())))
    }
}

/// Lines that were dropped, by reason.
#[derive(Debug, Default)]
pub struct Drops(BTreeMap<String, usize>);

impl Drops {
    /// Counts lines.
    pub fn count(&mut self, reason: &str, n_lines: usize) {
        match self.0.get_mut(reason) {
            Some(n) => *n += n_lines,
            None => {
                self.0.insert(reason.to_owned(), n_lines);
            }
        }
    }

    /// Reasons and numbers of lines.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(reason, n)| (reason.as_str(), *n))
    }
}

fn build_stage(name: &str, options: &Value) -> Result<Stage, String> {
    match STAGES.iter().find(|(known, _)| *known == name) {
        Some((_, Built(build))) => build(options),
        Some((_, NotYet)) => Err(
            "Promtail knows this stage, but cairn-log-shipper does not have it yet; take it out, or leave this job to Promtail"
                .to_owned(),
        ),
        Some((_, Refused(why))) => Err((*why).to_owned()),
        None => {
            let built: Vec<&str> = built_names().collect();
            Err(format!("no such stage (there are: {})", built.join(", ")))
        }
    }
}

fn built_names() -> impl Iterator<Item = &'static str> {
    STAGES.iter().filter(|(_, row)| matches!(row, Built(_))).map(|(name, _)| *name)
}

/// A stage's options as a list of label names.
fn label_names(options: &Value) -> Result<Vec<String>, String> {
    serde_json::from_value(options.clone()).map_err(|_| "expected a list of label names".to_owned())
}

/// A stage's options as a map of label names to names of extracted values; one that is left empty is the same name.
fn label_sources(options: &Value) -> Result<Vec<(String, String)>, String> {
    let sources: BTreeMap<String, Option<String>> = serde_json::from_value(options.clone())
        .map_err(|_| "expected a map of label names to names of extracted values".to_owned())?;
    if sources.is_empty() {
        return Err("expected at least one label name".to_owned());
    }
    if let Some(name) = sources.keys().find(|name| !crate::target::is_label_name(name)) {
        return Err(format!("{name:?} is no label name ([a-zA-Z_][a-zA-Z0-9_]*)"));
    }
    let named = |(name, source): (String, Option<String>)| {
        let source = source.filter(|source| !source.is_empty()).unwrap_or_else(|| name.clone());
        (name, source)
    };
    Ok(sources.into_iter().map(named).collect())
}

#[cfg(test)]
mod tests {
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
            {"labeldrop": ["filename"]},
            {"drop": {"longer_than": "10b", "drop_counter_reason": "long"}}
        ]))
        .unwrap();
        assert!(Pipeline::start(&Arc::new(Pipeline::default()), Labels::empty()).is_none());
        let mut content =
            crate::chunk::Content::for_tests(&["GET /health 200", "short", "a line that is too long"]);
        let mut drops = Drops::default();
        pipeline.filter(&content.data, &mut content.lines, &mut drops);
        assert_eq!(content.texts(), ["short"]);
        assert_eq!(drops.iter().collect::<Vec<_>>(), [("drop_stage", 1), ("long", 1)]);
        assert!(Arc::new(pipeline).start(Labels::empty()).is_none(), "nothing here sees entries");
    }

    #[test]
    fn refusals_name_the_stage() {
        for (list, stage, words) in [
            (json!([{"eventlogmessage": {}}]), "eventlogmessage", "Windows"),
            (json!([{"jason": {}}]), "jason", "no such stage (there are: drop, labelallow, "),
            (json!([{"labeldrop": "x"}]), "labeldrop", "expected a list"),
            (json!([{"a": 1, "b": 2}]), "", "expected one stage"),
            (json!([{"drop": {}}]), "drop", "longer_than or expression"),
            (json!([{"drop": {"expression": "("}}]), "drop", "expression"),
            (json!([{"drop": {"source": "x", "value": "y"}}]), "drop", "source"),
            (json!([{"regex": {}}]), "regex", "expression"),
            (json!([{"regex": {"expression": "a(", "source": "x"}}]), "regex", "missing closing )"),
            (json!([{"regex": {"expression": "a", "source": ""}}]), "regex", "source"),
            (json!([{"labels": {}}]), "labels", "at least one"),
            (json!([{"labels": {"a-b": "x"}}]), "labels", "a-b"),
            (json!([{"structured_metadata": "x"}]), "structured_metadata", "expected a map"),
            (json!([{"output": {}}]), "output", "source"),
            (json!([{"multiline": {"max_lines": 3}}]), "multiline", "firstline"),
            (json!([{"multiline": {"firstline": "["}}]), "multiline", "firstline"),
        ] {
            let error = build(list).unwrap_err();
            assert_eq!(error.stage, stage);
            assert!(error.message.contains(words), "{}", error.message);
        }
    }

    #[test]
    fn unfinished_stages_are_refused_with_other_words_than_misspelt_ones() {
        for (name, row) in STAGES {
            let refusal = build(json!([{*name: [7]}])).unwrap_err().message;
            assert_eq!(matches!(row, NotYet), refusal.contains("does not have it yet"), "{name}: {refusal}");
            assert!(!refusal.contains("no such stage"), "{name}: {refusal}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_the_readme_names_what_is_built() {
        assert!(STAGES.is_sorted_by(|(a, _), (b, _)| a < b));
        let readme = include_str!("../README.md");
        let line = readme.lines().find(|line| line.starts_with("Stages: ")).expect("the list of stages");
        let listed: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, built_names().collect::<Vec<_>>());
    }
}
