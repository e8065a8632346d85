//! Requests that are kept whole or not at all, against appending what is good of them, sample by sample: what that would answer
//! in a copy of the database is what the whole request must be told, and nothing of it is there unless all of it is kept.

use cairn_disk::TwinFs;
use cairn_model::Labels;
use cairn_promql::source::STALE_NAN_BITS;
use cairn_tsdb::{Db, HistogramSample, Options, Outcome, SampleOf, SeriesRef};
use proptest::prelude::*;

use crate::histograms::histogram;
use crate::{NOW, everything, labels, options};

const N_SERIES: u8 = 3;

type Floats = Vec<(u8, i64, u8)>;
type Histograms = Vec<(u8, i64, u8)>;

#[derive(Clone, Debug)]
enum Step {
    Request(Floats, Histograms),
    Flush,
    /// Power goes after a sync.
    Restart,
    /// The next request meets an error at this write.
    Fail(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let floats = || prop::collection::vec((0..N_SERIES, 0i64..60, 0u8..4), 0..4);
    let histograms = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec((0..N_SERIES, 0i64..60, 0u8..3), 0..4),
    ];
    let request = (floats(), histograms).prop_map(|(floats, histograms)| Step::Request(floats, histograms));
    let step = prop_oneof![
        8 => request,
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
        1 => (1u8..4).prop_map(Step::Fail),
    ];
    prop::collection::vec(step, 0..20)
}

/// Where each sample is within the window, whatever came before it, a request is as many requests of one sample.
const WIDE_MS: i64 = 100;

/// Where some are not.
const NARROW_MS: i64 = 30;

struct Twin {
    fs: TwinFs,
    window_ms: i64,
    db: Db,
    series: Vec<SeriesRef>,
}

impl Twin {
    fn new(window_ms: i64) -> Self {
        Self::on(&TwinFs::new(), window_ms)
    }

    fn on(fs: &TwinFs, window_ms: i64) -> Self {
        let options = Options { out_of_order_window_ms: window_ms, ..options(fs) };
        let db = Db::open(options, &|_| {}).unwrap().0;
        let all: Vec<Labels> = (0..N_SERIES).map(|number| labels("m", number)).collect();
        let series = db.series_refs(&all.iter().collect::<Vec<_>>()).unwrap();
        Self { fs: fs.clone(), window_ms, db, series }
    }

    fn floats(&self, floats: &Floats) -> Vec<SampleOf<'_>> {
        let value = |n| if n == 3 { f64::from_bits(STALE_NAN_BITS) } else { f64::from(n) };
        let sample = |&(series, time_ms, n): &(u8, i64, u8)| SampleOf {
            series: &self.series[usize::from(series)],
            time_ms,
            value: value(n),
            start_ms: 0,
        };
        floats.iter().map(sample).collect()
    }

    fn histograms(&self, histograms: &Histograms) -> Vec<HistogramSample> {
        let sample = |&(series, time_ms, n): &(u8, i64, u8)| HistogramSample {
            series: self.series[usize::from(series)].clone(),
            time_ms,
            start_ms: 0,
            histogram: histogram(u64::from(n)),
        };
        histograms.iter().map(sample).collect()
    }

    fn restarted(self) -> Self {
        self.db.sync().unwrap();
        let Self { fs, window_ms, db, series } = self;
        drop((db, series));
        fs.crash();
        Self::on(&fs, window_ms)
    }

    /// Appends what is good of it.
    fn append_part(&self, floats: &Floats, histograms: &Histograms) -> (Vec<String>, bool) {
        let (floats, histograms) = (self.floats(floats), self.histograms(histograms));
        // All of a request are judged by one window, which moves with the newest sample.
        let n_at_once = if self.window_ms == NARROW_MS { usize::MAX } else { 1 };
        let mut outcomes = Vec::new();
        for some in floats.chunks(n_at_once) {
            outcomes.extend(self.db.append_of(some, NOW).unwrap());
        }
        for some in histograms.chunks(n_at_once) {
            outcomes.extend(self.db.append_histograms(some, NOW).unwrap());
        }
        let is_kept = outcomes.iter().all(|outcome| outcome.is_kept());
        (outcomes.iter().map(|outcome| format!("{outcome:?}")).collect(), is_kept)
    }
}

