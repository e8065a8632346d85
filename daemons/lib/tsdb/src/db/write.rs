//! How a series and a sample get in: judged, logged, stored, under one lock.

use std::sync::Arc;

use cairn_model::Labels;
use cairn_promql::source::{NORMAL_NAN_BITS, STALE_NAN_BITS};

use super::Inner;
use crate::append::{AppendError, Outcome, Sample};
use crate::options::MAX_FUTURE_MS;
use crate::series::SeriesRef;
use crate::wal_record::{self, SamplesRecord, WalSample, WalSeries};

/// Samples of one record of the log, and of one holding of the commit lock: about 100 KiB and a millisecond.
const MAX_BATCH: usize = 10_000;

/// Bytes in the names and values of one series. The daemons' own limits are far below; this one keeps every label set
/// within a record.
const MAX_LABELS_BYTES: usize = 1 << 20;

/// State of whoever appends.
#[derive(Debug)]
pub(super) struct Commit {
    /// Samples before this time lie in a block, or would: refused.
    pub(super) floor: i64,
    samples: SamplesRecord,
    series: Vec<u8>,
}

impl Commit {
    pub(super) fn new(floor: i64) -> Self {
        Self { floor, samples: SamplesRecord::default(), series: Vec::new() }
    }
}

impl Inner {
    pub(super) fn series_ref(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        let hash = labels.stable_hash();
        let is_it = |other: &Labels| other == labels;
        if let Some(known) = self.head.find(hash, is_it) {
            return Ok(SeriesRef(known));
        }
        let mut commit = self.commit();
        // Somebody else may have created it while this thread waited.
        if let Some(known) = self.head.find(hash, is_it) {
            return Ok(SeriesRef(known));
        }
        let limit = self.options.max_head_series;
        if self.head.n_series() >= limit {
            return Err(AppendError::TooManySeries { limit });
        }
        let bytes = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_LABELS_BYTES {
            return Err(AppendError::LabelsTooLarge { bytes, limit: MAX_LABELS_BYTES });
        }
        let series = WalSeries { id: self.head.next_id(), labels: Arc::new(labels.clone()) };
        wal_record::start_series(&mut commit.series);
        wal_record::push_series(&mut commit.series, &series);
        self.wal.append(&commit.series)?;
        self.tally.series_created.add(1);
        let WalSeries { id, labels } = series;
        Ok(SeriesRef(self.head.insert(id, hash, labels)))
    }

    pub(super) fn append(&self, samples: &[Sample], now_ms: i64) -> Result<Vec<Outcome>, AppendError> {
        let mut outcomes = Vec::with_capacity(samples.len());
        for batch in samples.chunks(MAX_BATCH) {
            self.append_batch(batch, now_ms, &mut outcomes)?;
        }
        Ok(outcomes)
    }

    fn append_batch(
        &self,
        batch: &[Sample],
        now_ms: i64,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), AppendError> {
        let mut commit = self.commit();
        let Commit { floor, samples: record, .. } = &mut *commit;
        // Half a block behind the newest sample: what is older may be in a block that is being written.
        let newest = self.head.max_time().unwrap_or(i64::MIN);
        let oldest_accepted = newest.saturating_sub(self.options.block_ms / 2).max(*floor);
        let newest_accepted = now_ms.saturating_add(MAX_FUTURE_MS);
        let first_outcome = outcomes.len();
        record.clear();
        for Sample { series, time_ms: time, value, start_ms: _ } in batch {
            let (series, time, bits) = (&series.0, *time, normal_bits(*value));
            let outcome = if time > newest_accepted {
                Outcome::TooFarInFuture
            } else if time < oldest_accepted {
                Outcome::TooOld
            } else {
                series.lock().reserve(time, bits)
            };
            if outcome == Outcome::Stored {
                record.push(WalSample { series: series.id, time, bits });
            }
            outcomes.push(outcome);
        }
        let judged = batch.iter().zip(&outcomes[first_outcome..]);
        let stored = judged.clone().filter(|(_, outcome)| **outcome == Outcome::Stored);
        let mut n_stored = 0;
        let mut newest_stored = i64::MIN;
        if stored.clone().next().is_some() {
            if let Err(error) = self.wal.append(record.bytes()) {
                for (sample, _) in stored {
                    sample.series.0.lock().cancel();
                }
                return Err(error.into());
            }
            for (Sample { series, time_ms, value, start_ms: _ }, _) in stored {
                series.0.lock().commit(*time_ms, normal_bits(*value), self.options.block_ms);
                newest_stored = newest_stored.max(*time_ms);
                n_stored += 1;
            }
            self.head.saw_time(newest_stored);
        }
        self.tally.samples_stored.add(n_stored);
        for (_, outcome) in judged {
            self.tally.count_refused(*outcome);
        }
        Ok(())
    }
}

/// The staleness marker stays what it is; every other NaN becomes the one that the peer stores.
fn normal_bits(value: f64) -> u64 {
    let bits = value.to_bits();
    if value.is_nan() && bits != STALE_NAN_BITS { NORMAL_NAN_BITS } else { bits }
}
