//! One push as one WAL record; `FORMAT.md`, section 1.
//!
//! # To add a field
//!
//! Encoders and replay take structs apart without `..`, so a field of [`Entry`] or of a struct on its way does not
//! compile until steps 1 and 3 are done. Nothing reminds of the others.
//!
//! 1. Here: raise [`RECORD_VERSION`]; write the field in `encode`; put it into `Record` or `RecordEntry` and read it in
//!    `decode` when `version` has it. Otherwise it gets what an older record means by not having it. What `decode` reads
//!    of older versions never changes.
//! 2. Freeze a record of the new version as `testdata/wal-record-v<version>.hex`; the test here prints it. Those of older
//!    versions stay for ever; what the test expects of them has the new field's default.
//! 3. Whoever makes an [`Entry`] fills it in (the daemon's `ingest.rs`). `push.rs` (live) and `recover.rs` (after a restart) hand an entry's field to `head.rs` as `NewEntry`. There
//!    `Ties::find` decides whether entries that differ in nothing else are repeats.
//! 4. If it shall outlive the head: `StoredEntry` in `head.rs`, written by `chunk_writer.rs`, read by `block.rs` and
//!    `run.rs`, with its version in `chunk_format.rs` (see [`CHUNK_VERSION`](crate::chunk_format::CHUNK_VERSION)).
//! 5. For a query to see it, in the head or beyond: `run.rs` and `cursor.rs`, whose `TieEntry` decides about repeats among
//!    chunks, and `EntryRef` in the language's `source.rs`.
//! 6. `FORMAT.md`, sections 1 and 4 (`tests/format.rs` compares), and the repository's CHANGELOG.md.

use std::collections::HashMap;

use cairn_model::{Labels, TimeNs};

use crate::codec::{DecodeError, MAX_TENANT_BYTES, Reader, put_bytes, put_labels, put_uvarint, put_varint};
use crate::push::Entry;

/// The first byte of every record: the version that is written, and the highest that is read. Raise it for every change
/// of what a record says. [`WAL_FORMAT`](crate::engine::WAL_FORMAT) stays as it is then.
pub const RECORD_VERSION: u8 = 1;
/// The second byte: what the record says. So far there is only this one.
pub const TAG_PUSH: u8 = 1;

/// Where the sequence number lies: it is known only once the record's place in the log is.
const SEQUENCE_AT: usize = 2;

/// Why a record cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Nothing may be guessed about it, and nothing skipped: the start must end here.
    #[error(
        "record version {found}, this build reads up to {RECORD_VERSION}; use the newer build that wrote it, or move \
         the folder of the write-ahead log away, which loses what is only there"
    )]
    Version { found: u8 },
    /// Damage that the checksum did not notice, or a bug.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// A push, as the log has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Ascending through the whole log; gives the order of arrival.
    pub(crate) sequence: u64,
    pub(crate) tenant: &'a str,
    /// Streams that the log does not define anywhere since the last checkpoint, among them all new ones.
    pub(crate) definitions: Vec<(u64, Labels)>,
    /// The distinct sets of structured metadata.
    pub(crate) metadata: Vec<Labels>,
    pub(crate) streams: Vec<RecordStream<'a>>,
}

/// The entries for one stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecordStream<'a> {
    pub(crate) id: u64,
    pub(crate) entries: Vec<RecordEntry<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordEntry<'a> {
    pub(crate) time: TimeNs,
    pub(crate) line: &'a [u8],
    /// Index in [`Record::metadata`].
    pub(crate) metadata: usize,
}

