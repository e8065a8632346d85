//! Whole blocks: what was written is read again, on a disk that fails, damaged at any place.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

use std::path::{Path, PathBuf};

use cairn_disk::{Fs, TwinFs};
use cairn_model::Labels;
use cairn_promblock::write::remove_leftovers;
use cairn_promblock::{BlockReader, BlockWriter, PromBlockError, Sample, Written, find_blocks};

const HOUR: i64 = 3_600_000;
const DIR: &str = "/out";

type Series = (Labels, Vec<Sample>);

fn some_series(n: usize) -> Vec<Series> {
    let mut series: Vec<Series> = (0..n)
        .map(|index| {
            let labels = Labels::from_pairs([
                ("__name__", format!("metric_{}", index % 7)),
                ("instance", format!("host-{index}")),
                ("Zone", "é".repeat(1 + index % 3)),
            ]);
            let samples = (0..480)
                .map(|at| Sample::float(at * 15_000, (at * (index as i64 % 5)) as f64 * 0.25))
                .collect();
            (labels, samples)
        })
        .collect();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    series
}

fn write(fs: &TwinFs, series: &[Series]) -> Result<Option<Written>, PromBlockError> {
    let mut writer = BlockWriter::create(fs, Path::new(DIR), 0, 2 * HOUR)?;
    for (labels, samples) in series {
        writer.add(labels, samples.iter().cloned())?;
    }
    writer.finish(2 * HOUR)
}

/// All that can be read, and what was reported.
fn read(fs: &TwinFs, dir: &Path) -> Result<(Vec<Series>, Vec<PromBlockError>), PromBlockError> {
    let mut block = BlockReader::open(fs, dir)?;
    let (mut found, mut damage) = (Vec::new(), Vec::new());
    while let Some(next) = block.next_series() {
        let entry = match next {
            Ok(entry) => entry,
            Err(error) if error.is_io() => return Err(error),
            Err(error) => {
                damage.push(error);
                continue;
            }
        };
        let mut samples = Vec::new();
        for chunk in &entry.chunks {
            if let Err(error) = block.samples(&entry, chunk, &mut samples) {
                damage.push(error);
            }
        }
        found.push((entry.labels, samples));
    }
    let (at, end) = block.position();
    assert_eq!(at, end);
    Ok((found, damage))
}

fn written(fs: &TwinFs, series: &[Series]) -> PathBuf {
    write(fs, series).unwrap().unwrap().path
}

#[test]
fn series_and_samples_come_back_in_order() {
    let fs = TwinFs::new();
    let series = some_series(500);
    let block = write(&fs, &series).unwrap().unwrap();
    let stats = &block.meta.stats;
    assert_eq!((stats.num_series, stats.num_chunks, stats.num_samples), (500, 2000, 240_000));
    assert_eq!(stats.num_float_samples, stats.num_samples);
    assert_eq!(find_blocks(&fs, Path::new(DIR)).unwrap().blocks, std::slice::from_ref(&block.path));
    let (found, damage) = read(&fs, &block.path).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(found, series);
}

#[test]
fn the_same_content_has_the_same_name() {
    let fs = TwinFs::new();
    let first = write(&fs, &some_series(3)).unwrap().unwrap();
    let again = write(&fs, &some_series(3)).unwrap().unwrap();
    assert!(!first.was_there && again.was_there);
    assert_eq!(first.path, again.path);
    assert_ne!(write(&fs, &some_series(4)).unwrap().unwrap().path, first.path);
    assert_eq!(fs.list(Path::new(DIR)).unwrap().len(), 2);
}

#[test]
fn a_block_without_series_is_none() {
    let fs = TwinFs::new();
    assert!(write(&fs, &[]).unwrap().is_none());
    assert!(write(&fs, &[(Labels::from_pairs([("a", "b")]), Vec::new())]).unwrap().is_none());
    assert!(fs.list(Path::new(DIR)).unwrap().is_empty());
}

#[test]
fn what_breaks_the_order_is_refused() {
    let fs = TwinFs::new();
    let mut series = some_series(2);
    series.reverse();
    assert!(write(&fs, &series).unwrap_err().to_string().contains("series out of order"));
    let outside = vec![(Labels::from_pairs([("a", "b")]), vec![Sample::float(2 * HOUR, 0.0)])];
    assert!(write(&fs, &outside).unwrap_err().to_string().contains("outside of the block's range"));
    assert_eq!(remove_leftovers(&fs, Path::new(DIR)).unwrap(), 1);
    assert!(fs.list(Path::new(DIR)).unwrap().is_empty());
}

