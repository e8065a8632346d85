//! Single operations of the disk fail, and the database goes on: nothing acknowledged is lost by it, nothing deleted comes
//! back, no answer changes.

use std::path::Path;

use cairn_disk::{Fs, TwinFs, TwinOp};
use cairn_model::{Matcher, TimeMs};
use cairn_tsdb::{Db, Options};

use crate::{BLOCK_MS, Content, NOW, append, everything, labels, n_samples, open, options};

/// So long a failure lasts that does not go away.
const FOR_EVER: u64 = u64::MAX;

fn fill(db: &Db, from_ms: i64, to_ms: i64) {
    for time in (from_ms..to_ms).step_by(100) {
        for instance in 0..3 {
            append(db, &labels("m", instance), time, 1.0);
        }
    }
    db.sync().unwrap();
}

fn delete(db: &Db, instance: u8, from_ms: i64, to_ms: i64) -> bool {
    let matchers = vec![Matcher::equal("instance", format!("host-{instance}"))];
    db.delete(&[matchers], TimeMs(from_ms), TimeMs(to_ms), NOW).is_ok()
}

fn block_names(fs: &TwinFs) -> Vec<String> {
    fs.list(Path::new("/data/blocks")).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// What happened until the end, or until something failed where it was to stop.
#[derive(Default)]
struct Told {
    stored: Content,
    durable: Content,
    /// What a deletion that failed may have hidden or not.
    doubtful: Content,
    n_failed: usize,
}

impl Told {
    fn forget(&mut self, instance: u8, from_ms: i64, to_ms: i64, is_done: bool) {
        for (content, is_kept) in [(&mut self.stored, false), (&mut self.durable, true)] {
            let Some(samples) = content.get_mut(&labels("m", instance)) else { continue };
            let gone: Vec<(i64, u64)> = samples.range(from_ms..=to_ms).map(|(&t, &v)| (t, v)).collect();
            for (time, bits) in gone {
                // One that may be there again later is as good as not durable.
                if is_done || is_kept {
                    samples.remove(&time);
                }
                if !is_done {
                    self.doubtful.entry(labels("m", instance)).or_default().insert(time, bits);
                }
            }
        }
    }

    fn synced(&mut self) {
        self.durable = self.stored.clone();
        for (labels, doubtful) in &self.doubtful {
            if let Some(samples) = self.durable.get_mut(labels) {
                samples.retain(|time, _| !doubtful.contains_key(time));
            }
        }
    }

    fn check(&self, found: &Content, context: &str) {
        for (small, large, what) in [(&self.durable, found, "lost"), (found, &self.stored, "not to be seen")]
        {
            for (labels, samples) in small {
                for (time, bits) in samples {
                    let there = large.get(labels).and_then(|samples| samples.get(time));
                    assert_eq!(there, Some(bits), "{context}: {what}: {labels} at {time}");
                }
            }
        }
    }
}

/// Samples of several windows between two flushes, deletions, merging; what fails is tried again with the next step.
fn scenario(db: &Db, stops: bool) -> Told {
    let mut told = Told::default();
    for step in 0..40 {
        let mut failed = 0;
        for instance in 0..3 {
            let series = labels("m", instance);
            let time = step * 300 + i64::from(instance);
            let Ok(resolved) = db.series_ref(&series) else {
                failed += 1;
                continue;
            };
            let sample = cairn_tsdb::Sample { series: resolved, time_ms: time, value: 1.5, start_ms: 0 };
            match db.append(&[sample], NOW) {
                Ok(outcomes) => {
                    assert!(outcomes[0].is_kept(), "{outcomes:?}");
                    told.stored.entry(series).or_default().insert(time, 1.5f64.to_bits());
                }
                Err(_) => failed += 1,
            }
        }
        match step % 2 == 0 && db.sync().is_ok() {
            true => told.synced(),
            false => failed += usize::from(step % 2 == 0),
        }
        if step % 8 == 5 {
            let (instance, from_ms) = (u8::try_from(step / 8 % 3).unwrap(), step * 300 - 1800);
            let is_done = delete(db, instance, from_ms, from_ms + 700);
            told.forget(instance, from_ms, from_ms + 700, is_done);
            failed += usize::from(!is_done);
        }
        if step % 8 == 7 {
            failed += usize::from(db.maintain(NOW).is_err());
        }
        if step == 30 {
            failed += usize::from(db.clean_tombstones(NOW).is_err());
        }
        told.n_failed += failed;
        if stops && failed > 0 {
            break;
        }
    }
    told
}

fn with_levels(fs: &TwinFs) -> Options {
    Options { retention_ms: Some(200 * BLOCK_MS), ..options(fs) }
}

/// Each operation of a kind fails in turn, once or from then on for some; power goes at once, or at the end.
fn each_fails(op: TwinOp) {
    let fs = TwinFs::new();
    let (db, _) = Db::open(with_levels(&fs), &|_| {}).unwrap();
    let before = fs.n_ops(op);
    let told = scenario(&db, false);
    let n_ops = fs.n_ops(op) - before;
    assert!(told.n_failed == 0 && told.doubtful.is_empty());
    assert_eq!(everything(&db), told.stored);
    for nth in 1..=n_ops {
        for variant in 0..8u64 {
            let (stops, is_torn, n) = (variant & 1 > 0, variant & 2 > 0, if variant & 4 > 0 { 7 } else { 1 });
            let context = format!("{op:?} {nth} of {n_ops}, {n} of them, stops: {stops}, torn: {is_torn}");
            let fs = TwinFs::new();
            let (db, _) = Db::open(with_levels(&fs), &|_| {}).unwrap();
            fs.fail(op, nth, n);
            let told = scenario(&db, stops);
            told.check(&everything(&db), &context);
            drop(db);
            match is_torn {
                true => fs.crash_torn(nth),
                false => fs.crash(),
            }
            let (db, report) = Db::open(with_levels(&fs), &|_| {}).unwrap();
            assert!(report.damage.is_empty(), "{context}: {:?}", report.damage);
            let found = everything(&db);
            told.check(&found, &context);
            append(&db, &labels("later", 1), 100 * BLOCK_MS, 1.0);
            db.sync().unwrap();
            db.maintain(NOW).unwrap();
            assert_eq!(everything(&db).len(), found.len() + 1, "{context}");
        }
    }
}

#[test]
fn each_sync_of_a_directory_fails() {
    each_fails(TwinOp::SyncDir);
}

#[test]
fn each_renaming_fails() {
    each_fails(TwinOp::Rename);
}

#[test]
fn each_removal_fails() {
    each_fails(TwinOp::Remove);
}

#[test]
fn each_opening_fails() {
    each_fails(TwinOp::Open);
}

#[test]
fn each_creation_fails() {
    each_fails(TwinOp::Create);
}

/// The last block of a flush says that the log before it is not needed. It gets its name, and then something fails.
#[test]
fn the_last_block_of_a_flush_fails_after_its_renaming() {
    for op in [TwinOp::SyncDir, TwinOp::Open] {
        for nth in 1..20 {
            let fs = TwinFs::new();
            let (db, _) = open(&fs);
            fill(&db, 0, 4 * BLOCK_MS);
            let then = everything(&db);
            fs.fail(op, nth, 1);
            let flushed = db.flush(NOW);
            fs.heal();
            drop(db);
            // The process is killed; the kernel goes on.
            let (db, _) = open(&fs);
            assert_eq!(everything(&db), then, "{op:?} {nth}: {flushed:?}");
        }
    }
}

/// As before, and what was written cannot be removed either.
#[test]
fn nothing_is_written_beside_blocks_of_a_flush_that_cannot_be_removed() {
    for is_crash in [false, true] {
        let fs = TwinFs::new();
        let (db, _) = open(&fs);
        fill(&db, 0, 4 * BLOCK_MS);
        // Each of four blocks renames its description, then itself, and makes each durable.
        fs.fail(TwinOp::SyncDir, 8, 1);
        fs.fail(TwinOp::Rename, 9, FOR_EVER);
        db.flush(NOW).unwrap_err();
        assert!(db.blocks().is_empty());
        let error = db.flush(NOW).unwrap_err().to_string();
        assert!(error.contains("no longer used"), "{error}");
        assert!(!delete(&db, 1, 0, 500), "it would not cover what a restart may find");
        append(&db, &labels("m", 0), 4 * BLOCK_MS, 1.0);
        db.sync().unwrap();
        let then = everything(&db);
        assert_eq!(n_samples(&then), 121, "reading and appending go on");
        fs.heal();
        drop(db);
        if is_crash {
            fs.crash();
        }
        assert_eq!(everything(&open(&fs).0), then);
    }
}

/// The next process relies on a block of which nobody knows whether its name is durable, and drops the log before it.
#[test]
fn a_block_that_a_killed_process_left_is_durable_before_its_log_goes() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    fill(&db, 0, BLOCK_MS);
    let then = everything(&db);
    fs.fail(TwinOp::SyncDir, 2, 2);
    fs.fail(TwinOp::Rename, 3, FOR_EVER);
    db.flush(NOW).unwrap_err();
    fs.heal();
    drop(db);
    let (db, _) = open(&fs);
    assert_eq!(db.blocks().len(), 1);
    db.flush(NOW).unwrap();
    fs.crash();
    assert_eq!(everything(&open(&fs).0), then);
}