/// Encodes a push; the sequence number is still 0, see [`set_sequence`].
pub(crate) fn encode<'a>(
    tenant: &str,
    definitions: &[(u64, &Labels)],
    streams: impl Iterator<Item = (u64, &'a [Entry])> + Clone,
) -> Vec<u8> {
    let mut ids: HashMap<&Labels, u64> = HashMap::new();
    let mut sets: Vec<&Labels> = Vec::new();
    let mut line_bytes = 0;
    for Entry { time: _, line, metadata } in streams.clone().flat_map(|(_, entries)| entries) {
        line_bytes += line.len() + 4;
        // Neighbours mostly share their set (usually just a level): that test is cheaper than the hash.
        if sets.last().is_none_or(|last| *last != metadata) {
            ids.entry(metadata).or_insert_with(|| {
                sets.push(metadata);
                sets.len() as u64 - 1
            });
        }
    }
    let mut out = Vec::with_capacity(line_bytes + 256);
    out.extend_from_slice(&[RECORD_VERSION, TAG_PUSH]);
    out.extend_from_slice(&0u64.to_le_bytes());
    put_bytes(&mut out, tenant.as_bytes());
    put_uvarint(&mut out, definitions.len() as u64);
    for (id, labels) in definitions {
        put_uvarint(&mut out, *id);
        put_labels(&mut out, labels);
    }
    put_uvarint(&mut out, sets.len() as u64);
    sets.iter().for_each(|set| put_labels(&mut out, set));
    put_uvarint(&mut out, streams.clone().count() as u64);
    for (id, entries) in streams {
        put_uvarint(&mut out, id);
        put_uvarint(&mut out, entries.len() as u64);
        let mut previous = 0i64;
        for Entry { time: TimeNs(time), line, metadata } in entries {
            put_varint(&mut out, time.wrapping_sub(previous));
            previous = *time;
            put_uvarint(&mut out, ids[metadata]);
            put_bytes(&mut out, line);
        }
    }
    out
}

/// Writes the sequence number into an encoded record.
pub(crate) fn set_sequence(record: &mut [u8], sequence: u64) {
    record[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&sequence.to_le_bytes());
}

