//! What a query sees: order, ties, ranges, repeats, needles, matchers.

mod support;

use cairn_logql::{Direction, LogSource, Selection};
use cairn_model::{MatchOp, Matcher, TimeNs};
use support::{Bench, Line, TENANT, labels, line, push, read, read_all, read_one};

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|(_, text, _)| text.as_str()).collect()
}

#[test]
fn entries_of_one_time_keep_their_order_of_arrival_across_chunks_and_head() {
    let bench = Bench::new();
    let store = bench.open();
    push(&store, "a=1", &[line(5, "first"), line(5, "second"), line(9, "last")]).unwrap();
    store.flush().unwrap();
    push(&store, "a=1", &[line(5, "third"), line(1, "late")]).unwrap();
    store.flush().unwrap();
    push(&store, "a=1", &[line(5, "fourth")]).unwrap();
    let forward = read_one(&store);
    assert_eq!(texts(&forward), ["late", "first", "second", "third", "fourth", "last"]);
    let backward = read(&store, &[], 0..100, Direction::Backward, &[]);
    assert_eq!(texts(&backward[0].1), ["last", "fourth", "third", "second", "first", "late"]);
    drop(store);
    assert_eq!(read_one(&bench.open()), forward);
}

#[test]
fn exact_repeats_come_once_wherever_they_are() {
    let bench = Bench::new();
    let store = bench.open();
    let with_level = (5, "same".to_owned(), "info".to_owned());
    let report = push(&store, "a=1", &[line(5, "same"), line(5, "same"), with_level.clone()]).unwrap();
    assert_eq!((report.entries, report.repeated), (2, 1));
    store.flush().unwrap();
    let report = push(&store, "a=1", &[line(5, "same"), with_level.clone(), line(6, "same")]).unwrap();
    assert_eq!(report.entries, 3, "chunks are not read while pushing");
    let want = [line(5, "same"), with_level, line(6, "same")];
    assert_eq!(read_one(&store), want);
    store.flush().unwrap();
    assert_eq!(read_one(&store), want);
    let mut reversed = want.to_vec();
    reversed.reverse();
    assert_eq!(read(&store, &[], 0..100, Direction::Backward, &[])[0].1, reversed);
}

#[test]
fn ranges_start_inclusive_and_end_exclusive() {
    let bench = Bench::new();
    let store = bench.open();
    let lines: Vec<Line> = (0..100).map(|time| line(time * 10, "some text of a line")).collect();
    push(&store, "a=1", &lines).unwrap();
    for _ in 0..2 {
        for (start, end, want) in [
            (0, 1000, 100),
            (10, 990, 98),
            (11, 990, 97),
            (10, 11, 1),
            (10, 10, 0),
            (20, 10, 0),
            (991, 5000, 0),
            (i64::MIN, i64::MAX, 100),
        ] {
            for direction in [Direction::Forward, Direction::Backward] {
                let found = read(&store, &[], start..end, direction, &[]);
                let count: usize = found.iter().map(|(_, lines)| lines.len()).sum();
                assert_eq!(count, want, "{start}..{end} {direction:?}");
            }
        }
        // Once from the head, once from chunks of several blocks.
        store.flush().unwrap();
    }
}

#[test]
fn times_at_both_ends_of_the_range_of_i64() {
    let bench = Bench::new();
    let store = bench.open();
    push(&store, "a=1", &[line(i64::MAX - 1, "end"), line(i64::MIN, "start"), line(0, "zero")]).unwrap();
    assert_eq!(texts(&read_one(&store)), ["start", "zero", "end"]);
    store.flush().unwrap();
    assert_eq!(texts(&read_one(&store)), ["start", "zero", "end"]);
}

#[test]
fn a_filter_keeps_chunks_closed_that_lack_a_needle() {
    let bench = Bench::new();
    let store = bench.open();
    for round in 0..20i64 {
        let text = format!("request id-{round:04}-{:08x} done in {} ms", round * 7_919_777, round * 3);
        push(&store, "a=1", &[line(round, &text)]).unwrap();
        store.flush().unwrap();
    }
    let before = store.counters();
    let found = read(&store, &[], 0..100, Direction::Forward, &[b"id-0013-"]);
    assert!(texts(&found[0].1).iter().any(|text| text.contains("id-0013-")));
    let after = store.counters();
    let (read_chunks, kept_closed) =
        (after.chunks_read - before.chunks_read, after.chunks_filtered - before.chunks_filtered);
    assert_eq!(read_chunks + kept_closed, 20);
    assert!(read_chunks <= 3, "{read_chunks}");
    let absent = read(&store, &[], 0..100, Direction::Forward, &[b"no such text"]);
    assert!(absent.is_empty());
    // Three bytes are no gram: everything is read.
    let short = read(&store, &[], 0..100, Direction::Forward, &[b"zzz"]);
    assert_eq!(short[0].1.len(), 20);
}

#[test]
fn a_limit_decodes_only_what_it_returns() {
    let bench = Bench::new();
    let store = bench.open();
    for round in 0..20 {
        push(&store, "a=1", &[line(round, "text"), line(round + 1000 * round, "text")]).unwrap();
        store.flush().unwrap();
    }
    for (direction, most) in [(Direction::Backward, 2), (Direction::Forward, 2)] {
        let before = store.counters().chunks_read;
        let view = store.view(TENANT);
        let (start, end) = (TimeNs(0), TimeNs(i64::MAX));
        let selection = Selection { matchers: &[], start, end, direction, needles: &[] };
        let mut cursors = view.select(&selection).unwrap();
        assert!(cursors[0].advance().unwrap());
        assert!(store.counters().chunks_read - before <= most, "{direction:?}");
    }
}

