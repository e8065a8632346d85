//! The real binary: signals, exit codes, reload over HTTP, `kill -9`, and a shipper that tails its own log.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_disk::RealFs;
use cairn_log_shipper::positions::Positions;
use common::loki::{FakeLoki, Mood};
use common::{all, append, numbered, wait_for, wait_for_or};

/// A running `cairn-log-shipper`.
struct Shipper {
    child: Child,
    log: Arc<Mutex<String>>,
    address: SocketAddr,
}

impl Shipper {
    fn start(config: &Path, data: &Path) -> Self {
        Self::spawn(&mut Command::new(env!("CARGO_BIN_EXE_cairn-log-shipper")), config, data)
    }

    /// One that may have so many descriptors.
    fn start_limited(n_descriptors: usize, config: &Path, data: &Path) -> Self {
        let limited = format!("ulimit -n {n_descriptors}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_cairn-log-shipper")]);
        Self::spawn(&mut command, config, data)
    }

    fn spawn(command: &mut Command, config: &Path, data: &Path) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .arg("--data-dir")
            .arg(data)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                written.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let address = wait_for("the address", || {
            log.lock().unwrap().lines().find_map(cairn_runtime::parse_announcement).map(|one| one.addr)
        });
        let shipper = Self { child, log, address };
        wait_for("readiness", || shipper.get("/ready").starts_with("HTTP/1.1 200").then_some(()));
        shipper
    }

    fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.request("GET", path)
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    fn stop(mut self) -> (ExitStatus, String) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let status = wait_for("the end", || self.child.try_wait().unwrap());
        let log = self.log.lock().unwrap().clone();
        (status, log)
    }

    fn kill_9(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Place {
    dir: tempfile::TempDir,
    loki: FakeLoki,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        Self { dir, loki: FakeLoki::start() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A Promtail configuration.
    fn write_config(&self, glob: &str) -> std::path::PathBuf {
        let text = format!(
            "clients:\n  - url: {}\n    batchwait: 10ms\n    backoff_config: {{min_period: 5ms, max_period: 20ms, max_retries: 0}}\n\
             positions: {{filename: {}}}\nscrape_configs:\n  - job_name: t\n    static_configs:\n      - targets: [localhost]\n        \
             labels: {{job: t, __path__: '{}'}}\n",
            self.loki.url(),
            self.path("promtail-positions.yaml").display(),
            self.path(glob).display(),
        );
        let path = self.path("promtail.yml");
        fs::write(&path, text).unwrap();
        path
    }

    fn expect(&self, name: &str, want: &[String]) {
        let filename = self.path(name).display().to_string();
        wait_for("the lines", || (self.loki.lines(&filename).len() >= want.len()).then_some(()));
        let got = self.loki.lines(&filename);
        assert!(got == want, "{} lines instead of {}", got.len(), want.len());
    }
}

#[test]
fn term_delivers_what_was_read_and_leaves_quietly() {
    let place = Place::new();
    let config = place.write_config("log/*.log");
    let lines = numbered("n", 0..1000);
    append(&place.path("log/a.log"), &lines);
    let shipper = Shipper::start(&config, &place.path("data"));
    place.expect("log/a.log", &lines);
    let page = shipper.get("/");
    assert!(page.contains("a.log</td><td>tailing"), "{page}");
    assert!(shipper.get("/-/healthy").starts_with("HTTP/1.1 200"));
    let metrics = shipper.get("/metrics");
    for name in [
        "promtail_read_bytes_total{path=",
        "promtail_file_bytes_total{path=",
        "promtail_read_lines_total{path=",
        "promtail_sent_entries_total{host=",
        "promtail_request_duration_seconds_bucket{",
        "promtail_dropped_entries_total{",
        "promtail_files_active_total 1",
        "cairn_log_shipper_delivered_lines_total{destination=",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    let (status, log) = shipper.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("level=warn") && !log.contains("level=error"), "{log}");
    assert!(!log.contains("n 17"), "the log holds what was shipped: {log}");
    let again = Shipper::start(&config, &place.path("data"));
    append(&place.path("log/a.log"), &numbered("more", 0..3));
    place.expect("log/a.log", &all(&[&lines, &numbered("more", 0..3)]));
    again.stop();
}

#[test]
fn kill_9_under_load_with_rotation_and_refusals_loses_nothing() {
    let place = Place::new();
    let config = place.write_config("log/*.log");
    let filename = place.path("log/a.log").display().to_string();
    let mut want = Vec::new();
    for round in 0..6 {
        let shipper = Shipper::start(&config, &place.path("data"));
        place.loki.set(if round % 2 == 0 { Mood::Takes } else { Mood::TakesOnly(1) });
        for part in 0..3 {
            let lines = numbered(&format!("round {round} part {part}"), 0..5000);
            append(&place.path("log/a.log"), &lines);
            want.extend(lines);
            if part == 1 {
                let rotated = place.path(&format!("log/a.log.{round}"));
                fs::rename(place.path("log/a.log"), rotated).unwrap();
            }
        }
        let before = place.loki.n_requests();
        wait_for("a request", || (place.loki.n_requests() > before).then_some(()));
        shipper.kill_9();
    }
    place.loki.set(Mood::Takes);
    let shipper = Shipper::start(&config, &place.path("data"));
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines.dedup();
        lines
    };
    let want = sorted(want);
    // What was sent and whose position was not on disk yet comes twice; nothing is missing.
    let missing = || {
        let got = sorted(place.loki.lines(&filename));
        want.iter()
            .filter(|line| got.binary_search(line).is_err())
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
    };
    wait_for_or(
        "every line",
        || missing().is_empty().then_some(()),
        || {
            let missing = missing();
            format!("{} lines are missing, from {:?} to {:?}", missing.len(), missing.first(), missing.last())
        },
    );
    shipper.stop();
}

/// A hundred descriptors are 50 places. Each of 60 files is rotated twice while 50 rotated ones hold the places.
fn rotate_more_files_than_have_a_place(place: &Place, rotate_wait: &str) -> (Shipper, std::path::PathBuf) {
    let config = place.path("shipper.toml");
    let text = format!(
        "[[clients]]\nurl = \"{}\"\nbatchwait = \"10ms\"\n[tail]\nrotate_wait = \"{rotate_wait}\"\n\
         [[scrape_configs]]\njob_name = \"t\"\n[[scrape_configs.static_configs]]\nlabels = {{ __path__ = \"{}\" }}\n",
        place.loki.url(),
        place.path("log/*.log").display(),
    );
    fs::write(&config, text).unwrap();
    let log = |n: usize, rest: &str| place.path(&format!("log/{n}.log{rest}"));
    for n in 0..60 {
        append(&log(n, ""), &["first".to_owned()]);
    }
    let shipper = Shipper::start_limited(100, &config, &place.path("data"));
    for n in 0..60 {
        place.expect(&format!("log/{n}.log"), &["first".to_owned()]);
    }
    for line in ["second", "third"] {
        for n in 0..60 {
            let _ = fs::rename(log(n, ".1"), log(n, ".2"));
            fs::rename(log(n, ""), log(n, ".1")).unwrap();
            append(&log(n, ""), &[line.to_owned()]);
        }
    }
    (shipper, config)
}

fn expect_three_lines_of_each(place: &Place) {
    for n in 0..60 {
        place.expect(&format!("log/{n}.log"), &["first", "second", "third"].map(str::to_owned));
    }
}

#[test]
fn files_that_find_no_place_are_read_later_also_when_rotated() {
    let place = Place::new();
    let (_shipper, _) = rotate_more_files_than_have_a_place(&place, "1s");
    expect_three_lines_of_each(&place);
}

#[test]
fn files_that_found_no_place_are_known_to_the_next_run() {
    let place = Place::new();
    let (shipper, config) = rotate_more_files_than_have_a_place(&place, "1h");
    // Whether open or waiting for a place, each file is in the positions.
    let positions = || Positions::open(Arc::new(RealFs), &place.path("data"), Duration::MAX).ok();
    wait_for("every file to be known", || (positions()?.0.entries().len() >= 180).then_some(()));
    shipper.kill_9();
    let _again = Shipper::start(&config, &place.path("data"));
    // What was sent and whose position was not on disk yet comes twice; nothing is missing.
    for n in 0..60 {
        let filename = place.path(&format!("log/{n}.log")).display().to_string();
        let seen = || place.loki.lines(&filename).into_iter().collect::<BTreeSet<_>>();
        let want = ["first", "second", "third"].map(str::to_owned).into();
        wait_for_or("each line", || (seen() == want).then_some(()), || format!("{filename}: {:?}", seen()));
    }
}

#[test]
fn reload_takes_a_good_file_and_refuses_a_bad_one() {
    let place = Place::new();
    let config = place.write_config("log/a.log");
    let shipper = Shipper::start(&config, &place.path("data"));
    let lines = numbered("n", 0..10);
    append(&place.path("log/a.log"), &lines);
    append(&place.path("log/b.log"), &lines);
    place.expect("log/a.log", &lines);

    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, good.replace("clients", "cleints")).unwrap();
    let answer = shipper.request("POST", "/-/reload");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("cleints"), "{answer}");
    assert!(shipper.get("/metrics").contains("cairn_log_shipper_config_last_reload_successful 0"));

    place.write_config("log/*.log");
    shipper.signal(nix::sys::signal::Signal::SIGHUP);
    place.expect("log/b.log", &lines);
    wait_for("the reload to be counted", || {
        shipper.get("/metrics").contains("promtail_config_reload_success_total 1").then_some(())
    });
    append(&place.path("log/a.log"), &numbered("more", 0..10));
    place.expect("log/a.log", &all(&[&lines, &numbered("more", 0..10)]));
    let (status, _) = shipper.stop();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn promtails_positions_are_taken_over() {
    let place = Place::new();
    let config = place.write_config("log/*.log");
    let (old, new) = (numbered("old", 0..10), numbered("new", 0..10));
    append(&place.path("log/a.log"), &all(&[&old, &new]));
    let positions = format!("positions:\n  {}: \"500\"\n", place.path("log/a.log").display());
    fs::write(place.path("promtail-positions.yaml"), positions).unwrap();
    let shipper = Shipper::start(&config, &place.path("data"));
    place.expect("log/a.log", &new);
    shipper.stop();
}

