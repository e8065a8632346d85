//! What every request handler shares.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use cairn_http::Health;
use cairn_http::body::Budget;
use cairn_runtime::logging::Occasionally;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::ReadPlaces;
use crate::api::error::ApiError;
use crate::config::Source;
use crate::config::resolve::Config;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::remote_write::{self, Receiver};
use crate::scrape::ScrapeManager;
use crate::scrape::schedule::now_ms;
use crate::storage::Storage;
use crate::web_address::WebAddress;

/// Shortest time between two lines in the log about writes that fail.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What exists once the database is open.
#[derive(Debug)]
pub struct Running {
    /// The database.
    pub storage: Arc<Storage>,
    /// The query engine.
    pub engine: Engine,
    /// The scrape loops.
    pub manager: Arc<ScrapeManager>,
    /// Takes what remote write sends.
    pub receiver: Arc<Receiver>,
}

/// The outcome of the last reload.
#[derive(Clone, Debug)]
pub struct ReloadState {
    /// When the configuration in use was taken, milliseconds.
    pub taken_ms: i64,
    /// The file that was read after it, unless that is the one in use.
    pub refused: Option<Refused>,
}

/// A configuration that was not taken.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Where it is wrong: file, line, column and key. Why is in the log, with the line.
    pub place: Arc<str>,
    /// When that was, milliseconds.
    pub at_ms: i64,
}

impl ReloadState {
    fn taken_now() -> Self {
        Self { taken_ms: now_ms(), refused: None }
    }
}

/// What does not change while the daemon runs.
#[derive(Debug)]
pub struct Settings {
    /// Where the configuration comes from.
    pub source: Source,
    /// What the built-in job scrapes, as [`Source::load`] takes it.
    pub own_page: String,
    /// Where API and pages are.
    pub web: WebAddress,
    /// Whether `/-/reload` and `/-/quit` are allowed.
    pub has_lifecycle: bool,
    /// Whether `/api/v1/write` takes samples.
    pub has_remote_write: bool,
    /// Whether `/api/v1/otlp/v1/metrics` takes samples.
    pub has_otlp: bool,
    /// Whether snapshots and deleting series over HTTP are allowed.
    pub has_admin_api: bool,
    /// Origins that may ask from a browser.
    pub cors_origin: regex::Regex,
    /// `status/flags`.
    pub flags: BTreeMap<&'static str, String>,
    /// `storageRetention` of `status/runtimeinfo`.
    pub retention: String,
}

/// The daemon's state.
#[derive(Debug)]
pub struct Shared {
    settings: Settings,
    config: RwLock<(Arc<Config>, ReloadState)>,
    running: OnceLock<Running>,
    /// Numbers of the log's segments: first, last, the one being replayed.
    replay: [AtomicU64; 3],
    started_ms: i64,
    /// What the start found damaged.
    damage: OnceLock<Vec<String>>,
    reloading: tokio::sync::Mutex<()>,
    /// Bounds write requests that are worked on.
    pub writes: Arc<Semaphore>,
    /// Bounds the memory of write requests that arrive.
    pub write_bodies: Budget,
    /// Bounds requests of remote read.
    pub reads: ReadPlaces,
    /// Keeps a full disk from filling the log.
    pub write_warning: Occasionally,
    /// Whether requests are taken, or why not.
    pub health: Health,
    /// The daemon's own metrics.
    pub metrics: Arc<Metrics>,
    /// Cancelled to stop the daemon.
    pub stop: CancellationToken,
}

/// Shared by all handlers.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// The state before the database is open.
    pub fn new(settings: Settings, config: Config, metrics: Arc<Metrics>, stop: CancellationToken) -> Self {
        let reload = ReloadState::taken_now();
        let shared = Shared {
            settings,
            config: RwLock::new((Arc::new(config), reload)),
            running: OnceLock::new(),
            replay: Default::default(),
            started_ms: now_ms(),
            damage: OnceLock::new(),
            reloading: tokio::sync::Mutex::default(),
            writes: Arc::new(Semaphore::new(remote_write::places())),
            write_bodies: Budget::new(remote_write::BODY_BYTES),
            reads: ReadPlaces::default(),
            write_warning: Occasionally::every(WARNING_INTERVAL),
            health: Health::starting("replaying the write-ahead log"),
            metrics,
            stop,
        };
        shared.note_reload(true);
        Self(Arc::new(shared))
    }

    /// The database is open: applies the configuration in use; then the API answers. Call it once.
    pub async fn start(&self, running: Running) {
        // A reload between applying and answering would show a configuration that nothing runs.
        let _no_reload = self.reloading.lock().await;
        running.apply(&self.config()).await;
        self.metrics.show(&running.storage, &running.manager);
        if self.0.running.set(running).is_ok() {
            self.metrics.ready.set(1);
            self.health.set_ready();
        }
    }

    /// Reads the configuration again and makes it the running one; a bad one changes nothing.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn reload(&self) -> Result<(), String> {
        let _one_at_a_time = self.reloading.lock().await;
        let (source, own_page) = (self.settings.source.clone(), self.settings.own_page.clone());
        let read = tokio::task::spawn_blocking(move || source.load(&own_page)).await;
        let config = match read {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => return Err(self.refuse(&error.to_string(), error.place())),
            Err(_) => {
                let reason = "reading the configuration broke off";
                return Err(self.refuse(reason, reason.to_owned()));
            }
        };
        if let Some(running) = self.0.running.get() {
            running.apply(&config).await;
        }
        *self.config.write().unwrap_or_else(PoisonError::into_inner) =
            (Arc::new(config), ReloadState::taken_now());
        self.note_reload(true);
        tracing::info!("configuration reloaded");
        Ok(())
    }

    /// `shown` is for everybody who opens a page, and holds nothing of what the file says: that may be a password.
    fn refuse(&self, reason: &str, shown: String) -> String {
        tracing::error!(error = reason, "configuration not reloaded, the old one stays");
        self.config.write().unwrap_or_else(PoisonError::into_inner).1.refused =
            Some(Refused { place: shown.into(), at_ms: now_ms() });
        self.note_reload(false);
        reason.to_owned()
    }
}