#[test]
fn a_cursor_keeps_its_moment_through_cutting_and_expiry() {
    let bench = Bench::with(|options| {
        options.retention.default.period = Some(std::time::Duration::from_nanos(100));
    });
    let store = bench.open();
    push(&store, "a=1", &[line(1, "one"), line(2, "two")]).unwrap();
    store.flush().unwrap();
    push(&store, "a=1", &[line(3, "three")]).unwrap();
    let view = store.view(TENANT);
    let (start, end) = (TimeNs(0), TimeNs(100));
    let select = || {
        let direction = Direction::Forward;
        view.select(&Selection { matchers: &[], start, end, direction, needles: &[] }).unwrap().remove(0)
    };
    let mut cursor = select();
    store.flush().unwrap();
    push(&store, "a=1", &[line(4, "four")]).unwrap();
    store.maintain(TimeNs(1000)).unwrap();
    let mut seen = Vec::new();
    while cursor.advance().unwrap() {
        seen.push(cursor.entry().time.0);
    }
    assert_eq!(seen, [1, 2, 3], "neither doubled, nor gone, nor new");
    assert!(view.damage().is_empty());
    drop(cursor);
    assert_eq!(read_one(&store), [line(4, "four")]);
    store.maintain(TimeNs(1000)).unwrap();
    assert!(bench.chunk_files().is_empty(), "{:?}", bench.chunk_files());
}

#[test]
fn names_values_series_and_sizes() {
    let bench = Bench::new();
    let store = bench.open();
    let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value).unwrap();
    push(&store, "job=api,env=dev", &[line(10, "12345"), line(20, "123")]).unwrap();
    push(&store, "job=api,env=prod", &[line(30, "1")]).unwrap();
    push(&store, "job=web", &[line(1000, "1234567890")]).unwrap();
    let (start, end) = (TimeNs(0), TimeNs(100));
    for _ in 0..2 {
        assert_eq!(store.label_names(TENANT, &[], start, end), ["env", "job"]);
        assert_eq!(store.label_values(TENANT, "job", &[], start, end), ["api"]);
        assert_eq!(store.label_values(TENANT, "job", &[], start, TimeNs(2000)), ["api", "web"]);
        let api = [matcher("job", MatchOp::Equal, "api")];
        assert_eq!(store.label_values(TENANT, "env", &api, start, end), ["dev", "prod"]);
        assert_eq!(store.label_values(TENANT, "none", &api, start, end), [""; 0]);
        let selectors = [api.to_vec(), vec![matcher("env", MatchOp::Regex, ".+")]];
        let series = store.series(TENANT, &selectors, start, TimeNs(2000));
        assert_eq!(
            series.iter().map(|labels| (**labels).clone()).collect::<Vec<_>>(),
            [labels("job=api,env=dev"), labels("job=api,env=prod")]
        );
        assert_eq!(store.series(TENANT, &[], start, TimeNs(2000)).len(), 3);
        let stats = store.stats(TENANT, &api, start, end);
        assert_eq!((stats.streams, stats.chunks, stats.bytes, stats.entries), (2, 2, 9, 3));
        let volume = store.volume(TENANT, &[], start, TimeNs(2000));
        let bytes: Vec<(String, u64)> = volume.iter().map(|v| (v.labels.to_string(), v.bytes)).collect();
        let want =
            [(r#"{env="dev", job="api"}"#, 8), (r#"{env="prod", job="api"}"#, 1), (r#"{job="web"}"#, 10)];
        assert_eq!(bytes, want.map(|(labels, bytes)| (labels.to_owned(), bytes)));
        assert!(store.label_names("other", &[], start, end).is_empty());
        store.flush().unwrap();
    }
}

#[test]
fn matchers_choose_streams() {
    let bench = Bench::new();
    let store = bench.open();
    for stream in ["a=1,b=x", "a=2,b=y", "a=3"] {
        push(&store, stream, &[line(1, stream)]).unwrap();
    }
    let chosen = |op, name: &str, value: &str| -> Vec<String> {
        let matchers = [Matcher::new(name, op, value).unwrap()];
        let found = read(&store, &matchers, 0..10, Direction::Forward, &[]);
        found.into_iter().map(|(_, lines)| lines[0].1.clone()).collect()
    };
    assert_eq!(chosen(MatchOp::Equal, "b", "x"), ["a=1,b=x"]);
    assert_eq!(chosen(MatchOp::Equal, "b", ""), ["a=3"]);
    assert_eq!(chosen(MatchOp::NotEqual, "b", "x"), ["a=2,b=y", "a=3"]);
    assert_eq!(chosen(MatchOp::Regex, "b", "x|y"), ["a=1,b=x", "a=2,b=y"]);
    assert_eq!(chosen(MatchOp::NotRegex, "b", ".+"), ["a=3"]);
    assert_eq!(chosen(MatchOp::Regex, "c", ".*").len(), 3);
    assert_eq!(read_all(&store).len(), 3);
}
