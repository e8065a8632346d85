//! Samples that come after later ones of their series.

use cairn_disk::TwinFs;
use cairn_tsdb::{Db, HistogramSample, Options, Outcome, Sample};

use crate::histograms::histogram;
use crate::{BLOCK_MS, HISTOGRAM_TAG, NOW, append, everything, labels, options};

const WINDOW_MS: i64 = 3 * BLOCK_MS;

fn open_with_window(fs: &TwinFs, window_ms: i64) -> Db {
    Db::open(Options { out_of_order_window_ms: window_ms, ..options(fs) }, &|_| {}).unwrap().0
}

#[test]
fn what_must_come_in_order_is_never_late() {
    let db = open_with_window(&TwinFs::new(), WINDOW_MS);
    let newest = 10 * BLOCK_MS;
    append(&db, &labels("m", 1), newest, 1.0);
    let series = db.series_ref(&labels("m", 1)).unwrap();
    let marker = |time_ms| Sample { series: series.clone(), time_ms, value: f64::NAN, start_ms: 0 };
    let outcomes = db.append_ends(&[marker(newest - 100), marker(newest + 100)], NOW).unwrap();
    assert_eq!(outcomes, [Outcome::OutOfOrder, Outcome::Stored]);
    let empty = db.series_ref(&labels("m", 2)).unwrap();
    let marker = Sample { series: empty, time_ms: newest, value: f64::NAN, start_ms: 0 };
    assert_eq!(db.append_ends(&[marker], NOW).unwrap(), [Outcome::OutOfOrder], "there is nothing to end");
}

#[test]
fn what_becomes_of_a_late_sample() {
    use Outcome::{BeforeWindow, Duplicate, DuplicateOtherValue, OutOfOrder, Stored, TooOld};
    let fs = TwinFs::new();
    let db = open_with_window(&fs, WINDOW_MS);
    let (a, b) = (labels("m", 1), labels("m", 2));
    let newest = 10 * BLOCK_MS;
    append(&db, &a, newest, 1.0);
    assert_eq!(append(&db, &a, newest - 200, 2.0), Stored);
    assert_eq!(append(&db, &a, newest - 100, 3.0), Stored);
    assert_eq!(append(&db, &a, newest - 100, 3.0), Duplicate);
    assert_eq!(append(&db, &a, newest - 100, 4.0), DuplicateOtherValue { existing: 3.0 });
    assert_eq!(append(&db, &a, newest, 1.0), Duplicate);
    assert_eq!(append(&db, &a, newest - WINDOW_MS, 5.0), Stored);
    assert_eq!(append(&db, &a, newest - WINDOW_MS - 1, 6.0), BeforeWindow);
    assert_eq!(BeforeWindow.to_string(), "too old sample");
    // In the order of its own series, and late for the head only.
    assert_eq!(append(&db, &b, newest - WINDOW_MS, 7.0), Stored);
    assert_eq!(append(&db, &b, newest - WINDOW_MS - 1, 7.0), BeforeWindow);
    let times: Vec<i64> = everything(&db)[&a].keys().copied().collect();
    assert_eq!(times, [newest - WINDOW_MS, newest - 200, newest - 100, newest]);
    let counters = db.counters();
    assert_eq!((counters.samples_stored, counters.samples_stored_late), (5, 3));
    assert_eq!((counters.samples_before_window, counters.samples_out_of_order), (2, 0));

    let db = open_with_window(&TwinFs::new(), 0);
    append(&db, &a, newest, 1.0);
    assert_eq!(append(&db, &a, newest - 1, 1.0), OutOfOrder);
    assert_eq!(append(&db, &a, newest - BLOCK_MS, 1.0), TooOld);
}

