//! A checked file is there whole, in its old or its new content, whatever happens while it is written.

use std::path::Path;

use cairn_disk::checked::{remove_temporaries, temporary_name};
use cairn_disk::{CheckedError, Format, Fs, TwinFs, read_checked, write_atomically};

use crate::{FORMAT, overwrite, read_file};

const PATH: &str = "/positions";

#[test]
fn power_off_at_every_change_leaves_old_or_new() {
    let (path, old, new) = (Path::new(PATH), b"old".repeat(10), b"the new content".repeat(20));
    let mut seen_old = false;
    for nth in 1.. {
        let fs = TwinFs::new();
        write_atomically(&fs, path, FORMAT, &old).unwrap();
        fs.power_off_at(nth);
        let outcome = write_atomically(&fs, path, FORMAT, &new);
        fs.crash_torn(nth);
        let found = read_checked(&fs, path, FORMAT).unwrap();
        assert!(found == old || found == new, "power off at change {nth}");
        seen_old |= found == old;
        if outcome.is_ok() {
            assert_eq!(found, new);
            break;
        }
        write_atomically(&fs, path, FORMAT, &new).unwrap();
        remove_temporaries(&fs, Path::new("/")).unwrap();
        assert_eq!(fs.list(Path::new("/")).unwrap().len(), 1);
    }
    assert!(seen_old);
}

#[test]
fn full_disk_keeps_the_old_content_and_gives_the_space_back() {
    let (fs, path) = (TwinFs::new(), Path::new(PATH));
    write_atomically(&fs, path, FORMAT, b"old").unwrap();
    fs.set_capacity(Some(fs.used_bytes() + 40));
    let error = write_atomically(&fs, path, FORMAT, &[1; 100]).unwrap_err();
    assert!(cairn_disk::is_no_space(&error));
    assert!(!fs.exists(&temporary_name(path)));
    write_atomically(&fs, path, FORMAT, b"tiny").unwrap();
    assert_eq!(read_checked(&fs, path, FORMAT).unwrap(), b"tiny");
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let (fs, path) = (TwinFs::new(), Path::new(PATH));
    write_atomically(&fs, path, FORMAT, b"a body of some length").unwrap();
    let whole = read_file(&fs, path);
    for len in 0..whole.len() {
        overwrite(&fs, path, &whole[..len]);
        read_checked(&fs, path, FORMAT).unwrap_err();
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        overwrite(&fs, path, &flipped);
        let error = read_checked(&fs, path, FORMAT).unwrap_err();
        assert!(error.to_string().contains(PATH), "{error}");
    }
    overwrite(&fs, path, &[&whole[..], b"x"].concat());
    assert!(matches!(read_checked(&fs, path, FORMAT), Err(CheckedError::Length { .. })));
}

#[test]
fn missing_newer_and_foreign_files_are_told_apart() {
    let (fs, path) = (TwinFs::new(), Path::new(PATH));
    let error = read_checked(&fs, path, FORMAT).unwrap_err();
    assert!(
        matches!(&error, CheckedError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    );
    write_atomically(&fs, path, Format::new(FORMAT.magic, 9), b"").unwrap();
    let error = read_checked(&fs, path, FORMAT).unwrap_err();
    assert!(error.to_string().contains("format version 9, this build reads up to 2"), "{error}");
    write_atomically(&fs, path, Format::new(*b"SOMEBODY", 1), b"").unwrap();
    let error = read_checked(&fs, path, FORMAT).unwrap_err();
    assert!(error.to_string().contains("not a CAIRNTST file (its first bytes are SOMEBODY)"), "{error}");
}
