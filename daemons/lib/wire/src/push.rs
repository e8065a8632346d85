//! A push request to Loki, whatever its wrapping: the entry point of the `push_*` modules.

use bytes::Bytes;
use cairn_model::TimeNs;

use crate::decompress::{self, DecompressError};
use crate::push_json::{self, JsonPushError};
use crate::push_protobuf;

/// One stream of a push: its label text, not parsed yet, and its entries in the order sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushStream {
    /// Label text such as `{a="b", c="d"}`, as sent (protobuf) or as Loki prints the sent object (JSON). It may be
    /// malformed: [`crate::push_labels::parse_label_text`] decides, once per distinct text.
    pub labels: String,
    /// May be empty: such a stream is dropped silently by Loki.
    pub entries: Vec<PushEntry>,
}

/// One log line of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushEntry {
    /// When, as the sender says; times that 64 bits of nanoseconds cannot hold are the nearest that they can.
    pub time: TimeNs,
    /// The line, as sent: UTF-8 from JSON, any bytes from protobuf.
    pub line: Bytes,
    /// Structured metadata in the order sent, names not normalised, possibly repeated.
    pub metadata: Vec<(String, String)>,
}

/// Sizes a body may have. Each is checked before memory of that size is taken.
#[derive(Clone, Copy, Debug)]
pub struct PushLimits {
    /// Bytes after decompression.
    pub decompressed_bytes: usize,
    /// Entries in all streams of one request: an empty entry takes two bytes on the wire and fifty times that in memory.
    pub entries: usize,
}

impl Default for PushLimits {
    fn default() -> Self {
        Self { decompressed_bytes: 64 * 1024 * 1024, entries: 1_000_000 }
    }
}

/// Why a push body cannot be read. The text is what Loki answers (without its newline).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// No content type, or one without a media type.
    #[error("mime: no media type")]
    NoMediaType,
    /// An encoding that is not understood.
    #[error("Content-Encoding {0:?} not supported")]
    Encoding(String),
    /// The compressed body cannot be read.
    #[error(transparent)]
    Decompress(DecompressError),
    /// The body, or its number of entries, is over a limit.
    #[error("request body too large: {what} over the limit of {limit}")]
    TooLarge {
        /// What was counted: `decompressed bytes` or `entries`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The body is no protobuf push.
    #[error("{0}")]
    Protobuf(String),
    /// The body is no JSON push.
    #[error(transparent)]
    Json(JsonPushError),
}

impl From<DecompressError> for PushError {
    fn from(error: DecompressError) -> Self {
        match error {
            DecompressError::TooLarge { limit } => Self::TooLarge { what: "decompressed bytes", limit },
            other => Self::Decompress(other),
        }
    }
}

/// Which JSON a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonForm {
    /// `/loki/api/v1/push`: `{"streams":[{"stream":{...},"values":[[...]]}]}`.
    V1,
    /// `/api/prom/push`: `{"streams":[{"labels":"{...}","entries":[{"ts":...,"line":...}]}]}`.
    Legacy,
}

/// Reads the body of a push by its headers, as Loki does: JSON by its media type, protobuf in snappy for every other.
///
/// `content_type` and `content_encoding` are the header values, `None` when the header is absent. An absent content
/// type means protobuf; one that is there but empty is refused.
///
/// # Errors
/// [`PushError`]; `TooLarge` is for the caller to answer with 413, everything else with 400.
pub fn decode(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: Bytes,
    form: JsonForm,
    limits: &PushLimits,
) -> Result<Vec<PushStream>, PushError> {
    let limit = limits.decompressed_bytes;
    let media_type = match content_type {
        None => "",
        Some(value) => {
            let media_type = value.split(';').next().unwrap_or_default().trim();
            if media_type.is_empty() {
                return Err(PushError::NoMediaType);
            }
            media_type
        }
    };
    let encoding = content_encoding.unwrap_or_default();
    let body = match encoding {
        "" | "snappy" => body,
        "gzip" => decompress::gzip(&body, limit)?.into(),
        "deflate" => decompress::deflate(&body, limit)?.into(),
        other => return Err(PushError::Encoding(other.to_owned())),
    };
    if media_type.eq_ignore_ascii_case("application/json") {
        match form {
            JsonForm::V1 => push_json::decode_json(&body, limits),
            JsonForm::Legacy => push_json::decode_legacy_json(&body, limits),
        }
    } else {
        let plain = decompress::snappy_block(&body, limit)?;
        push_protobuf::decode_protobuf(plain.into(), limits)
    }
}

/// Counts entries against the limit while a body is read.
pub(crate) struct EntryBudget {
    left: usize,
    limit: usize,
}

impl EntryBudget {
    pub(crate) fn new(limits: &PushLimits) -> Self {
        Self { left: limits.entries, limit: limits.entries }
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<(), PushError> {
        self.left =
            self.left.checked_sub(n).ok_or(PushError::TooLarge { what: "entries", limit: self.limit })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: Option<&str>, encoding: Option<&str>, body: &[u8]) -> Result<usize, String> {
        let body = Bytes::copy_from_slice(body);
        decode(content_type, encoding, body, JsonForm::V1, &PushLimits::default())
            .map(|streams| streams.len())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn headers_decide() {
        let json = br#"{"streams": [{"stream": {"app": "x"}, "values": [["1", "x"]]}]}"#;
        let of = |text: &str| Err(text.to_owned());
        assert_eq!(check(Some("application/json"), None, json), Ok(1));
        assert_eq!(check(Some("application/json; charset=utf-8"), Some("snappy"), json), Ok(1));
        assert_eq!(check(Some("application/json"), Some("gzip"), json), of("gzip: invalid header"));
        assert_eq!(
            check(Some("application/json"), Some("br"), json),
            of("Content-Encoding \"br\" not supported")
        );
        assert_eq!(check(Some(""), None, json), of("mime: no media type"));
        assert_eq!(check(Some("text/plain"), None, json), of("snappy: corrupt input"));
        assert_eq!(check(None, None, json), of("snappy: corrupt input"));
        assert_eq!(check(Some("application/x-protobuf"), None, &[0]), Ok(0));
        assert_eq!(check(Some("application/json"), None, b""), of("EOF"));
    }

    #[test]
    fn limits_refuse_before_the_memory_is_taken() {
        let limits = PushLimits { decompressed_bytes: 100, entries: 1 };
        let two = br#"{"streams": [{"stream": {"app": "x"}, "values": [["1", "x"], ["2", "y"]]}]}"#;
        let answer = decode(Some("application/json"), None, Bytes::from_static(two), JsonForm::V1, &limits)
            .unwrap_err();
        assert_eq!(answer, PushError::TooLarge { what: "entries", limit: 1 });
        let block = snap::raw::Encoder::new().compress_vec(&[0; 101]).unwrap();
        let answer = decode(None, None, block.into(), JsonForm::V1, &limits).unwrap_err();
        assert_eq!(answer, PushError::TooLarge { what: "decompressed bytes", limit: 100 });
    }
}
