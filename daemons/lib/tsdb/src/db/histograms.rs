//! How a native histogram gets in. The rules are those of floats (`db/write.rs`), and a series may have both, at different
//! times. A batch is judged, logged and stored under the commit lock.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use cairn_disk::WalError;
use cairn_model::Histogram;
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS, is_stale};

use super::write::{AcceptedTimes, Commit};
use super::{Inner, place};
use crate::append::{AppendError, HistogramSample, Outcome};
use crate::series::{MemSeries, SeriesRef, Tip};
use crate::wal_record::HistogramsEncoder;

/// Histograms of one record at most, and of one holding of the commit lock.
const MAX_BATCH: usize = 1000;

/// By slot, with the series' id: the newest sample where that is a histogram.
pub(super) type NewestHistograms = HashMap<u32, (u64, Arc<Histogram>)>;

/// What appending histograms needs beside the tips.
#[derive(Debug)]
pub(super) struct HistogramCommit {
    /// Of some it is missing after a restart: those whose log is gone.
    newest: NewestHistograms,
    encoder: HistogramsEncoder,
}

impl HistogramCommit {
    /// `newest`: what a replay found.
    pub(super) fn new(newest: NewestHistograms) -> io::Result<Self> {
        Ok(Self { newest, encoder: HistogramsEncoder::new()? })
    }

    /// Forgets histograms that are no longer the newest sample of their series.
    pub(super) fn tidy(&mut self, tips: &[Tip]) {
        self.newest.retain(|&slot, (id, _)| {
            tips.get(slot as usize).is_some_and(|tip| tip.id == *id && tip.is_histogram())
        });
    }

    pub(super) fn newest(&self, series: &MemSeries) -> Option<&Arc<Histogram>> {
        self.newest.get(&series.slot).filter(|(id, _)| *id == series.id).map(|(_, histogram)| histogram)
    }

    /// The marker for the end of a series whose newest sample is a histogram.
    pub(super) fn marker(&self, series: &MemSeries) -> Arc<Histogram> {
        let is_float = self.newest(series).is_some_and(|newest| newest.is_float());
        Arc::new(Histogram::without_observations(f64::from_bits(STALE_NAN_BITS), is_float))
    }
}

/// A sample that was accepted, on its way into the log.
struct Accepted<'a> {
    series: &'a Arc<MemSeries>,
    point: HistogramPoint,
    /// The tip as it was before.
    before: Tip,
}

