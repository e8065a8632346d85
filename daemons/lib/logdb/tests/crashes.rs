//! Crashes at every place of a fixed story, and a catalogue that does not keep up.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cairn_disk::Fs;
use cairn_logdb::{Store, catalogue::CATALOGUE_FILE};
use cairn_model::TimeNs;
use support::{Bench, Line, line, push, read_all, read_one};

/// Pushes, cuts and expires; answers the lines that were acknowledged. Goes on after errors, as a daemon does.
fn story(store: &Store) -> Vec<Line> {
    let mut acknowledged = Vec::new();
    for round in 0..12i64 {
        let lines = [
            line(round * 10, &format!("round {round}, a line with some text in it")),
            line(round * 10 + 5, &format!("round {round}, another one that is a bit longer than the first")),
        ];
        if push(store, "job=story", &lines).is_ok() {
            acknowledged.extend(lines);
        }
        match round % 4 {
            1 => drop(store.flush()),
            3 => drop(store.maintain(TimeNs(round * 3_600_000_000_000))),
            _ => {}
        }
    }
    acknowledged
}

#[test]
fn power_may_go_off_before_any_change_to_the_disk() {
    let undisturbed = Bench::new();
    let store = undisturbed.open();
    let everything = story(&store);
    assert_eq!(read_one(&store), everything);
    let changes = undisturbed.fs.changes();
    assert!(changes > 50, "the story touches the disk {changes} times only");
    for nth in 1..=changes {
        for torn in [false, true] {
            let bench = Bench::new();
            bench.fs.power_off_at(nth);
            let acknowledged = match Store::open(bench.options(), &|_| {}) {
                Ok(store) => story(&store),
                Err(_) => Vec::new(),
            };
            if torn {
                bench.fs.crash_torn(nth)
            } else {
                bench.fs.crash()
            }
            let store = bench.open();
            let found = read_one(&store);
            let distinct: BTreeSet<&Line> = found.iter().collect();
            assert_eq!(distinct.len(), found.len(), "change {nth}: doubled");
            let lost = acknowledged.iter().find(|line| !distinct.contains(line));
            assert_eq!(lost, None, "change {nth}, torn {torn}: lost");
            let invented = found.iter().find(|line| !everything.contains(line));
            assert_eq!(invented, None, "change {nth}, torn {torn}: invented");
            // And the store works on.
            push(&store, "job=story", &[line(100_000, "afterwards")]).unwrap();
            store.flush().unwrap();
            assert_eq!(read_one(&store).len(), found.len() + 1);
        }
    }
}

#[test]
fn folders_are_as_durable_as_what_is_acknowledged_in_them() {
    // None of the parents is there.
    let bench = Bench::with(|options| options.dir = "/var/lib/cairn/logs".into());
    push(&bench.open(), "job=story", &[line(1, "first")]).unwrap();
    bench.fs.crash();
    assert_eq!(read_one(&bench.open()), [line(1, "first")]);

    // A process made them, and was killed before it could sync the parent.
    let bench = Bench::new();
    for dir in ["/store/chunks", "/store/wal"] {
        bench.fs.create_dir_all(Path::new(dir)).unwrap();
    }
    let store = bench.open();
    push(&store, "job=story", &[line(1, "first")]).unwrap();
    store.flush().unwrap();
    push(&store, "job=story", &[line(2, "second")]).unwrap();
    drop(store);
    bench.fs.crash();
    assert_eq!(read_one(&bench.open()), [line(1, "first"), line(2, "second")]);
}

/// Copies the catalogue's files.
fn copy_catalogue(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let name = format!("{CATALOGUE_FILE}{suffix}");
        let _ = fs::remove_file(to.join(&name));
        if from.join(&name).exists() {
            fs::copy(from.join(&name), to.join(&name)).expect("copy the catalogue");
        }
    }
}

