//! Operators between numbers and series.

use std::collections::BTreeMap;

use cairn_model::Labels;

use crate::answer::EvalError;
use crate::ast::{Binary, BinaryOp, GroupSide, Matching};
use crate::engine_metric::{EvalSeries, EvalValue};

/// What an operator makes of two values: a number, or for a comparison whether it holds.
enum Outcome {
    Value(f64),
    Holds(bool),
}

fn apply(op: BinaryOp, left: f64, right: f64) -> Outcome {
    Outcome::Value(match op {
        BinaryOp::Compare(op) => return Outcome::Holds(op.holds(left, right)),
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide | BinaryOp::Modulo if right == 0.0 => f64::NAN,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => f64::NAN,
    })
}

/// An operator between two plain numbers; a comparison gives 1 or 0.
pub(crate) fn fold(op: BinaryOp, left: f64, right: f64) -> f64 {
    match apply(op, left, right) {
        Outcome::Value(value) => value,
        Outcome::Holds(holds) => f64::from(u8::from(holds)),
    }
}

/// The value of a point, if it stays. `kept` is the side that a filter passes on.
fn point(binary: &Binary, left: f64, right: f64, kept: f64) -> Option<f64> {
    match apply(binary.op, left, right) {
        Outcome::Value(value) => Some(value),
        Outcome::Holds(holds) if binary.return_bool => Some(f64::from(u8::from(holds))),
        Outcome::Holds(holds) => holds.then_some(kept),
    }
}

/// Evaluates an operator.
///
/// # Errors
/// Series that match more than one partner.
pub(crate) fn evaluate(
    binary: &Binary,
    left: EvalValue,
    right: EvalValue,
    steps: u32,
) -> Result<EvalValue, EvalError> {
    Ok(match (left, right) {
        (EvalValue::Scalar(left), EvalValue::Scalar(right)) => {
            EvalValue::Scalar(fold(binary.op, left, right))
        }
        (EvalValue::Vector(series), EvalValue::Scalar(right)) => {
            EvalValue::Vector(map_points(series, |left| point(binary, left, right, left)))
        }
        (EvalValue::Scalar(left), EvalValue::Vector(series)) => {
            EvalValue::Vector(map_points(series, |right| point(binary, left, right, right)))
        }
        (EvalValue::Vector(left), EvalValue::Vector(right)) => EvalValue::Vector(if binary.op.is_set_op() {
            set_op(binary, left, right, steps)
        } else {
            match_series(binary, left, right, steps)?
        }),
    })
}

fn map_points(series: Vec<EvalSeries>, f: impl Fn(f64) -> Option<f64>) -> Vec<EvalSeries> {
    let map = |mut one: EvalSeries| {
        one.points = one.points.iter().filter_map(|(step, value)| Some((*step, f(*value)?))).collect();
        (!one.points.is_empty()).then_some(one)
    };
    series.into_iter().filter_map(map).collect()
}

/// The labels on which two series meet.
fn signature(labels: &Labels, matching: Option<&Matching>) -> Labels {
    match matching {
        None => labels.clone(),
        Some(m) if m.on => {
            Labels::from_pairs(m.labels.iter().map(|name| (name.as_str(), labels.value(name))))
        }
        Some(m) => Labels::from_pairs(labels.iter().filter(|(name, _)| !m.labels.iter().any(|n| n == name))),
    }
}

type Groups = BTreeMap<Labels, (Vec<EvalSeries>, Vec<EvalSeries>)>;

fn group(binary: &Binary, left: Vec<EvalSeries>, right: Vec<EvalSeries>) -> Groups {
    let mut groups = Groups::new();
    let matching = binary.matching.as_ref();
    for one in left {
        groups.entry(signature(&one.labels, matching)).or_default().0.push(one);
    }
    for one in right {
        groups.entry(signature(&one.labels, matching)).or_default().1.push(one);
    }
    groups
}

/// Which steps any of the series has.
fn steps_of(series: &[EvalSeries], steps: u32) -> Vec<bool> {
    let mut present = vec![false; steps as usize];
    series.iter().flat_map(|s| &s.points).for_each(|(step, _)| present[*step as usize] = true);
    present
}

fn set_op(binary: &Binary, left: Vec<EvalSeries>, right: Vec<EvalSeries>, steps: u32) -> Vec<EvalSeries> {
    let mut out = Vec::new();
    for (left, right) in group(binary, left, right).into_values() {
        let filter = |series: Vec<EvalSeries>, present: &[bool], wanted: bool, out: &mut Vec<EvalSeries>| {
            for mut one in series {
                one.points.retain(|(step, _)| present[*step as usize] == wanted);
                if !one.points.is_empty() {
                    out.push(one);
                }
            }
        };
        match binary.op {
            BinaryOp::And => filter(left, &steps_of(&right, steps), true, &mut out),
            BinaryOp::Unless => filter(left, &steps_of(&right, steps), false, &mut out),
            _ => {
                let present = steps_of(&left, steps);
                out.extend(left);
                filter(right, &present, false, &mut out);
            }
        }
    }
    merge_equal(out)
}

