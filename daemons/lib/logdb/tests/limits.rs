//! Limits: streams, memory, disk, time; and what is said when one is reached.

mod support;

use std::time::Duration;

use cairn_logdb::{PushError, RejectReason, Retention, RetentionRule, Store, TenantRetention};
use cairn_model::{Matcher, TimeNs};
use support::{Bench, Line, TENANT, batch, line, push, read_all, read_one};

const HOUR: i64 = 3_600_000_000_000;

#[test]
fn one_stream_too_many_is_rejected_and_the_others_are_stored() {
    let bench = Bench::with(|options| options.max_streams_per_tenant = 2);
    let store = bench.open();
    push(&store, "a=1", &[line(1, "x")]).unwrap();
    let batches = vec![
        batch("a=3,b=4", &[line(2, "four")]),
        batch("a=2", &[line(2, "too"), line(3, "many")]),
        batch("a=1", &[line(2, "y")]),
    ];
    let report = store.push(TENANT, batches).unwrap();
    assert_eq!(report.entries, 2);
    let rejected = &report.rejected[0];
    assert_eq!(
        (rejected.labels.to_string().as_str(), rejected.entries, rejected.bytes),
        (r#"{a="2"}"#, 2, 7)
    );
    assert_eq!(rejected.reason, RejectReason::StreamLimit { limit: 2 });
    assert_eq!(read_all(&store).len(), 2);
    store.push("other", vec![batch("a=2", &[line(1, "another tenant has its own limit")])]).unwrap();
}

#[test]
fn only_active_streams_count_for_the_limit() {
    let bench = Bench::with(|options| {
        options.max_streams_per_tenant = 2;
        options.chunk_idle = Duration::from_secs(60);
    });
    let store = bench.open();
    let is_taken = |labels: &str, time: i64| {
        let report = push(&store, labels, &[line(time, "x")]).unwrap();
        report.rejected.is_empty()
    };
    let minutes = |n: i64| TimeNs(HOUR + n * 60_000_000_000);
    store.maintain(minutes(0)).unwrap();
    assert!(is_taken("a=1", 1) && is_taken("a=2", 2) && !is_taken("a=3", 3));
    // In chunks, but pushed to a moment ago: a busy stream keeps its place while its heads are cut.
    store.flush().unwrap();
    store.maintain(minutes(0)).unwrap();
    assert!(!is_taken("a=3", 4));
    store.maintain(minutes(2)).unwrap();
    assert_eq!((store.counters().streams, store.counters().streams_active), (2, 0));
    assert!(is_taken("a=3", 5) && is_taken("a=1", 6));
    // One that was idle is as new.
    assert!(!is_taken("a=2", 7));
    drop(store);
    let store = bench.open();
    assert_eq!((store.counters().streams, store.counters().streams_active), (3, 2), "a restart knows it too");
}

#[test]
fn tenants_are_limited_and_apart() {
    let bench = Bench::with(|options| options.max_tenants = 1);
    let store = bench.open();
    push(&store, "a=1", &[line(1, "x")]).unwrap();
    let error = store.push("second", vec![batch("a=1", &[line(1, "x")])]).unwrap_err();
    assert!(matches!(error, PushError::TenantLimit { limit: 1 }), "{error}");
    let long = "t".repeat(300);
    let error = store.push(&long, vec![batch("a=1", &[line(1, "x")])]).unwrap_err();
    assert!(matches!(error, PushError::TenantName { bytes: 300 }), "{error}");
}

#[test]
fn a_full_disk_refuses_pushes_cleanly_and_freed_space_heals_it() {
    let bench = Bench::new();
    let store = bench.open();
    push(&store, "a=1", &[line(1, "before")]).unwrap();
    store.flush().unwrap();
    bench.fs.set_capacity(Some(bench.fs.used_bytes() + 2000));
    let mut acknowledged: Vec<Line> = vec![line(1, "before")];
    let mut refused = 0;
    for time in 2..60 {
        let new = line(time, &format!("{time} {}", "fills the disk ".repeat(10)));
        match push(&store, "a=1", std::slice::from_ref(&new)) {
            Ok(_) => acknowledged.push(new),
            Err(PushError::NoSpace) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(read_one(&store), acknowledged);
        // Maintenance may fail on a full disk, and must not make anything worse.
        if let Err(error) = store.flush() {
            assert!(error.is_no_space(), "{error:?}");
        }
        assert_eq!(read_one(&store), acknowledged);
    }
    assert!(refused > 10, "{refused}");
    bench.fs.set_capacity(None);
    push(&store, "a=1", &[line(100, "after")]).unwrap();
    acknowledged.push(line(100, "after"));
    store.flush().unwrap();
    assert_eq!(read_one(&store), acknowledged);
    drop(store);
    bench.fs.crash();
    assert_eq!(read_one(&bench.open()), acknowledged);
}

#[test]
fn memory_is_bounded_by_cutting_while_pushing() {
    let bench = Bench::with(|options| options.max_head_bytes = 5000);
    let store = bench.open();
    for time in 0..300 {
        push(&store, &format!("s={}", time % 7), &[line(time, &"text ".repeat(10))]).unwrap();
        let head_bytes = store.counters().head_bytes;
        assert!(head_bytes < 6000, "{head_bytes}");
    }
    assert!(store.counters().chunks > 5);
    assert_eq!(store.stats(TENANT, &[], TimeNs(0), TimeNs(1000)).entries, 300);
}

#[test]
fn heads_are_cut_when_they_are_full_idle_or_old() {
    let bench = Bench::new();
    let store = bench.open();
    let minute = 60_000_000_000;
    let start = 100 * HOUR;
    let cut = |store: &Store, now: i64| store.maintain(TimeNs(now)).unwrap().heads_cut;
    assert_eq!(cut(&store, start), 0);
    push(&store, "s=full", &[line(1, &"x".repeat(400))]).unwrap();
    assert_eq!(cut(&store, start + 1), 1, "full");
    push(&store, "s=idle", &[line(1, "x")]).unwrap();
    assert_eq!(cut(&store, start + 29 * minute), 0);
    assert_eq!(cut(&store, start + 31 * minute), 1, "idle");
    push(&store, "s=old", &[line(1, "x")]).unwrap();
    for quarter in 1..8 {
        assert_eq!(cut(&store, start + (31 + 15 * quarter) * minute), 0, "{quarter}");
        push(&store, "s=old", &[line(quarter, "x")]).unwrap();
    }
    assert_eq!(cut(&store, start + (31 + 120) * minute), 1, "old");
    assert!(push(&store, "s=full", &[line(2, &"x".repeat(400))]).unwrap().wants_maintenance);
}

#[test]
fn retention_by_default_rule_and_tenant() {
    let bench = Bench::new();
    let store = bench.open();
    let period = |hours: u64| Some(Duration::from_secs(hours * 3600));
    let rule =
        |env: &str, period| RetentionRule { matchers: vec![Matcher::equal("env", env)], priority: 1, period };
    store.set_retention(Retention {
        default: TenantRetention {
            period: period(10),
            rules: vec![rule("dev", period(2)), rule("keep", None)],
        },
        tenants: [("long".to_owned(), TenantRetention { period: period(100), rules: Vec::new() })].into(),
    });
    for env in ["dev", "prod", "keep"] {
        for hour in [1, 5, 20] {
            push(&store, &format!("env={env}"), &[line(hour * HOUR, "x")]).unwrap();
            store.flush().unwrap();
        }
    }
    store.push("long", vec![batch("env=dev", &[line(HOUR, "x")])]).unwrap();
    store.flush().unwrap();
    let report = store.maintain(TimeNs(21 * HOUR)).unwrap();
    assert_eq!(report.chunks_expired, 4, "hours 1 and 5 of dev and prod");
    assert_eq!(report.files_removed, 4);
    let counts: Vec<usize> = read_all(&store).iter().map(|(_, lines)| lines.len()).collect();
    assert_eq!(counts, [1, 3, 1]);
    assert_eq!(store.counters().tenants, 2);
    // The last entry of a stream takes the stream with it.
    let report = store.maintain(TimeNs(50 * HOUR)).unwrap();
    assert_eq!(report.streams_removed, 2);
    let want = read_all(&store);
    assert_eq!(want.len(), 1);
    drop(store);
    let store = bench.open();
    assert_eq!(read_all(&store), want);
    assert_eq!(store.counters().streams, 2);
}

#[test]
fn labels_beyond_the_format_are_rejected_before_they_are_written() {
    let bench = Bench::new();
    let store = bench.open();
    let long = "v".repeat((1 << 20) + 1);
    let batches = vec![batch(&format!("a={long}"), &[line(1, "x")]), batch("a=1", &[line(1, "x")])];
    let report = store.push(TENANT, batches).unwrap();
    assert_eq!(report.rejected[0].reason, RejectReason::LabelsTooLarge);
    let large = line(1, &"x".repeat(65 << 20));
    let error = push(&store, "a=1", &[large]).unwrap_err();
    assert!(matches!(error, PushError::TooLarge { .. }), "{error}");
    drop(store);
    assert_eq!(read_all(&bench.open()).len(), 1);
}
