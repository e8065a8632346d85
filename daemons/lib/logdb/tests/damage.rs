//! Damaged and foreign files: what they cost, and what is said about them.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy sees only the test functions themselves")]

mod support;

use std::path::{Path, PathBuf};

use std::sync::Arc;

use cairn_disk::{Fs, Wal, WalOptions};
use cairn_logdb::chunk_format::FILE_FORMAT;
use cairn_logdb::engine::WAL_FORMAT;
use cairn_logdb::wal_record::{RECORD_VERSION, TAG_PUSH};
use cairn_logdb::{OpenError, Store};
use cairn_logql::{Direction, LogSource, Selection};
use cairn_model::TimeNs;
use support::{Bench, Line, TENANT, line, push, read_all};

fn chunk_path(bench: &Bench) -> PathBuf {
    Path::new("/store/chunks").join(&bench.chunk_files()[0])
}

fn lines(from: i64, to: i64) -> Vec<Line> {
    (from..to).map(|time| line(time, &format!("line {time} of a stream that has several blocks"))).collect()
}

/// Reads everything; answers how many lines came and what the view says about damage.
fn read_with_damage(store: &Store) -> (Vec<Line>, Vec<String>) {
    let view = store.view(TENANT);
    let (start, end) = (TimeNs(0), TimeNs(i64::MAX));
    let selection = Selection { matchers: &[], start, end, direction: Direction::Forward, needles: &[] };
    let mut found = Vec::new();
    for mut cursor in view.select(&selection).unwrap() {
        while cursor.advance().unwrap() {
            let entry = cursor.entry();
            found.push((entry.time.0, String::from_utf8_lossy(entry.line).into_owned(), String::new()));
        }
    }
    found.sort();
    (found, view.damage())
}

#[test]
fn a_flipped_byte_costs_at_most_its_chunk_and_is_reported() {
    let bench = Bench::new();
    let store = bench.open();
    let (first, second) = (lines(0, 30), lines(1000, 1010));
    push(&store, "a=1", &first).unwrap();
    store.flush().unwrap();
    let path = chunk_path(&bench);
    push(&store, "a=1", &second).unwrap();
    store.flush().unwrap();
    let chunks = store.counters().chunks;
    assert!(chunks > 3, "{chunks}");
    drop(store);
    let everything: Vec<Line> = first.iter().chain(&second).cloned().collect();
    let file = bench.fs.open_write(&path).unwrap();
    let len = file.len().unwrap();
    let mut costly = 0;
    // Every byte of the headers and of the first chunk, then one in five.
    for at in (0..400).chain((400..len).step_by(5)) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let store = bench.open();
        let (found, damage) = read_with_damage(&store);
        assert!(found.iter().all(|line| everything.contains(line)), "byte {at}: invented");
        assert!(second.iter().all(|line| found.contains(line)), "byte {at}: cost another file");
        let lost = everything.len() - found.len();
        assert_eq!(lost > 0, !damage.is_empty(), "byte {at}: lost {lost}, said {damage:?}");
        assert_eq!(lost > 0, store.counters().chunks_damaged > 0);
        // Behind the file's own header, one chunk at most: 300 raw bytes are about seven of these lines.
        assert!(at < 16 || lost <= 8, "byte {at}: lost {lost}");
        costly += usize::from(lost > 0);
        if let Some(text) = damage.first() {
            assert!(text.contains(&path.display().to_string()), "{text}");
        }
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(costly > 300, "{costly} bytes matter");
}

