//! Entries of an answer as a source of their own, so that a parser of the language can be tried on each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_logql::ast::{Logfmt, Stage};
use cairn_logql::{
    Direction, EntryRef, EvalError, LogAnswer, LogExpr, LogQuery, LogSource, Options, Selection, SourceError,
    StreamCursor, query_logs,
};
use cairn_model::{Labels, TimeNs};

/// Metadata that says which entry of the original answer this is.
const INDEX: &str = "__index__";

/// Time, line, and the index as metadata.
type Replayed<'a> = (TimeNs, &'a [u8], Labels);

/// The entries, by what is left of their stream labels.
pub(super) struct Replay<'a> {
    streams: BTreeMap<&'a Labels, Vec<Replayed<'a>>>,
    n_entries: usize,
}

impl<'a> Replay<'a> {
    /// All entries of an answer.
    pub(super) fn new(answer: &'a LogAnswer) -> Self {
        let mut streams: BTreeMap<&Labels, Vec<_>> = BTreeMap::new();
        for (index, entry) in answer.entries.iter().enumerate() {
            let metadata = Labels::from_pairs([(INDEX, index.to_string())]);
            streams.entry(&entry.labels.stream).or_default().push((
                entry.time,
                entry.line.as_slice(),
                metadata,
            ));
        }
        for entries in streams.values_mut() {
            entries.sort_by_key(|(time, ..)| *time);
        }
        Self { streams, n_entries: answer.entries.len() }
    }

    /// What `| json` finds in each entry, in the order of the answer; empty where it fails.
    pub(super) fn json(&self, expr: &LogExpr) -> Result<Vec<Option<Parsed>>, EvalError> {
        self.run(expr, Stage::Json(Vec::new()))
    }

    /// What `| logfmt` finds.
    pub(super) fn logfmt(&self, expr: &LogExpr) -> Result<Vec<Option<Parsed>>, EvalError> {
        self.run(expr, Stage::Logfmt(Logfmt { strict: false, keep_empty: false, extractions: Vec::new() }))
    }

    fn run(&self, expr: &LogExpr, stage: Stage) -> Result<Vec<Option<Parsed>>, EvalError> {
        let expr = LogExpr { matchers: expr.matchers.clone(), stages: vec![stage] };
        let query = LogQuery {
            start: TimeNs::MIN,
            end: TimeNs::MAX,
            limit: self.n_entries,
            direction: Direction::Forward,
            interval: 0,
        };
        let answer = query_logs(self, &expr, &query, &Options::default())?;
        let mut out: Vec<Option<Parsed>> = vec![None; self.n_entries];
        for entry in answer.entries {
            let index = entry.labels.metadata.get(INDEX).and_then(|index| index.parse::<usize>().ok());
            let has_failed = entry.labels.parsed.iter().any(|(name, _)| name == "__error__");
            if let Some(slot) = index.and_then(|index| out.get_mut(index))
                && !has_failed
            {
                *slot = Some(entry.labels.parsed.clone());
            }
        }
        Ok(out)
    }
}

/// Names and values that a parser found.
pub(super) type Parsed = Vec<(String, String)>;

impl LogSource for Replay<'_> {
    fn select<'s>(
        &'s self,
        _selection: &Selection<'_>,
    ) -> Result<Vec<Box<dyn StreamCursor + 's>>, SourceError> {
        let cursor = |(labels, entries): (&&Labels, &'s Vec<_>)| {
            Box::new(Cursor { labels: Arc::new((*labels).clone()), entries, at: 0 })
                as Box<dyn StreamCursor + 's>
        };
        Ok(self.streams.iter().map(cursor).collect())
    }
}

struct Cursor<'a> {
    labels: Arc<Labels>,
    entries: &'a [Replayed<'a>],
    /// One past the current entry.
    at: usize,
}

impl StreamCursor for Cursor<'_> {
    fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }

    fn advance(&mut self) -> Result<bool, SourceError> {
        self.at += 1;
        Ok(self.at <= self.entries.len())
    }

    fn entry(&self) -> EntryRef<'_> {
        let (time, line, metadata) = &self.entries[self.at - 1];
        EntryRef { time: *time, line, metadata }
    }
}
