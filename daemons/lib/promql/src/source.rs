//! What the engine asks of a store of samples.

use std::error::Error;
use std::sync::Arc;

use cairn_model::{Histogram, Labels, Matcher, TimeMs};

pub use crate::times::Times;

/// Which samples a query needs.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// All of them must pass.
    pub matchers: &'a [Matcher],
    /// First instant wanted.
    pub start: TimeMs,
    /// Last instant wanted.
    pub end: TimeMs,
}

/// One series with its decoded samples in the selected range, ascending by time, each time once.
/// Staleness markers ([`STALE_NAN_BITS`]) are among them.
#[derive(Clone, Debug, Default)]
pub struct SeriesData {
    /// The series.
    pub labels: Arc<Labels>,
    /// Times of float samples in milliseconds since the epoch.
    pub times: Times,
    /// Values, one for each of `times`.
    pub values: Vec<f64>,
    /// Start timestamps, one for each of `times`, 0 where none is known; or empty when none is known for any.
    pub starts: Vec<i64>,
    /// Native histogram samples, ascending by time; none at a time that `times` has.
    pub histograms: Vec<HistogramPoint>,
    /// Whether it is known that none of `values` is a staleness marker; false when nobody has looked.
    pub has_no_markers: bool,
}

/// A native histogram sample. A staleness marker among them is one whose sum [`is_stale`].
#[derive(Clone, Debug)]
pub struct HistogramPoint {
    /// Milliseconds since the epoch.
    pub time: i64,
    /// Start timestamp in milliseconds, 0 when none is known.
    pub start: i64,
    /// The value.
    pub histogram: Arc<Histogram>,
}

/// Bits of the NaN that marks "this series is gone from here on".
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Bits that every other NaN is normalised to when it is ingested.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Whether `value` is the staleness marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// The store failed while reading; or [`TooManySamples`].
pub type SourceError = Box<dyn Error + Send + Sync>;

/// Why a store refuses a selection that would take too much memory. The words are the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("query processing would load too many samples into memory in query execution")]
pub struct TooManySamples;

/// A consistent view of stored samples.
pub trait SampleSource: Send + Sync {
    /// The series that match and have samples in the range, ascending by labels.
    ///
    /// # Errors
    /// [`SourceError`] when a block cannot be read, [`TooManySamples`] in it when more is selected than a query may
    /// load.
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError>;
}
