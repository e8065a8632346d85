//! The stages of a query, compiled once and run on each line.

use std::borrow::Cow;

use cairn_model::TimeNs;

use crate::ast::{LabelChoice, LabelFilter, LabelFormatValue, Logfmt, Stage};
use crate::filter_line::CompiledLineFilter;
use crate::labelset::{ERROR, LabelSet};
use crate::parser::ParseError;
use crate::stage_json::JsonPaths;
use crate::stage_label_filter::CompiledLabelFilter;
use crate::stage_label_format::LabelFormatter;
use crate::stage_line_format::LineFormatter;
use crate::stage_pattern::PatternParser;
use crate::stage_regexp::RegexpParser;
use crate::{stage_decolorize, stage_drop_keep, stage_json, stage_logfmt, stage_unpack};

enum Step {
    LineFilter(CompiledLineFilter),
    Json,
    JsonPaths(JsonPaths),
    Logfmt(Logfmt),
    Regexp(Box<RegexpParser>),
    Pattern(PatternParser),
    Unpack,
    Decolorize,
    LabelFilter(CompiledLabelFilter),
    LineFormat(LineFormatter),
    LabelFormat(LabelFormatter),
    Drop(Vec<LabelChoice>),
    Keep(Vec<LabelChoice>),
}

impl Step {
    /// Whether later steps may see another line than earlier ones.
    fn changes_line(&self) -> bool {
        match self {
            Self::Unpack | Self::Decolorize | Self::LineFormat(_) => true,
            // Listed one by one: a new step must say whether filters may be moved in front of it.
            Self::LineFilter(_)
            | Self::Json
            | Self::JsonPaths(_)
            | Self::Logfmt(_)
            | Self::Regexp(_)
            | Self::Pattern(_)
            | Self::LabelFilter(_)
            | Self::LabelFormat(_)
            | Self::Drop(_)
            | Self::Keep(_) => false,
        }
    }
}

/// What the query needs of the parsers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    /// No parsed label is ever looked at: parsers that only make labels are skipped.
    pub(crate) skip_parsers: bool,
    /// The only labels of interest; empty means all.
    pub(crate) required: Vec<String>,
}

impl Hints {
    /// Whether a label is of interest.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.required.is_empty() || self.required.iter().any(|r| r == name)
    }

    /// Counts the labels that one run of a parser finds.
    pub(crate) fn progress(&self) -> Progress {
        Progress { left: if self.required.is_empty() { usize::MAX } else { self.required.len() } }
    }
}

/// See [`Hints::progress`].
pub(crate) struct Progress {
    left: usize,
}

impl Progress {
    /// Counts one label; true when no other is of interest.
    pub(crate) fn found_one(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }
}

/// See the module.
pub(crate) struct Pipeline {
    steps: Vec<Step>,
    needles: Vec<Vec<u8>>,
}

impl Pipeline {
    /// Compiles stages. Line filters move in front of whatever only makes labels: they are cheaper and see the same
    /// line there.
    ///
    /// # Errors
    /// [`ParseError`] naming the stage, for a bad pattern, path or template.
    pub(crate) fn compile(stages: &[Stage]) -> Result<Self, ParseError> {
        let mut steps: Vec<Step> = Vec::with_capacity(stages.len());
        // Where the stretch begins whose steps all see the same line.
        let mut stretch = 0;
        let mut filters_in_stretch = 0;
        let mut needles = Vec::new();
        for stage in stages {
            let step = compile_stage(stage)?;
            match step {
                Step::LineFilter(filter) => {
                    if stretch == 0 {
                        filter.needles(&mut needles);
                    }
                    steps.insert(stretch + filters_in_stretch, Step::LineFilter(filter));
                    filters_in_stretch += 1;
                }
                step => {
                    let changes_line = step.changes_line();
                    steps.push(step);
                    if changes_line {
                        stretch = steps.len();
                        filters_in_stretch = 0;
                    }
                }
            }
        }
        needles.retain(|needle| !needle.is_empty());
        Ok(Self { steps, needles })
    }

    /// Texts that every kept line contains as stored.
    pub(crate) fn needles(&self) -> Vec<&[u8]> {
        self.needles.iter().map(Vec::as_slice).collect()
    }

    /// Runs the stages on an entry: the line as they leave it, or `None` when one drops it.
    pub(crate) fn run<'l>(
        &self,
        time: TimeNs,
        line: &'l [u8],
        labels: &mut LabelSet<'_>,
        hints: &Hints,
    ) -> Option<Cow<'l, [u8]>> {
        let mut line = Cow::Borrowed(line);
        for step in &self.steps {
            match step {
                Step::LineFilter(filter) => {
                    if !filter.keeps(&line) {
                        return None;
                    }
                }
                Step::LabelFilter(filter) => {
                    if !filter.keeps(labels) {
                        return None;
                    }
                }
                Step::Json | Step::JsonPaths(_) | Step::Logfmt(_) | Step::Regexp(_) | Step::Pattern(_)
                    if hints.skip_parsers => {}
                Step::Json => stage_json::parse_all(&line, labels, hints),
                Step::JsonPaths(paths) => paths.run(&line, labels),
                Step::Logfmt(logfmt) => stage_logfmt::run(logfmt, &line, labels, hints),
                Step::Regexp(parser) => parser.run(&line, labels, hints),
                Step::Pattern(parser) => parser.run(&line, labels, hints),
                Step::Unpack => line = stage_unpack::run(line, labels),
                Step::Decolorize => line = stage_decolorize::run(line),
                Step::LineFormat(format) => line = format.run(time, line, labels),
                Step::LabelFormat(format) => format.run(time, &line, labels),
                Step::Drop(choices) => stage_drop_keep::drop(choices, labels),
                Step::Keep(choices) => stage_drop_keep::keep(choices, labels),
            }
        }
        Some(line)
    }
}

