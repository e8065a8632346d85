//! What whoever appends has in hand, under one lock, and how a series gets in. `db/unit.rs` says how a sample does.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use cairn_model::Labels;
use cairn_promql::source::{NORMAL_NAN_BITS, STALE_NAN_BITS};

use super::Inner;
use super::histograms::{HistogramCommit, NewestHistograms};
use super::late::LateBatch;
use super::unit::Marker;
use crate::append::{AppendError, Outcome};
use crate::options::MAX_FUTURE_MS;
use crate::series::{Generation, MemSeries, Place, SeriesRef, Tip};
use crate::wal_record::{MAX_BATCH, SamplesEncoder, SamplesMark, SeriesEncoder, UnitEncoder};

/// Bytes in the names and values of one series. The daemons' own limits are far below; this one keeps every label set
/// within a record.
const MAX_LABELS_BYTES: usize = 1 << 20;

/// So many samples ahead memory is asked for: a few hundred nanoseconds.
pub(super) const LOOK_AHEAD: usize = 12;

/// State of whoever appends.
#[derive(Debug)]
pub(super) struct Commit {
    /// By slot.
    pub(super) tips: Vec<Tip>,
    /// What is stored now belongs to this one.
    pub(super) generation: Generation,
    pub(super) samples: SamplesEncoder,
    pub(super) histograms: HistogramCommit,
    series: SeriesEncoder,
    /// Where the open chunks lie, by slot; hints.
    pub(super) places: Vec<Place>,
    /// The records of the unit that is being appended, as far as they are closed.
    pub(super) unit: UnitEncoder,
    /// The numbers of records as they were before that unit.
    mark: SamplesMark,
    /// Tips as they were before that unit.
    pub(super) undo: Vec<(u32, Tip)>,
    /// Of that unit.
    pub(super) markers: Vec<Marker>,
    /// Of that unit.
    pub(super) late: LateBatch,
}

impl Commit {
    /// `record`: number of the next record of samples.
    pub(super) fn new(tips: Vec<Tip>, newest_histograms: NewestHistograms, record: u64) -> io::Result<Self> {
        let samples = SamplesEncoder::new(record)?;
        Ok(Self {
            tips,
            generation: 0,
            mark: samples.mark(),
            samples,
            histograms: HistogramCommit::new(newest_histograms)?,
            series: SeriesEncoder::new()?,
            places: Vec::new(),
            unit: UnitEncoder::default(),
            undo: Vec::new(),
            markers: Vec::new(),
            late: LateBatch::default(),
        })
    }

    fn insert_tip(&mut self, series: &MemSeries) {
        let slot = series.slot as usize;
        if slot >= self.tips.len() {
            self.tips.resize(slot + 1, Tip::EMPTY);
        }
        self.tips[slot] = Tip::of(series.id);
    }

    /// Judges the next sample of a series by the newest one.
    pub(super) fn judge(&mut self, series: &MemSeries, time: i64, bits: u64) -> Result<&mut Tip, Outcome> {
        let Some(tip) = self.tips.get_mut(series.slot as usize).filter(|tip| tip.id == series.id) else {
            return Err(Outcome::SeriesDropped);
        };
        if time > tip.time {
            return Ok(tip);
        }
        Err(if time < tip.time {
            Outcome::OutOfOrder
        } else if bits == tip.bits {
            Outcome::Duplicate
        } else {
            Outcome::DuplicateOtherValue { existing: f64::from_bits(tip.bits) }
        })
    }

    /// Whether the series ever had a sample. That it left the head is for [`judge`](Self::judge) to say.
    pub(super) fn has_samples(&self, series: &MemSeries) -> bool {
        let tip = self.tips.get(series.slot as usize);
        tip.is_none_or(|tip| tip.id != series.id || tip.time != Tip::NEVER)
    }

    /// Whether a marker at this time ends a series of histograms. A late one stays a float, which may be late.
    pub(super) fn ends_histograms(&self, series: &MemSeries, time: i64) -> bool {
        let tip = self.tips.get(series.slot as usize);
        tip.is_some_and(|tip| tip.id == series.id && tip.is_histogram() && time >= tip.time)
    }

    /// Nothing that a unit brings is known yet. `n_series` are in the head.
    pub(super) fn begin_unit(&mut self, n_series: usize) {
        self.mark = self.samples.mark();
        self.unit.begin();
        self.samples.begin(n_series);
        self.histograms.begin();
        self.undo.clear();
        self.markers.clear();
        self.late.clear();
    }

    /// Closes the open records of the unit: floats before histograms.
    #[inline(never)]
    pub(super) fn close_records(&mut self, n_series: usize) -> io::Result<()> {
        if self.samples.n_samples() > 0 {
            self.unit.push(self.samples.finish()?);
            self.samples.written();
            self.samples.begin(n_series);
        }
        self.histograms.close(&mut self.unit)
    }

    /// Remembers what a tip was before the sample that replaces it now.
    pub(super) fn replace_tip(&mut self, slot: u32, tip: Tip) {
        let before = std::mem::replace(&mut self.tips[slot as usize], tip);
        self.undo.push((slot, before));
    }

    /// As if the unit had never come.
    pub(super) fn take_back(&mut self) {
        // Last first: of a series that is in the unit twice, the older state stays.
        for (slot, tip) in self.undo.drain(..).rev() {
            self.tips[slot as usize] = tip;
        }
        self.samples.go_back(self.mark);
        self.histograms.forget_newest();
    }

