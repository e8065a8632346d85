//! Entry points of evaluation, and how their results are put together.

use std::sync::Arc;

use cairn_model::{Labels, TimeMs};
use rayon::prelude::*;

use crate::answer::{
    Answer, EvalError, HistogramSample, MatrixSeries, Options, Point, Stats, Value, VectorSample,
};
use crate::ast::{AggregateOp, Expr, ExprKind, ValueType};
use crate::eval_load;
use crate::eval_range_vector::RangeSeries;
use crate::evaluator::Evaluator;
use crate::series::{Series, Steps, is_absent, merge_equal, same_labelset, without_name};
use crate::source::SampleSource;
use crate::watch::Watch;

/// Most steps of a range query that are evaluated at all; the HTTP API allows far fewer.
const MAX_STEPS: u64 = 1_000_000;

/// Points of a range query's result that one core makes in a row.
const POINTS_IN_A_ROW: usize = 1 << 14;

/// Evaluates `expr` at one instant.
///
/// A range vector gives a matrix with the stored times. Vectors are sorted by labels, except under `sort*`, `topk`
/// and `bottomk`.
///
/// # Errors
/// [`EvalError`]; the store's own failure is [`EvalError::Source`].
pub fn eval_instant(
    source: &dyn SampleSource,
    expr: &Expr,
    time: TimeMs,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    with_room(expr, || instant(source, expr, time, options))
}

fn with_room(
    expr: &Expr,
    evaluate: impl FnOnce() -> Result<Answer, EvalError> + Send,
) -> Result<Answer, EvalError> {
    expr.with_room(evaluate).unwrap_or_else(|error| Err(EvalError::Source(Box::new(error))))
}

fn instant(
    source: &dyn SampleSource,
    expr: &Expr,
    time: TimeMs,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    let steps = Steps::once(time.0);
    let mut evaluator = Evaluator::for_instant(source, options, time.0);
    eval_load::load(&mut evaluator, expr, steps)?;
    let value = match expr.value_type() {
        ValueType::Scalar => {
            let values = evaluator.scalar(expr, steps)?;
            Value::Scalar(Point { time, value: values[0] })
        }
        ValueType::String => match &expr.unwrap_parens().kind {
            ExprKind::String(text) => Value::String(time, text.clone()),
            _ => return Err(EvalError::Execution("strings are literals only".to_owned())),
        },
        ValueType::InstantVector => {
            let series = evaluator.collect(expr, steps)?;
            let mut series = finish_names(series)?;
            if has_own_order(expr) {
                refuse_equal(&mut series.clone())?;
            } else {
                evaluator.sorting(|| refuse_equal(&mut series))?;
            }
            let sample =
                |one: Series| one.at(0).map(|value| VectorSample { labels: one.labels, time, value });
            Value::Vector(series.into_iter().filter_map(sample).collect())
        }
        ValueType::RangeVector => Value::Matrix(stored_samples(&mut evaluator, expr, steps)?),
    };
    Ok(answer(evaluator, value))
}

/// Evaluates `expr` at `start`, `start + step_ms`, ... up to and including `end`. The result is a matrix sorted by
/// labels.
///
/// # Errors
/// [`EvalError`]; [`EvalError::BadData`] for a range vector or string, or for bounds that make no sense.
pub fn eval_range(
    source: &dyn SampleSource,
    expr: &Expr,
    start: TimeMs,
    end: TimeMs,
    step_ms: i64,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    if step_ms <= 0 {
        return Err(EvalError::BadData(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
                .to_owned(),
        ));
    }
    if end < start {
        return Err(EvalError::BadData("end timestamp must not be before start time".to_owned()));
    }
    let n_after_first = end.0.abs_diff(start.0) / step_ms.unsigned_abs();
    if n_after_first >= MAX_STEPS {
        return Err(EvalError::BadData(format!("{n_after_first} steps are more than {MAX_STEPS}")));
    }
    let n = usize::try_from(n_after_first + 1).map_err(|_| EvalError::TooManySamples)?;
    let steps = Steps { start: start.0, step: step_ms, n };
    with_room(expr, || range(source, expr, steps, end, options))
}

