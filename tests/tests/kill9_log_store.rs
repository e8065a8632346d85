//! `kill -9` of the log store under load, ten times: every acknowledged line is there, once.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cairn_tests::daemon::{Daemon, complaints, wait_for};
use cairn_tests::{chain, http};

const ROUNDS: usize = 10;
const WRITERS: usize = 4;

/// Lines of one push.
const BATCH: usize = 5;

/// Acknowledged pushes (of all writers) before the kill; different in each round, so that it hits different moments.
fn pushes_before_kill(round: usize) -> usize {
    20 + round * 37 % 150
}

/// One writer's acknowledged lines of one round.
struct Written {
    stream: String,
    acknowledged: Vec<String>,
    start_ns: i64,
}

/// Pushes batches until told to stop or refused; everything answered with 204 is acknowledged.
fn write(
    store: SocketAddr,
    round: usize,
    writer: usize,
    stop: &AtomicBool,
    n_acknowledged: &AtomicUsize,
) -> Written {
    let client = http::Client::new(store);
    let start_ns = chain::now_ns();
    let mut written = Written {
        stream: format!(r#"{{job="load", round="{round}", writer="{writer}"}}"#),
        acknowledged: Vec::new(),
        start_ns,
    };
    for batch in 0.. {
        // 5,000 lines is what one query gives back.
        if stop.load(Ordering::Acquire) || batch * BATCH >= 4_900 {
            break;
        }
        let lines: Vec<String> = (0..BATCH)
            .map(|i| {
                format!("round {round} writer {writer} line {} {}", batch * BATCH + i, "x".repeat(i * 50))
            })
            .collect();
        let values: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(i, line)| format!(r#"["{}","{line}"]"#, start_ns + (batch * BATCH + i) as i64))
            .collect();
        let body = format!(
            r#"{{"streams":[{{"stream":{{"job":"load","round":"{round}","writer":"{writer}"}},"values":[{}]}}]}}"#,
            values.join(",")
        );
        match client.post("/loki/api/v1/push", "application/json", body.as_bytes()) {
            Ok(answer) if answer.status == 204 => {
                written.acknowledged.extend(lines);
                n_acknowledged.fetch_add(1, Ordering::AcqRel);
            }
            Ok(answer) => panic!("push refused: {} {}", answer.status, answer.text()),
            Err(_) => break,
        }
    }
    written
}

fn assert_all_there(store: SocketAddr, written: &Written) {
    let stored =
        chain::log_lines(store, &written.stream, written.start_ns, written.start_ns + 1_000_000).unwrap();
    let unique: HashSet<&String> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "{}: a line came twice", written.stream);
    let lost: Vec<&String> = written.acknowledged.iter().filter(|line| !unique.contains(line)).collect();
    assert!(
        lost.is_empty(),
        "{}: {} of {} acknowledged lines lost, first {:?}",
        written.stream,
        lost.len(),
        written.acknowledged.len(),
        lost[0]
    );
}

#[test]
fn nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let start = |n: usize| {
        let mut store = Daemon::spawn(
            "cairn-log-store",
            &["--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()],
            &dir.path().join(format!("store-{n}.log")),
        )
        .unwrap();
        let address = store.ready("http", "/ready").unwrap();
        (store, address)
    };
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let (store, address) = start(round);
        let (stop, n_acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
        let written: Vec<Written> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (stop, n_acknowledged) = (&stop, &n_acknowledged);
                    scope.spawn(move || write(address, round, writer, stop, n_acknowledged))
                })
                .collect();
            wait_for("pushes to be acknowledged", Duration::from_secs(60), || {
                (n_acknowledged.load(Ordering::Acquire) >= pushes_before_kill(round)).then_some(())
            })
            .unwrap();
            store.kill_9().unwrap();
            stop.store(true, Ordering::Release);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        all.extend(written);
        let (store, address) = start(ROUNDS + round);
        // The lines of every round so far: a recovery must not lose what an earlier one had saved.
        for written in &all {
            assert_all_there(address, written);
        }
        let log = store.stop().unwrap();
        let bad = complaints(&log, &["torn", "tail"]);
        assert!(bad.is_empty(), "unexpected complaints after the kill: {bad:#?}");
    }
    let n: usize = all.iter().map(|written| written.acknowledged.len()).sum();
    assert!(n > ROUNDS * 100, "too little load to prove anything: {n} lines");
}
