//! The shipper as a whole, without command line, signals or HTTP: a reader, a queue, destinations, positions.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use cairn_disk::Fs;
use cairn_http::client::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{ClientSettings, Config};
use crate::deliver::{Destination, DestinationState, Outlet, SharedState};
use crate::metrics::Metrics;
use crate::positions::Positions;
use crate::queue::Queue;
use crate::tail::{Command, Surroundings, TailConfig, Tailer, watch as folders};
use crate::target;
use crate::time::unix_seconds;

/// How often positions are written, if any has moved: what `kill -9` can make the next run send again.
const SAVE_INTERVAL: Duration = Duration::from_millis(250);

/// A running shipper.
#[derive(Debug)]
pub struct Shipper {
    positions: Arc<Positions>,
    queue: Queue,
    metrics: Arc<Metrics>,
    tailer: Tailer,
    destinations: Vec<Running>,
    client: Client,
    abandon: CancellationToken,
    saver: JoinHandle<()>,
    saver_stop: CancellationToken,
}

/// A destination's task, from outside.
#[derive(Debug)]
struct Running {
    settings: watch::Sender<Arc<ClientSettings>>,
    removed: CancellationToken,
    outlet: Outlet,
    state: SharedState,
    task: JoinHandle<()>,
}

/// One destination, for the status page.
#[derive(Clone, Debug)]
pub struct DestinationStatus {
    /// Its settings.
    pub settings: Arc<ClientSettings>,
    /// How it is doing.
    pub state: DestinationState,
}

impl Shipper {
    /// Reads the positions in `data_dir` and starts. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the positions are of a newer version, or the system is out of threads or file descriptors.
    pub fn start(
        config: &Config,
        fs: Arc<dyn Fs>,
        data_dir: &Path,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let (positions, warnings) =
            Positions::open(fs, data_dir, config.tail.positions_ttl).context("read the positions")?;
        for warning in warnings {
            tracing::warn!(error = %warning, "positions file is damaged");
        }
        let positions = Arc::new(positions);
        import(&positions, config);
        assign(&positions, config);

        let (waker, wake) = folders::wake_pair().context("create a pair of sockets")?;
        let queue_waker = waker.clone();
        let queue = Queue::new(config.queue_bytes, move || queue_waker.wake());
        let client = Client::new(concat!("cairn-log-shipper/", env!("CARGO_PKG_VERSION")));
        let abandon = CancellationToken::new();
        let destinations: Vec<Running> = config
            .clients
            .iter()
            .map(|settings| start_destination(settings, &client, &metrics, &abandon))
            .collect();
        let surroundings = Surroundings {
            positions: Arc::clone(&positions),
            queue: queue.clone(),
            metrics: Arc::clone(&metrics),
            wake,
        };
        let tailer = Tailer::start(tail_config(config, &destinations), surroundings, waker)
            .context("start the reader's thread")?;
        let saver_stop = CancellationToken::new();
        let saver =
            tokio::spawn(save_regularly(Arc::clone(&positions), Arc::clone(&metrics), saver_stop.clone()));
        Ok(Self { positions, queue, metrics, tailer, destinations, client, abandon, saver, saver_stop })
    }

    /// Goes on with another configuration. Files that are still wanted stay open; a destination of the same name keeps
    /// what it has not delivered yet, also when its URL changes; one that is gone gives it up, counted.
    pub fn reconfigure(&mut self, config: &Config) {
        let mut kept = Vec::new();
        for settings in &config.clients {
            let running =
                self.destinations.iter().position(|one| one.settings.borrow().name == settings.name);
            match running {
                Some(index) => {
                    let running = self.destinations.swap_remove(index);
                    running.settings.send_if_modified(|old| {
                        let is_new = *old != *settings;
                        *old = Arc::clone(settings);
                        is_new
                    });
                    kept.push(running);
                }
                None => kept.push(start_destination(settings, &self.client, &self.metrics, &self.abandon)),
            }
        }
        let gone = std::mem::replace(&mut self.destinations, kept);
        self.positions.set_ttl(config.tail.positions_ttl);
        self.queue.set_limit(config.queue_bytes);
        import(&self.positions, config);
        assign(&self.positions, config);
        // The reader lets go of the old outlets first, so that nothing comes after what is given up.
        self.tailer.tell(Command::Configure(tail_config(config, &self.destinations)));
        for running in gone {
            tracing::warn!(destination = %running.settings.borrow().name, "destination is removed");
            running.removed.cancel();
        }
    }

