//! The store beside a list in memory: pushes, cuts, crashes and restarts in any order. What was acknowledged is
//! there, once, in the right order; nothing else is, except what a failed push may have left in the log.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy sees only the test functions themselves")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use cairn_logdb::{PushError, Store};
use cairn_logql::Direction;
use cairn_model::TimeNs;
use proptest::prelude::*;
use support::{Bench, Line, TENANT, batch, read};

#[derive(Clone, Debug)]
enum Action {
    /// (stream, time, line, metadata) each.
    Push(Vec<(u8, i64, u8, u8)>),
    Flush,
    /// Minutes later.
    Maintain(i64),
    /// Stop without a flush, start again.
    Restart,
    Crash,
    CrashTorn(u64),
    /// Power goes off at that many changes from now; whoever notices crashes and starts again.
    PowerOff(u64),
    FailSync(u64),
    FailWrite(u64),
    Read {
        start: i64,
        end: i64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let entry = (0u8..3, 0i64..30, 0u8..8, 0u8..3);
    prop_oneof![
        12 => proptest::collection::vec(entry, 1..12).prop_map(Action::Push),
        2 => Just(Action::Flush),
        3 => (1i64..50).prop_map(Action::Maintain),
        2 => Just(Action::Restart),
        1 => Just(Action::Crash),
        1 => any::<u64>().prop_map(Action::CrashTorn),
        1 => (1u64..20).prop_map(Action::PowerOff),
        1 => (1u64..4).prop_map(Action::FailSync),
        1 => (1u64..8).prop_map(Action::FailWrite),
        4 => (0i64..30, 0i64..30).prop_map(|(a, b)| Action::Read { start: a.min(b), end: a.max(b) + 1 }),
    ]
}

/// What should be there.
#[derive(Default)]
struct Model {
    /// Acknowledged, in the order of arrival, each once.
    streams: BTreeMap<String, Vec<Line>>,
    /// Of pushes that failed: it may come back.
    doubtful: BTreeSet<(String, Line)>,
}

impl Model {
    fn check(&self, store: &Store, start: i64, end: i64) {
        for direction in [Direction::Forward, Direction::Backward] {
            let found: BTreeMap<String, Vec<Line>> =
                read(store, &[], start..end, direction, &[]).into_iter().collect();
            for (stream, lines) in &found {
                let distinct: BTreeSet<&Line> = lines.iter().collect();
                assert_eq!(distinct.len(), lines.len(), "{stream}: an entry came twice: {lines:?}");
            }
            let mut names: BTreeSet<&String> = found.keys().collect();
            names.extend(self.streams.keys());
            for stream in names {
                self.check_stream(stream, found.get(stream), start, end, direction);
            }
        }
    }

