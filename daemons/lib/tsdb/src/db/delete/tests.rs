//! What comes between the steps of a deletion. `tests/tsdb/delete.rs` has the rest.

use cairn_disk::TwinFs;
use cairn_model::{Histogram, Labels, TimeMs};
use cairn_promql::source::{SampleSource, Selection};

use super::*;
use crate::append::{HistogramSample, Outcome, Sample};
use crate::{Db, Options};

const NOW_MS: i64 = 1_000_000;
const ALWAYS: Range<'_> = Range { matcher_sets: &[Vec::new()], start: i64::MIN, end: i64::MAX };

struct World {
    fs: TwinFs,
    window_ms: i64,
    db: Db,
}

impl World {
    /// One series with samples at 100, 200 and so on up to 1000, in blocks of a second.
    fn new(window_ms: i64) -> Self {
        let fs = TwinFs::new();
        let db = open(&fs, window_ms);
        let world = Self { fs, window_ms, db };
        for time in (100..=1000).step_by(100) {
            assert_eq!(world.append(time, 1.0), Outcome::Stored);
        }
        world
    }

    fn append(&self, time_ms: i64, value: f64) -> Outcome {
        let series = self.db.series_ref(&Labels::from_pairs([("__name__", "m")])).unwrap();
        self.db.append(&[Sample { series, time_ms, value, start_ms: 0 }], TimeMs(NOW_MS)).unwrap()[0]
    }

    fn append_histogram(&self, time_ms: i64, sum: f64) -> Outcome {
        let series = self.db.series_ref(&Labels::from_pairs([("__name__", "m")])).unwrap();
        let histogram = Arc::new(Histogram::without_observations(sum, false));
        let sample = HistogramSample { series, time_ms, start_ms: 0, histogram };
        self.db.append_histograms(&[sample], TimeMs(NOW_MS)).unwrap()[0]
    }

    fn found(&self) -> Vec<(i64, f64)> {
        let selection = Selection { matchers: &[], start: TimeMs::MIN, end: TimeMs::MAX };
        let found = self.db.view().select(&selection).unwrap();
        found.iter().flat_map(|series| series.times.iter().copied().zip(series.values.clone())).collect()
    }

    fn cover(&self) -> Covered {
        self.db.inner.cover(NOW_MS).unwrap()
    }

    fn forget_tips(&self, covered: &Covered, range: Range<'_>) {
        self.db.inner.forget_tips(covered, range, NOW_MS).unwrap();
    }

    fn hide(&self, covered: &Covered, range: Range<'_>) {
        self.db.inner.hide(covered, range).unwrap();
    }

    /// After a loss of power.
    fn again(self) -> Self {
        self.db.sync().unwrap();
        let Self { fs, window_ms, db } = self;
        drop(db);
        fs.crash();
        let db = open(&fs, window_ms);
        Self { fs, window_ms, db }
    }
}

fn open(fs: &TwinFs, window_ms: i64) -> Db {
    let fs: Arc<dyn cairn_disk::Fs> = Arc::new(fs.clone());
    let options = Options { block_ms: 1000, out_of_order_window_ms: window_ms, ..Options::new("/data", fs) };
    Db::open(options, &|_| {}).unwrap().0
}

#[test]
fn a_late_sample_meanwhile_does_not_keep_the_tip() {
    let mut world = World::new(1000);
    let covered = world.cover();
    assert_eq!(world.append(750, 7.0), Outcome::Stored);
    world.forget_tips(&covered, ALWAYS);
    world.hide(&covered, ALWAYS);
    for _ in 0..2 {
        assert_eq!(world.found(), [(750, 7.0)]);
        assert_eq!(world.append(750, 7.0), Outcome::Duplicate);
        assert_eq!(world.append(750, 8.0), Outcome::DuplicateOtherValue { existing: 7.0 });
        world = world.again();
    }
    assert_eq!(world.append(1000, 2.0), Outcome::Stored, "the newest one before, which is deleted");
    assert_eq!(world.found(), [(750, 7.0), (1000, 2.0)]);
}

#[test]
fn a_late_histogram_meanwhile_is_the_newest_then() {
    let mut world = World::new(1000);
    assert_eq!(world.append_histogram(1100, 9.0), Outcome::Stored);
    let covered = world.cover();
    assert_eq!(world.append_histogram(750, 7.0), Outcome::Stored);
    world.forget_tips(&covered, ALWAYS);
    world.hide(&covered, ALWAYS);
    for _ in 0..2 {
        assert_eq!(world.append_histogram(750, 7.0), Outcome::Duplicate);
        assert_eq!(world.append_histogram(750, 9.0), Outcome::DuplicateOtherValue { existing: 7.0 });
        world = world.again();
    }
    assert_eq!(world.append_histogram(1100, 8.0), Outcome::Stored);
}

#[test]
fn a_newer_sample_meanwhile_keeps_the_tip_also_when_it_is_flushed() {
    for is_flushed in [false, true] {
        let mut world = World::new(0);
        let covered = world.cover();
        assert_eq!(world.append(1100, 7.0), Outcome::Stored);
        if is_flushed {
            world.db.flush(TimeMs(NOW_MS)).unwrap();
        }
        world.forget_tips(&covered, ALWAYS);
        if is_flushed {
            world.db.flush(TimeMs(NOW_MS)).unwrap();
        }
        world.hide(&covered, ALWAYS);
        for _ in 0..2 {
            assert_eq!(world.found(), [(1100, 7.0)]);
            assert_eq!(world.append(1100, 7.0), Outcome::Duplicate);
            assert_eq!(world.append(1000, 7.0), Outcome::OutOfOrder);
            world = world.again();
        }
    }
}

#[test]
fn what_is_sent_again_between_the_steps_is_seen_after_them() {
    let range = Range { start: 1000, ..ALWAYS };
    for between in ["tips", "tombstones"] {
        let mut world = World::new(0);
        let covered = world.cover();
        world.forget_tips(&covered, range);
        if between == "tips" {
            assert_eq!(world.append(1000, 3.0), Outcome::Stored);
            assert_eq!(world.found().last(), Some(&(1000, 1.0)), "not deleted yet");
            world.db.flush(TimeMs(NOW_MS)).unwrap();
        }
        world.hide(&covered, range);
        if between == "tombstones" {
            assert_eq!(world.append(1000, 3.0), Outcome::Stored);
        }
        for _ in 0..2 {
            assert_eq!(world.found().last(), Some(&(1000, 3.0)), "{between}");
            assert_eq!(world.found().len(), 10);
            world = world.again();
        }
    }
}

#[test]
fn power_off_between_the_steps() {
    for n_steps in 1..=3 {
        let mut world = World::new(0);
        let covered = world.cover();
        if n_steps > 1 {
            world.forget_tips(&covered, ALWAYS);
        }
        if n_steps > 2 {
            world.hide(&covered, ALWAYS);
        }
        drop(covered);
        world = world.again();
        assert!(world.append(1000, 1.0).is_kept(), "{n_steps}");
        assert_eq!(world.found().last(), Some(&(1000, 1.0)), "{n_steps}");
        assert_eq!(world.found().len(), if n_steps > 2 { 1 } else { 10 });
    }
}

#[test]
fn tips_outside_of_the_range_stay() {
    let world = World::new(0);
    for range in [Range { end: 999, ..ALWAYS }, Range { start: 1001, ..ALWAYS }] {
        let covered = world.cover();
        world.forget_tips(&covered, range);
        assert_eq!(world.append(1000, 2.0), Outcome::DuplicateOtherValue { existing: 1.0 });
    }
}
