//! A full disk: writes are refused cleanly, reads go on, freed space heals.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests; clippy knows only the test functions themselves"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cairn_tests::daemon::{Daemon, wait_for};
use cairn_tests::target::Target;
use cairn_tests::{chain, http};

/// A file system of a few megabytes. Dropping it unmounts.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// `None`, with one line that says so, where mounting is not allowed.
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder: folder.to_owned() }),
            _ => {
                println!("skipping: mounting a tmpfs is not allowed here (needs root)");
                None
            }
        }
    }

    /// Fills what is left.
    fn fill(&self) {
        let block = vec![7u8; 1 << 16];
        let mut file = fs::File::create(self.folder.join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        // Down to the last page.
        while std::io::Write::write_all(&mut file, &block[..4096]).is_ok() {}
    }

    /// Frees it again.
    fn free(&self) {
        fs::remove_file(self.folder.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

fn push(client: &http::Client, start_ns: i64, n: usize) -> http::Answer {
    let body = format!(
        r#"{{"streams":[{{"stream":{{"job":"disk"}},"values":[["{}","line {n} {}"]]}}]}}"#,
        start_ns + n as i64,
        "x".repeat(20_000)
    );
    client.post("/loki/api/v1/push", "application/json", body.as_bytes()).unwrap()
}

fn stored(store: std::net::SocketAddr, start_ns: i64) -> Vec<String> {
    chain::log_lines(store, r#"{job="disk"}"#, start_ns, start_ns + 1_000_000).unwrap()
}

#[test]
fn the_log_store_refuses_reads_on_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk")) else { return };
    let data = disk.folder.join("data");
    let arguments = ["--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let mut store = Daemon::spawn("cairn-log-store", &arguments, &dir.path().join("log")).unwrap();
    let address = store.ready("http", "/ready").unwrap();
    let (client, start_ns) = (http::Client::new(address), chain::now_ns());

    let mut acknowledged = 0;
    for n in 0..20 {
        assert_eq!(push(&client, start_ns, n).status, 204);
        acknowledged += 1;
    }
    disk.fill();
    let refused = push(&client, start_ns, acknowledged);
    assert!(refused.status >= 500, "a full disk is the store's fault: {} {}", refused.status, refused.text());
    assert!(refused.text().contains("space"), "the message names the cause: {}", refused.text());
    assert_eq!(stored(address, start_ns).len(), acknowledged, "reads go on, and nothing refused is there");
    assert_eq!(http::get(address, "/-/healthy").unwrap().status, 200);

    disk.free();
    wait_for("the store to heal", Duration::from_secs(30), || {
        (push(&client, start_ns, acknowledged).status == 204).then_some(())
    })
    .unwrap();
    acknowledged += 1;
    for n in acknowledged..acknowledged + 20 {
        assert_eq!(push(&client, start_ns, n).status, 204);
    }
    acknowledged += 20;
    assert_eq!(stored(address, start_ns).len(), acknowledged);

    store.kill_9().unwrap();
    let mut store = Daemon::spawn("cairn-log-store", &arguments, &dir.path().join("log2")).unwrap();
    let address = store.ready("http", "/ready").unwrap();
    assert_eq!(stored(address, start_ns).len(), acknowledged, "everything acknowledged outlives a kill");
    store.stop().unwrap();
}

#[test]
fn the_metrics_store_reads_on_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk")) else { return };
    let mut count = 0u64;
    let target = Target::serve(move || {
        count += 1;
        format!("scrapes {count}\n")
    })
    .unwrap();
    let config = dir.path().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n  - job_name: disk\n    static_configs:\n      - targets: ['{}']\n",
            target.address()
        ),
    )
    .unwrap();
    let data = disk.folder.join("data");
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let mut store = Daemon::spawn("cairn-metrics-store", &arguments, &dir.path().join("log")).unwrap();
    let address = store.ready("http", "/-/ready").unwrap();
    let latest =
        || chain::instant(address, chain::METRIC_QUERY, "max_over_time(scrapes[1h])").unwrap().unwrap_or(0.0);
    wait_for("samples", Duration::from_secs(30), || (latest() >= 5.0).then_some(())).unwrap();

    disk.fill();
    // Samples stop once no page is left; reads go on.
    let refused = || {
        let text = http::get(address, "/metrics").unwrap().text();
        let failed = |line: &&str| line.starts_with("prometheus_tsdb_wal_writes_failed_total");
        text.lines().find(failed).and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    wait_for("a write to be refused", Duration::from_secs(60), || (refused() > 0.0).then_some(())).unwrap();
    let held = latest();
    assert!(held >= 5.0, "reads go on");
    assert_eq!(http::get(address, "/-/healthy").unwrap().status, 200);

    disk.free();
    wait_for("new samples after space was freed", Duration::from_secs(30), || {
        (latest() > held + 3.0).then_some(())
    })
    .unwrap();
    store.stop().unwrap();
    let mut store = Daemon::spawn("cairn-metrics-store", &arguments, &dir.path().join("log2")).unwrap();
    let address = store.ready("http", "/-/ready").unwrap();
    let after =
        chain::instant(address, chain::METRIC_QUERY, "max_over_time(scrapes[1h])").unwrap().unwrap_or(0.0);
    assert!(after > held, "samples from before and after the full disk are there");
    store.stop().unwrap();
}
