//! The daemon's life: configuration, port, recovery, loops, ordered stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cairn_disk::{DirLock, RealFs};
use cairn_http::{Listener, serve};
use cairn_model::TimeMs;
use cairn_runtime::progress::Progress;
use cairn_runtime::stop::StopPlan;
use cairn_runtime::{Failure, Lifecycle, Turn, announce_listener, dirs, memory, notify};
use cairn_tsdb::{Db, Options, Progress as Opening};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::app::{App, Running, Settings};
use crate::cli::{Args, Retention};
use crate::config::check_files;
use crate::config::resolve::Config;
use crate::engine::{Engine, EngineOptions};
use crate::foreign;
use crate::metrics::Metrics;
use crate::remote_write::Receiver;
use crate::scrape::ScrapeManager;
use crate::scrape::schedule::now_ms;
use crate::storage::Storage;

/// What a query of a panel had, for the next one. Upkeep gives it back.
const KEPT_FREE_BYTES: usize = 8 << 20;

/// All of stopping. The unit's `TimeoutStopSec` is above it.
const STOP_DEADLINE: Duration = Duration::from_secs(40);

/// How often samples are made durable. A sample that was scraped a second ago must survive power loss, and a sync takes
/// time itself, so the pause is well below that second.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// Longest time between two rounds of upkeep: cutting blocks, compaction, retention.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);

/// Reads and checks the configuration that the arguments name.
///
/// # Errors
/// [`Failure::Config`], naming file, place and key.
pub fn load(args: &Args) -> Result<Config, Failure> {
    args.check()?;
    let config = args.source().load("localhost:9090")?;
    args.listen(&config)?;
    args.web_address(&config, SocketAddr::from(([127, 0, 0, 1], 9090)))?;
    cors_origin(args)?;
    Ok(config)
}

/// Looks at the files that a configuration names, as [`load`] does not.
///
/// # Errors
/// [`Failure::Config`] with a line for each file that is missing or bad.
pub fn check_files(config: &Config) -> Result<(), Failure> {
    match check_files::check_files(config) {
        wrong if wrong.is_empty() => Ok(()),
        wrong => Err(Failure::config(anyhow::anyhow!(wrong.join("\n")))),
    }
}

fn cors_origin(args: &Args) -> Result<regex::Regex, Failure> {
    cairn_model::goregex::compile_anchored(&args.cors_origin)
        .map_err(|error| Failure::config(anyhow::Error::new(error).context("--web.cors.origin")))
}

/// Runs until told to stop. `config` is what [`load`] gave for `args`.
///
/// # Errors
/// [`Failure`] when the daemon cannot start or cannot stop in order.
pub async fn run(lifecycle: Lifecycle, args: Args, config: Config) -> Result<(), Failure> {
    memory::keep_free(KEPT_FREE_BYTES);
    run_telling(lifecycle, args, config, |_| {}).await
}

