//! How a push is checked, logged, applied, refused.
//!
//! One push is one WAL record. It becomes visible, whole, only after the record is durable; pushes that wait at the
//! same time share one sync. A push is refused as a whole, except for streams that a limit keeps out.
//!
//! When the sync fails, the push is refused, but its record stays queued in the log: it keeps its sequence number, is
//! written again to a new segment by the next push, and may be durable then. No head has its entries, so no query
//! sees them before a restart; replay may bring them back. Nothing is stored twice for a client that repeated the
//! push meanwhile: the entries are the same, and of exact repeats one is kept.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use cairn_disk::WalError;
use cairn_model::{Labels, TimeNs};

use crate::codec::{MAX_LABEL_TEXT_BYTES, MAX_LABELS, MAX_TENANT_BYTES};
use crate::engine::Engine;
use crate::error::MaintainError;
use crate::head::NewEntry;
use crate::maintain::{CutPlan, cut};
use crate::stats::MaintainReport;
use crate::stream::Stream;
use crate::wal_record;

/// The largest WAL record, and so the largest push.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// One line of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was logged.
    pub time: TimeNs,
    /// The line; any bytes.
    pub line: Bytes,
    /// Structured metadata.
    pub metadata: Labels,
}

/// The entries that a push brings for one stream. The same stream may come several times in one push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamBatch {
    /// The stream.
    pub labels: Labels,
    /// Its new entries, in any order of time.
    pub entries: Vec<Entry>,
}

/// What became of an acknowledged push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushReport {
    /// Entries stored and durable.
    pub entries: u64,
    /// Entries left out because the stream's head has the very same one (time, line and metadata).
    pub repeated: u64,
    /// Streams of the push that were not stored, while all others were.
    pub rejected: Vec<RejectedStream>,
    /// Heads have grown enough that [`crate::Store::maintain`] has something to do.
    pub wants_maintenance: bool,
}

/// A stream that a limit kept out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedStream {
    /// The stream.
    pub labels: Labels,
    /// Entries of the push that it would have had.
    pub entries: u64,
    /// Their line bytes.
    pub bytes: u64,
    /// Which limit.
    pub reason: RejectReason,
}

/// Why a stream was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The tenant has as many streams as it may have.
    #[error("maximum active stream limit exceeded, limit {limit}")]
    StreamLimit {
        /// [`crate::Options::max_streams_per_tenant`].
        limit: usize,
    },
    /// A label set that could not be read back from disk.
    #[error(
        "label set above the limits of the format: {MAX_LABELS} labels, {MAX_LABEL_TEXT_BYTES} bytes each"
    )]
    LabelsTooLarge,
}

