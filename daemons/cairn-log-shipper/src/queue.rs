//! The bound on memory: bytes that were read and that some destination has not finished with yet.
//!
//! The channels to the destinations need no bound of their own: nothing enters them without a [`Permit`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a chunk costs beside its bytes: its structs, its place in the channels. Bounds the number of small chunks.
pub const CHUNK_OVERHEAD_BYTES: usize = 512;

/// Counts bytes under way; shared by the reader and every chunk.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// Called when a chunk's memory was given back while reading may have been paused.
    on_room: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({} of {} bytes)", self.used_bytes(), self.limit_bytes())
    }
}

impl Queue {
    /// A queue of `limit` bytes. `on_room` is called, from any thread, when it stops being full.
    pub fn new(limit: usize, on_room: impl Fn() + Send + Sync + 'static) -> Self {
        let shared =
            Shared { limit: AtomicUsize::new(limit), used: AtomicUsize::new(0), on_room: Box::new(on_room) };
        Self { shared: Arc::new(shared) }
    }

    /// Whether one more read may begin. It may then pass the limit by the size of that one read.
    pub fn has_room(&self) -> bool {
        self.used_bytes() < self.limit_bytes()
    }

    /// Takes `bytes` (and the overhead of a chunk) out of the queue's room until the permit is dropped.
    pub fn take(&self, bytes: usize) -> Permit {
        let bytes = bytes + CHUNK_OVERHEAD_BYTES;
        self.shared.used.fetch_add(bytes, Ordering::AcqRel);
        Permit { shared: Arc::clone(&self.shared), bytes }
    }

    /// Bytes under way.
    pub fn used_bytes(&self) -> usize {
        self.shared.used.load(Ordering::Acquire)
    }

    /// The limit.
    pub fn limit_bytes(&self) -> usize {
        self.shared.limit.load(Ordering::Acquire)
    }

    /// Changes the limit, on reload.
    pub fn set_limit(&self, bytes: usize) {
        self.shared.limit.store(bytes, Ordering::Release);
        (self.shared.on_room)();
    }
}

/// A part of the queue's room.
pub struct Permit {
    shared: Arc<Shared>,
    bytes: usize,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Permit({} bytes)", self.bytes)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let before = self.shared.used.fetch_sub(self.bytes, Ordering::AcqRel);
        let limit = self.shared.limit.load(Ordering::Acquire);
        if before >= limit && before - self.bytes < limit {
            (self.shared.on_room)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let queue = Queue::new(2000, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let first = queue.take(1000);
        assert!(queue.has_room());
        let second = queue.take(1000);
        assert!(!queue.has_room());
        drop(first);
        assert!(queue.has_room());
        drop(second);
        assert_eq!(queue.used_bytes(), 0);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
