//! Many threads, one log: whoever was told "durable" finds the record after the crash.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};

use cairn_disk::TwinFs;

use crate::open;

const THREADS: u64 = 4;
const RECORDS_PER_THREAD: u64 = 60;

fn id_of(record: &[u8]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(*record[at..].first_chunk().unwrap());
    (number(0), number(8))
}

/// Appends and syncs from several threads until something fails; answers how many each thread was promised.
fn promised(fs: &TwinFs) -> Vec<u64> {
    let (wal, ..) = open(fs, 500).unwrap();
    let wal = Arc::new(wal);
    let barrier = Arc::new(Barrier::new(usize::try_from(THREADS).unwrap()));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (wal, barrier) = (Arc::clone(&wal), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                for index in 0..RECORDS_PER_THREAD {
                    let record = [thread.to_le_bytes(), index.to_le_bytes()].concat();
                    let kept = wal.append(&record).and_then(|lsn| wal.sync(lsn));
                    if kept.is_err() {
                        return index;
                    }
                    if index % 16 == thread && wal.cut().is_err() {
                        return index + 1;
                    }
                }
                RECORDS_PER_THREAD
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn check(fs: &TwinFs, promised: &[u64], context: &str) {
    let (_, report, records) = open(fs, 500).unwrap();
    assert!(!report.is_damaged(), "{context}: {report:?}");
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    for record in &records {
        let (thread, index) = id_of(record);
        let next = found.entry(thread).or_default();
        assert_eq!(*next, index, "{context}: thread {thread} is out of order, doubled or has a gap");
        *next += 1;
    }
    for (thread, &promised) in promised.iter().enumerate() {
        let found = found.get(&(thread as u64)).copied().unwrap_or(0);
        assert!(found >= promised, "{context}: thread {thread} was promised {promised}, {found} are there");
    }
}

#[test]
fn power_off_at_many_places() {
    for nth in 1..150 {
        let fs = TwinFs::new();
        open(&fs, 500).unwrap();
        fs.power_off_at(nth * 3 + 7);
        let promised = promised(&fs);
        fs.crash_torn(nth);
        check(&fs, &promised, &format!("power off at {nth}"));
    }
}

#[test]
fn a_failed_sync_is_healed_under_everybody() {
    for nth in 1..40 {
        let fs = TwinFs::new();
        open(&fs, 500).unwrap();
        fs.fail_nth_sync(nth);
        let promised = promised(&fs);
        fs.crash();
        check(&fs, &promised, &format!("sync {nth} failed"));
    }
}

#[test]
fn one_sync_serves_many() {
    let fs = TwinFs::new();
    let (wal, ..) = open(&fs, 1 << 20).unwrap();
    let lsns: Vec<_> = (0u8..100).map(|index| wal.append(&[index]).unwrap()).collect();
    let before = fs.syncs();
    for lsn in lsns.into_iter().rev() {
        wal.sync(lsn).unwrap();
    }
    assert_eq!(fs.syncs() - before, 1);
}

#[test]
fn unsynced_bytes_are_bounded() {
    let fs = TwinFs::new();
    let options = cairn_disk::WalOptions { max_unsynced_bytes: 100, ..crate::options(1 << 20) };
    let (wal, _) = cairn_disk::Wal::open(
        Arc::new(fs.clone()),
        std::path::Path::new("/wal"),
        options,
        &mut |_, _| Ok(()),
    )
    .unwrap();
    wal.append(&[0; 92]).unwrap();
    let before = fs.syncs();
    for _ in 0..10 {
        wal.append(&[0; 92]).unwrap();
    }
    assert_eq!(fs.syncs() - before, 10, "every record finds the bound reached by the one before");
    assert!(wal.append(&vec![0; options.max_record_bytes + 1]).is_err());
}
