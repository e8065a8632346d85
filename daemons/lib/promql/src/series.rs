//! What expressions evaluate to: one column of values per series, one value per step.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::{Labels, TimeMs};

use crate::answer::EvalError;
use crate::parser_selector::METRIC_NAME;
use crate::source::STALE_NAN_BITS;

/// Marks a step without a value. The staleness marker can stand for it, because no stale sample survives selection
/// and no arithmetic makes this bit pattern (its NaNs are quiet).
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether the step has no value.
pub(crate) fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// The instants of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// First instant, milliseconds.
    pub(crate) start: i64,
    /// Distance, milliseconds; at least 1.
    pub(crate) step: i64,
    /// How many.
    pub(crate) n: usize,
}

impl Steps {
    /// A single instant.
    pub(crate) fn once(time: i64) -> Self {
        Self { start: time, step: 1, n: 1 }
    }

    /// Time of step `index`, milliseconds. Far ends saturate.
    pub(crate) fn time(&self, index: usize) -> i64 {
        let distance = i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(self.step);
        self.start.saturating_add(distance)
    }

    /// Time of the last step.
    pub(crate) fn end(&self) -> i64 {
        self.time(self.n.saturating_sub(1))
    }
}

/// Milliseconds as seconds.
pub(crate) fn seconds(ms: i64) -> f64 {
    TimeMs(ms).as_seconds()
}

/// One series of an evaluated vector.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Arc<Labels>,
    /// With delayed name removal: the name goes at the end of the query.
    pub(crate) drops_name: bool,
    /// One for each step; [`ABSENT`] where there is none.
    pub(crate) values: Vec<f64>,
}

impl Series {
    /// Replaces every present value.
    pub(crate) fn map(&mut self, f: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            if !is_absent(*value) {
                *value = f(*value);
            }
        }
    }

    /// Whether no step has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(|value| is_absent(*value))
    }
}

/// Labels that say what a metric is rather than where it comes from: they go when a result is no longer that metric.
pub(crate) fn is_identity_label(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// The labels without name, type and unit.
pub(crate) fn without_name(labels: &Arc<Labels>) -> Arc<Labels> {
    if labels.iter().any(|(name, _)| is_identity_label(name)) {
        Arc::new(labels.iter().filter(|(name, _)| !is_identity_label(name)).collect())
    } else {
        Arc::clone(labels)
    }
}

/// The error for two results with equal labels at one step.
pub(crate) fn same_labelset() -> EvalError {
    EvalError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// Joins series with equal labels, which is right as long as they have no step in common. Keeps the order in which
/// labels first occur.
pub(crate) fn merge_equal(series: Vec<Series>) -> Result<Vec<Series>, EvalError> {
    let mut index_of: HashMap<Arc<Labels>, usize> = HashMap::with_capacity(series.len());
    let mut merged: Vec<Series> = Vec::with_capacity(series.len());
    for one in series {
        match index_of.get(&one.labels) {
            None => {
                index_of.insert(Arc::clone(&one.labels), merged.len());
                merged.push(one);
            }
            Some(&at) => {
                merged[at].drops_name |= one.drops_name;
                for (into, from) in merged[at].values.iter_mut().zip(&one.values) {
                    if is_absent(*from) {
                        continue;
                    }
                    if !is_absent(*into) {
                        return Err(same_labelset());
                    }
                    *into = *from;
                }
            }
        }
    }
    Ok(merged)
}