#[test]
fn tailing_its_own_log_settles() {
    let place = Place::new();
    let config = place.write_config("log/*.log");
    let shipper = Shipper::start(&config, &place.path("data"));
    // What it writes is what it reads: copied over line by line.
    let mut copied = 0;
    let mut quiet_rounds = 0;
    wait_for("the log to stand still", || {
        let log = shipper.log.lock().unwrap().clone();
        let fresh: Vec<String> = log.lines().skip(copied).map(str::to_owned).collect();
        copied += fresh.len();
        append(&place.path("log/own.log"), &fresh);
        let filename = place.path("log/own.log").display().to_string();
        let is_quiet = fresh.is_empty() && place.loki.lines(&filename).len() == copied;
        quiet_rounds = if is_quiet { quiet_rounds + 1 } else { 0 };
        (quiet_rounds > 50).then_some(())
    });
    assert!(copied < 50, "{copied} lines");
    shipper.stop();
}

#[test]
fn exit_codes_and_messages() {
    let place = Place::new();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cairn-log-shipper")).args(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let config = place.write_config("log/*.log");
    let config = config.to_str().unwrap();
    let (code, text) = run(&["-config.file", config, "--check-config"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("good"), "{text}");
    assert_eq!(run(&["--no-such-flag"]).0, Some(64));
    let (code, text) = run(&["--config", "/nonexistent/x.yml", "--check-config"]);
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("/nonexistent/x.yml"), "{text}");

    let data = place.path("data");
    let shipper = Shipper::start(Path::new(config), &data);
    let (code, text) =
        run(&["--config", config, "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&shipper.child.id().to_string()), "the holder's process id is not in: {text}");
    let taken = shipper.address.to_string();
    let other = place.path("other");
    let (code, text) = run(&["--config", config, "--listen", &taken, "--data-dir", other.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&taken), "{text}");
    shipper.stop();
}