/// Why nothing of a push was stored: none of it is visible, and none of it was acknowledged.
///
/// After a failed sync ([`Wal`](Self::Wal), or [`NoSpace`](Self::NoSpace) when the file system finds out only then) the
/// record may still be in the log, and then comes back with a restart: a client that tries again stores nothing twice,
/// since exact repeats are stored once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The disk is full. Reads go on; freeing space heals it.
    #[error("no space left on the disk of the log store")]
    NoSpace,
    /// The write-ahead log cannot be written.
    #[error("write the write-ahead log")]
    Wal(#[source] WalError),
    /// The memory for heads is used up, and they cannot be cut.
    #[error("cut heads to make room in memory")]
    Memory(#[source] Box<MaintainError>),
    /// More than one WAL record holds.
    #[error("push of {bytes} bytes is above the limit of {limit} bytes for one batch")]
    TooLarge {
        /// Size of the record.
        bytes: usize,
        /// Largest record.
        limit: usize,
    },
    /// The store has as many tenants as it may have.
    #[error("maximum number of tenants reached, limit {limit}")]
    TenantLimit {
        /// [`crate::Options::max_tenants`].
        limit: usize,
    },
    /// A tenant's name that the format does not hold.
    #[error("tenant name of {bytes} bytes is above the limit of {MAX_TENANT_BYTES}")]
    TenantName {
        /// Its length.
        bytes: usize,
    },
}

/// Stores a push; returns once it is durable and visible.
pub(crate) fn push(
    engine: &Engine,
    tenant: &str,
    batches: Vec<StreamBatch>,
) -> Result<PushReport, PushError> {
    let outcome = try_push(engine, tenant, batches);
    match &outcome {
        Ok(report) => {
            engine.tally.pushes.add(1);
            engine.tally.entries_stored.add(report.entries);
            engine.tally.entries_repeated.add(report.repeated);
        }
        Err(_) => engine.tally.pushes_refused.add(1),
    }
    outcome
}

fn try_push(engine: &Engine, tenant: &str, batches: Vec<StreamBatch>) -> Result<PushReport, PushError> {
    if tenant.len() as u64 > MAX_TENANT_BYTES {
        return Err(PushError::TenantName { bytes: tenant.len() });
    }
    make_room(engine)?;
    // Held until the entries are in the heads: see the rules in `engine`.
    let checkpoint = engine.gate.read().unwrap_or_else(PoisonError::into_inner);
    let (groups, rejected) = group_by_stream(engine, tenant, batches)?;
    let mut report = PushReport { rejected, ..PushReport::default() };
    if groups.is_empty() {
        return Ok(report);
    }
    let undefined: Vec<(u64, &Labels)> = groups
        .iter()
        .filter(|(stream, _)| stream.defined_since.load(Ordering::Acquire) != checkpoint.segment.0)
        .map(|(stream, _)| (stream.id, &*stream.labels))
        .collect();
    let entries = groups.iter().map(|(stream, entries)| (stream.id, entries.as_slice()));
    let mut record = wal_record::encode(tenant, &undefined, entries);
    let (lsn, sequence) = {
        let mut appender = engine.lock_appender();
        let sequence = appender.sequence + 1;
        wal_record::set_sequence(&mut record, sequence);
        let lsn = engine.wal.append(&record).map_err(refuse)?;
        appender.sequence = sequence;
        appender.bytes_since_checkpoint += record.len() as u64;
        (lsn, sequence)
    };
    engine.wal.sync(lsn).map_err(refuse)?;
    drop(record);
    let now = engine.clock.load(Ordering::Relaxed);
    for (stream, entries) in &groups {
        // Only now: a definition in a record that did not become durable is none.
        stream.defined_since.store(checkpoint.segment.0, Ordering::Release);
        let new: Vec<NewEntry<'_>> = entries
            .iter()
            .map(|Entry { time, line, metadata }| NewEntry { time: time.0, line, metadata })
            .collect();
        let mut state = stream.lock();
        let applied = state.apply(sequence, checkpoint.segment, &new, now);
        report.wants_maintenance |= state.active.raw_bytes() >= engine.options.chunk_target_bytes;
        drop(state);
        report.entries += applied.stored;
        report.repeated += applied.repeated;
        engine.tally.head_bytes.add(applied.bytes as u64);
        engine.tally.head_entries.add(applied.stored);
    }
    Ok(report)
}

/// Back-pressure: whoever finds the heads over their limit cuts them before adding more.
fn make_room(engine: &Engine) -> Result<(), PushError> {
    let is_over = || engine.tally.head_bytes.get() > engine.options.max_head_bytes as u64;
    if !is_over() {
        return Ok(());
    }
    let mut maintenance = engine.lock_maintenance();
    // Another push may have done it while this one waited.
    if !is_over() {
        return Ok(());
    }
    let mut report = MaintainReport::default();
    cut(engine, &mut maintenance, CutPlan::All, &mut report).map_err(|error| {
        if error.is_no_space() { PushError::NoSpace } else { PushError::Memory(Box::new(error)) }
    })
}

/// A stream and the entries that a push has for it.
type Group = (Arc<Stream>, Vec<Entry>);

fn group_by_stream(
    engine: &Engine,
    tenant: &str,
    batches: Vec<StreamBatch>,
) -> Result<(Vec<Group>, Vec<RejectedStream>), PushError> {
    let limit = engine.options.max_tenants;
    let tenant = engine.tenants.get_or_add(tenant, limit).ok_or(PushError::TenantLimit { limit })?;
    let limit = engine.options.max_streams_per_tenant;
    let mut groups: Vec<Group> = Vec::new();
    let mut by_id: HashMap<u64, usize> = HashMap::new();
    let mut rejected = Vec::new();
    for StreamBatch { labels, entries } in batches {
        if entries.is_empty() {
            continue;
        }
        let found = if fits_format(&labels) && entries.iter().all(|entry| fits_format(&entry.metadata)) {
            let stream = tenant.find_or_add(&labels, limit, &engine.next_stream);
            stream.ok_or(RejectReason::StreamLimit { limit })
        } else {
            Err(RejectReason::LabelsTooLarge)
        };
        match found {
            Ok(stream) => match by_id.get(&stream.id) {
                Some(&at) => groups[at].1.extend(entries),
                None => {
                    by_id.insert(stream.id, groups.len());
                    groups.push((stream, entries));
                }
            },
            Err(reason) => {
                let bytes = entries.iter().map(|entry| entry.line.len() as u64).sum();
                rejected.push(RejectedStream { labels, entries: entries.len() as u64, bytes, reason });
            }
        }
    }
    Ok((groups, rejected))
}

/// Whether a label set can be read back: what is written must pass the decoder's limits.
fn fits_format(labels: &Labels) -> bool {
    let is_short = |text: &str| text.len() as u64 <= MAX_LABEL_TEXT_BYTES;
    labels.len() as u64 <= MAX_LABELS && labels.iter().all(|(name, value)| is_short(name) && is_short(value))
}

fn refuse(error: WalError) -> PushError {
    match error {
        WalError::NoSpace { .. } => PushError::NoSpace,
        WalError::RecordTooLarge { bytes, limit } => PushError::TooLarge { bytes, limit },
        other => PushError::Wal(other),
    }
}
