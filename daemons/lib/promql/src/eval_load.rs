//! Reads every selector's samples before evaluation starts. Selectors with equal matchers whose times overlap share
//! one read; one that has more matchers than another one, and looks at no other times, takes its series from that one's.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_model::{FloatHistogram, Matcher, TimeMs};
use rayon::prelude::*;

use crate::answer::EvalError;
use crate::ast::{Call, Expr, ExprKind, Extension, VectorSelector};
use crate::eval_duration;
use crate::evaluator::Evaluator;
use crate::facts;
use crate::loaded::{Loaded, LoadedSeries, Samples};
use crate::series::Steps;
use crate::source::{HistogramPoint, Selection, SeriesData, TooManySamples};
use crate::{func_info, histogram_hints};

/// Series that one core converts in a row.
const SERIES_IN_A_ROW: usize = 64;

/// Who reads: a selector, or a call of `info()` for the info series; by its place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    Selector(*const VectorSelector),
    Info(*const Call),
}

impl Reader {
    pub(crate) fn selector(selector: &VectorSelector) -> Self {
        Self::Selector(std::ptr::from_ref(selector))
    }
}

/// Samples that one reader needs: `start < time <= end`, milliseconds.
struct Need<'a> {
    reader: Reader,
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
        need.wants_hints =
            matches!(need.reader, Reader::Selector(selector) if with_hints.contains(&selector));
    }
    let mut by_matchers: BTreeMap<(BTreeSet<String>, bool), Vec<Need<'a>>> = BTreeMap::new();
    for need in needs {
        let matchers = need.matchers.iter().map(Matcher::to_string).collect();
        by_matchers.entry((matchers, need.wants_hints)).or_default().push(need);
    }
    let mut reads: Vec<Read<'a>> = Vec::new();
    for ((matchers, _), mut needs) in by_matchers {
        needs.sort_by_key(|need| need.start);
        let n_before = reads.len();
        for need in needs {
            match reads[n_before..].last_mut() {
                Some(read) if need.start <= read.end => {
                    read.end = read.end.max(need.end);
                    read.needs.push(need);
                }
                _ => reads.push(Read {
                    matchers: matchers.clone(),
                    start: need.start,
                    end: need.end,
                    needs: vec![need],
                    loaded: Arc::default(),
                }),
            }
        }
    }
    // Whatever another read has in it has more matchers than that one.
    reads.sort_by_key(|read| read.matchers.len());
    for at in 0..reads.len() {
        evaluator.watch.check_stop()?;
        let (earlier, rest) = reads.split_at_mut(at);
        let Some(read) = rest.first_mut() else { break };
        let wider = earlier[..at.min(MAX_WIDER)].iter().find(|wider| wider.has(read));
        read.loaded = Arc::new(match wider {
            Some(wider) => wider.loaded.pick(&read.needs[0].matchers),
            None => read_from_source(evaluator, read)?,
        });
        for need in &read.needs {
            evaluator.loaded.insert(need.reader, Arc::clone(&read.loaded));
        }
    }
    Ok(())
}

/// Reads that one is compared with, at most: there can be thousands in a query.
const MAX_WIDER: usize = 64;

/// What one or several readers need, none of which is empty.
struct Read<'a> {
    /// As text, each once.
    matchers: BTreeSet<String>,
    start: i64,
    end: i64,
    needs: Vec<Need<'a>>,
    loaded: Arc<Loaded>,
}

impl Read<'_> {
    /// Whether all samples of another read are among those of this one.
    fn has(&self, other: &Self) -> bool {
        let is_wider = self.matchers.len() < other.matchers.len() && self.matchers.is_subset(&other.matchers);
        let has_times = other.start < other.end && self.start <= other.start && self.end >= other.end;
        is_wider && has_times && self.needs[0].wants_hints == other.needs[0].wants_hints
    }
}

fn read_from_source(evaluator: &mut Evaluator<'_>, wanted: &Read<'_>) -> Result<Loaded, EvalError> {
    let first = &wanted.needs[0];
    let mut series = read(evaluator, &first.matchers, wanted.start, wanted.end)?;
    if first.wants_hints {
        for one in &mut series {
            histogram_hints::work_out(&mut one.histograms, &one.floats.times);
        }
    }
    Ok(Loaded::all(series))
}

