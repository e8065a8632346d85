//! Samples that a query looks at: all steps together always, each step alone for whoever asks what a query costs.
//!
//! Two numbers, as Prometheus has them. *Queryable*: what the step would look at if it were evaluated alone, so that a
//! sample counts in every window that it lies in. *Read*: of a range vector's windows only what the step before did not
//! have. A native histogram counts as several samples.

use crate::answer::{EvalError, Options, SampleCounts};
use crate::ast::{Expr, Extension, VectorSelector};
use crate::eval_range_vector::{Buffers, RangeSeries};
use crate::evaluator::{Evaluator, Sink};
use crate::loaded::Loaded;
use crate::series::{Series, Steps, is_absent};
use crate::windows::{Placement, Windows};

/// The counts of one evaluation, or of one inside of it: a subquery's, or that of what is the same at each step.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    steps: Steps,
    /// One for each step; for an evaluation inside of another, and where nobody asks for steps, one for all of them.
    queryable: Vec<u64>,
    /// One for each step; none where nobody asks for them.
    read: Vec<u64>,
    /// Of `queryable`'s kind: of the subqueries inside.
    of_subqueries: u64,
}

impl Counts {
    /// Nothing yet, for each step or for all together.
    pub(crate) fn wanted(options: &Options<'_>, steps: Steps) -> Self {
        let n = if options.count_samples { steps.n } else { 0 };
        Self { steps, queryable: vec![0; n.max(1)], read: vec![0; n], of_subqueries: 0 }
    }

    fn inside(steps: Steps, has_steps: bool) -> Self {
        let read = vec![0; if has_steps { steps.n } else { 0 }];
        Self { steps, queryable: vec![0], read, of_subqueries: 0 }
    }

    /// Whether each step counts for itself.
    pub(crate) fn has_steps(&self) -> bool {
        !self.read.is_empty()
    }

    fn add(&mut self, step: usize, queryable: usize, read: usize) {
        self.add_many(step, queryable as u64, read as u64);
    }

    fn add_many(&mut self, step: usize, queryable: u64, read: u64) {
        let of_all = self.queryable.len() - 1;
        self.queryable[step.min(of_all)] += queryable;
        if let Some(of_step) = self.read.get_mut(step) {
            *of_step += read;
        }
    }

    /// What all steps look at together.
    pub(crate) fn total(&self) -> u64 {
        self.queryable.iter().sum()
    }

    /// Adds what was evaluated once because it is the same at each step.
    pub(crate) fn absorb_invariant(&mut self, inner: &Self) {
        let queryable = inner.total();
        let of_all = self.queryable.len() == 1;
        let n_times = if of_all { self.steps.n as u64 } else { 1 };
        self.queryable.iter_mut().for_each(|count| *count += queryable * n_times);
        if let Some(first) = self.read.first_mut() {
            *first += inner.read.iter().sum::<u64>();
        }
    }

    /// Adds what a subquery read, each of its steps to the first step of this evaluation that uses it. One that lies
    /// between the windows, which are `range` long, is used by none. An instant query uses all of it.
    pub(crate) fn absorb_subquery(&mut self, inner: &Self, offset: i64, range: i64) {
        self.of_subqueries += inner.queryable.iter().sum::<u64>();
        let last = self.steps.n - 1;
        for (index, read) in inner.read.iter().enumerate().filter(|(_, read)| **read > 0) {
            let time = inner.steps.time(index).saturating_add(offset);
            let behind = time.saturating_sub(self.steps.start).max(0).unsigned_abs();
            let step = behind.div_ceil(self.steps.step.unsigned_abs());
            let step = usize::try_from(step).unwrap_or(last).min(last);
            if last == 0 || time > self.steps.time(step).saturating_sub(range) {
                self.read[step] += read;
            }
        }
    }
}

impl Counts {
    /// What each step looked at, where that was asked for.
    pub(crate) fn by_step(self) -> Option<SampleCounts> {
        self.has_steps().then_some(SampleCounts { queryable: self.queryable, read: self.read })
    }
}

impl Series {
    /// What its steps look at together, if each has what was selected for it: a native histogram counts as several.
    pub(crate) fn n_picked(&self) -> u64 {
        let n_floats = self.values.iter().filter(|value| !is_absent(**value)).count();
        let of_histograms = self.histograms.iter().map(|(_, histogram)| histogram.n_samples());
        (n_floats + of_histograms.sum::<usize>()) as u64
    }
}

