//! Exemplars of a database: logged as samples are, and saved whole when the log is cut.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use cairn_disk::compress::{self, DEFAULT_LEVEL};
use cairn_disk::header::HeaderError;
use cairn_disk::{CheckedError, Format, Fs, read_checked, write_atomically};
use cairn_model::{Exemplar, Labels, Matcher};

use super::Inner;
use super::maintain::MaintainError;
use super::open::set_aside;
use crate::append::AppendError;
use crate::codec::Malformed;
use crate::exemplars::{ExemplarOutcome, ExemplarRing, ExemplarSample, Stored};
use crate::wal_record;

/// Kind and version of the file with the exemplars.
pub const EXEMPLARS_FORMAT: Format = Format::new(*b"CAIRNMEX", 1);

/// Name of that file.
pub const EXEMPLARS_FILE: &str = "exemplars";

/// Exemplars of one record of the log: each has at most 128 characters of labels.
const MAX_BATCH: usize = 1000;

/// The file is not unpacked past this: as many exemplars as a ring may have, with labels of 128 characters.
const MAX_FILE_BYTES: usize = 1 << 30;

impl Inner {
    pub(super) fn exemplar_ring(&self) -> MutexGuard<'_, ExemplarRing> {
        // A panic in between leaves at worst one arrival without its exemplar, which reading passes over.
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append_exemplars(
        &self,
        samples: &[ExemplarSample],
    ) -> Result<Vec<ExemplarOutcome>, AppendError> {
        let mut outcomes = Vec::with_capacity(samples.len());
        for batch in samples.chunks(MAX_BATCH) {
            self.append_exemplar_batch(batch, &mut outcomes)?;
        }
        for outcome in &outcomes {
            match outcome {
                ExemplarOutcome::Stored => self.tally.exemplars_stored.add(1),
                ExemplarOutcome::OutOfOrder => self.tally.exemplars_out_of_order.add(1),
                _ => {}
            }
        }
        Ok(outcomes)
    }

    fn append_exemplar_batch(
        &self,
        batch: &[ExemplarSample],
        outcomes: &mut Vec<ExemplarOutcome>,
    ) -> Result<(), AppendError> {
        // Held from the log's record to the ring, as for samples: so what is in segments that were cut off is in the ring.
        let _commit = self.commit();
        let mut ring = self.exemplar_ring();
        let mut record = Vec::new();
        wal_record::start_exemplars(&mut record);
        let mut accepted: Vec<(Arc<Labels>, Stored)> = Vec::new();
        // The newest one of a series may be in this very batch.
        let mut newest: HashMap<u64, usize> = HashMap::new();
        for ExemplarSample { series, labels, value, time_ms } in batch {
            let (id, series_labels) = (series.0.id, series.0.to_labels());
            let stored = Stored { labels: labels.clone(), value: *value, time_ms: *time_ms };
            let outcome = if ring.capacity() == 0 {
                ExemplarOutcome::Disabled
            } else if series.is_dropped() {
                ExemplarOutcome::SeriesDropped
            } else {
                let in_batch = newest.get(&id).map(|&at| &accepted[at].1);
                stored.judge(in_batch.or_else(|| ring.newest(&series_labels)))
            };
            if outcome == ExemplarOutcome::Stored {
                wal_record::push_exemplar(&mut record, id, &stored);
                newest.insert(id, accepted.len());
                accepted.push((series_labels, stored));
            }
            outcomes.push(outcome);
        }
        if accepted.is_empty() {
            return Ok(());
        }
        self.wal.append(&record)?;
        for (series, stored) in accepted {
            ring.offer(&series, stored);
        }
        Ok(())
    }

    pub(super) fn exemplars(
        &self,
        sets: &[Vec<Matcher>],
        start: i64,
        end: i64,
    ) -> Vec<(Arc<Labels>, Vec<Exemplar>)> {
        self.exemplar_ring().select(sets, start, end)
    }

    /// Saves the ring if it changed. Called after the log was cut and before segments of it go, so that what is in them
    /// and in no file is never all there is.
    pub(super) fn save_exemplars(&self) -> Result<(), MaintainError> {
        let Some(body) = self.exemplar_ring().take_changed() else { return Ok(()) };
        let path = self.options.dir.join(EXEMPLARS_FILE);
        let saved = compress::compress(&body, DEFAULT_LEVEL)
            .and_then(|packed| write_atomically(&*self.options.fs, &path, EXEMPLARS_FORMAT, &packed));
        saved.map_err(|source| {
            self.exemplar_ring().mark_changed();
            MaintainError::io("write", &path, source)
        })
    }
}

/// The ring as it was saved last; an empty one when there is no file, or when it is damaged, which is set aside and told.
///
/// # Errors
/// When the file is of a newer version or the system fails.
pub(super) fn load(
    fs: &dyn Fs,
    dir: &Path,
    capacity: usize,
    damage: &mut Vec<String>,
) -> Result<ExemplarRing, CheckedError> {
    let path = dir.join(EXEMPLARS_FILE);
    let mut ring = ExemplarRing::new(capacity);
    if !fs.exists(&path) {
        return Ok(ring);
    }
    let read = match read_checked(fs, &path, EXEMPLARS_FORMAT) {
        Ok(packed) => compress::decompress(&packed, MAX_FILE_BYTES)
            .map_err(|_| Malformed("exemplars"))
            .and_then(|body| ring.restore(&body))
            .map_err(|error| format!("{}: {error}", path.display())),
        Err(error @ (CheckedError::Io { .. } | CheckedError::Header(HeaderError::Version { .. }))) => {
            return Err(error);
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = read {
        set_aside(fs, &path, &error, damage);
    }
    Ok(ring)
}
