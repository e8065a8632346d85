//! What the engine asks of a store of samples.

use std::error::Error;
use std::sync::Arc;

use cairn_model::{Labels, Matcher, TimeMs};

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
#[derive(Clone, Debug)]
pub struct SeriesData {
    /// The series.
    pub labels: Arc<Labels>,
    /// Times in milliseconds since the epoch.
    pub times: Vec<i64>,
    /// Values, one for each time.
    pub values: Vec<f64>,
}

/// Bits of the NaN that marks "this series is gone from here on".
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Bits that every other NaN is normalised to when it is ingested.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Whether `value` is the staleness marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// The store failed while reading.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// A consistent view of stored samples.
pub trait SampleSource: Send + Sync {
    /// The series that match and have samples in the range, ascending by labels.
    ///
    /// # Errors
    /// [`SourceError`] when a block cannot be read.
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError>;
}