    fn check_stream(
        &self,
        stream: &String,
        found: Option<&Vec<Line>>,
        start: i64,
        end: i64,
        direction: Direction,
    ) {
        let acknowledged = self.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        let mut want: Vec<Line> =
            acknowledged.iter().filter(|(time, ..)| (start..end).contains(time)).cloned().collect();
        want.sort_by_key(|(time, ..)| *time);
        if direction == Direction::Backward {
            want.reverse();
        }
        let is_doubtful = |line: &&Line| self.doubtful.contains(&(stream.clone(), (*line).clone()));
        let found: Vec<Line> = found.cloned().unwrap_or_default();
        if self.doubtful.is_empty() {
            assert_eq!(found, want, "{stream} {direction:?} {start}..{end}");
            return;
        }
        // A doubtful entry may have its place from the failed push: what is certain must be there in its order, and
        // whatever else is there must be doubtful.
        let certain: Vec<&Line> = want.iter().filter(|line| !is_doubtful(line)).collect();
        let found_certain: Vec<&Line> = found.iter().filter(|line| !is_doubtful(line)).collect();
        assert_eq!(found_certain, certain, "{stream} {direction:?} {start}..{end}");
        for line in &want {
            assert!(found.contains(line), "{stream}: lost {line:?}");
        }
        let times: Vec<i64> = found.iter().map(|(time, ..)| *time).collect();
        match direction {
            Direction::Forward => assert!(times.is_sorted()),
            Direction::Backward => assert!(times.iter().rev().is_sorted()),
        }
    }
}

/// Power may go off, or a write fail, while the store is being opened: then it is opened again.
fn open_in_spite_of_trouble(bench: &Bench) -> Store {
    match Store::open(bench.options(), &|_| {}) {
        Ok(store) => store,
        Err(_) => {
            bench.fs.crash();
            Store::open(bench.options(), &|_| {}).or_else(|_| Store::open(bench.options(), &|_| {})).unwrap()
        }
    }
}

fn run(actions: Vec<Action>) {
    let bench = Bench::with(|options| options.max_head_bytes = 4000);
    let mut store = bench.open();
    let mut model = Model::default();
    let mut now = 1_000_000_000_000;
    for action in actions {
        // Whether the disk gave up on the way: then this run of the store is over.
        let mut is_dead = false;
        match action {
            Action::Push(entries) => {
                let mut lines: BTreeMap<u8, Vec<Line>> = BTreeMap::new();
                for (stream, time, line, metadata) in entries {
                    let metadata = if metadata == 0 { String::new() } else { format!("m{metadata}") };
                    // Long enough that a push fills blocks and chunks.
                    let text = format!("line {line} of the stream {}", "x".repeat(usize::from(line) * 6));
                    lines.entry(stream).or_default().push((time, text, metadata));
                }
                let batches = lines.iter().map(|(stream, lines)| batch(&format!("s={stream}"), lines));
                let outcome = store.push(TENANT, batches.collect());
                let lines = lines.into_iter().flat_map(|(stream, lines)| {
                    lines.into_iter().map(move |line| (format!("{{s=\"{stream}\"}}"), line))
                });
                match outcome {
                    Ok(_) => {
                        for (stream, line) in lines {
                            let stream = model.streams.entry(stream).or_default();
                            if !stream.contains(&line) {
                                stream.push(line);
                            }
                        }
                    }
                    Err(error) => {
                        assert!(matches!(error, PushError::Wal(_) | PushError::Memory(_)), "{error:?}");
                        let visible = support::read_all(&store);
                        for (stream, line) in lines {
                            let is_stored =
                                model.streams.get(&stream).is_some_and(|lines| lines.contains(&line));
                            let is_visible =
                                visible.iter().any(|(name, lines)| *name == stream && lines.contains(&line));
                            let was_doubtful = model.doubtful.contains(&(stream.clone(), line.clone()));
                            assert!(
                                is_stored || was_doubtful || !is_visible,
                                "a refused push shows: {line:?}"
                            );
                            if !is_stored {
                                model.doubtful.insert((stream, line));
                            }
                        }
                        is_dead = true;
                    }
                }
            }
            Action::Flush => is_dead = store.flush().is_err(),
            Action::Maintain(minutes) => {
                now += minutes * 60_000_000_000;
                is_dead = store.maintain(TimeNs(now)).is_err();
            }
            Action::Restart => {
                drop(store);
                store = open_in_spite_of_trouble(&bench);
            }
            Action::Crash => {
                drop(store);
                bench.fs.crash();
                store = open_in_spite_of_trouble(&bench);
            }
            Action::CrashTorn(seed) => {
                drop(store);
                bench.fs.crash_torn(seed);
                store = open_in_spite_of_trouble(&bench);
            }
            Action::PowerOff(changes) => bench.fs.power_off_at(changes),
            Action::FailSync(nth) => bench.fs.fail_nth_sync(nth),
            Action::FailWrite(nth) => bench.fs.fail_nth_write(nth),
            Action::Read { start, end } => model.check(&store, start, end),
        }
        if is_dead {
            model.check(&store, i64::MIN, i64::MAX);
            drop(store);
            bench.fs.crash_torn(now.cast_unsigned());
            store = open_in_spite_of_trouble(&bench);
        }
        model.check(&store, 0, 30);
        let recovery = store.recovery();
        assert_eq!(recovery.wal_entries_without_stream, 0);
        assert!(recovery.files_damaged.is_empty() && recovery.files_missing.is_empty(), "{recovery:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_what_was_acknowledged_is_there_once(actions in proptest::collection::vec(action(), 1..50)) {
        run(actions);
    }
}
