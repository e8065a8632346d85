//! Which queries are waiting and running: what an operator looks at when the store is slow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::When;
use crate::metrics::Metrics;

/// Longest text that is kept of a query, in bytes, as in Prometheus's list of active queries.
const MAX_TEXT_BYTES: usize = 1000;

/// A query that waits or runs.
#[derive(Clone, Debug)]
pub struct ActiveQuery {
    /// Counts up with each query since the start of the daemon.
    pub id: u64,
    /// The expression, cut when it is very long.
    pub text: String,
    /// When it is evaluated.
    pub when: When,
    /// When the store took it, milliseconds since the epoch.
    pub taken_ms: i64,
    /// Since then.
    pub elapsed: Duration,
    /// Whether it has left the queue.
    pub is_running: bool,
}

#[derive(Debug)]
struct Entry {
    text: String,
    when: When,
    taken_ms: i64,
    taken: Instant,
    is_running: bool,
}

#[derive(Debug, Default)]
struct List {
    last_id: u64,
    entries: BTreeMap<u64, Entry>,
}

/// All of them. As many as the listener takes requests, so bounded by it.
#[derive(Debug)]
pub struct ActiveQueries {
    list: Mutex<List>,
    metrics: Arc<Metrics>,
}

/// A query is in the list as long as this lives.
#[derive(Debug)]
pub struct Tracked {
    id: u64,
    queries: Arc<ActiveQueries>,
}

impl ActiveQueries {
    /// An empty list; its length is in the metrics.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { list: Mutex::default(), metrics })
    }

    /// Puts a query on the list, as one that waits.
    pub fn track(self: &Arc<Self>, text: &str, when: When, now_ms: i64) -> Tracked {
        let mut end = text.len().min(MAX_TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let entry = Entry {
            text: text[..end].to_owned(),
            when,
            taken_ms: now_ms,
            taken: Instant::now(),
            is_running: false,
        };
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.last_id += 1;
        let id = list.last_id;
        list.entries.insert(id, entry);
        self.metrics.query.queries.inc();
        Tracked { id, queries: Arc::clone(self) }
    }

    /// The list, oldest first.
    pub fn all(&self) -> Vec<ActiveQuery> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = list.entries.iter().map(|(id, entry)| ActiveQuery {
            id: *id,
            text: entry.text.clone(),
            when: entry.when,
            taken_ms: entry.taken_ms,
            elapsed: entry.taken.elapsed(),
            is_running: entry.is_running,
        });
        shown.collect()
    }
}

impl Tracked {
    /// The query has left the queue.
    pub fn set_running(&self) {
        let mut list = self.queries.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = list.entries.get_mut(&self.id) {
            entry.is_running = true;
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let mut list = self.queries.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entries.remove(&self.id);
        self.queries.metrics.query.queries.dec();
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::TimeMs;

    use super::*;

    #[test]
    fn a_query_is_listed_while_it_lives() {
        let metrics = Metrics::new();
        let queries = ActiveQueries::new(Arc::clone(&metrics));
        let when = When::Instant(TimeMs(0));
        let first = queries.track("up", when, 5);
        let long = queries.track(&"ü".repeat(1000), when, 6);
        first.set_running();
        let shown: Vec<_> =
            queries.all().into_iter().map(|one| (one.id, one.taken_ms, one.is_running)).collect();
        assert_eq!(shown, [(1, 5, true), (2, 6, false)]);
        assert_eq!(queries.all()[1].text.len(), MAX_TEXT_BYTES, "cut between characters");
        assert_eq!(metrics.query.queries.get(), 2);
        drop(first);
        assert_eq!(queries.all()[0].id, 2);
        drop(long);
        assert!(queries.all().is_empty());
        assert_eq!(metrics.query.queries.get(), 0);
    }
}
