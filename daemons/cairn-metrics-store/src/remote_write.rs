//! The receiver of remote write: from the bytes of a request to samples on disk.
//!
//! | file | answers |
//! |---|---|
//! | `remote_write.rs` | what happens to a request, in which order |
//! | `remote_write/extras.rs` | what becomes of native histograms and exemplars |
//! | `remote_write/cache.rs` | which series is this, without taking its labels apart |
//!
//! A request of version 1.0 is kept whole or, when a sample of it is refused, not at all; of one of version 2.0 what is
//! good is kept, and the sender is told how much that was.

mod cache;
mod extras;

use std::sync::{Arc, Mutex, PoisonError};

use cairn_model::number::general_float;
use cairn_model::{Labels, LabelsBuilder};
use cairn_tsdb::{AppendError, Outcome, SampleOf, SeriesRef};
use cairn_wire::prompb;
use cairn_wire::protobuf_reader::ProtobufError;
use cairn_wire::remote_write::{
    self as wire, RemoteWriteError, Version, WriteLimits, WriteRequest, WriteSeries,
};

use crate::metrics::Metrics;
use crate::storage::Storage;
use cache::{Fingerprint, Reading, SeriesCache};
use extras::Extras;

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

/// What is told of a request, while it is worked on.
#[derive(Default)]
struct Report {
    /// Messages with the position of the series that they are about.
    messages: Vec<(u32, String)>,
    /// Messages beyond [`MAX_MESSAGES`].
    n_more: usize,
    written: Written,
}

impl Report {
    fn refuse(&mut self, series: usize, message: impl FnOnce() -> String) {
        if self.messages.len() < MAX_MESSAGES {
            self.messages.push((position(series), message()));
        } else {
            self.n_more += 1;
        }
    }

    fn is_refused(&self) -> bool {
        !self.messages.is_empty()
    }
}

/// Samples for the database, each with its series' position in the request.
struct Rows<'s> {
    samples: Vec<SampleOf<'s>>,
    origins: Vec<u32>,
    /// Series that have histograms or exemplars.
    with_extras: Vec<(u32, &'s SeriesRef)>,
}

impl<'s> Rows<'s> {
    #[inline]
    fn add(&mut self, request: &WriteRequest<'_>, index: usize, series: &'s SeriesRef) {
        for sample in samples(request, &request.series[index]) {
            self.samples.push(SampleOf {
                series,
                time_ms: sample.time_ms,
                value: sample.value,
                start_ms: sample.start_ms,
            });
            self.origins.push(position(index));
        }
        let one = &request.series[index];
        if !one.histograms.is_empty() || !one.exemplars.is_empty() {
            self.with_extras.push((position(index), series));
        }
    }
}

/// A series that the cache did not know.
struct Newcomer {
    index: usize,
    key: Fingerprint,
    series: SeriesRef,
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
    /// [`ReceiveError`]. Of a request of version 2.0 a part may be stored then; sent again, it brings the rest. Of one of
    /// version 1.0 either nothing is stored or everything but its exemplars. The latter only when it could not be made
    /// durable; sent again, it may be refused as out of order, as by the peer, but not before what is stored is durable.
    pub fn receive(&self, body: &[u8], version: Version) -> Result<Written, ReceiveError> {
        let mut plain = self.scratch().pop().unwrap_or_default();
        let outcome = wire::decompress(body, &self.limits, &mut plain)
            .map_err(ReceiveError::from)
            .and_then(|()| self.store(&plain, version));
        if plain.capacity() <= MAX_KEPT_BYTES {
            self.scratch().push(plain);
        }
        if let Err(ReceiveError::Storage(error)) = &outcome
            && error.is_of_disk()
        {
            self.metrics.wal_writes_failed.inc();
        }
        outcome
    }

    /// Stores a message of version 1.0 that was made in this process, as if it had been sent. Blocking, until what is
    /// kept is durable.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_message(&self, message: &prompb::WriteRequest) -> Result<Written, ReceiveError> {
        let outcome = self.store(&prompb::encode(message), Version::V1);
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

    fn store(&self, plain: &[u8], version: Version) -> Result<Written, ReceiveError> {
        let request = wire::decode(plain, version, &self.limits)?;
        let mut report = Report::default();
        // References into the cache are appended as they are: a known series is neither counted nor copied.
        let known = self.cache.read();
        let n = request.samples.len();
        let mut rows =
            Rows { samples: Vec::with_capacity(n), origins: Vec::with_capacity(n), with_extras: Vec::new() };
        let unknown = self.look_up(&request, version, &known, &mut rows, &mut report);
        let newcomers = self.resolve(&request, version, &unknown, &mut report)?;
        for newcomer in &newcomers {
            rows.add(&request, newcomer.index, &newcomer.series);
        }
        let extras = self.collect_extras(&request, version, &rows.with_extras, &mut report)?;
        let n_dropped = match version {
            Version::V1 => self.append_whole(&rows, extras, &mut report)?,
            Version::V2 => {
                let n_dropped = self.append(&rows, &mut report)?;
                self.append_extras(extras, version, &mut report)?;
                n_dropped
            }
        };
        drop(rows);
        drop(known);
        if !newcomers.is_empty() {
            let found = newcomers.into_iter().map(|newcomer| (newcomer.key, newcomer.series)).collect();
            self.cache.insert(found, self.storage.db().n_series());
        }
        if n_dropped > 0 {
            // They come in masses, at upkeep: without this each request would meet them again.
            self.cache.forget_dropped();
        }
        // Also when all of it was there before: a sender that repeats a request may have been told of a failed sync.
        self.storage.sync_appended()?;
        Ok(self.account(report))
    }

