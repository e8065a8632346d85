//! One daemon as a child process.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::child::{self, describe};

/// How long a daemon may take to bind its addresses. Generous: machines that run tests are shared.
pub const START_DEADLINE: Duration = Duration::from_secs(60);

/// How long a daemon may take to stop when asked.
pub const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at while waiting for it.
pub const POLL: Duration = Duration::from_millis(20);

/// The path of a daemon's binary: in `CAIRN_BIN_DIR`, else where this workspace builds, after building it there.
///
/// # Errors
/// When there is none and it cannot be built.
pub fn binary(name: &str) -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("CAIRN_BIN_DIR") {
        let path = PathBuf::from(dir).join(name);
        anyhow::ensure!(
            path.exists(),
            "{} does not exist: run `cargo build --workspace --bins` first",
            path.display()
        );
        return Ok(path);
    }
    let here = std::env::current_exe().context("find the running program")?;
    let dir = here.ancestors().find(|dir| dir.join("deps").is_dir()).context("find the build folder")?;
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--bins", "-p", name])
        .current_dir(crate::root::root())
        .status()
        .context("run cargo build")?;
    anyhow::ensure!(status.success(), "cargo build -p {name} fails");
    Ok(dir.join(name))
}

/// Waits until `condition` gives a value.
///
/// # Errors
/// When it has given none by the deadline; the message says what was waited for.
pub fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let until = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() > until {
            bail!("waited {} s for {what}", deadline.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

/// A running daemon. Dropping it kills the process.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the binary `name` with `arguments`; its standard error goes to `log`, a new file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::spawn_with(name, arguments, log, &[])
    }

    /// [`spawn`](Self::spawn) with further environment variables.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_with(
        name: &str,
        arguments: &[&str],
        log: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let stderr = child::new_log(log)?;
        let child = child::command(&binary(name)?)
            .args(arguments)
            .envs(environment.iter().copied())
            .env_remove("NOTIFY_SOCKET")
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// How the process ended, if it did; `None` while it runs.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(describe)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the daemon has logged so far.
    pub fn log_text(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The address bound for `role`, as its start-up line tells.
    ///
    /// # Errors
    /// When the daemon ends, or says nothing in time; the message ends with its log.
    pub fn address(&mut self, role: &str) -> Result<SocketAddr> {
        let what = format!("{} to bind its {role} address", self.name);
        let mut ended = None;
        let found = wait_for(&what, START_DEADLINE, || {
            if let Some(address) = announced(&self.log_text(), role) {
                return Some(Some(address));
            }
            ended = self.child.try_wait().ok().flatten();
            ended.map(|_| None)
        });
        match found {
            Ok(Some(address)) => Ok(address),
            Ok(None) => bail!(
                "{} ended with {}:\n{}",
                self.name,
                ended.map_or_else(String::new, describe),
                self.log_text()
            ),
            Err(e) => Err(e.context(self.log_text())),
        }
    }

    /// Waits until `path` on `role`'s address answers 200.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn ready(&mut self, role: &str, path: &str) -> Result<SocketAddr> {
        let address = self.address(role)?;
        wait_for(&format!("{} to be ready", self.name), START_DEADLINE, || {
            crate::http::get(address, path).ok().filter(|answer| answer.status == 200)
        })
        .with_context(|| self.log_text())?;
        Ok(address)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("process id")?);
        kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When it does not within [`STOP_DEADLINE`].
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait_for(&what, STOP_DEADLINE, || self.child.try_wait().ok().flatten())
            .with_context(|| self.log_text())
    }

    /// Asks the daemon to stop (TERM), and expects exit status 0.
    ///
    /// # Errors
    /// When it does not stop in time, or not with 0.
    pub fn stop(mut self) -> Result<String> {
        self.signal(Signal::SIGTERM)?;
        let status = self.wait()?;
        anyhow::ensure!(
            status.success(),
            "{} stopped with {}:\n{}",
            self.name,
            describe(status),
            self.log_text()
        );
        Ok(self.log_text())
    }

    /// Ends the process as a power cut would end the program: no chance to clean up.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill_9(mut self) -> Result<()> {
        self.child.kill().context("kill")?;
        self.child.wait().context("wait for the killed process")?;
        Ok(())
    }

    /// Resident memory in bytes, as the kernel counts it.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).context("read /proc status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("find VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("parse VmRSS")?;
        Ok(kib * 1024)
    }

    /// Lines of the log that say something went wrong, leaving out those that contain one of `expected`.
    pub fn complaints(&self, expected: &[&str]) -> Vec<String> {
        complaints(&self.log_text(), expected)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Lines of a daemon's log at WARN or ERROR, leaving out those that contain one of `expected`.
pub fn complaints(log: &str, expected: &[&str]) -> Vec<String> {
    log.lines()
        .filter(|line| ["level=warn", "level=error", "panicked"].iter().any(|level| line.contains(level)))
        .filter(|line| !expected.iter().any(|text| line.contains(text)))
        .map(str::to_owned)
        .collect()
}

/// The address in the line by which a daemon announces a listener: `... msg=listening addr=127.0.0.1:3100 role=http`.
fn announced(log: &str, role: &str) -> Option<SocketAddr> {
    log.lines().filter(|line| line.contains("listening")).find_map(|line| {
        let field = |name: &str| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix(name))
                .map(|value| value.trim_matches('"'))
        };
        (field("role=") == Some(role)).then(|| field("addr=")?.parse().ok()).flatten()
    })
}

/// Runs a binary to its end and returns its exit code and what it wrote to standard output and standard error.
///
/// # Errors
/// When it cannot be started, or does not end within [`STOP_DEADLINE`].
pub fn run_to_end(name: &str, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let dir = tempfile::tempdir().context("make a temporary folder")?;
    let output = dir.path().join("output");
    let file = File::create(&output).context("create the output file")?;
    let mut child = Command::new(binary(name)?)
        .args(arguments)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("share the output file")?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let text = || fs::read_to_string(&output).unwrap_or_default();
    let status =
        wait_for(&format!("{name} {arguments:?} to end"), STOP_DEADLINE, || child.try_wait().ok().flatten());
    if status.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok((status.with_context(text)?.code(), text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announced_address_is_found_by_role() {
        let log = "level=info msg=starting\nlevel=info msg=listening addr=127.0.0.1:41 role=http\n\
                   level=info msg=listening addr=127.0.0.1:42 role=grpc\n";
        assert_eq!(announced(log, "http"), Some(SocketAddr::from(([127, 0, 0, 1], 41))));
        assert_eq!(announced(log, "grpc"), Some(SocketAddr::from(([127, 0, 0, 1], 42))));
        assert_eq!(announced(log, "otlp"), None);
    }

    #[test]
    fn complaints_leave_out_what_is_expected() {
        let log = "level=info a\nlevel=warn b torn\nlevel=error c\n";
        assert_eq!(complaints(log, &["torn"]), ["level=error c"]);
    }
}
