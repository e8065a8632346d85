//! Deleting: hidden at once and for good, space given back, and nothing hidden that came later.

use std::path::{Path, PathBuf};

use cairn_disk::{Fs, TwinFs};
use cairn_model::{Matcher, TimeMs};
use cairn_tsdb::{Db, Outcome};

use crate::{BLOCK_MS, NOW, append, everything, labels, n_samples, open};

const ALWAYS: (TimeMs, TimeMs) = (TimeMs::MIN, TimeMs::MAX);

fn host(instance: u8) -> Vec<Matcher> {
    vec![Matcher::equal("instance", format!("host-{instance}"))]
}

/// Four series over five blocks and a head.
fn filled() -> (TwinFs, Db) {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    for time in (0..5 * BLOCK_MS + 200).step_by(100) {
        for instance in 0..4 {
            append(&db, &labels("m", instance), time, f64::from(instance));
        }
        if time % BLOCK_MS == 0 {
            db.maintain(NOW).unwrap();
        }
    }
    db.sync().unwrap();
    (fs, db)
}

fn tombstone_files(fs: &TwinFs) -> Vec<PathBuf> {
    let blocks = Path::new("/data/blocks");
    let files = fs.list(blocks).unwrap().into_iter().map(|block| blocks.join(block.name).join("tombstones"));
    files.filter(|path| fs.exists(path)).collect()
}

#[test]
fn hides_at_once_survives_everything_and_gives_space_back() {
    let (fs, db) = filled();
    let mut want = everything(&db);
    want.remove(&labels("m", 1));
    want.get_mut(&labels("m", 2)).unwrap().retain(|time, _| !(1150..=5100).contains(time));
    assert!(db.delete(&[host(1)], ALWAYS.0, ALWAYS.1, NOW).unwrap() > 0);
    assert!(db.delete(&[host(2)], TimeMs(1150), TimeMs(5100), NOW).unwrap() > 0);
    assert_eq!(everything(&db), want);
    // Who is gone is not listed any more.
    let values = db.label_values("instance", &[], ALWAYS.0, ALWAYS.1).unwrap();
    assert_eq!(values, ["host-0", "host-2", "host-3"]);
    assert_eq!(db.series(&host(1), ALWAYS.0, ALWAYS.1).unwrap().len(), 0);
    assert_eq!(db.series(&host(2), TimeMs(1150), TimeMs(5100)).unwrap().len(), 0);
    assert!(db.label_names(&host(1), ALWAYS.0, ALWAYS.1).unwrap().is_empty());
    assert!(db.blocks().iter().map(|block| block.n_tombstones).sum::<u64>() > 0);

    drop(db);
    fs.crash();
    let (db, report) = open(&fs);
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert_eq!(everything(&db), want, "durable when it was answered");
    assert!(!tombstone_files(&fs).is_empty());

    let before = db.blocks().iter().map(|block| block.n_samples).sum::<u64>();
    db.clean_tombstones(NOW).unwrap();
    assert!(tombstone_files(&fs).is_empty());
    let after = db.blocks().iter().map(|block| block.n_samples).sum::<u64>();
    assert_eq!((after, before > after), (n_samples(&want) as u64, true));
    assert_eq!(everything(&db), want);
    assert_eq!(everything(&open(&fs).0), want);
}

#[test]
fn what_comes_later_is_seen_whatever_its_time() {
    let (fs, db) = filled();
    let newest = 5 * BLOCK_MS + 100;
    let series = labels("m", 1);
    db.delete(&[host(1)], TimeMs(newest), TimeMs(newest), NOW).unwrap();
    assert_eq!(everything(&db)[&series].last_key_value().unwrap().0, &(newest - 100));
    // The very sample again, which is a new one.
    assert_eq!(append(&db, &series, newest, 1.0), Outcome::Stored);
    assert_eq!(everything(&db)[&series].last_key_value(), Some((&newest, &1f64.to_bits())));
    db.delete(&[host(1)], ALWAYS.0, ALWAYS.1, NOW).unwrap();
    drop(db);
    let (db, _) = open(&fs);
    assert_eq!(append(&db, &series, newest, 1.0), Outcome::Stored, "a restart does not know better");
    db.sync().unwrap();
    db.maintain(NOW).unwrap();
    db.clean_tombstones(NOW).unwrap();
    drop(db);
    fs.crash();
    assert_eq!(everything(&open(&fs).0)[&series], [(newest, 1f64.to_bits())].into());
}

