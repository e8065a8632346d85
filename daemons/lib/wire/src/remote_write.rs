//! The body of `POST /api/v1/write`: Prometheus's remote write, versions 1.0 and 2.0.
//!
//! A request is walked once, without a message object for each series: labels stay where they lie, samples go into one
//! flat list. Whoever stores them can tell a known series from the bytes of its labels
//! ([`WriteRequest::label_bytes`]) and takes the labels apart only where it must ([`WriteRequest::labels`]).
//!
//! | module | answers |
//! |---|---|
//! | `remote_write` | what does a request hold, under which limits |
//! | `remote_write_v1`, `remote_write_v2` | how is it read in each version |
//! | `remote_write_histogram` | how is a native histogram read |

use std::ops::Range;

use cairn_model::{Exemplar, Histogram, Labels, MetricType};

use crate::decompress::{self, DecompressError};
use crate::protobuf_reader::{ProtobufError, Reader};
use crate::{remote_write_v1, remote_write_v2};

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// Sizes that a request may have. Each is checked before memory of that size is taken.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimits {
    /// Bytes after decompression, at most 4 GiB.
    pub decompressed_bytes: usize,
    /// Series, samples, buckets, exemplars, symbols and lines of metadata together: an empty one takes two bytes on the
    /// wire and fifty times that in memory.
    pub items: usize,
}

impl Default for WriteLimits {
    /// Senders put 500 to 10,000 samples into a request, in 0.1 to 3 MB.
    fn default() -> Self {
        Self { decompressed_bytes: 64 << 20, items: 2_000_000 }
    }
}

/// Why a body cannot be read. The text is what Prometheus answers (without its newline).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteWriteError {
    /// The body is no snappy block.
    #[error("s2: corrupt input")]
    Snappy,
    /// The body, or what is in it, is over a limit.
    #[error("remote write request too large: more than {limit} {what}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The body is no such message.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
}

/// One float sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WriteSample {
    /// The value, bit for bit.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// When counting began, in milliseconds; 0: not said (version 1.0 cannot say it).
    pub start_ms: i64,
}

/// One native histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteHistogram {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// When counting began, in milliseconds; 0: not said.
    pub start_ms: i64,
    /// The histogram, not validated further; or why there is none, in the words of the peer.
    pub histogram: Result<Histogram, String>,
}

/// One series of a request; its parts lie in the lists of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSeries {
    pub(crate) labels: LabelPlace,
    /// Its samples, in [`WriteRequest::samples`].
    pub samples: Range<u32>,
    /// Its histograms, in [`WriteRequest::histograms`].
    pub histograms: Range<u32>,
    /// Its exemplars, in [`WriteRequest::exemplars`].
    pub exemplars: Range<u32>,
    /// Why the series has no labels, in the words of the peer; only in version 2.0.
    pub fault: Option<Box<str>>,
}

/// Name and value of a label, as sent.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Where the encoded labels of a series lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelPlace {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// In the arena, not in the body.
    pub(crate) is_copied: bool,
}

/// What is said about a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteMetadata {
    /// Version 1.0: name of the family. Version 2.0: name of a series of it.
    pub name: String,
    /// Its type.
    pub metric_type: MetricType,
    /// What it means.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

/// A request that was read. Nothing in it was judged: labels may be unsorted, doubled or no UTF-8.
#[derive(Clone, Debug, Default)]
pub struct WriteRequest<'a> {
    pub(crate) body: &'a [u8],
    /// Labels that do not lie together in the body, or not in the encoding of version 1.0.
    pub(crate) arena: Vec<u8>,
    /// In the order sent.
    pub series: Vec<WriteSeries>,
    /// Samples of all series.
    pub samples: Vec<WriteSample>,
    /// Histograms of all series.
    pub histograms: Vec<WriteHistogram>,
    /// Exemplars of all series; or why there is none, in the words of the peer.
    pub exemplars: Vec<Result<Exemplar, String>>,
    /// Metadata, in the order sent.
    pub metadata: Vec<WriteMetadata>,
}

impl WriteRequest<'_> {
    /// The labels of a series in the encoding of version 1.0, whichever the request has: the same bytes are the same
    /// series (not the other way round, since labels may be ordered differently).
    pub fn label_bytes(&self, series: &WriteSeries) -> &[u8] {
        let LabelPlace { start, end, is_copied } = series.labels;
        let bytes = if is_copied { &self.arena[..] } else { self.body };
        &bytes[start as usize..end as usize]
    }

    /// Labels of a series as pairs of name and value in the order sent; not checked.
    ///
    /// # Errors
    /// [`ProtobufError`] when a label is no such message.
    pub fn labels<'s>(&'s self, series: &WriteSeries) -> Result<Vec<Pair<'s>>, ProtobufError> {
        let mut reader = Reader::new("TimeSeries", self.label_bytes(series));
        let mut pairs = Vec::new();
        while let Some((_, value)) = reader.next()? {
            pairs.push(remote_write_v1::label(value.bytes("Labels")?)?);
        }
        Ok(pairs)
    }
}

/// Decompresses a body: one snappy block, not framed. `out` is overwritten; its memory can serve request after request.
///
/// # Errors
/// [`RemoteWriteError::Snappy`], [`RemoteWriteError::TooLarge`].
pub fn decompress(body: &[u8], limits: &WriteLimits, out: &mut Vec<u8>) -> Result<(), RemoteWriteError> {
    decompress::snappy_block_into(body, limits.decompressed_bytes, out).map_err(|error| match error {
        DecompressError::TooLarge { limit } => {
            RemoteWriteError::TooLarge { what: "bytes after decompression", limit }
        }
        _ => RemoteWriteError::Snappy,
    })
}

/// Reads a decompressed request.
///
/// # Errors
/// [`RemoteWriteError::Protobuf`], [`RemoteWriteError::TooLarge`].
pub fn decode<'a>(
    plain: &'a [u8],
    version: Version,
    limits: &WriteLimits,
) -> Result<WriteRequest<'a>, RemoteWriteError> {
    let limit = limits.decompressed_bytes.min(u32::MAX as usize / 2);
    if plain.len() > limit {
        return Err(RemoteWriteError::TooLarge { what: "bytes after decompression", limit });
    }
    let budget = ItemBudget { left: limits.items, limit: limits.items };
    match version {
        Version::V1 => remote_write_v1::decode(plain, budget),
        Version::V2 => remote_write_v2::decode(plain, budget),
    }
}

/// Counts what is allocated for.
pub(crate) struct ItemBudget {
    left: usize,
    limit: usize,
}

impl ItemBudget {
    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Result<(), RemoteWriteError> {
        let too_large = RemoteWriteError::TooLarge { what: "series, samples and buckets", limit: self.limit };
        self.left = self.left.checked_sub(n).ok_or(too_large)?;
        Ok(())
    }
}

/// Position in a list or buffer. Lists are bounded by [`ItemBudget`], buffers by the limit of bytes, both below 2^32.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the limits above")]
pub(crate) fn position(at: usize) -> u32 {
    at as u32
}

/// `MetricMetadata.MetricType`, in both versions.
pub(crate) fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// Labels of an exemplar.
pub(crate) fn exemplar_labels<'p>(
    pairs: impl IntoIterator<Item = (&'p [u8], &'p [u8])>,
) -> Result<Labels, String> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "exemplar labels are not UTF-8".to_owned());
    pairs.into_iter().map(|(name, value)| Ok((text(name)?, text(value)?))).collect::<Result<Labels, _>>()
}
