//! FORMAT.md tells the truth about names, versions and limits.

use cairn_disk::Format;
use cairn_tsdb::block::{CHUNKS_FORMAT, INDEX_FORMAT, MAX_COLUMN_SAMPLES, META_FORMAT, TOMBSTONES_FORMAT};
use cairn_tsdb::checkpoint::{CHECKPOINT_FORMAT, TAG_HEAD_SERIES, TAG_SERIES_TABLE, TAG_START};
use cairn_tsdb::chunk::{
    ENCODING_COLUMNS, ENCODING_HISTOGRAM, ENCODING_XOR, ENCODING_XOR_STARTS, MAX_CHUNK_SAMPLES,
};
use cairn_tsdb::db::EXEMPLARS_FORMAT;
use cairn_tsdb::wal_record::{
    RECORD_VERSION, TAG_EXEMPLARS, TAG_HISTOGRAMS, TAG_LATE_HISTOGRAMS, TAG_SAMPLES, TAG_SERIES, TAG_UNIT,
    WAL_FORMAT,
};

const PAGE: &str = include_str!("../../FORMAT.md");

#[test]
fn formats_and_tags_on_the_page_are_the_code_s() {
    for (file, Format { magic, version, oldest: _ }) in [
        ("wal/*.wal", WAL_FORMAT),
        ("checkpoint-*", CHECKPOINT_FORMAT),
        ("exemplars", EXEMPLARS_FORMAT),
        ("blocks/*/meta", META_FORMAT),
        ("blocks/*/index", INDEX_FORMAT),
        ("blocks/*/chunks", CHUNKS_FORMAT),
        ("blocks/*/tombstones", TOMBSTONES_FORMAT),
    ] {
        let row = format!("| `{file}` | `{}` | {version} |", magic.escape_ascii());
        assert!(PAGE.contains(&row), "FORMAT.md has no line starting {row}");
    }
    for (name, value) in [
        ("RECORD_VERSION", u64::from(RECORD_VERSION)),
        ("TAG_SERIES", u64::from(TAG_SERIES)),
        ("TAG_SAMPLES", u64::from(TAG_SAMPLES)),
        ("TAG_EXEMPLARS", u64::from(TAG_EXEMPLARS)),
        ("TAG_HISTOGRAMS", u64::from(TAG_HISTOGRAMS)),
        ("TAG_LATE_HISTOGRAMS", u64::from(TAG_LATE_HISTOGRAMS)),
        ("TAG_UNIT", u64::from(TAG_UNIT)),
        ("TAG_START", u64::from(TAG_START)),
        ("TAG_HEAD_SERIES", u64::from(TAG_HEAD_SERIES)),
        ("TAG_SERIES_TABLE", u64::from(TAG_SERIES_TABLE)),
        ("ENCODING_XOR", u64::from(ENCODING_XOR)),
        ("ENCODING_HISTOGRAM", u64::from(ENCODING_HISTOGRAM)),
        ("ENCODING_XOR_STARTS", u64::from(ENCODING_XOR_STARTS)),
        ("ENCODING_COLUMNS", u64::from(ENCODING_COLUMNS)),
        ("MAX_CHUNK_SAMPLES", u64::from(MAX_CHUNK_SAMPLES)),
        ("MAX_COLUMN_SAMPLES", MAX_COLUMN_SAMPLES as u64),
    ] {
        let row = format!("| `{name}` | {value} |");
        assert!(PAGE.contains(&row), "FORMAT.md has no line starting {row}");
    }
}
