//! Files that are rotated, emptied, replaced and deleted, while the shipper runs and while it does not: nothing is lost,
//! nothing comes twice. The first half are the scenarios in which Promtail and Alloy were measured to lose lines.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use std::fs;
use std::time::{Duration, SystemTime};

use cairn_log_shipper::tail::identity::FileId;
use common::loki::Mood;
use common::{Rig, all, append, append_to, numbered, wait_for};

#[test]
fn replaced_by_a_smaller_file_while_stopped() {
    for keep_inode in [true, false] {
        let mut rig = Rig::new();
        let (old, new, late) = (numbered("old", 0..100), numbered("new", 0..40), numbered("late", 0..10));
        append(&rig.path("a.log"), &old);
        rig.start();
        rig.expect("a.log", &old);
        rig.stop();
        if !keep_inode {
            fs::remove_file(rig.path("a.log")).unwrap();
        }
        fs::write(rig.path("a.log"), "").unwrap();
        append(&rig.path("a.log"), &new);
        rig.start();
        append(&rig.path("a.log"), &late);
        rig.expect("a.log", &all(&[&old, &new, &late]));
    }
}

#[test]
fn replaced_by_a_larger_file_while_stopped() {
    for keep_inode in [true, false] {
        let mut rig = Rig::new();
        let (old, new, late) = (numbered("old", 0..100), numbered("new", 0..300), numbered("late", 0..10));
        append(&rig.path("a.log"), &old);
        rig.start();
        rig.expect("a.log", &old);
        rig.stop();
        if !keep_inode {
            fs::remove_file(rig.path("a.log")).unwrap();
        }
        fs::write(rig.path("a.log"), "").unwrap();
        append(&rig.path("a.log"), &new);
        rig.start();
        append(&rig.path("a.log"), &late);
        rig.expect("a.log", &all(&[&old, &new, &late]));
    }
}

#[test]
fn a_common_beginning_does_not_hide_a_replacement() {
    let mut rig = Rig::new();
    let head = numbered("the same header", 0..30);
    let (old, new) = (all(&[&head, &numbered("old", 0..100)]), all(&[&head, &numbered("new", 0..300)]));
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    rig.stop();
    fs::write(rig.path("a.log"), "").unwrap();
    append(&rig.path("a.log"), &new);
    rig.start();
    rig.expect("a.log", &all(&[&old, &new]));
}

#[test]
fn lines_behind_a_symbolic_link_into_another_folder() {
    let mut rig = Rig::new();
    // The walk of the globs, which finds everything in the end, does not come in this test.
    rig.more = "[target_config]\nsync_period = \"1h\"\n".to_owned();
    let real = rig.dir.path().join("real.log");
    let parts = ["old", "more", "new"].map(|what| numbered(what, 0..10));
    append(&real, &parts[0]);
    std::os::unix::fs::symlink(&real, rig.path("a.log")).unwrap();
    rig.start();
    rig.expect("a.log", &parts[0]);
    append(&real, &parts[1]);
    rig.expect("a.log", &parts[..2].concat());
    fs::rename(&real, rig.dir.path().join("real.log.1")).unwrap();
    append(&real, &parts[2]);
    rig.expect("a.log", &parts.concat());
}

#[test]
fn a_symbolic_link_that_leads_nowhere_for_a_while() {
    let mut rig = Rig::new();
    rig.more = "[target_config]\nsync_period = \"1h\"\n".to_owned();
    let real = rig.dir.path().join("real.log");
    let parts = ["old", "new"].map(|what| numbered(what, 0..10));
    append(&real, &parts[0]);
    std::os::unix::fs::symlink(&real, rig.path("a.log")).unwrap();
    rig.start();
    rig.expect("a.log", &parts[0]);
    fs::rename(&real, rig.dir.path().join("real.log.1")).unwrap();
    // Long enough for the link to be looked at while it leads nowhere, several times.
    std::thread::sleep(Duration::from_secs(2));
    append(&real, &parts[1]);
    rig.expect("a.log", &parts.concat());
}

#[test]
fn more_files_than_may_be_open() {
    let mut rig = Rig::new();
    let n_files = cairn_log_shipper::tail::MAX_OPEN_FILES + 100;
    let names: Vec<String> = (0..n_files).map(|n| format!("{n}.log")).collect();
    for name in &names {
        fs::write(rig.path(name), format!("in {name}\n")).unwrap();
    }
    rig.start();
    wait_for("a line of each", || {
        let sample = "cairn_log_shipper_delivered_lines_total{destination=\"store\"}";
        (rig.metric(sample)? == names.len() as f64).then_some(())
    });
    // One that was closed to make room is opened again for what comes later, also when it is rotated right away.
    for name in &names[..100] {
        append(&rig.path(name), &["late".to_owned()]);
        fs::rename(rig.path(name), rig.path(&format!("{name}.1"))).unwrap();
    }
    for name in &names[..100] {
        rig.expect(name, &[format!("in {name}"), "late".to_owned()]);
    }
}

