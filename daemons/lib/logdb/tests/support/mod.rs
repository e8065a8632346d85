//! What the engine's tests share: a store on the forgetful file system, short words for pushing and reading.
#![allow(clippy::unwrap_used, reason = "a helper of tests")]
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(missing_docs, unreachable_pub, reason = "a test's vocabulary")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cairn_disk::{Fs, TwinFs};
use cairn_logdb::{Entry, Options, PushError, PushReport, Store, StreamBatch};
use cairn_logql::{Direction, LogSource, Selection};
use cairn_model::{Labels, Matcher, TimeNs};

pub const TENANT: &str = "fake";

/// (time, line, value of the metadata `m`; empty for none)
pub type Line = (i64, String, String);

/// Sizes that make a few pushes fill chunks, blocks, files and segments.
pub fn small_options(fs: Arc<dyn Fs>, catalogue_dir: &Path) -> Options {
    let mut options = Options::new("/store");
    options.fs = fs;
    options.catalogue_dir = catalogue_dir.to_owned();
    options.chunk_target_bytes = 300;
    options.block_target_bytes = 80;
    options.chunk_file_bytes = 1500;
    options.wal_segment_bytes = 600;
    options.max_wal_bytes = 6000;
    options
}

pub struct Bench {
    pub fs: Arc<TwinFs>,
    pub dir: tempfile::TempDir,
    pub change: Box<dyn Fn(&mut Options)>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl Fn(&mut Options) + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { fs: Arc::new(TwinFs::new()), dir, change: Box::new(change) }
    }

    pub fn options(&self) -> Options {
        let mut options = small_options(self.fs.clone(), self.dir.path());
        (self.change)(&mut options);
        options
    }

    pub fn open(&self) -> Store {
        Store::open(self.options(), &|_| {}).unwrap()
    }

    /// Names in the folder of chunk files.
    pub fn chunk_files(&self) -> Vec<String> {
        let entries = self.fs.list(Path::new("/store/chunks")).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

pub fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split(',').filter_map(|pair| pair.split_once('=')))
}

pub fn line(time: i64, text: &str) -> Line {
    (time, text.to_owned(), String::new())
}

pub fn batch(stream: &str, lines: &[Line]) -> StreamBatch {
    let entries = lines.iter().map(|(time, line, metadata)| Entry {
        time: TimeNs(*time),
        line: Bytes::copy_from_slice(line.as_bytes()),
        metadata: Labels::from_pairs([("m", metadata)]),
    });
    StreamBatch { labels: labels(stream), entries: entries.collect() }
}

pub fn push(store: &Store, stream: &str, lines: &[Line]) -> Result<PushReport, PushError> {
    store.push(TENANT, vec![batch(stream, lines)])
}

/// What a query reads: per stream, in the order in which it comes.
pub fn read(
    store: &Store,
    matchers: &[Matcher],
    range: std::ops::Range<i64>,
    direction: Direction,
    needles: &[&[u8]],
) -> Vec<(String, Vec<Line>)> {
    let view = store.view(TENANT);
    let (start, end) = (TimeNs(range.start), TimeNs(range.end));
    let cursors = view.select(&Selection { matchers, start, end, direction, needles }).unwrap();
    let mut streams: Vec<(String, Vec<Line>)> = Vec::new();
    for mut cursor in cursors {
        let mut lines = Vec::new();
        while cursor.advance().unwrap() {
            let entry = cursor.entry();
            let text = String::from_utf8(entry.line.to_vec()).unwrap();
            lines.push((entry.time.0, text, entry.metadata.value("m").to_owned()));
        }
        if !lines.is_empty() {
            streams.push((cursor.labels().to_string(), lines));
        }
    }
    streams.sort();
    streams
}

/// Everything, oldest first.
pub fn read_all(store: &Store) -> Vec<(String, Vec<Line>)> {
    read(store, &[], i64::MIN..i64::MAX, Direction::Forward, &[])
}

/// The lines of the only stream there is.
pub fn read_one(store: &Store) -> Vec<Line> {
    let mut streams = read_all(store);
    assert!(streams.len() <= 1, "{streams:?}");
    streams.pop().map(|(_, lines)| lines).unwrap_or_default()
}
