//! What is appended, and what became of it.

use std::fmt;
use std::io;
use std::sync::Arc;

use cairn_disk::WalError;
use cairn_model::Histogram;

use crate::series::SeriesRef;

/// One sample for a series that was resolved before.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The series, from [`Db::series_ref`](crate::Db::series_ref).
    pub series: SeriesRef,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The value. Staleness markers are kept bit for bit, any other NaN becomes the ordinary one.
    pub value: f64,
    /// When what is counted began, in milliseconds: a created timestamp of the peer. 0 when it is not known.
    pub start_ms: i64,
}

/// As [`Sample`], for a caller that keeps the series and need not count one more reference to it.
#[derive(Clone, Copy, Debug)]
pub struct SampleOf<'a> {
    /// The series, from [`Db::series_ref`](crate::Db::series_ref).
    pub series: &'a SeriesRef,
    /// As `Sample::time_ms`.
    pub time_ms: i64,
    /// As `Sample::value`.
    pub value: f64,
    /// As `Sample::start_ms`.
    pub start_ms: i64,
}

/// A native histogram for a series that was resolved before.
#[derive(Clone, Debug)]
pub struct HistogramSample {
    /// The series, from [`Db::series_ref`](crate::Db::series_ref).
    pub series: SeriesRef,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// As `Sample::start_ms`.
    pub start_ms: i64,
    /// The value; a staleness marker when its sum is one, whatever else is in it. [`Histogram::validate`] says what is
    /// wrong with one that is refused.
    pub histogram: Arc<Histogram>,
}

/// A sample in one of the two shapes.
pub(crate) trait Row {
    fn series(&self) -> &SeriesRef;
    fn time_ms(&self) -> i64;
    fn value(&self) -> f64;
    fn start_ms(&self) -> i64;
}

impl Row for Sample {
    fn series(&self) -> &SeriesRef {
        &self.series
    }
    fn time_ms(&self) -> i64 {
        self.time_ms
    }
    fn value(&self) -> f64 {
        self.value
    }
    fn start_ms(&self) -> i64 {
        self.start_ms
    }
}

impl Row for SampleOf<'_> {
    fn series(&self) -> &SeriesRef {
        self.series
    }
    fn time_ms(&self) -> i64 {
        self.time_ms
    }
    fn value(&self) -> f64 {
        self.value
    }
    fn start_ms(&self) -> i64 {
        self.start_ms
    }
}

/// What became of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// It is in the log (durable after the next sync) and in every answer from now on.
    Stored,
    /// The series has this very sample already; nothing to do, nothing wrong.
    Duplicate,
    /// The series has another value at this time, which stays.
    DuplicateOtherValue {
        /// The value that stays.
        existing: f64,
    },
    /// Older than the newest sample of its series.
    OutOfOrder,
    /// Older than the out-of-order window, where there is one.
    BeforeWindow,
    /// Older than what the head accepts: half a block before its newest sample.
    TooOld,
    /// More than [`MAX_FUTURE_MS`](crate::options::MAX_FUTURE_MS) later than the caller's clock.
    TooFarInFuture,
    /// A histogram whose parts do not fit together.
    InvalidHistogram,
    /// The series left the head since its reference was resolved; resolve it again and repeat.
    SeriesDropped,
}

impl Outcome {
    /// Whether the caller may tell its client that the sample is kept.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Stored | Self::Duplicate)
    }
}

/// What became of a request that is kept whole or not at all.
#[derive(Debug, Default, PartialEq)]
pub struct WholeOutcomes {
    /// One for each sample, in their order.
    pub samples: Vec<Outcome>,
    /// One for each native histogram, in their order.
    pub histograms: Vec<Outcome>,
}

impl WholeOutcomes {
    pub(crate) fn with_capacity(n_samples: usize, n_histograms: usize) -> Self {
        Self { samples: Vec::with_capacity(n_samples), histograms: Vec::with_capacity(n_histograms) }
    }

    /// Whether all of it is kept. If not, nothing was stored, and what would have been is told as if it were.
    pub fn is_kept(&self) -> bool {
        self.samples.iter().chain(&self.histograms).all(|outcome| outcome.is_kept())
    }
}

/// In the words of the peer, which clients and dashboards of ingestion errors know.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate sample",
            Self::DuplicateOtherValue { .. } => "duplicate sample for timestamp",
            Self::OutOfOrder => "out of order sample",
            Self::BeforeWindow => "too old sample",
            Self::TooOld => "out of bounds",
            Self::TooFarInFuture => "out of bounds: timestamp is too far in the future",
            Self::InvalidHistogram => "invalid histogram",
            Self::SeriesDropped => "series left the head",
        })
    }
}

/// Why nothing more could be appended. Reads go on.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The write-ahead log could not be written or synced.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// Samples cannot be written to blocks, and no more of them fit into memory.
    #[error(
        "{bytes} bytes of samples wait in memory to be written to blocks, {limit} is the limit, and writing fails \
         ({reason}); see to the disk"
    )]
    HeadTooLarge {
        /// Bytes of samples in memory, about.
        bytes: usize,
        /// The limit.
        limit: usize,
        /// Why they cannot be written.
        reason: String,
        /// Whether that is for a full disk.
        is_no_space: bool,
    },
    /// The head has as many series as it may.
    #[error(
        "{limit} series are in the head, which is the limit; drop labels of high cardinality or raise the limit"
    )]
    TooManySeries {
        /// The limit.
        limit: usize,
    },
    /// A label set that no record can hold.
    #[error("a label set of {bytes} bytes, the limit is {limit}")]
    LabelsTooLarge {
        /// Bytes in names and values.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl AppendError {
    /// Whether the disk keeps samples from being taken, and not what they are: the same ones may be taken later.
    pub fn is_of_disk(&self) -> bool {
        match self {
            Self::Wal(_) | Self::HeadTooLarge { .. } => true,
            Self::TooManySeries { .. } | Self::LabelsTooLarge { .. } => false,
        }
    }

    /// Whether the disk is full: freeing space heals it.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Wal(error) => error.is_no_space(),
            Self::HeadTooLarge { is_no_space, .. } => *is_no_space,
            Self::TooManySeries { .. } | Self::LabelsTooLarge { .. } => false,
        }
    }
}

impl From<AppendError> for io::Error {
    fn from(error: AppendError) -> Self {
        Self::other(error)
    }
}