/// Wherever the power goes, whoever sends the newest sample again is not told that it is there when it is not.
#[test]
fn power_off_while_the_newest_sample_is_deleted() {
    let newest = 5 * BLOCK_MS + 100;
    let series = labels("m", 2);
    for nth in 1.. {
        let (fs, db) = filled();
        let n_changes = fs.changes();
        fs.power_off_at(nth);
        let _ = db.delete(&[host(2)], TimeMs(newest - 100), ALWAYS.1, NOW);
        let is_over = fs.changes() - n_changes < nth;
        drop(db);
        if nth % 2 == 0 {
            fs.crash()
        } else {
            fs.crash_torn(nth)
        }
        let (db, _) = open(&fs);
        let outcome = append(&db, &series, newest, 2.0);
        assert!(outcome.is_kept(), "change {nth}: {outcome:?}");
        let found = everything(&db)[&series].get(&newest).copied();
        assert_eq!(found, Some(2f64.to_bits()), "change {nth}: {outcome:?}, and not seen");
        if is_over {
            assert!(nth > 10, "{nth}");
            break;
        }
    }
}

#[test]
fn a_block_of_which_much_was_deleted_is_rewritten_in_the_background() {
    let (fs, db) = filled();
    let want = n_samples(&everything(&db)) - 1;
    db.delete(&[host(1)], TimeMs(100), TimeMs(100), NOW).unwrap();
    assert_eq!(tombstone_files(&fs).len(), 1);
    db.maintain(NOW).unwrap();
    assert!(tombstone_files(&fs).is_empty(), "one of four series is more than a twentieth");
    assert_eq!(n_samples(&everything(&db)), want);
}

#[test]
fn all_of_it() {
    let (fs, db) = filled();
    db.delete(&[host(1), host(3)], ALWAYS.0, ALWAYS.1, NOW).unwrap();
    db.delete(&[vec![Matcher::equal("__name__", "m")]], ALWAYS.0, ALWAYS.1, NOW).unwrap();
    assert_eq!(db.delete(&[host(1)], ALWAYS.0, ALWAYS.1, NOW).unwrap(), 0, "nothing is left");
    assert_eq!(db.delete(&[host(1)], TimeMs(5), TimeMs(4), NOW).unwrap(), 0);
    assert!(everything(&db).is_empty());
    db.clean_tombstones(NOW).unwrap();
    assert!(db.blocks().is_empty(), "a block without samples is none");
    assert!(fs.list(Path::new("/data/blocks")).unwrap().is_empty());
    assert!(everything(&open(&fs).0).is_empty());
}

#[test]
fn a_damaged_list_of_deletions_is_named_and_costs_only_itself() {
    let (fs, db) = filled();
    let all = everything(&db);
    db.delete(&[host(1)], TimeMs(100), TimeMs(100), NOW).unwrap();
    drop(db);
    let path = tombstone_files(&fs).remove(0);
    let file = fs.open_write(&path).unwrap();
    let len = file.len().unwrap();
    for at in [12, len - 6] {
        file.write_all_at(b"\xff\xff\xff", at).unwrap();
    }
    let (db, report) = open(&fs);
    assert_eq!(report.damage.len(), 1);
    assert!(report.damage[0].contains("tombstones"), "{}", report.damage[0]);
    assert_eq!(everything(&db), all, "what was deleted is seen again");
    db.delete(&[host(1)], TimeMs(100), TimeMs(100), NOW).unwrap();
    drop(db);
    let (db, report) = open(&fs);
    assert_eq!((report.damage.len(), n_samples(&everything(&db))), (0, n_samples(&all) - 1));
}

#[test]
fn power_off_at_every_change_of_a_deletion() {
    for nth in 1.. {
        let (fs, db) = filled();
        let before = everything(&db);
        let mut after = before.clone();
        after.get_mut(&labels("m", 2)).unwrap().retain(|time, _| *time > 3000);
        let n_changes = fs.changes();
        fs.power_off_at(nth);
        let deleted = db.delete(&[host(2)], TimeMs::MIN, TimeMs(3000), NOW);
        let is_over = fs.changes() - n_changes < nth;
        drop(db);
        if nth % 2 == 0 {
            fs.crash()
        } else {
            fs.crash_torn(nth)
        }
        let (db, report) = open(&fs);
        assert!(report.damage.is_empty(), "change {nth}: {:?}", report.damage);
        let found = everything(&db);
        for (labels, samples) in &after {
            for (time, bits) in samples {
                assert_eq!(found[labels].get(time), Some(bits), "change {nth}: {labels} at {time} is lost");
            }
        }
        if deleted.is_ok() {
            assert_eq!(found, after, "change {nth}: answered, and not durable");
        }
        if is_over {
            assert!(deleted.is_ok() && nth > 10, "{nth}");
            break;
        }
    }
}
