//! The receiver of remote write: from the bytes of a request to samples on disk.
//!
//! | file | answers |
//! |---|---|
//! | `remote_write.rs` | what happens to a request, in which order |
//! | `remote_write/cache.rs` | which series is this, without taking its labels apart |
//!
//! Where this differs from the peer: of a request of version 1.0 that holds a bad sample, the peer keeps nothing and
//! the sender, told 400, drops it all. Here the good samples are kept, as in version 2.0; the answer is the same.

mod cache;

use std::sync::{Arc, Mutex, PoisonError};

use cairn_model::number::general_float;
use cairn_model::{Labels, LabelsBuilder};
use cairn_tsdb::{AppendError, Outcome, Sample, SeriesRef};
use cairn_wire::protobuf_reader::ProtobufError;
use cairn_wire::remote_write::{
    self as wire, RemoteWriteError, Version, WriteLimits, WriteRequest, WriteSeries,
};

use crate::metrics::Metrics;
use crate::storage::Storage;
use cache::{Fingerprint, SeriesCache};

/// Requests that are worked on at once; more wait. Twice the cores: while some wait for the disk, others use them.
pub fn places() -> usize {
    2 * std::thread::available_parallelism().map_or(2, usize::from)
}

/// Bytes of all bodies that arrive or wait, together.
pub const BODY_BYTES: usize = 128 << 20;

/// Memory for decompressed requests that is kept for the next one, each; larger pieces are given back.
const MAX_KEPT_BYTES: usize = 8 << 20;

/// Messages of one answer; what is more is counted.
const MAX_MESSAGES: usize = 1000;

/// What became of a request that could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Samples kept.
    pub samples: u64,
    /// Histograms kept.
    pub histograms: u64,
    /// Exemplars kept.
    pub exemplars: u64,
    /// What was refused and why, in the order of the request; empty when nothing was.
    pub messages: Vec<String>,
}