/// [`run`], telling the bound address to its caller: for a store inside of a test.
///
/// # Errors
/// As [`run`].
pub async fn run_telling(
    mut lifecycle: Lifecycle,
    args: Args,
    config: Config,
    tell: impl FnOnce(SocketAddr),
) -> Result<(), Failure> {
    let data_dir = args.data_dir(&config);
    dirs::ensure_data_dir(&data_dir).context("data directory").map_err(Failure::Run)?;
    foreign::refuse_prometheus(&data_dir).context("data directory").map_err(Failure::Run)?;
    let lock = DirLock::acquire(&data_dir).map_err(|error| Failure::Run(error.into()))?;
    let listen = args.listen(&config)?;
    let listener = Listener::bind(listen.as_str()).await.map_err(|error| Failure::Run(error.into()))?;
    let address = listener.local_addr();
    announce_listener("http", address);
    tell(address);

    for name in args.query.unknown_features() {
        tracing::warn!(name, "--enable-feature: this name changes nothing here");
    }
    let retention = args.retention(&config);
    let engine_options = args.engine_options(&config);
    let settings = settings(&args, &config, address, &data_dir, retention)?;
    let opening = open_options(&data_dir, retention, &config);
    // The built-in job scrapes the port that is known only now.
    let config = settings.source.load(&settings.own_page).unwrap_or(config);
    let metrics = Metrics::new();
    let app = App::new(settings, config, Arc::clone(&metrics), lifecycle.stop.clone());
    let mut stop_plan = StopPlan::new(STOP_DEADLINE);
    let http_stop = CancellationToken::new();
    let options = api::serve_options(&app, engine_options.timeout);
    let http = lifecycle.tasks.spawn(serve(listener, api::router(app.clone()), options, http_stop.clone()));

    let opened = tokio::select! {
        opened = open(app.clone(), opening) => Some(opened?),
        // Nothing was taken yet: what was replayed is still in the log.
        () = lifecycle.stop.cancelled() => None,
    };
    if let Some(db) = opened {
        start(&app, db, lock, engine_options, &mut lifecycle, &mut stop_plan).await;
    }
    {
        let app = app.clone();
        stop_plan.step("http", async move {
            app.health.set_not_ready("stopping");
            http_stop.cancel();
            http.await.map(|_| ()).context("http")
        });
    }
    notify::ready("serving");
    tracing::info!("ready");
    loop {
        match lifecycle.next().await {
            Turn::Tick => {}
            Turn::Reload => {
                notify::reloading();
                // The outcome has been logged and shows in the metrics.
                let _ = app.reload().await;
                notify::ready("serving");
            }
            Turn::Stop => break,
        }
    }
    stop_plan.run().await.map_err(|error| Failure::Run(error.into()))
}

fn settings(
    args: &Args,
    config: &Config,
    address: SocketAddr,
    data_dir: &Path,
    retention: Retention,
) -> Result<Settings, Failure> {
    let cors_origin = cors_origin(args)?;
    let host = if address.ip().is_unspecified() { "localhost".to_owned() } else { String::new() };
    let own_address =
        if host.is_empty() { address.to_string() } else { format!("{host}:{}", address.port()) };
    let web = args.web_address(config, address)?;
    Ok(Settings {
        source: args.source(),
        own_page: format!("{own_address}{}/metrics", web.route_prefix()),
        has_lifecycle: args.enable_lifecycle,
        has_remote_write: args.has_remote_write(config),
        has_otlp: args.has_otlp(config),
        has_admin_api: args.has_admin_api(config),
        cors_origin,
        flags: args.shown(config, &address.to_string(), &web, data_dir, retention),
        web,
        retention: retention.to_string(),
    })
}

/// How the database is kept, which only a start changes.
fn open_options(dir: &Path, retention: Retention, config: &Config) -> Options {
    let mut options = Options::new(dir, Arc::new(RealFs));
    options.retention_ms = retention.time_ms;
    options.retention_bytes = retention.bytes;
    options.max_exemplars = config.max_exemplars;
    options.out_of_order_window_ms = config.out_of_order_window.ms();
    if let Some(max_head_series) = config.max_head_series {
        options.max_head_series = max_head_series;
    }
    options
}

/// Opens the database; replays its log.
async fn open(app: App, options: Options) -> Result<Db, Failure> {
    let opened_for = app.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let blocks = Progress::new("open blocks", "blocks");
        let head = Progress::new("read checkpoint", "series");
        let wal = Progress::new("replay wal", "segments");
        Db::open(options, &|progress| match progress {
            Opening::Blocks { done, total } => blocks.update(done as u64, total as u64),
            Opening::Checkpoint { series } => head.update(series as u64, 0),
            Opening::Wal { current, first, last } => {
                app.set_replay(first, last, current);
                wal.update(current.saturating_sub(first), last.saturating_sub(first) + 1);
            }
        })
    });
    let opened = opening.await.context("open the database").map_err(Failure::Run)?;
    let (db, report) = opened.context("open the database").map_err(Failure::Run)?;
    tracing::info!(series = report.series, samples = report.samples, blocks = report.blocks, "database open");
    if report.torn_bytes > 0 {
        // What every kill -9 and power loss leaves behind; nothing that was synced is in it.
        tracing::info!(bytes = report.torn_bytes, "torn tail of the write-ahead log cut off");
    }
    for damage in &report.damage {
        tracing::error!(damage, "part of the database is damaged and left out");
    }
    opened_for.set_damage(report.damage);
    Ok(db)
}