#[test]
fn what_could_not_be_removed_goes_with_the_next_round() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    fill(&db, 0, 4 * BLOCK_MS);
    fs.fail(TwinOp::SyncDir, 8, 3);
    db.flush(NOW).unwrap_err();
    fs.heal();
    assert!(delete(&db, 1, 0, 500));
    let then = everything(&db);
    assert_eq!(n_samples(&then), 120 - 6);
    assert_eq!(block_names(&fs).len(), db.blocks().len(), "nothing is left that is not served");
    fs.crash();
    assert_eq!(everything(&open(&fs).0), then);
}

/// A block that was merged from others fails after its renaming; what is deleted from those stays deleted.
#[test]
fn a_merged_block_that_is_not_served_undoes_no_deletion() {
    for (op, last) in [(TwinOp::SyncDir, 12), (TwinOp::Open, 12)] {
        for nth in 1..last {
            let fs = TwinFs::new();
            let (db, _) = open(&fs);
            fill(&db, 0, 8 * BLOCK_MS);
            db.flush(NOW).unwrap();
            fs.fail(op, nth, 1);
            let merged = db.maintain(NOW);
            fs.heal();
            assert!(delete(&db, 1, 0, 1500));
            let then = everything(&db);
            drop(db);
            let (db, _) = open(&fs);
            assert_eq!(everything(&db), then, "{op:?} {nth}: {merged:?}");
        }
    }
}

