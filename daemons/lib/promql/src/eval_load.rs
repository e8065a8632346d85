//! Reads every selector's samples before evaluation starts. Selectors with equal matchers whose times overlap share
//! one read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::{FloatHistogram, Labels, Matcher, TimeMs};

use crate::answer::EvalError;
use crate::ast::{Expr, ExprKind, Extension, VectorSelector};
use crate::eval_duration;
use crate::evaluator::Evaluator;
use crate::facts;
use crate::histogram_hints;
use crate::series::Steps;
use crate::source::{HistogramPoint, Selection, SeriesData, is_stale};
use crate::windows::Column;

/// The series of one read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) series: Vec<LoadedSeries>,
}

/// One series as read.
#[derive(Debug)]
pub(crate) struct LoadedSeries {
    pub(crate) labels: Arc<Labels>,
    pub(crate) floats: Samples<f64>,
    /// At none of their times is there a float.
    pub(crate) histograms: Samples<Arc<FloatHistogram>>,
}

/// Samples of one kind, ascending by time.
#[derive(Debug)]
pub(crate) struct Samples<T> {
    /// Milliseconds.
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<T>,
    /// Start timestamps, milliseconds, 0 where none is known; empty when they are not wanted.
    pub(crate) starts: Vec<i64>,
    /// Without staleness markers, only when there are any: windows never see markers.
    unmarked: Option<Box<Samples<T>>>,
}

/// A value that may stand for "the series is gone from here on".
pub(crate) trait MaybeMarker: Clone {
    fn is_marker(&self) -> bool;
}

impl MaybeMarker for f64 {
    fn is_marker(&self) -> bool {
        is_stale(*self)
    }
}

impl MaybeMarker for Arc<FloatHistogram> {
    fn is_marker(&self) -> bool {
        is_stale(self.sum)
    }
}

impl<T: MaybeMarker> Samples<T> {
    fn new(times: Vec<i64>, values: Vec<T>, starts: Vec<i64>) -> Self {
        let unmarked = values.iter().any(MaybeMarker::is_marker).then(|| {
            let kept = || (0..times.len()).filter(|at| !values[*at].is_marker());
            Box::new(Self {
                times: kept().map(|at| times[at]).collect(),
                values: kept().map(|at| values[at].clone()).collect(),
                starts: kept().filter_map(|at| starts.get(at).copied()).collect(),
                unmarked: None,
            })
        });
        Self { times, values, starts, unmarked }
    }

    /// Puts other values in the place of those there are, as `f` makes them.
    pub(crate) fn replace(&mut self, f: impl Fn(&Self) -> Vec<T>) {
        let values = f(self);
        let times = std::mem::take(&mut self.times);
        let starts = std::mem::take(&mut self.starts);
        *self = Self::new(times, values, starts);
    }

    /// The samples without staleness markers.
    pub(crate) fn column(&self) -> Column<'_, T> {
        let samples = self.unmarked.as_deref().unwrap_or(self);
        Column { times: &samples.times, values: &samples.values, starts: &samples.starts }
    }
}

/// Samples that one selector needs: `start < time <= end`, milliseconds.
struct Need<'a> {
    selector: &'a VectorSelector,
    /// Usually those of the selector.
    matchers: Cow<'a, [Matcher]>,
    start: i64,
    end: i64,
    /// Whether hints about counter resets are worked out where histograms have none.
    wants_hints: bool,
}

/// Reads what `expr` needs for `steps` into the evaluator.
pub(crate) fn load<'a>(evaluator: &mut Evaluator<'a>, expr: &'a Expr, steps: Steps) -> Result<(), EvalError> {
    let mut needs = Vec::new();
    find_needs(evaluator, expr, steps, &mut needs)?;
    let with_hints = facts::selectors_of_statistics(expr);
    for need in &mut needs {
        need.wants_hints = with_hints.contains(&std::ptr::from_ref(need.selector));
    }
    let mut by_matchers: BTreeMap<String, Vec<Need<'a>>> = BTreeMap::new();
    for need in needs {
        let matchers: String = need.matchers.iter().map(|matcher| format!("{matcher},")).collect();
        let key = format!("{matchers}{}", need.wants_hints);
        by_matchers.entry(key).or_default().push(need);
    }
    for (_, mut needs) in by_matchers {
        needs.sort_by_key(|need| need.start);
        let mut group: Vec<Need<'a>> = Vec::new();
        let mut group_end = i64::MIN;
        for need in needs {
            if !group.is_empty() && need.start > group_end {
                read_group(evaluator, &std::mem::take(&mut group), group_end)?;
            }
            group_end = if group.is_empty() { need.end } else { group_end.max(need.end) };
            group.push(need);
        }
        read_group(evaluator, &group, group_end)?;
    }
    Ok(())
}

