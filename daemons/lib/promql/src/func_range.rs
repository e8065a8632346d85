//! Functions over range vectors: takes each series' windows and fills in one value per step.

use std::sync::Arc;

use crate::answer::EvalError;
use crate::ast::{Call, Expr, ExprKind, Extension, ValueType};
use crate::eval_range_vector::RangeSeries;
use crate::evaluator::{Evaluator, Sink};
use crate::func_changes::Counts;
use crate::func_extended;
use crate::func_rate::Difference;
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Series, Steps, is_absent, seconds};
use crate::windows::{Column, Window};

/// What tells one function over range vectors from another.
#[derive(Debug)]
pub(crate) struct RangeFunction {
    /// The computation.
    pub(crate) fill: Fill,
    /// What it gives over `anchored` and `smoothed` windows.
    pub(crate) borders: Borders,
    /// Whether it makes sense for counters only, so that other metric names are worth an annotation.
    pub(crate) wants_counter: bool,
    /// Errors and warnings about the scalar arguments, which have one value per step each.
    pub(crate) check_params: Option<CheckParams>,
}

/// See [`RangeFunction::check_params`].
pub(crate) type CheckParams = fn(&mut Evaluator<'_>, &Call, &[Vec<f64>]) -> Result<(), EvalError>;

impl RangeFunction {
    /// For any metric, any scalars, plain windows only.
    pub(crate) const fn plain(fill: Fill) -> Self {
        Self { fill, borders: Borders::Refused, wants_counter: false, check_params: None }
    }
}

/// How windows are computed, from the cheapest to the dearest.
#[derive(Debug)]
pub(crate) enum Fill {
    /// One window that is not empty, from its ends or its length, in constant time.
    Ends(fn(Column<'_>, &Window) -> f64),
    /// All windows of a series, one value each; each sample should be touched a constant number of times
    /// (`windows.rs`).
    Windows(fn(&RangeCall, Column<'_>, &[Window], &mut [f64])),
    /// One window that is not empty, from its values. The cost grows with the window.
    Values(fn(&RangeCall, &Window, &[f64]) -> f64),
}

/// What a function gives over `anchored` and `smoothed` windows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Borders {
    /// It has no meaning there.
    Refused,
    /// Anchored only: how many neighbours count.
    Counted(Counts),
    /// The difference between the values at the borders.
    Interpolated(Difference),
}

/// What a call knows besides the samples.
pub(crate) struct RangeCall {
    /// Scalar arguments in order, one value per step each.
    pub(crate) params: Vec<Vec<f64>>,
    /// Length of the window.
    pub(crate) range_seconds: f64,
    pub(crate) extension: Extension,
    pub(crate) lookback: i64,
}

/// Pushes one result series for each series of the range vector that has one.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    function: &RangeFunction,
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
    if let Some(check) = function.check_params {
        check(evaluator, call, &params)?;
    }
    let wrong = || EvalError::Execution(format!("{name}() takes a selector or subquery"));
    let range_arg = range_arg.ok_or_else(wrong)?;
    let (range, extension) = match &range_arg.unwrap_parens().kind {
        ExprKind::Matrix(matrix) => (&matrix.range, matrix.selector.extension),
        ExprKind::Subquery(subquery) => (&subquery.range, Extension::None),
        _ => return Err(wrong()),
    };
    func_extended::check(call, function, extension)?;
    let range = crate::eval_duration::positive_ms(range, evaluator.lengths)?;
    let lookback = evaluator.options.lookback_ms;
    let range_call = RangeCall { params, range_seconds: seconds(range), extension, lookback };
    let mut non_counter = None;
    evaluator.stream_ranges(range_arg, steps, &mut |evaluator, series| {
        let mut values = vec![ABSENT; steps.n];
        fill(evaluator, &range_call, function, series, &mut values)?;
        if values.iter().all(|value| is_absent(*value)) {
            return Ok(());
        }
        if function.wants_counter {
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
}

/// Rates make sense for counters only, and those have telling names.
fn name_of_non_counter(series: &RangeSeries<'_>) -> Option<String> {
    let name = series.labels.value(METRIC_NAME);
    let is_counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
    (!name.is_empty() && !is_counter).then(|| name.to_owned())
}

/// Fills in `out`, one value per step.
fn fill(
    evaluator: &mut Evaluator<'_>,
    call: &RangeCall,
    function: &RangeFunction,
    series: &RangeSeries<'_>,
    out: &mut [f64],
) -> Result<(), EvalError> {
    let (column, windows) = (series.column, series.windows);
    if call.extension != Extension::None {
        func_extended::fill(call, function.borders, column, windows, out);
        return Ok(());
    }
    match &function.fill {
        Fill::Windows(fill) => fill(call, column, windows, out),
        Fill::Ends(value) => {
            for window in windows.iter().filter(|window| window.len() > 0) {
                out[window.index] = value(column, window);
            }
        }
        Fill::Values(value) => {
            for window in windows.iter().filter(|window| window.len() > 0) {
                evaluator.tick(window.len())?;
                out[window.index] = value(call, window, &column.values[window.lo..window.hi]);
            }
        }
    }
    Ok(())
}
