//! `kill -9` of the metrics store while it scrapes, ten times: every sample scraped more than a second before is there. And
//! under remote write, where every sample that was acknowledged is there.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cairn_bench_metrics::fleet::Fleet;
use cairn_bench_metrics::modes::{self, KILL_COLUMNS, Size};
use cairn_bench_metrics::server::{Kind, Program};
use cairn_bench_metrics::template::{PAGE, Template};
use cairn_tests::daemon::{Daemon, binary, complaints, wait_for};
use cairn_tests::http;
use cairn_tests::target::Target;

const ROUNDS: usize = 10;

/// The promise: the WAL is synced at least this often.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// When each value was served: the target counts its scrapes.
type Served = Arc<Mutex<Vec<(Instant, u64)>>>;

fn counting_target(served: &Served) -> Target {
    let served = Arc::clone(served);
    Target::serve(move || {
        let mut served = served.lock().unwrap();
        let value = served.len() as u64 + 1;
        served.push((Instant::now(), value));
        // A hundred further series, so that a scrape is more than one record.
        let others: String = (0..100).map(|i| format!("other{{i=\"{i}\"}} {value}\n")).collect();
        format!("# TYPE scrapes counter\nscrapes {value}\n{others}")
    })
    .unwrap()
}

fn start(dir: &Path, n: usize) -> (Daemon, std::net::SocketAddr) {
    let mut store = Daemon::spawn(
        "cairn-metrics-store",
        &[
            "--config",
            dir.join("prometheus.yml").to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            dir.join("data").to_str().unwrap(),
        ],
        &dir.join(format!("store-{n}.log")),
    )
    .unwrap();
    let address = store.ready("http", "/-/ready").unwrap();
    (store, address)
}

/// All stored values of a selector's only series.
fn stored_values(store: std::net::SocketAddr, selector: &str) -> Vec<u64> {
    let query = format!("{selector}[1h]");
    let json = http::get_with(store, "/api/v1/query", &[("query", &query)]).unwrap().json().unwrap();
    let series = json["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {json}"));
    assert!(series.len() <= 1, "{query}: {} series", series.len());
    series
        .iter()
        .flat_map(|s| s["values"].as_array().unwrap())
        .map(|v| v[1].as_str().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn nothing_scraped_a_second_before_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let served: Served = Arc::default();
    let target = counting_target(&served);
    let config = format!(
        "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n  - job_name: load\n    static_configs:\n      - targets: ['{}']\n",
        target.address()
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    // Values served to a scrape that a kill cut off never were samples; those are known only by their time.
    let mut must_be_there: Vec<u64> = Vec::new();
    for round in 0..ROUNDS {
        let before = served.lock().unwrap().len();
        let (store, _) = start(dir.path(), round);
        let wanted = before + 12 + round % 5;
        wait_for("scrapes", Duration::from_secs(60), || {
            (served.lock().unwrap().len() >= wanted).then_some(())
        })
        .unwrap();
        let killed = Instant::now();
        store.kill_9().unwrap();
        let margin = SYNC_INTERVAL + Duration::from_millis(200);
        must_be_there.extend(
            served.lock().unwrap()[before..]
                .iter()
                .filter(|(at, _)| *at + margin < killed)
                .map(|(_, value)| *value),
        );
        let (store, address) = start(dir.path(), ROUNDS + round);
        for selector in ["scrapes", "other{i=\"57\"}"] {
            let stored = stored_values(address, selector);
            let lost: Vec<&u64> = must_be_there.iter().filter(|value| !stored.contains(value)).collect();
            // A scrape that was served but cut off at its time-out (a busy machine) stored nothing, and `up` says so.
            let failed = stored_values(address, "up").iter().filter(|up| **up == 0).count();
            assert!(
                lost.len() <= failed,
                "round {round}: {selector} lost {lost:?} of {}, {failed} scrapes failed",
                must_be_there.len()
            );
            assert!(stored.is_sorted_by(|a, b| a < b), "{selector}: a sample came twice or out of order");
            assert!(
                failed * 4 < must_be_there.len().max(4),
                "{failed} scrapes failed: the machine is too busy to prove anything"
            );
        }
        let log = store.stop().unwrap();
        let bad = complaints(&log, &["torn", "tail"]);
        assert!(bad.is_empty(), "unexpected complaints after the kill: {bad:#?}");
    }
    assert!(must_be_there.len() > ROUNDS * 4, "too few samples to prove anything: {}", must_be_there.len());
}

/// As `scripts/bench-metrics kill` does it with very many.
#[test]
fn nothing_acknowledged_over_remote_write_is_lost() {
    let store = Program { kind: Kind::Cairn, path: binary("cairn-metrics-store").unwrap() };
    let fleet = Fleet::new(Template::parse(PAGE).unwrap());
    for n_samples in [100_000, 400_000] {
        let dir = tempfile::tempdir().unwrap();
        let size = Size {
            hosts: 10,
            samples: n_samples,
            churn_series: 0,
            targets: 0,
            scrape_time: Duration::ZERO,
            is_paced: false,
        };
        let row = modes::kill(&store, dir.path(), &fleet, size).unwrap();
        let of = |column: &str| &row[KILL_COLUMNS.iter().position(|name| *name == column).unwrap()];
        assert_eq!(of("lost"), "0", "of {} samples acknowledged", of("samples acknowledged"));
    }
}