fn read_group(evaluator: &mut Evaluator<'_>, group: &[Need<'_>], end: i64) -> Result<(), EvalError> {
    let Some(first) = group.first() else { return Ok(()) };
    evaluator.check_stop()?;
    let mut loaded = read(evaluator, &first.matchers, first.start, end)?;
    if first.wants_hints {
        for series in &mut loaded.series {
            histogram_hints::work_out(&mut series.histograms, &series.floats.times);
        }
    }
    let loaded = Arc::new(loaded);
    for need in group {
        evaluator.loaded.insert(std::ptr::from_ref(need.selector), Arc::clone(&loaded));
    }
    Ok(())
}

fn read(
    evaluator: &mut Evaluator<'_>,
    matchers: &[Matcher],
    start: i64,
    end: i64,
) -> Result<Loaded, EvalError> {
    if start >= end {
        return Ok(Loaded { series: Vec::new() });
    }
    let selection = Selection { matchers, start: TimeMs(start.saturating_add(1)), end: TimeMs(end) };
    let found = evaluator.source.select(&selection).map_err(EvalError::Source)?;
    let mut series = Vec::with_capacity(found.len());
    for one in found {
        let n = one.times.len() + one.histograms.len();
        if n == 0 {
            continue;
        }
        evaluator.samples_read += n as u64;
        let one = loaded_series(one, evaluator.options.start_timestamps);
        let n_histogram_samples: usize = one.histograms.values.iter().map(|value| value.n_samples()).sum();
        evaluator.hold(one.floats.times.len() + n_histogram_samples)?;
        evaluator.tick(n)?;
        series.push(one);
    }
    Ok(Loaded { series })
}

fn loaded_series(data: SeriesData, wants_starts: bool) -> LoadedSeries {
    let SeriesData { labels, times, values, starts, histograms } = data;
    let histogram_times = histograms.iter().map(|point| point.time).collect();
    let has_starts = wants_starts && histograms.iter().any(|point| point.start != 0);
    let histogram_starts =
        if has_starts { histograms.iter().map(|point| point.start).collect() } else { Vec::new() };
    let float = |point: HistogramPoint| Arc::new(FloatHistogram::from(&*point.histogram));
    let histograms = histograms.into_iter().map(float).collect();
    LoadedSeries {
        labels,
        floats: Samples::new(times, values, if wants_starts { starts } else { Vec::new() }),
        histograms: Samples::new(histogram_times, histograms, histogram_starts),
    }
}

fn find_needs<'a>(
    evaluator: &Evaluator<'a>,
    expr: &'a Expr,
    steps: Steps,
    needs: &mut Vec<Need<'a>>,
) -> Result<(), EvalError> {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Vector(selector) => {
            push_need(evaluator, selector, steps, 0, needs)?;
        }
        ExprKind::Matrix(matrix) => {
            let range = eval_duration::positive_ms(&matrix.range, evaluator.lengths)?;
            push_need(evaluator, &matrix.selector, steps, range, needs)?;
        }
        ExprKind::Subquery(subquery) => {
            let inner = crate::eval_subquery::inner_steps(evaluator, subquery, steps)?;
            if inner.n > 0 {
                find_needs(evaluator, &subquery.expr, inner, needs)?;
            }
        }
        ExprKind::Call(call) => {
            for arg in &call.args {
                find_needs(evaluator, arg, steps, needs)?;
            }
        }
        ExprKind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                find_needs(evaluator, param, steps, needs)?;
            }
            find_needs(evaluator, &aggregate.expr, steps, needs)?;
        }
        ExprKind::Binary(binary) => {
            find_needs(evaluator, &binary.lhs, steps, needs)?;
            find_needs(evaluator, &binary.rhs, steps, needs)?;
        }
        ExprKind::Unary(unary) => find_needs(evaluator, &unary.expr, steps, needs)?,
        ExprKind::Paren(inner) => find_needs(evaluator, inner, steps, needs)?,
    }
    Ok(())
}

/// `range` is 0 for an instant selector.
fn push_need<'a>(
    evaluator: &Evaluator<'a>,
    selector: &'a VectorSelector,
    steps: Steps,
    range: i64,
    needs: &mut Vec<Need<'a>>,
) -> Result<(), EvalError> {
    let offset = match &selector.offset {
        Some(offset) => eval_duration::any_ms(offset, evaluator.lengths)?,
        None => 0,
    };
    let (first, last) = match evaluator.fixed_time(selector.at) {
        Some(time) => (time, time),
        None => (steps.start, steps.end()),
    };
    let lookback = evaluator.options.lookback_ms;
    // A bordered window also looks for a neighbour before it, a smoothed one for a neighbour behind it.
    let before = match selector.extension {
        Extension::None if range > 0 => range,
        Extension::None => lookback,
        Extension::Anchored | Extension::Smoothed => range.saturating_add(lookback),
    };
    let after = if selector.extension == Extension::Smoothed { lookback } else { 0 };
    needs.push(Need {
        selector,
        matchers: Cow::Borrowed(&selector.matchers),
        wants_hints: false,
        start: first.saturating_sub(offset).saturating_sub(before),
        end: last.saturating_sub(offset).saturating_add(after),
    });
    Ok(())
}