#[test]
fn a_catalogue_one_commit_behind_costs_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    push(&store, "a=1", &[line(1, "one"), line(2, "two")]).unwrap();
    store.flush().unwrap();
    let saved = tempfile::tempdir().unwrap();
    copy_catalogue(bench.dir.path(), saved.path());
    push(&store, "a=1", &[line(3, "three")]).unwrap();
    push(&store, "b=2", &[line(1, "new stream")]).unwrap();
    store.flush().unwrap();
    push(&store, "b=2", &[line(2, "in the log only")]).unwrap();
    let want = read_all(&store);
    assert_eq!(want.len(), 2);
    drop(store);
    copy_catalogue(saved.path(), bench.dir.path());

    let store = bench.open();
    assert_eq!(store.recovery().files_reregistered, 1);
    assert_eq!(read_all(&store), want);
    let counters = store.counters();
    assert_eq!((counters.chunks, counters.head_entries), (3, 1), "nothing is stored twice either");
    drop(store);
    let store = bench.open();
    assert_eq!(store.recovery().files_reregistered, 0, "once is enough");
    assert_eq!(read_all(&store), want);
}

#[test]
fn a_catalogue_that_forgot_an_expiry_does_not_miss_the_file() {
    let bench = Bench::with(|options| {
        options.retention.default.period = Some(std::time::Duration::from_secs(3600));
    });
    let store = bench.open();
    let hour = 3_600_000_000_000;
    push(&store, "a=1", &[line(hour, "old")]).unwrap();
    store.flush().unwrap();
    push(&store, "a=1", &[line(10 * hour, "young")]).unwrap();
    store.flush().unwrap();
    let saved = tempfile::tempdir().unwrap();
    copy_catalogue(bench.dir.path(), saved.path());
    let report = store.maintain(TimeNs(10 * hour)).unwrap();
    assert_eq!((report.chunks_expired, report.files_removed), (1, 1));
    drop(store);
    copy_catalogue(saved.path(), bench.dir.path());
    let store = bench.open();
    assert_eq!(store.recovery().files_missing.len(), 1);
    assert_eq!(read_one(&store), [line(10 * hour, "young")]);
}

#[test]
fn a_lost_catalogue_is_made_again_from_the_chunk_files() {
    let bench = Bench::new();
    let store = bench.open();
    for round in 0..10 {
        push(&store, "a=1", &[line(round, &format!("round {round}"))]).unwrap();
        push(&store, &format!("b={}", round % 3), &[line(round, "x")]).unwrap();
        store.flush().unwrap();
    }
    let want = read_all(&store);
    drop(store);
    for entry in fs::read_dir(bench.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(CATALOGUE_FILE)) {
            fs::remove_file(path).unwrap();
        }
    }
    let store = bench.open();
    assert_eq!(store.recovery().files_reregistered, 10);
    assert_eq!(read_all(&store), want);
    push(&store, "c=1", &[line(1, "new stream")]).unwrap();
    assert_eq!(read_all(&store).len(), want.len() + 1, "its number is nobody else's");
}

#[test]
fn segments_of_the_log_go_once_everything_in_them_is_in_chunks() {
    let bench = Bench::new();
    let store = bench.open();
    for round in 0..50 {
        push(&store, "a=1", &[line(round, "a line that fills the log, again and again, until it is cut")])
            .unwrap();
    }
    let before = store.counters().wal_bytes;
    store.flush().unwrap();
    let after = store.counters().wal_bytes;
    assert!(before > 2000 && after < 100, "{before} -> {after}");
    drop(store);
    let store = bench.open();
    assert_eq!(store.recovery().wal_records, 0);
    assert_eq!(read_one(&store).len(), 50);
}

#[test]
fn a_log_that_slow_streams_hold_is_bounded() {
    let bench = Bench::new();
    let store = bench.open();
    push(&store, "slow=1", &[line(1, "the only line of a slow stream")]).unwrap();
    let minute = 60_000_000_000;
    for round in 0..200i64 {
        let text = format!("{round} {}", "quick ".repeat(40));
        push(&store, "quick=1", &[line(round, &text)]).unwrap();
        store.maintain(TimeNs(10 * minute + round)).unwrap();
        let wal_bytes = store.counters().wal_bytes;
        assert!(wal_bytes < 2 * bench.options().max_wal_bytes, "{wal_bytes}");
    }
    assert_eq!(read_all(&store).len(), 2);
}
