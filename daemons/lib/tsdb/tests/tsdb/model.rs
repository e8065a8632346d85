//! The engine against plain maps: random appends, maintenance, failures and crashes; nothing synced is lost, nothing
//! is answered twice, nothing appears that was refused.

use std::collections::BTreeMap;

use cairn_disk::TwinFs;
use cairn_promql::source::STALE_NAN_BITS;
use cairn_tsdb::{Db, HistogramSample, Outcome, Sample, SeriesRef};
use proptest::prelude::*;

use crate::histograms::histogram;
use crate::{BLOCK_MS, Content, HISTOGRAM_TAG, NOW, everything, labels, open, select};

#[derive(Clone, Debug)]
enum Step {
    /// Samples of some series, each so many milliseconds after the newest of all (or before).
    Append(Vec<(u8, i16, u8)>),
    /// As `Append`, native histograms.
    AppendHistograms(Vec<(u8, i16, u8)>),
    /// Time goes on for everybody.
    Scrape {
        series: u8,
        steps: u8,
    },
    Sync,
    Maintain,
    Flush,
    Query(u16, u16),
    FailSync(u8),
    FailWrite(u8),
    FillDisk(u16),
    FreeSpace,
    PowerOff(u8),
    Crash(Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    // The last value is a staleness marker.
    let sample = (0u8..6, -700i16..300, 0u8..4);
    let histogram = (0u8..6, -700i16..300, 0u8..3);
    prop_oneof![
        6 => prop::collection::vec(sample, 1..8).prop_map(Step::Append),
        4 => prop::collection::vec(histogram, 1..8).prop_map(Step::AppendHistograms),
        6 => (1u8..6, 1u8..20).prop_map(|(series, steps)| Step::Scrape { series, steps }),
        4 => Just(Step::Sync),
        4 => Just(Step::Maintain),
        2 => Just(Step::Flush),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(from, to)| Step::Query(from, to)),
        1 => (1u8..6).prop_map(Step::FailSync),
        1 => (1u8..20).prop_map(Step::FailWrite),
        1 => (0u16..2000).prop_map(Step::FillDisk),
        2 => Just(Step::FreeSpace),
        1 => (1u8..60).prop_map(Step::PowerOff),
        2 => prop::option::of(any::<u64>()).prop_map(Step::Crash),
    ]
}

struct World {
    fs: TwinFs,
    db: Db,
    refs: BTreeMap<u8, SeriesRef>,
    stored: Content,
    durable: Content,
}

impl World {
    fn new() -> Self {
        let fs = TwinFs::new();
        let (db, _) = open(&fs);
        Self { fs, db, refs: BTreeMap::new(), stored: Content::new(), durable: Content::new() }
    }

    fn newest(&self) -> i64 {
        self.stored.values().filter_map(|samples| samples.keys().last()).max().copied().unwrap_or(0)
    }

    /// The rules, said plainly.
    fn judge(&self, series: u8, time: i64, bits: u64, oldest_accepted: i64) -> Outcome {
        if time < oldest_accepted {
            return Outcome::TooOld;
        }
        let last = self.stored.get(&labels("m", series)).and_then(|samples| samples.last_key_value());
        match last {
            Some((&last, &last_bits)) if last == time && last_bits == bits => Outcome::Duplicate,
            Some((&last, &last_bits)) if last == time => {
                Outcome::DuplicateOtherValue { existing: f64::from_bits(last_bits) }
            }
            Some((&last, _)) if last > time => Outcome::OutOfOrder,
            _ => Outcome::Stored,
        }
    }

    /// Whether all series could be resolved.
    fn resolve(&mut self, wanted: impl Iterator<Item = u8>) -> bool {
        for series in wanted {
            if self.refs.get(&series).is_none_or(SeriesRef::is_dropped) {
                let Ok(resolved) = self.db.series_ref(&labels("m", series)) else { return false };
                self.refs.insert(series, resolved);
            }
        }
        true
    }

    fn oldest_accepted(&self) -> i64 {
        let newest = self.stored.values().flat_map(|samples| samples.keys()).max();
        newest.map_or(i64::MIN, |newest| newest - BLOCK_MS / 2)
    }

    fn append(&mut self, samples: &[(u8, i64, f64)]) -> Result<(), TestCaseError> {
        if !self.resolve(samples.iter().map(|(series, ..)| *series)) {
            return Ok(());
        }
        let oldest_accepted = self.oldest_accepted();
        let batch: Vec<Sample> = samples
            .iter()
            .map(|&(series, time_ms, value)| Sample {
                series: self.refs[&series].clone(),
                time_ms,
                value,
                start_ms: 0,
            })
            .collect();
        let Ok(outcomes) = self.db.append(&batch, NOW) else {
            // Markers of histograms go into a record of their own, so the floats may be stored.
            let found = everything(&self.db);
            for &(series, time, value) in samples {
                let there = found.get(&labels("m", series)).and_then(|samples| samples.get(&time));
                if there == Some(&value.to_bits()) {
                    self.stored.entry(labels("m", series)).or_default().insert(time, value.to_bits());
                }
            }
            return Ok(());
        };
        for (&(series, time, value), outcome) in samples.iter().zip(outcomes) {
            let want = self.judge(series, time, value.to_bits(), oldest_accepted);
            prop_assert!(
                is_same(outcome, want),
                "{:?} for {:?}: series {} at {}",
                outcome,
                want,
                series,
                time
            );
            if outcome == Outcome::Stored {
                self.stored.entry(labels("m", series)).or_default().insert(time, value.to_bits());
            }
        }
        Ok(())
    }

