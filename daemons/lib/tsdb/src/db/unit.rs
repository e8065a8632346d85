//! Appending a unit: what one record of the log holds. All of it is judged, then logged, then stored, under the commit lock.
//!
//! Judging moves the tips as if each sample were stored already, so that the next one is judged by it, and encodes what is
//! accepted. Up to the moment at which the log has the record all that can be taken back, and nothing is in memory: a unit
//! that the log refuses, or that is to be whole and is not, leaves nothing. What is stored is what was judged; nothing is judged
//! twice.

use std::io;
use std::sync::Arc;

use cairn_disk::WalError;
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS};

use super::histograms::{self, point_of};
use super::late::Judged;
use super::write::{AcceptedTimes, Commit, LOOK_AHEAD, normal_bits};
use super::{Inner, place};
use crate::append::{AppendError, HistogramSample, Outcome, Row, SampleOf, WholeOutcomes};
use crate::series::{MemSeries, Place, SeriesRef, Tip};
use crate::wal_record::MAX_BATCH;

/// Histograms of one record at most, and of one holding of the commit lock.
const MAX_HISTOGRAMS: usize = 1000;

/// What is kept of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// What is good of it.
    Good,
    /// As `Good`, but only behind samples: nothing that is late, whatever the window, nor in a series without a sample.
    Ends,
    /// All of it if all of it is good, otherwise nothing.
    Whole,
}

/// What is to be appended: floats, then histograms.
pub(super) struct Unit<'a, R> {
    samples: &'a [R],
    histograms: &'a [HistogramSample],
    keep: Keep,
}

impl<R> Unit<'_, R> {
    fn judged<'a>(&'a self, of_samples: &'a [Outcome], of_histograms: &'a [Outcome]) -> Judged<'a, R> {
        Judged { samples: self.samples, of_samples, histograms: self.histograms, of_histograms }
    }
}

/// A marker among the floats that ends a series of histograms, and so is stored as one.
#[derive(Debug)]
pub(super) struct Marker {
    /// Place among the floats of the unit.
    at: usize,
    point: HistogramPoint,
}

/// Of what was stored.
struct Stored {
    oldest: i64,
    newest: i64,
    floats: usize,
    histograms: usize,
    /// Bytes by which the head grew.
    grown: isize,
}

impl Stored {
    fn saw(&mut self, time: i64) {
        (self.oldest, self.newest) = (self.oldest.min(time), self.newest.max(time));
    }
}

impl Inner {
    pub(super) fn append<R: Row>(
        &self,
        rows: &[R],
        keep: Keep,
        now_ms: i64,
    ) -> Result<Vec<Outcome>, AppendError> {
        self.make_room(now_ms)?;
        let mut outcomes = WholeOutcomes::with_capacity(rows.len(), 0);
        for samples in rows.chunks(MAX_BATCH) {
            self.append_unit(&Unit { samples, histograms: &[], keep }, now_ms, &mut outcomes)?;
        }
        self.relieve(now_ms);
        Ok(outcomes.samples)
    }

    pub(super) fn append_histograms(
        &self,
        samples: &[HistogramSample],
        now_ms: i64,
    ) -> Result<Vec<Outcome>, AppendError> {
        self.make_room(now_ms)?;
        let mut outcomes = WholeOutcomes::with_capacity(0, samples.len());
        for histograms in samples.chunks(MAX_HISTOGRAMS) {
            let unit = Unit::<SampleOf<'_>> { samples: &[], histograms, keep: Keep::Good };
            self.append_unit(&unit, now_ms, &mut outcomes)?;
        }
        self.relieve(now_ms);
        Ok(outcomes.histograms)
    }