fn read(
    evaluator: &mut Evaluator<'_>,
    matchers: &[Matcher],
    start: i64,
    end: i64,
) -> Result<Vec<LoadedSeries>, EvalError> {
    if start >= end {
        return Ok(Vec::new());
    }
    let selection = Selection { matchers, start: TimeMs(start.saturating_add(1)), end: TimeMs(end) };
    let found = evaluator.source.select(&selection).map_err(|error| match error.downcast_ref() {
        Some(TooManySamples) => EvalError::TooManySamples,
        None => EvalError::Source(error),
    })?;
    let wants_starts = evaluator.options.start_timestamps;
    let (watch, room, loaded) = (evaluator.watch, evaluator.room(), AtomicU64::new(0));
    let series: Vec<LoadedSeries> = found
        .into_par_iter()
        .with_min_len(SERIES_IN_A_ROW)
        .filter(|one| one.times.len() + one.histograms.len() > 0)
        .map(|one| {
            if !one.histograms.is_empty() {
                watch.check_stop()?;
            }
            let one = loaded_series(one, wants_starts);
            let of_histograms: usize = one.histograms.values.iter().map(|value| value.n_samples()).sum();
            let n = (one.floats.times.len() + of_histograms) as u64;
            if loaded.fetch_add(n, Ordering::Relaxed).saturating_add(n) > room {
                return Err(EvalError::TooManySamples);
            }
            Ok(one)
        })
        .collect::<Result<_, EvalError>>()?;
    for one in &series {
        evaluator.samples_read += (one.floats.times.len() + one.histograms.times.len()) as u64;
    }
    evaluator.hold(usize::try_from(loaded.into_inner()).unwrap_or(usize::MAX))?;
    Ok(series)
}

fn loaded_series(data: SeriesData, wants_starts: bool) -> LoadedSeries {
    let SeriesData { labels, times, values, starts, histograms, has_no_markers } = data;
    let histogram_times = histograms.iter().map(|point| point.time).collect();
    let has_starts = wants_starts && histograms.iter().any(|point| point.start != 0);
    let histogram_starts =
        if has_starts { histograms.iter().map(|point| point.start).collect() } else { Vec::new() };
    let float = |point: HistogramPoint| Arc::new(FloatHistogram::from(&*point.histogram));
    let histograms = histograms.into_iter().map(float).collect();
    LoadedSeries {
        labels,
        floats: Samples::checked(
            times,
            values,
            if wants_starts { starts } else { Vec::new() },
            has_no_markers,
        ),
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
        ExprKind::Call(call) if func_info::is_info(call) => {
            let base = &call.args[0];
            find_needs(evaluator, base, steps, needs)?;
            if let Some(selector) = func_info::time_selector(base) {
                let (start, end) = instants(evaluator, selector, steps)?;
                needs.push(Need {
                    reader: Reader::Info(std::ptr::from_ref(call)),
                    matchers: Cow::Owned(func_info::matchers(call)),
                    start: start.saturating_sub(evaluator.options.lookback_ms),
                    end,
                    wants_hints: false,
                });
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

/// The first and the last instant at which a selector looks, milliseconds.
fn instants(
    evaluator: &Evaluator<'_>,
    selector: &VectorSelector,
    steps: Steps,
) -> Result<(i64, i64), EvalError> {
    let offset = match &selector.offset {
        Some(offset) => eval_duration::any_ms(offset, evaluator.lengths)?,
        None => 0,
    };
    let (first, last) = match evaluator.fixed_time(selector.at) {
        Some(time) => (time, time),
        None => (steps.start, steps.end()),
    };
    Ok((first.saturating_sub(offset), last.saturating_sub(offset)))
}

/// `range` is 0 for an instant selector.
fn push_need<'a>(
    evaluator: &Evaluator<'a>,
    selector: &'a VectorSelector,
    steps: Steps,
    range: i64,
    needs: &mut Vec<Need<'a>>,
) -> Result<(), EvalError> {
    let (first, last) = instants(evaluator, selector, steps)?;
    let lookback = evaluator.options.lookback_ms;
    // A bordered window also looks for a neighbour before it, a smoothed one for a neighbour behind it.
    let before = match selector.extension {
        Extension::None if range > 0 => range,
        Extension::None => lookback,
        Extension::Anchored | Extension::Smoothed => range.saturating_add(lookback),
    };
    let after = if selector.extension == Extension::Smoothed { lookback } else { 0 };
    needs.push(Need {
        reader: Reader::selector(selector),
        matchers: Cow::Borrowed(&selector.matchers),
        wants_hints: false,
        start: first.saturating_sub(before),
        end: last.saturating_add(after),
    });
    Ok(())
}