impl Inner {
    pub(super) fn append_histograms(
        &self,
        samples: &[HistogramSample],
        now_ms: i64,
    ) -> Result<Vec<Outcome>, AppendError> {
        let mut outcomes = Vec::with_capacity(samples.len());
        while let Some(rest) = samples.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
            let mut commit = self.commit();
            let times = self.accepted_times(now_ms);
            self.append_histograms_batch(&mut commit, rest, &times, &mut outcomes)?;
        }
        self.relieve(now_ms);
        Ok(outcomes)
    }

    /// Appends as many of them as fit into one record of the log.
    pub(super) fn append_histograms_batch(
        &self,
        commit: &mut Commit,
        samples: &[HistogramSample],
        times: &AcceptedTimes,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), AppendError> {
        let rows = samples.iter().take(MAX_BATCH).map(|sample| (&sample.series, point_of(sample)));
        self.append_some_histograms(commit, rows, times, outcomes)
    }

    /// Ends series whose newest sample is a histogram: float markers came for them at these times. One outcome for each.
    pub(super) fn append_histogram_markers<'a>(
        &self,
        commit: &mut Commit,
        markers: impl Iterator<Item = (&'a SeriesRef, i64)>,
        times: &AcceptedTimes,
    ) -> Result<Vec<Outcome>, AppendError> {
        let rows: Vec<_> = markers
            .map(|(series, time)| {
                let histogram = commit.histograms.marker(&series.0);
                (series, HistogramPoint { time, start: 0, histogram })
            })
            .collect();
        let mut outcomes = Vec::with_capacity(rows.len());
        while outcomes.len() < rows.len() {
            let rest = rows[outcomes.len()..].iter().cloned();
            self.append_some_histograms(commit, rest, times, &mut outcomes)?;
        }
        Ok(outcomes)
    }

    /// Appends as many as fit into one record of the log, and answers an outcome for each of those.
    fn append_some_histograms<'a>(
        &self,
        commit: &mut Commit,
        rows: impl Iterator<Item = (&'a SeriesRef, HistogramPoint)>,
        times: &AcceptedTimes,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), AppendError> {
        commit.histograms.encoder.begin();
        let mut accepted: Vec<Accepted<'_>> = Vec::new();
        // The newest one of a series may be in this very batch.
        let mut newest: HashMap<u32, Arc<Histogram>> = HashMap::new();
        for (SeriesRef(series), point) in rows {
            if commit.histograms.encoder.is_full() {
                break;
            }
            let known = newest.get(&series.slot).or_else(|| commit.histograms.newest(series));
            outcomes.push(match judge(&commit.tips, series, &point, times, known) {
                Ok(before) => {
                    commit.histograms.encoder.push(series.id, &point);
                    commit.tips[series.slot as usize] = Tip::of_histogram(series.id, point.time);
                    newest.insert(series.slot, Arc::clone(&point.histogram));
                    accepted.push(Accepted { series, point, before });
                    Outcome::Stored
                }
                Err(outcome) => {
                    self.tally.count_refused(outcome);
                    outcome
                }
            });
        }
        if accepted.is_empty() {
            return Ok(());
        }
        let logged = match commit.histograms.encoder.finish() {
            Ok(record) => self.wal.append(record).map_err(AppendError::from),
            Err(source) => {
                let path = place::wal(&self.options.dir);
                Err(WalError::Io { action: "compress a record for", path, source }.into())
            }
        };
        if let Err(error) = logged {
            // Last first: of a series that is in the batch twice, the older state stays.
            for Accepted { series, before, .. } in accepted.into_iter().rev() {
                commit.tips[series.slot as usize] = before;
            }
            return Err(error);
        }
        let (mut oldest, mut latest, mut grown) = (i64::MAX, i64::MIN, 0);
        let n_stored = accepted.len() as u64;
        for Accepted { series, point, .. } in accepted {
            grown += series.lock().push_histogram(&point, commit.generation, self.options.block_ms);
            (oldest, latest) = (oldest.min(point.time), latest.max(point.time));
            commit.histograms.newest.insert(series.slot, (series.id, point.histogram));
        }
        self.head.stored(oldest, latest, n_stored, grown);
        self.tally.histograms_stored.add(n_stored);
        Ok(())
    }
}

/// Judges a histogram by the newest sample of its series; answers the tip that it replaces. `known` is that sample if it
/// is a histogram and known.
pub(super) fn judge(
    tips: &[Tip],
    series: &MemSeries,
    point: &HistogramPoint,
    times: &AcceptedTimes,
    known: Option<&Arc<Histogram>>,
) -> Result<Tip, Outcome> {
    times.judge(point.time)?;
    if point.histogram.validate().is_err() {
        return Err(Outcome::InvalidHistogram);
    }
    let tip = tips.get(series.slot as usize).filter(|tip| tip.id == series.id);
    let tip = *tip.ok_or(Outcome::SeriesDropped)?;
    if point.time > tip.time {
        return Ok(tip);
    }
    Err(if point.time < tip.time {
        Outcome::OutOfOrder
    } else if !tip.is_histogram() {
        Outcome::DuplicateOtherValue { existing: f64::from_bits(tip.bits) }
    } else {
        match known {
            Some(known) if !known.is_identical(&point.histogram) => {
                Outcome::DuplicateOtherValue { existing: known.sum }
            }
            // Where a restart forgot which histogram it was, it is a request that is repeated: most likely this one.
            _ => Outcome::Duplicate,
        }
    })
}

/// A sample as it is stored.
pub(super) fn point_of(sample: &HistogramSample) -> HistogramPoint {
    let HistogramSample { time_ms, start_ms, histogram, .. } = sample;
    HistogramPoint { time: *time_ms, start: *start_ms, histogram: normal(histogram) }
}

/// A marker has nothing but its sum, whatever else it came with.
fn normal(histogram: &Arc<Histogram>) -> Arc<Histogram> {
    if is_stale(histogram.sum) {
        Arc::new(Histogram::without_observations(histogram.sum, histogram.is_float()))
    } else {
        Arc::clone(histogram)
    }
}
