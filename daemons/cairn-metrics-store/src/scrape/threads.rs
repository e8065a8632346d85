//! The threads that scrapes run on.
//!
//! Each has an event loop of its own, and a target stays on its thread: from the timer over the connection to the log of
//! the database nobody is woken, which costs more than all that is done with a small page.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// More than these could not store anything faster: the database takes samples one batch at a time.
const MAX_THREADS: usize = 4;

/// Running threads. They end when this is dropped; what they still run is dropped then.
#[derive(Debug)]
pub(crate) struct ScrapeThreads {
    loops: Vec<Handle>,
    next: AtomicUsize,
    _stop: DropGuard,
}

impl ScrapeThreads {
    /// As many as there are cores, at most [`MAX_THREADS`]. If the system gives none, scrapes run where everything runs.
    pub(crate) fn start() -> Self {
        let stop = CancellationToken::new();
        let n = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let loops: io::Result<Vec<Handle>> = (0..n).map(|index| start_one(index, &stop)).collect();
        let loops = loops.unwrap_or_else(|error| {
            tracing::warn!(%error, "no threads for scraping alone, it shares those of the API: raise the limits on threads and open files, then restart");
            vec![Handle::current()]
        });
        Self { loops, next: AtomicUsize::new(0), _stop: stop.drop_guard() }
    }

    /// How many there are, at least one.
    pub(crate) fn n(&self) -> usize {
        self.loops.len()
    }

    /// The thread for a new target, one after the other: its index and its event loop.
    pub(crate) fn pick(&self) -> (usize, &Handle) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.loops.len();
        (index, &self.loops[index])
    }
}

fn start_one(index: usize, stop: &CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (handle, stopped) = (runtime.handle().clone(), stop.clone().cancelled_owned());
    let run = move || {
        runtime.block_on(stopped);
        // A target that does not answer, or a body that is being stored elsewhere, is not waited for.
        runtime.shutdown_background();
    };
    thread::Builder::new().name(format!("scrape-{index}")).spawn(run)?;
    Ok(handle)
}
