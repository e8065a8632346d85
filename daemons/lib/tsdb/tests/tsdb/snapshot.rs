//! Snapshots and restoring.

use std::path::Path;

use cairn_disk::{Fs, TwinFs, TwinOp};
use cairn_model::{Matcher, TimeMs};
use cairn_tsdb::{Db, Options, RestoreError, restore};

use crate::{BLOCK_MS, Content, NOW, append, everything, labels, n_samples, open, options};

fn open_at(fs: &TwinFs, dir: &Path) -> Db {
    let (db, report) = Db::open(Options { dir: dir.to_owned(), ..options(fs) }, &|_| {}).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    db
}

fn fill(db: &Db, from: i64, to: i64) {
    for time in (from..to).step_by(100) {
        for instance in 0..3 {
            append(db, &labels("m", instance), time, 1.0);
        }
        if time % BLOCK_MS == 0 {
            db.maintain(NOW).unwrap();
        }
    }
    db.sync().unwrap();
}

fn filled() -> (TwinFs, Db) {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    fill(&db, 0, 5 * BLOCK_MS + 300);
    db.delete(&[vec![Matcher::equal("instance", "host-1")]], TimeMs(500), TimeMs(700), NOW).unwrap();
    fill(&db, 5 * BLOCK_MS + 300, 5 * BLOCK_MS + 600);
    (fs, db)
}

#[test]
fn a_snapshot_stays_what_it_was_and_takes_no_space() {
    let (fs, db) = filled();
    let then = everything(&db);
    db.flush(NOW).unwrap();
    let used = fs.used_bytes();
    let dir = db.snapshot("20261121T012048Z-2e9df53821d6ac74", false, NOW).unwrap();
    assert_eq!(dir, Path::new("/data/snapshots/20261121T012048Z-2e9df53821d6ac74"));
    assert!(fs.used_bytes() < used + 1000, "blocks are shared");
    db.snapshot("20261121T012048Z-2e9df53821d6ac74", false, NOW).unwrap_err();
    // The database goes on: merges, deletes, a crash.
    db.delete(&[vec![Matcher::equal("__name__", "m")]], TimeMs(0), TimeMs(4000), NOW).unwrap();
    fill(&db, 6 * BLOCK_MS, 20 * BLOCK_MS);
    db.clean_tombstones(NOW).unwrap();
    drop(db);
    fs.crash();
    let restored = Path::new("/elsewhere/data");
    let mut told = Vec::new();
    let told_in = std::cell::RefCell::new(&mut told);
    let report =
        restore(&fs, &dir, restored, &|done, total| told_in.borrow_mut().push((done, total))).unwrap();
    assert_eq!(told.last(), Some(&(report.blocks, report.blocks)));
    assert!(report.samples > n_samples(&then) as u64, "the deleted ones are still in the files");
    let db = open_at(&fs, restored);
    assert_eq!(everything(&db), then);

    // A restored database loses nothing: its log begins where its blocks say.
    append(&db, &labels("m", 0), 7 * BLOCK_MS, 2.0);
    append(&db, &labels("new", 0), 7 * BLOCK_MS, 2.0);
    db.sync().unwrap();
    let now = everything(&db);
    assert_eq!(n_samples(&now), n_samples(&then) + 2);
    drop(db);
    fs.crash();
    let db = open_at(&fs, restored);
    assert_eq!(everything(&db), now);
    db.maintain(NOW).unwrap();
    drop(db);
    assert_eq!(everything(&open_at(&fs, &dir)), then, "and leaves its snapshot alone");
}

#[test]
fn the_head_can_be_left_out() {
    let (fs, db) = filled();
    let dir = db.snapshot("without", true, NOW).unwrap();
    let found = everything(&open_at(&fs, &dir));
    assert_eq!(n_samples(&found), n_samples(&everything(&db)) - 9, "three samples of three series");
}

#[test]
fn while_samples_come_a_snapshot_has_all_that_came_before() {
    let (fs, db) = filled();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| fill(&db, 6 * BLOCK_MS, 12 * BLOCK_MS));
        for n in 0..10 {
            let before = everything(&db);
            let dir = db.snapshot(&format!("s{n}"), false, NOW).unwrap();
            assert_covers(&everything(&open_at(&fs, &dir)), &before);
        }
        writer.join().unwrap();
    });
}

fn assert_covers(large: &Content, small: &Content) {
    for (labels, samples) in small {
        for (time, bits) in samples {
            assert_eq!(large[labels].get(time), Some(bits), "{labels} at {time}");
        }
    }
}