impl<'a> Evaluator<'a> {
    /// Counts the samples of a selected series, one for each step that has one; `n_picked` are [all](Series::n_picked).
    pub(crate) fn count_picked(&mut self, series: &Series, n_picked: u64) {
        if !self.counts.has_steps() {
            return self.count_picked_total(n_picked);
        }
        for (step, _) in series.values.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
            self.counts.add(step, 1, 1);
        }
        for (step, histogram) in series.histograms.iter() {
            self.counts.add(step, histogram.n_samples(), histogram.n_samples());
        }
    }

    /// Counts the samples of selected series, where nobody asks for steps.
    pub(crate) fn count_picked_total(&mut self, n_picked: u64) {
        self.counts.queryable[0] += n_picked;
    }

    /// Counts a sample for each step that has one.
    pub(crate) fn count_present(&mut self, present: impl Iterator<Item = bool>) {
        let counts = &mut self.counts;
        for (step, _) in present.enumerate().filter(|(_, is_present)| *is_present) {
            counts.add(step, 1, 1);
        }
    }

    /// Counts what the windows of a range selector hold together, where nobody asks for steps.
    pub(crate) fn count_range_total(&mut self, selector: &VectorSelector, n_samples: u64) {
        if !self.counts.has_steps() && selector.extension == Extension::None {
            self.counts.queryable[0] += n_samples;
        }
    }

    /// Counts the windows of all series of a range selector, where somebody asks for steps or neighbours of windows count.
    pub(crate) fn count_ranges(
        &mut self,
        selector: &VectorSelector,
        placement: &Placement,
        loaded: &Loaded,
    ) -> Result<(), EvalError> {
        if !self.counts.has_steps() && selector.extension == Extension::None {
            return Ok(());
        }
        let mut buffers = Buffers::default();
        for one in loaded.iter() {
            let (floats, histograms) = (one.floats.column(), one.histograms.column());
            let series = buffers.place(&one.labels, false, floats, histograms, placement);
            self.count_windows(selector, placement, &series);
            self.tick(floats.times.len() + placement.steps.n)?;
        }
        Ok(())
    }

    fn count_windows(&mut self, selector: &VectorSelector, placement: &Placement, series: &RangeSeries<'_>) {
        let lookback = self.options.lookback_ms;
        let (before, after) = match selector.extension {
            Extension::None => return self.count_windows_of(series.windows, series, true),
            Extension::Anchored => (lookback, 0),
            Extension::Smoothed => (lookback, lookback),
        };
        // Neighbours behind the borders are looked at as well. There are no histograms beside borders.
        let wider = Placement {
            range: placement.range.saturating_add(before).saturating_add(after),
            offset: placement.offset.saturating_sub(after),
            ..*placement
        };
        let mut borders = Vec::new();
        wider.borders(series.column.times, &mut borders);
        self.count_windows_of(Windows::new(wider, &borders), series, true);
    }

    /// Counts the windows over a series of a subquery, whose samples have been read, and counted, inside.
    pub(crate) fn count_subquery_windows(&mut self, series: &RangeSeries<'_>) {
        self.count_windows_of(series.windows, series, false);
    }

    fn count_windows_of(&mut self, windows: Windows<'_>, series: &RangeSeries<'_>, is_read: bool) {
        let counts = &mut self.counts;
        let mut before = 0;
        for window in windows.iter() {
            let new = window.hi - before.max(window.lo).min(window.hi);
            counts.add(window.index, window.len(), if is_read { new } else { 0 });
            before = window.hi;
        }
        if series.histograms.is_empty() {
            return;
        }
        let sizes = series.histograms.sizes();
        before = 0;
        for window in series.histograms.windows().iter() {
            let new = sizes[window.hi] - sizes[before.max(window.lo).min(window.hi)];
            counts.add_many(window.index, sizes[window.hi] - sizes[window.lo], if is_read { new } else { 0 });
            before = window.hi;
        }
    }

    /// A subquery that is a whole query counts what is looked at inside, since nothing looks at its windows.
    pub(crate) fn count_bare_subquery(&mut self) {
        self.counts.queryable[0] = self.counts.of_subqueries;
    }

    /// [`stream`](Self::stream) at steps of its own, with counts of its own.
    pub(crate) fn stream_inside(
        &mut self,
        expr: &'a Expr,
        steps: Steps,
        sink: Sink<'_, 'a>,
    ) -> Result<Counts, EvalError> {
        let own = Counts::inside(steps, self.counts.has_steps());
        let mut others = std::mem::replace(&mut self.counts, own);
        let streamed = self.stream(expr, steps, &mut |evaluator, series| {
            // Who takes the series counts at the steps outside.
            std::mem::swap(&mut evaluator.counts, &mut others);
            let taken = sink(evaluator, series);
            std::mem::swap(&mut evaluator.counts, &mut others);
            taken
        });
        let inner = std::mem::replace(&mut self.counts, others);
        streamed.map(|()| inner)
    }
}
