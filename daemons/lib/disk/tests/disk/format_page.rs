//! FORMAT.md tells the truth: its constants are the code's, and its example is what the code writes.

use std::path::Path;

use cairn_disk::frame::{FRAME_HEADER_BYTES, MAX_RECORD_BYTES, push_frame};
use cairn_disk::header::{CONTAINER_VERSION, HEADER_BYTES};
use cairn_disk::wal::{SEGMENT_HEADER_BYTES, segment_name};
use cairn_disk::{Format, SegmentId, TwinFs, WalOptions, write_atomically};

const PAGE: &str = include_str!("../../FORMAT.md");

#[test]
fn constants_on_the_page_are_the_code_s() {
    let options = WalOptions::new(Format::new(*b"CAIRNTST", 1));
    for (name, value) in [
        ("HEADER_BYTES", HEADER_BYTES as u64),
        ("CONTAINER_VERSION", u64::from(CONTAINER_VERSION)),
        ("FRAME_HEADER_BYTES", FRAME_HEADER_BYTES as u64),
        ("MAX_RECORD_BYTES", MAX_RECORD_BYTES as u64),
        ("MAX_CHECKED_BYTES", cairn_disk::checked::MAX_CHECKED_BYTES as u64),
        ("SEGMENT_HEADER_BYTES", SEGMENT_HEADER_BYTES as u64),
        ("segment_bytes", options.segment_bytes),
        ("max_record_bytes", options.max_record_bytes as u64),
        ("max_unsynced_bytes", options.max_unsynced_bytes as u64),
    ] {
        let row = format!("| `{name}` | {value} |");
        assert!(PAGE.contains(&row), "FORMAT.md has no line starting {row}");
    }
    assert!(PAGE.contains(&segment_name(SegmentId(42))));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn examples_on_the_page_are_what_is_written() {
    let mut frame = Vec::new();
    push_frame(&mut frame, b"hello");
    let fs = TwinFs::new();
    write_atomically(&fs, Path::new("/f"), Format::new(*b"CAIRNTST", 1), b"hi").unwrap();
    let checked = crate::read_file(&fs, Path::new("/f"));
    for (what, bytes) in [("frame", &frame[..]), ("checked file", &checked)] {
        assert!(PAGE.contains(&hex(bytes)), "the {what} is {}", hex(bytes));
    }
}
