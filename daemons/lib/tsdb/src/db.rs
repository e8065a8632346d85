//! skeleton
use crate::append::*;
use crate::options::Options;
use crate::series::SeriesRef;
use crate::stats::*;
use cairn_model::{Labels, Matcher, TimeMs};
use cairn_promql::source::{SampleSource, Selection, SeriesData, SourceError};
use std::sync::Arc;
/// How far opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Opening blocks.
    Blocks {
        /** done */
        done: usize,
        /** of */
        total: usize,
    },
    /// Loading the checkpoint of the head.
    Checkpoint {
        /** so far */
        series: usize,
    },
    /// Replaying the write-ahead log; segment numbers.
    Wal {
        /** now at */
        current: u64,
        /** first */
        first: u64,
        /** last */
        last: u64,
    },
}
/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log.
    #[error(transparent)]
    Wal(#[from] cairn_disk::WalError),
}
/// Why maintenance stopped.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The system refused.
    #[error("{action} {path}")]
    Io {
        /** what */
        action: &'static str,
        /** where */
        path: std::path::PathBuf,
        /** why */
        #[source]
        source: std::io::Error,
    },
}
/// What opening found.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /** series in the head */
    pub series: usize,
    /** samples replayed from the log */
    pub samples: u64,
    /** one line for each thing that was damaged */
    pub damage: Vec<String>,
    /** torn bytes cut */
    pub torn_bytes: u64,
    /** blocks served */
    pub blocks: usize,
}
/// A metrics database. Clones share it.
#[derive(Clone, Debug)]
pub struct Db {
    _x: Arc<()>,
}
impl Db {
    /// Opens.
    pub fn open(_options: Options, _progress: &dyn Fn(Progress)) -> Result<(Self, OpenReport), OpenError> {
        unimplemented!()
    }
    /// Finds or creates a series. `labels` include `__name__`.
    pub fn series_ref(&self, _labels: &Labels) -> Result<SeriesRef, AppendError> {
        unimplemented!()
    }
    /// Finds a series without creating it.
    pub fn find(&self, _labels: &Labels) -> Option<SeriesRef> {
        unimplemented!()
    }
    /// Appends; one outcome per sample, in order. `now` is the caller's clock.
    pub fn append(&self, _samples: &[Sample], _now: TimeMs) -> Result<Vec<Outcome>, AppendError> {
        unimplemented!()
    }
    /// Makes everything appended so far durable.
    pub fn sync(&self) -> Result<(), AppendError> {
        unimplemented!()
    }
    /// Cut blocks, checkpoint, compact, retention. Blocking, may take seconds, never blocks appends for long.
    pub fn maintain(&self, _now: TimeMs) -> Result<(), MaintainError> {
        unimplemented!()
    }
    /// For queries.
    pub fn view(&self) -> View {
        unimplemented!()
    }
    /// Names of labels, ascending.
    pub fn label_names(
        &self,
        _matchers: &[Matcher],
        _start: TimeMs,
        _end: TimeMs,
    ) -> Result<Vec<String>, SourceError> {
        unimplemented!()
    }
    /// Values of a label, ascending.
    pub fn label_values(
        &self,
        _name: &str,
        _matchers: &[Matcher],
        _start: TimeMs,
        _end: TimeMs,
    ) -> Result<Vec<String>, SourceError> {
        unimplemented!()
    }
    /// Series, ascending by labels.
    pub fn series(
        &self,
        _matchers: &[Matcher],
        _start: TimeMs,
        _end: TimeMs,
    ) -> Result<Vec<Arc<Labels>>, SourceError> {
        unimplemented!()
    }
    /// The head, with the `limit` largest of each list.
    pub fn head_stats(&self, _limit: usize) -> HeadStats {
        unimplemented!()
    }
    /// Counts.
    pub fn counters(&self) -> Counters {
        unimplemented!()
    }
}
/// For queries.
#[derive(Clone, Debug)]
pub struct View {
    _db: Db,
}
impl SampleSource for View {
    fn select(&self, _s: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        unimplemented!()
    }
}
