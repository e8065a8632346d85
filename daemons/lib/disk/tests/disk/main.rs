//! What the engines rely on, tried from outside: crashes, cuts, flipped bytes, full and failing disks.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

mod checked_files;
mod format_page;
mod record_files;
mod wal_concurrent;
mod wal_damage;
mod wal_model;

use std::path::Path;
use std::sync::Arc;

use cairn_disk::{Format, Fs, ReplayReport, TwinFs, Wal, WalError, WalOptions};

const FORMAT: Format = Format::new(*b"CAIRNTST", 2);
const DIR: &str = "/data/wal";

fn options(segment_bytes: u64) -> WalOptions {
    WalOptions { segment_bytes, ..WalOptions::new(FORMAT) }
}

/// Opens the log and collects what it replays.
fn open(fs: &TwinFs, segment_bytes: u64) -> Result<(Wal, ReplayReport, Vec<Vec<u8>>), WalError> {
    fs.create_dir_all(Path::new("/data")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let mut records = Vec::new();
    let (wal, report) =
        Wal::open(Arc::new(fs.clone()), Path::new(DIR), options(segment_bytes), &mut |_, record| {
            records.push(record.to_vec());
            Ok(())
        })?;
    assert_eq!(report.records, records.len() as u64);
    Ok((wal, report, records))
}

fn read_file(fs: &dyn Fs, path: &Path) -> Vec<u8> {
    let file = fs.open_read(path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Replaces a file's content, durably: what a test does to a disk behind the engine's back.
fn overwrite(fs: &dyn Fs, path: &Path, bytes: &[u8]) {
    let file = fs.open_write(path).unwrap();
    file.truncate(0).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
}
