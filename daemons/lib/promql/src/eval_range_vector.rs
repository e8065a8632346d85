//! Range vectors: hands each series' samples and windows to a function.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_model::histogram::ResetHint;
use cairn_model::{FloatHistogram, Labels};

use crate::answer::EvalError;
use crate::ast::{Expr, ExprKind};
use crate::batches::in_batches;
use crate::eval_duration;
use crate::evaluator::Evaluator;
use crate::histogram_column::HistogramColumn;
use crate::loaded::LoadedSeries;
use crate::series::{Steps, is_absent};
use crate::times::are_equal;
use crate::watch::Watch;
use crate::window_runs::Runs;
use crate::windows::{Borders, Column, Placement, Windows};

/// One series of a range vector.
pub(crate) struct RangeSeries<'s> {
    pub(crate) labels: &'s Arc<Labels>,
    /// With delayed name removal: the name goes at the end of the query.
    pub(crate) drops_name: bool,
    /// The numbers.
    pub(crate) column: Column<'s>,
    pub(crate) windows: Windows<'s>,
    /// Numbers of all windows together, each window for itself.
    n_floats: u64,
    /// The native histograms, with windows of their own.
    pub(crate) histograms: HistogramColumn<'s>,
}

impl RangeSeries<'_> {
    /// Samples of all windows together, each window for itself; a native histogram counts as several.
    pub(crate) fn n_in_windows(&self) -> u64 {
        if self.histograms.is_empty() {
            return self.n_floats;
        }
        let sizes = self.histograms.sizes();
        let of_histograms =
            self.histograms.windows().iter().map(|window| sizes[window.hi] - sizes[window.lo]);
        self.n_floats + of_histograms.sum::<u64>()
    }

    /// Whether the window of a step holds any sample.
    pub(crate) fn has_samples(&self, index: usize) -> bool {
        self.windows.get(index).is_some_and(|window| window.len() > 0)
            || self.histograms.in_window(index).is_some()
    }
}

impl<'a> Evaluator<'a> {
    /// Hands what `work` makes of each series of a range vector, with its windows, to `sink`, in order; also of series
    /// without samples in any window. The work is done on all cores.
    pub(crate) fn map_ranges<T: Send>(
        &mut self,
        expr: &'a Expr,
        steps: Steps,
        work: impl Fn(&RangeSeries<'_>, &mut Watch<'a>) -> Result<T, EvalError> + Sync,
        mut sink: impl FnMut(&mut Self, T) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        match &expr.unwrap_parens().kind {
            ExprKind::Matrix(matrix) => {
                let range = eval_duration::positive_ms(&matrix.range, self.lengths)?;
                let placement = self.placement(&matrix.selector, range, steps)?;
                let loaded = self.loaded_series(&matrix.selector);
                self.count_ranges(&matrix.selector, &placement, &loaded)?;
                let n_samples = AtomicU64::new(0);
                in_batches(
                    &loaded.list(),
                    |one| weight(one, steps.n),
                    self.watch,
                    Buffers::default,
                    |one, buffers, watch| {
                        let one: &LoadedSeries = one;
                        let (floats, histograms) = (one.floats.column(), one.histograms.column());
                        watch.tick(floats.times.len() + histograms.times.len() + steps.n)?;
                        let placed = buffers.place(&one.labels, false, floats, histograms, &placement);
                        n_samples.fetch_add(placed.n_in_windows(), Ordering::Relaxed);
                        work(&placed, watch)
                    },
                    |made| sink(self, made),
                )?;
                self.count_range_total(&matrix.selector, n_samples.into_inner());
                Ok(())
            }
            ExprKind::Subquery(subquery) => {
                let placement = crate::eval_subquery::placement(self, subquery, steps)?;
                let inner = crate::eval_subquery::inner_steps(self, subquery, steps)?;
                if inner.n == 0 {
                    return Ok(());
                }
                let (mut times, mut values) = (Vec::new(), Vec::new());
                let mut histogram_times = Vec::new();
                let mut histograms: Vec<Arc<FloatHistogram>> = Vec::new();
                let counted = self.stream_inside(&subquery.expr, inner, &mut |evaluator, series| {
                    times.clear();
                    values.clear();
                    histogram_times.clear();
                    histograms.clear();
                    for (index, histogram) in series.histograms.iter() {
                        histogram_times.push(inner.time(index));
                        histograms.push(without_hint(histogram));
                    }
                    for (index, value) in series.values.iter().enumerate() {
                        if !is_absent(*value) {
                            times.push(inner.time(index));
                            values.push(*value);
                        }
                    }
                    let n_samples = series.n_samples();
                    evaluator.hold(n_samples)?;
                    evaluator.tick(times.len() + steps.n)?;
                    let (floats, histograms) =
                        (Column::new(&times, &values), Column::new(&histogram_times, &histograms));
                    let mut buffers = Buffers::default();
                    let placed =
                        buffers.place(&series.labels, series.drops_name, floats, histograms, &placement);
                    evaluator.count_subquery_windows(&placed);
                    let made = work(&placed, &mut evaluator.watch)?;
                    sink(evaluator, made)?;
                    evaluator.release(n_samples);
                    Ok(())
                })?;
                self.counts.absorb_subquery(&counted, placement.offset, placement.range);
                Ok(())
            }
            _ => Err(EvalError::Execution(format!(
                "expected a range vector at {}:{}, found {}",
                expr.span.line,
                expr.span.column,
                expr.value_type().documented()
            ))),
        }
    }
}

