//! Range vectors: hands each series' samples and windows to a function.

use std::sync::Arc;

use cairn_model::histogram::ResetHint;
use cairn_model::{FloatHistogram, Labels};

use crate::answer::EvalError;
use crate::ast::{Expr, ExprKind};
use crate::eval_duration;
use crate::evaluator::Evaluator;
use crate::histogram_column::HistogramColumn;
use crate::series::{Steps, is_absent};
use crate::windows::{Column, Placement, Window};

/// One series of a range vector.
pub(crate) struct RangeSeries<'s> {
    pub(crate) labels: &'s Arc<Labels>,
    /// With delayed name removal: the name goes at the end of the query.
    pub(crate) drops_name: bool,
    /// The numbers.
    pub(crate) column: Column<'s>,
    pub(crate) windows: &'s [Window],
    /// The native histograms, with windows of their own.
    pub(crate) histograms: HistogramColumn<'s>,
}

impl RangeSeries<'_> {
    /// Whether the window of a step holds any sample.
    pub(crate) fn has_samples(&self, index: usize) -> bool {
        self.windows[index].len() > 0 || self.histograms.in_window(index).is_some()
    }
}

/// Takes the series of a range vector.
type RangeSink<'s, 'a> = &'s mut dyn FnMut(&mut Evaluator<'a>, &RangeSeries<'_>) -> Result<(), EvalError>;

impl<'a> Evaluator<'a> {
    /// Pushes each series of a range vector with its windows; also series without samples in any window.
    pub(crate) fn stream_ranges(
        &mut self,
        expr: &'a Expr,
        steps: Steps,
        sink: RangeSink<'_, 'a>,
    ) -> Result<Placement, EvalError> {
        let mut windows = Vec::with_capacity(steps.n);
        let mut histogram_windows = Vec::new();
        match &expr.unwrap_parens().kind {
            ExprKind::Matrix(matrix) => {
                let range = eval_duration::positive_ms(&matrix.range, self.lengths)?;
                let placement = self.placement(&matrix.selector, range, steps)?;
                let loaded = self.loaded_series(&matrix.selector);
                for one in &loaded.series {
                    let column = one.floats.column();
                    placement.windows(column.times, &mut windows);
                    let histograms = one.histograms.column();
                    histogram_windows.clear();
                    if !histograms.times.is_empty() {
                        placement.windows(histograms.times, &mut histogram_windows);
                    }
                    self.tick(column.times.len() + histograms.times.len() + steps.n)?;
                    let series = RangeSeries {
                        labels: &one.labels,
                        drops_name: false,
                        column,
                        windows: &windows,
                        histograms: HistogramColumn::new(histograms, &histogram_windows),
                    };
                    sink(self, &series)?;
                }
                Ok(placement)
            }
            ExprKind::Subquery(subquery) => {
                let placement = crate::eval_subquery::placement(self, subquery, steps)?;
                let inner = crate::eval_subquery::inner_steps(self, subquery, steps)?;
                if inner.n == 0 {
                    return Ok(placement);
                }
                let (mut times, mut values) = (Vec::new(), Vec::new());
                let mut histogram_times = Vec::new();
                let mut histograms: Vec<Arc<FloatHistogram>> = Vec::new();
                self.stream(&subquery.expr, inner, &mut |evaluator, series| {
                    times.clear();
                    values.clear();
                    histogram_times.clear();
                    histograms.clear();
                    histogram_windows.clear();
                    for (index, histogram) in series.histograms.iter() {
                        histogram_times.push(inner.time(index));
                        histograms.push(without_hint(histogram));
                    }
                    if !histogram_times.is_empty() {
                        placement.windows(&histogram_times, &mut histogram_windows);
                    }
                    for (index, value) in series.values.iter().enumerate() {
                        if !is_absent(*value) {
                            times.push(inner.time(index));
                            values.push(*value);
                        }
                    }
                    let n_samples = series.n_samples();
                    evaluator.hold(n_samples)?;
                    placement.windows(&times, &mut windows);
                    evaluator.tick(times.len() + steps.n)?;
                    let range_series = RangeSeries {
                        labels: &series.labels,
                        drops_name: series.drops_name,
                        column: Column::new(&times, &values),
                        windows: &windows,
                        histograms: HistogramColumn::new(
                            Column::new(&histogram_times, &histograms),
                            &histogram_windows,
                        ),
                    };
                    sink(evaluator, &range_series)?;
                    evaluator.release(n_samples);
                    Ok(())
                })?;
                Ok(placement)
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

/// A subquery leaves samples out, so that a hint does not tell about the sample before any more.
fn without_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.reset_hint {
        ResetHint::Unknown | ResetHint::Gauge => Arc::clone(histogram),
        ResetHint::Reset | ResetHint::NoReset => {
            Arc::new(FloatHistogram { reset_hint: ResetHint::Unknown, ..FloatHistogram::clone(histogram) })
        }
    }
}
