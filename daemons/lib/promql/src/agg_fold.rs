//! `sum avg min max count group stddev stdvar`: every series is folded into its group's columns as it arrives, so
//! that memory holds the groups only.

use std::sync::Arc;

use cairn_model::{FloatHistogram, Labels};

use crate::agg::{self, Groups};
use crate::agg_stored::Grouped;
use crate::annotations::{Note, Notes};
use crate::answer::{EvalError, Sample};
use crate::ast::{Aggregate, AggregateOp};
use crate::evaluator::{Evaluator, Sink};
use crate::histogram_sum::{HistogramMean, HistogramSum};
use crate::kahan::{Mean, Sums};
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Histograms, Series, Steps, is_absent};

/// Columns of a group, one cell per step; `None`, or [`ABSENT`], until the first value.
enum Fold {
    Sum(Sums),
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
            AggregateOp::Sum => Self::Sum(Sums::new(n)),
            AggregateOp::Avg => Self::Avg(vec![None; n]),
            AggregateOp::StdDev => Self::Variance(true, vec![Welford::default(); n]),
            AggregateOp::StdVar => Self::Variance(false, vec![Welford::default(); n]),
            _ => Self::Plain(op, vec![ABSENT; n]),
        }
    }

    fn add(&mut self, values: &[f64]) {
        match self {
            Self::Sum(sums) => sums.add(values),
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
            Self::Sum(sums) => sums.totals(),
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

/// Native histograms of a group, one cell per step.
enum HistogramFold {
    Sum(Vec<Option<HistogramSum>>),
    Mean(Vec<Option<HistogramMean>>),
}

impl HistogramFold {
    fn add(&mut self, histograms: &Histograms, notes: &mut Notes) {
        for (step, histogram) in histograms.iter() {
            match self {
                Self::Sum(cells) => match &mut cells[step] {
                    Some(sum) => sum.add(histogram, notes),
                    cell => *cell = Some(HistogramSum::of(histogram)),
                },
                Self::Mean(cells) => match &mut cells[step] {
                    Some(mean) => mean.add(histogram, notes),
                    cell => *cell = Some(HistogramMean::of(histogram)),
                },
            }
        }
    }

    /// Puts the results where there are no numbers; where there are, nothing is left.
    fn finish(self, series: &mut Series, notes: &mut Notes) {
        let results: Vec<Option<Option<FloatHistogram>>> = match self {
            Self::Sum(cells) => cells.into_iter().map(|cell| cell.map(|sum| sum.finish(notes))).collect(),
            Self::Mean(cells) => cells.into_iter().map(|cell| cell.map(|mean| mean.finish(notes))).collect(),
        };
        for (step, result) in results.into_iter().enumerate() {
            let Some(result) = result else { continue };
            if series.is_present(step) {
                notes.add(Note::MixedTypesInGroup);
                series.clear(step);
            } else if let Some(histogram) = result {
                series.put(step, Sample::Histogram(Arc::new(histogram)));
            }
        }
    }
}

/// State of a group.
pub(crate) struct State {
    numbers: Fold,
    /// Only of `sum` and `avg`, once there is a histogram.
    histograms: Option<HistogramFold>,
}

impl State {
    /// Of a group without series; `n` steps.
    pub(crate) fn new(op: AggregateOp, n: usize) -> Self {
        Self { numbers: Fold::new(op, n), histograms: None }
    }

    /// Takes a series in.
    pub(crate) fn add(&mut self, op: AggregateOp, series: &Series, notes: &mut Notes) {
        self.numbers.add(&series.values);
        if series.histograms.is_none() {
            return;
        }
        let n = series.values.len();
        match op {
            AggregateOp::Sum => self
                .histograms
                .get_or_insert_with(|| HistogramFold::Sum(vec![None; n]))
                .add(&series.histograms, notes),
            AggregateOp::Avg => self
                .histograms
                .get_or_insert_with(|| HistogramFold::Mean(vec![None; n]))
                .add(&series.histograms, notes),
            _ => {
                // To be counted, any number will do.
                let mut presence = vec![ABSENT; n];
                series.histograms.iter().for_each(|(step, _)| presence[step] = 1.0);
                self.numbers.add(&presence);
            }
        }
    }
    /// The group's values.
    pub(crate) fn finish(self, labels: Arc<Labels>, drops_name: bool, notes: &mut Notes) -> Series {
        let mut series = Series::floats(labels, drops_name, self.numbers.finish());
        if let Some(histograms) = self.histograms {
            histograms.finish(&mut series, notes);
        }
        series
    }
}

/// Whether native histograms count.
pub(crate) fn takes_histograms(op: AggregateOp) -> bool {
    matches!(op, AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Count | AggregateOp::Group)
}

/// Pushes one series per group.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    match Grouped::of(evaluator, aggregate, steps) {
        Some(grouped) if grouped.is_even() => grouped.stream(evaluator, aggregate, steps, sink),
        _ => stream_any(evaluator, aggregate, steps, sink),
    }
}

/// The same, as the series come, whatever they are of.
pub(crate) fn stream_any<'a>(
    evaluator: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let op = aggregate.op;
    let span = aggregate.expr.span;
    let mut groups: Groups<State> = Groups::new();
    let mut notes = Notes::default();
    evaluator.stream(&aggregate.expr, steps, &mut |evaluator, mut series| {
        evaluator.tick(steps.n)?;
        if !takes_histograms(op) && !agg::ignore_histograms(evaluator, aggregate, &mut series) {
            return Ok(());
        }
        let group = groups.of(&aggregate.grouping, &series, || {
            evaluator.hold(steps.n)?;
            Ok(State::new(op, steps.n))
        })?;
        group.state.add(op, &series, &mut notes);
        for note in notes.drain() {
            evaluator.annotations.note(note, series.labels.value(METRIC_NAME), span);
        }
        Ok(())
    })?;
    for group in groups.all {
        evaluator.release(steps.n);
        let series = group.state.finish(group.labels, group.drops_name, &mut notes);
        for note in notes.drain() {
            evaluator.annotations.note(note, "", span);
        }
        if !series.is_empty() {
            sink(evaluator, series)?;
        }
    }
    Ok(())
}
