//! The built daemon, started on a free port with a folder of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::http;

/// How long starting and stopping may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// A running daemon; killed when dropped.
pub struct Store {
    child: Child,
    pub address: SocketAddr,
    pub dir: tempfile::TempDir,
}

/// A command for the daemon under test.
pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cairn-log-store"))
}

/// Runs the daemon until it ends by itself.
pub fn run_to_end(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

impl Store {
    /// Starts with a configuration file of this name and content.
    pub fn start(config_name: &str, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(config_name), config).unwrap();
        Self::start_in(dir, config_name)
    }

    /// Starts with Cairn's defaults.
    pub fn start_default() -> Self {
        Self::start("log-store.toml", "")
    }

    fn start_in(dir: tempfile::TempDir, config_name: &str) -> Self {
        let log = dir.path().join("log");
        let child = command()
            .arg("--config")
            .arg(dir.path().join(config_name))
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut store = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), dir };
        store.address = store.wait_for("a listening line", |store| {
            store.log().lines().find_map(cairn_runtime::parse_announcement).map(|a| a.addr)
        });
        let address = store.address;
        store.wait_for("readiness", |_| {
            http::ask(address, "GET", "/ready", &[], None).ok().filter(|answer| answer.status == 200)
        });
        store
    }

    /// Stops with TERM, checks that it ended well, and starts again on the same data.
    pub fn restart(mut self, config_name: &str) -> Self {
        self.terminate();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Self::start_in(dir, config_name)
    }

    /// Sends TERM and waits for the end; panics unless the exit code is 0.
    pub fn terminate(&mut self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = self.wait_for("the end", |store| store.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Asks for a reload with HUP.
    pub fn hang_up(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
    }

    /// What the daemon logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Polls until `check` gives something; panics after the deadline, or when the daemon has ended.
    pub fn wait_for<T>(&mut self, what: &str, mut check: impl FnMut(&mut Self) -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = check(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended ({ended:?}) before {what}: {}", self.log());
            assert!(Instant::now() < until, "no {what} in {DEADLINE:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A path below the daemon's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