#[test]
fn emptied_and_outgrown_at_once() {
    let mut rig = Rig::new();
    let (old, new) = (numbered("old", 0..100), numbered("new", 0..300));
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    // One write(2) over the truncated file: the shipper can only see the outcome.
    fs::write(rig.path("a.log"), new.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    rig.expect("a.log", &all(&[&old, &new]));
}

#[test]
fn emptied_and_written_to_later() {
    let mut rig = Rig::new();
    let (old, new) = (numbered("old", 0..100), numbered("new", 0..20));
    let mut writer = append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    writer.set_len(0).unwrap();
    wait_for("the truncation to be seen", || {
        (rig.metric("cairn_log_shipper_file_truncations_total")? == 1.0).then_some(())
    });
    append_to(&mut writer, &new);
    rig.expect("a.log", &all(&[&old, &new]));
}

fn wait_for_truncations(rig: &Rig, n: f64) {
    wait_for("the truncation to be seen", || {
        (rig.metric("cairn_log_shipper_file_truncations_total")? == n).then_some(())
    });
}

#[test]
fn an_unfinished_line_after_emptying_is_sent_and_holds_nothing_back() {
    let mut rig = Rig::new();
    rig.more = "[tail]\npartial_flush = \"300ms\"\n".to_owned();
    let (old, new) = (numbered("old", 0..10), numbered("new", 0..10));
    let unfinished = ["unfinished".to_owned()];
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    fs::write(rig.path("a.log"), "").unwrap();
    wait_for_truncations(&rig, 1.0);
    fs::write(rig.path("a.log"), &unfinished[0]).unwrap();
    rig.expect("a.log", &all(&[&old, &unfinished]));
    wait_for_truncations(&rig, 1.0);
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    append(&rig.path("a.log"), &new);
    rig.expect("a.log", &all(&[&old, &unfinished, &new]));
}

#[test]
fn emptied_then_renamed_while_stopped() {
    let mut rig = Rig::new();
    let parts = ["old", "left", "new"].map(|what| numbered(what, 0..20));
    append(&rig.path("a.log"), &parts[0]);
    rig.start();
    rig.expect("a.log", &parts[0]);
    fs::write(rig.path("a.log"), "").unwrap();
    wait_for_truncations(&rig, 1.0);
    rig.stop();
    append(&rig.path("a.log"), &parts[1]);
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    append(&rig.path("a.log"), &parts[2]);
    rig.start();
    rig.expect("a.log", &parts.concat());
}

#[test]
fn emptied_and_deleted_files_are_closed() {
    let mut rig = Rig::new();
    rig.more = "[tail]\nrotate_wait = \"300ms\"\n".to_owned();
    let old = numbered("old", 0..10);
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    fs::write(rig.path("a.log"), "").unwrap();
    wait_for_truncations(&rig, 1.0);
    fs::remove_file(rig.path("a.log")).unwrap();
    wait_for("no open file", || (rig.metric("cairn_log_shipper_files_active")? == 0.0).then_some(()));
}

#[test]
fn emptied_and_rewritten_then_renamed_while_stopped() {
    // The new content has the same size in the second round: only the bytes tell.
    for n_new in [5, 20] {
        let mut rig = Rig::new();
        let (old, new, next) = (numbered("old", 0..20), numbered("new", 0..n_new), numbered("next", 0..3));
        append(&rig.path("a.log"), &old);
        rig.start();
        rig.expect("a.log", &old);
        rig.stop();
        fs::write(rig.path("a.log"), "").unwrap();
        let rewritten = append(&rig.path("a.log"), &new);
        // Not by a late writer: it would be looked at for that alone.
        rewritten.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
        append(&rig.path("a.log"), &next);
        rig.start();
        rig.expect("a.log", &all(&[&old, &new, &next]));
    }
}

#[test]
fn emptied_while_the_store_hangs_then_killed_and_renamed() {
    let mut rig = Rig::new();
    let (old, new, next) = (numbered("old", 0..20), numbered("new", 0..5), numbered("next", 0..3));
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    rig.wait_saved("a.log");
    rig.loki.set(Mood::Hangs);
    let text: String = new.iter().map(|line| format!("{line}\n")).collect();
    fs::write(rig.path("a.log"), text).unwrap();
    wait_for_truncations(&rig, 1.0);
    // A new file has the positions written: the new beginning of a.log, with the old place in it.
    fs::write(rig.path("b.log"), "").unwrap();
    let b = FileId::of(&fs::metadata(rig.path("b.log")).unwrap());
    wait_for("the positions on disk", || rig.saved_offset(&b));
    rig.kill();
    let rewritten = fs::File::options().append(true).open(rig.path("a.log")).unwrap();
    rewritten.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    append(&rig.path("a.log"), &next);
    rig.loki.set(Mood::Takes);
    rig.start();
    rig.expect("a.log", &all(&[&old, &new, &next]));
}

#[test]
fn two_rotations_before_the_shipper_can_look() {
    for _ in 0..8 {
        let mut rig = Rig::new();
        let parts = ["first", "middle", "last"].map(|what| numbered(what, 0..50));
        append(&rig.path("a.log"), &parts[0][..10]);
        rig.start();
        rig.expect("a.log", &parts[0][..10]);
        append(&rig.path("a.log"), &parts[0][10..]);
        fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
        append(&rig.path("a.log"), &parts[1]);
        fs::rename(rig.path("a.log.1"), rig.path("a.log.2")).unwrap();
        fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
        append(&rig.path("a.log"), &parts[2]);
        rig.expect("a.log", &parts.concat());
    }
}

#[test]
fn a_late_writer_keeps_the_old_file() {
    let mut rig = Rig::new();
    let (old, late, new) = (numbered("old", 0..50), numbered("late", 0..50), numbered("new", 0..10));
    let mut writer = append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    fs::rename(rig.path("a.log"), rig.path("elsewhere")).unwrap();
    append(&rig.path("a.log"), &new);
    rig.expect("a.log", &all(&[&old, &new]));
    append_to(&mut writer, &late);
    rig.expect("a.log", &all(&[&old, &new, &late]));
}

#[test]
fn rotated_while_stopped_with_lines_left() {
    let mut rig = Rig::new();
    let (old, left, new) = (numbered("old", 0..100), numbered("left", 0..50), numbered("new", 0..20));
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    rig.stop();
    append(&rig.path("a.log"), &left);
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    append(&rig.path("a.log"), &new);
    rig.start();
    rig.expect("a.log", &all(&[&old, &left, &new]));
}

#[test]
fn rotated_twice_while_stopped() {
    let mut rig = Rig::new();
    let (old, left, new) = (numbered("old", 0..100), numbered("left", 0..50), numbered("new", 0..20));
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    rig.stop();
    append(&rig.path("a.log"), &left);
    // The name is free, and nothing has it at the start.
    fs::rename(rig.path("a.log"), rig.path("a.log.2026-11-21")).unwrap();
    rig.start();
    rig.expect("a.log", &all(&[&old, &left]));
    append(&rig.path("a.log"), &new);
    rig.expect("a.log", &all(&[&old, &left, &new]));
}

#[test]
fn a_rotated_name_that_matches_the_glob_is_not_shipped_again() {
    let mut rig = Rig::new();
    rig.glob = "a.log*".to_owned();
    let (old, new) = (numbered("old", 0..100), numbered("new", 0..20));
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    append(&rig.path("a.log"), &new);
    rig.expect("a.log", &all(&[&old, &new]));
    rig.stop();
    rig.start();
    append(&rig.path("a.log"), &numbered("more", 0..5));
    rig.expect("a.log", &all(&[&old, &new, &numbered("more", 0..5)]));
    assert_eq!(rig.loki.streams().len(), 1, "{:?}", rig.loki.streams());
}

#[test]
fn deleted_with_lines_left() {
    let mut rig = Rig::new();
    let (old, left, new) = (numbered("old", 0..100), numbered("left", 0..50), numbered("new", 0..20));
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    append(&rig.path("a.log"), &left);
    fs::remove_file(rig.path("a.log")).unwrap();
    append(&rig.path("a.log"), &new);
    rig.expect("a.log", &all(&[&old, &left, &new]));
}

#[test]
fn rotated_files_are_closed_in_the_end() {
    let mut rig = Rig::new();
    rig.more = "[tail]\nrotate_wait = \"300ms\"\n".to_owned();
    let old = numbered("old", 0..10);
    append(&rig.path("a.log"), &old);
    rig.start();
    rig.expect("a.log", &old);
    fs::rename(rig.path("a.log"), rig.path("a.1")).unwrap();
    append(&rig.path("a.log"), &old);
    wait_for("two open files, then one", || {
        (rig.metric("cairn_log_shipper_files_active")? == 2.0).then_some(())
    });
    wait_for("one open file", || (rig.metric("cairn_log_shipper_files_active")? == 1.0).then_some(()));
    rig.expect("a.log", &all(&[&old, &old]));
}

#[test]
fn a_folder_that_comes_later() {
    let mut rig = Rig::new();
    rig.glob = "later/**/*.log".to_owned();
    rig.start();
    fs::create_dir_all(rig.path("later/x/y")).unwrap();
    let lines = numbered("deep", 0..10);
    append(&rig.path("later/x/y/a.log"), &lines);
    rig.expect("later/x/y/a.log", &lines);
}

#[test]
fn a_folder_that_is_deleted_and_made_anew() {
    let mut rig = Rig::new();
    // The walk of the globs, which finds everything in the end, does not come in this test.
    rig.more = "[target_config]\nsync_period = \"1h\"\n".to_owned();
    let parts = ["old", "new", "newer"].map(|what| numbered(what, 0..10));
    append(&rig.path("a.log"), &parts[0]);
    rig.start();
    rig.expect("a.log", &parts[0]);
    for n in 1..=2 {
        fs::remove_dir_all(rig.path("")).unwrap();
        fs::create_dir(rig.path("")).unwrap();
        append(&rig.path("a.log"), &parts[n]);
        rig.expect("a.log", &parts[..=n].concat());
    }
}
