//! What the write-ahead log's records say. `FORMAT.md` has the boxes.

use cairn_disk::Format;
use cairn_model::Labels;

use crate::codec::{Malformed, Reader, put_labels, put_uvarint, put_varint};

/// The log's kind and version. A new tag below is a new version: an older build must refuse it, not skip it.
pub const WAL_FORMAT: Format = Format::new(*b"CAIRNMWL", 1);

/// New series: id and labels, until the record ends.
pub const TAG_SERIES: u8 = 1;
/// Float samples: id, time, value, until the record ends.
pub const TAG_SAMPLES: u8 = 2;
// 3 tombstones, 4 exemplars, 5 metadata, 6 and 7 integer and float histograms: reserved for what they name.

/// Starts a record of series.
pub(crate) fn start_series(record: &mut Vec<u8>) {
    record.clear();
    record.push(TAG_SERIES);
}

pub(crate) fn push_series(record: &mut Vec<u8>, id: u64, labels: &Labels) {
    put_uvarint(record, id);
    put_labels(record, labels);
}

/// Writes samples; ids and times as differences to the sample before, since a scrape has one time and neighbouring ids.
#[derive(Debug, Default)]
pub(crate) struct SamplesRecord {
    bytes: Vec<u8>,
    last_id: u64,
    last_time: i64,
}

impl SamplesRecord {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.push(TAG_SAMPLES);
        (self.last_id, self.last_time) = (0, 0);
    }

    pub(crate) fn push(&mut self, id: u64, time: i64, bits: u64) {
        put_varint(&mut self.bytes, id.wrapping_sub(self.last_id).cast_signed());
        put_varint(&mut self.bytes, time.wrapping_sub(self.last_time));
        self.bytes.extend_from_slice(&bits.to_le_bytes());
        (self.last_id, self.last_time) = (id, time);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a replay does with a record's content.
pub(crate) trait Visit {
    fn series(&mut self, id: u64, labels: Labels);
    fn sample(&mut self, id: u64, time: i64, bits: u64);
}

/// Reads one record.
///
/// # Errors
/// [`Malformed`] for an unknown tag or content that no writer of this version produced.
pub(crate) fn read(record: &[u8], visit: &mut impl Visit) -> Result<(), Malformed> {
    let mut reader = Reader::new(record, "write-ahead log record");
    match reader.byte()? {
        TAG_SERIES => {
            while !reader.is_empty() {
                let id = reader.uvarint()?;
                visit.series(id, reader.labels()?);
            }
        }
        TAG_SAMPLES => {
            let (mut id, mut time) = (0u64, 0i64);
            while !reader.is_empty() {
                id = id.wrapping_add(reader.varint()?.cast_unsigned());
                time = time.wrapping_add(reader.varint()?);
                visit.sample(id, time, reader.u64_le()?);
            }
        }
        _ => return Err(reader.malformed()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<(u64, String)>, Vec<(u64, i64, u64)>);

    impl Visit for Seen {
        fn series(&mut self, id: u64, labels: Labels) {
            self.0.push((id, labels.to_string()));
        }
        fn sample(&mut self, id: u64, time: i64, bits: u64) {
            self.1.push((id, time, bits));
        }
    }

    #[test]
    fn round_trip_and_every_cut() {
        let mut series = Vec::new();
        start_series(&mut series);
        push_series(&mut series, 300, &Labels::from_pairs([("a", "b")]));
        push_series(&mut series, 2, &Labels::empty());
        let samples = [(1, 1_700_000_000_000, 5), (2, 1_700_000_000_000, 6), (1, -3, u64::MAX)];
        let mut record = SamplesRecord::default();
        record.clear();
        for (id, time, bits) in samples {
            record.push(id, time, bits);
        }
        let mut seen = Seen::default();
        read(&series, &mut seen).unwrap();
        read(record.bytes(), &mut seen).unwrap();
        assert_eq!(seen.0, [(300, r#"{a="b"}"#.to_owned()), (2, "{}".to_owned())]);
        assert_eq!(seen.1, samples);
        for bytes in [&series[..], record.bytes()] {
            for len in 0..bytes.len() {
                let _ = read(&bytes[..len], &mut Seen::default());
            }
        }
        assert_eq!(read(&[99], &mut Seen::default()), Err(Malformed("write-ahead log record")));
        assert!(read(&[], &mut Seen::default()).is_err());
    }

    #[test]
    fn a_scraped_sample_takes_ten_bytes() {
        let mut record = SamplesRecord::default();
        record.clear();
        record.push(1000, 1_700_000_000_000, 0);
        let first = record.bytes().len();
        record.push(1001, 1_700_000_000_000, 0);
        assert_eq!(record.bytes().len() - first, 10);
    }
}
