//! A daemon that cannot start says what is wrong, where, and ends with the exit code that systemd understands.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use cairn_tests::daemon::{Daemon, run_to_end};

const DAEMONS: [&str; 4] = ["cairn-app", "cairn-log-shipper", "cairn-log-store", "cairn-metrics-store"];

/// Runs a daemon that must refuse to start, and checks exit code and message.
fn refuses(name: &str, arguments: &[&str], code: i32, texts: &[&str]) {
    let (got, output) = run_to_end(name, arguments).unwrap();
    assert_eq!(got, Some(code), "{name} {arguments:?}:\n{output}");
    for text in texts {
        assert!(output.contains(text), "{name} {arguments:?}: no {text:?} in:\n{output}");
    }
    assert!(!output.contains("panicked"), "{name} {arguments:?}:\n{output}");
}

fn write(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn help_and_version_are_answered() {
    for name in DAEMONS {
        for (argument, text) in [("--help", "--config"), ("--version", env!("CARGO_PKG_VERSION"))] {
            refuses(name, &[argument], 0, &[text]);
        }
    }
}

#[test]
fn an_unknown_flag_is_bad_usage() {
    for name in DAEMONS {
        refuses(name, &["--no-such-flag"], 64, &["--no-such-flag"]);
    }
}

#[test]
fn a_missing_configuration_is_named() {
    for name in DAEMONS {
        refuses(name, &["--config", "/no/such/file.toml"], 78, &["/no/such/file.toml"]);
    }
}

#[test]
fn an_unknown_key_and_a_wrong_type_are_named_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    for name in DAEMONS {
        let file = write(&dir.path().join("unknown.toml"), "no_such_key = 1\n");
        refuses(name, &["--config", &file, "--check-config"], 78, &["unknown.toml:1:1", "no_such_key"]);
        refuses(name, &["--config", &file], 78, &["unknown.toml", "no_such_key"]);
        let file = write(&dir.path().join("broken.toml"), "[[[\n");
        refuses(name, &["--config", &file, "--check-config"], 78, &["broken.toml:1:"]);
    }
    let file = write(&dir.path().join("type.toml"), "self_traffic_per_second = \"many\"\n");
    refuses(
        "cairn-app",
        &["--config", &file, "--check-config"],
        78,
        &["type.toml:1:", "self_traffic_per_second"],
    );
    let file =
        write(&dir.path().join("prometheus.yml"), "global:\n  scrape_interval: 15s\n  no_such_key: 1\n");
    refuses(
        "cairn-metrics-store",
        &["--config", &file, "--check-config"],
        78,
        &["prometheus.yml", "no_such_key"],
    );
    let file = write(
        &dir.path().join("promtail.yml"),
        "clients:\n  - url: http://127.0.0.1:1/loki/api/v1/push\nno_such_key: 1\n",
    );
    refuses(
        "cairn-log-shipper",
        &["--config", &file, "--check-config"],
        78,
        &["promtail.yml", "no_such_key"],
    );
}

#[test]
fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for name in DAEMONS {
        let data = dir.path().join(name);
        let mut arguments = vec!["--listen", &address];
        if name != "cairn-app" {
            arguments.extend(["--data-dir", data.to_str().unwrap()]);
        }
        let config =
            write(&dir.path().join("app.toml"), &format!("log_file = {:?}\n", dir.path().join("app.log")));
        if name == "cairn-app" {
            arguments.extend(["--config", &config]);
        }
        refuses(name, &arguments, 1, &[&address, "in use"]);
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    // A path below a plain file: not even root can make a folder there.
    let file = write(&dir.path().join("file"), "x");
    let data = format!("{file}/data");
    for name in ["cairn-log-shipper", "cairn-log-store", "cairn-metrics-store"] {
        refuses(name, &["--listen", "127.0.0.1:0", "--data-dir", &data], 1, &[&data]);
    }
}

#[test]
fn a_locked_data_directory_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (name, ready) in
        [("cairn-log-store", "/ready"), ("cairn-metrics-store", "/-/ready"), ("cairn-log-shipper", "/ready")]
    {
        let data = dir.path().join(name);
        let data = data.to_str().unwrap();
        let mut first =
            Daemon::spawn(name, &["--listen", "127.0.0.1:0", "--data-dir", data], &dir.path().join("log"))
                .unwrap();
        first.ready("http", ready).unwrap();
        refuses(name, &["--listen", "127.0.0.1:0", "--data-dir", data], 1, &[data, &first.pid().to_string()]);
        first.ready("http", ready).unwrap();
        first.stop().unwrap();
    }
}

/// The newest segment of a write-ahead log.
fn newest_segment(wal: &Path) -> std::path::PathBuf {
    let mut segments: Vec<_> = fs::read_dir(wal).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments.pop().unwrap_or_else(|| panic!("no segment in {}", wal.display()))
}

#[test]
fn data_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (name, ready) in [("cairn-log-store", "/ready"), ("cairn-metrics-store", "/-/ready")] {
        let data = dir.path().join(name);
        let data_text = data.to_str().unwrap();
        let arguments = ["--listen", "127.0.0.1:0", "--data-dir", data_text];
        let mut store = Daemon::spawn(name, &arguments, &dir.path().join("log")).unwrap();
        let address = store.ready("http", ready).unwrap();
        if name == "cairn-log-store" {
            let now = cairn_tests::chain::now_ns();
            let body = format!(r#"{{"streams":[{{"stream":{{"job":"v"}},"values":[["{now}","x"]]}}]}}"#);
            assert_eq!(
                cairn_tests::http::post(address, "/loki/api/v1/push", "application/json", body.as_bytes())
                    .unwrap()
                    .status,
                204
            );
        } else {
            // By default the store scrapes itself.
            cairn_tests::daemon::wait_for("a sample", std::time::Duration::from_secs(60), || {
                cairn_tests::chain::instant(address, cairn_tests::chain::METRIC_QUERY, "up").ok().flatten()
            })
            .unwrap();
        }
        // Not stopped in order: a clean stop may leave no segment behind.
        store.kill_9().unwrap();
        let segment = newest_segment(&data.join("wal"));
        let mut bytes = fs::read(&segment).unwrap();
        let magic: [u8; 8] = bytes[..8].try_into().unwrap();
        let header = cairn_disk::Format::new(magic, 999).header();
        bytes[..header.len()].copy_from_slice(&header);
        fs::write(&segment, &bytes).unwrap();
        refuses(name, &arguments, 1, &[segment.to_str().unwrap(), "version 999", "newer"]);
        assert_eq!(fs::read(&segment).unwrap(), bytes, "a refused file is not touched");
    }
}