/// Decodes a record of any version up to [`RECORD_VERSION`]. Lines are borrowed from it.
///
/// # Errors
/// [`RecordError`], of which [`RecordError::Version`] must stop the start.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record<'_>, RecordError> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8("record version")?;
    if !(1..=RECORD_VERSION).contains(&version) {
        return Err(RecordError::Version { found: version });
    }
    if reader.u8("record tag")? != TAG_PUSH {
        return Err(DecodeError { what: "record tag", at: 1 }.into());
    }
    let sequence = reader.u64("sequence")?;
    let tenant = reader.text(MAX_TENANT_BYTES, "tenant")?;
    let mut definitions = Vec::new();
    for _ in 0..reader.count(2, "stream definitions")? {
        let id = reader.uvarint("stream id")?;
        definitions.push((id, reader.labels("stream labels")?));
    }
    let mut metadata = Vec::new();
    for _ in 0..reader.count(1, "metadata sets")? {
        metadata.push(reader.labels("metadata set")?);
    }
    let mut streams = Vec::new();
    for _ in 0..reader.count(2, "streams")? {
        let id = reader.uvarint("stream id")?;
        let count = reader.count(3, "entries")?;
        let mut entries = Vec::with_capacity(count);
        let mut time = 0i64;
        for _ in 0..count {
            time = time.wrapping_add(reader.varint("time")?);
            let set = reader.uvarint("metadata id")?;
            let line = reader.bytes(u64::MAX, "line")?;
            let metadata = usize::try_from(set).ok().filter(|set| *set < metadata.len());
            let metadata = metadata.ok_or_else(|| reader.error("metadata id"))?;
            entries.push(RecordEntry { time: TimeNs(time), line, metadata });
        }
        streams.push(RecordStream { id, entries });
    }
    if reader.remaining() > 0 {
        return Err(reader.error("end of record").into());
    }
    Ok(Record { sequence, tenant, definitions, metadata, streams })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let metadata = prop_oneof![
            3 => Just(Labels::empty()),
            1 => "[a-c]{1,2}".prop_map(|value| Labels::from_pairs([("level", value)])),
        ];
        (any::<i64>(), proptest::collection::vec(any::<u8>(), 0..20), metadata).prop_map(
            |(time, line, metadata)| Entry { time: TimeNs(time), line: Bytes::from(line), metadata },
        )
    }

    proptest! {
        #[test]
        fn a_record_comes_back(
            tenant in "[a-z]{0,8}",
            sequence: u64,
            streams in proptest::collection::vec((any::<u64>(), proptest::collection::vec(entry(), 0..6)), 0..4),
        ) {
            let labels = Labels::from_pairs([("job", "a"), ("host", "b")]);
            let mut bytes = encode(&tenant, &[(7, &labels)], streams.iter().map(|(id, e)| (*id, e.as_slice())));
            set_sequence(&mut bytes, sequence);
            let record = decode(&bytes).unwrap();
            prop_assert_eq!(record.sequence, sequence);
            prop_assert_eq!(record.tenant, &tenant);
            prop_assert_eq!(&record.definitions, &[(7, labels)]);
            prop_assert_eq!(record.streams.len(), streams.len());
            for (got, (id, want)) in record.streams.iter().zip(&streams) {
                prop_assert_eq!(got.id, *id);
                let got: Vec<Entry> = got.entries.iter().map(|e| Entry {
                    time: e.time,
                    line: Bytes::copy_from_slice(e.line),
                    metadata: record.metadata[e.metadata].clone(),
                }).collect();
                prop_assert_eq!(&got, want);
            }
            for cut in 0..bytes.len() {
                prop_assert!(decode(&bytes[..cut]).is_err(), "cut at {}", cut);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(mut bytes: Vec<u8>) {
            bytes.splice(0..0, [RECORD_VERSION, TAG_PUSH]);
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_newer_record_is_told_apart_from_damage() {
        for found in [RECORD_VERSION + 1, u8::MAX, 0] {
            assert_eq!(decode(&[found, TAG_PUSH]), Err(RecordError::Version { found }));
        }
        assert!(matches!(decode(&[]), Err(RecordError::Malformed(_))));
        assert!(matches!(decode(&[RECORD_VERSION, TAG_PUSH + 1]), Err(RecordError::Malformed(_))));
    }

    /// The push that every frozen record holds.
    fn frozen_push() -> (Labels, Vec<(u64, Vec<Entry>)>) {
        let entry = |time, line: &'static [u8], level: &str| {
            let metadata = Labels::from_pairs([("level", level)]);
            Entry { time: TimeNs(time), line: Bytes::from_static(line), metadata }
        };
        let first = vec![
            entry(1_700_000_000_000_000_000, b"first", "info"),
            entry(1_700_000_000_000_000_001, b"\xff\x00", ""),
            entry(1_699_999_999_000_000_000, b"late", "info"),
        ];
        let labels = Labels::from_pairs([("host", "b"), ("job", "a")]);
        (labels, vec![(7, first), (300, vec![entry(-5, b"", "warn")])])
    }

    #[test]
    fn records_of_every_version_are_read_for_ever() {
        let (labels, streams) = frozen_push();
        let pushed = streams.iter().map(|(id, entries)| (*id, entries.as_slice()));
        let mut written = encode("fake", &[(7, &labels)], pushed);
        set_sequence(&mut written, 258);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for version in 1..=RECORD_VERSION {
            let path = format!("{}/testdata/wal-record-v{version}.hex", env!("CARGO_MANIFEST_DIR"));
            let frozen = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{path}: {error}; this build writes {}", hex(&written)));
            let digits: Vec<u8> = frozen.bytes().filter(u8::is_ascii_hexdigit).collect();
            let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
            let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
            assert_eq!(bytes[0], version);
            if version == RECORD_VERSION {
                assert_eq!(hex(&written), hex(&bytes), "what is written changed: raise RECORD_VERSION");
            }
            let record = decode(&bytes).unwrap();
            assert_eq!((record.sequence, record.tenant), (258, "fake"));
            assert_eq!(record.definitions, [(7, labels.clone())]);
            let read = record.streams.iter().map(|stream| {
                let entries = stream.entries.iter().map(|RecordEntry { time, line, metadata }| Entry {
                    time: *time,
                    line: Bytes::copy_from_slice(line),
                    metadata: record.metadata[*metadata].clone(),
                });
                (stream.id, entries.collect())
            });
            assert_eq!(read.collect::<Vec<(u64, Vec<Entry>)>>(), streams);
        }
    }
}
