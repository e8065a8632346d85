//! The loop of one target: wait, ask, store, note; and what happens when the target goes away.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_http::client::Client;
use cairn_model::TimeNs;
use cairn_runtime::logging::Occasionally;
use cairn_wire::exposition::Format;
use tokio::sync::{Semaphore, watch};

use super::failure_log;
use super::fetch::{fetch, request};
use super::ingest::{Counts, Page, ScrapeError, ScrapeState, Scraped};
use super::schedule::{Schedule, now_ms};
use super::threads::ScrapeThreads;
use crate::config::resolve::PoolConfig;
use crate::metrics::Metrics;
use crate::storage::Storage;
use crate::target::{Health, Status, Target};

/// Large bodies that are read and stored at the same time. They lie in memory whole; more at once would not be faster.
const MAX_CONCURRENT_STORES: usize = 4;

/// A page up to this size is stored where it came in, in some milliseconds; larger ones on threads that may be blocked.
const MAX_BYTES_IN_PLACE: usize = 512 << 10;

/// A target of more series than this is stored there as well: its pages are not small for long.
const MAX_KEYS_IN_PLACE: usize = 10_000;

/// At most one line in this time about samples that a target sends and the database does not take.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// A page, decompressed, or why there is none.
type Body = Result<(Bytes, Format), ScrapeError>;

/// What all loops share.
#[derive(Debug)]
pub(crate) struct Env {
    storage: Arc<Storage>,
    pub(super) metrics: Arc<Metrics>,
    stores: Semaphore,
    storage_warning: Occasionally,
    /// Where the loops run.
    pub(super) threads: ScrapeThreads,
}

impl Env {
    pub(crate) fn new(storage: Arc<Storage>, metrics: Arc<Metrics>) -> Self {
        Self {
            storage,
            metrics,
            stores: Semaphore::new(MAX_CONCURRENT_STORES),
            storage_warning: Occasionally::every(WARNING_INTERVAL),
            threads: ScrapeThreads::start(),
        }
    }
}

impl Env {
    /// Marks the series of targets as stale that a changed configuration no longer has. Blocking.
    pub(crate) fn end_now(&self, states: impl Iterator<Item = ScrapeState>) {
        for mut state in states {
            if let Err(error) = state.end(now_ms(), &self.storage)
                && self.storage_warning.ready().is_some()
            {
                tracing::warn!(%error, "series of a removed target not marked as stale");
            }
        }
    }
}

/// What a loop is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Scrape.
    Run,
    /// Return the state: another loop goes on with it.
    HandOver,
    /// The target is gone: mark its series as stale once it is sure not to come back.
    Removed,
    /// The daemon stops: return at once, without stale markers.
    ShutDown,
}

/// One target's loop.
pub(crate) struct Worker {
    pub(crate) env: Arc<Env>,
    /// The job's, of this thread.
    pub(crate) client: Client,
    pub(crate) pool: Arc<PoolConfig>,
    pub(crate) target: Arc<Target>,
    pub(crate) schedule: Schedule,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Worker {
    /// Scrapes until told otherwise; answers what the next loop of this target should know.
    pub(crate) async fn run(mut self, mut state: ScrapeState) -> ScrapeState {
        let warning = Occasionally::every(WARNING_INTERVAL);
        let request = request(&self.pool, &self.target);
        let mut due = self.schedule.next_after(now_ms());
        let interval = self.target.interval.to_string();
        let mut last_began: Option<Instant> = None;
        loop {
            let wait = self.schedule.wait(now_ms(), due);
            let phase = tokio::select! {
                biased;
                phase = changed(&mut self.phase) => Some(phase),
                () = tokio::time::sleep(wait) => None,
            };
            if let Some(phase) = phase {
                return self.leave(phase, state, due).await;
            }
            let began_ms = now_ms();
            let time = self.schedule.sample_time(due, began_ms);
            if began_ms < due && time != due {
                // The clock was set back while this loop slept.
                due = self.schedule.next_after(began_ms);
                continue;
            }
            let began = Instant::now();
            if let Some(last) = last_began.replace(began) {
                self.env.metrics.lengths.interval(&interval, (began - last).as_secs_f64());
            }
            let body = tokio::select! {
                biased;
                phase = changed(&mut self.phase) => return self.leave(phase, state, due).await,
                body = fetch(&self.client, &request, &self.pool, &self.target) => body,
            };
            state = self.store(state, body, time, began, &warning).await;
            due = self.schedule.next_after(now_ms().max(due));
        }
    }

    async fn store(
        &self,
        state: ScrapeState,
        body: Body,
        time: i64,
        began: Instant,
        warning: &Occasionally,
    ) -> ScrapeState {
        let duration = began.elapsed();
        let is_long = self.takes_long(&state, &body);
        let (pool, target) = (Arc::clone(&self.pool), Arc::clone(&self.target));
        let storage = Arc::clone(&self.env.storage);
        let work = move || store(state, body, (time, duration), &pool, &target, &storage);
        let stored = if is_long {
            // The semaphore is never closed; without a permit the work is done all the same.
            let _permit = self.env.stores.acquire().await.ok();
            tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
        } else {
            std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| "it panicked".to_owned())
        };
        let (state, counts, outcome) = stored.unwrap_or_else(|error| {
            // The panic has been logged; the target starts afresh.
            let error = ScrapeError::Fetch(format!("store the scrape: {error}"));
            (ScrapeState::default(), Counts::default(), Err(error))
        });
        self.env.metrics.lengths.scrape(began.elapsed().as_secs_f64());
        self.note(&counts, &outcome, time, duration, warning);
        state
    }

