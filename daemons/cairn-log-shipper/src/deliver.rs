//! Delivery: one task per destination, which gathers chunks into batches and sends them, one request at a time, in
//! order, until the store has acknowledged them or they are given up and counted.
//!
//! | module | answers |
//! |---|---|
//! | `batch` | which lines go into one request, and what does it look like on the wire |
//! | `answer` | what does a store's answer mean for the lines |
//! | `backoff` | how long to wait before the next attempt |

mod answer;
mod backoff;
mod batch;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_http::client::Client;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::chunk::Chunk;
use crate::config::ClientSettings;
use crate::metrics::{DestinationMetrics, DropReason};
use crate::queue::MAX_CHUNKS;
use answer::{Verdict, judge};
use backoff::Pauses;
use batch::Part;

/// How long a batch waits for company unless the configuration says otherwise. While a request is under way the next
/// batch grows by itself, so under load batches become full without waiting.
pub const LINGER: Duration = Duration::from_millis(100);
/// An answer to a push is a line of text.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How a destination is doing, for the status page.
#[derive(Clone, Debug, Default)]
pub struct DestinationState {
    /// What went wrong with the last attempt, until one succeeds.
    pub last_error: Option<String>,
    /// Unix time in seconds of the last acknowledgement.
    pub last_success_s: Option<u64>,
    /// Attempts of the present batch that failed.
    pub failed_attempts: u32,
}

/// The way into a destination's channel. It has a place for every chunk that the queue lets exist.
#[derive(Clone, Debug)]
pub struct Outlet {
    sender: mpsc::Sender<Arc<Chunk>>,
    metrics: DestinationMetrics,
    removed: CancellationToken,
}

impl Outlet {
    /// A channel to a destination that will have left for good when `removed` says so.
    pub fn new(
        metrics: DestinationMetrics,
        removed: CancellationToken,
    ) -> (Self, mpsc::Receiver<Arc<Chunk>>) {
        let (sender, receiver) = mpsc::channel(MAX_CHUNKS);
        (Self { sender, metrics, removed }, receiver)
    }

    /// Hands a chunk over, without waiting. A destination that is gone acknowledges nothing: the lines stay in their
    /// file. For one that was removed they are given up, as what it had not delivered was; else the position would wait
    /// for ever.
    pub fn send(&self, chunk: Arc<Chunk>) {
        self.metrics.took(chunk.content.n_lines());
        match self.sender.try_send(chunk) {
            Err(TrySendError::Closed(chunk)) if self.removed.is_cancelled() => give_up(&self.metrics, &chunk),
            // Were it full all the same, the lines would stay unacknowledged, and be read again by the next run.
            Err(TrySendError::Full(_)) => debug_assert!(false, "no chunk without a slot of the queue"),
            Ok(()) | Err(TrySendError::Closed(_)) => {}
        }
    }
}

fn give_up(metrics: &DestinationMetrics, chunk: &Chunk) {
    metrics.dropped(&DropReason::DestinationRemoved, chunk.content.n_lines(), chunk.content.line_bytes());
    chunk.receipt.done();
}

/// Shared between the task and the status page.
pub type SharedState = Arc<Mutex<DestinationState>>;

/// One destination's task.
#[derive(Debug)]
pub struct Destination {
    /// Chunks, in the order of each stream.
    pub chunks: mpsc::Receiver<Arc<Chunk>>,
    /// The newest settings. A change takes effect at the next attempt, also of a batch that is being retried.
    pub settings: watch::Receiver<Arc<ClientSettings>>,
    /// Leave now: whatever is not acknowledged stays so, and is read again at the next start.
    pub abandon: CancellationToken,
    /// Leave now, and for good: the destination is not configured any more. What it was not sent is given up.
    pub removed: CancellationToken,
    /// Pooled connections.
    pub client: Client,
    /// What is counted.
    pub metrics: DestinationMetrics,
    /// What the status page shows.
    pub state: SharedState,
}

/// The task was told to leave while it was waiting.
struct Left;

