//! Cut and flipped bytes: damage costs what it hit, is named, and never stops the start or panics.

use std::path::{Path, PathBuf};

use cairn_disk::{Format, Fs, TwinFs, Wal, WalOptions, write_atomically};
use cairn_model::{Matcher, TimeMs};
use cairn_promql::source::{SampleSource, Selection};
use cairn_tsdb::block::{META_FILE, META_FORMAT};
use cairn_tsdb::wal_record::{RECORD_VERSION, TAG_SAMPLES, WAL_FORMAT};
use cairn_tsdb::{Db, Outcome};

use crate::{BLOCK_MS, Content, NOW, append, everything, labels, n_samples, open, options, select};

const BLOCKS: &str = "/data/blocks";

/// Two blocks and a head.
fn filled() -> (TwinFs, Content) {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    for time in (0..3 * BLOCK_MS).step_by(50) {
        if time == 2 * BLOCK_MS {
            db.flush(NOW).unwrap();
        }
        for instance in 0..4 {
            let value = f64::from(u32::try_from(time).unwrap() ^ u32::from(instance));
            assert_eq!(append(&db, &labels("m", instance), time, value), Outcome::Stored);
        }
    }
    db.sync().unwrap();
    let content = everything(&db);
    assert_eq!(db.blocks().len(), 2);
    (fs, content)
}

fn first_block(fs: &TwinFs) -> PathBuf {
    Path::new(BLOCKS).join(&fs.list(Path::new(BLOCKS)).unwrap()[0].name)
}

fn read(fs: &TwinFs, path: &Path) -> Vec<u8> {
    let file = fs.open_read(path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn overwrite(fs: &TwinFs, path: &Path, bytes: &[u8]) {
    let file = fs.open_write(path).unwrap();
    file.truncate(0).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

/// What was found is a part of what was stored: nothing is invented.
fn assert_part_of(found: &Content, all: &Content, context: &str) {
    for (labels, samples) in found {
        for (time, bits) in samples {
            assert_eq!(
                all.get(labels).and_then(|samples| samples.get(time)),
                Some(bits),
                "{context}: {labels} {time}"
            );
        }
    }
}

#[test]
fn every_flipped_byte_of_a_block_costs_little_and_is_named() {
    let (fs, content) = filled();
    let block = first_block(&fs);
    for file in ["meta", "index", "chunks"] {
        let path = block.join(file);
        let whole = read(&fs, &path);
        let mut silent = 0;
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x08;
            overwrite(&fs, &path, &flipped);
            let (db, report) = open(&fs);
            let context = format!("{file}, byte {at}");
            let found = everything(&db);
            assert_part_of(&found, &content, &context);
            // By label, too: a damaged index must not hide what is not damaged.
            let by_label = select(&db, &[Matcher::equal("instance", "host-1")], i64::MIN, i64::MAX);
            assert_part_of(&by_label, &content, &context);
            for name in ["__name__", "instance", "job"] {
                let n_values = db.label_values(name, &[], TimeMs::MIN, TimeMs::MAX).unwrap().len();
                assert_eq!(n_values, if name == "instance" { 4 } else { 1 }, "{context}: {name}");
            }
            if report.damage.is_empty() && db.counters().damage_met == 0 {
                // The end mark of a record file is not read when single records are, nor the copy of the times in `index`
                // while the original is well.
                silent += 1;
                assert_eq!(found, content, "{context}: lost without a word");
            } else if file == "chunks" && report.damage.is_empty() {
                let lost = n_samples(&content) - n_samples(&found);
                // So small a block has one page. That damage costs no other page is tested beside the pages.
                assert!(lost <= 4 * 20, "{context}: the block has 80 samples, {lost} are lost");
            } else {
                let head_and_other_block = 4 * 20;
                assert!(n_samples(&found) > head_and_other_block, "{context}: {}", n_samples(&found));
            }
            // Put aside? Put back.
            let aside = block.with_extension("damaged");
            if fs.exists(&aside) {
                fs.rename(&aside, &block).unwrap();
            }
        }
        let copy_of_times = if file == "index" { 40 } else { 0 };
        assert!(silent <= 24 + copy_of_times, "{file}: {silent} bytes are covered by nothing that is read");
        overwrite(&fs, &path, &whole);
    }
    assert_eq!(everything(&open(&fs).0), content);
}

#[test]
fn every_cut_of_a_block_sets_it_aside() {
    let (fs, content) = filled();
    let block = first_block(&fs);
    for file in ["meta", "index", "chunks"] {
        let path = block.join(file);
        let whole = read(&fs, &path);
        for len in (0..whole.len()).step_by(7) {
            overwrite(&fs, &path, &whole[..len]);
            let (db, report) = open(&fs);
            assert_eq!(report.damage.len(), 1, "{file} cut to {len}");
            assert!(report.damage[0].contains("set aside as"), "{}", report.damage[0]);
            assert!(report.damage[0].contains(&path.display().to_string()), "{}", report.damage[0]);
            assert_eq!(report.blocks, 1);
            assert_part_of(&everything(&db), &content, file);
            fs.rename(&block.with_extension("damaged"), &block).unwrap();
            overwrite(&fs, &path, &whole);
        }
    }
}

#[test]
fn damage_in_a_checkpoint_costs_its_series_at_most() {
    let (fs, content) = filled();
    let name = fs
        .list(Path::new("/data"))
        .unwrap()
        .into_iter()
        .find(|entry| entry.name.starts_with("checkpoint-"))
        .unwrap()
        .name;
    let path = Path::new("/data").join(&name);
    let whole = read(&fs, &path);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x20;
        overwrite(&fs, &path, &flipped);
        let (db, report) = open(&fs);
        assert!(!report.damage.is_empty(), "byte {at}");
        let found = everything(&db);
        assert_part_of(&found, &content, &format!("checkpoint byte {at}"));
        assert!(n_samples(&found) >= 4 * 40, "the blocks are there");
        drop(db);
        let aside = Path::new("/data").join(format!("{name}.damaged"));
        if fs.exists(&aside) {
            fs.rename(&aside, &path).unwrap();
        }
    }
}

#[test]
fn every_flipped_byte_of_the_log_costs_what_depends_on_it_and_is_named() {
    let (fs, content) = filled();
    let dir = Path::new("/data/wal");
    let segments = fs.list(dir).unwrap();
    assert!(segments.len() > 1, "damage in the middle and at the end: {segments:?}");
    let in_blocks = 4 * 40;
    for segment in segments {
        let path = dir.join(&segment.name);
        let whole = read(&fs, &path);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            overwrite(&fs, &path, &flipped);
            let context = format!("{}, byte {at}", segment.name);
            match Db::open(options(&fs), &|_| {}) {
                Ok((db, report)) => {
                    let found = everything(&db);
                    assert_part_of(&found, &content, &context);
                    assert!(n_samples(&found) >= in_blocks, "{context}");
                    let is_named = !report.damage.is_empty() || report.torn_bytes > 0;
                    assert!(is_named || found == content, "{context}: lost without a word");
                }
                // A version that does not exist stops the start instead.
                Err(error) => assert!(error.to_string().contains("version"), "{context}: {error}"),
            }
            // Opening removes what has no whole record.
            if !fs.exists(&path) {
                fs.create_new(&path).unwrap();
            }
            overwrite(&fs, &path, &whole);
        }
    }
    assert_eq!(everything(&open(&fs).0), content);
}

