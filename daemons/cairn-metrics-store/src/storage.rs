//! The database as the daemon uses it: appending with forgotten series resolved again, syncing, upkeep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_disk::DirLock;
use cairn_model::{Labels, TimeMs};
use cairn_tsdb::{
    AppendError, Db, ExemplarOutcome, ExemplarSample, HistogramSample, Outcome, Sample, SampleOf, SeriesRef,
    WholeOutcomes,
};

use crate::scrape::schedule::now_ms;

/// The open database with the lock on its folder.
#[derive(Debug)]
pub struct Storage {
    db: Db,
    /// Whether something was appended since the last sync began.
    is_dirty: AtomicBool,
    /// Held as long as the database is open; `None` for a database in memory.
    _lock: Option<DirLock>,
}

impl Storage {
    /// Wraps an open database.
    pub fn new(db: Db, lock: Option<DirLock>) -> Arc<Self> {
        Arc::new(Self { db, is_dirty: AtomicBool::new(false), _lock: lock })
    }

    /// A database on the file system's test twin.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Self> {
        Self::on(Arc::new(cairn_disk::TwinFs::new()))
    }

    /// A new database on a file system.
    #[cfg(test)]
    pub(crate) fn on(fs: Arc<dyn cairn_disk::Fs>) -> Arc<Self> {
        let options = cairn_tsdb::Options::new("/data", fs);
        Self::new(Db::open(options, &|_| {}).unwrap().0, None)
    }

    /// The database, for reading.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Whether appending may take longer than usual.
    pub(crate) fn is_behind(&self) -> bool {
        self.db().is_under_pressure()
    }

    /// Finds or creates a series; `labels` include the name.
    ///
    /// # Errors
    /// [`AppendError`]
    pub fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        self.db.series_ref(labels)
    }

    /// As [`resolve`](Self::resolve) for many, with one record of the log for those that are new.
    ///
    /// # Errors
    /// [`AppendError`]
    pub fn resolve_all(&self, labels: &[&Labels]) -> Result<Vec<SeriesRef>, AppendError> {
        if labels.is_empty() {
            return Ok(Vec::new());
        }
        self.db.series_refs(labels)
    }

    /// Appends for a caller that keeps the series; one outcome for each row. A series that left the head is the caller's
    /// to resolve again. Blocking, as [`append`](Self::append).
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_of(&self, rows: &[SampleOf<'_>]) -> Result<Vec<Outcome>, AppendError> {
        let outcomes = self.db.append_of(rows, TimeMs(now_ms()))?;
        self.is_dirty.store(true, Ordering::Release);
        Ok(outcomes)
    }

    /// Appends; one outcome for each row. A series that left the head since it was resolved is resolved again, and its
    /// row updated. Blocking: it writes to the log, which [`sync`](Self::sync) makes durable.
    ///
    /// # Errors
    /// [`AppendError`]: nothing of the rows can be counted on.
    pub fn append(&self, rows: &mut [Sample]) -> Result<Vec<Outcome>, AppendError> {
        let now = TimeMs(now_ms());
        let mut outcomes = self.db.append(rows, now)?;
        self.is_dirty.store(true, Ordering::Release);
        let dropped = dropped(&outcomes);
        if dropped.is_empty() {
            return Ok(outcomes);
        }
        let mut again = Vec::with_capacity(dropped.len());
        for index in &dropped {
            let labels = rows[*index].series.labels().to_labels();
            rows[*index].series = self.db.series_ref(&labels)?;
            again.push(rows[*index].clone());
        }
        for (index, outcome) in dropped.into_iter().zip(self.db.append(&again, now)?) {
            outcomes[index] = outcome;
        }
        Ok(outcomes)
    }

    /// Appends markers of staleness at the end of a target. Those of series that got newer samples meanwhile, that never
    /// had one, or that left the head, are left out.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_ends(&self, rows: &[Sample]) -> Result<(), AppendError> {
        self.db.append_ends(rows, TimeMs(now_ms()))?;
        self.is_dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// As [`append_of`](Self::append_of), with series that have left the head resolved again. The number is how many those
    /// were; their samples are in the series that took their place.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_resolving(&self, rows: &[SampleOf<'_>]) -> Result<(Vec<Outcome>, usize), AppendError> {
        let now = TimeMs(now_ms());
        let mut outcomes = self.db.append_of(rows, now)?;
        self.is_dirty.store(true, Ordering::Release);
        let dropped = dropped(&outcomes);
        if !dropped.is_empty() {
            let labels: Vec<Labels> =
                dropped.iter().map(|index| rows[*index].series.labels().to_labels()).collect();
            let found = self.db.series_refs(&labels.iter().collect::<Vec<_>>())?;
            let again = dropped.iter().zip(&found).map(|(index, series)| SampleOf { series, ..rows[*index] });
            let again: Vec<SampleOf<'_>> = again.collect();
            for (index, outcome) in dropped.iter().zip(self.db.append_of(&again, now)?) {
                outcomes[*index] = outcome;
            }
        }
        Ok((outcomes, dropped.len()))
    }

    /// Appends all of it, or nothing if something is refused. Series that have left the head are resolved again; the
    /// number is how many those were.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_whole(
        &self,
        samples: &[SampleOf<'_>],
        histograms: &mut [HistogramSample],
    ) -> Result<(WholeOutcomes, usize), AppendError> {
        let now = TimeMs(now_ms());
        let outcomes = self.db.append_whole(samples, histograms, now)?;
        self.is_dirty.store(true, Ordering::Release);
        let (dropped, dropped_histograms) = (dropped(&outcomes.samples), dropped(&outcomes.histograms));
        let n_dropped = dropped.len() + dropped_histograms.len();
        if n_dropped == 0 {
            return Ok((outcomes, 0));
        }
        for index in dropped_histograms {
            let series = &mut histograms[index].series;
            *series = self.db.series_ref(&series.labels().to_labels())?;
        }
        let labels: Vec<Labels> =
            dropped.iter().map(|index| samples[*index].series.labels().to_labels()).collect();
        let found = self.db.series_refs(&labels.iter().collect::<Vec<_>>())?;
        let mut again = samples.to_vec();
        for (index, series) in dropped.into_iter().zip(&found) {
            again[index].series = series;
        }
        Ok((self.db.append_whole(&again, histograms, now)?, n_dropped))
    }

    /// As [`append`](Self::append), for native histograms.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_histograms(&self, rows: &mut [HistogramSample]) -> Result<Vec<Outcome>, AppendError> {
        let now = TimeMs(now_ms());
        let mut outcomes = self.db.append_histograms(rows, now)?;
        self.is_dirty.store(true, Ordering::Release);
        for (row, outcome) in rows.iter_mut().zip(&mut outcomes) {
            // Rare enough to go one by one.
            if *outcome == Outcome::SeriesDropped {
                row.series = self.db.series_ref(&row.series.labels().to_labels())?;
                *outcome = self.db.append_histograms(std::slice::from_ref(row), now)?[0];
            }
        }
        Ok(outcomes)
    }

    /// As [`append`](Self::append), for exemplars.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_exemplars(&self, rows: &mut [ExemplarSample]) -> Result<Vec<ExemplarOutcome>, AppendError> {
        let mut outcomes = self.db.append_exemplars(rows)?;
        self.is_dirty.store(true, Ordering::Release);
        for (row, outcome) in rows.iter_mut().zip(&mut outcomes) {
            if *outcome == ExemplarOutcome::SeriesDropped {
                row.series = self.db.series_ref(&row.series.labels().to_labels())?;
                *outcome = self.db.append_exemplars(std::slice::from_ref(row))?[0];
            }
        }
        Ok(outcomes)
    }

    /// Waits until everything appended so far is durable, whoever makes it so. Blocking; callers at the same time share
    /// one sync of the disk. Unlike [`sync`](Self::sync) it can stand in front of an answer: that one does not wait for
    /// a sync that is under way.
    ///
    /// # Errors
    /// [`AppendError`]; nothing may be acknowledged.
    pub fn sync_appended(&self) -> Result<(), AppendError> {
        self.db.sync()
    }

    /// Makes everything appended so far durable, if there is anything new. Blocking.
    ///
    /// # Errors
    /// [`AppendError`]; the next call tries again.
    pub fn sync(&self) -> Result<(), AppendError> {
        if !self.is_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.db.sync().inspect_err(|_| self.is_dirty.store(true, Ordering::Release))
    }
}

/// Rows whose series have left the head.
fn dropped(outcomes: &[Outcome]) -> Vec<usize> {
    let is_dropped = |outcome: &Outcome| matches!(outcome, Outcome::SeriesDropped);
    outcomes.iter().enumerate().filter(|(_, outcome)| is_dropped(outcome)).map(|(index, _)| index).collect()
}