    /// Gives back the memory that a large unit took.
    pub(super) fn release(&mut self) {
        self.undo.clear();
        self.undo.shrink_to(MAX_BATCH);
        self.markers = Vec::new();
        self.late.release();
        self.unit.release();
    }
}

impl Inner {
    pub(super) fn series_ref(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        let hash = labels.stable_hash();
        if let Some(known) = self.head.find(hash, |other| other == labels) {
            return Ok(SeriesRef(known));
        }
        self.create_series(&[(hash, labels)]).map(|mut created| created.remove(0))
    }

    pub(super) fn series_refs(&self, all: &[&Labels]) -> Result<Vec<SeriesRef>, AppendError> {
        let with_hash: Vec<(u64, &Labels)> =
            all.iter().map(|labels| (labels.stable_hash(), *labels)).collect();
        let mut unknown = Vec::new();
        let mut found: Vec<Option<SeriesRef>> = with_hash
            .iter()
            .map(|&(hash, labels)| {
                let known = self.head.find(hash, |other| other == labels).map(SeriesRef);
                if known.is_none() {
                    unknown.push((hash, labels));
                }
                known
            })
            .collect();
        if !unknown.is_empty() {
            let mut created = self.create_series(&unknown)?.into_iter();
            for place in found.iter_mut().filter(|place| place.is_none()) {
                *place = created.next();
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Creates series; one answer for each, in their order. Either all of them, or those before the one that failed.
    fn create_series(&self, wanted: &[(u64, &Labels)]) -> Result<Vec<SeriesRef>, AppendError> {
        let mut commit = self.commit();
        let mut all: Vec<SeriesRef> = Vec::with_capacity(wanted.len());
        while let Some(rest) = wanted.get(all.len()..).filter(|rest| !rest.is_empty()) {
            self.create_some(&mut commit, rest, &mut all)?;
        }
        Ok(all)
    }

    /// Creates as many as fit into one record of the log.
    fn create_some(
        &self,
        commit: &mut Commit,
        wanted: &[(u64, &Labels)],
        all: &mut Vec<SeriesRef>,
    ) -> Result<(), AppendError> {
        let limit = self.options.max_head_series;
        let (first_id, mut next_id) = (self.head.next_id(), self.head.next_id());
        commit.series.begin();
        let mut refused = None;
        // What to do for each: a series that is there, or one of the record.
        let mut plan: Vec<Option<Arc<MemSeries>>> = Vec::new();
        let mut n_new = 0;
        let mut hashes = HashSet::new();
        for &(hash, labels) in wanted {
            // Somebody else may have created it while this thread waited.
            if let Some(known) = self.head.find(hash, |other| other == labels) {
                plan.push(Some(known));
                continue;
            }
            // Twice in one request: it is found in the next round.
            if !hashes.insert(hash) || commit.series.is_full() {
                break;
            }
            if self.head.n_series() + n_new >= limit {
                refused = Some(AppendError::TooManySeries { limit });
                break;
            }
            let bytes = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
            if bytes > MAX_LABELS_BYTES {
                refused = Some(AppendError::LabelsTooLarge { bytes, limit: MAX_LABELS_BYTES });
                break;
            }
            commit.series.push(next_id, labels);
            next_id += 1;
            n_new += 1;
            plan.push(None);
        }
        if n_new > 0 {
            let record = commit.series.finish().map_err(|source| self.cannot_encode(source))?;
            self.wal.append(record)?;
        }
        let mut id = first_id;
        for (known, &(hash, labels)) in plan.into_iter().zip(wanted) {
            let series = match known {
                Some(known) => known,
                None => {
                    let created = self.head.insert(id, hash, labels);
                    commit.insert_tip(&created);
                    id += 1;
                    created
                }
            };
            all.push(SeriesRef(series));
        }
        self.tally.series_created.add(n_new as u64);
        refused.map_or(Ok(()), Err)
    }

    /// Which times are accepted at this moment. One answer for all rows of a batch, in whatever order they come.
    pub(super) fn accepted_times(&self, now_ms: i64) -> AcceptedTimes {
        let late_from = self.late_from();
        AcceptedTimes {
            late_from,
            oldest: self.oldest_accepted(),
            too_old: if late_from.is_some() { Outcome::BeforeWindow } else { Outcome::TooOld },
            newest: now_ms.saturating_add(MAX_FUTURE_MS),
        }
    }

    /// Nothing before this time is in memory or will be: the blocks of a window that ends here are complete.
    pub(super) fn settled_until(&self) -> i64 {
        let oldest_in_head = self.head.min_time().unwrap_or(i64::MAX);
        self.oldest_in_order().min(oldest_in_head)
    }
}

/// Times at which samples are accepted.
pub(super) struct AcceptedTimes {
    /// From here on a sample may be older than the newest one of its series; `None` without a window.
    pub(super) late_from: Option<i64>,
    oldest: i64,
    /// What becomes of older ones.
    too_old: Outcome,
    newest: i64,
}

impl AcceptedTimes {
    pub(super) fn judge(&self, time: i64) -> Result<(), Outcome> {
        if time > self.newest {
            Err(Outcome::TooFarInFuture)
        } else if time < self.oldest {
            Err(self.too_old)
        } else {
            Ok(())
        }
    }
}

/// The staleness marker stays what it is; every other NaN becomes the one that the peer stores.
pub(super) fn normal_bits(value: f64) -> u64 {
    let bits = value.to_bits();
    if value.is_nan() && bits != STALE_NAN_BITS { NORMAL_NAN_BITS } else { bits }
}
