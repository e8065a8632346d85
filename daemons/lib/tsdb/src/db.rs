//! A database: opening it, and what it offers.

mod catalogue;
mod compact;
mod delete;
mod exemplars;
mod flush;
mod histograms;
mod import;
mod join;
mod late;
mod leftovers;
mod maintain;
mod open;
mod pressure;
mod replay;
mod retain;
mod snapshot;
mod status;
mod unit;
mod view;
mod write;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_disk::{Wal, WalError};
use cairn_model::{Exemplar, Labels, Matcher, TimeMs};
use cairn_promql::source::SourceError;

use crate::append::{AppendError, HistogramSample, Outcome, Sample, SampleOf, WholeOutcomes};
use crate::block::{Block, BlockMeta};
use crate::damage::DamageLog;
use crate::exemplars::{ExemplarOutcome, ExemplarRing, ExemplarSample};
use crate::head::Head;
use crate::options::Options;
use crate::series::{Generation, SeriesLabels, SeriesRef};
use crate::stats::{Counters, HeadStats};

pub use delete::DeleteError;
pub use exemplars::{EXEMPLARS_FILE, EXEMPLARS_FORMAT};
pub use import::BlockImport;
pub use maintain::MaintainError;
pub use open::{OpenError, OpenReport, Progress};
pub use view::{SelectError, View};

pub(crate) use open::DAMAGED_SUFFIX;
pub(crate) use snapshot::link_block;

use flush::Flushing;
use leftovers::Leftovers;
use maintain::Maintenance;
use pressure::Pressure;
use status::Tally;
use unit::Keep;
use write::Commit;

/// A metrics database. Clones share it; every method may be called from any thread and blocks until it is done.
#[derive(Clone, Debug)]
pub struct Db {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    head: Head,
    wal: Wal,
    /// Held by whoever appends: judging, logging and storing a batch are one step, so that log and memory have the
    /// same order. Resolving known series and reading do not take it.
    commit: Mutex<Commit>,
    layout: RwLock<Layout>,
    /// Held through a round of maintenance.
    maintenance: Mutex<Maintenance>,
    /// Held through a flush, which appenders may start, too.
    flushing: Mutex<Flushing>,
    /// Taken last, by whoever holds others.
    leftovers: Mutex<Leftovers>,
    pressure: Pressure,
    /// Taken after `commit` by whoever takes both.
    exemplars: Mutex<ExemplarRing>,
    tally: Tally,
    damage: Arc<DamageLog>,
}

/// Which samples are served from where. Readers hold the lock while they collect references to chunks, never while
/// they decode; so a block can take over from the head between two readers, and nobody sees samples twice or not at all.
#[derive(Debug)]
struct Layout {
    /// Ascending by time.
    blocks: Vec<Arc<Block>>,
    /// Chunks of the head of this generation on are served; those of earlier ones are in blocks.
    flushed: Generation,
}

impl Db {
    /// Opens the database in `options.dir`: blocks, then the checkpoint of the head, then the log after it.
    /// `progress` is told how far it came. The caller holds the directory's lock.
    ///
    /// What is damaged is set aside or left out, and named in the report; a torn end of the log is cut off.
    ///
    /// # Errors
    /// [`OpenError`]: the directory cannot be used, or something in it is of a newer version.
    pub fn open(options: Options, progress: &dyn Fn(Progress)) -> Result<(Self, OpenReport), OpenError> {
        let (inner, report) = open::open(options, progress)?;
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// Finds or creates a series; `labels` include `__name__`. A new one is written to the log.
    ///
    /// # Errors
    /// [`AppendError`]: the log cannot be written, or a limit is reached. Known series are found all the same.
    pub fn series_ref(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        self.inner.series_ref(labels)
    }

    /// Series in the head.
    pub fn n_series(&self) -> usize {
        self.inner.head.n_series()
    }

    /// As [`series_ref`](Self::series_ref) for many at once, in their order: new ones go to the log together.
    ///
    /// # Errors
    /// [`AppendError`], at the first that cannot be created; those before it may have been.
    pub fn series_refs(&self, labels: &[&Labels]) -> Result<Vec<SeriesRef>, AppendError> {
        self.inner.series_refs(labels)
    }

    /// Finds a series without creating it.
    pub fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        self.find_with(labels.stable_hash(), |other| *other == *labels)
    }

    /// Finds a series by [`Labels::stable_hash`] and a test of the labels, for callers that have them in another shape
    /// and need not build a set for every known series.
    pub fn find_with(&self, hash: u64, is_it: impl Fn(&SeriesLabels) -> bool) -> Option<SeriesRef> {
        self.inner.head.find(hash, is_it).map(SeriesRef)
    }

    /// Appends samples; answers one outcome for each, in their order. `now` is the caller's clock. What is stored can
    /// be queried at once, and is durable after [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`AppendError`] when the log cannot be written. Samples go to the log in batches, so the first of them may have
    /// been stored; repeating the call is safe.
    pub fn append(&self, samples: &[Sample], now: TimeMs) -> Result<Vec<Outcome>, AppendError> {
        self.inner.append(samples, Keep::Good, now.0)
    }

