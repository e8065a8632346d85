//! Starting the built binary in a temporary folder and talking to it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_http::client::Client;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{Method, Request, Response};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Every wait ends here; none is expected to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running daemon. Killed if a test ends without stopping it.
pub(crate) struct App {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
    client: Client,
    stderr: Option<JoinHandle<String>>,
}

/// What a stopped daemon left.
pub(crate) struct Ended {
    /// Everything it wrote to standard error.
    pub(crate) stderr: String,
    /// Its log file.
    pub(crate) log: String,
}

/// A daemon whose stop nobody waited for is not left behind.
impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl App {
    /// Starts the daemon with these lines of configuration, on a free port, its log in a temporary folder.
    pub(crate) async fn start(config: &[&str]) -> Self {
        Self::start_with_env(config, &[]).await
    }

    /// [`App::start`] with these environment variables.
    pub(crate) async fn start_with_env(config: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("app.toml"), config.join("\n")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cairn-app"))
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path())
            .arg("--config")
            .arg(dir.path().join("app.toml"))
            .envs(env.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let addr = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "the daemon did not start:\n{seen}");
            seen.push_str(&line);
            if let Some(announcement) = cairn_runtime::parse_announcement(&line) {
                assert_eq!(announcement.role, "http");
                break announcement.addr;
            }
        };
        let stderr = std::thread::spawn(move || {
            let _ = stderr.read_to_string(&mut seen);
            seen
        });
        Self { child, addr, dir, client: Client::new("test"), stderr: Some(stderr) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }

    pub(crate) fn write_config(&self, config: &[&str]) {
        std::fs::write(self.dir.path().join("app.toml"), config.join("\n")).unwrap();
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: &str,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.addr));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        self.client.send(request, PATIENCE, 1 << 24).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        text(self.request(Method::GET, path, &[], "").await)
    }

    pub(crate) async fn post(&self, path: &str, content_type: &str, body: &str) -> (u16, String) {
        text(self.request(Method::POST, path, &[(CONTENT_TYPE, content_type)], body).await)
    }

    /// A GET that runs on by itself, on a connection of its own.
    pub(crate) fn spawn_get(&self, path: &str) -> tokio::task::JoinHandle<(u16, String)> {
        let url = format!("http://{}{path}", self.addr);
        tokio::spawn(async move {
            let request = Request::get(url).body(Bytes::new()).unwrap();
            text(Client::new("test").send(request, PATIENCE, 1 << 24).await.unwrap())
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Stops the daemon, which must end with exit code 0.
    pub(crate) async fn stop(self, signal: Signal) -> Ended {
        self.signal(signal);
        self.ended(0).await
    }

    /// Waits for the daemon's end with this exit code.
    pub(crate) async fn ended(mut self, code: i32) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the daemon does not stop");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let stderr = self.stderr.take().unwrap().join().unwrap();
        assert_eq!(status.code(), Some(code), "{stderr}");
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        Ended { stderr, log }
    }
}

fn text(response: Response<Bytes>) -> (u16, String) {
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

/// Asks again until there is an answer.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a daemon that is expected to end by itself.
pub(crate) fn run_to_end(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cairn-app")).args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