/// A parent that could not be removed is not brought back when its child is merged into the next one.
#[test]
fn a_parent_that_stays_does_not_come_back_for_its_grandchild() {
    let fs = TwinFs::new();
    let (db, _) = Db::open(with_levels(&fs), &|_| {}).unwrap();
    fill(&db, 0, 5 * BLOCK_MS);
    db.flush(NOW).unwrap();
    // Every renaming but that of the merged block itself and its description.
    fs.fail(TwinOp::Rename, 3, 1);
    let _ = db.maintain(NOW);
    fs.heal();
    delete(&db, 1, 0, 1500);
    db.clean_tombstones(NOW).unwrap();
    fill(&db, 5 * BLOCK_MS, 40 * BLOCK_MS);
    db.flush(NOW).unwrap();
    db.maintain(NOW).unwrap();
    let then = everything(&db);
    assert_eq!(n_samples(&then), 1200 - 16);
    drop(db);
    assert_eq!(everything(&Db::open(with_levels(&fs), &|_| {}).unwrap().0), then);
    assert_eq!(block_names(&fs).iter().filter(|name| name.ends_with(".damaged")).count(), 0);
}

/// A deletion that could not be made durable, and that the next process finds nothing left to do for.
#[test]
fn a_deletion_that_is_repeated_after_a_kill_is_durable() {
    for nth in 1..20 {
        let fs = TwinFs::new();
        let (db, _) = open(&fs);
        fill(&db, 0, BLOCK_MS);
        db.flush(NOW).unwrap();
        fs.fail(TwinOp::SyncDir, nth, 1);
        let is_done = delete(&db, 1, 0, 500);
        fs.heal();
        drop(db);
        let (db, _) = open(&fs);
        assert!(delete(&db, 1, 0, 500));
        fs.crash();
        assert_eq!(n_samples(&everything(&open(&fs).0)), 30 - 6, "{nth}: {is_done}");
    }
}

