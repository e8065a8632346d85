//! Judging late samples: those that are older than the newest one of their series, within the out-of-order window.
//!
//! They are rare, so what judging one needs is only gathered when there is one.
//!
//! A late sample is compared with what its series has in memory, not with blocks; the peer does not look there either. So another
//! value at the time of a sample in a block is acknowledged, and the one that came first is what everybody sees: a selection, a
//! flush and a merge of blocks all go by the order of writing (`db/join.rs`).

use std::collections::HashMap;

use super::Inner;
use super::write::normal_bits;
use crate::append::{Outcome, Row};
use crate::series::{MemSeries, SampleAt};
use crate::wal_record::MAX_BATCH;

/// The late samples of the batch that is being judged.
#[derive(Debug, Default)]
pub(super) struct LateBatch {
    /// Places in the batch of those that are stored, ascending.
    stored: Vec<usize>,
    /// What the batch stores, by series and time: it is not in memory yet. As far as `n_known`. Also the markers that end
    /// series of histograms: [`SampleAt`] says that those are floats here.
    taken: HashMap<(u64, i64), u64>,
    n_known: usize,
}

impl LateBatch {
    pub(super) fn clear(&mut self) {
        self.stored.clear();
        self.taken.clear();
        self.n_known = 0;
    }

    /// Gives back the memory that a large batch took.
    pub(super) fn release(&mut self) {
        self.taken = HashMap::new();
        self.stored.shrink_to(MAX_BATCH);
    }

    pub(super) fn n_stored(&self) -> usize {
        self.stored.len()
    }

    /// Whether the sample at a place of the batch is a late one that is stored.
    pub(super) fn is_late(&self, place: usize) -> bool {
        !self.stored.is_empty() && self.stored.binary_search(&place).is_ok()
    }

    /// Judges the next sample of the batch, of which `outcomes` are those before it.
    pub(super) fn judge<R: Row>(
        &mut self,
        series: &MemSeries,
        time: i64,
        bits: u64,
        batch: &[R],
        outcomes: &[Outcome],
    ) -> Outcome {
        let place = outcomes.len();
        for (row, outcome) in batch.iter().zip(outcomes).skip(self.n_known) {
            if *outcome == Outcome::Stored {
                self.taken.insert((row.series().0.id, row.time_ms()), normal_bits(row.value()));
            }
        }
        self.n_known = place;
        let there = match self.taken.get(&(series.id, time)) {
            Some(&bits) => Some(SampleAt::Float(bits)),
            None => series.lock().sample_at(time),
        };
        match there {
            Some(SampleAt::Float(there)) if there == bits => Outcome::Duplicate,
            Some(SampleAt::Float(there)) => Outcome::DuplicateOtherValue { existing: f64::from_bits(there) },
            Some(SampleAt::Histogram) => Outcome::OutOfOrder,
            None => {
                self.stored.push(place);
                Outcome::Stored
            }
        }
    }
}

impl Inner {
    /// From here on a sample may be older than the newest one of its series; `None` without a window.
    pub(super) fn late_from(&self) -> Option<i64> {
        let window = self.options.out_of_order_window_ms;
        (window > 0).then(|| self.head.max_time().unwrap_or(i64::MIN).saturating_sub(window))
    }

    /// Half a block behind the newest sample, so a block's time is over some time after its end; more where late samples
    /// are let in.
    pub(super) fn oldest_accepted(&self) -> i64 {
        self.oldest_in_order().min(self.late_from().unwrap_or(i64::MAX))
    }

    /// What is older is late, if it is let in at all.
    pub(super) fn oldest_in_order(&self) -> i64 {
        self.head.max_time().unwrap_or(i64::MIN).saturating_sub(self.options.block_ms / 2)
    }
}
