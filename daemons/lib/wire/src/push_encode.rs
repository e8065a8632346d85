//! Writing a push: each line goes straight from the reader's buffer into protobuf, once; a batch is then framed and
//! compressed. No message structs in between (they would cost an allocation per line).

use cairn_model::TimeNs;

/// Keys of the fields written, `field number << 3 | 2` (length-delimited) or `| 0` (varint).
const STREAMS: u8 = 1 << 3 | 2;
const LABELS: u8 = 1 << 3 | 2;
const ENTRIES: u8 = 2 << 3 | 2;
const TIMESTAMP: u8 = 1 << 3 | 2;
const LINE: u8 = 2 << 3 | 2;
const METADATA: u8 = 3 << 3 | 2;
const NAME: u8 = 1 << 3 | 2;
const VALUE: u8 = 2 << 3 | 2;
const SECONDS: u8 = 1 << 3;
const NANOS: u8 = 2 << 3;

/// The entries of one stream, encoded as they come. Reused after [`clear`](Self::clear).
#[derive(Clone, Debug, Default)]
pub struct StreamEncoder {
    encoded: Vec<u8>,
    entries: usize,
}

impl StreamEncoder {
    /// Appends one line with its structured metadata. The line's bytes are sent as they are, UTF-8 or not, as Promtail
    /// does.
    pub fn push(&mut self, time: TimeNs, line: &[u8], metadata: &[(String, String)]) {
        let seconds = time.0.div_euclid(1_000_000_000);
        let nanos = time.0.rem_euclid(1_000_000_000);
        // Negative numbers are ten bytes long: their 64 bits as they stand.
        let seconds = seconds.cast_unsigned();
        let nanos = nanos.cast_unsigned();
        let time_len = 2 + varint_len(seconds) + varint_len(nanos);
        let line_len = line.len() as u64;
        let entry_len = 2 + time_len as u64 + 1 + varint_len(line_len) as u64 + line_len;
        let metadata_len: u64 = metadata.iter().map(|pair| field_len(pair_len(pair))).sum();
        let entry_len = entry_len + metadata_len;

        let out = &mut self.encoded;
        out.push(ENTRIES);
        put_varint(out, entry_len);
        out.push(TIMESTAMP);
        put_varint(out, time_len as u64);
        out.push(SECONDS);
        put_varint(out, seconds);
        out.push(NANOS);
        put_varint(out, nanos);
        out.push(LINE);
        put_varint(out, line_len);
        out.extend_from_slice(line);
        for pair in metadata {
            out.push(METADATA);
            put_varint(out, pair_len(pair));
            for (key, text) in [(NAME, &pair.0), (VALUE, &pair.1)] {
                out.push(key);
                put_varint(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
        }
        self.entries += 1;
    }

    /// Number of lines.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes of the encoded entries.
    pub fn encoded_bytes(&self) -> usize {
        self.encoded.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Forgets the lines, keeps the memory.
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.entries = 0;
    }
}

/// Frames streams as an uncompressed `PushRequest`: label text (see [`crate::push_labels::write_label_text`]) and
/// entries of each.
pub fn encode_push<'a>(streams: impl IntoIterator<Item = (&'a str, &'a StreamEncoder)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (labels, stream) in streams {
        let labels_len = labels.len() as u64;
        let stream_len = 1 + varint_len(labels_len) as u64 + labels_len + stream.encoded.len() as u64;
        out.reserve(labels.len() + stream.encoded.len() + 24);
        out.push(STREAMS);
        put_varint(&mut out, stream_len);
        out.push(LABELS);
        put_varint(&mut out, labels_len);
        out.extend_from_slice(labels.as_bytes());
        out.extend_from_slice(&stream.encoded);
    }
    out
}

/// Compresses a request as one snappy block.
///
/// # Panics
/// If `plain` is 4 GiB or more, which snappy's format cannot hold; batches are limited far below.
pub fn snappy_compress(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("a batch is far below snappy's 4 GiB")
}

/// Bytes of a pair of metadata, without its own key and length.
fn pair_len((name, value): &(String, String)) -> u64 {
    field_len(name.len() as u64) + field_len(value.len() as u64)
}

/// Bytes of a length-delimited field: key, length, content.
fn field_len(content: u64) -> u64 {
    1 + varint_len(content) as u64 + content
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Bytes of `value` as a varint: one per begun seven bits.
fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decompress::snappy_block;
    use crate::push::PushLimits;
    use crate::push_protobuf::decode_protobuf;

    proptest! {
        #[test]
        fn the_decoder_reads_what_the_encoder_writes(
            streams in proptest::collection::vec(
                ("[a-z{}=\"]{0,200}", proptest::collection::vec((
                    any::<i64>(),
                    proptest::collection::vec(any::<u8>(), 0..300),
                    proptest::collection::vec((".{0,60}", ".{0,60}"), 0..3),
                ), 0..8)),
                0..5,
            )
        ) {
            let encoded: Vec<(String, StreamEncoder)> = streams.iter().map(|(labels, entries)| {
                let mut stream = StreamEncoder::default();
                for (time, line, metadata) in entries {
                    stream.push(TimeNs((*time).max(i64::MIN + 1_000_000_000)), line, metadata);
                }
                (labels.clone(), stream)
            }).collect();
            let plain = encode_push(encoded.iter().map(|(labels, stream)| (labels.as_str(), stream)));
            let block = snappy_compress(&plain);
            let decoded =
                decode_protobuf(snappy_block(&block, 1 << 24).unwrap().into(), &PushLimits::default()).unwrap();
            prop_assert_eq!(decoded.len(), streams.len());
            for (got, (labels, entries)) in decoded.iter().zip(&streams) {
                prop_assert_eq!(&got.labels, labels);
                prop_assert_eq!(got.entries.len(), entries.len());
                for (entry, (time, line, metadata)) in got.entries.iter().zip(entries) {
                    prop_assert_eq!(entry.time.0, (*time).max(i64::MIN + 1_000_000_000));
                    prop_assert_eq!(&entry.line[..], &line[..]);
                    prop_assert_eq!(&entry.metadata, metadata);
                }
            }
        }
    }
}
