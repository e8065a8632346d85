//! Metric queries: walks the expression and gives every series its points.

use cairn_model::{Labels, TimeNs};

use crate::answer::{EvalError, MetricAnswer, MetricValue, Options, Sample, Series};
use crate::ast::{MetricExpr, RangeOp, VectorOp};
use crate::engine_logs::Meter;
use crate::source::LogSource;
use crate::steps::Steps;
use crate::{binop, label_replace, range_agg, vector_agg};

/// A series during evaluation.
#[derive(Clone, Debug)]
pub(crate) struct EvalSeries {
    pub(crate) labels: Labels,
    /// Step and value, ascending by step.
    pub(crate) points: Vec<(u32, f64)>,
}

/// The value of an expression.
pub(crate) enum EvalValue {
    Scalar(f64),
    Vector(Vec<EvalSeries>),
}

/// Runs a metric query at one instant.
///
/// # Errors
/// [`EvalError`].
pub fn query_instant(
    source: &dyn LogSource,
    expr: &MetricExpr,
    time: TimeNs,
    options: &Options<'_>,
) -> Result<MetricAnswer, EvalError> {
    let mut meter = Meter::new(options);
    let value = evaluate(source, expr, &Steps::instant(time), &mut meter)?;
    let mut warnings = Vec::new();
    let value = match value {
        EvalValue::Scalar(value) => MetricValue::Scalar(value),
        EvalValue::Vector(mut series) => {
            if !is_ordered(expr) {
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            limit_series(&mut series, options, &mut warnings)?;
            let sample = |s: EvalSeries| Some(Sample { value: s.points.first()?.1, labels: s.labels });
            MetricValue::Vector(series.into_iter().filter_map(sample).collect())
        }
    };
    Ok(MetricAnswer { value, stats: meter.stats, warnings })
}

/// Runs a metric query at every step of a range. `start` is rounded down and `end` up to a multiple of `step`
/// (nanoseconds since the epoch), as Loki does.
///
/// # Errors
/// [`EvalError`].
pub fn query_range(
    source: &dyn LogSource,
    expr: &MetricExpr,
    start: TimeNs,
    end: TimeNs,
    step: i64,
    options: &Options<'_>,
) -> Result<MetricAnswer, EvalError> {
    let steps = Steps::range(start, end, step).filter(|s| s.count <= MAX_STEPS).ok_or_else(|| {
        EvalError::Query(
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"
                .to_owned(),
        )
    })?;
    let mut meter = Meter::new(options);
    let mut warnings = Vec::new();
    let mut series = match evaluate(source, expr, &steps, &mut meter)? {
        EvalValue::Scalar(value) => vec![constant(value, &steps)],
        EvalValue::Vector(series) => series,
    };
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    join_equal(&mut series);
    limit_series(&mut series, options, &mut warnings)?;
    let points = |s: EvalSeries| Series {
        labels: s.labels,
        points: s.points.into_iter().map(|(step, value)| (steps.time(step), value)).collect(),
    };
    let value = MetricValue::Matrix(series.into_iter().map(points).collect());
    Ok(MetricAnswer { value, stats: meter.stats, warnings })
}

/// `label_replace` can give several series the same labels; Loki then lists all of their points in one.
fn join_equal(series: &mut Vec<EvalSeries>) {
    series.dedup_by(|next, kept| {
        let is_same = next.labels == kept.labels;
        if is_same {
            kept.points.append(&mut next.points);
            kept.points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        }
        is_same
    });
}

/// Most points of one series: Loki's 11,000, and one at each end from rounding to multiples of the step.
const MAX_STEPS: u32 = 11_002;

/// Whether the order of an instant's series is part of the answer. That of `topk` is not: Loki lists it by labels.
fn is_ordered(expr: &MetricExpr) -> bool {
    matches!(expr, MetricExpr::Vector(agg) if matches!(agg.op, VectorOp::Sort | VectorOp::SortDesc))
}

fn limit_series(
    series: &mut Vec<EvalSeries>,
    options: &Options<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), EvalError> {
    let limit = options.max_series;
    if series.len() <= limit {
        return Ok(());
    }
    if options.partial_series {
        series.truncate(limit);
        warnings.push(format!(
            "maximum number of series ({limit}) reached for a single query; returning partial results"
        ));
        return Ok(());
    }
    Err(EvalError::Query(format!(
        "maximum number of series ({limit}) reached for a single query; consider reducing query cardinality by adding more \
         specific stream selectors, reducing the time range, or aggregating results with functions like sum(), count() or topk()"
    )))
}

fn constant(value: f64, steps: &Steps) -> EvalSeries {
    EvalSeries { labels: Labels::empty(), points: (0..steps.count).map(|step| (step, value)).collect() }
}

fn evaluate(
    source: &dyn LogSource,
    expr: &MetricExpr,
    steps: &Steps,
    meter: &mut Meter<'_>,
) -> Result<EvalValue, EvalError> {
    let vector = |value: EvalValue| match value {
        EvalValue::Vector(series) => series,
        EvalValue::Scalar(value) => vec![constant(value, steps)],
    };
    Ok(match expr {
        MetricExpr::Literal(value) => EvalValue::Scalar(*value),
        MetricExpr::VectorOf(value) => EvalValue::Vector(vec![constant(*value, steps)]),
        MetricExpr::Range(agg) => EvalValue::Vector(range_agg::evaluate(source, agg, None, steps, meter)?),
        MetricExpr::Vector(agg) => {
            let inner = match &agg.inner {
                // A sum of sums needs nothing but the sums: entries are counted by group at once.
                MetricExpr::Range(range) if agg.op == VectorOp::Sum && can_group_early(range.op) => {
                    let everything = crate::ast::Grouping::default();
                    let grouping = agg.grouping.as_ref().unwrap_or(&everything);
                    range_agg::evaluate(source, range, Some(grouping), steps, meter)?
                }
                inner => vector(evaluate(source, inner, steps, meter)?),
            };
            EvalValue::Vector(vector_agg::evaluate(agg, inner, steps.count))
        }
        MetricExpr::Binary(binary) => {
            let left = evaluate(source, &binary.left, steps, meter)?;
            let right = evaluate(source, &binary.right, steps, meter)?;
            binop::evaluate(binary, left, right, steps.count)?
        }
        MetricExpr::LabelReplace(replace) => {
            let inner = vector(evaluate(source, &replace.inner, steps, meter)?);
            EvalValue::Vector(label_replace::evaluate(replace, inner)?)
        }
    })
}

fn can_group_early(op: RangeOp) -> bool {
    matches!(
        op,
        RangeOp::CountOverTime
            | RangeOp::Rate
            | RangeOp::BytesOverTime
            | RangeOp::BytesRate
            | RangeOp::SumOverTime
    )
}
