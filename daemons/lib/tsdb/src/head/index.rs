//! The head's series by slot and by label.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use cairn_model::Labels;
use roaring::RoaringBitmap;

use crate::postings::{LabelIndex, Postings};
use crate::series::{MemSeries, Pair, SeriesLabels};

/// A pair that is ordered and looked up by its value: the key within one name.
#[derive(Debug)]
struct ByValue(Arc<Pair>);

impl Borrow<str> for ByValue {
    fn borrow(&self) -> &str {
        &self.0.value
    }
}

impl PartialEq for ByValue {
    fn eq(&self, other: &Self) -> bool {
        self.0.value == other.0.value
    }
}

impl Eq for ByValue {}

impl PartialOrd for ByValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.value.cmp(&other.0.value)
    }
}

/// Slots and postings. Slots are given again, so that the sets of numbers stay dense however many series come and go.
/// The postings hold the label pairs that the series share: a pair without postings is in no series and gone.
#[derive(Debug, Default)]
pub(crate) struct HeadIndex {
    slots: Vec<Option<Arc<MemSeries>>>,
    free: Vec<u32>,
    /// By label name, then by value.
    by_label: HashMap<Arc<str>, BTreeMap<ByValue, Postings>>,
}

impl HeadIndex {
    /// Adds a series in a free slot.
    pub(super) fn insert(&mut self, id: u64, hash: u64, labels: &Labels) -> Arc<MemSeries> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("max_head_series is far below 2^32")
        });
        let mut pairs = Vec::with_capacity(labels.len());
        for (name, value) in labels.iter() {
            let (name, values) = match self.by_label.get_key_value(name) {
                Some((name, _)) => {
                    let name = Arc::clone(name);
                    let values = self.by_label.get_mut(&name).expect("it was there in the line before");
                    (name, values)
                }
                None => {
                    let name: Arc<str> = name.into();
                    (Arc::clone(&name), self.by_label.entry(name).or_default())
                }
            };
            // A range instead of `get_mut`: it hands out the key, too, which is the shared pair.
            let from = (Bound::Included(value), Bound::Unbounded);
            let known = values.range_mut::<str, _>(from).next().filter(|(key, _)| *key.0.value == *value);
            let pair = match known {
                Some((key, postings)) => {
                    postings.insert(slot);
                    Arc::clone(&key.0)
                }
                None => {
                    let pair = Arc::new(Pair { name, value: value.into() });
                    values.insert(ByValue(Arc::clone(&pair)), Postings::One(slot));
                    pair
                }
            };
            pairs.push(pair);
        }
        let series = Arc::new(MemSeries::new(id, slot, hash, SeriesLabels::new(pairs)));
        self.slots[slot as usize] = Some(Arc::clone(&series));
        series
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

    #[cfg(test)]
    pub(super) fn n_slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn slots(&self) -> &[Option<Arc<MemSeries>>] {
        &self.slots
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = &Arc<MemSeries>> {
        self.slots.iter().flatten()
    }

    pub(crate) fn series_in(&self, slot: u32) -> Option<&Arc<MemSeries>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn series_at(&self, slots: &RoaringBitmap) -> impl Iterator<Item = &Arc<MemSeries>> {
        slots.iter().filter_map(|slot| self.slots.get(slot as usize)?.as_ref())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_label.keys().map(AsRef::as_ref)
    }

    /// Values of a label, ascending, each with the series that have it.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, &Postings)> {
        self.by_label.get(name).into_iter().flatten().map(|(key, postings)| (&*key.0.value, postings))
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
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<RoaringBitmap>, Infallible> {
        let mut found = RoaringBitmap::new();
        let Some(values) = self.by_label.get(name) else { return Ok(Some(found)) };
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let values = values.range::<str, _>(from).map(|(key, postings)| (&*key.0.value, postings));
        for (value, postings) in values.take_while(|(value, _)| value.starts_with(prefix)) {
            if keep(value) {
                postings.add_to(&mut found);
            }
        }
        Ok(Some(found))
    }
}
