//! Functions over range vectors: takes each series' windows and fills in one value per step.

use std::sync::Arc;

use cairn_model::FloatHistogram;

use crate::annotations::{Note, Notes};
use crate::answer::{EvalError, Sample};
use crate::ast::{Call, Expr, ExprKind, Extension, ValueType};
use crate::eval_range_vector::RangeSeries;
use crate::evaluator::{Evaluator, Sink};
use crate::func_changes::Counts;
use crate::func_extended;
use crate::func_rate::Difference;
use crate::histogram_column::HistogramWindow;
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Series, Steps, is_absent, seconds};
use crate::watch::Watch;
use crate::windows::{Column, Window, Windows};

/// What tells one function over range vectors from another.
#[derive(Debug)]
pub(crate) struct RangeFunction {
    /// The computation over numbers.
    pub(crate) fill: Fill,
    /// What becomes of windows with native histograms in them.
    pub(crate) histograms: WithHistograms,
    /// Whether samples that claim to have started before the one before was taken are worth a warning.
    pub(crate) is_rate: bool,
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
    /// For any metric, any scalars, plain windows and numbers only.
    pub(crate) const fn plain(fill: Fill) -> Self {
        Self {
            fill,
            histograms: WithHistograms::Ignored,
            is_rate: false,
            borders: Borders::Refused,
            wants_counter: false,
            check_params: None,
        }
    }

    /// For any metric, any scalars, plain windows only.
    pub(crate) const fn with_histograms(fill: Fill, histograms: WithHistograms) -> Self {
        Self { histograms, ..Self::plain(fill) }
    }

    /// Whether it takes a metric of this name for a counter, which the name does not say it is.
    pub(crate) fn doubts(&self, name: &str) -> bool {
        self.wants_counter && !is_name_of_counter(name)
    }
}

