//! A log whose bytes were cut or changed opens, keeps what is whole, and says what is not.

use std::path::Path;

use cairn_disk::wal::{SEGMENT_HEADER_BYTES, segment_name};
use cairn_disk::{Format, Fs, RealFs, SegmentId, TwinFs, Wal, WalError, WalOptions};

use crate::{DIR, FORMAT, open, overwrite, read_file};

fn written(records: &[&[u8]]) -> TwinFs {
    let fs = TwinFs::new();
    let (wal, ..) = open(&fs, 1 << 20).unwrap();
    for record in records {
        wal.append(record).unwrap();
    }
    wal.sync(wal.appended()).unwrap();
    fs
}

const RECORDS: [&[u8]; 3] = [b"first", b"second record", b"3"];

fn path(id: u64) -> std::path::PathBuf {
    Path::new(DIR).join(segment_name(SegmentId(id)))
}

#[test]
fn cut_at_every_byte() {
    let whole = read_file(&written(&RECORDS), &path(1));
    let mut end = SEGMENT_HEADER_BYTES;
    let ends: Vec<usize> = RECORDS
        .iter()
        .map(|record| {
            end += 8 + record.len();
            end
        })
        .collect();
    assert_eq!(end, whole.len());
    for cut in 0..=whole.len() {
        let fs = written(&RECORDS);
        overwrite(&fs, &path(1), &whole[..cut]);
        let (wal, report, records) = open(&fs, 1 << 20).unwrap();
        let n_whole = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(records, RECORDS[..n_whole], "cut at {cut}");
        assert!(!report.is_damaged(), "cut at {cut}: {report:?}");
        let at_an_end = cut <= SEGMENT_HEADER_BYTES || ends.contains(&cut);
        assert_eq!(report.torn_bytes == 0, at_an_end, "cut at {cut}: {report:?}");
        // It goes on from there, and the second opening finds nothing to complain about.
        wal.append(b"later").unwrap();
        wal.sync(wal.appended()).unwrap();
        fs.crash();
        let (_, report, records) = open(&fs, 1 << 20).unwrap();
        assert_eq!(records, [&RECORDS[..n_whole], &[b"later"]].concat());
        assert_eq!((report.torn_bytes, report.is_damaged()), (0, false));
    }
}

#[test]
fn a_flipped_byte_costs_at_most_the_records_from_there_and_is_never_silent() {
    let whole = read_file(&written(&RECORDS), &path(1));
    for at in 0..whole.len() {
        let fs = written(&RECORDS);
        let mut flipped = whole.clone();
        flipped[at] ^= 0x40;
        overwrite(&fs, &path(1), &flipped);
        let (_, report, records) = open(&fs, 1 << 20).unwrap();
        assert!(records.iter().all(|record| RECORDS.contains(&record.as_slice())), "byte {at}: {records:?}");
        assert!(records.len() < RECORDS.len(), "byte {at} is covered by a checksum");
        assert!(report.is_damaged() || report.torn_bytes > 0, "byte {at}: {report:?}");
        // A byte inside the second record's content costs only that one.
        let second = SEGMENT_HEADER_BYTES + 8 + RECORDS[0].len() + 8;
        if (second..second + RECORDS[1].len()).contains(&at) {
            assert_eq!(records, [RECORDS[0], RECORDS[2]]);
            assert_eq!(report.damaged.len(), 1);
        }
    }
}