/// Samples that are looked at, and values that may come of it; a histogram counts as so many as it has buckets.
pub(crate) fn weight(series: &LoadedSeries, n_steps: usize) -> usize {
    let histograms = &series.histograms.values;
    let of_histograms =
        histograms.first().map_or(0, |first| first.n_samples()) * (histograms.len() + n_steps);
    series.floats.times.len() + n_steps + of_histograms
}

/// Most columns whose borders are remembered, a power of two. A target's series have the same times, and they do not always
/// come one after the other: a query has series of so many targets often enough.
const MAX_KNOWN: usize = 512;

/// The borders of all columns that are remembered are no more than this: eight megabytes.
const MAX_KNOWN_BORDERS: usize = 1 << 20;

/// Memory for windows, kept from series to series.
#[derive(Default)]
pub(crate) struct Buffers<'i> {
    /// Places in pairs; a column can be in either of its [`pair`].
    known: Vec<Option<Known<'i>>>,
    histograms: Vec<Borders>,
}

/// Where the windows over these times lie.
struct Known<'i> {
    times: &'i [i64],
    borders: Vec<Borders>,
    /// Samples of all windows together.
    n_samples: u64,
    runs: Runs,
}

/// The first of the two places, of `n_places`, where a column can be remembered.
fn pair(times: &[i64], n_places: usize) -> usize {
    let first = times.first().copied().unwrap_or(0).unsigned_abs();
    // Fibonacci hashing: the first times of targets differ by a few seconds in milliseconds.
    let mixed = (first ^ times.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (usize::try_from(mixed >> 32).unwrap_or(0) % n_places) & !1
}

/// Where the windows over a column lie: as remembered, or found now.
fn known<'s, 'i>(
    places: &'s mut Vec<Option<Known<'i>>>,
    times: &'i [i64],
    placement: &Placement,
) -> &'s Known<'i> {
    if places.is_empty() {
        let most = (MAX_KNOWN_BORDERS / placement.steps.n.max(1)).clamp(2, MAX_KNOWN);
        places.resize_with(1 << most.ilog2(), || None);
    }
    let first = pair(times, places.len());
    let is_it = |known: &Option<Known<'i>>| known.as_ref().is_some_and(|known| are_equal(known.times, times));
    let (at, is_known) = match &places[first..first + 2] {
        [one, _] if is_it(one) => (first, true),
        [_, other] if is_it(other) => (first + 1, true),
        [Some(_), None] => (first + 1, false),
        _ => (first, false),
    };
    let place = &mut places[at];
    let other = if is_known { None } else { place.take() };
    place.get_or_insert_with(|| {
        let mut borders = other.map_or_else(Vec::new, |other| other.borders);
        placement.borders(times, &mut borders);
        let n_samples = borders.iter().map(|(lo, hi)| u64::from(hi - lo)).sum();
        Known { times, borders, n_samples, runs: Runs::new() }
    })
}

impl<'i> Buffers<'i> {
    /// Places the windows of one query's selector. It must be the same `placement` for all series.
    pub(crate) fn place<'s>(
        &'s mut self,
        labels: &'s Arc<Labels>,
        drops_name: bool,
        column: Column<'i>,
        histograms: Column<'s, Arc<FloatHistogram>>,
        placement: &Placement,
    ) -> RangeSeries<'s> {
        self.histograms.clear();
        if !histograms.times.is_empty() {
            placement.borders(histograms.times, &mut self.histograms);
        }
        let Known { borders, runs, n_samples: n_floats, .. } =
            known(&mut self.known, column.times, placement);
        let of_histograms = Windows::new(*placement, &self.histograms);
        RangeSeries {
            labels,
            drops_name,
            column,
            windows: Windows::new(*placement, borders).with_runs(runs),
            n_floats: *n_floats,
            histograms: HistogramColumn::new(histograms, of_histograms),
        }
    }
}

/// A subquery leaves samples out, so that a hint does not tell about the sample before any more.
fn without_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.reset_hint {
        ResetHint::Unknown | ResetHint::Gauge => Arc::clone(histogram),
        ResetHint::Reset | ResetHint::NoReset => {
            Arc::new(FloatHistogram { reset_hint: ResetHint::Unknown, ..FloatHistogram::clone(histogram) })
        }
    }
}