/// What becomes of a window with native histograms in it.
#[derive(Debug)]
pub(crate) enum WithHistograms {
    /// Only the numbers count. An info where there are any.
    Ignored,
    /// Histograms make a histogram. Beside numbers they make nothing but a warning.
    Apart(fn(&RangeCall, HistogramWindow<'_>, &mut Notes) -> Option<FloatHistogram>),
    /// Both kinds count, in the order of their times.
    Both(fn(&RangeCall, &MixedWindow<'_>, &mut Notes) -> Option<Sample>),
}

/// A window with at least one histogram.
pub(crate) struct MixedWindow<'s> {
    /// The numbers in the window; may be none.
    pub(crate) floats: Column<'s>,
    /// What the function gives for the numbers alone.
    pub(crate) of_floats: Option<f64>,
    pub(crate) histograms: HistogramWindow<'s>,
}

/// How windows are computed, from the cheapest to the dearest.
#[derive(Debug)]
pub(crate) enum Fill {
    /// One window that is not empty, from its ends or its length, in constant time.
    Ends(fn(Column<'_>, &Window) -> f64),
    /// All windows of a series, one value each; each sample should be touched a constant number of times
    /// (`windows.rs`).
    Windows(fn(&RangeCall, Column<'_>, Windows<'_>, &mut [f64])),
    /// As `Windows`, where a sample may be touched more often than that: the last argument takes how many values were
    /// handled, and says when the query must stop.
    Watched(WatchedFill),
    /// One window that is not empty, from its values. The cost grows with the window.
    Values(fn(&RangeCall, &Window, &[f64]) -> f64),
}

/// See [`Fill::Watched`].
pub(crate) type WatchedFill =
    fn(&RangeCall, Column<'_>, Windows<'_>, &mut [f64], Tick<'_>) -> Result<(), EvalError>;

/// Counts values that were handled; an error when the query must stop.
pub(crate) type Tick<'t> = &'t mut dyn FnMut(usize) -> Result<(), EvalError>;

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
    pub(crate) range_ms: i64,
    pub(crate) range_seconds: f64,
    pub(crate) extension: Extension,
    pub(crate) lookback: i64,
}

impl RangeCall {
    pub(crate) fn is_smoothed(&self) -> bool {
        self.extension == Extension::Smoothed
    }
}

/// Pushes one result series for each series of the range vector that has one.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    function: &RangeFunction,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let (range_arg, range_call) = prepare(evaluator, call, function, steps)?;
    let mut non_counter = None;
    let work = |series: &RangeSeries<'_>, watch: &mut Watch<'a>| {
        let labels = Arc::clone(series.labels);
        let mut out = Series::floats(labels, series.drops_name, vec![ABSENT; steps.n]);
        let mut notes = Notes::default();
        fill(watch, &range_call, function, series, &mut out, &mut notes)?;
        let has_numbers = !out.values.iter().all(|value| is_absent(*value));
        Ok((out, has_numbers, notes))
    };
    evaluator.map_ranges(range_arg, steps, work, |evaluator, (out, has_numbers, mut notes)| {
        let name = out.labels.value(METRIC_NAME);
        for note in notes.drain() {
            evaluator.annotations.note(note, name, range_arg.span);
        }
        if has_numbers && function.doubts(name) {
            non_counter = Some(name.to_owned());
        }
        if has_numbers || !out.histograms.is_empty() { sink(evaluator, out) } else { Ok(()) }
    })?;
    finish(evaluator, range_arg, &range_call, non_counter.as_deref());
    Ok(())
}

/// Evaluates what a call has besides its range vector, which comes with it; the scalars are held until
/// [`finish`].
pub(crate) fn prepare<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    function: &RangeFunction,
    steps: Steps,
) -> Result<(&'a Expr, RangeCall), EvalError> {
    let name = call.function.name;
    let mut params = Vec::new();
    let mut range_arg: Option<&'a Expr> = None;
    for arg in &call.args {
        match arg.value_type() {
            ValueType::RangeVector => range_arg = Some(arg),
            _ => {
                params.push(evaluator.scalar(arg, steps)?);
                evaluator.hold(steps.n)?;
            }
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
    Ok((range_arg, RangeCall { params, range_ms: range, range_seconds: seconds(range), extension, lookback }))
}

/// Ends a call: `non_counter` is the name of a metric that was taken for a counter though it may be none.
pub(crate) fn finish(
    evaluator: &mut Evaluator<'_>,
    range_arg: &Expr,
    range_call: &RangeCall,
    non_counter: Option<&str>,
) {
    let n_held: usize = range_call.params.iter().map(Vec::len).sum();
    evaluator.release(n_held);
    if let Some(name) = non_counter {
        let name = cairn_model::gotext::quote(name);
        evaluator.annotations.info(
            &format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name}"
            ),
            range_arg.span,
        );
    }
}

/// Rates make sense for counters only, and those have telling names. What has no name any more may be one.
fn is_name_of_counter(name: &str) -> bool {
    name.is_empty() || ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix))
}

/// Fills in `out`, which has nothing yet, with one number or histogram per step.
pub(crate) fn fill(
    watch: &mut Watch<'_>,
    call: &RangeCall,
    function: &RangeFunction,
    series: &RangeSeries<'_>,
    out: &mut Series,
    notes: &mut Notes,
) -> Result<(), EvalError> {
    if call.extension != Extension::None {
        func_extended::fill(call, function.borders, series, out, notes);
        return Ok(());
    }
    fill_numbers(watch, call, function, series, &mut out.values)?;
    if function.is_rate && !series.column.starts.is_empty() {
        let has_overlap = |window: &Window| series.column.has_overlapping_starts(window);
        if series.windows.iter().any(|window| has_overlap(&window)) {
            notes.add(Note::StartOverlap);
        }
    }
    for window in series.histograms.windows().iter() {
        let Some(histograms) = series.histograms.in_window(window.index) else { continue };
        watch.tick(window.len())?;
        put_histograms(call, function, series, histograms, out, notes);
    }
    Ok(())
}

/// Corrects a step whose window has histograms.
fn put_histograms(
    call: &RangeCall,
    function: &RangeFunction,
    series: &RangeSeries<'_>,
    histograms: HistogramWindow<'_>,
    out: &mut Series,
    notes: &mut Notes,
) {
    let step = histograms.window.index;
    let floats = series.windows.get(step).unwrap_or(histograms.window);
    let result = match function.histograms {
        WithHistograms::Ignored => {
            if floats.len() > 0 {
                notes.add(Note::Ignored);
            }
            return;
        }
        WithHistograms::Apart(_) if floats.len() > 0 => {
            notes.add(Note::MixedTypes);
            None
        }
        WithHistograms::Apart(value) => {
            value(call, histograms, notes).map(|one| Sample::Histogram(Arc::new(one)))
        }
        WithHistograms::Both(value) => {
            let of_floats = Some(out.values[step]).filter(|value| !is_absent(*value));
            value(call, &MixedWindow { floats: series.column.part(&floats), of_floats, histograms }, notes)
        }
    };
    out.values[step] = ABSENT;
    if let Some(sample) = result {
        out.put(step, sample);
    }
}

/// Fills in one value per step, as if there were no histograms.
fn fill_numbers(
    watch: &mut Watch<'_>,
    call: &RangeCall,
    function: &RangeFunction,
    series: &RangeSeries<'_>,
    out: &mut [f64],
) -> Result<(), EvalError> {
    let (column, windows) = (series.column, series.windows);
    match &function.fill {
        Fill::Windows(fill) => fill(call, column, windows, out),
        Fill::Watched(fill) => fill(call, column, windows, out, &mut |n| watch.tick(n))?,
        Fill::Ends(value) => {
            for window in windows.iter().filter(|window| window.len() > 0) {
                out[window.index] = value(column, &window);
            }
        }
        Fill::Values(value) => {
            for window in windows.iter().filter(|window| window.len() > 0) {
                watch.tick(window.len())?;
                out[window.index] = value(call, &window, &column.values[window.lo..window.hi]);
            }
        }
    }
    Ok(())
}
