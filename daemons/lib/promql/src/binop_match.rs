//! Arithmetic and comparisons between two vectors: elements match by labels, step by step.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::Labels;

use crate::annotations::Notes;
use crate::answer::EvalError;
use crate::ast::{Binary, Cardinality, Span, VectorMatching};
use crate::binop::{keeps_name, signature};
use crate::binop_element::{Operand, operate};
use crate::evaluator::{Evaluator, Sink};
use crate::series::{ABSENT, Series, Steps, is_identity_label};

/// The series of both sides with equal match labels.
struct MatchGroup {
    labels: Labels,
    /// The side that may have several elements: the left one, except under `group_right`.
    many: Vec<usize>,
    one: Vec<usize>,
}

/// Everything that stays the same over all groups.
struct Operation<'o> {
    binary: &'o Binary,
    matching: &'o VectorMatching,
    many: &'o [Series],
    one: &'o [Series],
    /// Stands in for a missing element of the many side.
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    /// Steps at which the many side has any element at all.
    many_at: Vec<bool>,
    steps: Steps,
}

impl Operation<'_> {
    fn is_right_many(&self) -> bool {
        self.matching.card == Cardinality::OneToMany
    }
}

/// Pushes the result of an operation between two vectors.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    binary: &'a Binary,
    matching: &VectorMatching,
    span: Span,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let left = evaluator.collect(&binary.lhs, steps)?;
    let right = evaluator.collect(&binary.rhs, steps)?;
    let is_right_many = matching.card == Cardinality::OneToMany;
    let (many, one) = if is_right_many { (&right, &left) } else { (&left, &right) };
    // Prometheus swaps the sides of `group_right` before it fills: `fill_left` stands for the many side even then
    // (fill-modifier.test has it so).
    let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
    let mut many_at = vec![false; steps.n];
    for series in many {
        for (step, at) in many_at.iter_mut().enumerate() {
            *at |= series.is_present(step);
        }
    }
    let operation = Operation { binary, matching, many, one, fill_many, fill_one, many_at, steps };
    let groups = match_groups(matching, many, one);
    let mut notes = Notes::default();
    for group in &groups {
        evaluator.tick(steps.n * (group.many.len() + group.one.len()))?;
        for series in evaluate_group(&operation, group, &mut notes)? {
            sink(evaluator, series)?;
        }
    }
    for note in notes.drain() {
        evaluator.annotations.note(note, "", span);
    }
    evaluator.release_series(&left);
    evaluator.release_series(&right);
    Ok(())
}

/// Groups in the order in which the many side, then the one side, first has them.
fn match_groups(matching: &VectorMatching, many: &[Series], one: &[Series]) -> Vec<MatchGroup> {
    let mut index_of: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<MatchGroup> = Vec::new();
    for (is_many, side) in [(true, many), (false, one)] {
        for (index, series) in side.iter().enumerate() {
            let labels = signature(matching, &series.labels);
            let at = *index_of.entry(labels.clone()).or_insert_with(|| {
                groups.push(MatchGroup { labels, many: Vec::new(), one: Vec::new() });
                groups.len() - 1
            });
            if is_many { groups[at].many.push(index) } else { groups[at].one.push(index) }
        }
    }
    groups
}

/// For each step the element of the one side. Two at once are an error wherever the many side has anything.
fn one_at_each_step(operation: &Operation<'_>, group: &MatchGroup) -> Result<Vec<Option<usize>>, EvalError> {
    let mut chosen: Vec<Option<usize>> = vec![None; operation.steps.n];
    for index in &group.one {
        for (step, chosen) in chosen.iter_mut().enumerate() {
            if !operation.one[*index].is_present(step) {
                continue;
            }
            match *chosen {
                None => *chosen = Some(*index),
                Some(_) if !operation.many_at[step] && operation.fill_many.is_none() => {}
                Some(other) => {
                    let mut texts = [*index, other].map(|at| operation.one[at].labels.to_string());
                    texts.sort();
                    let side = if operation.is_right_many() { "left" } else { "right" };
                    return Err(EvalError::Execution(format!(
                        "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                        group.labels, texts[0], texts[1]
                    )));
                }
            }
        }
    }
    Ok(chosen)
}

