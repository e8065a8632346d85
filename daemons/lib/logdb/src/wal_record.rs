//! One push as one WAL record; `FORMAT.md`, section 1.
//!
//! To add a field: raise [`RECORD_VERSION`], write it in `encode`, read it in `decode` for the new version only,
//! and describe it in `FORMAT.md`.

use std::collections::HashMap;

use cairn_model::{Labels, TimeNs};

use crate::codec::{DecodeError, MAX_TENANT_BYTES, Reader, put_bytes, put_labels, put_uvarint, put_varint};
use crate::push::Entry;

/// The first byte of every record.
pub const RECORD_VERSION: u8 = 1;
/// The second byte: what the record says. So far there is only this one.
pub const TAG_PUSH: u8 = 1;

/// Where the sequence number lies: it is known only once the record's place in the log is.
const SEQUENCE_AT: usize = 2;

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
    for entry in streams.clone().flat_map(|(_, entries)| entries) {
        line_bytes += entry.line.len() + 4;
        // Neighbours mostly share their set (usually just a level): that test is cheaper than the hash.
        if sets.last().is_none_or(|last| **last != entry.metadata) {
            ids.entry(&entry.metadata).or_insert_with(|| {
                sets.push(&entry.metadata);
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
        for entry in entries {
            put_varint(&mut out, entry.time.0.wrapping_sub(previous));
            previous = entry.time.0;
            put_uvarint(&mut out, ids[&entry.metadata]);
            put_bytes(&mut out, &entry.line);
        }
    }
    out
}

/// Writes the sequence number into an encoded record.
pub(crate) fn set_sequence(record: &mut [u8], sequence: u64) {
    record[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&sequence.to_le_bytes());
}

/// The version of a record, if it is one that this build does not read.
pub(crate) fn unknown_version(bytes: &[u8]) -> Option<u8> {
    bytes.first().copied().filter(|version| *version != RECORD_VERSION)
}

/// Decodes a record. Lines are borrowed from it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8("record version")? != RECORD_VERSION {
        return Err(DecodeError { what: "record version", at: 0 });
    }
    if reader.u8("record tag")? != TAG_PUSH {
        return Err(DecodeError { what: "record tag", at: 1 });
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
        return Err(reader.error("end of record"));
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
        assert_eq!(unknown_version(&[RECORD_VERSION + 1, 0]), Some(2));
        assert_eq!(unknown_version(&[RECORD_VERSION]), None);
    }
}
