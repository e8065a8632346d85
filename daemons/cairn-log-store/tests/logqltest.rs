//! Asks the store what a real Loki was asked, and compares the answers: shared/logqltest.
//!
//! `testdata/logqltest-passing.txt` lists the cases that must pass; the test fails when one of them no longer does.
//! `CAIRN_REWRITE=1` writes the list anew from what passes now. `CAIRN_LOGQLTEST=topic,topic` runs these topics only
//! and prints every failure.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "modules of a test; its helpers may unwrap"
)]

#[path = "logqltest/case.rs"]
mod case;
#[path = "logqltest/compare.rs"]
mod compare;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use case::Case;
use support::http::{ask, post};
use support::store::Store;

const PASSING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/logqltest-passing.txt");

/// Questions asked at once, except for pushes, whose order matters.
const WORKERS: usize = 4;

/// A Loki configuration with the settings of the recorded Loki (README section 2) that mean something here.
const CONFIG: &str = "auth_enabled: false
limits_config:
  reject_old_samples: false
  ingestion_rate_mb: 64
  ingestion_burst_size_mb: 64
";

/// How one case went.
struct Outcome {
    id: String,
    topic: String,
    has_passed: bool,
    report: String,
}

#[test]
fn answers_what_loki_answered() {
    let Some(folder) = support::shared("logqltest") else { return };
    let only = std::env::var("CAIRN_LOGQLTEST").ok();
    let mut cases = case::load(&folder.join("cases"));
    if let Some(topics) = &only {
        cases.retain(|case| topics.split(',').any(|topic| topic == case.topic));
    }
    let store = Store::start("loki.yaml", CONFIG);
    load(&store, &folder.join("data"));
    let (pushes, questions): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.topic == "push");
    let mut outcomes = run(store.address, &questions, WORKERS);
    outcomes.extend(run(store.address, &pushes, 1));
    print_summary(&outcomes, only.is_some());
    if only.is_none() {
        check_list(&outcomes);
    }
}

fn load(store: &Store, data: &Path) {
    let mut files: Vec<_> = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let text = String::from_utf8(case::gunzip(&fs::read(&path).unwrap())).unwrap();
        for line in text.lines() {
            let answer = post(store.address, "/loki/api/v1/push", "application/json", line.as_bytes());
            assert_eq!(answer.status, 204, "{}: {}", path.display(), answer.text());
        }
    }
}

fn run(address: SocketAddr, cases: &[Case], workers: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = ask_one(address, case);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

fn ask_one(address: SocketAddr, case: &Case) -> Outcome {
    let answer = ask(address, case.text("method"), &case.target(), &case.headers(), case.body().as_deref());
    let (status, verdict) = match answer {
        Ok(answer) => {
            let verdict =
                compare::differences(case, answer.status, answer.header("Content-Type"), &answer.body);
            (answer.status, verdict)
        }
        Err(error) => {
            let verdict = compare::Verdict { differences: vec![error.to_string()], remarks: vec![] };
            (0, verdict)
        }
    };
    let may_differ = case.get("may_differ").as_bool() == Some(true) && (200..500).contains(&status);
    let mut report = String::new();
    let lines =
        verdict.differences.iter().map(|d| ("", d)).chain(verdict.remarks.iter().map(|r| ("wording: ", r)));
    for (kind, line) in lines.take(3) {
        let _ = write!(report, "\n    {kind}{line}");
    }
    Outcome {
        id: case.text("id").to_owned(),
        topic: case.topic.clone(),
        has_passed: verdict.differences.is_empty() || may_differ,
        report: format!(
            "{} {}{report}",
            case.text("id"),
            if case.text("query").is_empty() { case.target() } else { case.text("query").to_owned() }
        ),
    }
}

fn print_summary(outcomes: &[Outcome], with_failures: bool) {
    let mut by_topic: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for outcome in outcomes {
        let (passed, failed) = by_topic.entry(&outcome.topic).or_default();
        *(if outcome.has_passed { passed } else { failed }) += 1;
        if with_failures && (!outcome.has_passed || outcome.report.contains("wording: ")) {
            println!("{} {}", if outcome.has_passed { "WORDING" } else { "FAILED" }, outcome.report);
        }
    }
    for (topic, (passed, failed)) in &by_topic {
        println!("{topic:24} {passed} passed, {failed} failed");
    }
    let passed = outcomes.iter().filter(|outcome| outcome.has_passed).count();
    println!("{passed} passed, {} failed", outcomes.len() - passed);
}

fn check_list(outcomes: &[Outcome]) {
    let passed: BTreeSet<&str> = outcomes.iter().filter(|o| o.has_passed).map(|o| o.id.as_str()).collect();
    if std::env::var_os("CAIRN_REWRITE").is_some() {
        let text: String = passed.iter().map(|id| format!("{id}\n")).collect();
        fs::write(PASSING, text).unwrap();
        return;
    }
    let list = fs::read_to_string(PASSING).unwrap();
    let lost: Vec<&str> = list.lines().filter(|id| !passed.contains(id)).collect();
    for outcome in outcomes.iter().filter(|o| lost.contains(&o.id.as_str())) {
        println!("LOST {}", outcome.report);
    }
    assert!(lost.is_empty(), "{} cases of {PASSING} no longer pass: {lost:?}", lost.len());
    let n_new = passed.len() - list.lines().count();
    if n_new > 0 {
        println!("{n_new} more pass than are listed: CAIRN_REWRITE=1 adds them");
    }
}
