//! The protobuf form of a push. The structs mirror Loki's `push.proto`, derived by hand so that no protoc is needed.
//!
//! ```text
//! PushRequest { streams = 1 }                     Stream { labels = 1, entries = 2, hash = 3 }
//! Entry { timestamp = 1, line = 2, structuredMetadata = 3, parsed = 4 (ignored) }
//! LabelPair { name = 1, value = 2 }               Timestamp { seconds = 1, nanos = 2 }
//! ```

use bytes::{Buf, Bytes};
use cairn_model::TimeNs;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::push::{EntryBudget, PushEntry, PushError, PushLimits, PushStream};

/// `logproto.PushRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct PushRequest {
    /// The streams, in the order sent.
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<Stream>,
}

/// `logproto.StreamAdapter`.
#[derive(Clone, PartialEq, Message)]
pub struct Stream {
    /// Label text: `{a="b", c="d"}`.
    #[prost(string, tag = "1")]
    pub labels: String,
    /// The entries, in the order sent.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<Entry>,
    /// The sender's hash of the labels; nobody relies on it.
    #[prost(uint64, tag = "3")]
    pub hash: u64,
}

/// `logproto.EntryAdapter`.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// Absent means the epoch.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    /// A protobuf string; kept as bytes, because Go's decoder does not insist on UTF-8 either.
    #[prost(bytes = "bytes", tag = "2")]
    pub line: Bytes,
    /// Structured metadata.
    #[prost(message, repeated, tag = "3")]
    pub structured_metadata: Vec<LabelPair>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Timestamp {
    /// Seconds since the epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds on top, `0..1_000_000_000`.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `logproto.LabelPairAdapter`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabelPair {
    /// Name, not normalised.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

impl Timestamp {
    /// The time in nanoseconds, or the nearest that 64 bits hold.
    pub fn to_time(self) -> TimeNs {
        TimeNs(self.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(self.nanos)))
    }
}

impl From<TimeNs> for Timestamp {
    fn from(time: TimeNs) -> Self {
        let nanos = i32::try_from(time.0.rem_euclid(1_000_000_000)).expect("a remainder below 10^9 fits i32");
        Self { seconds: time.0.div_euclid(1_000_000_000), nanos }
    }
}

/// Decodes an uncompressed `PushRequest`. Lines are slices of `body`, not copies.
///
/// # Errors
/// [`PushError::Protobuf`] when the bytes are no such message, [`PushError::TooLarge`] with more entries than allowed.
pub fn decode_protobuf(body: Bytes, limits: &PushLimits) -> Result<Vec<PushStream>, PushError> {
    check_entry_count(&body, limits)?;
    let request = PushRequest::decode(body).map_err(|error| PushError::Protobuf(error.to_string()))?;
    Ok(request.streams.into_iter().map(PushStream::from).collect())
}

impl From<Stream> for PushStream {
    fn from(stream: Stream) -> Self {
        Self { labels: stream.labels, entries: stream.entries.into_iter().map(PushEntry::from).collect() }
    }
}

impl From<Entry> for PushEntry {
    fn from(entry: Entry) -> Self {
        Self {
            time: entry.timestamp.unwrap_or_default().to_time(),
            line: entry.line,
            metadata: entry.structured_metadata.into_iter().map(|pair| (pair.name, pair.value)).collect(),
        }
    }
}

/// Walks the outer two levels and counts streams, entries and metadata pairs before anything is allocated for them.
fn check_entry_count(body: &Bytes, limits: &PushLimits) -> Result<(), PushError> {
    let mut budget = EntryBudget::new(limits);
    for_each_message(body, 1, &mut |stream| {
        budget.take(1)?;
        for_each_message(stream, 2, &mut |entry| {
            budget.take(1)?;
            // Ordinary entries carry a few pairs: those ride along with their entry; only masses count.
            let mut pairs = 0usize;
            for_each_message(entry, 3, &mut |_| {
                pairs += 1;
                Ok(())
            })?;
            budget.take(pairs / 16)
        })
    })
}

/// Calls `visit` with the bytes of every length-delimited field `tag` of one message. Malformed bytes end the walk
/// quietly: the decoder proper reports them.
fn for_each_message(
    mut bytes: &[u8],
    tag: u32,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), PushError>,
) -> Result<(), PushError> {
    while bytes.has_remaining() {
        let Ok((found, wire_type)) = decode_key(&mut bytes) else { return Ok(()) };
        let skip = match wire_type {
            WireType::Varint => {
                if decode_varint(&mut bytes).is_err() {
                    return Ok(());
                }
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => {
                let Ok(len) = decode_varint(&mut bytes) else { return Ok(()) };
                usize::try_from(len).unwrap_or(usize::MAX)
            }
            WireType::StartGroup | WireType::EndGroup => return Ok(()),
        };
        let Some((field, rest)) = bytes.split_at_checked(skip) else { return Ok(()) };
        if found == tag && wire_type == WireType::LengthDelimited {
            visit(field)?;
        }
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn recorded_body_of_a_real_client() {
        // `{}` with one line "x" at 2026-10-20T12:00:00Z.
        let body = b"\n\x13\n\x02{}\x12\r\n\x08\x08\xc0\xaf\xdd\xd6\x06\x10\x00\x12\x01x";
        let streams = decode_protobuf(Bytes::from_static(body), &PushLimits::default()).unwrap();
        assert_eq!(streams[0].labels, "{}");
        assert_eq!(streams[0].entries[0].time, TimeNs(1_792_497_600_000_000_000));
        assert_eq!(&streams[0].entries[0].line[..], b"x");
    }

    #[test]
    fn a_bomb_of_empty_entries_is_refused_by_count() {
        let mut stream = Vec::new();
        for _ in 0..1000 {
            stream.extend_from_slice(&[0x12, 0x00]);
        }
        let mut body = vec![0x0a, 0xd0, 0x0f];
        body.extend_from_slice(&stream);
        let limits = PushLimits { decompressed_bytes: 1 << 20, entries: 999 };
        assert_eq!(
            decode_protobuf(Bytes::from(body), &limits).unwrap_err(),
            PushError::TooLarge { what: "entries", limit: 999 }
        );
    }

    #[test]
    fn times_at_the_edges() {
        for nanos in [0, -1, 1, i64::MAX, i64::MIN, 1_792_497_600_123_456_789] {
            let back = Timestamp::from(TimeNs(nanos)).to_time();
            // The lowest whole second lies outside of 64 bits of nanoseconds and saturates by less than a second.
            assert!(back == TimeNs(nanos) || nanos == i64::MIN && back.0 < i64::MIN + 1_000_000_000);
        }
        assert_eq!(Timestamp { seconds: i64::MAX, nanos: 5 }.to_time(), TimeNs::MAX);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_protobuf(Bytes::from(data), &PushLimits::default());
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0usize..24, to in any::<u8>()) {
            let mut body = b"\n\x13\n\x02{}\x12\r\n\x08\x08\xc0\xaf\xdd\xd6\x06\x10\x00\x12\x01x".to_vec();
            let at = at % body.len();
            body[at] = to;
            let _ = decode_protobuf(Bytes::from(body), &PushLimits::default());
        }
    }
}