    pub(super) fn append_whole(
        &self,
        samples: &[SampleOf<'_>],
        histograms: &[HistogramSample],
        now_ms: i64,
    ) -> Result<WholeOutcomes, AppendError> {
        self.make_room(now_ms)?;
        let mut outcomes = WholeOutcomes::with_capacity(samples.len(), histograms.len());
        self.append_unit(&Unit { samples, histograms, keep: Keep::Whole }, now_ms, &mut outcomes)?;
        self.relieve(now_ms);
        Ok(outcomes)
    }

    /// Appends a unit; adds an outcome for each of its samples.
    fn append_unit<R: Row>(
        &self,
        unit: &Unit<'_, R>,
        now_ms: i64,
        outcomes: &mut WholeOutcomes,
    ) -> Result<(), AppendError> {
        let first = (outcomes.samples.len(), outcomes.histograms.len());
        let mut commit = self.commit();
        let mut times = self.accepted_times(now_ms);
        if unit.keep == Keep::Ends {
            times.late_from = None;
        }
        let n_series = self.head.n_series();
        commit.begin_unit(n_series);
        let judged = judge_unit(&mut commit, unit, &times, n_series, outcomes);
        let (floats, histograms) = (&outcomes.samples[first.0..], &outcomes.histograms[first.1..]);
        let is_refused =
            unit.keep == Keep::Whole && floats.iter().chain(histograms).any(|outcome| !outcome.is_kept());
        let logged = match judged {
            Ok(()) if is_refused || commit.unit.is_empty() => Ok(()),
            Ok(()) => self.wal.append(commit.unit.finish()).map(drop).map_err(AppendError::from),
            Err(source) => Err(self.cannot_encode(source)),
        };
        let mut n_stored = 0;
        if is_refused || logged.is_err() {
            commit.take_back();
        } else if !commit.unit.is_empty() {
            n_stored = self.store(&mut commit, unit, floats, histograms);
        }
        commit.release();
        drop(commit);
        logged?;
        if n_stored < floats.len() + histograms.len() {
            self.count_refused(unit.keep, floats, histograms);
        }
        Ok(())
    }

    /// Puts what was accepted into memory. Answers how many samples that were.
    fn store<R: Row>(
        &self,
        commit: &mut Commit,
        unit: &Unit<'_, R>,
        of_floats: &[Outcome],
        of_histograms: &[Outcome],
    ) -> usize {
        let mut stored = Stored { oldest: i64::MAX, newest: i64::MIN, floats: 0, histograms: 0, grown: 0 };
        self.store_floats(commit, unit.samples, of_floats, &mut stored);
        let (generation, block_ms) = (commit.generation, self.options.block_ms);
        for (index, (sample, outcome)) in unit.histograms.iter().zip(of_histograms).enumerate() {
            if *outcome == Outcome::Stored {
                let point = point_of(sample);
                let mut chunks = sample.series.0.lock();
                stored.grown += if commit.late.is_late_histogram(index) {
                    chunks.insert_late_histogram(&point, generation, block_ms)
                } else {
                    chunks.push_histogram(&point, generation, block_ms)
                };
                stored.saw(point.time);
                stored.histograms += 1;
            }
        }
        commit.histograms.keep_newest();
        let n_stored = stored.floats + stored.histograms;
        self.head.stored(stored.oldest, stored.newest, n_stored as u64, stored.grown);
        self.tally.samples_stored.add(stored.floats as u64);
        self.tally.samples_stored_late.add(commit.late.n_stored() as u64);
        self.tally.histograms_stored.add(stored.histograms as u64);
        n_stored
    }

    fn store_floats<R: Row>(
        &self,
        commit: &mut Commit,
        samples: &[R],
        outcomes: &[Outcome],
        stored: &mut Stored,
    ) {
        let (generation, block_ms) = (commit.generation, self.options.block_ms);
        let mut markers = std::mem::take(&mut commit.markers).into_iter().peekable();
        commit.places.resize(commit.tips.len(), Place::default());
        let (mut oldest, mut newest, mut grown) = (i64::MAX, i64::MIN, 0);
        let (mut n_stored, mut n_markers) = (0, 0);
        for (index, (row, outcome)) in samples.iter().zip(outcomes).enumerate() {
            if let Some(later) = samples.get(index + LOOK_AHEAD) {
                // Once more: of a large batch the processor has forgotten it by now.
                later.series().0.prefetch();
            }
            if *outcome != Outcome::Stored {
                continue;
            }
            if let Some((slot, _)) = commit.undo.get(n_stored + LOOK_AHEAD) {
                commit.places[*slot as usize].prefetch();
            }
            n_stored += 1;
            let (time, bits, start) = (row.time_ms(), normal_bits(row.value()), row.start_ms());
            let mut chunks = row.series().0.lock();
            grown += if let Some(Marker { point, .. }) = markers.next_if(|marker| marker.at == index) {
                n_markers += 1;
                chunks.push_histogram(&point, generation, block_ms)
            } else if commit.late.is_late(index) {
                chunks.insert_late_float(time, bits, start, generation, block_ms)
            } else {
                chunks.push_float(time, bits, start, generation, block_ms)
            };
            commit.places[row.series().0.slot as usize] = chunks.place();
            (oldest, newest) = (oldest.min(time), newest.max(time));
        }
        *stored = Stored { oldest, newest, floats: n_stored - n_markers, histograms: n_markers, grown };
    }

    fn count_refused(&self, keep: Keep, floats: &[Outcome], histograms: &[Outcome]) {
        let all = || floats.iter().chain(histograms);
        if keep == Keep::Whole && all().any(|outcome| *outcome == Outcome::SeriesDropped) {
            // The caller resolves the series again and repeats all of it.
            return;
        }
        for outcome in all() {
            self.tally.count_refused(*outcome);
        }
    }

    pub(super) fn cannot_encode(&self, source: io::Error) -> AppendError {
        let path = place::wal(&self.options.dir);
        WalError::Io { action: "compress a record for", path, source }.into()
    }
}

/// Judges all of it, and encodes what is accepted.
fn judge_unit<R: Row>(
    commit: &mut Commit,
    unit: &Unit<'_, R>,
    times: &AcceptedTimes,
    n_series: usize,
    outcomes: &mut WholeOutcomes,
) -> io::Result<()> {
    judge_floats(commit, unit, times, n_series, &mut outcomes.samples)?;
    judge_histograms(commit, unit, times, n_series, outcomes)?;
    commit.close_records(n_series)
}

fn judge_floats<R: Row>(
    commit: &mut Commit,
    unit: &Unit<'_, R>,
    times: &AcceptedTimes,
    n_series: usize,
    outcomes: &mut Vec<Outcome>,
) -> io::Result<()> {
    let first = outcomes.len();
    for (index, row) in unit.samples.iter().enumerate() {
        if let Some(later) = unit.samples.get(index + LOOK_AHEAD) {
            later.series().0.prefetch();
        }
        if commit.samples.n_samples() >= MAX_BATCH {
            commit.close_records(n_series)?;
        }
        let (SeriesRef(series), time, bits) = (row.series(), row.time_ms(), normal_bits(row.value()));
        let outcome = if let Err(outcome) = times.judge(time) {
            outcome
        } else if unit.keep == Keep::Ends && !commit.has_samples(series) {
            Outcome::OutOfOrder
        } else if bits == STALE_NAN_BITS && commit.ends_histograms(series, time) {
            judge_marker(commit, series, time, index, times, n_series)?
        } else {
            match commit.judge(series, time, bits) {
                Ok(tip) => {
                    if tip.is_histogram() && !commit.histograms.is_empty() {
                        // The log's order is that of the series: this one may be behind a histogram of the open record.
                        commit.close_records(n_series)?;
                    }
                    let Commit { tips, samples, undo, .. } = &mut *commit;
                    let tip = &mut tips[series.slot as usize];
                    undo.push((series.slot, *tip));
                    samples.push(tip, time, bits, row.start_ms());
                    Outcome::Stored
                }
                Err(Outcome::OutOfOrder) => {
                    let judged = unit.judged(&outcomes[first..], &[]);
                    judge_late_float(commit, row, times, &judged)
                }
                Err(outcome) => outcome,
            }
        };
        outcomes.push(outcome);
    }
    Ok(())
}

/// Out of the way of the others, as the next one: few floats are markers of histograms, or late.
#[cold]
#[inline(never)]
fn judge_marker(
    commit: &mut Commit,
    series: &Arc<MemSeries>,
    time: i64,
    at: usize,
    times: &AcceptedTimes,
    n_series: usize,
) -> io::Result<Outcome> {
    let point = HistogramPoint { time, start: 0, histogram: commit.histograms.marker(series) };
    let outcome = judge_histogram(commit, series, &point, times, n_series)?;
    if outcome == Outcome::Stored {
        commit.markers.push(Marker { at, point });
    }
    Ok(outcome)
}

#[cold]
#[inline(never)]
fn judge_late_float<R: Row>(
    commit: &mut Commit,
    row: &R,
    times: &AcceptedTimes,
    judged: &Judged<'_, R>,
) -> Outcome {
    let (SeriesRef(series), time, bits) = (row.series(), row.time_ms(), normal_bits(row.value()));
    match times.late_from {
        Some(from) if time < from => Outcome::BeforeWindow,
        Some(_) => {
            let outcome = commit.late.judge(series, time, bits, judged);
            if outcome == Outcome::Stored {
                commit.samples.push_alone(series.id, time, bits, row.start_ms());
            }
            outcome
        }
        None => Outcome::OutOfOrder,
    }
}

fn judge_histograms<R: Row>(
    commit: &mut Commit,
    unit: &Unit<'_, R>,
    times: &AcceptedTimes,
    n_series: usize,
    outcomes: &mut WholeOutcomes,
) -> io::Result<()> {
    // An error leaves both lists short; without one they end with what this unit has.
    let first_float = outcomes.samples.len() - unit.samples.len();
    let first = outcomes.histograms.len();
    for sample in unit.histograms {
        let (SeriesRef(series), point) = (&sample.series, point_of(sample));
        let outcome = match (judge_histogram(commit, series, &point, times, n_series)?, times.late_from) {
            (Outcome::OutOfOrder, Some(from)) if point.time < from => Outcome::BeforeWindow,
            (Outcome::OutOfOrder, Some(_)) => {
                let judged = unit.judged(&outcomes.samples[first_float..], &outcomes.histograms[first..]);
                let outcome = commit.late.judge_histogram(series, &point, &judged);
                if outcome == Outcome::Stored {
                    commit.histograms.push_late(series, &point);
                }
                outcome
            }
            (outcome, _) => outcome,
        };
        outcomes.histograms.push(outcome);
    }
    Ok(())
}

/// Judges a histogram by the newest sample of its series, and encodes it if it is accepted.
fn judge_histogram(
    commit: &mut Commit,
    series: &Arc<MemSeries>,
    point: &HistogramPoint,
    times: &AcceptedTimes,
    n_series: usize,
) -> io::Result<Outcome> {
    let known = commit.histograms.newest(series);
    let judged = histograms::judge(&commit.tips, series, point, times, known);
    if commit.histograms.is_full() {
        commit.close_records(n_series)?;
    }
    if let Err(outcome) = judged {
        return Ok(outcome);
    }
    commit.histograms.push(series, point);
    commit.replace_tip(series.slot, Tip::of_histogram(series.id, point.time));
    Ok(Outcome::Stored)
}

#[cfg(test)]
mod tests;