/// A block is whole under its name or not there, wherever the power goes.
#[test]
fn power_may_go_at_any_place() {
    let series = some_series(20);
    let fs = TwinFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let before = fs.changes();
    written(&fs, &series);
    let changes = fs.changes() - before;
    assert!(changes > 10);
    for at in 1..=changes {
        let fs = TwinFs::new();
        fs.create_dir_all(Path::new(DIR)).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        fs.power_off_at(at);
        let outcome = write(&fs, &series);
        fs.crash_torn(at);
        for path in find_blocks(&fs, Path::new(DIR)).unwrap().blocks {
            let (found, damage) = read(&fs, &path).unwrap();
            assert!(damage.is_empty() && found == series, "power off at change {at}");
        }
        remove_leftovers(&fs, Path::new(DIR)).unwrap();
        assert!(outcome.is_err() || at == changes, "change {at} failed unnoticed");
        let again = written(&fs, &series);
        assert_eq!(read(&fs, &again).unwrap().0, series);
    }
}

#[test]
fn what_was_deleted_is_not_handed_over() {
    let fs = TwinFs::new();
    let series = some_series(4);
    let dir = written(&fs, &series);
    let mut block = BlockReader::open(&fs, &dir).unwrap();
    let ids: Vec<u64> = std::iter::from_fn(|| block.next_series()).map(|entry| entry.unwrap().id).collect();
    // By hand from the format page: magic, version, series and zig-zag times, checksum of the entries.
    let mut entries = Vec::new();
    let mut put = |mut value: u64| {
        while value >= 0x80 {
            entries.push(u8::try_from(value % 0x80).unwrap() | 0x80);
            value /= 0x80;
        }
        entries.push(u8::try_from(value).unwrap());
    };
    // The second to fourth sample of one series, both ends inclusive, and all of another one.
    for (id, from, to) in [(ids[1], 15_000, 45_000), (ids[3], 0, 1 << 40)] {
        [id, from * 2, to * 2].into_iter().for_each(&mut put);
    }
    let mut file = vec![0x01, 0x30, 0xBA, 0x30, 1];
    file.extend_from_slice(&entries);
    file.extend_from_slice(&crc32c::crc32c(&entries).to_be_bytes());
    let path = dir.join("tombstones");
    fs.remove_file(&path).unwrap();
    fs.create_new(&path).unwrap().append(&file).unwrap();

    let (found, damage) = read(&fs, &dir).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    let mut expected = series;
    expected[1].1.drain(1..4);
    expected[3].1.clear();
    assert_eq!(found, expected);
}

fn flip(fs: &TwinFs, path: &Path, at: u64) {
    let file = fs.open_write(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Whatever byte is damaged: what is handed over was written, and what is missing was reported.
#[test]
fn damage_costs_what_is_damaged_and_is_reported() {
    let series: Vec<Series> = some_series(6);
    let fs = TwinFs::new();
    let dir = written(&fs, &series);
    let mut lost_series = 0;
    for name in ["index", "chunks/000001", "tombstones"] {
        let path = dir.join(name);
        for at in 0..fs.len(&path).unwrap() {
            flip(&fs, &path, at);
            if let Ok((found, damage)) = read(&fs, &dir) {
                let mut is_whole = true;
                for (labels, samples) in &series {
                    let part = found.iter().find(|(other, _)| other == labels);
                    let part = part.map_or(&[][..], |(_, samples)| samples);
                    assert!(part.iter().all(|sample| samples.contains(sample)), "{name} byte {at}: invented");
                    // One chunk of four, or the series.
                    assert!(part.is_empty() || part.len() >= 360, "{name} byte {at}: {} samples", part.len());
                    is_whole &= part.len() == samples.len();
                    lost_series += usize::from(part.is_empty());
                }
                assert!(found.iter().all(|(labels, _)| series.iter().any(|(other, _)| other == labels)));
                assert!(found.len() + 1 >= series.len() || name == "chunks/000001");
                assert!(is_whole || !damage.is_empty(), "{name} byte {at}: lost in silence");
            }
            flip(&fs, &path, at);
        }
    }
    assert!(lost_series > 0);
    assert_eq!(read(&fs, &dir).unwrap().0, series);
}

#[test]
fn files_cut_short_at_any_length_are_no_panic() {
    let series: Vec<Series> = some_series(3);
    let fs = TwinFs::new();
    let dir = written(&fs, &series);
    for name in ["chunks/000001", "index", "meta.json"] {
        let path = dir.join(name);
        let len = fs.len(&path).unwrap();
        let file = fs.open_write(&path).unwrap();
        for cut in (0..len).rev() {
            file.truncate(cut).unwrap();
            match read(&fs, &dir) {
                Ok((_, damage)) => assert!(!damage.is_empty(), "{name} at {cut} of {len}"),
                Err(error) => assert!(!error.is_io(), "{name} at {cut}: {error}"),
            }
        }
        file.truncate(0).unwrap();
        break_back(&fs, &dir, &series);
    }
}

/// Writes the block anew over what was cut.
fn break_back(fs: &TwinFs, dir: &Path, series: &[Series]) {
    fs.remove_dir_all(dir).unwrap();
    assert_eq!(written(fs, series), dir);
}
