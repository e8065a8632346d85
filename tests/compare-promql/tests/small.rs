//! A small comparison with the Prometheus that is installed, if one is.

use std::path::{Path, PathBuf};

use cairn_bench_metrics::server::{Kind, Program};
use cairn_compare_promql::run::{Plan, run};

/// What [`Plan::seed`] is here: CI must be red about the commit, not about the day.
const SEED: u64 = 20_261_128;
const N_QUERIES: usize = 600;

#[test]
fn answers_are_those_of_prometheus() {
    let Some(prometheus) = prometheus() else {
        println!("skipped: no prometheus to compare with (install it, or set PROMETHEUS)");
        return;
    };
    let peer = Program { kind: Kind::Prometheus, path: prometheus };
    if !peer.name().starts_with("Prometheus 2.42.") {
        println!("skipped: the rules are about Prometheus 2.42, this is {}", peer.name());
        return;
    }
    let plan = Plan {
        cairn: Program {
            kind: Kind::Cairn,
            path: cairn_tests::daemon::binary("cairn-metrics-store").unwrap(),
        },
        peer,
        seed: SEED,
        n_queries: N_QUERIES,
        only: None,
        prints_words: false,
        prints_explained: false,
    };
    let mut report = Vec::new();
    let tally = run(&plan, &mut |line| report.push(line.to_owned())).unwrap();
    assert_eq!(tally.different, 0, "{}", report.join("\n"));
    assert!(tally.equal > N_QUERIES * 9 / 10, "{}", report.join("\n"));
    assert!(tally.equal - tally.empty - tally.refused > N_QUERIES / 3, "too few answers with values");
}

/// `PROMETHEUS`, or what a shell would find.
fn prometheus() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PROMETHEUS") {
        return Some(PathBuf::from(named)).filter(|path| !path.as_os_str().is_empty());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("prometheus")).find(|path| Path::is_file(path))
}
