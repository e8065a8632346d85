//! The write-ahead log: a database opens on segments whose records, with right checksums, are the input's parts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::frame::{parse_frame, push_frame};
use cairn_disk::header::HEADER_BYTES;
use cairn_disk::{Fs, TwinFs};
use cairn_model::{Labels, TimeMs};
use cairn_promql::source::{SampleSource, Selection};
use cairn_tsdb::{Db, Options, Sample};

const DIR: &str = "/data";

fn options(fs: &TwinFs) -> Options {
    Options::new(DIR, Arc::new(fs.clone()))
}

/// The only segment of the log.
fn segment(fs: &TwinFs) -> Option<PathBuf> {
    let wal = Path::new(DIR).join("wal");
    let name = fs.list(&wal).ok()?.into_iter().find(|entry| entry.len > 0)?.name;
    Some(wal.join(name))
}

fn read(fs: &TwinFs, path: &Path) -> Option<Vec<u8>> {
    let file = fs.open_read(path).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

/// A disk with a database that has a log, and that log.
fn some_log(n_samples: i64) -> Option<(TwinFs, PathBuf, Vec<u8>)> {
    let fs = TwinFs::new();
    let (db, _) = Db::open(options(&fs), &|_| {}).ok()?;
    let mut samples = Vec::new();
    for index in 0..3 {
        let labels = Labels::from_pairs([("__name__", "up"), ("instance", ["a", "b", "cé"][index])]);
        let series = db.series_ref(&labels).ok()?;
        for at in 0..n_samples {
            let value = if at == 7 { f64::NAN } else { at as f64 * 0.5 };
            let start_ms = if index == 2 { 5 } else { 0 };
            samples.push(Sample { series: series.clone(), time_ms: 1000 + at * 15_000, value, start_ms });
        }
    }
    db.append(&samples, TimeMs(1 << 40)).ok()?;
    db.sync().ok()?;
    drop(db);
    let path = segment(&fs)?;
    let bytes = read(&fs, &path)?;
    Some((fs, path, bytes))
}

/// The first byte chooses how the rest becomes a segment: as parts in frames, or as bytes behind the header.
pub(crate) fn run(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let Some((fs, path, log)) = some_log(1) else { panic!("a database cannot be made") };
    let mut bytes = log[..HEADER_BYTES].to_vec();
    if choice & 1 == 0 {
        crate::Parts(rest).for_each(|part| push_frame(&mut bytes, part));
    } else {
        bytes.extend_from_slice(rest);
    }
    let replaced = fs.open_write(&path).and_then(|file| {
        file.truncate(0)?;
        file.append(&bytes)
    });
    replaced.expect("the twin has room");
    let Ok((db, _)) = Db::open(options(&fs), &|_| {}) else { return };
    let selection = Selection { matchers: &[], start: TimeMs::MIN, end: TimeMs::MAX };
    for series in db.view().select(&selection).expect("memory does not fail") {
        assert!(series.times.is_sorted_by(|a, b| a < b), "{series:?}");
        assert_eq!(series.times.len(), series.values.len());
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for n_samples in [1, 2, 40] {
        let Some((_, _, log)) = some_log(n_samples) else { continue };
        let mut records = Vec::new();
        let mut rest = &log[HEADER_BYTES..];
        while let Some(record) = parse_frame(rest) {
            records.push(record);
            rest = &rest[record.len() + cairn_disk::frame::FRAME_HEADER_BYTES..];
        }
        seeds.push([&[0], &crate::join_parts(records)[..]].concat());
        seeds.push([&[1], &log[HEADER_BYTES..]].concat());
    }
    seeds
}