/// A database after what was kept of `history`.
fn replayed(window_ms: i64, history: &[Step]) -> Twin {
    let mut twin = Twin::new(window_ms);
    for step in history {
        match step {
            Step::Request(floats, histograms) => {
                twin.append_part(floats, histograms);
            }
            Step::Flush => twin.db.flush(NOW).unwrap(),
            Step::Restart => twin = twin.restarted(),
            Step::Fail(_) => {}
        }
    }
    twin
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_of_a_request_or_nothing(
        steps in steps(),
        window_ms in prop_oneof![Just(0i64), Just(NARROW_MS), Just(WIDE_MS)],
    ) {
        let mut whole = Twin::new(window_ms);
        let mut history = Vec::new();
        let mut fails_at = None;
        for step in steps {
            let (floats, histograms) = match &step {
                Step::Request(floats, histograms) => (floats, histograms),
                Step::Flush => {
                    whole.db.flush(NOW).unwrap();
                    history.push(step);
                    continue;
                }
                Step::Restart => {
                    whole = whole.restarted();
                    history.push(step);
                    continue;
                }
                Step::Fail(nth) => {
                    fails_at = Some(*nth);
                    continue;
                }
            };
            let none = Histograms::new();
            let is_mixed = !floats.is_empty() && !histograms.is_empty();
            // With a narrow window the floats of a request would move it for the histograms, if they were requests of their own.
            let histograms = if is_mixed && window_ms == NARROW_MS { &none } else { histograms };
            let step = Step::Request(floats.clone(), histograms.clone());
            let plain = replayed(window_ms, &history);
            let (want, is_kept) = plain.append_part(floats, histograms);
            let before = everything(&whole.db);
            let append = || whole.db.append_whole(&whole.floats(floats), &whole.histograms(histograms), NOW);
            whole.fs.fail_nth_write(fails_at.take().map_or(u64::MAX / 2, u64::from));
            let answer = match append() {
                Ok(answer) => answer,
                Err(_) => {
                    prop_assert_eq!(&everything(&whole.db), &before);
                    append().unwrap()
                }
            };
            whole.fs.fail_nth_write(u64::MAX / 2);
            let found = answer.samples.iter().chain(&answer.histograms);
            let found: Vec<String> = found.map(|outcome| format!("{outcome:?}")).collect();
            prop_assert_eq!(&found, &want);
            prop_assert_eq!(answer.is_kept(), is_kept);
            if is_kept {
                history.push(step);
                prop_assert_eq!(everything(&whole.db), everything(&plain.db));
            } else {
                prop_assert_eq!(everything(&whole.db), before);
            }
        }
    }
}

/// Three series with so many samples that they take several records, some histograms, and a marker in the middle.
fn large() -> (Floats, Histograms) {
    let floats = (0..3).flat_map(|series| (0..9000).map(move |time| (series, time, 1)));
    let histograms = (0..1500).map(|n| (0, 10_000 + n, u8::try_from(n % 3).unwrap()));
    (floats.collect(), histograms.collect())
}

/// A large request that breaks off at any place leaves nothing of it, neither now nor after a restart, and the sender who
/// repeats it is told that it is kept.
#[test]
fn a_large_request_that_fails_in_the_middle_can_be_sent_again() {
    let (floats, histograms) = large();
    for (nth, is_restarted) in (1..12).flat_map(|nth| [(nth, false), (nth, true)]) {
        let fs = TwinFs::new();
        let mut twin = Twin::on(&fs, 0);
        twin.db.sync().unwrap();
        fs.fail_nth_write(nth);
        let answer = twin.db.append_whole(&twin.floats(&floats), &twin.histograms(&histograms), NOW);
        let is_over = answer.is_ok();
        if is_restarted {
            drop(twin);
            twin = Twin::on(&fs, 0);
        }
        let n_found = crate::n_samples(&everything(&twin.db));
        assert_eq!(n_found, if is_over { floats.len() + histograms.len() } else { 0 }, "write {nth}");
        if !is_over {
            let again = twin.db.append_whole(&twin.floats(&floats), &twin.histograms(&histograms), NOW);
            assert!(again.unwrap().is_kept(), "write {nth}");
            assert_eq!(crate::n_samples(&everything(&twin.db)), floats.len() + histograms.len());
        }
        if is_over {
            assert!(nth > 1, "nothing was written");
            return;
        }
    }
    panic!("it never succeeds");
}

