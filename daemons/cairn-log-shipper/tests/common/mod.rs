//! A store that writes down what it is sent, and a shipper in front of it.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "shared by several test binaries, none of which uses all of it"
)]

pub mod loki;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_disk::RealFs;
use cairn_log_shipper::config::Config;
use cairn_log_shipper::metrics::Metrics;
use cairn_log_shipper::positions::Positions;
use cairn_log_shipper::shipper::Shipper;
use loki::FakeLoki;
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;

/// Far more than anything here takes; only a failure waits that long.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` answers something.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_for_or(what, condition, String::new)
}

/// The same; `state` says at the end how things stood.
pub fn wait_for_or<T>(what: &str, mut condition: impl FnMut() -> Option<T>, state: impl Fn() -> String) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}; {}", state());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder of logs, a store, and a shipper that can be started, stopped and killed.
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub loki: FakeLoki,
    /// TOML after the client and the scrape job.
    pub more: String,
    /// `pipeline_stages` of the scrape job, as TOML.
    pub stages: String,
    /// Glob below the folder of logs.
    pub glob: String,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    shipper: Shipper,
    registry: Registry,
    metrics: Arc<Metrics>,
}

impl Rig {
    /// Nothing runs yet.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let (more, stages) = (String::new(), "[]".to_owned());
        Self { dir, loki: FakeLoki::start(), more, stages, glob: "*.log".to_owned(), running: None }
    }

    /// A path among the logs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("log").join(name)
    }

    fn config(&self) -> Config {
        let text = format!(
            "[[clients]]\nname = \"store\"\nurl = \"{}\"\nbackoff_config = {{ min_period = \"10ms\", max_period = \"50ms\" }}\n\
             batchwait = \"10ms\"\n{}\n\
             [[scrape_configs]]\njob_name = \"t\"\npipeline_stages = {}\n[[scrape_configs.static_configs]]\nlabels = {{ __path__ = \"{}\" }}\n",
            self.loki.url(),
            self.more,
            self.stages,
            self.path(&self.glob).display(),
        );
        let path = self.dir.path().join("shipper.toml");
        fs::write(&path, text).unwrap();
        Config::load(Some(&path)).unwrap()
    }

    /// Starts the shipper on what the last one left.
    pub fn start(&mut self) {
        assert!(self.running.is_none());
        let config = self.config();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let _inside = runtime.enter();
        let data = self.dir.path().join("data");
        let shipper = Shipper::start(&config, Arc::new(RealFs), &data, Arc::clone(&metrics)).unwrap();
        drop(_inside);
        self.running = Some(Running { runtime, shipper, registry, metrics });
    }

    /// Takes the configuration as it is now.
    pub fn reconfigure(&mut self) {
        let config = self.config();
        let running = self.running.as_mut().unwrap();
        let _inside = running.runtime.enter();
        running.shipper.reconfigure(&config);
    }

    /// The orderly stop.
    pub fn stop(&mut self) {
        self.stop_within(DEADLINE);
    }

    /// The orderly stop, with that much time to deliver what was read.
    pub fn stop_within(&mut self, drain: Duration) {
        let Running { runtime, shipper, .. } = self.running.take().unwrap();
        runtime.block_on(shipper.stop(drain)).unwrap();
    }

    /// The process is gone: nothing is delivered or written any more.
    pub fn kill(&mut self) {
        let Running { runtime, shipper, .. } = self.running.take().unwrap();
        // Writes that have begun come to their end, as a kernel would bring them.
        runtime.shutdown_timeout(DEADLINE);
        drop(shipper);
    }

    /// Waits until the position on disk says that this file is acknowledged up to its end.
    pub fn wait_saved(&self, name: &str) {
        let path = self.path(name);
        let size = fs::metadata(&path).unwrap().len();
        let id = cairn_log_shipper::tail::identity::FileId::of(&fs::metadata(&path).unwrap());
        wait_for("the position on disk", || (self.saved_offset(&id)? == size).then_some(()));
    }

    /// The offset on disk of the file with this identity.
    pub fn saved_offset(&self, id: &cairn_log_shipper::tail::identity::FileId) -> Option<u64> {
        let data = self.dir.path().join("data");
        // Between the two steps of a write there may be nothing.
        let (positions, _) = Positions::open(Arc::new(RealFs), &data, DEADLINE).ok()?;
        let entry = positions.entries().into_iter().find(|entry| entry.about().file == *id)?;
        Some(entry.ledger.committed().offset)
    }

    /// The positions of the running shipper.
    pub fn positions(&self) -> &Positions {
        self.running.as_ref().unwrap().shipper.positions()
    }

    /// Changes the positions on disk while nothing runs.
    pub fn edit_positions(&self, change: impl FnOnce(&Positions)) {
        assert!(self.running.is_none());
        let data = self.dir.path().join("data");
        let (positions, _) = Positions::open(Arc::new(RealFs), &data, DEADLINE).unwrap();
        change(&positions);
        positions.save(0).unwrap();
    }

    /// Whether the shipper's queue is empty.
    pub fn is_idle(&self) -> bool {
        self.running.as_ref().unwrap().shipper.queue().used_bytes() == 0
    }

    /// Bytes in the shipper's queue.
    pub fn queue_bytes(&self) -> usize {
        self.running.as_ref().unwrap().shipper.queue().used_bytes()
    }

    /// The value of a sample, by its text up to the blank.
    pub fn metric(&self, sample: &str) -> Option<f64> {
        let running = self.running.as_ref().unwrap();
        running.metrics.refresh(running.shipper.positions(), running.shipper.queue());
        let text = cairn_http::exposition::encode(&running.registry, cairn_http::exposition::Format::Text);
        let line =
            text.lines().find(|line| line.starts_with(sample) && line[sample.len()..].starts_with(' '))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// The lines that came under this name, in order of their time, once there are at least `n`.
    pub fn lines(&self, name: &str, n: usize) -> Vec<String> {
        let filename = self.path(name).display().to_string();
        wait_for(&format!("{n} lines of {name}, there are {}", self.loki.lines(&filename).len()), || {
            let lines = self.loki.lines(&filename);
            (lines.len() >= n).then_some(lines)
        })
    }

    /// Asserts that these lines came under this name, in this order, none more, none less.
    pub fn expect(&self, name: &str, want: &[String]) {
        let got = self.lines(name, want.len());
        if got != want {
            let at = got.iter().zip(want).position(|(a, b)| a != b).unwrap_or(want.len().min(got.len()));
            panic!(
                "{name}: {} lines instead of {}; first difference at {at}: {:?} instead of {:?}",
                got.len(),
                want.len(),
                got.get(at),
                want.get(at)
            );
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }
}

/// 50-byte lines that tell where they are from.
pub fn numbered(what: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{:<49}", format!("{what} {n}"))).collect()
}

/// Appends lines to a file, which is created if need be.
pub fn append(path: &Path, lines: &[String]) -> File {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    append_to(&mut file, lines);
    file
}

/// Appends lines to an open file.
pub fn append_to(file: &mut File, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    file.write_all(text.as_bytes()).unwrap();
}

/// `[a, b].concat()` for slices of lines.
pub fn all(parts: &[&[String]]) -> Vec<String> {
    parts.concat()
}