/// `end` need not be a step.
fn range(
    source: &dyn SampleSource,
    expr: &Expr,
    steps: Steps,
    end: TimeMs,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    let mut evaluator = Evaluator::for_range(source, options, steps, end.0);
    let series = match expr.value_type() {
        ValueType::Scalar => {
            eval_load::load(&mut evaluator, expr, steps)?;
            let values = evaluator.scalar(expr, steps)?;
            vec![Series::floats(Arc::new(Labels::empty()), false, values)]
        }
        ValueType::InstantVector => {
            eval_load::load(&mut evaluator, expr, steps)?;
            evaluator.collect(expr, steps)?
        }
        other => {
            return Err(EvalError::BadData(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                other.documented()
            )));
        }
    };
    let mut series = finish_names(series)?;
    evaluator.sorting(|| refuse_equal(&mut series))?;
    let min_len = (POINTS_IN_A_ROW / steps.n).max(1);
    let matrix =
        series.into_par_iter().with_min_len(min_len).filter_map(|one| matrix_series(one, steps)).collect();
    Ok(answer(evaluator, Value::Matrix(matrix)))
}

fn answer(evaluator: Evaluator<'_>, value: Value) -> Answer {
    Answer {
        value,
        warnings: evaluator.annotations.warnings.into_iter().collect(),
        infos: evaluator.annotations.infos.into_iter().collect(),
        stats: Stats {
            sorting: evaluator.sorting,
            samples_queryable: evaluator.counts.total(),
            samples_read: evaluator.samples_read,
            peak_samples: evaluator.peak,
        },
        counts: evaluator.counts.by_step(),
    }
}

/// Takes off the names whose removal was delayed, and joins what becomes equal.
fn finish_names(mut series: Vec<Series>) -> Result<Vec<Series>, EvalError> {
    if !series.iter().any(|one| one.drops_name) {
        return Ok(series);
    }
    for one in &mut series {
        if one.drops_name {
            one.labels = without_name(&one.labels);
        }
    }
    merge_equal(series)
}

/// Sorts by labels and refuses equal ones, whichever operation they come from.
fn refuse_equal(series: &mut [Series]) -> Result<(), EvalError> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    if series.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
        return Err(same_labelset());
    }
    Ok(())
}

fn matrix_series(series: Series, steps: Steps) -> Option<MatrixSeries> {
    let n_points = series.values.iter().filter(|value| !is_absent(**value)).count();
    let mut points = Vec::with_capacity(n_points);
    points.extend(
        series
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| !is_absent(**value))
            .map(|(index, value)| Point { time: TimeMs(steps.time(index)), value: *value }),
    );
    let histograms: Vec<HistogramSample> = series
        .histograms
        .iter()
        .map(|(index, one)| HistogramSample { time: TimeMs(steps.time(index)), histogram: Arc::clone(one) })
        .collect();
    let is_empty = points.is_empty() && histograms.is_empty();
    (!is_empty).then_some(MatrixSeries { labels: series.labels, points, histograms })
}

/// Whether the order of the result is part of the answer.
fn has_own_order(expr: &Expr) -> bool {
    match &expr.unwrap_parens().kind {
        ExprKind::Call(call) => call.function.orders_result(),
        ExprKind::Aggregate(aggregate) => matches!(aggregate.op, AggregateOp::TopK | AggregateOp::BottomK),
        _ => false,
    }
}

/// The samples of a range vector with their own times.
fn stored_samples<'a>(
    evaluator: &mut Evaluator<'a>,
    expr: &'a Expr,
    steps: Steps,
) -> Result<Vec<MatrixSeries>, EvalError> {
    let mut matrix = Vec::new();
    let work = |series: &RangeSeries<'_>, _: &mut Watch<'a>| {
        let window = series.windows.at(0);
        let histograms: Vec<HistogramSample> =
            series.histograms.in_window(0).map_or_else(Vec::new, |window| {
                let samples = window.times.iter().zip(window.values);
                samples
                    .map(|(time, one)| HistogramSample { time: TimeMs(*time), histogram: Arc::clone(one) })
                    .collect()
            });
        let n_samples: usize = histograms.iter().map(|one| one.histogram.n_samples()).sum();
        let points: Vec<Point> = (window.lo..window.hi)
            .map(|at| Point { time: TimeMs(series.column.times[at]), value: series.column.values[at] })
            .collect();
        let labels = if series.drops_name { without_name(series.labels) } else { Arc::clone(series.labels) };
        Ok((window.len() + n_samples, MatrixSeries { labels, points, histograms }))
    };
    evaluator.map_ranges(expr, steps, work, |evaluator, (n_samples, series)| {
        evaluator.hold(n_samples)?;
        if n_samples > 0 {
            matrix.push(series);
        }
        Ok(())
    })?;
    if matches!(expr.unwrap_parens().kind, ExprKind::Subquery(_)) {
        evaluator.count_bare_subquery();
    }
    evaluator.sorting(|| matrix.sort_by(|a, b| a.labels.cmp(&b.labels)));
    if matrix.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
        return Err(same_labelset());
    }
    Ok(matrix)
}
