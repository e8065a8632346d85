//! Range vectors: hands each series' samples and windows to a function.

use std::sync::Arc;

use cairn_model::Labels;

use crate::answer::EvalError;
use crate::ast::{Expr, ExprKind};
use crate::eval_duration;
use crate::eval_load::LoadedSeries;
use crate::evaluator::Evaluator;
use crate::series::{Steps, is_absent};
use crate::windows::{Column, Placement, Window};

/// One series of a range vector.
pub(crate) struct RangeSeries<'s> {
    pub(crate) labels: &'s Arc<Labels>,
    /// With delayed name removal: the name goes at the end of the query.
    pub(crate) drops_name: bool,
    pub(crate) column: Column<'s>,
    pub(crate) windows: &'s [Window],
}

/// Takes the series of a range vector.
type RangeSink<'s, 'a> = &'s mut dyn FnMut(&mut Evaluator<'a>, &RangeSeries<'_>) -> Result<(), EvalError>;

impl LoadedSeries {
    /// The samples without staleness markers.
    pub(crate) fn column(&self) -> Column<'_> {
        match &self.unmarked {
            Some((times, values)) => Column { times, values },
            None => Column { times: &self.times, values: &self.values },
        }
    }
}

impl<'a> Evaluator<'a> {
    /// Pushes each series of a range vector with its windows; also series without samples in any window.
    pub(crate) fn stream_ranges(
        &mut self,
        expr: &'a Expr,
        steps: Steps,
        sink: RangeSink<'_, 'a>,
    ) -> Result<Placement, EvalError> {
        let mut windows = Vec::with_capacity(steps.n);
        match &expr.unwrap_parens().kind {
            ExprKind::Matrix(matrix) => {
                let range = eval_duration::positive_ms(&matrix.range, self.lengths)?;
                let placement = self.placement(&matrix.selector, range, steps)?;
                let loaded = self.loaded_series(&matrix.selector);
                for one in &loaded.series {
                    let column = one.column();
                    placement.windows(column.times, &mut windows);
                    self.tick(column.times.len() + steps.n)?;
                    let series =
                        RangeSeries { labels: &one.labels, drops_name: false, column, windows: &windows };
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
                self.stream(&subquery.expr, inner, &mut |evaluator, series| {
                    times.clear();
                    values.clear();
                    for (index, value) in series.values.iter().enumerate() {
                        if !is_absent(*value) {
                            times.push(inner.time(index));
                            values.push(*value);
                        }
                    }
                    evaluator.hold(inner.n)?;
                    placement.windows(&times, &mut windows);
                    evaluator.tick(times.len() + steps.n)?;
                    let range_series = RangeSeries {
                        labels: &series.labels,
                        drops_name: series.drops_name,
                        column: Column { times: &times, values: &values },
                        windows: &windows,
                    };
                    sink(evaluator, &range_series)?;
                    evaluator.release(inner.n);
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
