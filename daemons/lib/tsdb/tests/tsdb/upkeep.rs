//! Cutting, merging, retention, checkpoints: what lies on the disk afterwards.

use std::path::Path;

use cairn_disk::{Fs, TwinFs};
use cairn_tsdb::{Db, Options, Outcome};

use crate::{BLOCK_MS, NOW, append, everything, labels, n_samples, open, options};

fn fill(db: &Db, from_ms: i64, to_ms: i64) {
    for time in (from_ms..to_ms).step_by(100) {
        for instance in 0..3 {
            assert_eq!(append(db, &labels("m", instance), time, 1.0), Outcome::Stored);
        }
    }
    db.sync().unwrap();
}

#[test]
fn the_head_stays_short_and_the_log_is_dropped() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    for block in 0..10 {
        fill(&db, block * BLOCK_MS, (block + 1) * BLOCK_MS);
        db.maintain(NOW).unwrap();
        let stats = db.head_stats(10);
        let oldest = stats.min_time_ms.unwrap_or(i64::MAX).min(stats.max_time_ms.unwrap());
        assert!(stats.max_time_ms.unwrap() - oldest <= BLOCK_MS * 3 / 2, "head from {oldest}");
        assert!(db.counters().wal_bytes < 8000, "{}", db.counters().wal_bytes);
    }
    let blocks = db.blocks();
    assert_eq!(blocks.first().unwrap().min_time_ms, 0);
    for pair in blocks.windows(2) {
        assert!(pair[0].max_time_ms <= pair[1].min_time_ms, "blocks do not overlap");
    }
    let checkpoints = fs.list(Path::new("/data")).unwrap();
    assert_eq!(checkpoints.iter().filter(|entry| entry.name.starts_with("checkpoint-")).count(), 1);
    assert_eq!(n_samples(&everything(&db)), 300);
}

#[test]
fn neighbours_are_merged_at_once_and_never_past_the_head() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    fill(&db, 0, 20 * BLOCK_MS);
    db.maintain(NOW).unwrap();
    let spans: Vec<_> =
        db.blocks().iter().map(|b| (b.min_time_ms / BLOCK_MS, b.max_time_ms / BLOCK_MS, b.level)).collect();
    assert_eq!(spans, [(0, 16, 1), (16, 17, 0), (17, 18, 0), (18, 19, 0), (19, 20, 0)]);
    let merged = &db.blocks()[0];
    assert_eq!((merged.n_series, merged.n_samples, merged.sources.len()), (3, 480, 16));
    assert_eq!(db.counters().compactions, 1, "each sample is written once more, not for each level");
    let on_disk = fs.list(Path::new("/data/blocks")).unwrap();
    assert_eq!(on_disk.len(), 5, "parents are gone: {on_disk:?}");
    assert_eq!(n_samples(&everything(&db)), 600);
    drop(db);
    assert_eq!(n_samples(&everything(&open(&fs).0)), 600);
}

#[test]
fn many_blocks_are_merged_by_level() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    for half in 0..40 {
        fill(&db, half * BLOCK_MS / 2, (half + 1) * BLOCK_MS / 2);
        db.flush(NOW).unwrap();
    }
    db.maintain(NOW).unwrap();
    let spans: Vec<_> =
        db.blocks().iter().map(|b| (b.min_time_ms / BLOCK_MS, b.max_time_ms / BLOCK_MS, b.level)).collect();
    let ends = [(16, 17, 1), (17, 18, 1), (18, 19, 1), (19, 20, 0), (19, 20, 0)];
    assert_eq!(spans, [&[(0, 16, 2)], &ends[..]].concat());
    // Of 32 blocks three times 8, until 3 and 8 are few enough to go together; and three times 2.
    assert_eq!(db.counters().compactions, 3 + 1 + 3);
    assert_eq!(n_samples(&everything(&db)), 600);
}

#[test]
fn old_blocks_go_by_time_and_by_size() {
    let fs = TwinFs::new();
    let (db, _) = Db::open(Options { retention_ms: Some(5 * BLOCK_MS), ..options(&fs) }, &|_| {}).unwrap();
    fill(&db, 0, 20 * BLOCK_MS);
    db.maintain(NOW).unwrap();
    assert_eq!(db.blocks()[0].min_time_ms, 14 * BLOCK_MS, "a block goes when all of it is too old");
    let oldest = *everything(&db)[&labels("m", 0)].keys().next().unwrap();
    assert_eq!(
        oldest,
        15 * BLOCK_MS - 100,
        "exactly five blocks before the newest sample, at 20 blocks less 100 ms"
    );
    assert_eq!(db.min_time().unwrap().0, oldest);
    let series = db.series(&[], cairn_model::TimeMs(0), cairn_model::TimeMs(oldest - 1)).unwrap();
    assert!(series.is_empty(), "what is too old is not listed either: {series:?}");
    drop(db);

    let before = open(&fs).0.counters();
    let limit = before.blocks_bytes + before.wal_bytes - 1;
    let (db, _) = Db::open(Options { retention_bytes: Some(limit), ..options(&fs) }, &|_| {}).unwrap();
    db.maintain(NOW).unwrap();
    let after = db.counters();
    assert_eq!(after.blocks, before.blocks - 1);
    assert!(after.blocks_bytes + after.wal_bytes <= limit);
}

#[test]
fn a_reader_keeps_what_it_has_while_blocks_come_and_go() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    fill(&db, 0, 6 * BLOCK_MS);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..200 {
                let found = everything(&db);
                for samples in found.values() {
                    let times: Vec<i64> = samples.keys().copied().collect();
                    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 100), "a hole: {times:?}");
                    assert_eq!(times[0], 0);
                }
                assert_eq!(found.len(), 3);
            }
        });
        for block in 6..20 {
            fill(&db, block * BLOCK_MS, (block + 1) * BLOCK_MS);
            db.maintain(NOW).unwrap();
        }
        reader.join().unwrap();
    });
}

#[test]
fn old_samples_first_and_a_jump_in_time() {
    let (db, _) = open(&TwinFs::new());
    append(&db, &labels("m", 1), -5 * BLOCK_MS + 1, 1.0);
    append(&db, &labels("m", 1), 3, 2.0);
    append(&db, &labels("m", 1), 100 * BLOCK_MS, 3.0);
    db.maintain(NOW).unwrap();
    assert_eq!(db.blocks().len(), 3, "only times that have samples become blocks");
    assert_eq!(n_samples(&everything(&db)), 3);
}

#[test]
fn another_block_length_after_a_restart() {
    for lengths in [[1000, 300, 2500], [300, 2500, 700], [2500, 700, 1000]] {
        let fs = TwinFs::new();
        let mut from = 0;
        for block_ms in lengths {
            let (db, report) = Db::open(Options { block_ms, ..options(&fs) }, &|_| {}).unwrap();
            assert!(report.damage.is_empty());
            fill(&db, from, from + 6000);
            db.maintain(NOW).unwrap();
            from += 6000;
            let expected = usize::try_from(from / 100 * 3).unwrap();
            assert_eq!(n_samples(&everything(&db)), expected, "{lengths:?}, {block_ms}");
        }
    }
    assert!(Db::open(Options { block_ms: 0, ..options(&TwinFs::new()) }, &|_| {}).is_err());
}
