//! Stages that see entries: labels line by line, and held lines with their receipts.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use std::fs::OpenOptions;
use std::io::Write;

use cairn_log_shipper::tail::identity::FileId;
use common::{Rig, wait_for};

/// Blocks begin with a digit and end, in these tests, with the next one or by being due.
const MULTILINE: &str = "[{ multiline = { firstline = '^[0-9]', max_wait_time = \"1h\" } }]";

fn write(rig: &Rig, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(rig.path("a.log")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn texts(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn assert_accounts_close(rig: &Rig) {
    let get = |name: &str| rig.metric(&format!("cairn_log_shipper_{name}")).unwrap_or(0.0);
    let out = [
        "delivered_lines_total{destination=\"store\"}",
        "buffered_lines{destination=\"store\"}",
        "dropped_lines_total{destination=\"queue\",reason=\"drop_stage\"}",
        "held_lines",
        "joined_lines_total",
        "reread_lines_total",
    ];
    wait_for("the accounts to close", || {
        let sum: f64 = out.iter().map(|name| get(name)).sum();
        (sum.to_bits() == get("read_lines_total").to_bits()).then_some(())
    });
}

#[test]
fn lines_of_one_file_become_streams_by_what_they_say() {
    let mut rig = Rig::new();
    rig.stages = "[
        { regex = { expression = '^(?P<level>[A-Z]+) (?P<text>.*)$' } },
        { labels = { level = \"\" } },
        { output = { source = \"text\" } },
        { drop = { expression = 'health' } },
    ]"
    .to_owned();
    write(&rig, "INFO one\nWARN two\nINFO GET /health\nplain\nINFO three\n");
    rig.start();
    rig.expect("a.log", &texts(&["one", "two", "plain", "three"]));
    let with = |part: &str| rig.loki.streams().iter().filter(|stream| stream.contains(part)).count();
    assert_eq!((with("level=\"INFO\""), with("level=\"WARN\""), with("job=\"t\"")), (1, 1, 3));
    rig.wait_saved("a.log");
    assert_accounts_close(&rig);
}

#[test]
fn a_position_stays_before_what_a_stage_holds() {
    let mut rig = Rig::new();
    rig.stages = MULTILINE.to_owned();
    write(&rig, "before\n1 error\n  at a\n2 error\n  at b\n");
    rig.start();
    rig.expect("a.log", &texts(&["before", "1 error\n  at a"]));
    let id = FileId::of(&std::fs::metadata(rig.path("a.log")).unwrap());
    let held_from = "before\n1 error\n  at a\n".len() as u64;
    wait_for("the position", || (rig.saved_offset(&id)? == held_from).then_some(()));
    assert_eq!(rig.metric("cairn_log_shipper_held_lines"), Some(2.0));
    assert_accounts_close(&rig);
    // Neither a kill nor an orderly stop loses the block or repeats what was delivered before it.
    rig.kill();
    rig.start();
    write(&rig, "  at c\n");
    wait_for("the line", || (rig.metric("cairn_log_shipper_held_lines") == Some(3.0)).then_some(()));
    rig.stop();
    write(&rig, "  at d\n3 ok\n");
    rig.start();
    rig.expect("a.log", &texts(&["before", "1 error\n  at a", "2 error\n  at b\n  at c\n  at d"]));
}

#[test]
fn a_reload_reads_held_lines_again_with_the_new_stages() {
    let mut rig = Rig::new();
    rig.stages = MULTILINE.to_owned();
    write(&rig, "1 error\n  at a\n");
    rig.start();
    wait_for("the block", || (rig.metric("cairn_log_shipper_held_lines") == Some(2.0)).then_some(()));
    rig.stages = "[]".to_owned();
    rig.reconfigure();
    rig.expect("a.log", &texts(&["1 error", "  at a"]));
    rig.wait_saved("a.log");
    assert_eq!(rig.metric("cairn_log_shipper_held_lines"), Some(0.0));
    assert_eq!(rig.metric("cairn_log_shipper_reread_lines_total"), Some(2.0));
    assert_accounts_close(&rig);
}

#[test]
fn what_is_held_of_a_rotated_or_emptied_file_is_sent() {
    let mut rig = Rig::new();
    rig.more = "[tail]\nrotate_wait = \"300ms\"\n".to_owned();
    rig.stages = MULTILINE.to_owned();
    write(&rig, "1 error\n  at a\n");
    rig.start();
    wait_for("the block", || (rig.metric("cairn_log_shipper_held_lines") == Some(2.0)).then_some(()));
    std::fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    rig.expect("a.log", &texts(&["1 error\n  at a"]));
    write(&rig, "2 error, which is longer\n  at b\n");
    wait_for("the block", || (rig.metric("cairn_log_shipper_held_lines") == Some(2.0)).then_some(()));
    // `copytruncate`; what comes is no part of the block.
    std::fs::write(rig.path("a.log"), "  x\n").unwrap();
    rig.expect("a.log", &texts(&["1 error\n  at a", "2 error, which is longer\n  at b"]));
    assert_accounts_close(&rig);
}

#[test]
fn a_block_is_sent_when_nothing_more_comes() {
    let mut rig = Rig::new();
    rig.stages = "[{ multiline = { firstline = '^[0-9]', max_wait_time = \"300ms\" } }]".to_owned();
    write(&rig, "1 error\n  at a\n");
    rig.start();
    rig.expect("a.log", &texts(&["1 error\n  at a"]));
    rig.wait_saved("a.log");
    assert_accounts_close(&rig);
}
