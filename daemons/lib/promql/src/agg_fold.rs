//! `sum avg min max count group stddev stdvar`: every series is folded into its group's columns as it arrives, so
//! that memory holds the groups only.

use crate::agg::Groups;
use crate::answer::EvalError;
use crate::ast::{Aggregate, AggregateOp};
use crate::evaluator::{Evaluator, Sink};
use crate::kahan::{Mean, Sum};
use crate::series::{ABSENT, Series, Steps, is_absent};

/// Columns of a group, one cell per step. `None` until the first value.
enum Fold {
    Sum(Vec<Option<Sum>>),
    Avg(Vec<Option<Mean>>),
    /// `min`, `max`, `count`, `group`: one number is enough.
    Plain(AggregateOp, Vec<f64>),
    /// `stddev` (true) and `stdvar`
    Variance(bool, Vec<Welford>),
}

/// Count, mean and sum of squared distances from it.
#[derive(Clone, Copy, Default)]
struct Welford {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Fold {
    fn new(op: AggregateOp, n: usize) -> Self {
        match op {
            AggregateOp::Sum => Self::Sum(vec![None; n]),
            AggregateOp::Avg => Self::Avg(vec![None; n]),
            AggregateOp::StdDev => Self::Variance(true, vec![Welford::default(); n]),
            AggregateOp::StdVar => Self::Variance(false, vec![Welford::default(); n]),
            _ => Self::Plain(op, vec![ABSENT; n]),
        }
    }

    fn add(&mut self, values: &[f64]) {
        match self {
            Self::Sum(cells) => each_present(cells, values, |cell, value| match cell {
                Some(sum) => sum.add(value),
                None => *cell = Some(Sum::of(value)),
            }),
            Self::Avg(cells) => each_present(cells, values, |cell, value| match cell {
                Some(mean) => mean.add(value),
                None => *cell = Some(Mean::of(value)),
            }),
            Self::Plain(op, cells) => match op {
                AggregateOp::Min => each_present(cells, values, |cell, value| {
                    if is_absent(*cell) || value < *cell || cell.is_nan() {
                        *cell = value;
                    }
                }),
                AggregateOp::Max => each_present(cells, values, |cell, value| {
                    if is_absent(*cell) || value > *cell || cell.is_nan() {
                        *cell = value;
                    }
                }),
                AggregateOp::Count => each_present(cells, values, |cell, _| {
                    *cell = if is_absent(*cell) { 1.0 } else { *cell + 1.0 };
                }),
                _ => each_present(cells, values, |cell, _| *cell = 1.0),
            },
            Self::Variance(_, cells) => each_present(cells, values, |cell, value| {
                cell.count += 1.0;
                let delta = value - cell.mean;
                cell.mean += delta / cell.count;
                cell.squares += delta * (value - cell.mean);
                if !value.is_finite() {
                    cell.squares = f64::NAN;
                }
            }),
        }
    }

    fn finish(self) -> Vec<f64> {
        match self {
            Self::Sum(cells) => cells.into_iter().map(|sum| sum.map_or(ABSENT, Sum::total)).collect(),
            Self::Avg(cells) => cells.into_iter().map(|mean| mean.map_or(ABSENT, Mean::value)).collect(),
            Self::Plain(_, cells) => cells,
            Self::Variance(is_root, cells) => cells
                .into_iter()
                .map(|cell| match cell.squares / cell.count {
                    _ if cell.count == 0.0 => ABSENT,
                    variance if is_root => variance.sqrt(),
                    variance => variance,
                })
                .collect(),
        }
    }
}

fn each_present<T>(cells: &mut [T], values: &[f64], mut f: impl FnMut(&mut T, f64)) {
    for (cell, value) in cells.iter_mut().zip(values) {
        if !is_absent(*value) {
            f(cell, *value);
        }
    }
}

/// Pushes one series per group.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let mut groups: Groups<Fold> = Groups::new();
    evaluator.stream(&aggregate.expr, steps, &mut |evaluator, series| {
        evaluator.tick(steps.n)?;
        let group = groups.of(&aggregate.grouping, &series, || {
            evaluator.hold(steps.n)?;
            Ok(Fold::new(aggregate.op, steps.n))
        })?;
        group.state.add(&series.values);
        Ok(())
    })?;
    for group in groups.all {
        evaluator.release(steps.n);
        let values = group.state.finish();
        sink(evaluator, Series { labels: group.labels, drops_name: group.drops_name, values })?;
    }
    Ok(())
}
