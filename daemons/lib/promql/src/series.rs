//! What expressions evaluate to: one column of values per series, one value per step. A step has a number, a native
//! histogram or nothing.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::{FloatHistogram, Labels, TimeMs};

use crate::answer::{EvalError, Sample};
use crate::parser_selector::METRIC_NAME;
use crate::source::STALE_NAN_BITS;

/// Marks a step without a number. The staleness marker can stand for it, because no stale sample survives selection
/// and no arithmetic makes this bit pattern (its NaNs are quiet).
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether the step has no number.
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
    /// Where there is one, `values` is absent.
    pub(crate) histograms: Histograms,
}

/// Native histograms by step. Nothing is allocated for a series without.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histograms(Option<Box<[Option<Arc<FloatHistogram>>]>>);

impl Histograms {
    /// The histogram at a step.
    #[inline]
    pub(crate) fn get(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.0.as_ref()?[step].as_ref()
    }

    /// Puts a histogram at a step of `n`.
    pub(crate) fn set(&mut self, step: usize, n: usize, histogram: Arc<FloatHistogram>) {
        self.0.get_or_insert_with(|| vec![None; n].into())[step] = Some(histogram);
    }

    /// Takes the histogram at a step away.
    pub(crate) fn take(&mut self, step: usize) -> Option<Arc<FloatHistogram>> {
        self.0.as_mut()?[step].take()
    }

    /// Whether no step has one.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|all| all.iter().all(Option::is_none))
    }

    /// Whether there never was one: then nobody needs to look.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// All there are, with their steps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> {
        self.0.iter().flatten().enumerate().filter_map(|(step, one)| Some((step, one.as_ref()?)))
    }

    /// Replaces every histogram.
    pub(crate) fn map(&mut self, f: impl Fn(&FloatHistogram) -> FloatHistogram) {
        for histogram in self.0.iter_mut().flatten().flatten() {
            *histogram = Arc::new(f(histogram));
        }
    }
}

impl Series {
    /// A series of numbers.
    pub(crate) fn floats(labels: Arc<Labels>, drops_name: bool, values: Vec<f64>) -> Self {
        Self { labels, drops_name, values, histograms: Histograms::default() }
    }

    /// Whether the step has a number or a histogram.
    #[inline]
    pub(crate) fn is_present(&self, step: usize) -> bool {
        !is_absent(self.values[step]) || self.histograms.get(step).is_some()
    }

    /// The number or histogram at a step.
    pub(crate) fn at(&self, step: usize) -> Option<Sample> {
        match self.histograms.get(step) {
            Some(histogram) => Some(Sample::Histogram(Arc::clone(histogram))),
            None => Some(self.values[step]).filter(|value| !is_absent(*value)).map(Sample::Float),
        }
    }

    /// Puts a number or histogram at a step.
    #[inline]
    pub(crate) fn put(&mut self, step: usize, sample: Sample) {
        match sample {
            Sample::Float(value) => self.values[step] = value,
            Sample::Histogram(histogram) => self.histograms.set(step, self.values.len(), histogram),
        }
    }

    /// Leaves the step without anything.
    pub(crate) fn clear(&mut self, step: usize) {
        self.values[step] = ABSENT;
        self.histograms.take(step);
    }

    /// What the series counts for against the limit of samples.
    pub(crate) fn n_samples(&self) -> usize {
        self.values.len() + self.histograms.iter().map(|(_, one)| one.n_samples()).sum::<usize>()
    }

    /// Replaces every number.
    pub(crate) fn map(&mut self, f: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            if !is_absent(*value) {
                *value = f(*value);
            }
        }
    }

    /// Whether no step has anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(|value| is_absent(*value)) && self.histograms.is_empty()
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
                let into = &mut merged[at];
                into.drops_name |= one.drops_name;
                for step in 0..one.values.len() {
                    let Some(sample) = one.at(step) else { continue };
                    if into.is_present(step) {
                        return Err(same_labelset());
                    }
                    into.put(step, sample);
                }
            }
        }
    }
    Ok(merged)
}
