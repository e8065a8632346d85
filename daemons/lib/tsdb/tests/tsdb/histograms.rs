//! Native histograms and start timestamps through the engine: judged, logged, flushed, merged, found again.

use std::sync::Arc;

use cairn_disk::TwinFs;
use cairn_model::histogram::{Buckets, Counts, Span};
use cairn_model::{Histogram, TimeMs};
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS, SampleSource, Selection, SeriesData, is_stale};
use cairn_tsdb::{Db, HistogramSample, Outcome, Sample};

use crate::{BLOCK_MS, NOW, append, labels, open};

pub(crate) fn histogram(n: u64) -> Arc<Histogram> {
    let positive = vec![n, 2 * n, 1];
    Arc::new(Histogram {
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        counts: Counts::Int(Buckets { count: 3 * n + 1, zero_count: 0, positive, negative: vec![] }),
        ..Histogram::without_observations(n as f64 * 1.5, false)
    })
}

fn floats(n: u64) -> Arc<Histogram> {
    let buckets = Buckets { count: n as f64, zero_count: 0.0, positive: vec![n as f64], negative: vec![] };
    Arc::new(Histogram {
        positive_spans: vec![Span { offset: 0, length: 1 }],
        counts: Counts::Float(buckets),
        ..Histogram::without_observations(0.25, true)
    })
}

fn add(db: &Db, name: &str, time_ms: i64, histogram: Arc<Histogram>) -> Outcome {
    let series = db.series_ref(&labels(name, 1)).unwrap();
    db.append_histograms(&[HistogramSample { series, time_ms, start_ms: 0, histogram }], NOW).unwrap()[0]
}

fn find(db: &Db) -> Vec<SeriesData> {
    let selection = Selection { matchers: &[], start: TimeMs::MIN, end: TimeMs::MAX };
    db.view().select(&selection).unwrap()
}

