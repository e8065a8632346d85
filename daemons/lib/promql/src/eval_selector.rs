//! Instant selectors: the newest sample of each series inside the lookback window of every step.

use std::sync::Arc;

use crate::annotations::Notes;
use crate::answer::{EvalError, Sample};
use crate::ast::{Call, Extension, Span, VectorSelector};
use crate::batches::in_batches;
use crate::eval_duration;
use crate::eval_load::Reader;
use crate::evaluator::{Evaluator, Sink};
use crate::loaded::{Loaded, LoadedSeries, MaybeMarker, Samples};
use crate::parser_selector::METRIC_NAME;
use crate::selector_smoothed;
use crate::series::{ABSENT, Series, Steps, seconds};
use crate::source::is_stale;
use crate::watch::Watch;
use crate::windows::Placement;

impl<'a> Evaluator<'a> {
    /// The series read for a selector.
    pub(crate) fn loaded_series(&self, selector: &VectorSelector) -> Arc<Loaded> {
        self.loaded_by(Reader::selector(selector))
    }

    /// The info series read for a call of `info()`.
    pub(crate) fn loaded_infos(&self, call: &Call) -> Arc<Loaded> {
        self.loaded_by(Reader::Info(std::ptr::from_ref(call)))
    }

    fn loaded_by(&self, reader: Reader) -> Arc<Loaded> {
        Arc::clone(
            self.loaded
                .get(&reader)
                .expect("load() has read for every reader of the query, and the tree does not move"),
        )
    }

    /// Where the selector's windows lie; `range` is the lookback for an instant selector.
    pub(crate) fn placement(
        &self,
        selector: &VectorSelector,
        range: i64,
        steps: Steps,
    ) -> Result<Placement, EvalError> {
        let offset = match &selector.offset {
            Some(offset) => eval_duration::any_ms(offset, self.lengths)?,
            None => 0,
        };
        Ok(Placement { steps, range, offset, at: self.fixed_time(selector.at) })
    }

    /// Pushes the selected series.
    pub(crate) fn stream_selector(
        &mut self,
        selector: &VectorSelector,
        span: Span,
        steps: Steps,
        sink: Sink<'_, 'a>,
    ) -> Result<(), EvalError> {
        let placement = self.placement(selector, self.options.lookback_ms, steps)?;
        self.stream_picked(selector, span, steps, sink, |from, to, notes| {
            pick_values(selector.extension, from, &placement, to, notes);
        })
    }

    /// Pushes the selected series with the samples' own times, in seconds, as values: `timestamp(selector)`.
    pub(crate) fn stream_sample_times(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
        sink: Sink<'_, 'a>,
    ) -> Result<(), EvalError> {
        self.stream_of_newest(selector, steps, sink, |from, newest| match newest {
            Newest::Float(at) => from.floats.times[at],
            Newest::Histogram(at) => from.histograms.times[at],
        })
    }

    /// Pushes the selected series with the samples' start timestamps, in seconds, as values; 0 where none is known.
    pub(crate) fn stream_start_times(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
        sink: Sink<'_, 'a>,
    ) -> Result<(), EvalError> {
        self.stream_of_newest(selector, steps, sink, |from, newest| {
            let (starts, at) = match newest {
                Newest::Float(at) => (&from.floats.starts, at),
                Newest::Histogram(at) => (&from.histograms.starts, at),
            };
            starts.get(at).copied().unwrap_or(0)
        })
    }

    /// Pushes the selected series with what `time_ms` says of each sample, in seconds, as values.
    fn stream_of_newest(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
        sink: Sink<'_, 'a>,
        time_ms: impl Fn(&LoadedSeries, Newest) -> i64 + Sync,
    ) -> Result<(), EvalError> {
        let placement = self.placement(selector, self.options.lookback_ms, steps)?;
        // Nothing is noted, so it does not matter where.
        self.stream_picked(selector, Span::default(), steps, sink, |from, to, _| {
            pick_newest(from, &placement, |step, newest| to.values[step] = seconds(time_ms(from, newest)));
        })
    }

