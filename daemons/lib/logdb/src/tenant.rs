//! The streams of one tenant, found by label set or through matchers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_model::{Labels, Matcher};

use crate::postings::Postings;
use crate::stream::Stream;

#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: Arc<str>,
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_labels: HashMap<Arc<Labels>, Arc<Stream>>,
    by_slot: Vec<Option<Arc<Stream>>>,
    free_slots: Vec<u32>,
    postings: Postings,
}

impl Tenant {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), index: RwLock::default() }
    }

    /// The stream with these labels. A new one gets the next number, unless the tenant has `limit` streams: `None`.
    pub(crate) fn find_or_add(
        &self,
        labels: &Labels,
        limit: usize,
        next_id: &AtomicU64,
    ) -> Option<Arc<Stream>> {
        if let Some(stream) = self.read().by_labels.get(labels) {
            return Some(Arc::clone(stream));
        }
        let mut index = self.write();
        if let Some(stream) = index.by_labels.get(labels) {
            return Some(Arc::clone(stream));
        }
        if index.by_labels.len() >= limit {
            return None;
        }
        Some(index.add(next_id.fetch_add(1, Ordering::Relaxed), Arc::new(labels.clone())))
    }

    /// The stream with these labels, or a new one with this number: what disk says is taken without a limit.
    pub(crate) fn restore(&self, id: u64, labels: &Arc<Labels>) -> Arc<Stream> {
        let mut index = self.write();
        if let Some(stream) = index.by_labels.get(labels) {
            return Arc::clone(stream);
        }
        index.add(id, Arc::clone(labels))
    }

    /// Forgets a stream.
    pub(crate) fn remove(&self, stream: &Stream) {
        let mut index = self.write();
        if index.by_labels.remove(&stream.labels).is_some() {
            index.postings.remove(stream.slot, &stream.labels);
            index.by_slot[stream.slot as usize] = None;
            index.free_slots.push(stream.slot);
        }
    }

    /// The streams that pass all matchers, in no particular order.
    pub(crate) fn resolve(&self, matchers: &[Matcher]) -> Vec<Arc<Stream>> {
        let index = self.read();
        let slots = index.postings.resolve(matchers);
        slots.iter().filter_map(|slot| index.by_slot.get(slot as usize)?.clone()).collect()
    }

    /// Every stream.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        self.read().by_labels.values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.read().by_labels.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, id: u64, labels: Arc<Labels>) -> Arc<Stream> {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.by_slot.push(None);
            u32::try_from(self.by_slot.len() - 1).expect("memory ends long before 2^32 streams")
        });
        let stream = Arc::new(Stream::new(id, slot, Arc::clone(&labels)));
        self.postings.insert(slot, &labels);
        self.by_slot[slot as usize] = Some(Arc::clone(&stream));
        self.by_labels.insert(labels, Arc::clone(&stream));
        stream
    }
}

/// All tenants of a store.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    by_name: RwLock<HashMap<Arc<str>, Arc<Tenant>>>,
}

impl Tenants {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Tenant>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The tenant, made if there are fewer than `limit`.
    pub(crate) fn get_or_add(&self, name: &str, limit: usize) -> Option<Arc<Tenant>> {
        if let Some(tenant) = self.get(name) {
            return Some(tenant);
        }
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if !by_name.contains_key(name) && by_name.len() >= limit {
            return None;
        }
        let tenant = by_name.entry(name.into()).or_insert_with(|| Arc::new(Tenant::new(name)));
        Some(Arc::clone(tenant))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Tenant>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
