//! Warnings and infos that accompany an answer, in Prometheus's words.

use std::collections::BTreeSet;

use cairn_model::gotext::quote;

use crate::ast::{BinaryOp, Span};

/// Most different annotations kept of one kind. The HTTP API shows ten and counts the rest.
const MAX_KEPT: usize = 1000;

/// Collected while evaluating; identical texts are kept once.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    pub(crate) warnings: BTreeSet<String>,
    pub(crate) infos: BTreeSet<String>,
}

/// What native histograms are combined for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combining {
    Addition,
    Subtraction,
    Aggregation,
}

impl Combining {
    fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// What computations on native histograms, and on samples with start timestamps, have to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Floats and histograms of one series in one window.
    MixedTypes,
    /// Floats and histograms in one group.
    MixedTypesInGroup,
    /// Exponential and custom buckets.
    MixedSchemas,
    /// A rate of a gauge.
    NotCounter,
    /// The delta of a counter.
    NotGauge,
    /// One histogram says that its counter was reset, the other that it was not.
    ResetConflict(Combining),
    /// Classic buckets and a native histogram of one name and one set of labels.
    ClassicAndNative,
    /// A sample claims to have started before the previous one ended.
    StartOverlap,
    /// An operator came across exponential and custom buckets.
    IncompatibleLayout(BinaryOp),
    /// An operator is not defined for these kinds of elements.
    IncompatibleTypes(&'static str, BinaryOp, &'static str),
    /// Custom bounds differed.
    ReconciledBounds(Combining),
    /// A function of floats came across histograms.
    Ignored,
    /// An aggregation of floats came across histograms.
    IgnoredInGroup(&'static str),
    /// Observations of NaN are in no bucket: the function, and what comes of it.
    NanObservations(&'static str, &'static str),
}

impl Note {
    fn is_warning(self) -> bool {
        !matches!(
            self,
            Self::IncompatibleTypes(..)
                | Self::ReconciledBounds(_)
                | Self::Ignored
                | Self::IgnoredInGroup(_)
                | Self::NanObservations(..)
        )
    }

    fn message(self, metric: &str) -> String {
        let named = |message: &str| for_metric(message, metric);
        match self {
            Self::MixedTypes => named("encountered a mix of histograms and floats"),
            Self::MixedTypesInGroup => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            Self::MixedSchemas => {
                named("vector contains a mix of histograms with exponential and custom buckets schemas")
            }
            Self::NotCounter => {
                format!("this native histogram metric is not a counter: {}", quote(metric))
            }
            Self::NotGauge => format!("this native histogram metric is not a gauge: {}", quote(metric)),
            Self::ResetConflict(combining) => {
                format!("conflicting counter resets during histogram {}", combining.as_str())
            }
            Self::ClassicAndNative => named("vector contains a mix of classic and native histograms"),
            Self::StartOverlap => format!(
                "sample has start time that overlaps with previous sample timestamp for metric {}",
                quote(metric)
            ),
            Self::IncompatibleLayout(op) => {
                format!("incompatible bucket layout encountered for binary operator {}", op.as_str())
            }
            Self::IncompatibleTypes(left, op, right) => {
                let op = op.as_str();
                let quoted = quote(op);
                format!(
                    "incompatible sample types encountered for binary operator {quoted}: {left} {op} {right}"
                )
            }
            Self::ReconciledBounds(combining) => {
                format!("mismatched custom buckets were reconciled during {}", combining.as_str())
            }
            Self::Ignored => named("ignored histograms in a range containing both floats and histograms"),
            Self::IgnoredInGroup(operator) => format!("ignored histogram in {operator} aggregation"),
            Self::NanObservations(function, outcome) => {
                named(&format!("input to {function} has NaN observations, {outcome}"))
            }
        }
    }
}

/// `MESSAGE for metric name "x"`, where there is a name.
pub(crate) fn for_metric(message: &str, metric: &str) -> String {
    if metric.is_empty() {
        message.to_owned()
    } else {
        format!("{message} for metric name {}", quote(metric))
    }
}

/// What one computation has to say, each thing once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Vec<Note>);

impl Notes {
    pub(crate) fn add(&mut self, note: Note) {
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// Hands out everything said so far.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Note> + '_ {
        self.0.drain(..)
    }
}

impl Annotations {
    /// Adds what is to be said about a metric, which may have no name.
    pub(crate) fn note(&mut self, note: Note, metric: &str, span: Span) {
        let message = note.message(metric);
        if note.is_warning() { self.warn(&message, span) } else { self.info(&message, span) }
    }

    /// Adds what was collected elsewhere.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (all, more) in [(&mut self.warnings, other.warnings), (&mut self.infos, other.infos)] {
            let room = MAX_KEPT.saturating_sub(all.len());
            all.extend(more.into_iter().take(room));
        }
    }

    /// Adds `PromQL warning: MESSAGE (line:col)`.
    pub(crate) fn warn(&mut self, message: &str, span: Span) {
        if self.warnings.len() < MAX_KEPT {
            self.warnings.insert(format!("PromQL warning: {message} ({}:{})", span.line, span.column));
        }
    }

    /// Adds `PromQL info: MESSAGE (line:col)`.
    pub(crate) fn info(&mut self, message: &str, span: Span) {
        if self.infos.len() < MAX_KEPT {
            self.infos.insert(format!("PromQL info: {message} ({}:{})", span.line, span.column));
        }
    }
}
