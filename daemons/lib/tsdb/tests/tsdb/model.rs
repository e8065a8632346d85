//! The engine against plain maps: random appends, maintenance, failures and crashes; nothing synced is lost, nothing
//! is answered twice, nothing appears that was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use cairn_disk::{TwinFs, TwinOp};
use cairn_model::{Labels, Matcher, TimeMs};
use cairn_promql::source::{STALE_NAN_BITS, SeriesData};
use cairn_tsdb::{BlockId, Db, HistogramSample, Options, Outcome, Sample, SeriesRef};
use proptest::prelude::*;

use crate::histograms::histogram;
use crate::{BLOCK_MS, Content, HISTOGRAM_TAG, NOW, everything, labels, options, select};

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
    /// One series, from and to so many milliseconds before the newest sample.
    Delete(u8, i16, i16),
    CleanTombstones,
    /// Whether the head is left out.
    Snapshot(bool),
    Query(u16, u16),
    /// A block from elsewhere: of which series, samples at so many milliseconds before the newest of all, and a value.
    Import(u8, Vec<u16>, u8),
    FailSync(u8),
    FailWrite(u8),
    /// Of a kind of operation, which one from now on fails, and how many of them.
    Fail(TwinOp, u8, u8),
    FillDisk(u16),
    FreeSpace,
    PowerOff(u8),
    Crash(Option<u64>),
    /// The process dies, the kernel goes on.
    Kill,
}

const N_SERIES: u8 = 6;

fn step() -> impl Strategy<Value = Step> {
    // The last value is a staleness marker.
    let sample = (0..N_SERIES, -1200i16..300, 0u8..4);
    let histogram = (0..N_SERIES, -1200i16..300, 0u8..3);
    prop_oneof![
        6 => prop::collection::vec(sample, 1..8).prop_map(Step::Append),
        4 => prop::collection::vec(histogram, 1..8).prop_map(Step::AppendHistograms),
        6 => (1u8..6, 1u8..20).prop_map(|(series, steps)| Step::Scrape { series, steps }),
        4 => Just(Step::Sync),
        4 => Just(Step::Maintain),
        2 => Just(Step::Flush),
        2 => (0..N_SERIES, -3000i16..300, -3000i16..300).prop_map(|(series, a, b)| Step::Delete(series, a, b)),
        1 => Just(Step::CleanTombstones),
        1 => any::<bool>().prop_map(Step::Snapshot),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(from, to)| Step::Query(from, to)),
        1 => (0..N_SERIES, prop::collection::vec(0u16..4000, 1..6), 0u8..3)
            .prop_map(|(series, ages, n)| Step::Import(series, ages, n)),
        2 => (prop::sample::select(&TwinOp::ALL[..]), 1u8..12, 1u8..6)
            .prop_map(|(op, nth, n)| Step::Fail(op, nth, n)),
        1 => (1u8..6).prop_map(Step::FailSync),
        1 => (1u8..20).prop_map(Step::FailWrite),
        1 => (0u16..2000).prop_map(Step::FillDisk),
        2 => Just(Step::FreeSpace),
        1 => (1u8..60).prop_map(Step::PowerOff),
        2 => prop::option::of(any::<u64>()).prop_map(Step::Crash),
        1 => Just(Step::Kill),
    ]
}

/// What differs from one run to the other.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// How late a sample may be.
    window_ms: i64,
    /// Nothing is deleted where there is one: the newest sample, which it counts from, could go.
    retention_ms: Option<i64>,
}

fn rules() -> impl Strategy<Value = Rules> {
    let window_ms = prop_oneof![Just(0), Just(300), Just(1000)];
    let retention_ms = prop_oneof![3 => Just(None), 1 => Just(Some(2500))];
    (window_ms, retention_ms).prop_map(|(window_ms, retention_ms)| Rules { window_ms, retention_ms })
}

struct World {
    rules: Rules,
    fs: TwinFs,
    db: Db,
    /// Series of which something was deleted, or that may have left for a newest sample that was: what they judge by may
    /// be gone, or not.
    unsure: BTreeSet<u8>,
    /// Also of what a crash took back: what was too old then may be gone since.
    newest_ever: i64,
    n_snapshots: usize,
    n_imports: u64,
    /// A sync fails or failed since the last crash, or power goes: bytes can be read that never will be durable.
    may_be_lost: bool,
    refs: BTreeMap<u8, SeriesRef>,
    stored: Content,
    durable: Content,
    /// What a deletion that failed may have hidden on the disk already: a crash shows which.
    may_go: BTreeSet<(Labels, i64)>,
}

