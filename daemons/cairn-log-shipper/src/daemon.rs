//! The process: configuration, data directory, listener, shipper; then reloads and the ordered stop.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use cairn_disk::{DirLock, RealFs};
use cairn_http::{Health, Listener, ServeOptions};
use cairn_runtime::lifecycle::Turn;
use cairn_runtime::stop::StopPlan;
use cairn_runtime::{Failure, Lifecycle, announce_listener, config as runtime_config, dirs, notify};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::api::{self, ApiState};
use crate::args::Args;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::shipper::Shipper;

/// Where positions are kept unless `--data-dir` says otherwise: what `StateDirectory=` of the unit makes.
const DEFAULT_DATA_DIR: &str = "/var/lib/cairn-log-shipper";
/// How long destinations may take to finish at the stop.
const DRAIN: Duration = Duration::from_secs(8);
/// For the whole stop; below systemd's usual 90 s by far, so that a stuck store does not hold up a reboot.
const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// The shipper, shared between the main loop and the HTTP handlers. `None` once it is being stopped.
pub type SharedShipper = Arc<Mutex<Option<Shipper>>>;

/// A reload that was asked for over HTTP, and where to say how it went.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`Failure`], with the exit code for it.
pub async fn run(args: Args, lifecycle: Lifecycle) -> Result<(), Failure> {
    let config_path = args.config_path().cloned();
    let config = Config::load(config_path.as_deref())?;
    if args.common.check_config {
        runtime_config::report_good(&config.source);
        return Ok(());
    }
    for warning in &config.warnings {
        tracing::warn!(config = %config.source, "{warning}");
    }
    let data_dir = args.common.data_dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    dirs::ensure_data_dir(&data_dir).map_err(anyhow::Error::from)?;
    let lock = DirLock::acquire(&data_dir).map_err(anyhow::Error::from)?;
    let listen = args.common.listen.clone().unwrap_or_else(|| config.listen.clone());
    let listener = Listener::bind(listen.as_str()).await.map_err(anyhow::Error::from)?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    cairn_http::process::register(&mut registry);
    let mut shipper = Shipper::start(&config, Arc::new(RealFs), &data_dir, Arc::clone(&metrics))?;
    let first_scan = shipper.first_scan();
    let shipper: SharedShipper = Arc::new(Mutex::new(Some(shipper)));

    let health = Health::starting("looking for files");
    let (reload_sender, reload_requests) = mpsc::channel(1);
    let state = ApiState {
        shipper: Arc::clone(&shipper),
        metrics: Arc::clone(&metrics),
        registry: Arc::new(registry),
        reload: reload_sender,
    };
    let address = listener.local_addr();
    let stop_http = CancellationToken::new();
    let serving = tokio::spawn(cairn_http::serve(
        listener,
        api::router(state, health.clone()),
        ServeOptions::default(),
        stop_http.clone(),
    ));
    announce_listener("http", address);
    let text = format!("shipping {} targets to {} destinations", config.targets.len(), config.clients.len());
    tracing::info!(config = %config.source, targets = config.targets.len(), destinations = config.clients.len(), "started");
    if let Some(first_scan) = first_scan {
        tokio::select! {
            // An error means that the thread has ended; the main loop will say so.
            _ = first_scan => {}
            () = lifecycle.stop.cancelled() => {}
        }
    }
    health.set_ready();
    notify::ready(&text);

    let main =
        MainLoop { config_path, listen: config.listen.clone(), shipper: Arc::clone(&shipper), metrics };
    let outcome = main.run(lifecycle, reload_requests).await;

    health.set_not_ready("stopping");
    let mut plan = StopPlan::new(STOP_DEADLINE);
    plan.step("release the data directory", async move {
        drop(lock);
        Ok(())
    });
    plan.step("stop the listener", async move {
        stop_http.cancel();
        serving.await.context("wait for the listener")?;
        Ok(())
    });
    plan.step("deliver what was read", async move {
        let running = locked(&shipper).take();
        match running {
            Some(shipper) => shipper.stop(DRAIN).await,
            None => Ok(()),
        }
    });
    plan.run().await.map_err(anyhow::Error::from)?;
    outcome
}

struct MainLoop {
    config_path: Option<PathBuf>,
    /// The address that is bound: changing it needs a restart.
    listen: cairn_runtime::ListenAddr,
    shipper: SharedShipper,
    metrics: Arc<Metrics>,
}

impl MainLoop {
    async fn run(
        &self,
        mut lifecycle: Lifecycle,
        mut requests: mpsc::Receiver<ReloadRequest>,
    ) -> Result<(), Failure> {
        loop {
            let turn = tokio::select! {
                turn = lifecycle.next() => turn,
                Some(answer) = requests.recv() => {
                    // A client that has gone does not want to know.
                    let _ = answer.send(self.reload(self.config_path.as_deref()));
                    continue;
                }
            };
            match turn {
                Turn::Stop => return Ok(()),
                Turn::Reload => {
                    // Logged and counted where it happens; there is nobody else to tell.
                    let _ = self.reload(self.config_path.as_deref());
                }
                Turn::Tick => {
                    if !locked(&self.shipper).as_ref().is_some_and(Shipper::is_reading) {
                        return Err(Failure::Run(anyhow::anyhow!("the reader's thread has ended by itself")));
                    }
                }
            }
        }
    }

    /// Takes the file as it is now, or keeps what runs.
    fn reload(&self, path: Option<&Path>) -> Result<(), String> {
        notify::reloading();
        let loaded = Config::load(path);
        let outcome = match loaded {
            Ok(config) => {
                for warning in &config.warnings {
                    tracing::warn!(config = %config.source, "{warning}");
                }
                if config.listen != self.listen {
                    tracing::warn!(
                        "server.http_listen_address and port need a restart, the old listener stays"
                    );
                }
                if let Some(shipper) = locked(&self.shipper).as_mut() {
                    shipper.reconfigure(&config);
                }
                self.metrics.reload_success.inc();
                self.metrics.reload_last_successful.set(1);
                tracing::info!(config = %config.source, targets = config.targets.len(), "reloaded the configuration");
                Ok(())
            }
            Err(error) => {
                self.metrics.reload_fail.inc();
                self.metrics.reload_last_successful.set(0);
                tracing::error!(%error, "configuration is bad, the old one stays");
                Err(error.to_string())
            }
        };
        notify::ready("running");
        outcome
    }
}

/// The lock on the shipper; held for moments, never across an await.
pub fn locked(shipper: &SharedShipper) -> MutexGuard<'_, Option<Shipper>> {
    shipper.lock().unwrap_or_else(PoisonError::into_inner)
}
