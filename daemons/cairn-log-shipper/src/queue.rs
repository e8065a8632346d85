//! The bound on what is under way: bytes and chunks that were read and that some destination has not finished with.
//!
//! The reader takes a [`Slot`] before it reads, and a slot becomes the [`Permit`] of the chunk that was read. There are
//! never more than [`MAX_CHUNKS`] of both, so a channel with that many places has one for every chunk: handing a chunk
//! over neither blocks the reader (a destination that hangs must not keep it from hearing "stop") nor fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a chunk costs beside its bytes: its structs, its place in the channels. Bounds the number of small chunks.
pub const CHUNK_OVERHEAD_BYTES: usize = 512;
/// Most chunks under way, and so the places in each destination's channel: what the default `queue.bytes` of 8 MiB has
/// room for at [`CHUNK_OVERHEAD_BYTES`] each.
pub const MAX_CHUNKS: usize = 16_384;

/// Counts what is under way; shared by the reader and every chunk.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Called when a chunk was let go of while reading may have been paused.
    on_room: Box<dyn Fn() + Send + Sync>,
}

struct State {
    limit_bytes: usize,
    used_bytes: usize,
    /// Slots and permits that are out.
    chunks: usize,
}

impl State {
    fn has_room(&self) -> bool {
        self.used_bytes < self.limit_bytes && self.chunks < MAX_CHUNKS
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({} of {} bytes)", self.used_bytes(), self.limit_bytes())
    }
}

impl Queue {
    /// A queue of `limit` bytes. `on_room` is called, from any thread, when it stops being full.
    pub fn new(limit: usize, on_room: impl Fn() + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { limit_bytes: limit, used_bytes: 0, chunks: 0 });
        Self { shared: Arc::new(Shared { state, on_room: Box::new(on_room) }) }
    }

    /// Whether one more read may begin.
    pub fn has_room(&self) -> bool {
        self.shared.lock().has_room()
    }

    /// Room for one more chunk; `None` while the queue is full. The chunk may then pass the limit by its own size.
    pub fn reserve(&self) -> Option<Slot> {
        let mut state = self.shared.lock();
        if !state.has_room() {
            return None;
        }
        state.chunks += 1;
        Some(Slot { shared: Some(Arc::clone(&self.shared)) })
    }

    /// Bytes under way.
    pub fn used_bytes(&self) -> usize {
        self.shared.lock().used_bytes
    }

    /// The limit.
    pub fn limit_bytes(&self) -> usize {
        self.shared.lock().limit_bytes
    }

    /// Changes the limit, on reload.
    pub fn set_limit(&self, bytes: usize) {
        self.shared.lock().limit_bytes = bytes;
        (self.shared.on_room)();
    }
}

/// Room for one chunk that is not there yet. Dropping it gives the room back, silently: only the reader waits for
/// room, and only the reader has slots.
pub struct Slot {
    /// `None` once it has become a permit.
    shared: Option<Arc<Shared>>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Slot {
    /// Takes `bytes` (and the overhead of a chunk) out of the queue's room until the permit is dropped.
    pub fn fill(mut self, bytes: usize) -> Permit {
        let shared = self.shared.take().expect("only this method takes it, and it takes the slot with it");
        let bytes = bytes + CHUNK_OVERHEAD_BYTES;
        shared.lock().used_bytes += bytes;
        Permit { shared, bytes }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.lock().chunks -= 1;
        }
    }
}

/// A part of the queue's room, with a chunk in it.
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
        let is_room_new = {
            let mut state = self.shared.lock();
            let had_room = state.has_room();
            state.used_bytes -= self.bytes;
            state.chunks -= 1;
            !had_room && state.has_room()
        };
        if is_room_new {
            (self.shared.on_room)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counting(limit: usize) -> (Queue, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let queue = Queue::new(limit, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        (queue, calls)
    }

    #[test]
    fn room_comes_back_once() {
        let (queue, calls) = counting(2000);
        let first = queue.reserve().unwrap().fill(1000);
        assert!(queue.has_room());
        let second = queue.reserve().unwrap().fill(1000);
        assert!(queue.reserve().is_none());
        drop(first);
        assert!(queue.has_room());
        drop(second);
        assert_eq!(queue.used_bytes(), 0);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn chunks_are_bounded_however_small() {
        let (queue, calls) = counting(usize::MAX);
        let mut permits: Vec<Permit> = (1..MAX_CHUNKS).map(|_| queue.reserve().unwrap().fill(0)).collect();
        let last = queue.reserve().unwrap();
        assert!(queue.reserve().is_none());
        drop(last);
        assert_eq!(calls.load(Ordering::Relaxed), 0, "the reader need not wake itself");
        permits.push(queue.reserve().unwrap().fill(0));
        assert!(queue.reserve().is_none());
        permits.pop();
        assert!(queue.has_room());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