    fn append_histograms(&mut self, samples: &[(u8, i64, u64)]) -> Result<(), TestCaseError> {
        if !self.resolve(samples.iter().map(|(series, ..)| *series)) {
            return Ok(());
        }
        let oldest_accepted = self.oldest_accepted();
        let sample = |&(series, time_ms, n): &(u8, i64, u64)| HistogramSample {
            series: self.refs[&series].clone(),
            time_ms,
            start_ms: 0,
            histogram: histogram(n),
        };
        let batch: Vec<_> = samples.iter().map(sample).collect();
        let Ok(outcomes) = self.db.append_histograms(&batch, NOW) else { return Ok(()) };
        for (&(series, time, n), outcome) in samples.iter().zip(outcomes) {
            let bits = HISTOGRAM_TAG | n;
            let want = self.judge(series, time, bits, oldest_accepted);
            // After a flush and a restart nobody knows which histogram it was.
            let may_be_unknown =
                matches!(want, Outcome::DuplicateOtherValue { existing } if existing.is_nan());
            let is_right = is_same(outcome, want) || (may_be_unknown && outcome == Outcome::Duplicate);
            prop_assert!(is_right, "{:?} for {:?}: series {} at {}", outcome, want, series, time);
            if outcome == Outcome::Stored {
                self.stored.entry(labels("m", series)).or_default().insert(time, bits);
            }
        }
        Ok(())
    }

    fn crash(&mut self, seed: Option<u64>) -> Result<(), TestCaseError> {
        match seed {
            Some(seed) => self.fs.crash_torn(seed),
            None => self.fs.crash(),
        }
        self.fs.set_capacity(None);
        self.refs.clear();
        let (db, report) = open(&self.fs);
        prop_assert!(report.damage.is_empty(), "{:?}", report.damage);
        self.db = db;
        let found = everything(&self.db);
        check_between(&self.durable, &found, &self.stored)?;
        // What survived without a sync is as good as stored, and may still be lost by the next crash.
        self.stored = found;
        Ok(())
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Append(samples) => {
                let newest = self.newest();
                let value = |value| match value {
                    3 => f64::from_bits(STALE_NAN_BITS),
                    value => f64::from(value),
                };
                let samples: Vec<_> = samples
                    .into_iter()
                    .map(|(series, offset, n)| (series, newest + i64::from(offset), value(n)))
                    .collect();
                self.append(&samples)?;
            }
            Step::AppendHistograms(samples) => {
                let newest = self.newest();
                let samples: Vec<_> = samples
                    .into_iter()
                    .map(|(series, offset, n)| (series, newest + i64::from(offset), u64::from(n)))
                    .collect();
                self.append_histograms(&samples)?;
            }
            Step::Scrape { series, steps } => {
                for _ in 0..steps {
                    let time = self.newest() + 50;
                    let samples: Vec<_> =
                        (0..series).map(|series| (series, time, f64::from(series))).collect();
                    self.append(&samples)?;
                }
            }
            Step::Sync => {
                if self.db.sync().is_ok() {
                    self.durable = self.stored.clone();
                }
            }
            Step::Maintain => {
                let _ = self.db.maintain(NOW);
            }
            Step::Flush => {
                let _ = self.db.flush(NOW);
            }
            Step::Query(a, b) => {
                let (start, end) = (i64::from(a.min(b)), i64::from(a.max(b)));
                prop_assert_eq!(select(&self.db, &[], start, end), trimmed(&self.stored, start, end));
            }
            Step::FailSync(nth) => self.fs.fail_nth_sync(u64::from(nth)),
            Step::FailWrite(nth) => self.fs.fail_nth_write(u64::from(nth)),
            Step::FillDisk(room) => self.fs.set_capacity(Some(self.fs.used_bytes() + u64::from(room))),
            Step::FreeSpace => self.fs.set_capacity(None),
            Step::PowerOff(nth) => self.fs.power_off_at(u64::from(nth)),
            Step::Crash(seed) => self.crash(seed)?,
        }
        Ok(())
    }
}

/// Equal outcomes; which NaN stands for a histogram or a marker that is there already is not told.
fn is_same(a: Outcome, b: Outcome) -> bool {
    match (a, b) {
        (Outcome::DuplicateOtherValue { existing: a }, Outcome::DuplicateOtherValue { existing: b }) => {
            // Of a histogram the outcome has the sum.
            a == b || a.is_nan() || b.is_nan()
        }
        (a, b) => a == b,
    }
}

fn trimmed(content: &Content, start: i64, end: i64) -> Content {
    content
        .iter()
        .map(|(labels, samples)| {
            (labels.clone(), samples.range(start..=end).map(|(&t, &v)| (t, v)).collect())
        })
        .filter(|(_, samples): &(_, BTreeMap<i64, u64>)| !samples.is_empty())
        .collect()
}

fn check_between(at_least: &Content, found: &Content, at_most: &Content) -> Result<(), TestCaseError> {
    for (small, large, what) in [(at_least, found, "lost"), (found, at_most, "never stored")] {
        for (labels, samples) in small {
            for (time, bits) in samples {
                let there = large.get(labels).and_then(|samples| samples.get(time));
                prop_assert_eq!(there, Some(bits), "{}: {} at {}", what, labels, time);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_like_plain_maps_and_loses_nothing_synced(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        for step in steps {
            world.run(step)?;
        }
        // Space and power come back: everything works again, and all that was stored is there.
        world.crash(Some(7))?;
        world.run(Step::Scrape { series: 3, steps: 60 })?;
        world.db.sync().unwrap();
        world.durable = world.stored.clone();
        world.db.maintain(NOW).unwrap();
        prop_assert_eq!(&everything(&world.db), &world.stored);
        world.crash(None)?;
        prop_assert_eq!(&everything(&world.db), &world.stored);
    }
}