impl Destination {
    /// Runs until the channel ends and everything is delivered, or until told to leave.
    pub async fn run(mut self) {
        let mut waiting = VecDeque::new();
        let outcome = self.deliver_all(&mut waiting).await;
        if outcome.is_err() && self.removed.is_cancelled() {
            self.chunks.close();
            for chunk in waiting {
                give_up(&self.metrics, &chunk);
            }
            // Ends once the channel is empty and nobody is in the middle of sending.
            while let Some(chunk) = self.chunks.recv().await {
                give_up(&self.metrics, &chunk);
            }
        }
    }

    /// `waiting` holds the chunks of the batch under way, for the caller to settle if the task has to leave.
    async fn deliver_all(&mut self, waiting: &mut VecDeque<Arc<Chunk>>) -> Result<(), Left> {
        while self.gather(waiting).await? {
            self.deliver(waiting).await?;
            for chunk in waiting.drain(..) {
                chunk.receipt.done();
            }
        }
        Ok(())
    }

    /// Waits for a chunk and then for more, until the batch is full or has waited long enough. False: that was all.
    async fn gather(&mut self, batch: &mut VecDeque<Arc<Chunk>>) -> Result<bool, Left> {
        let (full_at, wait) = {
            let settings = self.settings.borrow();
            (settings.batch_bytes, settings.batch_wait.unwrap_or(LINGER))
        };
        let mut bytes = 0;
        let mut deadline = None;
        while bytes < full_at {
            let received = tokio::select! {
                biased;
                () = leave(&self.abandon, &self.removed) => return Err(Left),
                received = receive(&mut self.chunks, deadline) => received,
            };
            match received {
                Received::Chunk(chunk) => {
                    deadline = deadline.or_else(|| Some(Instant::now() + wait));
                    bytes += chunk.content.line_bytes();
                    batch.push_back(chunk);
                }
                Received::WaitedLongEnough => break,
                Received::End => return Ok(!batch.is_empty()),
            }
        }
        Ok(true)
    }

    /// Sends a batch until every line of it is delivered or given up.
    async fn deliver(&mut self, batch: &VecDeque<Arc<Chunk>>) -> Result<(), Left> {
        let mut parts = VecDeque::from([Part::whole(batch)]);
        while let Some(part) = parts.pop_front() {
            match self.send_until_settled(&part).await? {
                Settled::Delivered { dropped } => {
                    let refused = dropped.min(part.n_lines());
                    self.metrics.delivered(part.n_lines() - refused);
                    if refused > 0 {
                        self.metrics.dropped(&DropReason::Ingester, refused, 0);
                    }
                }
                Settled::Split => match part.split() {
                    Some((first, second)) => {
                        parts.push_front(second);
                        parts.push_front(first);
                    }
                    None => self.metrics.dropped(&DropReason::TooLarge, part.n_lines(), part.line_bytes()),
                },
                Settled::Dropped(reason) => {
                    self.metrics.dropped(&reason, part.n_lines(), part.line_bytes());
                }
            }
        }
        Ok(())
    }