impl Running {
    /// Makes this the running configuration.
    pub async fn apply(&self, config: &Config) {
        self.engine.set_subquery_step(config.evaluation_interval.ms());
        self.engine.set_query_log(config.query_log.clone());
        self.storage.db().set_max_exemplars(config.max_exemplars);
        self.manager.apply(config).await;
    }
}

impl Shared {
    /// The database and what works on it, once it is open.
    ///
    /// # Errors
    /// While it is not.
    pub fn running(&self) -> Result<&Running, ApiError> {
        self.running.get().ok_or_else(|| ApiError::internal("the database is not open yet"))
    }

    /// Whether the API answers.
    pub fn is_running(&self) -> bool {
        self.running.get().is_some() && !self.stop.is_cancelled()
    }

    /// The configuration in use.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// How the last reload went.
    pub fn reload_state(&self) -> ReloadState {
        self.config.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// When the daemon started, milliseconds.
    pub fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// What the start found damaged and left out, one line each.
    pub fn damage(&self) -> &[String] {
        self.damage.get().map_or(&[], Vec::as_slice)
    }

    /// Notes what the start found damaged, once.
    pub fn set_damage(&self, damage: Vec<String>) {
        self.metrics.damage_at_start.set(i64::try_from(damage.len()).unwrap_or(i64::MAX));
        let _ = self.damage.set(damage);
    }

    /// What does not change.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Numbers of the log's segments: first, last, the one being replayed.
    pub fn replay(&self) -> (u64, u64, u64) {
        let [min, max, current] = &self.replay;
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (read(min), read(max), read(current))
    }

    /// Notes how far the replay is.
    pub fn set_replay(&self, min: u64, max: u64, current: u64) {
        for (slot, number) in self.replay.iter().zip([min, max, current]) {
            slot.store(number, Ordering::Relaxed);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds of our era are far below 2^53")]
    fn note_reload(&self, is_good: bool) {
        self.metrics.reload_ok.set(i64::from(is_good));
        if is_good {
            self.metrics.reload_time.set(now_ms() as f64 / 1000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cairn_disk::TwinFs;
    use cairn_tsdb::{Db, Options};
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::engine::EngineOptions;

    #[tokio::test]
    async fn a_reload_while_the_database_opens_is_what_runs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prometheus.yml");
        let write =
            |job: &str| std::fs::write(&file, format!("scrape_configs: [{{job_name: {job}}}]")).unwrap();
        write("before");
        let source = Source::choose(Some(&file), None);
        let settings = Settings {
            source: source.clone(),
            own_page: "127.0.0.1:9090".to_owned(),
            web: WebAddress::new(None, None, "127.0.0.1:9090".parse().unwrap()).unwrap(),
            has_lifecycle: true,
            has_remote_write: false,
            has_otlp: false,
            has_admin_api: false,
            cors_origin: regex::Regex::new("").unwrap(),
            flags: BTreeMap::new(),
            retention: String::new(),
        };
        let config = source.load("127.0.0.1:9090").unwrap();
        let metrics = Metrics::new();
        let app = App::new(settings, config, Arc::clone(&metrics), CancellationToken::new());
        let options = Options::new(Path::new("/data"), Arc::new(TwinFs::new()));
        let storage = Storage::new(Db::open(options, &|_| {}).unwrap().0, None);
        let engine = Engine::new(Arc::clone(&storage), Arc::clone(&metrics), EngineOptions::default());
        let receiver = Arc::new(Receiver::new(Arc::clone(&storage), Arc::clone(&metrics)));
        let manager = ScrapeManager::new(Arc::clone(&storage), metrics, TaskTracker::new());
        let running = Running { storage, engine, manager: Arc::clone(&manager), receiver };

        // A reload that has looked for what is running, found nothing, and is about to take the new configuration.
        let reload = app.reloading.lock().await;
        let mut start = std::pin::pin!(app.start(running));
        tokio::select! {
            biased;
            () = &mut start => panic!("started in the middle of a reload"),
            () = std::future::ready(()) => {}
        }
        write("after");
        let taken = Arc::new(source.load("127.0.0.1:9090").unwrap());
        app.config.write().unwrap().0 = taken;
        drop(reload);
        start.await;
        assert!(app.is_running());
        let jobs: Vec<String> = manager.view().iter().map(|pool| pool.job_name.clone()).collect();
        assert_eq!(jobs, ["after"]);
    }
}