#[test]
fn power_off_in_the_middle_of_a_large_request() {
    let (floats, histograms) = large();
    let n_all = floats.len() + histograms.len();
    for nth in 1.. {
        let fs = TwinFs::new();
        let twin = Twin::on(&fs, 0);
        twin.db.sync().unwrap();
        fs.power_off_at(nth);
        let answer = twin.db.append_whole(&twin.floats(&floats), &twin.histograms(&histograms), NOW);
        let is_durable = answer.is_ok() && twin.db.sync().is_ok();
        drop(twin);
        fs.crash_torn(nth * 7);
        let twin = Twin::on(&fs, 0);
        let n_found = crate::n_samples(&everything(&twin.db));
        assert!(n_found == n_all || (n_found == 0 && !is_durable), "change {nth}: {n_found} of {n_all}");
        if n_found == 0 {
            let again = twin.db.append_whole(&twin.floats(&floats), &twin.histograms(&histograms), NOW);
            assert!(again.unwrap().is_kept(), "change {nth}");
        }
        if is_durable {
            break;
        }
    }
}

/// What is told of a request and what is done are the same, also where a marker of histograms comes again, late.
#[test]
fn a_marker_twice_around_a_float() {
    let twin = Twin::new(30);
    let marker = 3;
    assert!(twin.append_part(&vec![], &vec![(0, 10, 1)]).1);
    let before = everything(&twin.db);
    let request: Floats = vec![(0, 20, marker), (0, 30, 1), (0, 20, marker)];
    let answer = twin.db.append_whole(&twin.floats(&request), &[], NOW).unwrap();
    let after = everything(&twin.db);
    if answer.is_kept() {
        assert_eq!(after[&labels("m", 0)].len(), 3);
    } else {
        assert_eq!(after, before);
    }
    assert_eq!(answer.samples, [Outcome::Stored, Outcome::Stored, Outcome::Duplicate]);
}

/// The caller resolves a series that left the head and repeats the request, which is counted then.
#[test]
fn a_request_that_will_be_repeated_is_not_counted() {
    let twin = Twin::new(0);
    twin.append_part(&vec![(0, 10, 1)], &vec![]);
    twin.db.flush(NOW).unwrap();
    let refusals = || twin.db.counters().samples_out_of_order;
    // Of the other series nothing was ever stored, so they are gone.
    let outcomes = twin.db.append_whole(&twin.floats(&vec![(0, 5, 1), (1, 10, 1)]), &[], NOW).unwrap();
    assert_eq!(outcomes.samples, [Outcome::OutOfOrder, Outcome::SeriesDropped]);
    assert_eq!(refusals(), 0);
    let again = twin.db.append_whole(&twin.floats(&vec![(0, 5, 1), (0, 20, 1)]), &[], NOW).unwrap();
    assert!(!again.is_kept());
    assert_eq!(refusals(), 1);
}

#[test]
fn more_than_one_record_holds() {
    let twin = Twin::new(0);
    let many: Floats = (0..25_000).map(|time| (0, time, 1)).collect();
    let bad: Floats = many.iter().copied().chain([(1, 5, 1), (1, 5, 2)]).collect();
    let answer = twin.db.append_whole(&twin.floats(&bad), &[], NOW).unwrap();
    assert!(!answer.is_kept());
    assert_eq!(answer.samples[25_001], Outcome::DuplicateOtherValue { existing: 1.0 });
    assert!(everything(&twin.db).is_empty());
    assert!(twin.db.append_whole(&twin.floats(&many), &[], NOW).unwrap().is_kept());
    assert_eq!(everything(&twin.db)[&labels("m", 0)].len(), many.len());
}