impl World {
    fn new(rules: Rules) -> Self {
        let fs = TwinFs::new();
        let (db, _) = Db::open(with_rules(rules, &fs), &|_| {}).unwrap();
        let (refs, unsure) = (BTreeMap::new(), BTreeSet::new());
        let (stored, durable) = (Content::new(), Content::new());
        Self {
            rules,
            fs,
            db,
            unsure,
            newest_ever: i64::MIN,
            n_snapshots: 0,
            n_imports: 0,
            may_be_lost: false,
            refs,
            stored,
            durable,
            may_go: BTreeSet::new(),
        }
    }

    /// What is answered of what is stored.
    fn seen(&self, content: &Content, start: i64, end: i64) -> Content {
        let newest = self.stored.values().filter_map(|samples| samples.keys().last()).max();
        let oldest = newest.map_or(i64::MIN, |&newest| self.oldest_seen(newest));
        trimmed(content, start.max(oldest), end)
    }

    fn oldest_seen(&self, newest: i64) -> i64 {
        self.rules.retention_ms.map_or(i64::MIN, |retention_ms| newest.saturating_sub(retention_ms))
    }

    fn newest(&self) -> i64 {
        self.stored.values().filter_map(|samples| samples.keys().last()).max().copied().unwrap_or(0)
    }

    /// The rules, said plainly.
    fn judge(&self, series: u8, time: i64, bits: u64, newest: Option<i64>) -> Outcome {
        let window_ms = self.rules.window_ms;
        let back = |ms| newest.map_or(i64::MIN, |newest| newest - ms);
        let too_old = if window_ms > 0 { Outcome::BeforeWindow } else { Outcome::TooOld };
        if time < back((BLOCK_MS / 2).max(window_ms)) {
            return too_old;
        }
        let samples = self.stored.get(&labels("m", series));
        match samples.and_then(|samples| samples.last_key_value()) {
            Some((&last, &last_bits)) if last == time => same_time(last_bits, bits),
            Some((&last, _)) if last > time && window_ms == 0 => Outcome::OutOfOrder,
            Some((&last, _)) if last > time && time < back(window_ms) => Outcome::BeforeWindow,
            _ => Outcome::Stored,
        }
    }