    /// `pick` fills in a series; what it notes is said of the selector at `span`.
    fn stream_picked(
        &mut self,
        selector: &VectorSelector,
        span: Span,
        steps: Steps,
        sink: Sink<'_, 'a>,
        pick: impl Fn(&LoadedSeries, &mut Series, &mut Notes) + Sync,
    ) -> Result<(), EvalError> {
        let loaded = self.loaded_series(selector);
        let watch = self.watch;
        let work = |one: &&LoadedSeries, (): &mut (), watch: &mut Watch<'a>| {
            let mut series = Series::floats(Arc::clone(&one.labels), false, vec![ABSENT; steps.n]);
            let mut notes = Notes::default();
            pick(one, &mut series, &mut notes);
            watch.tick(steps.n)?;
            let n_picked = series.n_picked();
            Ok((series, notes, n_picked))
        };
        in_batches(
            &loaded.list(),
            |_| steps.n,
            watch,
            || (),
            work,
            |(series, mut notes, n_picked)| {
                for note in notes.drain() {
                    self.annotations.note(note, series.labels.value(METRIC_NAME), span);
                }
                self.count_picked(&series, n_picked);
                if series.is_empty() { Ok(()) } else { sink(self, series) }
            },
        )
    }
}

impl LoadedSeries {
    /// The time of the newest sample at each step, milliseconds.
    pub(crate) fn newest_times(&self, placement: &Placement) -> Vec<Option<i64>> {
        let mut times = vec![None; placement.steps.n];
        pick_newest(self, placement, |step, newest| {
            times[step] = Some(match newest {
                Newest::Float(at) => self.floats.times[at],
                Newest::Histogram(at) => self.histograms.times[at],
            });
        });
        times
    }
}

/// Fills in a selected series, which has nothing yet.
pub(crate) fn pick_values(
    extension: Extension,
    from: &LoadedSeries,
    placement: &Placement,
    to: &mut Series,
    notes: &mut Notes,
) {
    if extension == Extension::Smoothed {
        selector_smoothed::fill(from, placement, to, notes);
    } else if from.histograms.times.is_empty() {
        pick_newest_float(&from.floats, placement, &mut to.values);
    } else {
        pick_newest(from, placement, |step, newest| match newest {
            Newest::Float(at) => to.values[step] = from.floats.values[at],
            Newest::Histogram(at) => to.put(step, Sample::Histogram(Arc::clone(&from.histograms.values[at]))),
        });
    }
}

/// Fills in, for each step, the newest number; nothing after a staleness marker.
fn pick_newest_float(samples: &Samples<f64>, placement: &Placement, out: &mut [f64]) {
    let times = &samples.times;
    let mut next = times.partition_point(|time| *time <= placement.end(0));
    for (index, out) in out.iter_mut().enumerate() {
        let end = placement.end(index);
        while next < times.len() && times[next] <= end {
            next += 1;
        }
        let Some(newest) = next.checked_sub(1) else { continue };
        if times[newest] > end.saturating_sub(placement.range) && !is_stale(samples.values[newest]) {
            *out = samples.values[newest];
        }
    }
}

/// Where the newest sample of a window is.
#[derive(Clone, Copy)]
enum Newest {
    Float(usize),
    Histogram(usize),
}

/// Hands out, for each step, which sample is the newest; nothing after a staleness marker of either kind.
fn pick_newest(series: &LoadedSeries, placement: &Placement, mut found: impl FnMut(usize, Newest)) {
    let (floats, histograms) = (&series.floats, &series.histograms);
    let (mut next_float, mut next_histogram) = (0, 0);
    for step in 0..placement.steps.n {
        let end = placement.end(step);
        let start = end.saturating_sub(placement.range);
        if step == 0 {
            next_float = floats.times.partition_point(|time| *time <= end);
            next_histogram = histograms.times.partition_point(|time| *time <= end);
        }
        while floats.times.get(next_float).is_some_and(|time| *time <= end) {
            next_float += 1;
        }
        while histograms.times.get(next_histogram).is_some_and(|time| *time <= end) {
            next_histogram += 1;
        }
        let float = next_float.checked_sub(1).filter(|at| floats.times[*at] > start);
        let histogram = next_histogram.checked_sub(1).filter(|at| histograms.times[*at] > start);
        let is_histogram_newer = match (float, histogram) {
            (Some(float), Some(histogram)) => histograms.times[histogram] > floats.times[float],
            (_, histogram) => histogram.is_some(),
        };
        let newest = if is_histogram_newer {
            histogram.filter(|at| !histograms.values[*at].is_marker()).map(Newest::Histogram)
        } else {
            float.filter(|at| !floats.values[*at].is_marker()).map(Newest::Float)
        };
        if let Some(newest) = newest {
            found(step, newest);
        }
    }
}