    /// As [`append`](Self::append), for markers of staleness that end series: what is not behind a sample of its series is
    /// out of order, also within the window for late samples, and where there is no sample at all.
    ///
    /// # Errors
    /// As there.
    pub fn append_ends(&self, samples: &[Sample], now: TimeMs) -> Result<Vec<Outcome>, AppendError> {
        self.inner.append(samples, Keep::Ends, now.0)
    }

    /// As [`append`](Self::append), for callers that keep the references themselves.
    ///
    /// # Errors
    /// As there.
    pub fn append_of(&self, samples: &[SampleOf<'_>], now: TimeMs) -> Result<Vec<Outcome>, AppendError> {
        self.inner.append(samples, Keep::Good, now.0)
    }

    /// Appends native histograms; otherwise as [`append`](Self::append).
    ///
    /// # Errors
    /// As there.
    pub fn append_histograms(
        &self,
        samples: &[HistogramSample],
        now: TimeMs,
    ) -> Result<Vec<Outcome>, AppendError> {
        self.inner.append_histograms(samples, now.0)
    }

    /// Appends all of it if all of it is kept, otherwise nothing.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_whole(
        &self,
        samples: &[SampleOf<'_>],
        histograms: &[HistogramSample],
        now: TimeMs,
    ) -> Result<WholeOutcomes, AppendError> {
        self.inner.append_whole(samples, histograms, now.0)
    }

    /// Appends exemplars; answers one outcome for each, in their order. What is stored can be queried at once, and is
    /// durable after [`sync`](Self::sync), until newer ones of any series push it out.
    ///
    /// # Errors
    /// [`AppendError`] when the log cannot be written. Repeating the call is safe.
    pub fn append_exemplars(
        &self,
        exemplars: &[ExemplarSample],
    ) -> Result<Vec<ExemplarOutcome>, AppendError> {
        self.inner.append_exemplars(exemplars)
    }

    /// Exemplars in the range of series that pass all matchers of one of the sets, ascending by labels, then by time.
    /// Answered from memory.
    pub fn exemplars(
        &self,
        matcher_sets: &[Vec<Matcher>],
        start: TimeMs,
        end: TimeMs,
    ) -> Vec<(Arc<Labels>, Vec<Exemplar>)> {
        self.inner.exemplars(matcher_sets, start.0, end.0)
    }

    /// Keeps so many exemplars from now on; the newest stay.
    pub fn set_max_exemplars(&self, max_exemplars: usize) {
        self.inner.exemplar_ring().resize(max_exemplars);
    }

    /// Makes everything appended so far durable. Callers at the same time share one sync of the disk.
    ///
    /// # Errors
    /// [`AppendError`]: nothing appended since the last success may be acknowledged; a later call tries again.
    pub fn sync(&self) -> Result<(), AppendError> {
        Ok(self.inner.wal.sync(self.inner.wal.appended())?)
    }

    /// Does what is due: writes blocks from the head, a checkpoint, merges blocks, removes old ones. To be called about
    /// once a minute; takes milliseconds when nothing is due. Appends and queries go on meanwhile. `now` names blocks.
    ///
    /// # Errors
    /// [`MaintainError`], the first of the round; the other steps were tried all the same, nothing is lost, and the next
    /// call tries again.
    pub fn maintain(&self, now: TimeMs) -> Result<(), MaintainError> {
        self.inner.maintain(now.0)
    }

    /// Writes everything that is in memory to blocks and drops the log before it.
    ///
    /// # Errors
    /// [`MaintainError`]; nothing is lost, and the next round of maintenance tries again.
    pub fn flush(&self, now: TimeMs) -> Result<(), MaintainError> {
        self.inner.flush(now.0)
    }

    /// Sets what is called, by an appender, when the head is so full that [`relieve`](Self::relieve) should be called
    /// before the next round of maintenance. It must not block. Of two calls of this the first one counts.
    pub fn on_pressure(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.inner.pressure.set_hook(Box::new(hook));
    }

    /// Whether the head is full and was not flushed yet: whoever appends may have to wait for that.
    pub fn is_under_pressure(&self) -> bool {
        self.inner.pressure.is_asked()
    }

    /// The part of [`maintain`](Self::maintain) that makes room in memory, if it is due. It does not wait for a round of
    /// maintenance that is under way.
    ///
    /// # Errors
    /// As there.
    pub fn relieve(&self, now: TimeMs) -> Result<(), MaintainError> {
        self.inner.flush_if_due(now.0)
    }

    /// For queries.
    pub fn view(&self) -> View {
        View::new(Arc::clone(&self.inner))
    }

    /// Names of the labels of matching series, ascending. Blocks and head that overlap the range count as a whole.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        start: TimeMs,
        end: TimeMs,
    ) -> Result<Vec<String>, SourceError> {
        Ok(self.inner.label_names(matchers, start.0, end.0)?)
    }