    /// Takes the samples of series that are known. Answers the positions of the others.
    fn look_up<'k>(
        &self,
        request: &WriteRequest<'_>,
        version: Version,
        known: &'k Reading<'_>,
        rows: &mut Rows<'k>,
        report: &mut Report,
    ) -> Vec<(usize, Fingerprint)> {
        let mut unknown = Vec::new();
        let mut finder = known.finder();
        for (index, series) in request.series.iter().enumerate() {
            if let Some(fault) = &series.fault {
                report.refuse(index, || fault.to_string());
                continue;
            }
            if version == Version::V2 && series.samples.is_empty() && series.histograms.is_empty() {
                report.refuse(index, || no_samples(request, series));
                continue;
            }
            let key = self.cache.fingerprint(request.label_bytes(series));
            match finder.find(key) {
                Some(found) => rows.add(request, index, found),
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
        report: &mut Report,
    ) -> Result<Vec<Newcomer>, ReceiveError> {
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
                        report.refuse(index, || format!("invalid metric name or labels, got {shown}"));
                    }
                },
            }
        }
        let labels: Vec<&Labels> = read.iter().map(|(_, _, labels)| labels).collect();
        if let Ok(found) = self.storage.resolve_all(&labels) {
            let newcomers = read.iter().zip(found);
            return Ok(newcomers.map(|(&(index, key, _), series)| Newcomer { index, key, series }).collect());
        }
        // One of them is over a limit, or the disk is full: one by one, to say which.
        let mut newcomers = Vec::with_capacity(read.len());
        for (index, key, labels) in read {
            match self.storage.resolve(&labels) {
                Ok(series) => newcomers.push(Newcomer { index, key, series }),
                Err(error @ (AppendError::TooManySeries { .. } | AppendError::LabelsTooLarge { .. })) => {
                    report.refuse(index, || error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(newcomers)
    }

    /// Answers how many rows' series had left the head.
    fn append(&self, rows: &Rows<'_>, report: &mut Report) -> Result<usize, ReceiveError> {
        let (outcomes, n_dropped) = self.storage.append_resolving(&rows.samples)?;
        for (row, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Outcome::Stored | Outcome::Duplicate => report.written.samples += 1,
                refused => {
                    report.refuse(rows.origins[row] as usize, || refusal(*refused, &rows.samples[row]))
                }
            }
        }
        Ok(n_dropped)
    }

    /// Appends everything if nothing is refused. Answers how many rows' series had left the head.
    fn append_whole(
        &self,
        rows: &Rows<'_>,
        mut extras: Extras,
        report: &mut Report,
    ) -> Result<usize, ReceiveError> {
        if report.is_refused() {
            return Ok(0);
        }
        let (outcomes, n_dropped) = self.storage.append_whole(&rows.samples, &mut extras.histograms)?;
        if outcomes.is_kept() {
            report.written.samples = outcomes.samples.len() as u64;
            report.written.histograms = outcomes.histograms.len() as u64;
            self.append_exemplars(&extras, Version::V1, report)?;
            return Ok(n_dropped);
        }
        for (row, outcome) in outcomes.samples.iter().enumerate().filter(|(_, outcome)| !outcome.is_kept()) {
            report.refuse(rows.origins[row] as usize, || refusal(*outcome, &rows.samples[row]));
        }
        extras.refuse_histograms(&outcomes.histograms, report);
        Ok(n_dropped)
    }

    /// Counts, and puts messages into the order of the request.
    fn account(&self, mut report: Report) -> Written {
        let n_refused = report.messages.len() + report.n_more;
        self.metrics.remote_write.samples.inc_by(report.written.samples);
        self.metrics.remote_write.histograms.inc_by(report.written.histograms);
        self.metrics.remote_write.exemplars.inc_by(report.written.exemplars);
        self.metrics.remote_write.refused.inc_by(n_refused as u64);
        report.messages.sort_by_key(|(series, _)| *series);
        report.written.messages = report.messages.into_iter().map(|(_, message)| message).collect();
        if report.n_more > 0 {
            report.written.messages.push(format!("and {} more", report.n_more));
        }
        report.written
    }
}

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
fn refusal(outcome: Outcome, sample: &SampleOf<'_>) -> String {
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
