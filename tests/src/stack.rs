//! The four daemons, wired together in one state directory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use cairn_disk::lock::DirLock;
use nix::sys::signal::Signal;

use crate::child;
use crate::daemon::{Daemon, START_DEADLINE, wait_for};

/// How a stack is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where data, logs and the generated configurations lie. Kept between runs.
    pub state: PathBuf,
    /// The daemons' usual ports, or any free ones.
    pub usual_ports: bool,
    /// Requests a second that the sample app sends itself.
    pub traffic_per_second: f64,
    /// Seconds between two scrapes.
    pub scrape_interval_s: u32,
    /// A further glob of log files to ship, as stream `{job="corpus"}`.
    pub corpus_glob: Option<String>,
}

/// Running daemons. Dropping the stack kills them; [`stop`](Self::stop) ends them in order.
#[derive(Debug)]
pub struct Stack {
    /// Sample application.
    pub app: Daemon,
    /// Its address.
    pub app_address: SocketAddr,
    /// Log shipper.
    pub log_shipper: Daemon,
    /// Its address.
    pub log_shipper_address: SocketAddr,
    /// Log store.
    pub log_store: Daemon,
    /// Its address.
    pub log_store_address: SocketAddr,
    /// Metrics store.
    pub metrics_store: Daemon,
    /// Its address.
    pub metrics_store_address: SocketAddr,
    /// The app's log file.
    pub app_log: PathBuf,
    /// An installed node exporter, started beside the stack.
    node_exporter: Option<NodeExporter>,
    /// Held while the stack runs: a second one would write into the same logs and configurations.
    _lock: DirLock,
}

#[derive(Debug)]
struct NodeExporter {
    child: Child,
    address: SocketAddr,
}

impl Drop for NodeExporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stack {
    /// Starts the daemons and waits until each is ready.
    ///
    /// # Errors
    /// When another stack runs in the same state directory, or a daemon ends or is not ready in time; the message ends
    /// with its log.
    pub fn start(options: &Options) -> Result<Self> {
        let state = &options.state;
        let lock = DirLock::acquire(state)?;
        for folder in ["config", "log", "app", "log-shipper", "log-store", "metrics-store"] {
            fs::create_dir_all(state.join(folder))
                .with_context(|| format!("create {}", state.join(folder).display()))?;
        }
        let state = &state.canonicalize().context("resolve the state directory")?;
        let app_log = state.join("app/app.log");
        let log_of = |name: &str| state.join("log").join(format!("{name}.log"));
        let listen = |port: u16| format!("127.0.0.1:{}", if options.usual_ports { port } else { 0 });

        let log_store_data = state.join("log-store");
        let mut log_store = Daemon::spawn(
            "cairn-log-store",
            &["--listen", &listen(3100), "--data-dir", &text(&log_store_data)],
            &log_of("log-store"),
        )?;
        let log_store_address = log_store.ready("http", "/ready")?;

        let app_config = write(state, "app.toml", &app_toml(&app_log, options.traffic_per_second))?;
        let mut app = Daemon::spawn(
            "cairn-app",
            &["--config", &text(&app_config), "--listen", &listen(5000)],
            &log_of("app"),
        )?;
        let app_address = app.ready("http", "/health")?;

        let shipper_config =
            write(state, "log-shipper.toml", &shipper_toml(log_store_address, &app_log, options))?;
        let shipper_data = state.join("log-shipper");
        let mut log_shipper = Daemon::spawn(
            "cairn-log-shipper",
            &[
                "--config",
                &text(&shipper_config),
                "--listen",
                &listen(12345),
                "--data-dir",
                &text(&shipper_data),
            ],
            &log_of("log-shipper"),
        )?;
        let log_shipper_address = log_shipper.ready("http", "/ready")?;

        let node_exporter = start_node_exporter(&log_of("node-exporter"))?;
        let mut jobs = vec![
            ("flask-app", app_address),
            ("cairn-log-store", log_store_address),
            ("cairn-log-shipper", log_shipper_address),
        ];
        if let Some(exporter) = &node_exporter {
            jobs.push(("node", exporter.address));
        }
        let interval = options.scrape_interval_s;
        let metrics_config = write(state, "prometheus.yml", &prometheus_yml(interval, &jobs))?;
        let metrics_data = state.join("metrics-store");
        let mut metrics_store = Daemon::spawn(
            "cairn-metrics-store",
            &[
                "--config",
                &text(&metrics_config),
                "--listen",
                &listen(9090),
                "--data-dir",
                &text(&metrics_data),
            ],
            &log_of("metrics-store"),
        )?;
        let metrics_store_address = metrics_store.ready("http", "/-/ready")?;
        // Its own address is known only now: the job that scrapes itself comes with a reload.
        jobs.insert(0, ("prometheus", metrics_store_address));
        write(state, "prometheus.yml", &prometheus_yml(interval, &jobs))?;
        metrics_store.signal(Signal::SIGHUP)?;

        Ok(Self {
            app,
            app_address,
            log_shipper,
            log_shipper_address,
            log_store,
            log_store_address,
            metrics_store,
            metrics_store_address,
            app_log,
            node_exporter,
            _lock: lock,
        })
    }

