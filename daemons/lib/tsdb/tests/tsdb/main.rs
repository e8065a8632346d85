//! The metrics engine from outside: rules of appending, crashes at every place, damage, full disks.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

mod crash;
mod damage;
mod delete;
mod exemplars;
mod failures;
mod find;
mod format_page;
mod full_disk;
mod histograms;
mod late;
mod model;
mod overlap;
mod rules;
mod snapshot;
mod upkeep;
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_disk::{Fs, TwinFs};
use cairn_model::{Labels, Matcher, TimeMs};
use cairn_promql::source::{HistogramPoint, SampleSource, Selection, SeriesData, is_stale};
use cairn_tsdb::{Db, OpenReport, Options, Outcome, Sample};

/// Blocks of one second: a test makes dozens of them.
const BLOCK_MS: i64 = 1000;

const NOW: TimeMs = TimeMs(1_000_000_000);

fn options(fs: &TwinFs) -> Options {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    Options { block_ms: BLOCK_MS, retention_ms: None, wal_segment_bytes: 2000, ..Options::new("/data", fs) }
}

fn open(fs: &TwinFs) -> (Db, OpenReport) {
    Db::open(options(fs), &|_| {}).unwrap()
}

fn labels(name: &str, instance: u8) -> Labels {
    Labels::from_pairs([("__name__", name), ("instance", &format!("host-{instance}")), ("job", "test")])
}

/// Appends one sample, resolving the series anew each time.
fn append(db: &Db, labels: &Labels, time_ms: i64, value: f64) -> Outcome {
    let series = db.series_ref(labels).unwrap();
    db.append(&[Sample { series, time_ms, value, start_ms: 0 }], NOW).unwrap()[0]
}

/// Bits that stand for [`histograms::histogram`] of their lowest ones: a NaN that no float has.
const HISTOGRAM_TAG: u64 = 0xffff_0000_0000_0000;

/// All samples by series: what the model of each test is compared with. Values as bits, so that NaN equals itself;
/// histograms as [`HISTOGRAM_TAG`] says, the marker among them as that of floats.
type Content = BTreeMap<Labels, BTreeMap<i64, u64>>;

/// The last sample of a series.
fn last(series: &SeriesData) -> (Arc<Labels>, Option<(i64, u64)>) {
    let float = series.times.last().zip(series.values.last()).map(|(time, value)| (*time, value.to_bits()));
    let histogram = series.histograms.last().map(|point| (point.time, bits_of(point)));
    (Arc::clone(&series.labels), float.max(histogram))
}

fn select(db: &Db, matchers: &[Matcher], start: i64, end: i64) -> Content {
    let selection = Selection { matchers, start: TimeMs(start), end: TimeMs(end) };
    let found = db.view().select(&selection).unwrap();
    assert!(found.is_sorted_by(|a, b| a.labels < b.labels), "ascending, each series once");
    let newest = db.view().newest(&selection).unwrap();
    let lasts = |series: &[SeriesData]| series.iter().map(last).collect::<Vec<_>>();
    // Some tests write at the same time.
    if lasts(&db.view().select(&selection).unwrap()) == lasts(&found) {
        assert_eq!(lasts(&newest), lasts(&found));
    }
    assert!(newest.iter().all(|one| one.times.len() + one.histograms.len() == 1));
    found
        .into_iter()
        .map(|series| {
            assert_eq!(series.times.len(), series.values.len());
            assert!(series.times.is_sorted_by(|a, b| a < b), "{}: {:?}", series.labels, series.times);
            assert!(series.histograms.is_sorted_by(|a, b| a.time < b.time));
            let n_samples = series.times.len() + series.histograms.len();
            let floats = series.times.into_iter().zip(series.values.into_iter().map(f64::to_bits));
            let histograms = series.histograms.iter().map(|point| (point.time, bits_of(point)));
            let samples: BTreeMap<i64, u64> = floats.chain(histograms).collect();
            assert_eq!(samples.len(), n_samples, "{}: each time once", series.labels);
            ((*series.labels).clone(), samples)
        })
        .collect()
}

fn bits_of(point: &HistogramPoint) -> u64 {
    let sum = point.histogram.sum;
    if is_stale(sum) {
        return sum.to_bits();
    }
    let n = (0..10).find(|n| point.histogram.is_identical(&histograms::histogram(*n)));
    HISTOGRAM_TAG | n.unwrap_or_else(|| panic!("never stored: {:?}", point.histogram))
}

/// Times and start timestamps of the only series.
fn select_starts(db: &Db) -> Vec<(i64, i64)> {
    let selection = Selection { matchers: &[], start: TimeMs::MIN, end: TimeMs::MAX };
    let mut found = db.view().select(&selection).unwrap();
    assert_eq!(found.len(), 1);
    let series = found.remove(0);
    series.times.into_iter().zip(series.starts).collect()
}

fn everything(db: &Db) -> Content {
    select(db, &[], i64::MIN, i64::MAX)
}

fn n_samples(content: &Content) -> usize {
    content.values().map(BTreeMap::len).sum()
}