#[test]
fn a_damaged_block_is_not_merged_and_keeps_what_can_be_read() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    for time in (0..3 * BLOCK_MS).step_by(50) {
        append(&db, &labels("m", 1), time, 1.0);
    }
    db.maintain(NOW).unwrap();
    let first = db.blocks()[0].id.to_string();
    drop(db);
    let path = Path::new(BLOCKS).join(first).join("chunks");
    let mut bytes = read(&fs, &path);
    bytes[30] ^= 1;
    overwrite(&fs, &path, &bytes);
    let (db, _) = open(&fs);
    for _ in 0..2 {
        // Every answer with a hole says so, not only the first.
        let view = db.view();
        let selection = Selection { matchers: &[], start: TimeMs::MIN, end: TimeMs::MAX };
        assert_eq!((view.select(&selection).unwrap().len(), view.left_out()), (1, 1));
    }
    assert_eq!(db.view().left_out(), 0);
    for time in (3 * BLOCK_MS..10 * BLOCK_MS).step_by(50) {
        append(&db, &labels("m", 1), time, 1.0);
    }
    db.maintain(NOW).unwrap();
    db.maintain(NOW).unwrap();
    assert!(
        db.blocks().iter().any(|block| (block.min_time_ms, block.max_time_ms) == (0, BLOCK_MS)),
        "still alone"
    );
    assert!(db.counters().compactions >= 1, "the others are merged");
    assert_eq!(n_samples(&everything(&db)), 200 - 20);
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let (fs, _) = filled();
    let meta = first_block(&fs).join(META_FILE);
    let newer = Format::new(META_FORMAT.magic, META_FORMAT.version + 1);
    write_atomically(&fs, &meta, newer, b"whatever it may hold").unwrap();
    let error = Db::open(options(&fs), &|_| {}).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    let versions =
        format!("format version {}, this build reads up to {}", newer.version, META_FORMAT.version);
    assert!(cause.contains(&versions), "{cause}");
    assert!(fs.exists(&meta), "not set aside");
}

#[test]
fn a_log_of_another_version_stops_the_start_and_stays() {
    let segment = |format, record: &[u8]| {
        let (fs, _) = filled();
        let (first, _) = open(&fs).0.wal_segments();
        let first_segment = cairn_disk::SegmentId(first);
        let options = WalOptions { first_segment, ..WalOptions::new(format) };
        let fs_of_log: std::sync::Arc<dyn Fs> = std::sync::Arc::new(fs.clone());
        let dir = Path::new("/data/wal");
        if format != WAL_FORMAT {
            fs.remove_dir_all(dir).unwrap();
        }
        let (wal, _) = Wal::open(fs_of_log, dir, options, &mut |_, _| Ok(())).unwrap();
        wal.sync(wal.append(record).unwrap()).unwrap();
        drop(wal);
        let before = fs.list(dir).unwrap();
        let error = Db::open(crate::options(&fs), &|_| {}).unwrap_err();
        assert_eq!(fs.list(dir).unwrap(), before, "left alone");
        error
    };
    let error = segment(WAL_FORMAT, &[RECORD_VERSION + 1, TAG_SAMPLES, 1, 2, 3]);
    assert!(error.to_string().contains("/data/wal/0000000"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    let newer = RECORD_VERSION + 1;
    let expected =
        format!("record version {newer}, this build reads up to {RECORD_VERSION}; use the newer build");
    assert!(cause.contains(&expected), "{cause}");
    // Before the first release the tag was the first byte: 1, series, would pass for the version.
    let error = segment(Format::new(WAL_FORMAT.magic, 1), &[1, 1, 0]).to_string();
    assert!(error.contains("format version 1, this build reads from 2 on"), "{error}");
}
