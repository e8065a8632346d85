//! What becomes of a sample.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_disk::TwinFs;
use cairn_model::TimeMs;
use cairn_promql::source::{NORMAL_NAN_BITS, STALE_NAN_BITS};
use cairn_tsdb::{AppendError, Db, Options, Outcome, Sample};

use crate::{BLOCK_MS, NOW, append, everything, labels, open, options};

#[test]
fn one_outcome_for_each_sample_in_its_order() {
    let (db, _) = open(&TwinFs::new());
    let (a, b) = (db.series_ref(&labels("a", 1)).unwrap(), db.series_ref(&labels("b", 1)).unwrap());
    let sample = |series: &cairn_tsdb::SeriesRef, time_ms, value| Sample {
        series: series.clone(),
        time_ms,
        value,
        start_ms: 0,
    };
    let future = NOW.0 + 10 * 60 * 1000;
    let batch = [
        sample(&a, 10_000, 1.0),
        sample(&a, 10_000, 1.0),
        sample(&a, 10_000, 2.0),
        sample(&a, 9_999, 1.0),
        sample(&b, 9_000, 1.0),
        sample(&a, 10_500, 1.0),
        sample(&a, future + 1, 1.0),
    ];
    let outcomes = db.append(&batch, NOW).unwrap();
    let existing = Outcome::DuplicateOtherValue { existing: 1.0 };
    use Outcome::{Duplicate, OutOfOrder, Stored, TooFarInFuture, TooOld};
    assert_eq!(outcomes, [Stored, Duplicate, existing, OutOfOrder, Stored, Stored, TooFarInFuture]);
    // Half a block behind the newest sample is the limit, from the next batch on.
    let oldest = 10_500 - BLOCK_MS / 2;
    let batch = [sample(&b, oldest - 1, 1.0), sample(&b, oldest, 1.0), sample(&a, future, 1.0)];
    assert_eq!(db.append(&batch, NOW).unwrap(), [TooOld, Stored, Stored]);
    let counters = db.counters();
    assert_eq!((counters.samples_stored, counters.samples_duplicate, counters.samples_too_old), (5, 1, 1));
    assert_eq!((counters.samples_out_of_order, counters.samples_duplicate_other_value), (1, 1));
    assert_eq!((counters.samples_too_far_in_future, counters.series_created), (1, 2));
}

#[test]
fn staleness_markers_are_kept_and_other_nans_normalised() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    let series = labels("a", 1);
    for (time, bits) in
        [(1, STALE_NAN_BITS), (2, f64::NAN.to_bits()), (3, u64::MAX), (4, (-0.0f64).to_bits())]
    {
        assert_eq!(append(&db, &series, time, f64::from_bits(bits)), Outcome::Stored);
    }
    let want = [(1, STALE_NAN_BITS), (2, NORMAL_NAN_BITS), (3, NORMAL_NAN_BITS), (4, (-0.0f64).to_bits())];
    assert_eq!(everything(&db)[&series], want.into());
    assert_eq!(append(&db, &series, 4, -0.0), Outcome::Duplicate);
    assert!(matches!(append(&db, &series, 4, 0.0), Outcome::DuplicateOtherValue { .. }));
    db.sync().unwrap();
    drop(db);
    fs.crash();
    assert_eq!(everything(&open(&fs).0)[&series], want.into());
}

#[test]
fn a_reference_to_a_series_that_left_is_noticed() {
    let (db, _) = open(&TwinFs::new());
    let old = db.series_ref(&labels("old", 1)).unwrap();
    assert!(
        db.append(&[Sample { series: old.clone(), time_ms: 10, value: 1.0, start_ms: 0 }], NOW).unwrap()[0]
            .is_kept()
    );
    append(&db, &labels("new", 1), 5 * BLOCK_MS, 1.0);
    db.maintain(NOW).unwrap();
    assert!(old.is_dropped());
    assert_eq!(db.find(&labels("old", 1)).map(|found| found.is_dropped()), None);
    let again = Sample { series: old, time_ms: 5 * BLOCK_MS, value: 2.0, start_ms: 0 };
    assert_eq!(db.append(std::slice::from_ref(&again), NOW).unwrap(), [Outcome::SeriesDropped]);
    assert_eq!(append(&db, &labels("old", 1), again.time_ms, again.value), Outcome::Stored);
    assert_eq!(everything(&db)[&labels("old", 1)].len(), 2, "one sample in the block, one in the head");
}

#[test]
fn limits_on_series_and_labels_are_named() {
    let fs = TwinFs::new();
    let limited = Options { max_head_series: 2, ..options(&fs) };
    let (db, _) = Db::open(limited, &|_| {}).unwrap();
    db.series_ref(&labels("a", 1)).unwrap();
    let huge = cairn_model::Labels::from_pairs([("a", "x".repeat(2 << 20))]);
    assert!(matches!(db.series_ref(&huge), Err(AppendError::LabelsTooLarge { .. })));
    db.series_ref(&labels("a", 2)).unwrap();
    let error = db.series_ref(&labels("a", 3)).unwrap_err();
    assert!(matches!(error, AppendError::TooManySeries { limit: 2 }), "{error}");
    db.series_ref(&labels("a", 1)).unwrap();
    assert_eq!(db.counters().head_series, 2);
}