fn only(db: &Db) -> SeriesData {
    let mut found = find(db);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn times(points: &[HistogramPoint]) -> Vec<i64> {
    points.iter().map(|point| point.time).collect()
}

#[test]
fn the_rules_are_those_of_floats() {
    let (db, _) = open(&TwinFs::new());
    assert_eq!(add(&db, "m", 1000, histogram(1)), Outcome::Stored);
    assert_eq!(add(&db, "m", 1000, histogram(1)), Outcome::Duplicate);
    assert_eq!(add(&db, "m", 1000, histogram(2)), Outcome::DuplicateOtherValue { existing: 1.5 });
    assert_eq!(add(&db, "m", 999, histogram(2)), Outcome::OutOfOrder);
    assert_eq!(add(&db, "m", 1000 - BLOCK_MS, histogram(2)), Outcome::TooOld);
    assert_eq!(add(&db, "m", NOW.0 + 3_600_000, histogram(2)), Outcome::TooFarInFuture);
    let mut wrong = Histogram::clone(&histogram(2));
    wrong.positive_spans[1].length = 7;
    assert_eq!(add(&db, "m", 1001, Arc::new(wrong)), Outcome::InvalidHistogram);
    // The other kind at the same time, either way.
    assert!(matches!(append(&db, &labels("m", 1), 1000, 3.0), Outcome::DuplicateOtherValue { .. }));
    assert_eq!(append(&db, &labels("m", 1), 1001, 3.0), Outcome::Stored);
    assert_eq!(add(&db, "m", 1001, histogram(1)), Outcome::DuplicateOtherValue { existing: 3.0 });
    assert_eq!((db.counters().histograms_stored, db.counters().samples_stored), (1, 1));
}

#[test]
fn one_request_with_a_series_twice() {
    let (db, _) = open(&TwinFs::new());
    let series = db.series_ref(&labels("m", 1)).unwrap();
    let sample = |time_ms, n| HistogramSample {
        series: series.clone(),
        time_ms,
        start_ms: 5,
        histogram: histogram(n),
    };
    let outcomes =
        db.append_histograms(&[sample(10, 1), sample(20, 2), sample(20, 2), sample(20, 3)], NOW).unwrap();
    let other = Outcome::DuplicateOtherValue { existing: 3.0 };
    assert_eq!(outcomes, [Outcome::Stored, Outcome::Stored, Outcome::Duplicate, other]);
    let found = only(&db).histograms;
    assert_eq!(found.iter().map(|point| (point.time, point.start)).collect::<Vec<_>>(), [(10, 5), (20, 5)]);
    assert!(found[1].histogram.is_identical(&histogram(2)));
}

#[test]
fn a_float_marker_ends_a_series_of_histograms() {
    for (first, is_float) in [(histogram(1), false), (floats(1), true)] {
        let fs = TwinFs::new();
        let (db, _) = open(&fs);
        add(&db, "m", 10, first);
        assert_eq!(append(&db, &labels("m", 1), 20, f64::from_bits(STALE_NAN_BITS)), Outcome::Stored);
        db.sync().unwrap();
        drop(db);
        fs.crash();
        let (db, _) = open(&fs);
        let found = only(&db);
        assert!(found.times.is_empty());
        assert_eq!(times(&found.histograms), [10, 20]);
        assert!(is_stale(found.histograms[1].histogram.sum));
        assert_eq!(found.histograms[1].histogram.is_float(), is_float);
        // And the series goes on with either.
        assert_eq!(append(&db, &labels("m", 1), 30, 1.0), Outcome::Stored);
        assert_eq!(append(&db, &labels("m", 1), 40, f64::from_bits(STALE_NAN_BITS)), Outcome::Stored);
        assert_eq!(only(&db).times, [30, 40]);
    }
}

/// Floats and histograms by turns over some blocks, with a restart in the middle and upkeep at the end.
#[test]
fn mixed_series_survive_restarts_flushes_and_merges() {
    let fs = TwinFs::new();
    let (mut db, _) = open(&fs);
    let (mut want_floats, mut want_histograms) = (Vec::new(), Vec::new());
    for step in 0..120i64 {
        let time = step * 100;
        if step % 7 < 3 {
            assert_eq!(append(&db, &labels("m", 1), time, step as f64), Outcome::Stored);
            want_floats.push(time);
        } else {
            let n = step.unsigned_abs();
            let value = if step % 2 == 0 { histogram(n) } else { floats(n) };
            assert_eq!(add(&db, "m", time, value), Outcome::Stored);
            want_histograms.push(time);
        }
        if step % 10 == 9 {
            db.maintain(NOW).unwrap();
        }
        if step % 25 == 24 {
            db.sync().unwrap();
            drop(db);
            fs.crash();
            let (again, report) = open(&fs);
            assert!(report.damage.is_empty(), "{:?}", report.damage);
            db = again;
        }
        let found = only(&db);
        assert_eq!(found.times, want_floats);
        assert_eq!(times(&found.histograms), want_histograms);
    }
    for point in only(&db).histograms {
        let n = (point.time / 100).unsigned_abs();
        let want = if n % 2 == 0 { histogram(n) } else { floats(n) };
        assert!(point.histogram.is_identical(&want), "{}", point.time);
    }
    let n_histograms: u64 = db.blocks().iter().map(|block| block.n_histogram_samples).sum();
    assert!(n_histograms > 40, "{n_histograms} in blocks");
}

#[test]
fn a_repeated_request_after_a_restart_is_no_error() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    for time in (0..5000).step_by(500) {
        add(&db, "m", time, histogram(1));
    }
    db.maintain(NOW).unwrap();
    db.sync().unwrap();
    drop(db);
    fs.crash();
    let (db, _) = open(&fs);
    assert_eq!(add(&db, "m", 4500, histogram(1)), Outcome::Duplicate);
    assert_eq!(add(&db, "m", 4500, histogram(2)), Outcome::DuplicateOtherValue { existing: 1.5 });
    // The marker that ends it is of its kind, too, and no duplicate of it.
    let stale = f64::from_bits(STALE_NAN_BITS);
    assert_eq!(append(&db, &labels("m", 1), 4500, stale), Outcome::DuplicateOtherValue { existing: 1.5 });
}

#[test]
fn start_timestamps_come_back_and_cost_nothing_where_there_are_none() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    let series = db.series_ref(&labels("m", 1)).unwrap();
    let start_of = |time: i64| if time < 1000 { 0 } else { time / 2000 * 2000 };
    for time_ms in (0..6000).step_by(100) {
        let sample =
            Sample { series: series.clone(), time_ms, value: time_ms as f64, start_ms: start_of(time_ms) };
        assert_eq!(db.append(&[sample], NOW).unwrap(), [Outcome::Stored]);
    }
    let want: Vec<i64> = (0..6000).step_by(100).map(start_of).collect();
    assert_eq!(only(&db).starts, want, "from the head");
    db.sync().unwrap();
    drop(db);
    fs.crash();
    let (db, _) = open(&fs);
    assert_eq!(only(&db).starts, want, "from the log");
    db.maintain(NOW).unwrap();
    append(&db, &labels("m", 1), 7000, 1.0);
    let found = only(&db);
    assert_eq!(found.starts[..want.len()], want, "from blocks and head");
    assert_eq!(found.starts.len(), found.times.len());
    append(&db, &labels("n", 1), 7000, 1.0);
    assert!(find(&db)[1].starts.is_empty());
}
