//! Stores that are down, slow, picky or half deaf; kills in the middle. Nothing acknowledged is sent again once its
//! position is on disk, nothing unacknowledged is lost, and the accounts close.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use std::time::Duration;

use common::loki::{FakeLoki, Mood};
use common::{Rig, all, append, numbered, wait_for};

const DELIVERED: &str = "cairn_log_shipper_delivered_lines_total{destination=\"store\"}";
const READ: &str = "cairn_log_shipper_read_lines_total";
const BUFFERED: &str = "cairn_log_shipper_buffered_lines{destination=\"store\"}";

fn dropped(rig: &Rig, reason: &str) -> f64 {
    let sample =
        format!("cairn_log_shipper_dropped_lines_total{{destination=\"store\",reason=\"{reason}\"}}");
    rig.metric(&sample).unwrap_or(0.0)
}

fn assert_accounts_close(rig: &Rig) {
    let reasons =
        ["ingester_error", "rate_limited", "request_too_large", "destination_removed", "line_too_long"];
    let settled = |rig: &Rig| {
        rig.metric(DELIVERED).unwrap() + reasons.iter().map(|reason| dropped(rig, reason)).sum::<f64>()
    };
    wait_for("the queue to drain", || rig.is_idle().then_some(()));
    assert_eq!(rig.metric(READ).unwrap(), settled(rig));
    assert_eq!(rig.metric(BUFFERED), Some(0.0));
}

#[test]
fn an_outage_and_a_kill_in_it_lose_and_repeat_nothing() {
    let mut rig = Rig::new();
    // 4 MB: four batches.
    let (first, second) = (numbered("first", 0..80_000), numbered("second", 0..20_000));
    append(&rig.path("a.log"), &first);
    rig.loki.set(Mood::TakesOnly(2));
    rig.start();
    let n = wait_for("two batches, then refusals", || {
        (rig.loki.n_requests() > 4).then(|| rig.lines("a.log", 1).len())
    });
    assert!(n < first.len());
    let id = cairn_log_shipper::tail::identity::FileId::of(&rig.path("a.log").metadata().unwrap());
    wait_for("the position of what was taken", || (rig.saved_offset(&id)? == n as u64 * 50).then_some(()));
    rig.kill();
    append(&rig.path("a.log"), &second);
    rig.start();
    assert_eq!(rig.lines("a.log", n).len(), n);
    rig.loki.set(Mood::Takes);
    rig.expect("a.log", &all(&[&first, &second]));
    assert_accounts_close(&rig);
}

#[test]
fn a_stop_in_the_middle_of_a_catch_up_repeats_nothing() {
    let mut rig = Rig::new();
    let lines = numbered("n", 0..200_000);
    append(&rig.path("a.log"), &lines);
    rig.start();
    rig.lines("a.log", 1);
    rig.stop();
    rig.start();
    rig.expect("a.log", &lines);
}

#[test]
fn a_stop_while_the_store_is_down_keeps_the_lines_in_their_file() {
    let mut rig = Rig::new();
    let lines = numbered("n", 0..1000);
    append(&rig.path("a.log"), &lines);
    rig.loki.set(Mood::Answers(503, ""));
    rig.start();
    wait_for("an attempt", || (rig.loki.n_requests() > 0).then_some(()));
    rig.stop_within(Duration::from_millis(50));
    rig.loki.set(Mood::Takes);
    rig.start();
    rig.expect("a.log", &lines);
}

#[test]
fn a_lost_acknowledgement_repeats_one_batch_at_most() {
    let mut rig = Rig::new();
    let lines = numbered("n", 0..100);
    append(&rig.path("a.log"), &lines);
    rig.loki.set(Mood::StoresAndFails);
    rig.start();
    rig.lines("a.log", 100);
    rig.loki.set(Mood::Takes);
    wait_for("the queue to drain", || rig.is_idle().then_some(()));
    let got = rig.lines("a.log", 100);
    // The same lines with the same times: a store that knows (stream, time, line) sees no second one.
    let filename = rig.path("a.log").display().to_string();
    let mut distinct = rig.loki.entries(&filename);
    distinct.dedup();
    assert_eq!(distinct.len(), 100);
    assert_eq!(got.len() % 100, 0);
    assert_accounts_close(&rig);
}

#[test]
fn too_large_requests_are_split() {
    let mut rig = Rig::new();
    let lines = numbered("n", 0..1000);
    append(&rig.path("a.log"), &lines);
    rig.loki.set(Mood::TakesUpTo(100));
    rig.start();
    rig.expect("a.log", &lines);
    rig.loki.set(Mood::TakesUpTo(0));
    append(&rig.path("a.log"), &numbered("too large", 0..1));
    wait_for("a line to be given up", || (dropped(&rig, "request_too_large") == 1.0).then_some(()));
    assert_accounts_close(&rig);
}

