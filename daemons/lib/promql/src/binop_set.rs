//! `and`, `or`, `unless`.

use std::collections::HashMap;

use cairn_model::Labels;

use crate::answer::EvalError;
use crate::ast::{Binary, BinaryOp, VectorMatching};
use crate::binop::signature;
use crate::evaluator::{Evaluator, Sink};
use crate::series::{Series, Steps, merge_equal};

/// At which steps a group has an element.
type Presence = HashMap<Labels, Vec<bool>>;

/// Pushes the result of a set operation.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    binary: &'a Binary,
    matching: &VectorMatching,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    if binary.op == BinaryOp::Or {
        return stream_or(evaluator, binary, matching, steps, sink);
    }
    // Only where the right side has elements needs to be known; the left side then streams.
    let present = presence(evaluator, binary, matching, steps)?;
    let wants_present = binary.op == BinaryOp::And;
    evaluator.stream(&binary.lhs, steps, &mut |evaluator, mut series: Series| {
        evaluator.tick(steps.n)?;
        match present.get(&signature(matching, &series.labels)) {
            Some(present) => keep_where(&mut series, present, wants_present),
            None if wants_present => return Ok(()),
            None => {}
        }
        if series.is_empty() { Ok(()) } else { sink(evaluator, series) }
    })
}

fn presence<'a>(
    evaluator: &mut Evaluator<'a>,
    binary: &'a Binary,
    matching: &VectorMatching,
    steps: Steps,
) -> Result<Presence, EvalError> {
    let mut present = Presence::new();
    evaluator.stream(&binary.rhs, steps, &mut |evaluator, series| {
        evaluator.tick(steps.n)?;
        mark(&mut present, matching, &series);
        Ok(())
    })?;
    Ok(present)
}

fn mark(present: &mut Presence, matching: &VectorMatching, series: &Series) {
    let steps = present
        .entry(signature(matching, &series.labels))
        .or_insert_with(|| vec![false; series.values.len()]);
    for (step, is_present) in steps.iter_mut().enumerate() {
        *is_present |= series.is_present(step);
    }
}

fn keep_where(series: &mut Series, present: &[bool], wanted: bool) {
    for (step, present) in present.iter().enumerate() {
        if *present != wanted {
            series.clear(step);
        }
    }
}

/// All of the left side, and of the right side what has no match on the left.
fn stream_or<'a>(
    evaluator: &mut Evaluator<'a>,
    binary: &'a Binary,
    matching: &VectorMatching,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let mut all = evaluator.collect(&binary.lhs, steps)?;
    let mut present = Presence::new();
    for series in &all {
        mark(&mut present, matching, series);
    }
    evaluator.stream(&binary.rhs, steps, &mut |evaluator, mut series: Series| {
        evaluator.tick(steps.n)?;
        if let Some(present) = present.get(&signature(matching, &series.labels)) {
            keep_where(&mut series, present, false);
        }
        if !series.is_empty() {
            evaluator.hold(series.n_samples())?;
            all.push(series);
        }
        Ok(())
    })?;
    evaluator.release_series(&all);
    // With delayed name removal, equal labels are told apart by their names at the end of the query.
    for series in merge_equal(all)? {
        sink(evaluator, series)?;
    }
    Ok(())
}
