//! What is a line, and which time does it get.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cairn_log_shipper::receipt::Mark;
use cairn_model::TimeNs;
use common::{Rig, append, numbered, wait_for};

fn write(rig: &Rig, bytes: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(rig.path("a.log")).unwrap();
    file.write_all(bytes).unwrap();
}

fn texts(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn now_ns() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

#[test]
fn bytes_arrive_as_they_are() {
    let mut rig = Rig::new();
    write(&rig, "crlf\r\n\n  blanks  \t\nümläut \u{1F600}\n{\"json\": \"\\n\"}\n".as_bytes());
    rig.start();
    rig.expect("a.log", &texts(&["crlf\r", "", "  blanks  \t", "ümläut \u{1F600}", "{\"json\": \"\\n\"}"]));
}

#[test]
fn an_unfinished_line_is_sent_after_a_while_and_its_rest_is_a_line_of_its_own() {
    let mut rig = Rig::new();
    rig.more = "[tail]\npartial_flush = \"300ms\"\n".to_owned();
    write(&rig, b"whole\nhalf");
    rig.start();
    rig.expect("a.log", &texts(&["whole", "half"]));
    write(&rig, b" other half\nnext\n");
    rig.expect("a.log", &texts(&["whole", "half", " other half", "next"]));
    rig.wait_saved("a.log");
    rig.kill();
    rig.start();
    write(&rig, b"last\n");
    rig.expect("a.log", &texts(&["whole", "half", " other half", "next", "last"]));
}

#[test]
fn the_newline_that_comes_after_its_line_was_sent_is_no_line() {
    let mut rig = Rig::new();
    rig.more = "[tail]\npartial_flush = \"300ms\"\n".to_owned();
    write(&rig, b"whole\nlate");
    rig.start();
    rig.expect("a.log", &texts(&["whole", "late"]));
    rig.wait_saved("a.log");
    rig.kill();
    rig.start();
    write(&rig, b"\n\nnext\n");
    rig.expect("a.log", &texts(&["whole", "late", "", "next"]));
}

#[test]
fn an_unfinished_line_of_a_rotated_file_comes_before_what_is_in_the_next_one() {
    let mut rig = Rig::new();
    write(&rig, b"first\nlast of the old");
    rig.start();
    rig.expect("a.log", &texts(&["first"]));
    std::fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    write(&rig, b"first of the new\n");
    rig.expect("a.log", &texts(&["first", "last of the old", "first of the new"]));
}

#[test]
fn lines_come_into_space_that_was_reserved() {
    let mut rig = Rig::new();
    let path = rig.path("a.log");
    let file = std::fs::File::create(&path).unwrap();
    // More than is read at once.
    file.set_len(2 << 20).unwrap();
    file.write_all_at(b"one\ntwo\n", 0).unwrap();
    rig.start();
    rig.expect("a.log", &texts(&["one", "two"]));
    file.write_all_at(b"three\n", 8).unwrap();
    rig.expect("a.log", &texts(&["one", "two", "three"]));
    // A gap is no reserved space: something follows it.
    file.write_all_at(b"four\n", 3 << 20).unwrap();
    rig.expect("a.log", &texts(&["one", "two", "three", "four"]));
}

#[test]
fn a_line_comes_in_two_parts_into_space_that_was_reserved() {
    for size in [100 << 10, 2 << 20] {
        let mut rig = Rig::new();
        let file = std::fs::File::create(rig.path("a.log")).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(b"one\ntwo\nhalf", 0).unwrap();
        rig.start();
        rig.expect("a.log", &texts(&["one", "two"]));
        file.write_all_at(b"-other\nthree\n", 12).unwrap();
        rig.expect("a.log", &texts(&["one", "two", "half-other", "three"]));
    }
}

#[test]
fn an_unfinished_line_in_reserved_space_is_sent_without_the_space() {
    let mut rig = Rig::new();
    rig.more = "[tail]\npartial_flush = \"300ms\"\n[limits_config]\nmax_line_size = 100\n".to_owned();
    let file = std::fs::File::create(rig.path("a.log")).unwrap();
    file.set_len(100 << 10).unwrap();
    file.write_all_at(b"one\nhalf", 0).unwrap();
    rig.start();
    rig.expect("a.log", &texts(&["one", "half"]));
    file.write_all_at(b"-other\n", 8).unwrap();
    rig.expect("a.log", &texts(&["one", "half", "-other"]));
    // One that is too long already, and goes on.
    let long = "x".repeat(150);
    file.write_all_at(long.as_bytes(), 15).unwrap();
    rig.expect("a.log", &texts(&["one", "half", "-other", &long[..100]]));
    file.write_all_at(b"yyy\nlast\n", 165).unwrap();
    rig.expect("a.log", &texts(&["one", "half", "-other", &long[..100], "last"]));
}

#[test]
fn the_newline_after_a_line_that_was_sent_and_ended_in_nul_is_no_line() {
    let mut rig = Rig::new();
    rig.more = "[tail]\npartial_flush = \"300ms\"\n".to_owned();
    write(&rig, b"abc\0");
    rig.start();
    // A NUL at the end may be reserved space, and is not sent.
    rig.expect("a.log", &texts(&["abc"]));
    write(&rig, b"\nnext\n");
    rig.expect("a.log", &texts(&["abc", "next"]));
}

#[test]
fn an_unfinished_line_of_a_rotated_file_is_sent() {
    let mut rig = Rig::new();
    rig.more = "[tail]\npartial_flush = \"0\"\n".to_owned();
    write(&rig, b"whole\nhalf");
    rig.start();
    rig.expect("a.log", &texts(&["whole"]));
    std::fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    let mut got = rig.lines("a.log", 2);
    got.truncate(2);
    assert_eq!(got, texts(&["whole", "half"]));
}

#[test]
fn an_unfinished_line_is_read_again_after_a_restart() {
    let mut rig = Rig::new();
    write(&rig, b"whole\nhalf");
    rig.start();
    rig.expect("a.log", &texts(&["whole"]));
    rig.stop();
    write(&rig, b" and half\n");
    rig.start();
    rig.expect("a.log", &texts(&["whole", "half and half"]));
}

#[test]
fn long_lines_are_cut_and_counted_also_over_a_restart() {
    let mut rig = Rig::new();
    rig.more = "[limits_config]\nmax_line_size = 1000\n".to_owned();
    write(&rig, format!("{}\n", "x".repeat(500_000)).as_bytes());
    write(&rig, "y".repeat(700_000).as_bytes());
    rig.start();
    let want = ["x".repeat(1000), "y".repeat(1000)];
    rig.expect("a.log", &want);
    rig.wait_saved("a.log");
    assert_eq!(rig.metric("cairn_log_shipper_lines_truncated_total"), Some(2.0));
    rig.kill();
    write(&rig, b"the rest of it\nnext\n");
    rig.start();
    rig.expect("a.log", &[&want[..], &texts(&["next"])].concat());
}

#[test]
fn nul_bytes_of_a_writer_that_kept_its_offset() {
    let mut rig = Rig::new();
    write(&rig, b"before\n");
    rig.start();
    rig.expect("a.log", &texts(&["before"]));
    // `copytruncate` under a writer without O_APPEND: a hole, then its next line.
    let writer = OpenOptions::new().write(true).open(rig.path("a.log")).unwrap();
    writer.set_len(0).unwrap();
    writer.write_all_at(b"after\n", 1_000_000).unwrap();
    rig.expect("a.log", &texts(&["before", "after"]));
    assert_eq!(rig.metric("cairn_log_shipper_nul_bytes_skipped_total"), Some(1_000_000.0));
}

#[test]
fn every_line_has_a_time_of_its_own_also_after_a_restart() {
    let mut rig = Rig::new();
    let equal = vec!["the same line".to_owned(); 5000];
    append(&rig.path("a.log"), &equal);
    rig.start();
    rig.expect("a.log", &equal);
    rig.stop();
    append(&rig.path("a.log"), &equal);
    rig.start();
    rig.lines("a.log", 10_000);
    let filename = rig.path("a.log").display().to_string();
    let entries = rig.loki.entries(&filename);
    assert!(entries.windows(2).all(|two| two[0].0 < two[1].0));
    assert_eq!(entries.len(), 10_000);
}

#[test]
fn a_clock_set_back_keeps_the_order_within_five_minutes() {
    for (ahead, waits) in [(Duration::from_secs(280), true), (Duration::from_secs(7200), false)] {
        let mut rig = Rig::new();
        append(&rig.path("a.log"), &texts(&["before"]));
        rig.start();
        rig.expect("a.log", &texts(&["before"]));
        rig.stop();
        let last = now_ns() + i64::try_from(ahead.as_nanos()).unwrap();
        rig.edit_positions(|positions| {
            let entry = &positions.entries()[0];
            let mark = Mark { last_time: TimeNs(last), ..entry.ledger.committed() };
            entry.ledger.issue(mark, 0);
        });
        append(&rig.path("a.log"), &texts(&["after"]));
        rig.start();
        rig.lines("a.log", 2);
        let filename = rig.path("a.log").display().to_string();
        let (time, line) = rig.loki.entries(&filename).remove(1);
        assert_eq!(line, "after");
        // A store refuses what is more than ten minutes ahead.
        let want = if waits { last + 1..last + 2 } else { last - 7_200_000_000_000..now_ns() };
        assert!(want.contains(&time), "{time} is not in {want:?}");
    }
}

#[test]
fn reading_pauses_when_the_queue_is_full_and_goes_on() {
    let mut rig = Rig::new();
    rig.more = "[queue]\nbytes = \"1MiB\"\n".to_owned();
    let lines = numbered("n", 0..100_000);
    append(&rig.path("a.log"), &lines);
    rig.loki.set(common::loki::Mood::Hangs);
    rig.start();
    wait_for("the queue to fill", || (rig.queue_bytes() >= 1 << 20).then_some(()));
    // One read beyond the limit, with its overhead per line.
    assert!(rig.queue_bytes() < 2 << 20, "{}", rig.queue_bytes());
    rig.loki.set(common::loki::Mood::Takes);
    rig.expect("a.log", &lines);
    wait_for("the queue to drain", || rig.is_idle().then_some(()));
}
