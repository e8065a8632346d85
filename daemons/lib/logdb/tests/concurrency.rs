//! Many threads at once: pushes that share syncs, queries while heads become chunks.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy sees only the test functions themselves")]

mod support;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cairn_disk::{DirEntry, Fs, FsFile, TwinFs};
use cairn_logdb::Store;
use support::{Bench, Line, line, push, read_all, read_one, small_options};

#[test]
fn pushes_of_many_threads_are_all_stored_and_come_back() {
    let bench = Bench::new();
    let store = bench.open();
    let (threads, rounds) = (8i64, 40i64);
    thread::scope(|scope| {
        for thread in 0..threads {
            let store = &store;
            scope.spawn(move || {
                for round in 0..rounds {
                    let own = line(round, &format!("{thread} {round}"));
                    push(store, "s=shared", &[own.clone(), line(round, "the same from everybody")]).unwrap();
                    push(store, &format!("s={thread}"), &[own]).unwrap();
                    if round % 16 == thread {
                        store.flush().unwrap();
                    }
                }
            });
        }
    });
    let before = read_all(&store);
    assert_eq!(before.len(), 9);
    for (stream, lines) in &before {
        let want = if stream.contains("shared") { (threads + 1) * rounds } else { rounds };
        assert_eq!(lines.len() as i64, want, "{stream}");
    }
    drop(store);
    bench.fs.crash();
    assert_eq!(read_all(&bench.open()), before);
}

#[test]
fn a_query_sees_every_acknowledged_entry_once_while_heads_become_chunks() {
    let bench = Bench::new();
    let store = bench.open();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                store.flush().unwrap();
            }
        });
        for round in 0..150i64 {
            push(&store, "a=1", &[line(round / 3, &format!("line {round}"))]).unwrap();
            let found = read_one(&store);
            let distinct: BTreeSet<&Line> = found.iter().collect();
            if found.len() as i64 != round + 1 || distinct.len() != found.len() {
                done.store(true, Ordering::Release);
                panic!("round {round}: {} entries, {} distinct", found.len(), distinct.len());
            }
        }
        done.store(true, Ordering::Release);
    });
}

/// The forgetful disk, with syncs that wait until they are let through.
#[derive(Debug, Default)]
struct SlowDisk {
    twin: TwinFs,
    valve: Arc<Valve>,
}

#[derive(Debug, Default)]
struct Valve {
    is_shut: Mutex<bool>,
    turned: Condvar,
    waiting: AtomicU64,
    syncs: AtomicU64,
}

impl Valve {
    fn turn(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.turned.notify_all();
    }

    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.turned.wait_while(self.is_shut.lock().unwrap(), |is_shut| *is_shut).unwrap());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.syncs.fetch_add(1, Ordering::SeqCst);
    }
}

/// Lets nothing through while it lives.
struct ShutValve<'a>(&'a Valve);

impl<'a> ShutValve<'a> {
    fn new(valve: &'a Valve) -> Self {
        valve.turn(true);
        Self(valve)
    }
}

impl Drop for ShutValve<'_> {
    fn drop(&mut self) {
        self.0.turn(false);
    }
}

#[derive(Debug)]
struct SlowFile {
    file: Box<dyn FsFile>,
    valve: Arc<Valve>,
}

impl SlowDisk {
    fn slow(&self, file: io::Result<Box<dyn FsFile>>) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(SlowFile { file: file?, valve: Arc::clone(&self.valve) }))
    }
}

impl Fs for SlowDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.slow(self.twin.create_new(path))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.slow(self.twin.open_read(path))
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.slow(self.twin.open_write(path))
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.twin.hard_link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.twin.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.twin.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.twin.remove_dir_all(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.twin.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.twin.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.twin.list(path)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        self.twin.len(path)
    }
    fn exists(&self, path: &Path) -> bool {
        self.twin.exists(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.twin.free_bytes(path)
    }
}

impl FsFile for SlowFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.valve.pass();
        self.file.sync_data()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// Waits for something that another thread is about to do.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::yield_now();
    }
}

#[test]
fn pushes_that_wait_share_one_sync_and_show_nothing_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(SlowDisk::default());
    let mut options = small_options(disk.clone(), dir.path());
    options.wal_segment_bytes = 1 << 20;
    let store = Store::open(options, &|_| {}).unwrap();
    let valve = &disk.valve;
    // All pushes of this test make records of this length. The first one also starts a segment.
    push(&store, "s=x", &[line(1, "0123456789")]).unwrap();
    let wal_bytes = store.counters().wal_bytes;
    push(&store, "s=y", &[line(1, "0123456789")]).unwrap();
    let record_bytes = store.counters().wal_bytes - wal_bytes;
    let syncs_before = valve.syncs.load(Ordering::SeqCst);
    thread::scope(|scope| {
        // Whatever fails below, nobody is left waiting.
        let shut = ShutValve::new(valve);
        scope.spawn(|| push(&store, "s=a", &[line(1, "9876543210")]).unwrap());
        wait_until("the first sync", || valve.waiting.load(Ordering::SeqCst) == 1);
        let wal_bytes = store.counters().wal_bytes;
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || push(store, &format!("s={thread}"), &[line(1, "0123456789")]).unwrap());
        }
        wait_until("eight records", || store.counters().wal_bytes == wal_bytes + 8 * record_bytes);
        assert_eq!(read_all(&store).len(), 2, "nothing is visible before it is durable");
        drop(shut);
    });
    assert_eq!(read_all(&store).len(), 11);
    let syncs = valve.syncs.load(Ordering::SeqCst) - syncs_before;
    assert_eq!(syncs, 2, "the first push's own, and one for the eight that came meanwhile");
}
