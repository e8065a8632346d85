//! A store in memory that gives histograms the hints that Prometheus's store would.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::histogram::ResetHint;
use cairn_model::{FloatHistogram, Histogram, Labels};
use cairn_promql::source::{HistogramPoint, is_stale};
use cairn_promql::{SampleSource, Selection, SeriesData, SourceError};

use crate::classic;
use crate::notation::{self, Line, Slot};

/// A sample and its start timestamp, 0 where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) value: StoredValue,
    start: i64,
}

#[derive(Clone, Debug)]
pub(crate) enum StoredValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// Samples by time.
pub(crate) type Samples = BTreeMap<i64, Stored>;

#[derive(Default)]
pub(crate) struct Store {
    series: BTreeMap<Labels, Samples>,
}

impl Stored {
    pub(crate) fn without_start(value: StoredValue) -> Self {
        Self { value, start: 0 }
    }
}

impl Store {
    /// `with_nhcb`: adds a histogram with custom buckets for each classic one.
    pub(crate) fn load(&mut self, step_ms: i64, lines: &[String], with_nhcb: bool) {
        let mut batch: BTreeMap<Labels, Samples> = BTreeMap::new();
        let mut starts: BTreeMap<Labels, Vec<Option<i64>>> = BTreeMap::new();
        for line in lines {
            match notation::line(line) {
                Line::Starts(labels, list) => {
                    starts.insert(labels, list);
                }
                Line::Samples(labels, slots) => {
                    let starts = starts.remove(&labels).unwrap_or_default();
                    let samples = slots.into_iter().enumerate().filter_map(|(index, slot)| {
                        let time = step_ms * i64::try_from(index).unwrap();
                        let start = starts.get(index).copied().flatten().map_or(0, |after| time + after);
                        let value = match slot {
                            Slot::Empty => return None,
                            Slot::Value(value) => StoredValue::Float(value),
                            Slot::Histogram(written) => StoredValue::Histogram(written.histogram),
                        };
                        Some((time, Stored { value, start }))
                    });
                    batch.insert(labels, samples.collect());
                }
            }
        }
        if with_nhcb {
            let converted = classic::convert(&batch);
            batch.extend(converted);
        }
        for (labels, samples) in batch {
            self.series.entry(labels).or_default().extend(samples);
        }
    }
}

impl SampleSource for Store {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let selected = self
            .series
            .iter()
            .filter(|(labels, _)| selection.matchers.iter().all(|matcher| matcher.matches_labels(labels)));
        Ok(selected
            .map(|(labels, samples)| {
                let mut data = SeriesData { labels: Arc::new(labels.clone()), ..SeriesData::default() };
                let mut chunk: Option<Arc<FloatHistogram>> = None;
                for (time, stored) in samples {
                    let is_wanted = (selection.start.0..=selection.end.0).contains(time);
                    match &stored.value {
                        StoredValue::Float(value) => {
                            chunk = None;
                            if is_wanted {
                                data.times.push(*time);
                                data.values.push(*value);
                                data.starts.push(stored.start);
                            }
                        }
                        StoredValue::Histogram(histogram) => {
                            let reset_hint = hint(chunk.as_deref(), histogram);
                            chunk = Some(Arc::clone(histogram));
                            if is_wanted {
                                let stored_as = Histogram::from(&**histogram);
                                let histogram = Arc::new(Histogram { reset_hint, ..stored_as });
                                data.histograms.push(HistogramPoint {
                                    time: *time,
                                    start: stored.start,
                                    histogram,
                                });
                            }
                        }
                    }
                }
                data
            })
            .filter(|data| !data.times.is_empty() || !data.histograms.is_empty())
            .collect())
    }
}

/// Prometheus's store puts the histograms of a counter into one chunk until there is a reset or another layout, and says
/// "no reset" for all of a chunk but the first; of that one it says that it does not know.
fn hint(previous: Option<&FloatHistogram>, histogram: &FloatHistogram) -> ResetHint {
    if histogram.reset_hint == ResetHint::Gauge {
        return ResetHint::Gauge;
    }
    let continues = previous.is_some_and(|previous| {
        previous.reset_hint != ResetHint::Gauge
            && !is_stale(previous.sum)
            && histogram.reset_hint != ResetHint::Reset
            && histogram.schema == previous.schema
            && histogram.zero_threshold == previous.zero_threshold
            && histogram.has_same_bounds(previous)
            && !FloatHistogram { reset_hint: ResetHint::Unknown, ..histogram.clone() }
                .is_reset_since(previous)
    });
    if continues { ResetHint::NoReset } else { ResetHint::Unknown }
}
