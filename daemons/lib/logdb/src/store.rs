//! The engine's front: open, push, ask, maintain.

use std::sync::{Arc, PoisonError};

use cairn_model::{Labels, Matcher, TimeNs};

use crate::engine::Engine;
use crate::error::{MaintainError, OpenError};
use crate::options::Options;
use crate::push::{PushError, PushReport, StreamBatch, push};
use crate::retention::Retention;
use crate::stats::{Counters, MaintainReport, Progress, RecoveryReport, Stats, StreamVolume};
use crate::view::View;
use crate::{inventory, maintain, recover};

/// A log store on one folder. Cheap to clone; all clones are the same store. Every call blocks.
///
/// All time ranges are `[start, end)`. A stream is in a range when it has entries there; a chunk on disk that
/// overlaps the range counts without being opened.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Arc<Engine>,
}

impl Store {
    /// Opens or creates the store: takes the folder's lock, reads the catalogue, enters chunk files that it lacks,
    /// replays the write-ahead log. `progress` is called now and then, from this thread.
    ///
    /// # Errors
    /// [`OpenError`]: the folder is locked or cannot be used, or a file is of a newer version. Torn and damaged data
    /// is no error: see [`recovery`](Self::recovery).
    pub fn open(options: Options, progress: &dyn Fn(Progress)) -> Result<Self, OpenError> {
        Ok(Self { engine: Arc::new(recover::open(options, progress)?) })
    }

    /// What opening found and repaired.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.engine.recovery
    }

    /// Stores a push. Returns once all of it is on disk and visible to every view made afterwards.
    ///
    /// # Errors
    /// [`PushError`]: nothing of it is stored. Streams that a limit keeps out are no error: they are in the report.
    pub fn push(&self, tenant: &str, batches: Vec<StreamBatch>) -> Result<PushReport, PushError> {
        push(&self.engine, tenant, batches)
    }

    /// A tenant's logs; empty for a tenant that never pushed.
    pub fn view(&self, tenant: &str) -> View {
        View::new(self.engine.tenants.get(tenant), self.engine.read_context())
    }

    /// Label names of the streams that pass the matchers, ascending.
    pub fn label_names(&self, tenant: &str, matchers: &[Matcher], start: TimeNs, end: TimeNs) -> Vec<String> {
        let tenant = self.engine.tenants.get(tenant);
        tenant.map(|tenant| inventory::label_names(&tenant, matchers, start, end)).unwrap_or_default()
    }

    /// Values of one label among the streams that pass the matchers, ascending.
    pub fn label_values(
        &self,
        tenant: &str,
        name: &str,
        matchers: &[Matcher],
        start: TimeNs,
        end: TimeNs,
    ) -> Vec<String> {
        let tenant = self.engine.tenants.get(tenant);
        tenant.map(|tenant| inventory::label_values(&tenant, name, matchers, start, end)).unwrap_or_default()
    }

    /// Streams that pass any of the selectors (all streams when there is none), each once, ascending.
    pub fn series(
        &self,
        tenant: &str,
        selectors: &[Vec<Matcher>],
        start: TimeNs,
        end: TimeNs,
    ) -> Vec<Arc<Labels>> {
        let tenant = self.engine.tenants.get(tenant);
        tenant.map(|tenant| inventory::series(&tenant, selectors, start, end)).unwrap_or_default()
    }

    /// What a query with these matchers would touch, memory included.
    pub fn stats(&self, tenant: &str, matchers: &[Matcher], start: TimeNs, end: TimeNs) -> Stats {
        let tenant = self.engine.tenants.get(tenant);
        tenant.map(|tenant| inventory::stats(&tenant, matchers, start, end)).unwrap_or_default()
    }

    /// The volume of each stream that passes the matchers, ascending by labels.
    pub fn volume(
        &self,
        tenant: &str,
        matchers: &[Matcher],
        start: TimeNs,
        end: TimeNs,
    ) -> Vec<StreamVolume> {
        let tenant = self.engine.tenants.get(tenant);
        tenant.map(|tenant| inventory::volume(&tenant, matchers, start, end)).unwrap_or_default()
    }

    /// One round of maintenance: expire, cut heads that are full, idle or old, drop WAL segments, remove files. Call it
    /// every few seconds, and when a push asks for it. `now` is the engine's only clock.
    ///
    /// # Errors
    /// [`MaintainError`]: the round ended early; nothing is lost, and the next one goes on where this one stopped.
    pub fn maintain(&self, now: TimeNs) -> Result<MaintainReport, MaintainError> {
        maintain::maintain(&self.engine, now)
    }

    /// Cuts every head; at a stop, so that the next start has nothing to replay.
    ///
    /// # Errors
    /// As [`maintain`](Self::maintain).
    pub fn flush(&self) -> Result<MaintainReport, MaintainError> {
        maintain::flush(&self.engine)
    }

    /// A new retention, from the next maintenance on.
    pub fn set_retention(&self, retention: Retention) {
        *self.engine.retention.write().unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// State and history of the store.
    pub fn counters(&self) -> Counters {
        let engine = &self.engine;
        let tenants = engine.tenants.all();
        let counts: Vec<(usize, usize)> = tenants.iter().map(|tenant| tenant.count()).collect();
        let tally = &engine.tally;
        Counters {
            tenants: tenants.len() as u64,
            streams: counts.iter().map(|(all, _)| *all as u64).sum(),
            streams_active: counts.iter().map(|(_, active)| *active as u64).sum(),
            chunks: tally.chunks.get(),
            chunk_bytes: tally.chunk_bytes.get(),
            head_entries: tally.head_entries.get(),
            head_bytes: tally.head_bytes.get(),
            wal_bytes: engine.wal.bytes_on_disk(),
            pushes: tally.pushes.get(),
            pushes_refused: tally.pushes_refused.get(),
            entries_stored: tally.entries_stored.get(),
            entries_repeated: tally.entries_repeated.get(),
            chunks_written: tally.chunks_written.get(),
            chunks_expired: tally.chunks_expired.get(),
            chunks_filtered: tally.chunks_filtered.get(),
            chunks_read: tally.chunks_read.get(),
            chunks_damaged: tally.chunks_damaged.get(),
        }
    }
}