#[test]
fn a_file_cut_short_costs_what_was_behind_the_cut() {
    let bench = Bench::new();
    let store = bench.open();
    push(&store, "a=1", &lines(0, 40)).unwrap();
    store.flush().unwrap();
    drop(store);
    let file = bench.fs.open_write(&chunk_path(&bench)).unwrap();
    let mut previous = 40;
    for len in (0..file.len().unwrap()).rev().step_by(37) {
        file.truncate(len).unwrap();
        let store = bench.open();
        let found = read_with_damage(&store).0.iter().filter(|(_, text, _)| text.starts_with("line")).count();
        assert!(found <= previous, "{found} of {previous} at {len} bytes");
        previous = found;
        push(&store, "b=1", &[line(1, "works on")]).unwrap();
        assert!(read_all(&store).iter().any(|(stream, _)| stream == r#"{b="1"}"#));
    }
    assert_eq!(previous, 0);
}

#[test]
fn a_missing_file_costs_its_chunks_and_not_the_start() {
    let bench = Bench::new();
    let store = bench.open();
    push(&store, "a=1", &lines(0, 5)).unwrap();
    store.flush().unwrap();
    let path = chunk_path(&bench);
    push(&store, "a=1", &lines(10, 15)).unwrap();
    store.flush().unwrap();
    drop(store);
    bench.fs.remove_file(&path).unwrap();
    let store = bench.open();
    assert_eq!(store.recovery().files_missing, std::slice::from_ref(&path));
    assert_eq!(read_with_damage(&store).0, lines(10, 15));
}

#[test]
fn files_that_nobody_knows() {
    let bench = Bench::new();
    drop(bench.open());
    let dir = Path::new("/store/chunks");
    let write = |name: &str, bytes: &[u8]| {
        let file = bench.fs.create_new(&dir.join(name)).unwrap();
        file.append(bytes).unwrap();
        file.sync_data().unwrap();
        bench.fs.sync_dir(dir).unwrap();
    };
    write("0000000000000007.chunks.tmp", b"half a file");
    write("0000000000000008.chunks", b"not a chunk file");
    write("notes.txt", b"of a person");
    let store = bench.open();
    assert_eq!(store.recovery().files_damaged, [dir.join("0000000000000008.chunks")]);
    assert_eq!(bench.chunk_files(), ["0000000000000008.chunks", "notes.txt"]);
    push(&store, "a=1", &lines(0, 5)).unwrap();
    store.flush().unwrap();
    assert!(bench.chunk_files().contains(&"0000000000000009.chunks".to_owned()), "no name is used twice");
    drop(store);

    let mut newer = FILE_FORMAT;
    newer.version += 1;
    write("0000000000000010.chunks", &newer.header());
    let error = Store::open(bench.options(), &|_| {}).unwrap_err();
    assert!(matches!(error, OpenError::ChunkFile(_)), "{error}");
    assert!(error.to_string().contains("format version 2, this build reads up to 1"), "{error}");
}

#[test]
fn a_second_process_is_told_who_is_first() {
    let bench = Bench::new();
    let _first = bench.open();
    let error = Store::open(bench.options(), &|_| {}).unwrap_err().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
}

#[test]
fn a_record_of_a_newer_build_stops_the_start_and_stays() {
    let bench = Bench::new();
    let store = bench.open();
    push(&store, "a=1", &lines(0, 3)).unwrap();
    drop(store);
    let dir = Path::new("/store/wal");
    let fs: Arc<dyn Fs> = bench.fs.clone();
    let (wal, _) = Wal::open(fs, dir, WalOptions::new(WAL_FORMAT), &mut |_, _| Ok(())).unwrap();
    wal.sync(wal.append(&[RECORD_VERSION + 1, TAG_PUSH, 1, 2, 3]).unwrap()).unwrap();
    drop(wal);
    let before = bench.fs.list(dir).unwrap();
    let error = Store::open(bench.options(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("/store/wal/0000000002.wal"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    let newer = RECORD_VERSION + 1;
    let expected =
        format!("record version {newer}, this build reads up to {RECORD_VERSION}; use the newer build");
    assert!(cause.contains(&expected), "{cause}");
    assert_eq!(bench.fs.list(dir).unwrap(), before);
}

#[test]
fn a_newer_catalogue_is_refused_by_name_and_number() {
    let bench = Bench::new();
    drop(bench.open());
    let path = bench.dir.path().join("catalogue.sqlite");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let error = Store::open(bench.options(), &|_| {}).unwrap_err().to_string();
    assert!(error.contains("catalogue version 9") && error.contains("catalogue.sqlite"), "{error}");
}