/// Series with the same labels but points at different steps are one series.
fn merge_equal(mut series: Vec<EvalSeries>) -> Vec<EvalSeries> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series.dedup_by(|next, kept| {
        let is_same = next.labels == kept.labels;
        if is_same {
            kept.points.append(&mut next.points);
            kept.points.sort_by_key(|p| p.0);
            kept.points.dedup_by_key(|p| p.0);
        }
        is_same
    });
    series
}

/// Arithmetic and comparison between the series that meet.
fn match_series(
    binary: &Binary,
    left: Vec<EvalSeries>,
    right: Vec<EvalSeries>,
    steps: u32,
) -> Result<Vec<EvalSeries>, EvalError> {
    let side: Option<&GroupSide> = binary.matching.as_ref().and_then(|m| m.group.as_ref());
    let many_is_left = side.is_none_or(|s| s.left);
    let mut out: Vec<EvalSeries> = Vec::new();
    for (left, right) in group(binary, left, right).into_values() {
        if left.is_empty() || right.is_empty() {
            continue;
        }
        let (many, one) = if many_is_left { (left, right) } else { (right, left) };
        let partners = partners(&one, steps, many_is_left)?;
        let mut taken = vec![false; steps as usize];
        for series in &many {
            // The partner may change from step to step, and with it the labels it lends.
            let mut results: BTreeMap<usize, Vec<(u32, f64)>> = BTreeMap::new();
            for (step, value) in &series.points {
                let Some((partner, other)) = partners[*step as usize] else { continue };
                let (left, right) = if many_is_left { (*value, other) } else { (other, *value) };
                // A filter passes on the left side's value.
                let Some(result) = point(binary, left, right, left) else { continue };
                if side.is_none() && std::mem::replace(&mut taken[*step as usize], true) {
                    return Err(EvalError::Query(
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                            .to_owned(),
                    ));
                }
                results.entry(partner).or_default().push((*step, result));
            }
            for (partner, points) in results {
                let labels = result_labels(binary, side, &series.labels, &one[partner].labels);
                out.push(EvalSeries { labels, points });
            }
        }
    }
    merge_distinct(out)
}

/// The series of the side with one partner at each step: its number and value.
fn partners(
    one: &[EvalSeries],
    steps: u32,
    many_is_left: bool,
) -> Result<Vec<Option<(usize, f64)>>, EvalError> {
    let mut partners = vec![None; steps as usize];
    for (number, series) in one.iter().enumerate() {
        for (step, value) in &series.points {
            if partners[*step as usize].replace((number, *value)).is_some() {
                let side = if many_is_left { "right" } else { "left" };
                return Err(EvalError::Query(format!(
                    "found duplicate series on the {side} hand-side;many-to-many matching not allowed: matching labels must \
                     be unique on one side"
                )));
            }
        }
    }
    Ok(partners)
}

fn result_labels(binary: &Binary, side: Option<&GroupSide>, many: &Labels, one: &Labels) -> Labels {
    match side {
        Some(side) => {
            let mut labels = many.to_builder();
            for name in &side.include {
                labels.set(name, one.value(name));
            }
            labels.build()
        }
        None => signature(many, binary.matching.as_ref()),
    }
}

/// Like [`merge_equal`], for results that must not meet at one step.
fn merge_distinct(mut series: Vec<EvalSeries>) -> Result<Vec<EvalSeries>, EvalError> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut clash = false;
    series.dedup_by(|next, kept| {
        let is_same = next.labels == kept.labels;
        if is_same {
            kept.points.append(&mut next.points);
            kept.points.sort_by_key(|p| p.0);
            clash |= kept.points.windows(2).any(|pair| pair[0].0 == pair[1].0);
        }
        is_same
    });
    if clash {
        return Err(EvalError::Query(
            "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
        ));
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::CmpOp;

    #[test]
    fn numbers() {
        for (op, left, right, want) in [
            (BinaryOp::Power, 2.0, 3.0, 8.0),
            (BinaryOp::Compare(CmpOp::Greater), 1.0, 2.0, 0.0),
            (BinaryOp::Compare(CmpOp::Less), 1.0, 2.0, 1.0),
            (BinaryOp::Modulo, 7.0, 4.0, 3.0),
        ] {
            assert!((fold(op, left, right) - want).abs() < 1e-12, "{op:?}");
        }
        assert!(fold(BinaryOp::Divide, 1.0, 0.0).is_nan());
        assert!(fold(BinaryOp::Modulo, 1.0, 0.0).is_nan());
    }
}