#[test]
fn a_batch_may_hold_all_kinds() {
    let db = open_with_window(&TwinFs::new(), WINDOW_MS);
    let series = db.series_ref(&labels("m", 1)).unwrap();
    let sample = |time_ms, value| Sample { series: series.clone(), time_ms, value, start_ms: 0 };
    let batch = [(50, 1.0), (40, 2.0), (40, 2.0), (60, 3.0), (50, 1.0), (55, 4.0), (40, 9.0), (60, 3.0)];
    let batch: Vec<Sample> = batch.into_iter().map(|(time, value)| sample(time, value)).collect();
    use Outcome::{Duplicate, DuplicateOtherValue, Stored};
    assert_eq!(
        db.append(&batch, NOW).unwrap(),
        [
            Stored,
            Stored,
            Duplicate,
            Stored,
            Duplicate,
            Stored,
            DuplicateOtherValue { existing: 2.0 },
            Duplicate,
        ]
    );
    let times: Vec<i64> = everything(&db)[&labels("m", 1)].keys().copied().collect();
    assert_eq!(times, [40, 50, 55, 60]);
}

#[test]
fn native_histograms_may_be_late_too() {
    use Outcome::{BeforeWindow, Duplicate, DuplicateOtherValue, OutOfOrder, Stored};
    let fs = TwinFs::new();
    let mut db = open_with_window(&fs, WINDOW_MS);
    let (a, newest) = (labels("m", 1), 10 * BLOCK_MS);
    let add = |db: &Db, time_ms, n: u64| {
        let (series, histogram) = (db.series_ref(&a).unwrap(), histogram(n));
        db.append_histograms(&[HistogramSample { series, time_ms, start_ms: 7, histogram }], NOW).unwrap()[0]
    };
    assert_eq!(add(&db, newest, 1), Stored);
    assert_eq!(append(&db, &a, newest - 50, 5.0), Stored);
    assert_eq!(add(&db, newest - 100, 2), Stored);
    assert_eq!(add(&db, newest - 300, 3), Stored, "before another late one");
    assert_eq!(add(&db, newest - WINDOW_MS - 1, 3), BeforeWindow);
    let mut want = everything(&db);
    for round in 0..3 {
        assert_eq!(add(&db, newest - 100, 2), Duplicate);
        assert_eq!(add(&db, newest - 100, 3), DuplicateOtherValue { existing: 3.0 });
        assert_eq!(append(&db, &a, newest - 100, 3.0), OutOfOrder);
        assert_eq!(add(&db, newest - 50, 3), OutOfOrder);
        assert_eq!(add(&db, newest, 1), Duplicate, "the newest one is what it was");
        assert_eq!(add(&db, newest - 200 - round, 4), Stored);
        want.get_mut(&a).unwrap().insert(newest - 200 - round, HISTOGRAM_TAG | 4);
        assert_eq!(everything(&db), want);
        db.sync().unwrap();
        drop(db);
        fs.crash();
        db = open_with_window(&fs, WINDOW_MS);
        assert_eq!(everything(&db), want, "from the log");
    }
    db.flush(NOW).unwrap();
    assert_eq!(everything(&db), want, "from blocks");
    append(&db, &labels("clock", 0), 40 * BLOCK_MS, 0.0);
    db.flush(NOW).unwrap();
    db.maintain(NOW).unwrap();
    assert_eq!(everything(&db)[&a], want[&a]);
    // One request with some of a series, also two of one time.
    let series = db.series_ref(&labels("m", 2)).unwrap();
    let sample = |(back, n)| HistogramSample {
        series: series.clone(),
        time_ms: 40 * BLOCK_MS - back,
        start_ms: 0,
        histogram: histogram(n),
    };
    let batch = [(0, 1), (100, 2), (50, 3), (100, 2), (50, 4), (0, 1)].map(sample);
    let other = DuplicateOtherValue { existing: 4.5 };
    assert_eq!(
        db.append_histograms(&batch, NOW).unwrap(),
        [Stored, Stored, Stored, Duplicate, other, Duplicate]
    );
    assert_eq!(everything(&db)[&labels("m", 2)].len(), 3);
}

