//! Which series have which label, while a block is written.
//!
//! Series come in ascending order, so that neighbours share most of their labels. Where a series has the label that the one
//! before it had at the same place, only a run of numbers gets longer: no text is looked up, and no set is touched.

use std::collections::BTreeMap;

use crate::postings::Postings;

/// Collects the postings of a block.
#[derive(Debug, Default)]
pub(super) struct PostingsWriter {
    /// Places in `lists`, by name and value.
    by_name: BTreeMap<Box<str>, BTreeMap<Box<str>, usize>>,
    /// Without the runs that are still open.
    lists: Vec<Option<Postings>>,
    /// The labels of the last series, in their order.
    open: Vec<Run>,
    is_same: Vec<bool>,
}

/// A label of series that follow each other.
#[derive(Debug)]
struct Run {
    name: String,
    value: String,
    list: usize,
    first: u32,
}

impl PostingsWriter {
    /// Adds the labels of a series, whose number is one more than that of the series before. Answers for each of them whether
    /// that one had it at the same place.
    pub(super) fn add<'l>(
        &mut self,
        series: u32,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
    ) -> &[bool] {
        self.is_same.clear();
        for (at, (name, value)) in labels.enumerate() {
            let is_same = self.open.get(at).is_some_and(|run| run.value == value && run.name == name);
            self.is_same.push(is_same);
            if is_same {
                continue;
            }
            let list = self.list(name, value);
            match self.open.get_mut(at) {
                Some(run) => {
                    close(&mut self.lists, run, series);
                    name.clone_into(&mut run.name);
                    value.clone_into(&mut run.value);
                    (run.list, run.first) = (list, series);
                }
                None => {
                    let (name, value) = (name.to_owned(), value.to_owned());
                    self.open.push(Run { name, value, list, first: series });
                }
            }
        }
        for run in self.open.drain(self.is_same.len()..) {
            close(&mut self.lists, &run, series);
        }
        &self.is_same
    }

    /// The place of a label's list, which is made if it is new.
    fn list(&mut self, name: &str, value: &str) -> usize {
        let values = match self.by_name.get_mut(name) {
            Some(values) => values,
            None => self.by_name.entry(name.into()).or_default(),
        };
        if let Some(list) = values.get(value) {
            return *list;
        }
        values.insert(value.into(), self.lists.len());
        self.lists.push(None);
        self.lists.len() - 1
    }

    /// Names, each with its values, each with the series that have it; all ascending. `n_series` were added.
    pub(super) fn finish(
        mut self,
        n_series: u32,
    ) -> impl Iterator<Item = (Box<str>, impl Iterator<Item = (Box<str>, Postings)>)> {
        for run in &self.open {
            close(&mut self.lists, run, n_series);
        }
        let mut lists = self.lists;
        self.by_name.into_iter().map(move |(name, values)| {
            let with_list =
                |(value, list): (Box<str>, usize)| Some((value, lists.get_mut(list).and_then(Option::take)?));
            let values: Vec<_> = values.into_iter().filter_map(with_list).collect();
            (name, values.into_iter())
        })
    }
}

/// Puts a run into its list; it ends before `end`.
fn close(lists: &mut [Option<Postings>], run: &Run, end: u32) {
    let last = end.saturating_sub(1);
    match &mut lists[run.list] {
        Some(postings) => postings.insert_range(run.first, last),
        none => *none = Some(Postings::of_range(run.first, last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_putting_each_number_into_its_set() {
        let series: Vec<Vec<(&str, &str)>> = vec![
            vec![("a", "1"), ("b", "1"), ("c", "1")],
            vec![("a", "1"), ("b", "1"), ("c", "2")],
            // One less, at other places.
            vec![("a", "1"), ("c", "1")],
            vec![("a", "1"), ("c", "1")],
            vec![],
            vec![("a", "2"), ("b", "1"), ("c", "1"), ("d", "1")],
            vec![("b", "1"), ("c", "1"), ("d", "1")],
        ];
        let mut writer = PostingsWriter::default();
        let mut want: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
        for (number, labels) in (0..).zip(&series) {
            let is_same = writer.add(number, labels.iter().copied()).to_vec();
            let before = number.checked_sub(1).map(|before| &series[before as usize]);
            for (at, label) in labels.iter().enumerate() {
                assert_eq!(is_same[at], before.is_some_and(|before| before.get(at) == Some(label)));
                want.entry(*label).or_default().push(number);
            }
            assert_eq!(is_same.len(), labels.len());
        }
        let mut found = Vec::new();
        for (name, values) in writer.finish(7) {
            for (value, postings) in values {
                let mut set = roaring::RoaringBitmap::new();
                postings.add_to(&mut set);
                found.push(((name.to_string(), value.to_string()), set.iter().collect::<Vec<u32>>()));
            }
        }
        let want: Vec<_> =
            want.into_iter().map(|((name, value), set)| ((name.to_owned(), value.to_owned()), set)).collect();
        assert_eq!(found, want);
    }
}
