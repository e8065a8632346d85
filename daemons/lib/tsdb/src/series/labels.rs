//! Labels of a series in memory: pairs that all series share.

use std::fmt;
use std::sync::Arc;

use cairn_model::{Labels, LabelsBuilder};

/// One label, kept once however many series have it. It goes with the last of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: Arc<str>,
    pub(crate) value: Box<str>,
}

/// The labels of a series, ascending by name. A label costs a series eight bytes; [`Labels`] are made of it on demand.
#[derive(Clone)]
pub struct SeriesLabels(Box<[Arc<Pair>]>);

impl SeriesLabels {
    pub(crate) fn new(pairs: Vec<Arc<Pair>>) -> Self {
        debug_assert!(pairs.windows(2).all(|two| two[0].name < two[1].name), "names ascend");
        Self(pairs.into_boxed_slice())
    }

    #[cfg(test)]
    pub(crate) fn pairs(&self) -> &[Arc<Pair>] {
        &self.0
    }

    /// Pairs of name and value, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|pair| (&*pair.name, &*pair.value))
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// A label set of its own.
    pub fn to_labels(&self) -> Labels {
        let mut builder = LabelsBuilder::new();
        for (name, value) in self.iter() {
            builder.set(name, value);
        }
        builder.build()
    }

    /// The order of [`Labels`]: by the first differing name, then value; a prefix comes first. Shared pairs are passed
    /// over without looking at their text.
    pub(crate) fn cmp_labels(&self, other: &Self) -> std::cmp::Ordering {
        let n_shared = self.0.iter().zip(&other.0).take_while(|(a, b)| Arc::ptr_eq(a, b)).count();
        let a = self.0[n_shared..].iter().map(|pair| (&*pair.name, &*pair.value));
        a.cmp(other.0[n_shared..].iter().map(|pair| (&*pair.name, &*pair.value)))
    }
}

impl PartialEq<Labels> for SeriesLabels {
    fn eq(&self, other: &Labels) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for SeriesLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_labels(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &Labels) -> SeriesLabels {
        let pair = |(name, value): (&str, &str)| Arc::new(Pair { name: name.into(), value: value.into() });
        SeriesLabels::new(labels.iter().map(pair).collect())
    }

    #[test]
    fn compares_and_reads_as_labels_do() {
        let sets: Vec<Labels> = [
            vec![],
            vec![("a", "1")],
            vec![("a", "1"), ("b", "1")],
            vec![("a", "1"), ("c", "0")],
            vec![("a", "2")],
            vec![("b", "1")],
        ]
        .into_iter()
        .map(Labels::from_pairs)
        .collect();
        for a in &sets {
            for b in &sets {
                assert_eq!(of(a).cmp_labels(&of(b)), a.cmp(b), "{a} {b}");
                assert_eq!(of(a) == *b, a == b, "{a} {b}");
            }
            assert_eq!(of(a).to_labels(), *a);
            assert_eq!((of(a).len(), of(a).get("b")), (a.len(), a.get("b")));
        }
    }
}
