//! Which series an entry belongs to: its labels, or what a grouping leaves of them.

use std::collections::HashMap;

use cairn_model::Labels;

use crate::answer::EvalError;
use crate::labelset::{LabelSet, hash_labels};

/// Most series that one range aggregation may hold before anything sums them up.
pub(crate) const MAX_INNER_SERIES: usize = 200_000;

/// What is left of an entry's labels.
pub(crate) enum Shape<'a> {
    /// These only.
    By(&'a [String]),
    /// All but these, and all but the unwrapped label.
    Without(&'a [String], Option<&'a str>),
}

/// Numbers the series of one aggregation.
#[derive(Default)]
pub(crate) struct SeriesIndex {
    by_hash: HashMap<u64, Vec<usize>>,
    /// Labels of each series.
    pub(crate) labels: Vec<Labels>,
    /// Which series carry an error.
    pub(crate) is_error: Vec<bool>,
}

impl SeriesIndex {
    /// The number of the entry's series. An entry with an error keeps all of its labels.
    ///
    /// # Errors
    /// Too many series.
    pub(crate) fn number(&mut self, set: &LabelSet<'_>, shape: &Shape<'_>) -> Result<usize, EvalError> {
        let has_error = set.error().is_some();
        match shape {
            Shape::By(names) if !has_error => {
                self.find(|| names.iter().filter_map(|n| Some((n.as_str(), set.get(n)?))), has_error)
            }
            Shape::By(_) => self.find(|| set.all(), has_error),
            Shape::Without(names, unwrapped) => self.find(
                || {
                    set.all().filter(|(name, _)| {
                        has_error
                            || (!names.iter().any(|n| n == name) && unwrapped.is_none_or(|u| u != *name))
                    })
                },
                has_error,
            ),
        }
    }

    fn find<'l, I: Iterator<Item = (&'l str, &'l str)>>(
        &mut self,
        labels: impl Fn() -> I,
        has_error: bool,
    ) -> Result<usize, EvalError> {
        let present = || labels().filter(|(_, value)| !value.is_empty());
        let numbers = self.by_hash.entry(hash_labels(present())).or_default();
        for number in numbers.iter() {
            let known = &self.labels[*number];
            if present().count() == known.len() && present().all(|(n, v)| known.get(n) == Some(v)) {
                return Ok(*number);
            }
        }
        if self.labels.len() == MAX_INNER_SERIES {
            return Err(EvalError::Query(format!(
                "the query makes more than {MAX_INNER_SERIES} series before they are aggregated; select fewer streams or \
                 fewer labels (keep, drop, by)"
            )));
        }
        let number = self.labels.len();
        numbers.push(number);
        self.labels.push(Labels::from_pairs(present()));
        self.is_error.push(has_error);
        Ok(number)
    }
}