/// Why nothing of a request counts as stored.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It cannot be read.
    #[error(transparent)]
    Request(#[from] RemoteWriteError),
    /// The database does not take it; a later try may succeed.
    #[error(transparent)]
    Storage(#[from] AppendError),
}

impl From<ProtobufError> for ReceiveError {
    fn from(error: ProtobufError) -> Self {
        Self::Request(error.into())
    }
}

/// The receiver.
#[derive(Debug)]
pub struct Receiver {
    storage: Arc<Storage>,
    metrics: Arc<Metrics>,
    cache: SeriesCache,
    limits: WriteLimits,
    /// Memory that serves one request after another; as many pieces as requests ran at once.
    scratch: Mutex<Vec<Vec<u8>>>,
}

/// A request on its way.
#[derive(Default)]
struct Batch {
    rows: Vec<Sample>,
    /// For each row, the position of its series in the request.
    origins: Vec<u32>,
    /// Messages with the position of the series that they are about.
    messages: Vec<(u32, String)>,
    /// Messages beyond [`MAX_MESSAGES`].
    n_more: usize,
    written: Written,
}

impl Batch {
    fn refuse(&mut self, series: usize, message: impl FnOnce() -> String) {
        if self.messages.len() < MAX_MESSAGES {
            self.messages.push((position(series), message()));
        } else {
            self.n_more += 1;
        }
    }

    fn add(&mut self, request: &WriteRequest<'_>, index: usize, series: &SeriesRef) {
        for sample in samples(request, &request.series[index]) {
            self.rows.push(Sample {
                series: series.clone(),
                time_ms: sample.time_ms,
                value: sample.value,
                start_ms: sample.start_ms,
            });
            self.origins.push(position(index));
        }
    }
}

impl Receiver {
    /// A receiver for `storage`.
    pub fn new(storage: Arc<Storage>, metrics: Arc<Metrics>) -> Self {
        let cache = SeriesCache::new();
        Self { storage, metrics, cache, limits: WriteLimits::default(), scratch: Mutex::default() }
    }

    /// Stores a request as it was sent. Blocking, until what is kept is durable.
    ///
    /// # Errors
    /// [`ReceiveError`]; then a part of it may be stored, and sending it again does no harm.
    pub fn receive(&self, body: &[u8], version: Version) -> Result<Written, ReceiveError> {
        let mut plain = self.scratch().pop().unwrap_or_default();
        let outcome = self.receive_into(body, version, &mut plain);
        if plain.capacity() <= MAX_KEPT_BYTES {
            self.scratch().push(plain);
        }
        if let Err(ReceiveError::Storage(AppendError::Wal(_))) = &outcome {
            self.metrics.wal_writes_failed.inc();
        }
        outcome
    }

    /// Lets go of series that have left the head; to be called after upkeep.
    pub fn forget_dropped(&self) {
        self.cache.forget_dropped();
    }

    fn scratch(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive_into(
        &self,
        body: &[u8],
        version: Version,
        plain: &mut Vec<u8>,
    ) -> Result<Written, ReceiveError> {
        wire::decompress(body, &self.limits, plain)?;
        let request = wire::decode(plain, version, &self.limits)?;
        let mut batch = Batch {
            rows: Vec::with_capacity(request.samples.len()),
            origins: Vec::with_capacity(request.samples.len()),
            ..Batch::default()
        };
        let unknown = self.look_up(&request, version, &mut batch);
        self.resolve(&request, version, &unknown, &mut batch)?;
        self.append(&request, &mut batch)?;
        // Also when all of it was there before: a sender that repeats a request may have been told of a failed sync.
        self.storage.sync_appended()?;
        Ok(self.account(batch))
    }

    /// Takes the samples of series that are known. Answers the positions of the others.
    fn look_up(
        &self,
        request: &WriteRequest<'_>,
        version: Version,
        batch: &mut Batch,
    ) -> Vec<(usize, Fingerprint)> {
        let mut unknown = Vec::new();
        let known = self.cache.read();
        for (index, series) in request.series.iter().enumerate() {
            if let Some(fault) = &series.fault {
                batch.refuse(index, || fault.to_string());
                continue;
            }
            if version == Version::V2 && series.samples.is_empty() && series.histograms.is_empty() {
                batch.refuse(index, || no_samples(request, series));
                continue;
            }
            let key = self.cache.fingerprint(request.label_bytes(series));
            match known.get(key) {
                Some(found) => batch.add(request, index, found),
                None => unknown.push((index, key)),
            }
        }
        unknown
    }

    /// Finds or creates series by their labels.
    fn resolve(
        &self,
        request: &WriteRequest<'_>,
        version: Version,
        unknown: &[(usize, Fingerprint)],
        batch: &mut Batch,
    ) -> Result<(), ReceiveError> {
        if unknown.is_empty() {
            return Ok(());
        }
        // All are read before the first is created: a request that cannot be read changes nothing.
        let mut read = Vec::with_capacity(unknown.len());
        for &(index, key) in unknown {
            let series = &request.series[index];
            match checked_labels(&request.labels(series)?) {
                Ok(labels) => read.push((index, key, labels)),
                Err(shown) => match version {
                    // The peer leaves these out without telling the sender.
                    Version::V1 => {
                        let n = series.samples.len() + series.histograms.len();
                        self.metrics.remote_write.invalid_labels.inc_by(n as u64);
                    }
                    Version::V2 => {
                        batch.refuse(index, || format!("invalid metric name or labels, got {shown}"));
                    }
                },
            }
        }
        let mut found = Vec::with_capacity(read.len());
        for (index, key, labels) in read {
            match self.storage.resolve(&labels) {
                Ok(series) => {
                    batch.add(request, index, &series);
                    found.push((key, series));
                }
                Err(error @ (AppendError::TooManySeries { .. } | AppendError::LabelsTooLarge { .. })) => {
                    batch.refuse(index, || error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.cache.insert(&found, self.storage.db().n_series());
        Ok(())
    }

    fn append(&self, request: &WriteRequest<'_>, batch: &mut Batch) -> Result<(), ReceiveError> {
        let (outcomes, n_dropped) = self.storage.append_counting(&mut batch.rows)?;
        if n_dropped > 0 {
            // They come in masses, at upkeep: without this each request would meet them again.
            self.cache.forget_dropped();
        }
        for (row, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Outcome::Stored | Outcome::Duplicate => batch.written.samples += 1,
                refused => {
                    let (index, sample) = (batch.origins[row] as usize, batch.rows[row].clone());
                    batch.refuse(index, || refusal(*refused, &sample));
                }
            }
        }
        for (index, series) in request.series.iter().enumerate() {
            let range = series.histograms.start as usize..series.histograms.end as usize;
            for one in &request.histograms[range] {
                let reason = one.histogram.as_ref().err().map_or(NO_HISTOGRAMS, String::as_str);
                batch.refuse(index, || reason.to_owned());
            }
        }
        Ok(())
    }

    /// Counts, and puts messages into the order of the request.
    fn account(&self, mut batch: Batch) -> Written {
        let n_refused = batch.messages.len() + batch.n_more;
        self.metrics.remote_write.samples.inc_by(batch.written.samples);
        self.metrics.remote_write.refused.inc_by(n_refused as u64);
        batch.messages.sort_by_key(|(series, _)| *series);
        batch.written.messages = batch.messages.into_iter().map(|(_, message)| message).collect();
        if batch.n_more > 0 {
            batch.written.messages.push(format!("and {} more", batch.n_more));
        }
        batch.written
    }
}

/// What the peer says while it does not take them.
const NO_HISTOGRAMS: &str = "native histograms are disabled";

/// Position in a list of a request, all of which are shorter.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn samples<'r>(request: &'r WriteRequest<'_>, series: &WriteSeries) -> &'r [wire::WriteSample] {
    &request.samples[series.samples.start as usize..series.samples.end as usize]
}

/// The labels, if the peer would take them: a name, no name twice, no empty name, UTF-8. Otherwise the labels as they
/// are shown in its message.
fn checked_labels(pairs: &[wire::Pair<'_>]) -> Result<Labels, String> {
    let mut builder = LabelsBuilder::new();
    let mut is_good = true;
    let mut names: Vec<&[u8]> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        match (text(name), text(value)) {
            (Some(name), Some(value)) if !name.is_empty() => {
                builder.set(name, value);
            }
            _ => is_good = false,
        }
        names.push(name);
    }
    names.sort_unstable();
    is_good &= names.windows(2).all(|pair| pair[0] != pair[1]);
    let labels = builder.build();
    if is_good && labels.get("__name__").is_some() { Ok(labels) } else { Err(labels.to_string()) }
}

fn no_samples(request: &WriteRequest<'_>, series: &WriteSeries) -> String {
    let labels = request.labels(series).map(|pairs| checked_labels(&pairs));
    let shown = match labels {
        Ok(Ok(labels)) => labels.to_string(),
        Ok(Err(shown)) => shown,
        Err(_) => "{}".to_owned(),
    };
    format!("TimeSeries must contain at least one sample or histogram for series {shown}")
}

/// Why a sample was refused, in the words of the peer.
fn refusal(outcome: Outcome, sample: &Sample) -> String {
    match outcome {
        Outcome::DuplicateOtherValue { existing } => format!(
            "duplicate sample for timestamp {}; overrides not allowed: existing {}, new value {}",
            sample.time_ms,
            general_float(existing),
            general_float(sample.value)
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
