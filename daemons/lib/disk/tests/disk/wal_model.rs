//! The log against a list: whatever happens, what was synced is replayed once, in order, and nothing else is.

use cairn_disk::wal::SegmentId;
use cairn_disk::{TwinFs, TwinOp, Wal};
use proptest::prelude::*;

use crate::open;

const SEGMENT_BYTES: u64 = 200;

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Sync,
    Cut,
    DropBeforeLastCut,
    FailSync(u8),
    FailWrite(u8),
    /// An operation of another kind fails: which kind, which one from now, and how many after it.
    Fail(TwinOp, u8, u8),
    FillDisk(u8),
    FreeSpace,
    /// Power goes after so many more changes, wherever that is.
    PowerOff(u8),
    Crash(Option<u64>),
    /// The process dies, the kernel goes on.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..120).prop_map(Step::Append),
        4 => Just(Step::Sync),
        2 => Just(Step::Cut),
        1 => Just(Step::DropBeforeLastCut),
        1 => (1u8..4).prop_map(Step::FailSync),
        1 => (1u8..4).prop_map(Step::FailWrite),
        1 => (prop::sample::select(&TwinOp::ALL[..]), 1u8..4, 1u8..4).prop_map(|(op, nth, n)| Step::Fail(op, nth, n)),
        1 => any::<u8>().prop_map(Step::FillDisk),
        2 => Just(Step::FreeSpace),
        1 => (1u8..12).prop_map(Step::PowerOff),
        2 => prop::option::of(any::<u64>()).prop_map(Step::Crash),
        1 => Just(Step::Kill),
    ]
}

/// What the log must hold.
#[derive(Default)]
struct Model {
    /// Every record whose append succeeded and that may still be there, oldest first.
    records: Vec<Vec<u8>>,
    /// How many of them, from the front, a successful sync covered.
    durable: usize,
    /// How many, from the front, may be missing because they were dropped.
    droppable: usize,
    last_cut: Option<(SegmentId, usize)>,
    next: u64,
}

impl Model {
    fn append(&mut self, wal: &Wal, padding: u8) {
        let mut record = self.next.to_le_bytes().to_vec();
        record.resize(8 + usize::from(padding), padding);
        self.next += 1;
        if wal.append(&record).is_ok() {
            self.records.push(record);
        }
    }