#[test]
fn time_of_the_caller_is_the_only_clock() {
    let (db, _) = open(&TwinFs::new());
    let series = db.series_ref(&labels("a", 1)).unwrap();
    let at = |time_ms, now| {
        db.append(&[Sample { series: series.clone(), time_ms, value: 1.0, start_ms: 0 }], TimeMs(now))
            .unwrap()[0]
    };
    assert_eq!(at(700_000, 0), Outcome::TooFarInFuture);
    assert_eq!(at(600_000, 0), Outcome::Stored);
    assert_eq!(at(600_001, -i64::MAX), Outcome::TooFarInFuture);
}

#[test]
fn many_threads_append_scrape_by_scrape() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    let threads: Vec<_> = (0..4u8)
        .map(|thread| {
            let db = db.clone();
            std::thread::spawn(move || {
                let series: Vec<_> =
                    (0..20).map(|n| db.series_ref(&labels(&format!("m{n}"), thread)).unwrap()).collect();
                for time_ms in (0..3 * BLOCK_MS).step_by(100) {
                    let batch: Vec<_> = series
                        .iter()
                        .map(|series| Sample { series: series.clone(), time_ms, value: 1.0, start_ms: 0 })
                        .collect();
                    for (sample, outcome) in batch.iter().zip(db.append(&batch, NOW).unwrap()) {
                        // Another thread may be half a block ahead.
                        assert!(
                            matches!(outcome, Outcome::Stored | Outcome::TooOld | Outcome::SeriesDropped),
                            "{outcome:?} {sample:?}"
                        );
                    }
                    db.sync().unwrap();
                    if time_ms % 700 == 0 {
                        db.maintain(NOW).unwrap();
                    }
                    everything(&db);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let before = everything(&db);
    assert_eq!(crate::n_samples(&before) as u64, db.counters().samples_stored);
    drop(db);
    fs.crash();
    assert!(everything(&open(&fs).0) == before, "other content after the crash");
}

#[test]
fn many_series_at_once_each_one_once() {
    let fs = TwinFs::new();
    let (db, _) = Db::open(Options { max_head_series: 600, ..options(&fs) }, &|_| {}).unwrap();
    let known = db.series_ref(&labels("m", 3)).unwrap();
    let all: Vec<_> = (0..500u16).map(|n| labels(&format!("m{}", n / 250), (n % 250) as u8)).collect();
    let mut wanted: Vec<_> = all.iter().collect();
    let (again, first) = (labels("m0", 7), labels("m", 3));
    wanted.extend([&again, &first]);
    let found = db.series_refs(&wanted).unwrap();
    for (series, labels) in found.iter().zip(&wanted) {
        assert!(*series.labels() == **labels, "{series:?} for {labels}");
    }
    assert_eq!((found[500].number(), found[501].number()), (found[7].number(), known.number()));
    assert_eq!(db.counters().head_series, 501);
    let more: Vec<_> = (0..100u8).map(|n| labels("more", n)).collect();
    let error = db.series_refs(&more.iter().collect::<Vec<_>>()).unwrap_err();
    assert!(matches!(error, AppendError::TooManySeries { limit: 600 }), "{error}");
    assert_eq!(db.counters().head_series, 600, "those before it are there");
    db.sync().unwrap();
    for series in &found[..500] {
        let sample = cairn_tsdb::SampleOf { series, time_ms: 10, value: 1.0, start_ms: 0 };
        assert_eq!(db.append_of(&[sample], NOW).unwrap(), [Outcome::Stored]);
    }
    drop(db);
    assert_eq!(everything(&open(&fs).0).len(), 500);
}

#[test]
fn a_full_head_asks_once_and_then_helps_itself() {
    let fs = TwinFs::new();
    let limits = Options { max_head_bytes: 2000, max_head_samples: 100, ..options(&fs) };
    let (db, _) = Db::open(limits, &|_| {}).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    db.on_pressure(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    for time in 0..99 {
        append(&db, &labels("m", 1), time, 1.0);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    append(&db, &labels("m", 1), 99, 1.0);
    append(&db, &labels("m", 1), 100, 1.0);
    assert_eq!((asked.load(Ordering::Relaxed), db.counters().flushes), (1, 0));
    db.relieve(NOW).unwrap();
    assert_eq!((db.counters().flushes, db.counters().head_samples, db.blocks().len()), (1, 0, 1));
    // Nobody comes: memory stays bounded all the same.
    for time in 101..400 {
        for instance in 0..40 {
            append(&db, &labels("n", instance), time, f64::from(u32::try_from(time).unwrap()).sqrt());
        }
        assert!(db.counters().head_chunk_bytes < 4 * 40 * 176, "{:?}", db.counters());
    }
    assert!(db.counters().flushes > 3 && asked.load(Ordering::Relaxed) > 3);
    assert_eq!(crate::n_samples(&everything(&db)), 101 + 299 * 40);
}