    /// Whether the engine may say something else than the rules: a late sample at a time that the series has one at is
    /// known as a duplicate while that one is in memory, and stored a second time, for nobody to see, when it is in a
    /// block; and a series that left the head begins anew, as one does of which the newest sample was deleted.
    fn may_be(&self, series: u8, time: i64, bits: u64, outcome: Outcome) -> bool {
        let samples = self.stored.get(&labels("m", series));
        match samples.and_then(|samples| samples.get(&time)) {
            Some(&there) => {
                // At the time of a sample of the other kind a late one is out of order.
                outcome == Outcome::Stored
                    || outcome == Outcome::OutOfOrder
                    || is_same(outcome, same_time(there, bits))
            }
            None => self.rules.window_ms > 0 && outcome == Outcome::Stored,
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

    /// The newest time that the engine has seen.
    fn newest_seen(&self) -> Option<i64> {
        self.db.head_stats(0).max_time_ms
    }

    fn append(&mut self, samples: &[(u8, i64, f64)]) -> Result<(), TestCaseError> {
        if !self.resolve(samples.iter().map(|(series, ..)| *series)) {
            return Ok(());
        }
        let newest = self.newest_seen();
        let batch: Vec<Sample> = samples
            .iter()
            .map(|&(series, time_ms, value)| Sample {
                series: self.refs[&series].clone(),
                time_ms,
                value,
                start_ms: 0,
            })
            .collect();
        // What the log refuses leaves nothing: each step is one unit.
        let Ok(outcomes) = self.db.append(&batch, NOW) else { return Ok(()) };
        for (&(series, time, value), outcome) in samples.iter().zip(outcomes) {
            let bits = value.to_bits();
            let want = self.judge(series, time, bits, newest);
            let is_right = is_same(outcome, want) || self.unsure.contains(&series) || {
                let is_late = !matches!(want, Outcome::TooOld | Outcome::BeforeWindow | Outcome::OutOfOrder);
                is_late && self.may_be(series, time, bits, outcome)
            };
            prop_assert!(is_right, "series {} at {}: {:?} instead of {:?}", series, time, outcome, want);
            if outcome == Outcome::Stored {
                // Of two values at one time the first one stays.
                self.stored.entry(labels("m", series)).or_default().entry(time).or_insert(bits);
                self.newest_ever = self.newest_ever.max(time);
            }
        }
        Ok(())
    }

    fn append_histograms(&mut self, samples: &[(u8, i64, u64)]) -> Result<(), TestCaseError> {
        if !self.resolve(samples.iter().map(|(series, ..)| *series)) {
            return Ok(());
        }
        let newest = self.newest_seen();
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
            let want = self.judge(series, time, bits, newest);
            let is_right = is_same(outcome, want) || self.unsure.contains(&series) || {
                let is_late = !matches!(want, Outcome::TooOld | Outcome::BeforeWindow | Outcome::OutOfOrder);
                is_late && self.may_be(series, time, bits, outcome)
            };
            prop_assert!(is_right, "{:?} for {:?}: series {} at {}", outcome, want, series, time);
            if outcome == Outcome::Stored {
                self.stored.entry(labels("m", series)).or_default().entry(time).or_insert(bits);
                self.newest_ever = self.newest_ever.max(time);
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
        self.may_be_lost = false;
        let kept = trimmed(&self.durable, self.oldest_seen(self.newest_ever), i64::MAX);
        self.reopen(&kept)
    }

    /// Nothing that was appended is lost, whether it was synced or not.
    fn kill(&mut self) -> Result<(), TestCaseError> {
        if self.may_be_lost {
            return self.crash(None);
        }
        self.fs.heal();
        let kept = trimmed(&self.stored, self.oldest_seen(self.newest_ever), i64::MAX);
        self.reopen(&kept)
    }

    /// Opens the database again, which has to have what is `kept`, and nothing that was never stored.
    fn reopen(&mut self, kept: &Content) -> Result<(), TestCaseError> {
        self.refs.clear();
        let newest_before = self.newest_seen();
        let (db, report) = Db::open(with_rules(self.rules, &self.fs), &|_| {}).unwrap();
        prop_assert!(report.damage.is_empty(), "{:?}", report.damage);
        self.db = db;
        if !self.unsure.is_empty() && self.newest_seen() < newest_before {
            // The newest sample of all was deleted. A series that was too old and left begins anew now.
            self.unsure.extend(0..N_SERIES);
        }
        let found = everything(&self.db);
        // A second sample at the time of one that was hidden may be seen now.
        let sure = |content: &Content| without(content, &self.may_go);
        check_between(&sure(kept), &sure(&found), &sure(&self.stored))?;
        // Whatever a start finds is durable, whether it was before or not: a client may be told that it is there.
        self.durable = found.clone();
        self.stored = found;
        self.may_go.clear();
        Ok(())
    }

    /// Of what is imported, only times count that no sample is at. An import that fails is the end of the process that
    /// makes it; then it may be there or not.
    fn import(&mut self, series: u8, ages: &[u16], n: u8) -> Result<(), TestCaseError> {
        if self.stored.is_empty() || self.db.flush(NOW).is_err() {
            return Ok(());
        }
        self.n_imports += 1;
        self.unsure.insert(series);
        let newest = self.newest();
        let times: BTreeSet<i64> = ages.iter().map(|&age| newest - i64::from(age)).collect();
        let value = f64::from(n);
        let data = SeriesData {
            labels: Arc::new(labels("m", series)),
            times: times.iter().copied().collect(),
            values: vec![value; times.len()],
            ..SeriesData::default()
        };
        let id = BlockId(self.n_imports.into());
        let imported = self.db.import(id).and_then(|mut import| {
            import.add(&data)?;
            import.finish(vec![id])
        });
        let mut with_import = self.stored.clone();
        let there = with_import.entry(labels("m", series)).or_default();
        for time in times {
            there.entry(time).or_insert(value.to_bits());
        }
        self.stored = with_import;
        match imported {
            Ok(_) => {
                self.durable = without(&self.stored, &self.may_go);
                Ok(())
            }
            Err(_) => self.crash(Some(self.n_imports)),
        }
    }

    fn delete(&mut self, series: u8, start: i64, end: i64) -> Result<(), TestCaseError> {
        let matchers = vec![Matcher::equal("instance", format!("host-{series}"))];
        let deleted = self.db.delete(&[matchers], TimeMs(start), TimeMs(end), NOW);
        self.unsure.insert(series);
        let forget = |content: &mut Content| {
            if let Some(samples) = content.get_mut(&labels("m", series)) {
                samples.retain(|time, _| !(start..=end).contains(time));
            }
            content.retain(|_, samples| !samples.is_empty());
        };
        forget(&mut self.durable);
        let before = self.stored.clone();
        forget(&mut self.stored);
        let found = everything(&self.db);
        match deleted {
            // It flushed first, so the rest is durable.
            Ok(_) => {
                prop_assert_eq!(&found, &self.stored, "deleted {} in {}..={}", series, start, end);
                self.durable = self.stored.clone();
            }
            // Some of it may be gone.
            Err(_) => {
                check_between(&self.stored, &found, &before)?;
                for (labels, samples) in &found {
                    let doubtful = samples.keys().filter(|&time| !has(&self.stored, labels, *time));
                    self.may_go.extend(doubtful.map(|&time| (labels.clone(), time)));
                }
                self.stored = found;
            }
        }
        Ok(())
    }

    /// A snapshot is a database with the same content, and so is what is restored from it.
    fn snapshot(&mut self, skip_head: bool) -> Result<(), TestCaseError> {
        self.n_snapshots += 1;
        let Ok(dir) = self.db.snapshot(&format!("s{}", self.n_snapshots), skip_head, NOW) else {
            return Ok(());
        };
        let target = Path::new("/restored").join(self.n_snapshots.to_string());
        if cairn_tsdb::restore(&self.fs, &dir, &target, &|_, _| {}).is_err() {
            return Ok(());
        }
        let Ok((restored, _)) =
            Db::open(Options { dir: target, ..with_rules(self.rules, &self.fs) }, &|_| {})
        else {
            return Ok(());
        };
        // What retention hides here may be seen there, where nothing is as new.
        let found = trimmed(&everything(&restored), self.oldest_seen(self.newest_ever), i64::MAX);
        // A snapshot has the files of deletions as they are on the disk: so also one that failed at its very end.
        let sure = |content: &Content| without(content, &self.may_go);
        let found = sure(&found);
        if skip_head {
            return check_between(&Content::new(), &found, &sure(&self.stored));
        }
        // The retention of a restored database counts from the end of its newest block until it gets a sample.
        let oldest = self.oldest_seen((self.newest() + BLOCK_MS).max(self.newest_ever));
        let all = sure(&trimmed(&self.stored, oldest, i64::MAX));
        check_between(&all, &found, &sure(&self.stored))
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
                    self.durable = without(&self.stored, &self.may_go);
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
                prop_assert_eq!(select(&self.db, &[], start, end), self.seen(&self.stored, start, end));
            }
            Step::Delete(series, a, b) => {
                if self.rules.retention_ms.is_none() {
                    let newest = self.newest();
                    let (a, b) = (newest + i64::from(a.min(b)), newest + i64::from(a.max(b)));
                    self.delete(series, a, b)?;
                }
            }
            Step::CleanTombstones => {
                let _ = self.db.clean_tombstones(NOW);
            }
            Step::Snapshot(skip_head) => self.snapshot(skip_head)?,
            Step::Import(series, ages, n) => self.import(series, &ages, n)?,
            Step::Fail(op, nth, n) => {
                self.may_be_lost |= op == TwinOp::SyncData;
                self.fs.fail(op, u64::from(nth), u64::from(n));
            }
            Step::FailSync(nth) => {
                self.may_be_lost = true;
                self.fs.fail_nth_sync(u64::from(nth));
            }
            Step::FailWrite(nth) => self.fs.fail_nth_write(u64::from(nth)),
            Step::FillDisk(room) => self.fs.set_capacity(Some(self.fs.used_bytes() + u64::from(room))),
            Step::FreeSpace => {
                self.fs.set_capacity(None);
                self.fs.heal();
            }
            Step::PowerOff(nth) => {
                self.may_be_lost = true;
                self.fs.power_off_at(u64::from(nth));
            }
            Step::Crash(seed) => self.crash(seed)?,
            Step::Kill => self.kill()?,
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

fn with_rules(rules: Rules, fs: &TwinFs) -> Options {
    Options { out_of_order_window_ms: rules.window_ms, retention_ms: rules.retention_ms, ..options(fs) }
}

fn same_time(there: u64, bits: u64) -> Outcome {
    if there == bits {
        Outcome::Duplicate
    } else {
        Outcome::DuplicateOtherValue { existing: f64::from_bits(there) }
    }
}

fn has(content: &Content, labels: &Labels, time: i64) -> bool {
    content.get(labels).is_some_and(|samples| samples.contains_key(&time))
}

fn without(content: &Content, gone: &BTreeSet<(Labels, i64)>) -> Content {
    let mut content = content.clone();
    for (labels, time) in gone {
        content.get_mut(labels).and_then(|samples| samples.remove(time));
    }
    content
}

/// What lies between two times; nothing where retention has put the start behind the end.
fn trimmed(content: &Content, start: i64, end: i64) -> Content {
    if start > end {
        return Content::new();
    }
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
    fn answers_like_plain_maps_and_loses_nothing_synced(
        rules in rules(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(rules);
        for step in steps {
            world.run(step)?;
        }
        // Space and power come back: everything works again, and all that was stored is there.
        world.crash(Some(7))?;
        world.run(Step::Scrape { series: 3, steps: 60 })?;
        world.db.sync().unwrap();
        world.durable = world.stored.clone();
        world.db.maintain(NOW).unwrap();
        let all = world.seen(&world.stored, i64::MIN, i64::MAX);
        prop_assert_eq!(&everything(&world.db), &all);
        world.crash(None)?;
        prop_assert_eq!(&everything(&world.db), &all);
    }
}