/// Starts everything that works on the open database, and plans how each part is stopped.
async fn start(
    app: &App,
    db: Db,
    lock: DirLock,
    engine_options: EngineOptions,
    lifecycle: &mut Lifecycle,
    stop_plan: &mut StopPlan,
) {
    let storage = Storage::new(db, Some(lock));
    let engine = Engine::new(Arc::clone(&storage), Arc::clone(&app.metrics), engine_options);
    let loops = tokio_util::task::TaskTracker::new();
    let manager = ScrapeManager::new(Arc::clone(&storage), Arc::clone(&app.metrics), loops.clone());
    let receiver = Arc::new(Receiver::new(Arc::clone(&storage), Arc::clone(&app.metrics)));
    let running = Running {
        storage: Arc::clone(&storage),
        engine,
        manager: Arc::clone(&manager),
        receiver: Arc::clone(&receiver),
    };
    app.start(running).await;

    let upkeep_stop = CancellationToken::new();
    let syncing = lifecycle.tasks.spawn(sync(app.clone(), Arc::clone(&storage), upkeep_stop.clone()));
    let upkeep = lifecycle.tasks.spawn(maintain(Arc::clone(&storage), receiver, upkeep_stop.clone()));
    let relief = lifecycle.tasks.spawn(relieve(Arc::clone(&storage), upkeep_stop.clone()));
    stop_plan.step("storage", async move {
        let synced = tokio::task::spawn_blocking(move || storage.sync()).await;
        synced.context("sync")?.context("sync")
    });
    stop_plan.step("upkeep", async move {
        upkeep_stop.cancel();
        syncing.await.context("sync loop")?;
        relief.await.context("flush loop")?;
        upkeep.await.context("upkeep loop")
    });
    stop_plan.step("scraping", async move {
        manager.stop().await;
        loops.close();
        loops.wait().await;
        Ok(())
    });
}

/// Makes samples durable, again and again.
async fn sync(app: App, storage: Arc<Storage>, stop: CancellationToken) {
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SYNC_INTERVAL) => {}
        }
        let storage = Arc::clone(&storage);
        match tokio::task::spawn_blocking(move || storage.sync()).await {
            Ok(Err(error)) => {
                app.metrics.wal_writes_failed.inc();
                if !is_failing {
                    tracing::error!(%error, "samples not made durable, trying again");
                }
                is_failing = true;
            }
            Ok(Ok(())) => {
                if is_failing {
                    tracing::info!("samples are made durable again");
                }
                is_failing = false;
            }
            // The panic itself was logged where it happened.
            Err(_panic) => {}
        }
    }
}

/// Writes the head to blocks as soon as it is full, also while a long round of upkeep is under way.
async fn relieve(storage: Arc<Storage>, stop: CancellationToken) {
    let full = Arc::new(Notify::new());
    let caller = Arc::clone(&full);
    storage.db().on_pressure(move || caller.notify_one());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = full.notified() => {}
        }
        let storage = Arc::clone(&storage);
        let work = move || {
            let relieved = storage.db().relieve(TimeMs(now_ms()));
            memory::give_back();
            relieved
        };
        let relieved = tokio::task::spawn_blocking(work).await;
        if let Ok(Err(error)) = &relieved {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "a full head was not written to blocks, trying again");
        }
    }
}

/// Blocks, compaction, retention.
async fn maintain(storage: Arc<Storage>, receiver: Arc<Receiver>, stop: CancellationToken) {
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(MAINTENANCE_INTERVAL) => {}
        }
        let (storage, receiver) = (Arc::clone(&storage), Arc::clone(&receiver));
        let work = tokio::task::spawn_blocking(move || {
            let round = storage.db().maintain(TimeMs(now_ms()));
            receiver.forget_dropped();
            memory::give_back();
            round
        });
        let round = work.await;
        if let Ok(Err(error)) = &round
            && !is_failing
        {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "upkeep of the database ended early, trying again"
            );
        }
        is_failing = !matches!(round, Ok(Ok(())));
    }
}