/// Blocks are not looked at, as the peer does not: another value at the time of a sample in a block is acknowledged. The one that
/// came first is seen, from the first moment on and whatever becomes of both.
#[test]
fn of_two_values_at_one_time_the_first_one_is_seen_for_ever() {
    let fs = TwinFs::new();
    let mut db = open_with_window(&fs, WINDOW_MS);
    let series = labels("m", 1);
    for time in (0..=10).map(|n| n * 200) {
        append(&db, &series, time, 1.0);
    }
    let want = everything(&db);
    db.flush(NOW).unwrap();
    for (time, value) in [(1000, 2.0), (400, 3.0), (1000, 4.0)] {
        assert_eq!(append(&db, &series, time, value), Outcome::Stored);
        assert_eq!(everything(&db), want, "from block and head");
        db.sync().unwrap();
        drop(db);
        fs.crash();
        db = open_with_window(&fs, WINDOW_MS);
        assert_eq!(everything(&db), want, "from block and log");
        db.flush(NOW).unwrap();
        assert_eq!(everything(&db), want, "from two blocks");
    }
    append(&db, &labels("clock", 0), 40 * BLOCK_MS, 0.0);
    db.flush(NOW).unwrap();
    let n_blocks = db.blocks().len();
    db.maintain(NOW).unwrap();
    assert!(db.blocks().len() < n_blocks, "{n_blocks} blocks are merged");
    assert_eq!(everything(&db)[&series], want[&series]);
    drop(db);
    assert_eq!(everything(&open_with_window(&fs, WINDOW_MS))[&series], want[&series]);
}

/// Everything backwards, within the window, over a dozen blocks.
fn fill_backwards(db: &Db) {
    for block in 1..12 {
        let newest = block * BLOCK_MS;
        append(db, &labels("clock", 0), newest, 0.0);
        for back in (0..WINDOW_MS.min(newest)).step_by(70) {
            let time = newest - back;
            let outcome = append(db, &labels("m", 1), time, f64::from(i32::try_from(time).unwrap()));
            assert!(outcome.is_kept(), "{outcome:?} at {time}");
        }
    }
}

#[test]
fn late_samples_survive_flushes_merges_and_a_crash() {
    let fs = TwinFs::new();
    let db = open_with_window(&fs, WINDOW_MS);
    fill_backwards(&db);
    let all = everything(&db);
    db.sync().unwrap();
    drop(db);
    fs.crash();
    let db = open_with_window(&fs, WINDOW_MS);
    assert_eq!(everything(&db), all, "from the log");
    db.flush(NOW).unwrap();
    assert_eq!(everything(&db), all, "from blocks");
    let n_overlapping = db.blocks().len();
    append(&db, &labels("clock", 0), 40 * BLOCK_MS, 0.0);
    db.flush(NOW).unwrap();
    db.maintain(NOW).unwrap();
    assert!(db.blocks().len() < n_overlapping, "{n_overlapping} blocks are merged");
    let mut found = everything(&db);
    found.get_mut(&labels("clock", 0)).unwrap().remove(&(40 * BLOCK_MS));
    assert_eq!(found, all);
    drop(db);
    // A window that was taken away later does not take away what it let in.
    let db = open_with_window(&fs, 0);
    assert_eq!(everything(&db)[&labels("m", 1)], all[&labels("m", 1)]);
}

#[test]
fn late_samples_come_with_their_start() {
    let fs = TwinFs::new();
    let db = open_with_window(&fs, WINDOW_MS);
    let series = db.series_ref(&labels("m", 1)).unwrap();
    for (time_ms, start_ms) in [(100, 10), (50, 20), (60, 0), (101, 10)] {
        let sample = Sample { series: series.clone(), time_ms, value: 1.0, start_ms };
        assert_eq!(db.append(&[sample], NOW).unwrap(), [Outcome::Stored]);
    }
    db.sync().unwrap();
    drop(series);
    for _ in 0..2 {
        let found = crate::select_starts(&db);
        assert_eq!(found, [(50, 20), (60, 0), (100, 10), (101, 10)]);
        db.flush(NOW).unwrap();
    }
    drop(db);
    assert_eq!(crate::select_starts(&open_with_window(&fs, WINDOW_MS)).len(), 4);
}