fn compile_stage(stage: &Stage) -> Result<Step, ParseError> {
    let named = |message: String| ParseError::semantic(format!("stage '{stage}' : {message}"));
    let plain = |message: String| ParseError::semantic(message);
    Ok(match stage {
        Stage::LineFilter(filter) => Step::LineFilter(CompiledLineFilter::compile(filter).map_err(named)?),
        Stage::Json(extractions) if extractions.is_empty() => Step::Json,
        Stage::Json(extractions) => Step::JsonPaths(JsonPaths::compile(extractions).map_err(named)?),
        Stage::Logfmt(logfmt) => {
            stage_logfmt::check(logfmt).map_err(named)?;
            Step::Logfmt(logfmt.clone())
        }
        Stage::Regexp(pattern) => {
            let parser =
                RegexpParser::compile(pattern).map_err(|m| plain(format!("invalid regexp parser: {m}")))?;
            Step::Regexp(Box::new(parser))
        }
        Stage::Pattern(pattern) => Step::Pattern(
            PatternParser::compile(pattern).map_err(|m| plain(format!("invalid pattern parser: {m}")))?,
        ),
        Stage::Unpack => Step::Unpack,
        Stage::Decolorize => Step::Decolorize,
        Stage::LabelFilter(filter) => Step::LabelFilter(CompiledLabelFilter::compile(filter).map_err(named)?),
        Stage::LineFormat(template) => Step::LineFormat(LineFormatter::compile(template).map_err(named)?),
        Stage::LabelFormat(formats) => Step::LabelFormat(LabelFormatter::compile(formats).map_err(named)?),
        Stage::Drop(choices) => Step::Drop(choices.clone()),
        Stage::Keep(choices) => Step::Keep(choices.clone()),
    })
}

/// The labels that stages look at; `None` when that cannot be told (templates).
fn labels_read(stages: &[Stage]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for stage in stages {
        match stage {
            Stage::LabelFilter(filter) => filter_labels(filter, &mut names),
            Stage::LineFormat(_) => return None,
            Stage::LabelFormat(formats) => {
                for format in formats {
                    match &format.value {
                        LabelFormatValue::Rename(from) => names.push(from.clone()),
                        LabelFormatValue::Template(_) => return None,
                    }
                }
                // What a rename makes is known under another name before.
                return None;
            }
            // They make or remove labels, and read none that decides about a line.
            Stage::LineFilter(_)
            | Stage::Json(_)
            | Stage::Logfmt(_)
            | Stage::Regexp(_)
            | Stage::Pattern(_)
            | Stage::Unpack
            | Stage::Decolorize
            | Stage::Drop(_)
            | Stage::Keep(_) => {}
        }
    }
    Some(names)
}

fn filter_labels(filter: &LabelFilter, names: &mut Vec<String>) {
    match filter {
        LabelFilter::Text(matcher) => names.push(matcher.name().to_owned()),
        LabelFilter::Number { name, .. }
        | LabelFilter::Duration { name, .. }
        | LabelFilter::Bytes { name, .. }
        | LabelFilter::Ip { name, .. } => names.push(name.clone()),
        LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
            filter_labels(left, names);
            filter_labels(right, names);
        }
    }
}

/// What a metric query needs of the parsers. `group_by` are the only labels that survive (`None`: all do),
/// `unwrap` is the label with the value, `after` the filters behind it. The second part says whether entries with an
/// error count: the query looks at `__error__` itself.
pub(crate) fn metric_hints(
    stages: &[Stage],
    group_by: Option<&[String]>,
    unwrap: Option<&str>,
    after: &[LabelFilter],
) -> (Hints, bool) {
    let mut names = labels_read(stages);
    if let Some(names) = &mut names {
        after.iter().for_each(|filter| filter_labels(filter, names));
        names.extend(unwrap.map(str::to_owned));
    }
    let mut read = names.clone().unwrap_or_default();
    read.extend(group_by.unwrap_or_default().iter().cloned());
    let keeps_errors = read.iter().any(|name| name == ERROR);
    let (Some(mut names), Some(group_by)) = (names, group_by) else {
        return (Hints::default(), keeps_errors);
    };
    names.extend(group_by.iter().cloned());
    let base_names: Vec<String> =
        names.iter().filter_map(|name| name.strip_suffix("_extracted")).map(str::to_owned).collect();
    names.extend(base_names);
    names.sort_unstable();
    names.dedup();
    (Hints { skip_parsers: names.is_empty(), required: names }, keeps_errors)
}
