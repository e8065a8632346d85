//! The streams of one tenant, found by label set or through matchers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_model::{Labels, Matcher};

use crate::postings::Postings;
use crate::stream::Stream;

/// Most streams of one tenant, idle ones included, whatever the limit of active ones: each takes about a kilobyte of
/// memory as long as retention keeps its chunks.
const MAX_KNOWN_STREAMS: usize = 1_000_000;

#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: Arc<str>,
    index: RwLock<Index>,
    /// Streams of which everything is in chunks and that nothing was pushed to for a while.
    n_idle: Arc<AtomicUsize>,
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
        Self { name: name.into(), index: RwLock::default(), n_idle: Arc::default() }
    }

    /// The stream with these labels, which counts as active from now on. `None` if it did not before, being new or idle,
    /// and the tenant has `limit` active streams. A new one gets the next number.
    pub(crate) fn find_or_add(
        &self,
        labels: &Labels,
        limit: usize,
        next_id: &AtomicU64,
    ) -> Option<Arc<Stream>> {
        let activated = |index: &Index, stream: &Arc<Stream>| {
            let mut state = stream.lock();
            if state.is_idle() {
                if self.n_active(index) >= limit {
                    return None;
                }
                state.set_idle(false);
            }
            Some(Arc::clone(stream))
        };
        let index = self.read();
        if let Some(stream) = index.by_labels.get(labels) {
            return activated(&index, stream);
        }
        drop(index);
        let mut index = self.write();
        if let Some(stream) = index.by_labels.get(labels) {
            return activated(&index, stream);
        }
        if self.n_active(&index) >= limit || index.by_labels.len() >= MAX_KNOWN_STREAMS {
            return None;
        }
        let id = next_id.fetch_add(1, Ordering::Relaxed);
        Some(index.add(id, Arc::new(labels.clone()), &self.n_idle))
    }

    /// The stream with these labels, or a new one with this number: what disk says is taken without a limit.
    pub(crate) fn restore(&self, id: u64, labels: &Arc<Labels>) -> Arc<Stream> {
        let mut index = self.write();
        if let Some(stream) = index.by_labels.get(labels) {
            return Arc::clone(stream);
        }
        let stream = index.add(id, Arc::clone(labels), &self.n_idle);
        // Until the log turns out to hold entries of it.
        stream.lock().set_idle(true);
        stream
    }

    /// Forgets a stream.
    pub(crate) fn remove(&self, stream: &Stream) {
        let mut index = self.write();
        if index.by_labels.remove(&stream.labels).is_some() {
            stream.lock().set_idle(false);
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

    /// How many streams there are, and how many of them are active.
    pub(crate) fn count(&self) -> (usize, usize) {
        let index = self.read();
        (index.by_labels.len(), self.n_active(&index))
    }

    fn n_active(&self, index: &Index) -> usize {
        index.by_labels.len().saturating_sub(self.n_idle.load(Ordering::Relaxed))
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, id: u64, labels: Arc<Labels>, n_idle: &Arc<AtomicUsize>) -> Arc<Stream> {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.by_slot.push(None);
            u32::try_from(self.by_slot.len() - 1).expect("memory ends long before 2^32 streams")
        });
        let stream = Arc::new(Stream::new(id, slot, Arc::clone(&labels), Arc::clone(n_idle)));
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