    async fn send_until_settled(&mut self, part: &Part) -> Result<Settled, Left> {
        let mut settings = Arc::clone(&self.settings.borrow_and_update());
        let mut body = part.encode(&settings.external_labels);
        let mut pauses = Pauses::new(&settings.backoff);
        let mut n_failed = 0u32;
        loop {
            let started = Instant::now();
            let answered = tokio::select! {
                biased;
                () = leave(&self.abandon, &self.removed) => return Err(Left),
                answered = self.client.send(request(&settings, &body), settings.timeout, MAX_ANSWER_BYTES) => answered,
            };
            let status = answered.as_ref().map_or(-1, |answer| i64::from(answer.status().as_u16()));
            self.metrics.request(status, started.elapsed());
            let (verdict, complaint) = judge(&answered, part.n_lines());
            self.note(complaint.as_deref(), n_failed);
            let (retry_after, reason) = match verdict {
                Verdict::Stored { dropped } => {
                    self.metrics.sent(part.line_bytes(), part.n_lines(), body.len());
                    if let Some(complaint) = complaint {
                        tracing::warn!(destination = %settings.name, dropped, error = %complaint, "store refused lines");
                    }
                    return Ok(Settled::Delivered { dropped });
                }
                Verdict::TooLarge => return Ok(Settled::Split),
                Verdict::Refused => {
                    let error = complaint.unwrap_or_default();
                    tracing::warn!(destination = %settings.name, lines = part.n_lines(), %error, "store refused a batch, it is dropped");
                    return Ok(Settled::Dropped(DropReason::Ingester));
                }
                Verdict::Retry { after, is_rate_limit } => {
                    if is_rate_limit && settings.drop_rate_limited {
                        return Ok(Settled::Dropped(DropReason::RateLimited));
                    }
                    (after, if is_rate_limit { DropReason::RateLimited } else { DropReason::Ingester })
                }
            };
            n_failed = n_failed.saturating_add(1);
            let error = complaint.unwrap_or_default();
            if settings.backoff.max_retries > 0 && n_failed >= settings.backoff.max_retries {
                tracing::error!(destination = %settings.name, lines = part.n_lines(), %error, "batch is dropped after the last retry");
                return Ok(Settled::Dropped(reason));
            }
            if n_failed == 1 {
                tracing::warn!(destination = %settings.name, %error, "cannot push, retrying");
            }
            self.metrics.retries.inc();
            let pause = pauses.next_pause().max(retry_after.unwrap_or_default());
            tokio::select! {
                biased;
                () = leave(&self.abandon, &self.removed) => return Err(Left),
                // A new configuration is tried at once: it may be the repair.
                Ok(()) = self.settings.changed() => {
                    settings = Arc::clone(&self.settings.borrow_and_update());
                    body = part.encode(&settings.external_labels);
                    pauses = Pauses::new(&settings.backoff);
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn note(&self, complaint: Option<&str>, n_failed: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match complaint {
            Some(complaint) => {
                state.last_error = Some(complaint.to_owned());
                state.failed_attempts = n_failed.saturating_add(1);
            }
            None => {
                *state = DestinationState {
                    last_success_s: Some(crate::time::unix_seconds()),
                    ..Default::default()
                };
            }
        }
    }
}

enum Settled {
    Delivered { dropped: usize },
    Split,
    Dropped(DropReason),
}

enum Received {
    Chunk(Arc<Chunk>),
    WaitedLongEnough,
    End,
}

async fn receive(chunks: &mut mpsc::Receiver<Arc<Chunk>>, deadline: Option<Instant>) -> Received {
    let received = match deadline {
        None => chunks.recv().await,
        Some(deadline) => match timeout_at(deadline, chunks.recv()).await {
            Ok(received) => received,
            Err(_) => return Received::WaitedLongEnough,
        },
    };
    received.map_or(Received::End, Received::Chunk)
}

async fn leave(abandon: &CancellationToken, removed: &CancellationToken) {
    tokio::select! {
        () = abandon.cancelled() => {}
        () = removed.cancelled() => {}
    }
}

fn request(settings: &ClientSettings, body: &Bytes) -> http::Request<Bytes> {
    let mut builder = http::Request::post(settings.url.clone())
        .header(CONTENT_TYPE, "application/x-protobuf")
        .header(CONTENT_ENCODING, "snappy");
    for (name, value) in &settings.headers {
        builder = builder.header(name, value);
    }
    if let Some(tenant) = &settings.tenant_id {
        builder = builder.header("X-Scope-OrgID", tenant);
    }
    builder.body(body.clone()).expect("URL and headers were checked when the configuration was read")
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::metrics::Metrics;
    use crate::receipt::{Ledger, Mark, Moved};

    #[test]
    fn what_comes_too_late_for_a_removed_destination_moves_the_position() {
        for is_removed in [true, false] {
            let metrics = Metrics::register(&mut Registry::default()).destination("d", "h", "");
            let removed = CancellationToken::new();
            let (outlet, chunks) = Outlet::new(metrics, removed.clone());
            if is_removed {
                removed.cancel();
            }
            drop(chunks);
            let ledger = Ledger::new(Mark::default(), Moved::default());
            let receipt = ledger.issue(Mark { offset: 4, ..Mark::default() }, 1);
            outlet.send(Arc::new(Chunk { receipt, ..Chunk::for_tests(&["abc"]) }));
            assert_eq!(ledger.is_settled(), is_removed);
        }
    }
}
