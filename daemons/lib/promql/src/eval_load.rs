//! Reads every selector's samples before evaluation starts. Selectors with equal matchers whose times overlap share
//! one read.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::{Labels, Matcher, TimeMs};

use crate::answer::EvalError;
use crate::ast::{Expr, ExprKind, Extension, VectorSelector};
use crate::eval_duration;
use crate::evaluator::Evaluator;
use crate::series::Steps;
use crate::source::{Selection, is_stale};

/// The series of one read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) series: Vec<LoadedSeries>,
}

/// One series as read.
#[derive(Debug)]
pub(crate) struct LoadedSeries {
    pub(crate) labels: Arc<Labels>,
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<f64>,
    /// Without staleness markers, only when there are any: windows never see markers.
    pub(crate) unmarked: Option<(Vec<i64>, Vec<f64>)>,
}

/// Samples that one selector needs: `start < time <= end`, milliseconds.
struct Need<'a> {
    selector: &'a VectorSelector,
    start: i64,
    end: i64,
}

/// Reads what `expr` needs for `steps` into the evaluator.
pub(crate) fn load<'a>(evaluator: &mut Evaluator<'a>, expr: &'a Expr, steps: Steps) -> Result<(), EvalError> {
    let mut needs = Vec::new();
    find_needs(evaluator, expr, steps, &mut needs)?;
    let mut by_matchers: BTreeMap<String, Vec<Need<'a>>> = BTreeMap::new();
    for need in needs {
        let key = need.selector.matchers.iter().map(|m| format!("{m},")).collect();
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
    let loaded = Arc::new(read(evaluator, &first.selector.matchers, first.start, end)?);
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
        // Native histograms are not evaluated: a series that has nothing else in the range is none.
        if one.times.is_empty() {
            continue;
        }
        let n = one.times.len();
        evaluator.samples_read += n as u64;
        evaluator.hold(n)?;
        evaluator.tick(n)?;
        let unmarked = one
            .values
            .iter()
            .any(|value| is_stale(*value))
            .then(|| one.times.iter().zip(&one.values).filter(|(_, value)| !is_stale(**value)).unzip());
        series.push(LoadedSeries { labels: one.labels, times: one.times, values: one.values, unmarked });
    }
    Ok(Loaded { series })
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
        start: first.saturating_sub(offset).saturating_sub(before),
        end: last.saturating_sub(offset).saturating_add(after),
    });
    Ok(())
}