    /// Whether a node exporter was found and is scraped.
    pub fn has_node_exporter(&self) -> bool {
        self.node_exporter.is_some()
    }

    /// The first daemon that has ended by itself, with how; `None` while all run.
    pub fn first_ended(&mut self) -> Option<String> {
        let daemons = [
            ("cairn-app", &mut self.app),
            ("cairn-log-shipper", &mut self.log_shipper),
            ("cairn-log-store", &mut self.log_store),
            ("cairn-metrics-store", &mut self.metrics_store),
        ];
        daemons.into_iter().find_map(|(name, daemon)| Some(format!("{name} ended with {}", daemon.ended()?)))
    }

    /// Each daemon's name and resident memory in bytes.
    ///
    /// # Errors
    /// When a daemon is gone.
    pub fn resident_bytes(&self) -> Result<Vec<(&'static str, u64)>> {
        Ok(vec![
            ("cairn-app", self.app.resident_bytes()?),
            ("cairn-log-shipper", self.log_shipper.resident_bytes()?),
            ("cairn-log-store", self.log_store.resident_bytes()?),
            ("cairn-metrics-store", self.metrics_store.resident_bytes()?),
        ])
    }

    /// Stops the daemons in the order of the data: first what produces, last what stores. Answers with what they
    /// logged at WARN or ERROR, each line with the daemon's name.
    ///
    /// # Errors
    /// When one does not stop in time, or not with exit status 0.
    pub fn stop(self) -> Result<Vec<String>> {
        let mut complaints = Vec::new();
        for (name, daemon) in [
            ("app", self.app),
            ("metrics-store", self.metrics_store),
            ("log-shipper", self.log_shipper),
            ("log-store", self.log_store),
        ] {
            let log = daemon.stop()?;
            complaints.extend(
                crate::daemon::complaints(&log, &[]).into_iter().map(|line| format!("{name}: {line}")),
            );
        }
        Ok(complaints)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn write(state: &Path, name: &str, content: &str) -> Result<PathBuf> {
    let path = state.join("config").join(name);
    fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn app_toml(app_log: &Path, traffic_per_second: f64) -> String {
    format!("log_file = {:?}\nself_traffic_per_second = {traffic_per_second:?}\n", text(app_log))
}

fn shipper_toml(log_store: SocketAddr, app_log: &Path, options: &Options) -> String {
    let job = |name: &str, glob: &str| {
        format!(
            "\n[[scrape_configs]]\njob_name = {name:?}\n\n[[scrape_configs.static_configs]]\ntargets = [\"localhost\"]\n\
             labels = {{ job = {name:?}, env = \"dev\", __path__ = {glob:?} }}\n"
        )
    };
    let mut out = format!("[[clients]]\nurl = \"http://{log_store}/loki/api/v1/push\"\n");
    out += &job("flask-app", &text(app_log));
    if let Some(glob) = &options.corpus_glob {
        out += &job("corpus", glob);
    }
    out
}

fn prometheus_yml(interval_s: u32, jobs: &[(&str, SocketAddr)]) -> String {
    let mut out = format!(
        "global:\n  scrape_interval: {interval_s}s\n  scrape_timeout: {}s\nscrape_configs:\n",
        interval_s.min(10)
    );
    for (job, address) in jobs {
        out += &format!("  - job_name: {job}\n    static_configs:\n      - targets: ['{address}']\n");
    }
    out
}

/// Starts an installed `prometheus-node-exporter` on a free port; `None` where there is none.
fn start_node_exporter(log: &Path) -> Result<Option<NodeExporter>> {
    let Some(program) = child::find_in_path("prometheus-node-exporter") else { return Ok(None) };
    let child = child::command(&program)
        .args(["--web.listen-address=127.0.0.1:0", "--no-collector.systemd"])
        .stdout(Stdio::null())
        .stderr(child::new_log(log)?)
        .spawn()
        .context("start prometheus-node-exporter")?;
    // Guard first, so that the process is ended when its address never shows.
    let mut exporter = NodeExporter { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
    exporter.address = wait_for("the node exporter's address", START_DEADLINE, || {
        let log = fs::read_to_string(log).unwrap_or_default();
        log.split_whitespace().find_map(|word| word.strip_prefix("address=")?.parse().ok())
    })?;
    Ok(Some(exporter))
}
