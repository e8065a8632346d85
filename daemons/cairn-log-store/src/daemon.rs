//! The daemon's life: configuration, port, recovery, main loop, ordered stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cairn_http::{Listener, serve};
use cairn_logdb::{Options, Progress as EngineProgress, Stage, Store};
use cairn_runtime::progress::Progress;
use cairn_runtime::stop::StopPlan;
use cairn_runtime::{Failure, Lifecycle, Turn, announce_listener, dirs, notify};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::app::App;
use crate::cli::Args;
use crate::config::Config;

/// All of stopping. The unit's `TimeoutStopSec` is above it.
const STOP_DEADLINE: Duration = Duration::from_secs(40);
/// Longest time between two rounds of maintenance.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until told to stop. `config` is what [`Args::load_config`] gave for `args`.
///
/// # Errors
/// [`Failure::Run`] when the daemon cannot start or cannot stop in order.
pub async fn run(mut lifecycle: Lifecycle, args: Args, config: Config) -> Result<(), Failure> {
    log_config(&config);
    dirs::ensure_data_dir(&config.data_dir).context("data directory").map_err(Failure::Run)?;
    let listener =
        Listener::bind(config.listen.as_str()).await.map_err(|error| Failure::Run(error.into()))?;
    announce_listener("http", listener.local_addr());

    let mut stop_plan = StopPlan::new(STOP_DEADLINE);
    let options = engine_options(&config);
    let app = App::new(config, lifecycle.reload_handle());
    let http_stop = CancellationToken::new();
    let http = lifecycle.tasks.spawn(serve(
        listener,
        api::router(Arc::clone(&app)),
        api::serve_options(&app),
        http_stop.clone(),
    ));

    let opened = tokio::select! {
        opened = open_store(options) => Some(opened?),
        // Nothing was taken yet, so there is nothing to write; what was replayed is still in the log.
        () = lifecycle.stop.cancelled() => None,
    };
    if let Some(store) = opened {
        app.set_store(store.clone());
        let maintenance_stop = CancellationToken::new();
        let maintenance =
            lifecycle.tasks.spawn(maintain(Arc::clone(&app), store.clone(), maintenance_stop.clone()));
        stop_plan.step("store", async move {
            let flushed = tokio::task::spawn_blocking(move || store.flush().map(|_| ())).await;
            flushed.context("flush")?.context("flush")
        });
        stop_plan.step("maintenance", async move {
            maintenance_stop.cancel();
            maintenance.await.context("maintenance")
        });
    }
    {
        let app = Arc::clone(&app);
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
            Turn::Reload => reload(&app, &args),
            Turn::Stop => break,
        }
    }
    stop_plan.run().await.map_err(|error| Failure::Run(error.into()))
}

fn log_config(config: &Config) {
    tracing::info!(
        source = %config.source(),
        data_dir = %config.data_dir.display(),
        "configuration loaded"
    );
    if !config.ignored_keys.is_empty() {
        tracing::warn!(
            keys = config.ignored_keys.join(", "),
            "these keys of the Loki file mean nothing here"
        );
    }
}

fn engine_options(config: &Config) -> Options {
    let mut options = Options::new(&config.data_dir);
    options.retention = config.retention.clone();
    options.chunk_idle = config.chunk_idle_period;
    options.chunk_max_age = config.max_chunk_age;
    if let Some(size) = config.chunk_target_size {
        options.chunk_target_bytes = size.as_usize();
    }
    options.max_streams_per_tenant = config.limits.max_global_streams_per_user;
    options
}

async fn open_store(options: Options) -> Result<Store, Failure> {
    let opening = tokio::task::spawn_blocking(move || {
        let catalogue = Progress::new("read catalogue", "chunks");
        let files = Progress::new("check chunk files", "files");
        let wal = Progress::new("replay wal", "records");
        Store::open(options, &|progress: EngineProgress| match progress.stage {
            Stage::Catalogue => catalogue.update(progress.done, progress.total),
            Stage::ChunkFiles => files.update(progress.done, progress.total),
            Stage::Wal => wal.update(progress.done, progress.total),
        })
    });
    let store = opening.await.context("open the store").map_err(Failure::Run)?;
    let store = store.context("open the store").map_err(Failure::Run)?;
    log_recovery(&store);
    Ok(store)
}

fn log_recovery(store: &Store) {
    let report = store.recovery();
    tracing::info!(records = report.wal_records, entries = report.wal_entries, "write-ahead log replayed");
    if report.wal_torn_bytes > 0 {
        // What every kill -9 and power loss leaves behind; nothing acknowledged is in it.
        tracing::info!(bytes = report.wal_torn_bytes, "torn tail of the write-ahead log cut off");
    }
    if report.wal_records_damaged > 0 || report.wal_entries_without_stream > 0 {
        tracing::error!(
            records = report.wal_records_damaged,
            entries = report.wal_entries_without_stream,
            "damaged records in the write-ahead log were skipped"
        );
    }
    if report.files_reregistered > 0 {
        tracing::info!(files = report.files_reregistered, "chunk files entered into the catalogue again");
    }
    for path in &report.files_damaged {
        tracing::error!(path = %path.display(), "chunk file cannot be read and is left where it is");
    }
    for path in &report.files_missing {
        tracing::error!(path = %path.display(), "chunk file is gone; its entries are lost");
    }
}

/// Rounds of maintenance, every few seconds and whenever a push has filled a head, until stopped.
async fn maintain(app: Arc<App>, store: Store, stop: CancellationToken) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.maintenance.notified() => {}
            () = tokio::time::sleep(MAINTENANCE_INTERVAL) => {}
        }
        let (now, store) = (app.now(), store.clone());
        let outcome = tokio::task::spawn_blocking(move || store.maintain(now)).await;
        match outcome {
            Ok(Ok(_)) => {
                if failing {
                    tracing::info!("maintenance works again");
                }
                failing = false;
            }
            Ok(Err(error)) => {
                app.metrics.maintenance_failed();
                if !failing {
                    tracing::warn!(
                        error = format!("{:#}", anyhow::Error::new(error)),
                        "maintenance ended early, trying again"
                    );
                }
                failing = true;
            }
            // The panic itself was logged where it happened.
            Err(_panic) => app.metrics.maintenance_failed(),
        }
    }
}

/// Reads the configuration again; a bad one is refused and the old one stays.
fn reload(app: &App, args: &Args) {
    notify::reloading();
    match args.load_config() {
        Ok(config) => {
            let old = app.config();
            log_config(&config);
            if config.listen != old.listen
                || config.data_dir != old.data_dir
                || config.auth_enabled != old.auth_enabled
            {
                tracing::warn!("address, data directory and authentication follow with the next start only");
            }
            let auth_enabled = old.auth_enabled;
            app.set_config(Config { auth_enabled, ..config });
            app.metrics.reloaded(true);
        }
        Err(failure) => {
            tracing::error!(error = %failure, "configuration not reloaded, the old one stays");
            app.metrics.reloaded(false);
        }
    }
    notify::ready("serving");
}
