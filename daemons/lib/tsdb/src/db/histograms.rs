//! How a native histogram is judged. The rules are those of floats, and a series may have both, at different times. Late ones are
//! judged in `db/late.rs`.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use cairn_model::Histogram;
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS, is_stale};

use super::write::AcceptedTimes;
use crate::append::{HistogramSample, Outcome};
use crate::series::{MemSeries, Tip};
use crate::wal_record::{HistogramsEncoder, TAG_HISTOGRAMS, TAG_LATE_HISTOGRAMS, UnitEncoder};

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
    /// That of its late ones.
    late: HistogramsEncoder,
}

impl HistogramCommit {
    /// `newest`: what a start found.
    pub(super) fn new(newest: NewestHistograms) -> io::Result<Self> {
        let encoder = HistogramsEncoder::new(TAG_HISTOGRAMS)?;
        let late = HistogramsEncoder::new(TAG_LATE_HISTOGRAMS)?;
        Ok(Self { newest, of_unit: NewestHistograms::new(), encoder, late })
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

    /// What the newest sample is now, between units, where that is a histogram.
    pub(super) fn set_newest(&mut self, series: &MemSeries, histogram: Option<Arc<Histogram>>) {
        match histogram {
            Some(histogram) => self.newest.insert(series.slot, (series.id, histogram)),
            None => self.newest.remove(&series.slot),
        };
    }

    /// A unit begins.
    pub(super) fn begin(&mut self) {
        self.encoder.begin();
        self.late.begin();
        self.of_unit.clear();
    }

    /// Adds the next sample of a series to the open record.
    pub(super) fn push(&mut self, series: &MemSeries, point: &HistogramPoint) {
        self.encoder.push(series.id, point);
        self.of_unit.insert(series.slot, (series.id, Arc::clone(&point.histogram)));
    }

    /// Adds one that is not the newest of its series to the open record of such.
    pub(super) fn push_late(&mut self, series: &MemSeries, point: &HistogramPoint) {
        self.late.push(series.id, point);
    }

    /// Whether the open record of those that came in order is.
    pub(super) fn is_empty(&self) -> bool {
        self.encoder.is_empty()
    }

    /// Whether the next sample is to go into other records.
    pub(super) fn is_full(&self) -> bool {
        self.encoder.is_full() || self.late.is_full()
    }

    /// Closes the open records; the next ones are empty.
    pub(super) fn close(&mut self, unit: &mut UnitEncoder) -> io::Result<()> {
        for encoder in [&mut self.encoder, &mut self.late] {
            if !encoder.is_empty() {
                unit.push(encoder.finish()?);
            }
        }
        Ok(())
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