    fn check_replay(&mut self, replayed: Vec<Vec<u8>>) -> Result<(), TestCaseError> {
        let first = match replayed.first() {
            Some(first) => self.records.iter().position(|record| record == first),
            None => Some(self.durable.min(self.droppable)),
        };
        let Some(first) = first else {
            return Err(TestCaseError::fail("replayed a record that was never appended"));
        };
        let end = first + replayed.len();
        prop_assert!(
            first <= self.droppable,
            "record {first} is the first, only {} were dropped",
            self.droppable
        );
        prop_assert!(
            end >= self.durable || self.durable <= self.droppable,
            "{end} records, {} were durable",
            self.durable
        );
        prop_assert!(end <= self.records.len());
        prop_assert_eq!(&replayed[..], &self.records[first..end]);
        self.records = replayed;
        self.durable = self.records.len();
        self.droppable = 0;
        self.last_cut = None;
        Ok(())
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let fs = TwinFs::new();
    let (mut wal, ..) = open(&fs, SEGMENT_BYTES).unwrap();
    let mut model = Model::default();
    // Bytes that can be read and never will be durable; or power is off.
    let mut may_be_lost = false;
    for step in steps {
        match step {
            Step::Append(padding) => model.append(&wal, padding),
            Step::Sync => {
                if wal.sync(wal.appended()).is_ok() {
                    model.durable = model.records.len();
                }
            }
            Step::Cut => {
                if let Ok(id) = wal.cut() {
                    model.durable = model.records.len();
                    model.last_cut = Some((id, model.records.len()));
                }
            }
            Step::DropBeforeLastCut => {
                if let Some((id, records)) = model.last_cut {
                    model.droppable = model.droppable.max(records);
                    let _ = wal.drop_before(id);
                }
            }
            Step::FailSync(nth) => {
                may_be_lost = true;
                fs.fail_nth_sync(u64::from(nth));
            }
            Step::FailWrite(nth) => fs.fail_nth_write(u64::from(nth)),
            Step::Fail(op, nth, n) => {
                may_be_lost |= op == TwinOp::SyncData;
                fs.fail(op, u64::from(nth), u64::from(n));
            }
            Step::FillDisk(room) => fs.set_capacity(Some(fs.used_bytes() + u64::from(room))),
            Step::FreeSpace => fs.set_capacity(None),
            Step::PowerOff(nth) => {
                may_be_lost = true;
                fs.power_off_at(u64::from(nth));
            }
            Step::Crash(_) | Step::Kill => {
                match step {
                    Step::Crash(Some(seed)) => fs.crash_torn(seed),
                    // Bytes that a failed sync lost can be read until the power goes, by a process that knows nothing of
                    // it: no kill alone, then.
                    Step::Kill if !may_be_lost => fs.heal(),
                    _ => fs.crash(),
                }
                may_be_lost = false;
                fs.set_capacity(None);
                let (reopened, report, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
                prop_assert!(!report.is_damaged(), "{report:?}");
                wal = reopened;
                model.check_replay(replayed)?;
            }
        }
    }
    // Whatever failed on the way: with space and power, a sync succeeds and everything is there.
    fs.crash_torn(1);
    fs.set_capacity(None);
    let (wal, report, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
    prop_assert!(!report.is_damaged(), "{report:?}");
    model.check_replay(replayed)?;
    model.append(&wal, 3);
    wal.sync(wal.appended()).unwrap();
    model.durable = model.records.len();
    fs.crash();
    let (_, _, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
    prop_assert_eq!(replayed.last(), model.records.last());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replays_what_was_synced_once_and_in_order(steps in prop::collection::vec(step(), 0..60)) {
        run(steps)?;
    }
}

#[test]
fn healed_without_a_restart_after_each_kind_of_failure() {
    for failure in 0..3 {
        let fs = TwinFs::new();
        let (wal, ..) = open(&fs, SEGMENT_BYTES).unwrap();
        let mut model = Model::default();
        model.append(&wal, 10);
        wal.sync(wal.appended()).unwrap();
        match failure {
            0 => fs.fail_nth_sync(1),
            1 => fs.fail_nth_write(1),
            _ => fs.set_capacity(Some(fs.used_bytes() + 9)),
        }
        model.append(&wal, 20);
        let outcome = wal.sync(wal.appended());
        fs.set_capacity(None);
        model.append(&wal, 30);
        wal.sync(wal.appended()).unwrap_or_else(|error| panic!("{failure}: {error}, before {outcome:?}"));
        fs.crash();
        let (_, report, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
        assert_eq!(replayed, model.records, "failure {failure}");
        assert_eq!(model.records.len(), if failure == 0 { 3 } else { 2 });
        assert!(!report.is_damaged());
    }
}

#[test]
fn opens_and_replays_on_a_full_disk() {
    let fs = TwinFs::new();
    let (wal, ..) = open(&fs, SEGMENT_BYTES).unwrap();
    wal.append(b"kept").unwrap();
    wal.sync(wal.appended()).unwrap();
    drop(wal);
    fs.set_capacity(Some(fs.used_bytes()));
    let (wal, _, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
    assert_eq!(replayed, [b"kept"]);
    assert!(wal.append(b"refused").unwrap_err().is_no_space());
    wal.sync(wal.appended()).unwrap();
    fs.set_capacity(None);
    wal.append(b"healed").unwrap();
    wal.sync(wal.appended()).unwrap();
    fs.crash();
    let (_, _, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
    assert_eq!(replayed, [&b"kept"[..], b"healed"]);
}

#[test]
fn what_a_killed_process_left_is_durable_once_it_was_replayed() {
    let fs = TwinFs::new();
    let (wal, ..) = open(&fs, SEGMENT_BYTES).unwrap();
    wal.append(b"not synced").unwrap();
    drop(wal);
    let (wal, _, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
    assert_eq!(replayed, [b"not synced"]);
    // Whoever is told now that it is there relies on it.
    wal.sync(wal.appended()).unwrap();
    fs.crash();
    let (_, _, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
    assert_eq!(replayed, [b"not synced"]);
}

#[test]
fn a_segment_that_a_killed_process_dropped_does_not_come_back() {
    let fs = TwinFs::new();
    let (wal, ..) = open(&fs, SEGMENT_BYTES).unwrap();
    wal.append(b"dropped").unwrap();
    let cut = wal.cut().unwrap();
    fs.fail(TwinOp::SyncDir, 1, 1);
    wal.drop_before(cut).unwrap_err();
    drop(wal);
    let (_, _, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
    assert!(replayed.is_empty());
    fs.crash();
    let (_, _, replayed) = open(&fs, SEGMENT_BYTES).unwrap();
    assert!(replayed.is_empty());
}
