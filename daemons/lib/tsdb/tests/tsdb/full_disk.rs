//! A full disk: appends are refused, reads go on, freed space heals it.

use std::path::Path;

use cairn_disk::{Fs, TwinFs, TwinOp};
use cairn_model::TimeMs;
use cairn_tsdb::{AppendError, Db, HistogramSample, Options, Sample, SampleOf};

use crate::histograms::histogram;
use crate::{BLOCK_MS, NOW, append, everything, labels, n_samples, open, options};

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

/// The log takes samples, blocks cannot be written: memory stays bounded, and what was taken is kept.
#[test]
fn a_head_that_cannot_be_written_takes_no_more_than_a_limit() {
    const LIMIT: u64 = 4 * 20_000;
    let fs = TwinFs::new();
    let (db, _) = Db::open(Options { max_head_bytes: 20_000, ..options(&fs) }, &|_| {}).unwrap();
    // The log never renames anything.
    fs.fail(TwinOp::Rename, 1, u64::MAX);
    let series = db.series_ref(&labels("m", 1)).unwrap();
    let sample = |n: i64| Sample {
        series: series.clone(),
        time_ms: n * n % 97 + n * 100,
        value: 0.1 * n as f64,
        start_ms: 0,
    };
    let mut taken = 0;
    let error = loop {
        let batch: Vec<Sample> = (0..50).map(|n| sample(taken + n)).collect();
        match db.append(&batch, NOW) {
            Ok(outcomes) => taken += i64::try_from(outcomes.len()).unwrap(),
            Err(error) => break error,
        }
        assert!(db.counters().head_chunk_bytes < LIMIT + 2000, "{:?}", db.counters());
    };
    assert!(matches!(error, AppendError::HeadTooLarge { .. }), "{error}");
    assert!(error.is_of_disk() && !error.is_no_space());
    for part in ["write a block in /data/blocks", "Input/output error", "80000 is the limit"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert!(db.counters().head_chunk_bytes >= LIMIT);
    let next = sample(taken);
    let histogram = HistogramSample {
        series: series.clone(),
        time_ms: next.time_ms,
        start_ms: 0,
        histogram: histogram(1),
    };
    db.append_histograms(&[histogram], NOW).unwrap_err();
    let row = SampleOf { series: &series, time_ms: next.time_ms, value: 1.0, start_ms: 0 };
    db.append_whole(&[row], &[], NOW).unwrap_err();
    db.sync().unwrap();
    let then = everything(&db);
    assert_eq!(i64::try_from(n_samples(&then)), Ok(taken));

    // A start takes what the log has, and then no more either.
    drop(db);
    fs.crash();
    fs.fail(TwinOp::Rename, 1, u64::MAX);
    let (db, _) = Db::open(Options { max_head_bytes: 20_000, ..options(&fs) }, &|_| {}).unwrap();
    assert_eq!(everything(&db), then);
    let series = db.series_ref(&labels("m", 1)).unwrap();
    let next = Sample { series, ..next };
    db.append(std::slice::from_ref(&next), NOW).unwrap_err();
    // It heals by itself, without a round of maintenance, some seconds later.
    fs.heal();
    db.append(std::slice::from_ref(&next), NOW).unwrap_err();
    assert!(db.append(&[next], TimeMs(NOW.0 + 10_000)).unwrap()[0].is_kept());
    assert_eq!(n_samples(&everything(&db)), n_samples(&then) + 1);
    assert!(db.counters().head_chunk_bytes < 20_000);
}