    /// Whether storing this may take so long that the other targets of this thread should not wait for it.
    fn takes_long(&self, state: &ScrapeState, body: &Body) -> bool {
        let is_large = match body {
            Ok((bytes, _)) => bytes.len() > MAX_BYTES_IN_PLACE,
            Err(_) => self.pool.failure_log.is_some(),
        };
        // Whatever the page, everything that was there before may become stale.
        is_large || state.n_keys() > MAX_KEYS_IN_PLACE || self.env.storage.is_behind()
    }

    /// Status, metrics, log.
    fn note(
        &self,
        counts: &Counts,
        outcome: &Result<(), ScrapeError>,
        time: i64,
        last_duration: Duration,
        warning: &Occasionally,
    ) {
        let metrics = &self.env.metrics.scrape;
        metrics.duplicates.inc_by(counts.duplicates as u64);
        metrics.out_of_order.inc_by(counts.out_of_order as u64);
        metrics.out_of_bounds.inc_by(counts.out_of_bounds as u64);
        metrics.exemplars_out_of_order.inc_by(counts.exemplars_out_of_order as u64);
        match outcome {
            Err(ScrapeError::SampleLimit) => drop(metrics.over_sample_limit.inc()),
            Err(ScrapeError::BucketLimit) => drop(metrics.over_bucket_limit.inc()),
            Err(ScrapeError::BodySizeLimit) => drop(metrics.over_body_size_limit.inc()),
            Err(ScrapeError::LabelLimit(_)) => drop(metrics.over_label_limits.inc()),
            Err(ScrapeError::Storage(error)) => {
                if error.is_of_disk() {
                    self.env.metrics.wal_writes_failed.inc();
                }
                if let Some(held_back) = self.env.storage_warning.ready() {
                    tracing::error!(%error, held_back, "samples of a scrape are lost: the database does not take them");
                }
            }
            _ => {}
        }
        let n_dropped = counts.duplicates + counts.out_of_order + counts.out_of_bounds;
        if n_dropped > 0
            && let Some(held_back) = warning.ready()
        {
            tracing::warn!(
                target_url = %self.target.url,
                duplicates = counts.duplicates,
                out_of_order = counts.out_of_order,
                out_of_bounds = counts.out_of_bounds,
                held_back,
                "samples of a scrape dropped"
            );
        }
        let (health, last_error) = match outcome {
            Ok(()) => (Health::Up, String::new()),
            Err(error) => (Health::Down, error.to_string()),
        };
        let before = self.target.status().health;
        match (before, health) {
            (Health::Up | Health::Unknown, Health::Down) => {
                tracing::info!(target_url = %self.target.url, job = %self.pool.job_name, error = %last_error, "target is down");
            }
            (Health::Down, Health::Up) => {
                tracing::info!(target_url = %self.target.url, job = %self.pool.job_name, "target is up again");
            }
            _ => {}
        }
        let last_scrape = Some(TimeNs(time.saturating_mul(1_000_000)));
        self.target.set_status(Status { health, last_error, last_scrape, last_duration });
    }

    /// Ends the loop as told. `due` is when the next scrape would have been.
    async fn leave(mut self, phase: Phase, mut state: ScrapeState, due: i64) -> ScrapeState {
        if phase != Phase::Removed || self.target.status().last_scrape.is_none() {
            return state;
        }
        // A target that comes back within two intervals must not flap: its new loop writes the same series, and the
        // markers, which carry the time of the scrape that was due, then come too late and are ignored.
        let interval = self.target.interval.ms();
        let wait = (due - now_ms()).max(0) + interval + interval / 10;
        let rest = Duration::from_millis(wait.unsigned_abs());
        tokio::select! {
            biased;
            _ = changed(&mut self.phase) => return state,
            () = tokio::time::sleep(rest) => {}
        }
        let storage = Arc::clone(&self.env.storage);
        let work = tokio::task::spawn_blocking(move || state.end(due, &storage));
        if let Ok(Err(error)) = work.await
            && self.env.storage_warning.ready().is_some()
        {
            tracing::warn!(target_url = %self.target.url, %error, "series of a removed target not marked as stale");
        }
        ScrapeState::default()
    }
}

/// One scrape into the database. Blocking.
fn store(
    mut state: ScrapeState,
    body: Body,
    (time, duration): (i64, Duration),
    pool: &Arc<PoolConfig>,
    target: &Target,
    storage: &Storage,
) -> (ScrapeState, Counts, Result<(), ScrapeError>) {
    let (bytes, format) = match body {
        Ok((bytes, format)) => (bytes, Ok(format)),
        Err(error) => (Bytes::new(), Err(error)),
    };
    let body = format.map(|format| Page { bytes: &bytes, format });
    let (counts, outcome) = state.store(Scraped { body, time, duration }, pool, target, storage);
    if let (Err(error), Some(path)) = (&outcome, &pool.failure_log) {
        failure_log::append(path, &pool.job_name, &target.url, error);
    }
    (state, counts, outcome)
}

/// The next phase that is not [`Phase::Run`]. A manager that is gone means shutting down.
async fn changed(phase: &mut watch::Receiver<Phase>) -> Phase {
    loop {
        if phase.changed().await.is_err() {
            return Phase::ShutDown;
        }
        let now = *phase.borrow_and_update();
        if now != Phase::Run {
            return now;
        }
    }
}
