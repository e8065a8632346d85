//! Blocks that overlap: of two values at one time the one that was accepted first is answered, however they are merged.

use std::sync::Arc;

use cairn_disk::TwinFs;
use cairn_promql::source::SeriesData;
use cairn_tsdb::{BlockId, Db, Options, Outcome};

use crate::{BLOCK_MS, NOW, append, everything, labels, open, options, select};

fn late_allowed(fs: &TwinFs) -> Options {
    Options { out_of_order_window_ms: 3 * BLOCK_MS, ..options(fs) }
}

/// Samples of one series from another store.
fn import(db: &Db, id: u128, times: &[i64], value: f64) {
    let mut import = db.import(BlockId(id)).unwrap();
    let series = SeriesData {
        labels: Arc::new(labels("m", 1)),
        times: times.to_vec().into(),
        values: vec![value; times.len()],
        ..SeriesData::default()
    };
    import.add(&series).unwrap();
    import.finish(vec![BlockId(id)]).unwrap().unwrap();
}

fn value_at(db: &Db, time: i64) -> Option<f64> {
    let found = select(db, &[], time, time);
    found.get(&labels("m", 1)).and_then(|samples| samples.get(&time)).map(|&bits| f64::from_bits(bits))
}

/// A block lies across windows, so it is in no group; what is merged around it stays before or behind it.
#[test]
fn a_block_that_is_left_out_keeps_its_place() {
    let fs = TwinFs::new();
    let (db, _) = Db::open(late_allowed(&fs), &|_| {}).unwrap();
    let store = |time, value| {
        assert_eq!(append(&db, &labels("m", 1), time, value), Outcome::Stored, "{time}");
        db.flush(NOW).unwrap();
    };
    store(100, 1.0);
    store(150, 1.0);
    import(&db, 77, &[100, 200, 300, 4500], 2.0);
    store(200, 3.0);
    store(300, 3.0);
    store(400, 3.0);
    let want = [(100, 1.0), (150, 1.0), (200, 2.0), (300, 2.0), (400, 3.0), (4500, 2.0)];
    let check = |db: &Db, when: &str| {
        for (time, value) in want {
            assert_eq!(value_at(db, time), Some(value), "{when}, at {time}");
        }
    };
    check(&db, "before merging");
    assert_eq!(db.blocks().len(), 6);
    // Time goes on, and the window is settled.
    append(&db, &labels("other", 1), 6 * BLOCK_MS, 1.0);
    db.flush(NOW).unwrap();
    check(&db, "before merging");
    db.maintain(NOW).unwrap();
    check(&db, "merged");
    let sizes: Vec<_> = db.blocks().iter().map(|block| (block.n_samples, block.parents.len())).collect();
    assert_eq!(sizes, [(2, 2), (3, 3), (4, 0), (1, 0)], "those before it, and those behind it");
    drop(db);
    check(&open(&fs).0, "opened again");
}

/// As before, where no window ever holds all of them.
#[test]
fn a_block_of_a_longer_time_than_any_window_keeps_its_place() {
    let fs = TwinFs::new();
    // Levels of one block and no more.
    let short = |fs: &TwinFs| Options { retention_ms: Some(30 * BLOCK_MS), ..late_allowed(fs) };
    let (db, _) = Db::open(short(&fs), &|_| {}).unwrap();
    let store = |time, value| {
        append(&db, &labels("m", 1), time, value);
        db.flush(NOW).unwrap();
    };
    for round in 0..3u32 {
        for n in 0..3 {
            store(i64::from(round) * 300 + n * 100, f64::from(round));
        }
        let times: Vec<i64> = (0..60).map(|n| n * 100).collect();
        import(&db, u128::from(round) + 77, &times, 10.0 + f64::from(round));
        // Each of them is there already.
        store(500, 20.0);
        store(700, 20.0);
    }
    append(&db, &labels("other", 1), 20 * BLOCK_MS, 1.0);
    db.flush(NOW).unwrap();
    let then = everything(&db);
    let before = db.blocks().len();
    db.maintain(NOW).unwrap();
    assert!(db.blocks().len() < before, "what may be merged is: {:?}", db.blocks());
    assert_eq!(everything(&db), then);
    assert_eq!(value_at(&db, 200), Some(0.0));
    assert_eq!(value_at(&db, 500), Some(10.0));
    drop(db);
    assert_eq!(everything(&open(&fs).0), then);
}
