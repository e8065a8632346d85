//! The head's series by slot and by label.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::postings::{LabelIndex, Postings};
use crate::series::MemSeries;

/// Slots and postings. Slots are given again, so that the sets of numbers stay dense however many series come and go.
#[derive(Debug, Default)]
pub(crate) struct HeadIndex {
    slots: Vec<Option<Arc<MemSeries>>>,
    free: Vec<u32>,
    /// By label name, then by value.
    by_label: HashMap<Box<str>, BTreeMap<Box<str>, Postings>>,
}

impl HeadIndex {
    /// The slot that the next [`insert`](Self::insert) has to use.
    pub(super) fn free_slot(&self) -> u32 {
        match self.free.last() {
            Some(&slot) => slot,
            None => u32::try_from(self.slots.len()).expect("max_head_series is far below 2^32"),
        }
    }

    pub(super) fn insert(&mut self, series: &Arc<MemSeries>) {
        debug_assert_eq!(series.slot, self.free_slot());
        match self.free.pop() {
            Some(slot) => self.slots[slot as usize] = Some(Arc::clone(series)),
            None => self.slots.push(Some(Arc::clone(series))),
        }
        for (name, value) in series.labels.iter() {
            // Looked up before inserted: most names and many values are known, and a key would be allocated for nothing.
            let values = match self.by_label.get_mut(name) {
                Some(values) => values,
                None => self.by_label.entry(name.into()).or_default(),
            };
            match values.get_mut(value) {
                Some(postings) => postings.insert(series.slot),
                None => {
                    values.insert(value.into(), Postings::One(series.slot));
                }
            }
        }
    }

    pub(super) fn remove(&mut self, series: &MemSeries) {
        self.slots[series.slot as usize] = None;
        self.free.push(series.slot);
        for (name, value) in series.labels.iter() {
            let Some(values) = self.by_label.get_mut(name) else { continue };
            if values.get_mut(value).is_some_and(|postings| postings.remove(series.slot)) {
                values.remove(value);
            }
            if values.is_empty() {
                self.by_label.remove(name);
            }
        }
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = &Arc<MemSeries>> {
        self.slots.iter().flatten()
    }

    pub(crate) fn series_at(&self, slots: &RoaringBitmap) -> impl Iterator<Item = &Arc<MemSeries>> {
        slots.iter().filter_map(|slot| self.slots.get(slot as usize)?.as_ref())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_label.keys().map(AsRef::as_ref)
    }

    /// Values of a label, ascending, each with the series that have it.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, &Postings)> {
        self.by_label.get(name).into_iter().flatten().map(|(value, postings)| (value.as_ref(), postings))
    }
}

impl LabelIndex for HeadIndex {
    type Error = Infallible;

    fn all(&self) -> Result<RoaringBitmap, Infallible> {
        Ok(self.series().map(|series| series.slot).collect())
    }

    fn pair(&self, name: &str, value: &str) -> Result<Option<RoaringBitmap>, Infallible> {
        let mut found = RoaringBitmap::new();
        if let Some(postings) = self.by_label.get(name).and_then(|values| values.get(value)) {
            postings.add_to(&mut found);
        }
        Ok(Some(found))
    }

    fn pairs_where(
        &self,
        name: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<RoaringBitmap>, Infallible> {
        let mut found = RoaringBitmap::new();
        for (value, postings) in self.values(name) {
            if keep(value) {
                postings.add_to(&mut found);
            }
        }
        Ok(Some(found))
    }
}
