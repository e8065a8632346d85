//! Instant selectors: the newest sample of each series inside the lookback window of every step.

use std::sync::Arc;

use crate::answer::EvalError;
use crate::ast::{Extension, VectorSelector};
use crate::eval_duration;
use crate::eval_load::{Loaded, LoadedSeries};
use crate::evaluator::{Evaluator, Sink};
use crate::series::{ABSENT, Series, Steps, seconds};
use crate::source::is_stale;
use crate::windows::Placement;

impl<'a> Evaluator<'a> {
    /// The series read for a selector.
    pub(crate) fn loaded_series(&self, selector: &VectorSelector) -> Arc<Loaded> {
        Arc::clone(
            self.loaded
                .get(&std::ptr::from_ref(selector))
                .expect("load() has read every selector of the query, and the tree does not move"),
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
        steps: Steps,
        sink: Sink<'_, 'a>,
    ) -> Result<(), EvalError> {
        let placement = self.placement(selector, self.options.lookback_ms, steps)?;
        let is_smoothed = selector.extension == Extension::Smoothed;
        self.stream_picked(selector, steps, sink, |series, values| {
            if is_smoothed {
                smooth(series, &placement, values);
            } else {
                pick_newest(series, &placement, values, |series, at| series.values[at]);
            }
        })
    }

    /// Pushes the selected series with the samples' own times, in seconds, as values: `timestamp(selector)`.
    pub(crate) fn stream_sample_times(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
        sink: Sink<'_, 'a>,
    ) -> Result<(), EvalError> {
        let placement = self.placement(selector, self.options.lookback_ms, steps)?;
        self.stream_picked(selector, steps, sink, |series, values| {
            pick_newest(series, &placement, values, |series, at| seconds(series.times[at]));
        })
    }

    fn stream_picked(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
        sink: Sink<'_, 'a>,
        pick: impl Fn(&LoadedSeries, &mut [f64]),
    ) -> Result<(), EvalError> {
        let loaded = self.loaded_series(selector);
        for one in &loaded.series {
            let mut values = vec![ABSENT; steps.n];
            pick(one, &mut values);
            self.tick(steps.n)?;
            let series = Series { labels: Arc::clone(&one.labels), drops_name: false, values };
            if !series.is_empty() {
                sink(self, series)?;
            }
        }
        Ok(())
    }
}

/// Fills in, for each step, what `value` says of the newest sample; nothing after a staleness marker.
fn pick_newest(
    series: &LoadedSeries,
    placement: &Placement,
    out: &mut [f64],
    value: impl Fn(&LoadedSeries, usize) -> f64,
) {
    let times = &series.times;
    let mut next = times.partition_point(|time| *time <= placement.end(0));
    for (index, out) in out.iter_mut().enumerate() {
        let end = placement.end(index);
        while next < times.len() && times[next] <= end {
            next += 1;
        }
        let Some(newest) = next.checked_sub(1) else { continue };
        if times[newest] > end.saturating_sub(placement.range) && !is_stale(series.values[newest]) {
            *out = value(series, newest);
        }
    }
}

/// Fills in the value interpolated between the samples before and after each step, where both lie within the
/// lookback; the older one alone where there is none behind.
fn smooth(series: &LoadedSeries, placement: &Placement, out: &mut [f64]) {
    let (times, values) = match &series.unmarked {
        Some((times, values)) => (times, values),
        None => (&series.times, &series.values),
    };
    for (index, out) in out.iter_mut().enumerate() {
        let end = placement.end(index);
        let next = times.partition_point(|time| *time <= end);
        let before = next.checked_sub(1).filter(|at| times[*at] > end.saturating_sub(placement.range));
        let after =
            Some(next).filter(|at| *at < times.len() && times[*at] <= end.saturating_add(placement.range));
        *out = match (before, after) {
            (Some(before), _) if times[before] == end => values[before],
            (Some(before), Some(after)) => {
                let share = seconds(end - times[before]) / seconds(times[after] - times[before]);
                values[before] + (values[after] - values[before]) * share
            }
            (Some(before), None) => values[before],
            (None, _) => ABSENT,
        };
    }
}
