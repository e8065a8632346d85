//! Appending a request whole: everything of it, or nothing.
//!
//! All of it is judged first, as if each sample had been stored before the next one, and then appended as ever, without
//! letting go of the lock in between: so the second judgement is the first one again.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::Histogram;
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS};

use super::Inner;
use super::histograms::{self, point_of};
use super::write::{AcceptedTimes, Commit, LOOK_AHEAD, normal_bits};
use crate::append::{AppendError, HistogramSample, Outcome, SampleOf, WholeOutcomes};
use crate::series::{MemSeries, SeriesRef, Tip};
use crate::wal_record::MAX_BATCH;

/// The newest samples that are histograms, of those that the request itself brings, by slot.
type NewestOfRequest = HashMap<u32, Arc<Histogram>>;

impl Inner {
    pub(super) fn append_whole(
        &self,
        samples: &[SampleOf<'_>],
        histograms: &[HistogramSample],
        now_ms: i64,
    ) -> Result<WholeOutcomes, AppendError> {
        let mut commit = self.commit();
        let times = self.accepted_times(now_ms);
        let judged = judge_whole(&mut commit, samples, histograms, &times);
        if !judged.is_kept() {
            for outcome in judged.samples.iter().chain(&judged.histograms) {
                self.tally.count_refused(*outcome);
            }
            return Ok(judged);
        }
        let mut stored = WholeOutcomes::with_capacity(samples.len(), histograms.len());
        for batch in samples.chunks(MAX_BATCH) {
            self.append_batch(&mut commit, batch, &times, &mut stored.samples)?;
        }
        while let Some(rest) = histograms.get(stored.histograms.len()..).filter(|rest| !rest.is_empty()) {
            self.append_histograms_batch(&mut commit, rest, &times, &mut stored.histograms)?;
        }
        drop(commit);
        self.relieve(now_ms);
        Ok(stored)
    }
}

/// What would become of each one. Leaves everything as it was.
fn judge_whole(
    commit: &mut Commit,
    samples: &[SampleOf<'_>],
    histograms: &[HistogramSample],
    times: &AcceptedTimes,
) -> WholeOutcomes {
    commit.begin_judging();
    let mut outcomes = WholeOutcomes::with_capacity(samples.len(), histograms.len());
    let mut newest = NewestOfRequest::new();
    for (index, sample) in samples.iter().enumerate() {
        if let Some(later) = samples.get(index + LOOK_AHEAD) {
            later.series.0.prefetch();
        }
        let outcome = judge_float(commit, sample, times, &mut newest, samples, &outcomes.samples);
        outcomes.samples.push(outcome);
    }
    for sample in histograms {
        let SeriesRef(series) = &sample.series;
        outcomes.histograms.push(judge_histogram(commit, series, point_of(sample), times, &mut newest));
    }
    commit.take_back();
    outcomes
}

/// `all` are the floats of the request, `before` what becomes of those before this one.
fn judge_float(
    commit: &mut Commit,
    sample: &SampleOf<'_>,
    times: &AcceptedTimes,
    newest: &mut NewestOfRequest,
    all: &[SampleOf<'_>],
    before: &[Outcome],
) -> Outcome {
    let (SeriesRef(series), time, bits) = (sample.series, sample.time_ms, normal_bits(sample.value));
    if let Err(outcome) = times.judge(time) {
        return outcome;
    }
    if bits == STALE_NAN_BITS && commit.ends_histograms(series, time) {
        let point = HistogramPoint { time, start: 0, histogram: commit.histograms.marker(series) };
        return judge_histogram(commit, series, point, times, newest);
    }
    match commit.judge(series, time, bits) {
        Ok(_) => {
            commit.replace_tip(series.slot, Tip { time, bits, ..Tip::of(series.id) });
            Outcome::Stored
        }
        Err(Outcome::OutOfOrder) => match times.late_from {
            Some(from) if time < from => Outcome::BeforeWindow,
            Some(_) => commit.late.judge(series, time, bits, all, before),
            None => Outcome::OutOfOrder,
        },
        Err(outcome) => outcome,
    }
}

fn judge_histogram(
    commit: &mut Commit,
    series: &Arc<MemSeries>,
    point: HistogramPoint,
    times: &AcceptedTimes,
    newest: &mut NewestOfRequest,
) -> Outcome {
    let known = newest.get(&series.slot).or_else(|| commit.histograms.newest(series));
    match histograms::judge(&commit.tips, series, &point, times, known) {
        Ok(_) => {
            commit.replace_tip(series.slot, Tip::of_histogram(series.id, point.time));
            newest.insert(series.slot, point.histogram);
            Outcome::Stored
        }
        Err(outcome) => outcome,
    }
}