fn evaluate_group(
    operation: &Operation<'_>,
    group: &MatchGroup,
    notes: &mut Notes,
) -> Result<Vec<Series>, EvalError> {
    let one_at = one_at_each_step(operation, group)?;
    let mut results = Results::default();
    if operation.matching.card == Cardinality::OneToOne {
        results.kept = vec![false; operation.steps.n];
    }
    let mut has_many = vec![false; operation.steps.n];
    for many in &group.many {
        let series = &operation.many[*many];
        for step in 0..operation.steps.n {
            let Some(element) = series.operand(step) else { continue };
            has_many[step] = true;
            let partner = one_at[step].and_then(|one| operation.one[one].operand(step));
            let Some(other) = partner.or(operation.fill_one.map(Operand::Float)) else { continue };
            results.put(operation, group, step, (Some(*many), element), (one_at[step], other), notes)?;
        }
    }
    if let Some(fill) = operation.fill_many {
        for (step, one) in one_at.iter().enumerate() {
            if let (Some(one), false) = (one, has_many[step]) {
                let Some(element) = operation.one[*one].operand(step) else { continue };
                let filled = (None, Operand::Float(fill));
                results.put(operation, group, step, filled, (Some(*one), element), notes)?;
            }
        }
    }
    Ok(results.all)
}

/// The series of the many and the one side that a result comes from; none where it was filled in.
type Pair = (Option<usize>, Option<usize>);

/// Results of one group. Which labels a result has depends on the pair of series it comes from; a missing partner
/// has the group's labels.
#[derive(Default)]
struct Results {
    index_of: HashMap<Pair, usize>,
    /// The pair asked for last: usually the next one as well.
    latest: Option<(Pair, usize)>,
    by_labels: HashMap<Arc<Labels>, usize>,
    all: Vec<Series>,
    /// One to one: the steps that have a result.
    kept: Vec<bool>,
}

impl Results {
    fn put(
        &mut self,
        operation: &Operation<'_>,
        group: &MatchGroup,
        step: usize,
        many: (Option<usize>, Operand<'_>),
        one: (Option<usize>, Operand<'_>),
        notes: &mut Notes,
    ) -> Result<(), EvalError> {
        let binary = operation.binary;
        let (left, right) = if operation.is_right_many() { (one.1, many.1) } else { (many.1, one.1) };
        let Some(sample) = operate(binary.op, binary.return_bool, left, right, notes) else { return Ok(()) };
        if let Some(kept) = self.kept.get_mut(step)
            && std::mem::replace(kept, true)
        {
            return Err(EvalError::Execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                    .to_owned(),
            ));
        }
        let pair = (many.0, one.0);
        let known = match self.latest {
            Some((latest, at)) if latest == pair => Some(at),
            _ => self.index_of.get(&pair).copied(),
        };
        let at = match known {
            Some(at) => at,
            None => {
                let series = result_series(operation, group, many.0, one.0);
                // Two pairs may give equal labels, at different steps.
                let at = match self.by_labels.get(&series.labels) {
                    Some(at) => *at,
                    None => {
                        self.by_labels.insert(Arc::clone(&series.labels), self.all.len());
                        self.all.push(series);
                        self.all.len() - 1
                    }
                };
                self.index_of.insert(pair, at);
                at
            }
        };
        self.latest = Some((pair, at));
        let result = &mut self.all[at];
        if result.is_present(step) {
            return Err(EvalError::Execution(
                "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
            ));
        }
        result.put(step, sample);
        Ok(())
    }
}

/// An empty result series with the labels of the pair.
fn result_series(
    operation: &Operation<'_>,
    group: &MatchGroup,
    many: Option<usize>,
    one: Option<usize>,
) -> Series {
    let (binary, matching) = (operation.binary, operation.matching);
    let many_labels = many.map_or(&group.labels, |at| &*operation.many[at].labels);
    let one_labels = one.map_or(&group.labels, |at| &*operation.one[at].labels);
    let drops_name = many.is_some_and(|at| operation.many[at].drops_name);
    let keeps_name = keeps_name(binary);
    let mut builder = many_labels.to_builder();
    if !keeps_name {
        builder.retain(|name, _| !is_identity_label(name));
    }
    if matching.card == Cardinality::OneToOne {
        builder.retain(|name, _| matching.labels.iter().any(|label| label == name) == matching.on);
    }
    for label in &matching.include {
        builder.set(label, one_labels.value(label));
    }
    Series::floats(Arc::new(builder.build()), drops_name && keeps_name, vec![ABSENT; operation.steps.n])
}
