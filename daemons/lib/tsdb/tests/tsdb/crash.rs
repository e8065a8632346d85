//! Power goes at every single change to the disk, one after the other, through cutting, checkpoint and merging.

use cairn_disk::TwinFs;
use cairn_tsdb::{Db, Options};

use crate::{BLOCK_MS, Content, NOW, append, everything, labels, open, options};

/// Fourteen blocks of samples with maintenance in between, until something fails. Answers what was stored, and what of
/// that a sync covered.
fn scenario(db: &Db) -> (Content, Content) {
    let (mut stored, mut durable) = (Content::new(), Content::new());
    for step in 0..70 {
        let time = step * 200;
        for instance in 0..3 {
            let series = labels("m", instance);
            // One series stops half way and comes back: it leaves the head in between.
            if instance == 2 && (20..50).contains(&step) {
                continue;
            }
            let Ok(resolved) = db.series_ref(&series) else { return (stored, durable) };
            let sample = cairn_tsdb::Sample { series: resolved, time_ms: time, value: 1.5, start_ms: 0 };
            match db.append(&[sample], NOW) {
                Ok(outcomes) => assert!(outcomes[0].is_kept(), "{outcomes:?}"),
                Err(_) => return (stored, durable),
            }
            stored.entry(series).or_default().insert(time, 1.5f64.to_bits());
        }
        if step % 2 == 0 {
            if db.sync().is_err() {
                return (stored, durable);
            }
            durable = stored.clone();
        }
        if step % 8 == 7 && db.maintain(NOW).is_err() {
            return (stored, durable);
        }
    }
    (stored, durable)
}

fn check(fs: &TwinFs, stored: &Content, durable: &Content, context: &str) {
    let (db, report) = Db::open(with_levels(fs), &|_| {}).unwrap();
    assert!(report.damage.is_empty(), "{context}: {:?}", report.damage);
    let found = everything(&db);
    for (small, large, what) in [(durable, &found, "lost"), (&found, stored, "never stored")] {
        for (labels, samples) in small {
            for (time, bits) in samples {
                let there = large.get(labels).and_then(|samples| samples.get(time));
                assert_eq!(there, Some(bits), "{context}: {what}: {labels} at {time}");
            }
        }
    }
    // And it goes on.
    append(&db, &labels("later", 1), 100 * BLOCK_MS, 1.0);
    db.sync().unwrap();
    db.maintain(NOW).unwrap();
    assert_eq!(everything(&db).len(), found.len() + 1, "{context}");
}

/// A retention that allows blocks of four seconds, so that merging is part of it.
fn with_levels(fs: &TwinFs) -> Options {
    Options { retention_ms: Some(200 * BLOCK_MS), ..options(fs) }
}

#[test]
fn power_off_at_every_change() {
    let fs = TwinFs::new();
    let (db, _) = Db::open(with_levels(&fs), &|_| {}).unwrap();
    let before = fs.changes();
    let (stored, _) = scenario(&db);
    let n_changes = fs.changes() - before;
    let counters = db.counters();
    assert!(counters.blocks_cut > 8 && counters.compactions > 1, "{counters:?}");
    assert_eq!(everything(&db), stored);
    drop(db);
    for nth in 1..=n_changes {
        for torn in [false, true] {
            let fs = TwinFs::new();
            let (db, _) = Db::open(with_levels(&fs), &|_| {}).unwrap();
            fs.power_off_at(nth);
            let (stored, durable) = scenario(&db);
            drop(db);
            if torn {
                fs.crash_torn(nth)
            } else {
                fs.crash()
            }
            check(&fs, &stored, &durable, &format!("change {nth} of {n_changes}, torn: {torn}"));
        }
    }
}

#[test]
fn a_kill_loses_nothing_that_was_appended() {
    // The process dies, the kernel and its page cache live on: nothing was synced, everything is there.
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    let (stored, _) = scenario(&db);
    std::mem::forget(db);
    let (db, report) = open(&fs);
    assert_eq!(everything(&db), stored);
    assert_eq!(report.torn_bytes, 0);
}
