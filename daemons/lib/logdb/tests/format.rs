//! `FORMAT.md` says what the code does.

use cairn_logdb::catalogue::{APPLICATION_ID, CATALOGUE_FILE, CATALOGUE_VERSION};
use cairn_logdb::chunk_format::{
    BLOCK_ROW_BYTES, CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_VERSION, FILE_END_MAGIC, FILE_FORMAT,
    FILE_TRAILER_BYTES, MAX_BLOCK_BYTES, MAX_CHUNK_BYTES, MAX_DIRECTORY_BYTES,
};
use cairn_logdb::engine::WAL_FORMAT;
use cairn_logdb::filter::{GRAM_BYTES, GRAM_FACTOR, MAX_LOG2_BITS, MIN_LOG2_BITS};
use cairn_logdb::push::MAX_RECORD_BYTES;
use cairn_logdb::wal_record::{RECORD_VERSION, TAG_PUSH};

#[test]
fn the_page_has_the_numbers_of_the_code() {
    let page = include_str!("../FORMAT.md");
    let mib = |bytes: usize| bytes >> 20;
    for text in [
        format!("## 1. The WAL record (version {RECORD_VERSION})"),
        format!("u8={TAG_PUSH}"),
        format!("`{}`, version {}", WAL_FORMAT.magic.escape_ascii(), WAL_FORMAT.version),
        format!("A record is at most {} MiB", mib(MAX_RECORD_BYTES)),
        format!("## 2. The chunk file (version {})", FILE_FORMAT.version),
        format!("\"{}\", {}", FILE_FORMAT.magic.escape_ascii(), FILE_FORMAT.version),
        format!("| {FILE_TRAILER_BYTES} bytes|"),
        format!("| \"{}\"", FILE_END_MAGIC.escape_ascii()),
        format!("### 2.2 Chunk (version {CHUNK_VERSION})"),
        format!("0 \"{}\"", CHUNK_MAGIC.escape_ascii()),
        format!(" {CHUNK_HEADER_BYTES} block index: for each block, {BLOCK_ROW_BYTES} bytes"),
        format!("A raw block of more than {} MiB", mib(MAX_BLOCK_BYTES)),
        format!("a chunk of more than {} GiB", MAX_CHUNK_BYTES >> 30),
        format!("directory of more than {} MiB", MAX_DIRECTORY_BYTES >> 20),
        format!("{GRAM_FACTOR:#X}").replace("0X", "0x"),
        format!("collects 2^{MAX_LOG2_BITS} bits"),
        format!("down to 2^{MIN_LOG2_BITS}"),
        format!("## 3. The catalogue (version {CATALOGUE_VERSION})"),
        format!("0x{APPLICATION_ID:X}"),
        format!("/{CATALOGUE_FILE}"),
    ] {
        assert!(page.contains(&text), "FORMAT.md lacks: {text}");
    }
    assert_eq!(GRAM_BYTES, 4, "the page says: runs of four bytes");
}