#[test]
fn refused_lines_are_counted_and_not_sent_again() {
    let mut rig = Rig::new();
    rig.loki.set(Mood::Answers(400, "couldn't parse labels"));
    append(&rig.path("a.log"), &numbered("refused", 0..10));
    rig.start();
    wait_for("the refusal", || (dropped(&rig, "ingester_error") == 10.0).then_some(()));
    rig.loki.set(Mood::Answers(400, "user 'fake', total ignored: 3 out of 10 for stream: {a=\"b\"}"));
    append(&rig.path("a.log"), &numbered("partly", 0..10));
    wait_for("the partial refusal", || (dropped(&rig, "ingester_error") == 13.0).then_some(()));
    rig.loki.set(Mood::Takes);
    let good = numbered("good", 0..10);
    append(&rig.path("a.log"), &good);
    rig.expect("a.log", &good);
    assert_eq!(rig.metric(DELIVERED), Some(17.0));
    assert_accounts_close(&rig);
    rig.wait_saved("a.log");
}

#[test]
fn retries_end_where_the_configuration_says_so() {
    let mut rig = Rig::new();
    rig.more = "[[clients]]\nname = \"short\"\nurl = \"http://127.0.0.1:1/push\"\nbatchwait = \"10ms\"\n\
                backoff_config = { min_period = \"1ms\", max_period = \"2ms\", max_retries = 3 }\n"
        .to_owned();
    let lines = numbered("n", 0..10);
    append(&rig.path("a.log"), &lines);
    rig.start();
    rig.expect("a.log", &lines);
    let sample = "cairn_log_shipper_dropped_lines_total{destination=\"short\",reason=\"ingester_error\"}";
    wait_for("the second destination to give up", || (rig.metric(sample)? == 10.0).then_some(()));
    rig.wait_saved("a.log");
}

#[test]
fn a_position_waits_for_the_slowest_destination() {
    let mut rig = Rig::new();
    let other = FakeLoki::start();
    other.set(Mood::Answers(503, ""));
    rig.more = format!(
        "[[clients]]\nname = \"other\"\nurl = \"{}\"\nbatchwait = \"10ms\"\nbackoff_config = {{ min_period = \"5ms\", max_period = \"20ms\" }}\n",
        other.url()
    );
    let lines = numbered("n", 0..10);
    append(&rig.path("a.log"), &lines);
    rig.start();
    rig.expect("a.log", &lines);
    wait_for("attempts at the other", || (other.n_requests() > 3).then_some(()));
    let id = cairn_log_shipper::tail::identity::FileId::of(&rig.path("a.log").metadata().unwrap());
    assert_eq!(rig.saved_offset(&id).unwrap_or(0), 0);
    other.set(Mood::Takes);
    let filename = rig.path("a.log").display().to_string();
    wait_for("the other to have it", || (other.lines(&filename) == lines).then_some(()));
    rig.wait_saved("a.log");
}

#[test]
fn a_removed_destination_gives_up_what_it_held() {
    let mut rig = Rig::new();
    let other = FakeLoki::start();
    other.set(Mood::Answers(503, ""));
    rig.more = format!("[[clients]]\nname = \"other\"\nurl = \"{}\"\nbatchwait = \"10ms\"\n", other.url());
    let lines = numbered("n", 0..10);
    append(&rig.path("a.log"), &lines);
    rig.start();
    rig.expect("a.log", &lines);
    rig.more.clear();
    rig.reconfigure();
    rig.wait_saved("a.log");
    let sample =
        "cairn_log_shipper_dropped_lines_total{destination=\"other\",reason=\"destination_removed\"}";
    assert_eq!(rig.metric(sample), Some(10.0));
    let more = numbered("more", 0..10);
    append(&rig.path("a.log"), &more);
    rig.expect("a.log", &all(&[&lines, &more]));
    assert_accounts_close(&rig);
}

#[test]
fn a_repaired_destination_takes_what_waits() {
    let mut rig = Rig::new();
    rig.loki.set(Mood::Answers(503, ""));
    let lines = numbered("n", 0..10);
    append(&rig.path("a.log"), &lines);
    rig.start();
    wait_for("an attempt", || (rig.loki.n_requests() > 0).then_some(()));
    // Another store under the same name of destination.
    rig.loki = FakeLoki::start();
    rig.reconfigure();
    rig.expect("a.log", &lines);
    append(&rig.path("a.log"), &numbered("more", 0..5));
    rig.expect("a.log", &all(&[&lines, &numbered("more", 0..5)]));
}

#[test]
fn headers_and_labels() {
    let mut rig = Rig::new();
    rig.more = "tenant_id = \"t1\"\nexternal_labels = { env = \"dev\", job = \"not this\" }\nheaders = { X-Team = \"a\" }\n"
        .to_owned();
    append(&rig.path("a.log"), &numbered("n", 0..1));
    rig.start();
    rig.lines("a.log", 1);
    let headers = rig.loki.last_headers();
    assert_eq!(headers["x-scope-orgid"], "t1");
    assert_eq!(headers["x-team"], "a");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("cairn-log-shipper/"));
    let stream = rig.loki.streams().remove(0);
    assert!(stream.starts_with("{env=\"dev\", filename=\""), "{stream}");
    assert!(stream.contains("job=\"t\""), "{stream}");
}
