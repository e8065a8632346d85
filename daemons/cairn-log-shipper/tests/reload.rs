//! What a new configuration does to files that are being read, and what becomes of positions of files that are not.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use std::fs;

use cairn_log_shipper::tail::identity::FileId;
use common::loki::Mood;
use common::{Rig, all, append, numbered, wait_for};

/// One more scrape job for the same files; it comes before the job of the rig, which is called "t".
fn job_before(rig: &Rig, name: &str) -> String {
    format!(
        "[[scrape_configs]]\njob_name = \"{name}\"\n[[scrape_configs.static_configs]]\nlabels = {{ __path__ = \"{}\" }}\n",
        rig.path(&rig.glob).display()
    )
}

/// Waits for as many lines of a job, and answers with all of them.
fn lines_of_job(rig: &Rig, job: &str, n: usize) -> Vec<String> {
    wait_for(&format!("{n} lines of job {job}"), || {
        let entries = rig.loki.entries_with("job", job);
        (entries.len() >= n).then(|| entries.into_iter().map(|(_, line)| line).collect())
    })
}

#[test]
fn a_job_that_comes_first_does_not_take_the_positions_of_the_others() {
    let mut rig = Rig::new();
    let parts = ["one", "two", "three"].map(|what| numbered(what, 0..50));
    append(&rig.path("a.log"), &parts[0]);
    rig.start();
    rig.expect("a.log", &parts[0]);
    rig.more = job_before(&rig, "new");
    rig.reconfigure();
    assert_eq!(lines_of_job(&rig, "new", 50), parts[0]);
    append(&rig.path("a.log"), &parts[1]);
    assert_eq!(lines_of_job(&rig, "new", 100), parts[..2].concat());
    assert_eq!(lines_of_job(&rig, "t", 100), parts[..2].concat());
    rig.more.clear();
    rig.reconfigure();
    append(&rig.path("a.log"), &parts[2]);
    assert_eq!(lines_of_job(&rig, "t", 150), parts.concat());
    rig.stop();
    assert_eq!(lines_of_job(&rig, "new", 100).len(), 100);
}

#[test]
fn a_job_more_leaves_a_deleted_file_open_for_those_who_read_it() {
    let mut rig = Rig::new();
    rig.more = "[queue]\nbytes = \"1MiB\"\n".to_owned();
    let (lines, next) = (numbered("n", 0..100_000), numbered("next", 0..10));
    append(&rig.path("a.log"), &lines);
    rig.loki.set(Mood::Hangs);
    rig.start();
    wait_for("the queue to fill", || (rig.queue_bytes() >= 1 << 20).then_some(()));
    fs::remove_file(rig.path("a.log")).unwrap();
    append(&rig.path("a.log"), &next);
    wait_for("the next file", || (rig.metric("cairn_log_shipper_files_active")? == 2.0).then_some(()));
    rig.more = format!("{}{}", rig.more, job_before(&rig, "new"));
    rig.reconfigure();
    rig.loki.set(Mood::Takes);
    assert_eq!(lines_of_job(&rig, "new", 10), next);
    let got = lines_of_job(&rig, "t", lines.len() + next.len());
    assert!(got == all(&[&lines, &next]), "{} lines", got.len());
}

#[test]
fn positions_of_files_that_are_there_are_kept() {
    let mut rig = Rig::new();
    rig.glob = "a.log*".to_owned();
    rig.more =
        "[tail]\nrotate_wait = \"300ms\"\npositions_ttl = \"3s\"\n[target_config]\nsync_period = \"300ms\"\n"
            .to_owned();
    let (old, new) = (numbered("old", 0..10), numbered("new", 0..10));
    let is_open = |rig: &Rig, n: f64| {
        wait_for("files to be closed", || (rig.metric("cairn_log_shipper_files_active")? == n).then_some(()));
    };
    append(&rig.path("a.log"), &old);
    append(&rig.path("a.log-gone"), &old);
    rig.start();
    rig.expect("a.log", &old);
    rig.expect("a.log-gone", &old);
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    let rotated = FileId::of(&fs::metadata(rig.path("a.log.1")).unwrap());
    is_open(&rig, 1.0);
    let gone = FileId::of(&fs::metadata(rig.path("a.log-gone")).unwrap());
    fs::remove_file(rig.path("a.log-gone")).unwrap();
    is_open(&rig, 0.0);
    let is_known = |rig: &Rig, id| rig.positions().entries().iter().any(|entry| entry.about().file == id);
    wait_for("the file that is gone to be forgotten", || {
        rig.positions().touch();
        (!is_known(&rig, gone)).then_some(())
    });
    assert!(is_known(&rig, rotated));
    append(&rig.path("a.log"), &new);
    rig.expect("a.log", &all(&[&old, &new]));
    assert!(rig.loki.lines(&rig.path("a.log.1").display().to_string()).is_empty());
}
