//! How a series and a sample get in: judged, logged, stored, under one lock.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use cairn_disk::WalError;
use cairn_model::Labels;
use cairn_promql::source::{NORMAL_NAN_BITS, STALE_NAN_BITS};

use super::histograms::{HistogramCommit, NewestHistograms};
use super::late::LateBatch;
use super::{Inner, place};
use crate::append::{AppendError, Outcome, Row};
use crate::options::MAX_FUTURE_MS;
use crate::series::{Generation, MemSeries, Place, SeriesRef, Tip};
use crate::wal_record::{MAX_BATCH, SamplesEncoder, SeriesEncoder};

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
    places: Vec<Place>,
    /// Tips as they were before the record that is being made.
    undo: Vec<(u32, Tip)>,
    pub(super) late: LateBatch,
}

impl Commit {
    /// `record`: number of the next record of samples.
    pub(super) fn new(tips: Vec<Tip>, newest_histograms: NewestHistograms, record: u64) -> io::Result<Self> {
        Ok(Self {
            tips,
            generation: 0,
            samples: SamplesEncoder::new(record)?,
            histograms: HistogramCommit::new(newest_histograms)?,
            series: SeriesEncoder::new()?,
            places: Vec::new(),
            undo: Vec::new(),
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

    /// Whether a marker at this time ends a series of histograms. A late one stays a float, which may be late.
    pub(super) fn ends_histograms(&self, series: &MemSeries, time: i64) -> bool {
        let tip = self.tips.get(series.slot as usize);
        tip.is_some_and(|tip| tip.id == series.id && tip.is_histogram() && time >= tip.time)
    }

    /// Nothing that a request brings is known yet.
    pub(super) fn begin_judging(&mut self) {
        self.undo.clear();
        self.late.clear();
    }

    /// Remembers what a tip was before the sample that replaces it now.
    pub(super) fn replace_tip(&mut self, slot: u32, tip: Tip) {
        let before = std::mem::replace(&mut self.tips[slot as usize], tip);
        self.undo.push((slot, before));
    }

    pub(super) fn take_back(&mut self) {
        // Last first: of a series that is in the record twice, the older state stays.
        for (slot, tip) in self.undo.drain(..).rev() {
            self.tips[slot as usize] = tip;
        }
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

    pub(super) fn append<R: Row>(&self, rows: &[R], now_ms: i64) -> Result<Vec<Outcome>, AppendError> {
        let mut outcomes = Vec::with_capacity(rows.len());
        for batch in rows.chunks(MAX_BATCH) {
            let mut commit = self.commit();
            let times = self.accepted_times(now_ms);
            self.append_batch(&mut commit, batch, &times, &mut outcomes)?;
        }
        self.relieve(now_ms);
        Ok(outcomes)
    }

    /// Appends a batch of at most [`MAX_BATCH`] rows, as one record of the log or some more.
    pub(super) fn append_batch<R: Row>(
        &self,
        commit: &mut Commit,
        batch: &[R],
        times: &AcceptedTimes,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), AppendError> {
        let end = outcomes.len() + batch.len();
        while outcomes.len() < end {
            let rest = &batch[batch.len() - (end - outcomes.len())..];
            self.append_some(commit, rest, times, outcomes)?;
        }
        Ok(())
    }

    /// Appends a batch, or its beginning; answers an outcome for each row of that.
    fn append_some<R: Row>(
        &self,
        commit: &mut Commit,
        batch: &[R],
        times: &AcceptedTimes,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), AppendError> {
        let first_outcome = outcomes.len();
        commit.samples.begin(self.head.n_series());
        commit.undo.clear();
        commit.places.resize(commit.tips.len(), Place::default());
        commit.late.clear();
        let late_from = times.late_from;
        // Places in `outcomes` of markers that end a series of histograms, which become histograms, and those series.
        let (mut markers, mut ended) = (Vec::new(), HashSet::new());
        for (index, row) in batch.iter().enumerate() {
            if let Some(later) = batch.get(index + LOOK_AHEAD) {
                later.series().0.prefetch();
            }
            let (SeriesRef(series), time, bits) = (row.series(), row.time_ms(), normal_bits(row.value()));
            if !markers.is_empty() && ended.contains(&series.id) {
                // Behind the marker, which is stored last.
                break;
            }
            let judged = if let Err(outcome) = times.judge(time) {
                Err(outcome)
            } else if bits == STALE_NAN_BITS && commit.ends_histograms(series, time) {
                markers.push(outcomes.len());
                ended.insert(series.id);
                // Until it is known, below.
                Err(Outcome::SeriesDropped)
            } else {
                commit.judge(series, time, bits).map(|tip| *tip)
            };
            outcomes.push(match judged {
                Err(Outcome::OutOfOrder) if late_from.is_some_and(|from| time < from) => {
                    Outcome::BeforeWindow
                }
                Err(Outcome::OutOfOrder) if late_from.is_some() => {
                    let judged = commit.late.judge(series, time, bits, batch, &outcomes[first_outcome..]);
                    if judged == Outcome::Stored {
                        commit.samples.push_alone(series.id, time, bits, row.start_ms());
                    }
                    judged
                }
                Ok(mut tip) => {
                    commit.undo.push((series.slot, tip));
                    commit.samples.push(&mut tip, time, bits, row.start_ms());
                    commit.tips[series.slot as usize] = tip;
                    Outcome::Stored
                }
                Err(outcome) => outcome,
            });
        }
        let judged = batch.iter().zip(&outcomes[first_outcome..]);
        let mut n_stored = 0;
        if !commit.samples.is_empty() {
            let logged = match commit.samples.finish() {
                Ok(record) => self.wal.append(record).map_err(AppendError::from),
                Err(source) => Err(self.cannot_encode(source)),
            };
            if let Err(error) = logged {
                commit.take_back();
                return Err(error);
            }
            commit.samples.written();
            let (mut oldest, mut newest, mut grown) = (i64::MAX, i64::MIN, 0);
            let (generation, block_ms) = (commit.generation, self.options.block_ms);
            let mut n_seen = 0;
            for (index, (row, outcome)) in judged.clone().enumerate() {
                if let Some(later) = batch.get(index + LOOK_AHEAD) {
                    // Once more: of a large batch the processor has forgotten it by now.
                    later.series().0.prefetch();
                }
                if *outcome == Outcome::Stored {
                    if let Some((slot, _)) = commit.undo.get(n_seen + LOOK_AHEAD) {
                        commit.places[*slot as usize].prefetch();
                    }
                    n_seen += 1;
                    let (time, bits, start) = (row.time_ms(), normal_bits(row.value()), row.start_ms());
                    let mut chunks = row.series().0.lock();
                    grown += if commit.late.is_late(index) {
                        chunks.insert_late_float(time, bits, start, generation, block_ms)
                    } else {
                        chunks.push_float(time, bits, start, generation, block_ms)
                    };
                    commit.places[row.series().0.slot as usize] = chunks.place();
                    (oldest, newest) = (oldest.min(time), newest.max(time));
                }
            }
            let n_late = commit.late.n_stored() as u64;
            n_stored = commit.undo.len() as u64 + n_late;
            self.head.stored(oldest, newest, n_stored, grown);
            self.tally.samples_stored.add(n_stored);
            self.tally.samples_stored_late.add(n_late);
        }
        if n_stored < (outcomes.len() - first_outcome) as u64 {
            for (_, outcome) in judged {
                self.tally.count_refused(*outcome);
            }
        }
        if !markers.is_empty() {
            let rows = markers.iter().map(|at| &batch[at - first_outcome]);
            let rows = rows.map(|row| (row.series(), row.time_ms()));
            let found = self.append_histogram_markers(commit, rows, times)?;
            for (at, outcome) in markers.into_iter().zip(found) {
                outcomes[at] = outcome;
            }
        }
        Ok(())
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

    fn cannot_encode(&self, source: io::Error) -> AppendError {
        let path = place::wal(&self.options.dir);
        WalError::Io { action: "compress a record for", path, source }.into()
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
