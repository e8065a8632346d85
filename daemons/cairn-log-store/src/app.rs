//! What every request handler shares.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use cairn_http::Health;
use cairn_http::body::Budget;
use cairn_logdb::Store;
use cairn_model::TimeNs;
use cairn_runtime::lifecycle::ReloadHandle;
use tokio::sync::{Notify, Semaphore};

use crate::api::error::{ApiError, ErrorKind};
use crate::config::Config;
use crate::ingest::rate::RateLimiter;
use crate::metrics::Metrics;
use crate::work::Gate;

/// Pushes that are decoded and written at once; others wait. Group commit needs a handful to share one sync, and each
/// may hold its decompressed body.
const PUSHES_AT_ONCE: usize = 16;
/// Bytes of push bodies held at once, arriving or waiting for their turn: a few of the largest, or hundreds of usual ones.
const PUSH_BODY_BYTES: usize = 256 << 20;

/// The daemon's state.
#[derive(Debug)]
pub struct App {
    config: RwLock<Arc<Config>>,
    store: Arc<OnceLock<Store>>,
    /// Whether requests are taken, or why not.
    pub health: Health,
    /// Bounds running queries.
    pub queries: Gate,
    /// Bounds running pushes.
    pub pushes: Semaphore,
    /// Bounds the memory of pushes that arrive.
    pub push_bodies: Budget,
    /// Tenants' ingestion rates.
    pub rates: RateLimiter,
    /// The daemon's own metrics.
    pub metrics: Arc<Metrics>,
    /// Asks the main loop to read the configuration again.
    pub reload: ReloadHandle,
    /// Wakes the maintenance loop: a push filled a head.
    pub maintenance: Notify,
}

impl App {
    /// The state before the store is open.
    pub fn new(config: Config, reload: ReloadHandle) -> Arc<Self> {
        let store = Arc::new(OnceLock::new());
        Arc::new(Self {
            queries: Gate::new(config.max_concurrent_queries, config.max_waiting_queries),
            config: RwLock::new(Arc::new(config)),
            metrics: Arc::new(Metrics::new(Arc::clone(&store))),
            store,
            health: Health::starting("replaying the write-ahead log"),
            pushes: Semaphore::new(PUSHES_AT_ONCE),
            push_bodies: Budget::new(PUSH_BODY_BYTES),
            rates: RateLimiter::default(),
            reload,
            maintenance: Notify::new(),
        })
    }

    /// The configuration in use. A request takes it once and keeps to it.
    pub fn config(&self) -> Arc<Config> {
        // A poisoned lock only means that a reader panicked; the Arc in it is whole.
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new configuration in use: limits and retention follow at once, the rest with the next start.
    pub fn set_config(&self, config: Config) {
        if let Some(store) = self.store.get() {
            store.set_retention(config.retention.clone());
        }
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Opens the daemon for requests.
    pub fn set_store(&self, store: Store) {
        // Only the start calls this, once; a second store would be a second lock on the folder, which cannot be had.
        let _ = self.store.set(store);
        self.health.set_ready();
    }

    /// The store, once it is open and until the daemon stops.
    ///
    /// # Errors
    /// 503 with the reason.
    pub fn store(&self) -> Result<&Store, ApiError> {
        let unavailable = |why: String| ApiError::new(ErrorKind::Unavailable, format!("not ready: {why}"));
        self.health.check().map_err(unavailable)?;
        self.store.get().ok_or_else(|| unavailable("the store is not open".to_owned()))
    }

    /// The clock.
    pub fn now(&self) -> TimeNs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimeNs(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }
}