#[test]
fn damage_in_one_segment_leaves_the_others() {
    let fs = TwinFs::new();
    let (wal, ..) = open(&fs, 1 << 20).unwrap();
    for record in RECORDS {
        wal.append(record).unwrap();
        wal.cut().unwrap();
    }
    drop(wal);
    let mut second = read_file(&fs, &path(2));
    second[20] ^= 1;
    overwrite(&fs, &path(2), &second);
    let (_, report, records) = open(&fs, 1 << 20).unwrap();
    assert_eq!(records, [RECORDS[0], RECORDS[2]]);
    assert_eq!((report.damaged.len(), report.missing_records), (1, 1));
    assert_eq!(read_file(&fs, &path(2)), second, "a damaged segment is left for a person to look at");

    fs.remove_file(&path(2)).unwrap();
    let (_, report, records) = open(&fs, 1 << 20).unwrap();
    assert_eq!((records.len(), report.missing_records), (2, 1), "a missing segment is noticed");
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let fs = written(&RECORDS);
    let before = read_file(&fs, &path(1));
    let older = Format::new(FORMAT.magic, FORMAT.version - 1);
    let opened = Wal::open(
        std::sync::Arc::new(fs.clone()),
        Path::new(DIR),
        WalOptions::new(older),
        &mut |_, _| Ok(()),
    );
    let error = opened.unwrap_err();
    assert!(matches!(error, WalError::Header(_)), "{error}");
    assert!(error.to_string().contains("format version 2, this build reads up to 1"), "{error}");
    assert_eq!(read_file(&fs, &path(1)), before);
}

#[test]
fn a_version_that_is_no_longer_read_is_refused_and_left_alone() {
    let fs = written(&RECORDS);
    let before = read_file(&fs, &path(1));
    let next = Format::new(FORMAT.magic, FORMAT.version + 1);
    let open = |format| {
        Wal::open(
            std::sync::Arc::new(fs.clone()),
            Path::new(DIR),
            WalOptions::new(format),
            &mut |_, _| Ok(()),
        )
    };
    let error = open(next.reading_from(FORMAT.version + 1)).unwrap_err();
    assert!(error.to_string().contains("format version 2, this build reads from 3 on"), "{error}");
    assert_eq!(read_file(&fs, &path(1)), before);
    assert_eq!(open(next).unwrap().1.records, 3, "an older version is read unless it is said otherwise");
}

#[test]
fn a_directory_whose_name_was_not_durable_yet_becomes_so() {
    let fs = TwinFs::new();
    // As a process leaves it that was killed between making the directory and syncing its parent.
    fs.create_dir_all(Path::new("/data")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let (wal, ..) = open(&fs, 1 << 20).unwrap();
    wal.sync(wal.append(b"acknowledged").unwrap()).unwrap();
    fs.crash();
    assert_eq!(open(&fs, 1 << 20).unwrap().2, [b"acknowledged"]);
}

#[test]
fn an_engine_that_refuses_a_record_is_quoted() {
    let fs = written(&RECORDS);
    let opened =
        Wal::open(std::sync::Arc::new(fs), Path::new(DIR), WalOptions::new(FORMAT), &mut |_, record| {
            if record == b"3" { Err("tag 51 is unknown".into()) } else { Ok(()) }
        });
    let error = opened.unwrap_err();
    assert!(error.to_string().contains("0000000001.wal, record at byte 70"), "{error}");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "tag 51 is unknown");
}

#[test]
fn works_on_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let wal_dir = dir.path().join("wal");
    let mut expected = Vec::new();
    for round in 0u8..3 {
        let mut replayed = Vec::new();
        let (wal, report) = Wal::open(
            std::sync::Arc::new(RealFs),
            &wal_dir,
            WalOptions { segment_bytes: 300, ..WalOptions::new(FORMAT) },
            &mut |_, record| {
                replayed.push(record.to_vec());
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(replayed, expected, "round {round}");
        assert_eq!(report.torn_bytes, if round == 0 { 0 } else { 3 });
        for index in 0u8..20 {
            let record = vec![round; usize::from(index) * 3];
            wal.append(&record).unwrap();
            expected.push(record);
        }
        wal.sync(wal.appended()).unwrap();
        let on_disk: u64 = RealFs.list(&wal_dir).unwrap().iter().map(|entry| entry.len).sum();
        assert_eq!(wal.bytes_on_disk(), on_disk);
        drop(wal);
        let last = RealFs.list(&wal_dir).unwrap().pop().unwrap().name;
        RealFs.open_write(&wal_dir.join(last)).unwrap().append(b"bad").unwrap();
    }
}