    /// Values of a label of matching series, ascending. Blocks and head that overlap the range count as a whole.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start: TimeMs,
        end: TimeMs,
    ) -> Result<Vec<String>, SourceError> {
        Ok(self.inner.label_values(name, matchers, start.0, end.0)?)
    }

    /// Matching series with a chunk in the range, ascending by labels.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn series(
        &self,
        matchers: &[Matcher],
        start: TimeMs,
        end: TimeMs,
    ) -> Result<Vec<Arc<Labels>>, SourceError> {
        Ok(self.inner.series(matchers, start.0, end.0)?)
    }

    /// Hides the samples in `start..=end` of every series that one of the sets of matchers selects, also from label
    /// listings where nothing else is left of a series. Durable when it answers. It covers what was stored before the
    /// call; a sample that is appended later is seen, whatever its time. Blocks with many deletions are rewritten by
    /// [`maintain`](Self::maintain), the others when they are merged. Answers how many series were touched, counted
    /// once in each block. Waits for a round of maintenance that is under way.
    ///
    /// # Errors
    /// [`DeleteError`]: some of it may have been done; repeating it is safe.
    pub fn delete(
        &self,
        matcher_sets: &[Vec<Matcher>],
        start: TimeMs,
        end: TimeMs,
        now: TimeMs,
    ) -> Result<u64, DeleteError> {
        self.inner.delete(matcher_sets, start.0, end.0, now.0)
    }

    /// Rewrites every block that has deletions, which gives their space back.
    ///
    /// # Errors
    /// [`MaintainError`]; nothing is lost, the next call goes on.
    pub fn clean_tombstones(&self, now: TimeMs) -> Result<(), MaintainError> {
        self.inner.clean_tombstones(now.0)
    }

    /// Makes the snapshot `snapshots/<name>` in the data directory: a data directory by itself that shares the files of
    /// blocks with this one, as far as the file system can. What was stored before the call is in it; what is in no
    /// block yet is left out if `skip_head` is set. Answers where it lies. Appends and queries go on meanwhile.
    ///
    /// # Errors
    /// [`MaintainError`]; there is no snapshot then.
    pub fn snapshot(&self, name: &str, skip_head: bool, now: TimeMs) -> Result<PathBuf, MaintainError> {
        self.inner.snapshot_to(name, skip_head, now.0)
    }

    /// What is in the head, with the `limit` largest of each list. Looks at every series.
    pub fn head_stats(&self, limit: usize) -> HeadStats {
        self.inner.head_stats(limit)
    }

    /// The blocks, ascending by time.
    pub fn blocks(&self) -> Vec<BlockMeta> {
        self.inner.layout().blocks.iter().map(|block| block.described()).collect()
    }

    /// Oldest time that a query may find a sample at; `None` for an empty database.
    pub fn min_time(&self) -> Option<TimeMs> {
        let layout = self.inner.layout();
        let first_block = layout.blocks.first().map(|block| block.meta.min_time_ms);
        let oldest = first_block.into_iter().chain(self.inner.head.min_time()).min()?;
        Some(TimeMs(oldest.max(self.inner.oldest_served(&layout.blocks))))
    }

    /// Counts and sizes. Cheap.
    pub fn counters(&self) -> Counters {
        self.inner.counters()
    }

    /// What lies set aside as damaged (`.damaged`) in the data directory, until somebody removes it. Reads directories.
    pub fn set_aside(&self) -> Vec<PathBuf> {
        open::all_set_aside(&*self.inner.options.fs, &self.inner.options.dir)
    }

    /// The segments of the log: first and current.
    pub fn wal_segments(&self) -> (u64, u64) {
        let (first, current) = self.inner.wal.segment_range();
        (first.0, current.0)
    }
}

impl From<WalError> for OpenError {
    fn from(error: WalError) -> Self {
        Self::Wal(error)
    }
}

impl Inner {
    // A panic while one of these is held cannot leave a half-made state: each section changes its fields last.
    fn commit(&self) -> MutexGuard<'_, Commit> {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layout(&self) -> RwLockReadGuard<'_, Layout> {
        self.layout.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn layout_mut(&self) -> RwLockWriteGuard<'_, Layout> {
        self.layout.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where things lie in the data directory.
pub(crate) mod place {
    use std::path::{Path, PathBuf};

    /// The folder of snapshots.
    pub(crate) const SNAPSHOTS: &str = "snapshots";

    pub(crate) fn wal(dir: &Path) -> PathBuf {
        dir.join("wal")
    }

    pub(crate) fn blocks(dir: &Path) -> PathBuf {
        dir.join("blocks")
    }

    pub(crate) fn snapshots(dir: &Path) -> PathBuf {
        dir.join(SNAPSHOTS)
    }
}