#[test]
fn what_is_no_snapshot_or_would_be_overwritten_is_refused() {
    let (fs, db) = filled();
    let dir = db.snapshot("s", false, NOW).unwrap();
    let quiet = |from: &Path, to: &Path| restore(&fs, from, to, &|_, _| {});
    let error = quiet(Path::new("/data/snapshots"), Path::new("/x")).unwrap_err();
    assert!(matches!(error, RestoreError::NoSnapshot { .. }), "{error}");
    let error = quiet(&dir, Path::new("/data")).unwrap_err();
    assert!(error.to_string().contains("/data holds a database already"), "{error}");
    // A folder where a database was, and only its snapshots are left, is good.
    for name in ["blocks", "wal"] {
        fs.remove_dir_all(&Path::new("/data").join(name)).unwrap();
    }
    for entry in fs.list(Path::new("/data")).unwrap().into_iter().filter(|entry| !entry.is_dir) {
        fs.remove_file(&Path::new("/data").join(entry.name)).unwrap();
    }
    let then = everything(&db);
    drop(db);
    quiet(&dir, Path::new("/data")).unwrap();
    assert_eq!(everything(&open(&fs).0), then);
    // Damage anywhere is found before anything is written.
    let block = dir.join("blocks").join(&fs.list(&dir.join("blocks")).unwrap()[0].name);
    for file in ["chunks", "index", "meta"] {
        let opened = fs.open_write(&block.join(file)).unwrap();
        // A single byte may have a copy that heals it.
        let mut whole = vec![0; usize::try_from(opened.len().unwrap()).unwrap()];
        opened.read_exact_at(&mut whole, 0).unwrap();
        let flipped: Vec<u8> = whole[16..].iter().map(|byte| byte ^ 1).collect();
        opened.write_all_at(&flipped, 16).unwrap();
        let error = quiet(&dir, Path::new("/y")).unwrap_err();
        assert!(matches!(error, RestoreError::Block(_)), "{file}: {error}");
        assert!(!fs.exists(Path::new("/y")), "{file}");
        opened.write_all_at(&whole, 0).unwrap();
    }
    quiet(&dir, Path::new("/y")).unwrap();
}

#[test]
fn power_off_while_a_snapshot_is_written() {
    for nth in 1.. {
        let (fs, db) = filled();
        let before = fs.changes();
        fs.power_off_at(nth);
        let made = db.snapshot("s", false, NOW);
        let is_over = fs.changes() - before < nth;
        let then = everything(&db);
        drop(db);
        fs.crash();
        let (db, report) = open(&fs);
        assert!(report.damage.is_empty(), "change {nth}: {:?}", report.damage);
        assert_eq!(everything(&db), then, "change {nth}");
        let names: Vec<String> = match fs.list(Path::new("/data/snapshots")) {
            Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
            Err(_) => Vec::new(),
        };
        assert!(names.is_empty() || names == ["s"], "change {nth}: {names:?}");
        if let Ok(dir) = &made {
            assert_eq!(everything(&open_at(&fs, dir)), then, "change {nth}");
        }
        if is_over {
            assert!(made.is_ok() && nth > 10, "{nth}");
            break;
        }
    }
}

#[test]
fn a_data_directory_with_a_log_is_no_snapshot() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    append(&db, &labels("m", 0), 0, 1.0);
    db.sync().unwrap();
    for is_young in [true, false] {
        let error = restore(&fs, Path::new("/data"), Path::new("/x"), &|_, _| {}).unwrap_err();
        assert!(matches!(error, RestoreError::HasLog { .. }), "young: {is_young}: {error}");
        let error = error.to_string();
        for part in ["/data/wal/", "POST /api/v1/admin/tsdb/snapshot", "copy of the whole directory"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!fs.exists(Path::new("/x")));
        db.flush(NOW).unwrap();
        append(&db, &labels("m", 0), 100, 1.0);
        db.sync().unwrap();
    }
}

#[test]
fn what_was_set_aside_in_a_snapshot_is_named() {
    let (fs, db) = filled();
    let dir = db.snapshot("s", false, NOW).unwrap();
    let blocks = dir.join("blocks");
    let names: Vec<String> = fs.list(&blocks).unwrap().into_iter().map(|entry| entry.name).collect();
    let whole = restore(&fs, &dir, Path::new("/x"), &|_, _| {}).unwrap();
    assert!(whole.left_out.is_empty());
    let (aside, deletions) = (blocks.join(format!("{}.damaged", names[0])), blocks.join(&names[1]));
    fs.rename(&blocks.join(&names[0]), &aside).unwrap();
    fs.create_new(&deletions.join("tombstones.damaged")).unwrap();
    let report = restore(&fs, &dir, Path::new("/y"), &|_, _| {}).unwrap();
    assert_eq!(report.left_out, [aside, deletions.join("tombstones.damaged")]);
    assert_eq!(report.blocks, whole.blocks - 1);
}

/// Each operation fails once: there is a whole snapshot or none, and the next attempt succeeds. The same for restoring.
#[test]
fn what_failed_is_not_there_and_can_be_repeated() {
    for op in TwinOp::ALL {
        for nth in 1.. {
            let (fs, db) = filled();
            let then = everything(&db);
            db.flush(NOW).unwrap();
            fs.fail(op, nth, 1);
            let made = db.snapshot("s", false, NOW);
            let dir = Path::new("/data/snapshots/s");
            assert_eq!(fs.exists(dir), made.is_ok(), "{op:?} {nth}");
            let restored = made.is_ok() && restore(&fs, dir, Path::new("/x"), &|_, _| {}).is_ok();
            fs.heal();
            if made.is_err() {
                db.snapshot("s", false, NOW).unwrap();
            }
            if !restored {
                assert!(!fs.exists(Path::new("/x/blocks")), "{op:?} {nth}");
                restore(&fs, dir, Path::new("/x"), &|_, _| {}).unwrap();
            }
            fs.crash();
            assert_eq!(everything(&open_at(&fs, Path::new("/x"))), then, "{op:?} {nth}");
            assert_eq!(everything(&open_at(&fs, dir)), then, "{op:?} {nth}");
            if restored {
                break;
            }
        }
    }
}
