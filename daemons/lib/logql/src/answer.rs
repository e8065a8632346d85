//! What a query gives back, before any encoding.

use std::sync::Arc;

use cairn_model::{Labels, TimeNs};

use crate::source::{Direction, SourceError};

/// What a log query asks for beside its expression.
#[derive(Clone, Copy, Debug)]
pub struct LogQuery {
    /// First instant wanted.
    pub start: TimeNs,
    /// First instant no longer wanted.
    pub end: TimeNs,
    /// How many entries at most, over all streams; 0 means no limit.
    pub limit: usize,
    /// Newest or oldest first.
    pub direction: Direction,
    /// Least distance between two entries given back, nanoseconds; 0 gives all.
    pub interval: i64,
}

/// Bounds of an evaluation.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How many series a metric query may give, or hold at any stage.
    pub max_series: usize,
    /// Give the first `max_series` series and a warning instead of an error.
    pub partial_series: bool,
    /// Asked now and then (every few thousand lines); true ends the query with [`EvalError::Cancelled`].
    pub is_cancelled: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// Loki's default for `max_query_series`.
pub const DEFAULT_MAX_SERIES: usize = 500;

impl Default for Options<'_> {
    fn default() -> Self {
        Self { max_series: DEFAULT_MAX_SERIES, partial_series: false, is_cancelled: None }
    }
}

/// How much work a query was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries read from the source.
    pub lines: u64,
    /// Bytes of their lines.
    pub bytes: u64,
    /// Bytes of names and values of their structured metadata.
    pub metadata_bytes: u64,
    /// Entries that passed the pipeline.
    pub lines_kept: u64,
    /// Streams opened.
    pub streams: u64,
}

/// The labels of a kept entry, by where they come from. A name occurs in one of the three only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EntryLabels {
    /// What is left of the stream's labels.
    pub stream: Labels,
    /// What is left of the structured metadata.
    pub metadata: Labels,
    /// What the pipeline made, ascending by name. Unlike stored labels these may be empty texts.
    pub parsed: Vec<(String, String)>,
}

impl EntryLabels {
    /// All labels, ascending by name.
    pub fn merged(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<(&str, &str)> = self
            .stream
            .iter()
            .chain(self.metadata.iter())
            .chain(self.parsed.iter().map(|(n, v)| (n.as_str(), v.as_str())))
            .collect();
        all.sort_unstable();
        all
    }
}

/// One kept entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was logged.
    pub time: TimeNs,
    /// The line as the pipeline left it; usually UTF-8, but not promised.
    pub line: Vec<u8>,
    /// Shared between entries with the same labels.
    pub labels: Arc<EntryLabels>,
}

/// The answer of a log query.
#[derive(Clone, Debug, Default)]
pub struct LogAnswer {
    /// In the direction asked for, over all streams; of one instant and stream in order of arrival (reversed when
    /// backward).
    pub entries: Vec<LogEntry>,
    /// The work done.
    pub stats: Stats,
}

/// Entries of one answer that share a label set.
#[derive(Clone, Debug)]
pub struct AnswerStream<'a> {
    /// The labels of the stream, ascending by name. Merged: every label; categorised: stream labels only.
    pub labels: Vec<(&'a str, &'a str)>,
    /// In the direction asked for.
    pub entries: Vec<&'a LogEntry>,
}

impl LogAnswer {
    /// Groups the entries into streams, ascending by labels. With `categorize` an entry belongs to the stream of its
    /// remaining stream labels and carries metadata and parsed labels itself; without, all labels make the stream.
    pub fn streams(&self, categorize: bool) -> Vec<AnswerStream<'_>> {
        let mut by_labels: std::collections::BTreeMap<Vec<(&str, &str)>, Vec<&LogEntry>> = Default::default();
        // Entries of one stream share the Arc mostly: the merged form is made once for each.
        let mut seen: std::collections::HashMap<*const EntryLabels, Vec<(&str, &str)>> = Default::default();
        for entry in &self.entries {
            let labels = seen.entry(Arc::as_ptr(&entry.labels)).or_insert_with(|| {
                if categorize { entry.labels.stream.iter().collect() } else { entry.labels.merged() }
            });
            match by_labels.get_mut(labels) {
                Some(entries) => entries.push(entry),
                None => {
                    by_labels.insert(labels.clone(), vec![entry]);
                }
            }
        }
        by_labels.into_iter().map(|(labels, entries)| AnswerStream { labels, entries }).collect()
    }
}

/// One series at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// One series over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Ascending in time; never empty.
    pub points: Vec<(TimeNs, f64)>,
}

/// The numbers of a metric query.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// A plain number asked for at an instant.
    Scalar(f64),
    /// Series at the instant asked for: ascending by labels, except below `sort` and `sort_desc`.
    Vector(Vec<Sample>),
    /// Series over the steps of a range, ascending by labels.
    Matrix(Vec<Series>),
}

/// The answer of a metric query.
#[derive(Clone, Debug)]
pub struct MetricAnswer {
    /// The numbers.
    pub value: MetricValue,
    /// The work done.
    pub stats: Stats,
    /// For the person who asked.
    pub warnings: Vec<String>,
}

/// Why a query that parsed cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The query is at fault: matching, a series limit, an error label left in place, a construct that is not built
    /// yet. The text is for the person who asked (status 400).
    #[error("{0}")]
    Query(String),
    /// The source failed (status 500).
    #[error("read stored entries: {0}")]
    Source(#[from] SourceError),
    /// [`Options::is_cancelled`] said so.
    #[error("the query was cancelled")]
    Cancelled,
}
