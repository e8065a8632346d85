//! How a native histogram is judged. The rules are those of floats, and a series may have both, at different times.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use cairn_model::Histogram;
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS, is_stale};

use super::write::AcceptedTimes;
use crate::append::{HistogramSample, Outcome};
use crate::series::{MemSeries, Tip};
use crate::wal_record::HistogramsEncoder;

/// Room for so many histograms of a unit is kept for the next one.
const MAX_KEPT: usize = 1000;

/// By slot, with the series' id: the newest sample where that is a histogram.
pub(super) type NewestHistograms = HashMap<u32, (u64, Arc<Histogram>)>;

/// What appending histograms needs beside the tips.
#[derive(Debug)]
pub(super) struct HistogramCommit {
    /// Of some it is missing after a restart: those whose log is gone, and whose checkpoint was of a version before 3.
    newest: NewestHistograms,
    /// Those that the unit brings which is being appended.
    of_unit: NewestHistograms,
    /// The open record of that unit.
    encoder: HistogramsEncoder,
}

impl HistogramCommit {
    /// `newest`: what a start found.
    pub(super) fn new(newest: NewestHistograms) -> io::Result<Self> {
        Ok(Self { newest, of_unit: NewestHistograms::new(), encoder: HistogramsEncoder::new()? })
    }

    /// Forgets histograms that are no longer the newest sample of their series.
    pub(super) fn tidy(&mut self, tips: &[Tip]) {
        self.newest.retain(|&slot, (id, _)| {
            tips.get(slot as usize).is_some_and(|tip| tip.id == *id && tip.is_histogram())
        });
    }

    pub(super) fn newest(&self, series: &MemSeries) -> Option<&Arc<Histogram>> {
        let known = self.of_unit.get(&series.slot).or_else(|| self.newest.get(&series.slot));
        known.filter(|(id, _)| *id == series.id).map(|(_, histogram)| histogram)
    }

    /// All of them; to be called between units.
    pub(super) fn all_newest(&self) -> &NewestHistograms {
        &self.newest
    }

    /// A unit begins.
    pub(super) fn begin(&mut self) {
        self.encoder.begin();
        self.of_unit.clear();
    }

    /// Adds the next sample of a series to the open record.
    pub(super) fn push(&mut self, series: &MemSeries, point: &HistogramPoint) {
        self.encoder.push(series.id, point);
        self.of_unit.insert(series.slot, (series.id, Arc::clone(&point.histogram)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.encoder.is_empty()
    }

    /// Whether the next sample is to go into another record.
    pub(super) fn is_full(&self) -> bool {
        self.encoder.is_full()
    }

    /// Closes the record; the next one is empty.
    pub(super) fn finish(&mut self) -> io::Result<&[u8]> {
        self.encoder.finish()
    }

    /// The unit is stored.
    pub(super) fn keep_newest(&mut self) {
        self.newest.extend(self.of_unit.drain());
        self.of_unit.shrink_to(MAX_KEPT);
    }

    /// The unit is not.
    pub(super) fn forget_newest(&mut self) {
        self.of_unit = NewestHistograms::new();
    }

    /// The marker for the end of a series whose newest sample is a histogram.
    pub(super) fn marker(&self, series: &MemSeries) -> Arc<Histogram> {
        let is_float = self.newest(series).is_some_and(|newest| newest.is_float());
        Arc::new(Histogram::without_observations(f64::from_bits(STALE_NAN_BITS), is_float))
    }
}

/// Judges a histogram by the newest sample of its series. `known` is that sample if it is a histogram and known.
pub(super) fn judge(
    tips: &[Tip],
    series: &MemSeries,
    point: &HistogramPoint,
    times: &AcceptedTimes,
    known: Option<&Arc<Histogram>>,
) -> Result<(), Outcome> {
    times.judge(point.time)?;
    if point.histogram.validate().is_err() {
        return Err(Outcome::InvalidHistogram);
    }
    let tip = tips.get(series.slot as usize).filter(|tip| tip.id == series.id);
    let tip = tip.ok_or(Outcome::SeriesDropped)?;
    if point.time > tip.time {
        return Ok(());
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
            // Where an old checkpoint forgot which histogram it was, it is a request that is repeated: most likely this one.
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