    /// Stops reading, lets the destinations finish what was read for at most `drain`, writes the positions.
    ///
    /// # Errors
    /// When the positions cannot be written: what was delivered since the last write is sent again by the next run.
    pub async fn stop(self, drain: Duration) -> anyhow::Result<()> {
        let Self { positions, metrics, tailer, destinations, abandon, saver, saver_stop, .. } = self;
        tokio::task::spawn_blocking(move || tailer.stop()).await.context("stop the reader")?;
        let mut tasks = Vec::new();
        for running in destinations {
            // Dropping the last way in is what ends the channel.
            let Running { settings, removed: _, outlet, state: _, task } = running;
            drop(outlet);
            tasks.push((settings, task));
        }
        let deadline = tokio::time::Instant::now() + drain;
        for (settings, task) in tasks {
            let mut task = task;
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                let name = settings.borrow().name.clone();
                tracing::warn!(destination = %name, "not everything was delivered before the stop, the rest is read again at the next start");
                abandon.cancel();
                let _ = task.await;
            }
        }
        saver_stop.cancel();
        let _ = saver.await;
        save(&positions, &metrics).await.context("write the positions")
    }

    /// See [`Tailer::first_scan`].
    pub fn first_scan(&mut self) -> Option<oneshot::Receiver<()>> {
        self.tailer.first_scan()
    }

    /// Whether the reader's thread runs.
    pub fn is_reading(&self) -> bool {
        self.tailer.is_alive()
    }

    /// The positions, for the status page and the metrics.
    pub fn positions(&self) -> &Arc<Positions> {
        &self.positions
    }

    /// The queue, for the metrics.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The destinations, for the status page.
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        let status = |running: &Running| DestinationStatus {
            settings: Arc::clone(&running.settings.borrow()),
            state: running.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.destinations.iter().map(status).collect()
    }
}

fn import(positions: &Positions, config: &Config) {
    let Some(path) = &config.import_positions else { return };
    match positions.import(path) {
        Ok(0) => {}
        Ok(n) => tracing::info!(path = %path.display(), positions = n, "took over Promtail's positions"),
        Err(error) => tracing::warn!(%error, "cannot take over Promtail's positions"),
    }
}

fn assign(positions: &Positions, config: &Config) {
    positions.assign(|path| target::matching(&config.targets, path).map(|(key, _)| key).collect());
}

fn tail_config(config: &Config, destinations: &[Running]) -> TailConfig {
    TailConfig {
        targets: config.targets.clone(),
        settings: config.tail.clone(),
        outlets: destinations.iter().map(|running| running.outlet.clone()).collect(),
    }
}

fn start_destination(
    settings: &Arc<ClientSettings>,
    client: &Client,
    metrics: &Arc<Metrics>,
    abandon: &CancellationToken,
) -> Running {
    let host = settings.url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let tenant = settings.tenant_id.as_deref().unwrap_or_default();
    let own_metrics = metrics.destination(&settings.name, host, tenant);
    let removed = CancellationToken::new();
    let (outlet, chunks) = Outlet::new(own_metrics.clone(), removed.clone());
    let (settings_sender, settings) = watch::channel(Arc::clone(settings));
    let state = SharedState::default();
    let destination = Destination {
        chunks,
        settings,
        abandon: abandon.clone(),
        removed: removed.clone(),
        client: client.clone(),
        metrics: own_metrics,
        state: Arc::clone(&state),
    };
    let task = tokio::spawn(destination.run());
    Running { settings: settings_sender, removed, outlet, state, task }
}

async fn save_regularly(positions: Arc<Positions>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SAVE_INTERVAL) => {}
        }
        match save(&positions, &metrics).await {
            Ok(()) => is_failing = false,
            // Once per failure, not four times a second.
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(error = %format!("{error:#}"), "cannot write the positions, trying on");
            }
            Err(_) => {}
        }
    }
}

async fn save(positions: &Arc<Positions>, metrics: &Metrics) -> anyhow::Result<()> {
    let positions = Arc::clone(positions);
    let saved = tokio::task::spawn_blocking(move || positions.save(unix_seconds())).await?;
    match saved {
        Ok(has_written) => {
            if has_written {
                metrics.positions_last_sync.set(i64::try_from(unix_seconds()).unwrap_or(i64::MAX));
            }
            Ok(())
        }
        Err(error) => {
            metrics.positions_failures.inc();
            Err(error.into())
        }
    }
}
