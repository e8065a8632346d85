//! A full disk: appends are refused, reads go on, freed space heals it.

use std::path::Path;

use cairn_disk::{Fs, TwinFs};
use cairn_tsdb::Sample;

use crate::{BLOCK_MS, NOW, append, everything, labels, n_samples, open};

#[test]
fn refuses_cleanly_reads_on_and_heals() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    for time in (0..3 * BLOCK_MS).step_by(100) {
        append(&db, &labels("m", 1), time, 1.0);
    }
    db.sync().unwrap();
    let before = everything(&db);
    fs.set_capacity(Some(fs.used_bytes() + 5));

    let series = db.series_ref(&labels("m", 1)).unwrap();
    let sample = Sample { series, time_ms: 3 * BLOCK_MS, value: 2.0, start_ms: 0 };
    let error = db.append(std::slice::from_ref(&sample), NOW).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    assert!(db.series_ref(&labels("new", 1)).unwrap_err().is_no_space());
    assert!(db.find(&labels("new", 1)).is_none(), "nothing is half created");
    assert!(db.maintain(NOW).unwrap_err().is_no_space());
    assert_eq!(everything(&db), before, "reads go on, and show nothing that was refused");
    assert_eq!(db.counters().maintenance_failures, 1);
    let left_over = fs.list(Path::new("/data/blocks")).unwrap();
    assert!(left_over.is_empty(), "half a block gives its space back: {left_over:?}");

    // It starts and answers on the full disk, too.
    drop(db);
    let (db, report) = open(&fs);
    assert!(report.damage.is_empty());
    assert_eq!(everything(&db), before);

    fs.set_capacity(None);
    append(&db, &labels("m", 1), 3 * BLOCK_MS, 2.0);
    db.sync().unwrap();
    db.maintain(NOW).unwrap();
    fs.crash();
    let (db, _) = open(&fs);
    assert_eq!(n_samples(&everything(&db)), n_samples(&before) + 1);
    assert!(!db.blocks().is_empty());
}
