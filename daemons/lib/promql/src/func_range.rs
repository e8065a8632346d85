//! Functions over range vectors: takes each series' windows and fills in one value per step.

use std::sync::Arc;

use crate::answer::EvalError;
use crate::ast::{Call, Expr, ExprKind, Extension, ValueType};
use crate::eval_range_vector::RangeSeries;
use crate::evaluator::{Evaluator, Sink};
use crate::facts;
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Series, Steps, is_absent, seconds};
use crate::windows::Placement;
use crate::{func_changes, func_extended, func_over_time, func_rate, func_regression, func_smoothing};

/// Whether this file evaluates the function.
pub(crate) fn is_range_function(name: &str) -> bool {
    name.ends_with("_over_time")
        || matches!(
            name,
            "changes"
                | "delta"
                | "deriv"
                | "double_exponential_smoothing"
                | "idelta"
                | "increase"
                | "irate"
                | "predict_linear"
                | "rate"
                | "resets"
        )
}

/// What a function knows besides the samples.
pub(crate) struct RangeCall<'c> {
    pub(crate) name: &'c str,
    /// Scalar arguments in order, one value per step each.
    pub(crate) params: Vec<Vec<f64>>,
    pub(crate) placement: Placement,
    pub(crate) extension: Extension,
    pub(crate) lookback: i64,
}

/// Pushes one result series for each series of the range vector that has one.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let name = call.function.name;
    let mut params = Vec::new();
    let mut range_arg: Option<&'a Expr> = None;
    for arg in &call.args {
        match arg.value_type() {
            ValueType::RangeVector => range_arg = Some(arg),
            _ => params.push(evaluator.scalar(arg, steps)?),
        }
    }
    let Some(range_arg) = range_arg else {
        return Err(EvalError::Execution(format!("function {name}() is not evaluated by this engine yet")));
    };
    check_params(evaluator, call, &params)?;
    let (range, extension) = match &range_arg.unwrap_parens().kind {
        ExprKind::Matrix(matrix) => (&matrix.range, matrix.selector.extension),
        ExprKind::Subquery(subquery) => (&subquery.range, Extension::None),
        _ => return Err(EvalError::Execution(format!("{name}() takes a selector or subquery"))),
    };
    func_extended::check(name, extension)?;
    let range = crate::eval_duration::positive_ms(range, evaluator.lengths)?;
    let range_call = RangeCall {
        name,
        params,
        placement: Placement { steps, range, offset: 0, at: None },
        extension,
        lookback: evaluator.options.lookback_ms,
    };
    let produce = |evaluator: &mut Evaluator<'a>, sink: Sink<'_, 'a>| {
        let mut non_counter = None;
        evaluator.stream_ranges(range_arg, steps, &mut |evaluator, series| {
            let mut values = vec![ABSENT; steps.n];
            compute(evaluator, &range_call, series, &mut values)?;
            if values.iter().all(|value| is_absent(*value)) {
                return Ok(());
            }
            if matches!(name, "rate" | "increase") {
                non_counter = name_of_non_counter(series).or(non_counter.take());
            }
            let labels = Arc::clone(series.labels);
            sink(evaluator, Series { labels, drops_name: series.drops_name, values })
        })?;
        if let Some(name) = non_counter {
            let name = cairn_model::gotext::quote(&name);
            evaluator.annotations.info(
                &format!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name}"
                ),
                range_arg.span,
            );
        }
        Ok(())
    };
    if matches!(name, "last_over_time" | "first_over_time") {
        return produce(evaluator, sink);
    }
    let unique = facts::stays_unique_without_name(range_arg);
    evaluator.dropping_names(unique, sink, produce)
}

/// Errors and warnings about scalar arguments.
fn check_params(evaluator: &mut Evaluator<'_>, call: &Call, params: &[Vec<f64>]) -> Result<(), EvalError> {
    match call.function.name {
        "quantile_over_time" => {
            if let Some(warning) = params[0].iter().find_map(|q| crate::quantile::out_of_range(*q)) {
                evaluator.annotations.warn(&warning, call.args[0].span);
            }
        }
        "double_exponential_smoothing" => {
            for (values, what) in params.iter().zip(["smoothing", "trend"]) {
                let short = if what == "smoothing" { "sf" } else { "tf" };
                if let Some(wrong) = values.iter().find(|value| !(**value > 0.0 && **value < 1.0)) {
                    return Err(EvalError::Execution(format!(
                        "invalid {what} factor. Expected: 0 < {short} < 1, got: {wrong:.6}"
                    )));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Rates make sense for counters only, and those have telling names.
fn name_of_non_counter(series: &RangeSeries<'_>) -> Option<String> {
    let name = series.labels.value(METRIC_NAME);
    let is_counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
    (!name.is_empty() && !is_counter).then(|| name.to_owned())
}

/// Fills in `out`, one value per step.
fn compute(
    evaluator: &mut Evaluator<'_>,
    call: &RangeCall<'_>,
    series: &RangeSeries<'_>,
    out: &mut [f64],
) -> Result<(), EvalError> {
    let (column, windows) = (series.column, series.windows);
    if call.extension != Extension::None {
        func_extended::fill(call, column, windows, out);
        return Ok(());
    }
    let range = seconds(call.placement.range);
    match call.name {
        "rate" | "increase" | "delta" => func_rate::fill(call.name, range, column, windows, out),
        "irate" | "idelta" => func_rate::fill_instant(call.name == "irate", column, windows, out),
        "changes" | "resets" => func_changes::fill(call.name == "resets", column, windows, out),
        "deriv" => func_regression::fill_slope(column, windows, out),
        "predict_linear" => func_regression::fill_prediction(&call.params[0], column, windows, out),
        "double_exponential_smoothing" => {
            for window in windows {
                evaluator.tick(window.len())?;
                let values = &column.values[window.lo..window.hi];
                let (smoothing, trend) = (call.params[0][window.index], call.params[1][window.index]);
                out[window.index] = func_smoothing::smoothed(values, smoothing, trend);
            }
        }
        "mad_over_time" => {
            for window in windows {
                evaluator.tick(window.len())?;
                let values = &column.values[window.lo..window.hi];
                out[window.index] = func_over_time::median_absolute_deviation(values);
            }
        }
        "quantile_over_time" => func_over_time::fill_quantiles(&call.params[0], column, windows, out),
        name => func_over_time::fill(name, column, windows, out)?,
    }
    Ok(())
}
