//! Record files: read as a stream, read by offset, never read short without notice.

use std::path::Path;

use cairn_disk::record_file::{
    RecordFileError, RecordFileWriter, open_record_file, read_record_at, read_records,
};
use cairn_disk::{Fs, TwinFs};

use crate::{FORMAT, overwrite, read_file};

fn written() -> (TwinFs, Vec<(u64, Vec<u8>)>) {
    let fs = TwinFs::new();
    let mut writer = RecordFileWriter::create(&fs, Path::new("/f"), FORMAT).unwrap();
    // One record looks like the end of a file: only its place makes an end of it.
    let fake_end = [&b"\xffEND\xffEND"[..], &7u64.to_le_bytes()].concat();
    let records: Vec<(u64, Vec<u8>)> = [b"one".to_vec(), fake_end, vec![], vec![9; 3000]]
        .into_iter()
        .map(|record| (writer.push(&record).unwrap(), record))
        .collect();
    assert_eq!(writer.finish().unwrap(), fs.len(Path::new("/f")).unwrap());
    (fs, records)
}

fn read(fs: &TwinFs) -> Result<Vec<(u64, Vec<u8>)>, RecordFileError> {
    let mut records = Vec::new();
    read_records::<RecordFileError>(fs, Path::new("/f"), FORMAT, |offset, record| {
        records.push((offset, record.to_vec()));
        Ok(())
    })?;
    Ok(records)
}

#[test]
fn round_trip_as_stream_and_by_offset() {
    let (fs, records) = written();
    assert_eq!(read(&fs).unwrap(), records);
    let (file, version) = open_record_file(&fs, Path::new("/f"), FORMAT).unwrap();
    assert_eq!(version, FORMAT.version);
    for (offset, record) in &records {
        assert_eq!(&read_record_at(&*file, Path::new("/f"), *offset, record.len()).unwrap(), record);
        assert!(read_record_at(&*file, Path::new("/f"), offset + 1, record.len()).is_err());
        assert!(read_record_at(&*file, Path::new("/f"), *offset, record.len() + 1).is_err());
    }
}

#[test]
fn every_cut_and_every_flipped_byte_is_noticed() {
    let (fs, _) = written();
    let path = Path::new("/f");
    let whole = read_file(&fs, path);
    for len in 0..whole.len() {
        overwrite(&fs, path, &whole[..len]);
        assert!(read(&fs).is_err(), "cut to {len}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        overwrite(&fs, path, &flipped);
        assert!(read(&fs).is_err(), "byte {at}");
    }
    overwrite(&fs, path, &[&whole[..], &whole[16..]].concat());
    assert!(read(&fs).is_err(), "two contents behind one header");
}
