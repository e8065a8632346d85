//! Running queries away from the async threads: so many at once, for so long, and no longer than someone waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::api::error::ApiError;

/// Lets a bounded number of queries run, and a bounded number wait.
#[derive(Debug)]
pub struct Gate {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// Tells a running query that nobody wants its answer any more.
#[derive(Debug)]
pub struct Cancel {
    client_left: AtomicBool,
    deadline: Instant,
}

impl Cancel {
    /// Whether the query should end.
    pub fn is_cancelled(&self) -> bool {
        self.client_left.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    /// What to answer to a query that ended because of this.
    pub fn to_error(&self) -> ApiError {
        if Instant::now() >= self.deadline { ApiError::timeout() } else { ApiError::cancelled() }
    }
}

/// Cancels when the request's future is dropped, which is what happens when the client closes its connection.
struct CancelOnDrop(Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.client_left.store(true, Ordering::Relaxed);
    }
}

/// Counts one waiting query, also when its future is dropped while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate for `max_running` queries at once and `max_waiting` in the queue.
    pub fn new(max_running: usize, max_waiting: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(max_running)), waiting: AtomicUsize::new(0), max_waiting }
    }

    /// Runs `query` on a blocking thread. `timeout` counts from now, so it includes the time in the queue.
    ///
    /// A query that is cancelled keeps its place in the gate until it really ends, so that a client that asks, leaves
    /// and asks again cannot pile up work.
    ///
    /// # Errors
    /// 429 when the queue is full, 504 when the time is over, 500 when the query panicked, or its own error.
    pub async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        query: impl FnOnce(&Cancel) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let deadline = Instant::now() + timeout;
        let limit = tokio::time::Instant::from_std(deadline);
        let permit = {
            let waiting = Waiting(&self.waiting);
            if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting.max(1) {
                return Err(ApiError::too_many_requests());
            }
            let permit = tokio::time::timeout_at(limit, Arc::clone(&self.running).acquire_owned()).await;
            drop(waiting);
            permit
                .map_err(|_| ApiError::timeout())?
                .map_err(|_| ApiError::internal("the store is stopping"))?
        };
        let cancel = Arc::new(Cancel { client_left: AtomicBool::new(false), deadline });
        let _guard = CancelOnDrop(Arc::clone(&cancel));
        let task = tokio::task::spawn_blocking(move || {
            let answer = query(&cancel);
            drop(permit);
            answer
        });
        match tokio::time::timeout_at(limit, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => {
                Err(ApiError::internal("internal error while answering the query; see the log of the store"))
            }
            Err(_) => Err(ApiError::timeout()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::ErrorKind;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let gate = Arc::new(Gate::new(1, 1));
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let first = {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.run(LONG, move |_| Ok(wait.recv().is_ok())).await })
        };
        while gate.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.run(LONG, |_| Ok(true)).await })
        };
        while gate.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let third = gate.run(LONG, |_| Ok(true)).await;
        assert_eq!(third.unwrap_err().kind, ErrorKind::TooMany);
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(true));
        assert_eq!(second.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn a_query_learns_that_its_client_left() {
        let gate = Gate::new(1, 1);
        let (told, heard) = std::sync::mpsc::channel();
        let (started, mut is_started) = tokio::sync::mpsc::channel(1);
        {
            let query = gate.run(LONG, move |cancel| {
                started.blocking_send(()).unwrap();
                while !cancel.is_cancelled() {
                    std::thread::yield_now();
                }
                told.send(cancel.to_error().kind).unwrap();
                Ok(())
            });
            tokio::select! {
                _ = query => panic!("the query ended by itself"),
                _ = is_started.recv() => {}
            }
        }
        assert_eq!(heard.recv().unwrap(), ErrorKind::Cancelled);
    }

    #[tokio::test]
    async fn a_query_that_takes_too_long_is_told_so() {
        let gate = Gate::new(1, 1);
        let answer = gate
            .run(Duration::from_millis(5), |cancel| {
                while !cancel.is_cancelled() {
                    std::thread::yield_now();
                }
                Err::<(), _>(cancel.to_error())
            })
            .await;
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Timeout);
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let answer = Gate::new(1, 1).run(LONG, |_| -> Result<(), ApiError> { panic!("boom") }).await;
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Internal);
    }
}
