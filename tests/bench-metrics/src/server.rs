//! The store that is measured: its process, its flags, its end.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::Client;
use crate::process::{Usage, bytes_below, usage};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// cairn-metrics-store
    Cairn,
    /// prometheus
    Prometheus,
    /// victoria-metrics, single node
    Victoria,
}

/// A program and where it lies.
#[derive(Clone, Debug)]
pub struct Program {
    /// Which one.
    pub kind: Kind,
    /// Its file.
    pub path: PathBuf,
}

/// A running store with a folder of its own.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    program: PathBuf,
    child: Child,
    dir: PathBuf,
    port: u16,
    flags: Vec<String>,
    /// Asks it.
    pub client: Client,
}

/// How long samples are kept. `compare-promql` writes samples of a fixed day, however long ago it will be.
const RETENTION: &str = "100y";
/// Longest start.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest orderly stop; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// A store is at rest when it used less than this share of a core, and wrote less than this, for [`REST_TIME`].
const REST_CPU_SHARE: f64 = 0.02;
const REST_BYTES: u64 = 256 << 10;
const REST_TIME: Duration = Duration::from_secs(10);
/// Longest wait for it.
const REST_TIMEOUT: Duration = Duration::from_secs(400);

impl Program {
    /// Name in tables.
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Cairn => "Cairn".to_owned(),
            Kind::Prometheus => format!("Prometheus {}", self.version()),
            Kind::Victoria => format!("VictoriaMetrics {}", self.version()),
        }
    }

    /// The first `1.2.3` in what it prints about its version.
    fn version(&self) -> String {
        let output = Command::new(&self.path).arg("--version").output();
        let text = output.map(|out| [out.stdout, out.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let is_version = |word: &&str| {
            word.split('.').count() >= 3 && word.starts_with(|first: char| first.is_ascii_digit())
        };
        let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
        words.filter(|word| !word.is_empty()).find(is_version).unwrap_or("").to_owned()
    }

    /// Starts it in `dir` and waits until it answers. `scrape` are `scrape_configs` in YAML, `[]` for none.
    ///
    /// # Errors
    /// It cannot be started, or ends, or does not answer in time.
    pub fn start(&self, dir: &Path, scrape: &str) -> Result<Server> {
        self.start_with(dir, scrape, &[])
    }

    /// [`start`](Self::start) with further flags of the program.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_with(&self, dir: &Path, scrape: &str, flags: &[&str]) -> Result<Server> {
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        std::fs::write(
            dir.join("prometheus.yml"),
            format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: {scrape}\n"),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let child = spawn(self.kind, &self.path, dir, port, &flags)?;
        let client = Client::new(format!("http://127.0.0.1:{port}"));
        let (kind, program, dir) = (self.kind, self.path.clone(), dir.to_owned());
        let mut server = Server { kind, program, child, dir, port, flags, client };
        server.until_ready()?;
        Ok(server)
    }
}

fn spawn(kind: Kind, program: &Path, dir: &Path, port: u16, flags: &[String]) -> Result<Child> {
    let file = |name: &str| dir.join(name).display().to_string();
    let arguments = match kind {
        Kind::Cairn | Kind::Prometheus => [
            format!("--config.file={}", file("prometheus.yml")),
            format!("--storage.tsdb.path={}", file("data")),
            format!("--storage.tsdb.retention.time={RETENTION}"),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-remote-write-receiver".to_owned(),
            "--log.level=warn".to_owned(),
        ]
        .into_iter()
        .chain((kind == Kind::Prometheus).then(|| "--web.enable-admin-api".to_owned()))
        .collect(),
        Kind::Victoria => vec![
            format!("-storageDataPath={}", file("data")),
            format!("-retentionPeriod={RETENTION}"),
            format!("-httpListenAddr=127.0.0.1:{port}"),
            format!("-promscrape.config={}", file("prometheus.yml")),
            "-loggerLevel=WARN".to_owned(),
        ],
    };
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log"))?;
    Command::new(program)
        .args(arguments)
        .args(flags)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", program.display()))
}

impl Server {
    fn until_ready(&mut self) -> Result<()> {
        let path = if self.kind == Kind::Victoria { "/health" } else { "/-/ready" };
        let began = Instant::now();
        while !self.client.get(path).is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}; its log: {}", self.program.display(), self.log_end());
            }
            if began.elapsed() > START_TIMEOUT {
                bail!("{} did not get ready; its log: {}", self.program.display(), self.log_end());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// What it has used.
    ///
    /// # Errors
    /// It has ended.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.child.id())
    }

    /// Ends it without warning, starts it again in its folder, and says how long that took until it was ready.
    ///
    /// # Errors
    /// As for a start.
    pub fn kill_and_restart(&mut self) -> Result<Duration> {
        self.kill_now()?;
        let began = Instant::now();
        self.child = spawn(self.kind, &self.program, &self.dir, self.port, &self.flags)?;
        self.until_ready()?;
        Ok(began.elapsed())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// Only if the process cannot be waited for.
    pub fn kill_now(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Its process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until everything is merged that will be, as far as that shows from outside: no work for a while.
    ///
    /// # Errors
    /// It has ended, or does not come to rest.
    pub fn until_at_rest(&self) -> Result<()> {
        let at_least = match self.kind {
            // Rounds of upkeep come every half minute here, every minute there.
            Kind::Cairn => Duration::from_secs(65),
            Kind::Prometheus => Duration::from_secs(130),
            Kind::Victoria => {
                self.client.get("/internal/force_flush")?;
                self.client.get("/internal/force_merge")?;
                Duration::from_secs(20)
            }
        };
        let began = Instant::now();
        let mut since = (Instant::now(), self.usage()?);
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = self.usage()?;
            let elapsed = since.0.elapsed();
            let is_busy = (now.cpu - since.1.cpu).as_secs_f64() > REST_CPU_SHARE * REST_TIME.as_secs_f64()
                || now.written - since.1.written > REST_BYTES;
            if is_busy {
                since = (Instant::now(), now);
            } else if elapsed > REST_TIME && began.elapsed() > at_least {
                return Ok(());
            }
            if began.elapsed() > REST_TIMEOUT {
                bail!("{} does not come to rest", self.program.display());
            }
        }
    }

    /// Bytes that all samples take on disk: of the original a snapshot, since it holds the head as a block; of Cairn all
    /// that lies there, the log as well.
    ///
    /// # Errors
    /// The snapshot fails.
    pub fn stored_bytes(&self) -> Result<u64> {
        let data = self.dir.join("data");
        if self.kind == Kind::Victoria {
            return Ok(bytes_below(&data.join("data")) + bytes_below(&data.join("indexdb")));
        }
        if self.kind == Kind::Cairn {
            return Ok(bytes_below(&data));
        }
        let answer = self.client.post("/api/v1/admin/tsdb/snapshot", "", &[])?;
        let name = serde_json::from_str::<serde_json::Value>(&answer.body)
            .ok()
            .and_then(|json| Some(json["data"]["name"].as_str()?.to_owned()))
            .with_context(|| format!("snapshot: {} {}", answer.status, answer.body))?;
        Ok(bytes_below(&data.join("snapshots").join(name)))
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It had ended before.
    pub fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("process number")?);
        kill(pid, Signal::SIGTERM)?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > STOP_TIMEOUT {
                return self.kill_now();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    /// Whatever went wrong: no process stays.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