/// Builds before this one went on beside a parent that they could not remove.
#[test]
fn a_parent_whose_child_was_merged_again_is_known_by_its_grandchild() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    fill(&db, 0, 4 * BLOCK_MS);
    db.flush(NOW).unwrap();
    let kept = db.blocks()[0].id.to_string();
    copy_block(&fs, &format!("/data/blocks/{kept}"), "/kept");
    for round in 0..2 {
        assert!(delete(&db, 1, round * 300, round * 300 + 100));
        db.clean_tombstones(NOW).unwrap();
    }
    fill(&db, 4 * BLOCK_MS, 9 * BLOCK_MS);
    db.flush(NOW).unwrap();
    db.maintain(NOW).unwrap();
    let then = everything(&db);
    drop(db);
    copy_block(&fs, "/kept", &format!("/data/blocks/{kept}"));
    let (db, _) = open(&fs);
    assert_eq!(everything(&db), then);
    assert!(!block_names(&fs).contains(&kept));
}

fn copy_block(fs: &TwinFs, from: &str, to: &str) {
    fs.create_dir_all(Path::new(to)).unwrap();
    for file in ["chunks", "index", "meta"] {
        fs.hard_link(&Path::new(from).join(file), &Path::new(to).join(file)).unwrap();
    }
}

/// Blocks that retention cannot remove do not keep the others from going, and go as soon as they can.
#[test]
fn retention_tries_every_block() {
    let fs = TwinFs::new();
    let limited = |fs: &TwinFs| Options { retention_ms: Some(2 * BLOCK_MS), ..options(fs) };
    let (db, _) = open(&fs);
    fill(&db, 0, 8 * BLOCK_MS);
    db.flush(NOW).unwrap();
    drop(db);
    let (db, _) = Db::open(limited(&fs), &|_| {}).unwrap();
    assert_eq!(db.blocks().len(), 8);
    fs.fail(TwinOp::Rename, 1, 1);
    db.maintain(NOW).unwrap_err();
    fs.heal();
    assert!(block_names(&fs).len() <= db.blocks().len() + 1, "{:?}", block_names(&fs));
    db.maintain(NOW).unwrap();
    assert_eq!(block_names(&fs).len(), db.blocks().len());
    // As well where the name goes and a file stays.
    let before = everything(&db);
    fill(&db, 8 * BLOCK_MS, 12 * BLOCK_MS);
    db.flush(NOW).unwrap();
    fs.fail(TwinOp::Remove, 1, 2);
    db.maintain(NOW).unwrap_err();
    db.maintain(NOW).unwrap();
    assert_eq!(block_names(&fs).len(), db.blocks().len(), "{:?}", block_names(&fs));
    assert_eq!(n_samples(&everything(&db)), n_samples(&before));
}
