//! The JSON forms of a push: `{"streams":[{"stream":{...},"values":[["<ns>","line",{...}]]}]}` and the legacy
//! `/api/prom/push` one.
//!
//! Loki reads the first with two decoders nested in one another, and their messages show it. Agents log them, nobody
//! parses them; the common ones are reproduced, including the excerpt of the body around the end of the bad stream.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use cairn_model::TimeNs;
use cairn_model::time::parse_rfc3339;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::push::{EntryBudget, PushEntry, PushError, PushLimits, PushStream};
use crate::push_labels::write_label_text;

/// What Loki says about a timestamp that is no string of digits, and about a string with a broken escape.
const BAD_VALUE: &str = "Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol";
/// What Loki says about a line or metadata value that is no string.
const BAD_STRING: &str = "Value is string, but can't find closing '\"' symbol";
/// What Loki says about metadata that are no object.
const BAD_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
/// Bytes of the body shown before and behind the end of the bad stream.
const EXCERPT_BYTES: usize = 10;
/// The same for the "bigger context".
const CONTEXT_BYTES: usize = 50;

/// Why a JSON push cannot be read, in Loki's words where it has settled ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPushError {
    /// The body is empty.
    #[error("EOF")]
    Empty,
    /// The body is no JSON of the right shape.
    #[error("loghttp.PushRequest.Streams: {0}")]
    Shape(String),
    /// One stream is malformed.
    #[error(
        "loghttp.PushRequest.Streams: []loghttp.LogProtoStream: unmarshalerDecoder: {what}, error found in #{at} byte of \
         ...|{excerpt}|..., bigger context ...|{context}|..."
    )]
    Stream {
        /// Which rule is broken.
        what: String,
        /// Where the stream ends inside `excerpt`.
        at: usize,
        /// A few bytes around the end of the stream.
        excerpt: String,
        /// More of them.
        context: String,
    },
}

/// Reads today's JSON form.
///
/// # Errors
/// [`PushError::Json`] for anything malformed, [`PushError::TooLarge`] with more entries than allowed.
pub fn decode_json(body: &[u8], limits: &PushLimits) -> Result<Vec<PushStream>, PushError> {
    let mut budget = EntryBudget::new(limits);
    let mut streams = Vec::new();
    for raw in raw_streams(body)? {
        budget.take(1)?;
        let stream: JsonStream<'_> =
            serde_json::from_str(raw.get()).map_err(|error| stream_error(body, raw, &error))?;
        let mut entries = Vec::new();
        if let Some(values) = stream.values {
            // Through a seed, so that the count is checked as entries are made rather than afterwards.
            let seed = ValuesSeed { budget: &mut budget, exceeded: None, entries: &mut entries };
            seed.read(values).map_err(|failure| match failure {
                ValuesError::Limit(error) => error,
                ValuesError::Json(error) => stream_error(body, raw, &error),
            })?;
        }
        streams.push(PushStream { labels: stream.label_text(), entries });
    }
    Ok(streams)
}

/// Reads the legacy form of `/api/prom/push`.
///
/// # Errors
/// [`PushError::Json`] for anything malformed, [`PushError::TooLarge`] with more entries than allowed.
pub fn decode_legacy_json(body: &[u8], limits: &PushLimits) -> Result<Vec<PushStream>, PushError> {
    let mut budget = EntryBudget::new(limits);
    let mut streams = Vec::new();
    for raw in raw_streams(body)? {
        let stream: LegacyStream =
            serde_json::from_str(raw.get()).map_err(|error| stream_error(body, raw, &error))?;
        budget.take(1 + stream.entries.len())?;
        let entries = stream.entries.into_iter().map(PushEntry::from).collect();
        streams.push(PushStream { labels: stream.labels, entries });
    }
    Ok(streams)
}

/// The elements of `streams`, unread: their place in the body is needed when one of them is bad.
fn raw_streams(body: &[u8]) -> Result<Vec<&RawValue>, PushError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        streams: Option<Vec<&'a RawValue>>,
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(PushError::Json(JsonPushError::Empty));
    }
    let body: Body<'_> = serde_json::from_slice(body)
        .map_err(|error| PushError::Json(JsonPushError::Shape(error.to_string())))?;
    Ok(body.streams.unwrap_or_default())
}

fn stream_error(body: &[u8], raw: &RawValue, error: &serde_json::Error) -> PushError {
    let text = error.to_string();
    let what = [BAD_VALUE, BAD_STRING, BAD_OBJECT].into_iter().find(|known| text.starts_with(known));
    // Broken escapes (a lone surrogate among them) fail in the string reader; Loki reports them as a bad value.
    let what =
        what.map_or_else(|| if error.is_syntax() { BAD_VALUE.to_owned() } else { text }, str::to_owned);
    // `raw` is a slice of `body`, so the difference of the addresses is its offset.
    let start = (raw.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    let end = (start + raw.get().len()).min(body.len());
    let around = |n: usize| {
        String::from_utf8_lossy(&body[end.saturating_sub(n)..(end + n).min(body.len())]).into_owned()
    };
    let at = EXCERPT_BYTES.min(end);
    PushError::Json(JsonPushError::Stream {
        what,
        at,
        excerpt: around(EXCERPT_BYTES),
        context: around(CONTEXT_BYTES),
    })
}

#[derive(Deserialize)]
struct JsonStream<'a> {
    #[serde(borrow, default)]
    stream: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(borrow, default)]
    values: Option<&'a RawValue>,
}

impl JsonStream<'_> {
    /// The label object as Loki prints it, before parsing it again: sorted, values quoted. A value that is no string
    /// is taken as its JSON text.
    fn label_text(&self) -> String {
        let labels: Vec<(&str, Cow<'_, str>)> =
            self.stream.iter().flatten().map(|(name, raw)| (name.as_ref(), label_value(raw))).collect();
        let mut text = String::new();
        write_label_text(&mut text, labels.iter().map(|(name, value)| (*name, value.as_ref())))
            .expect("writing to a String does not fail");
        text
    }
}

fn label_value(raw: &RawValue) -> Cow<'_, str> {
    serde_json::from_str::<String>(raw.get()).map_or(Cow::Borrowed(raw.get()), Cow::Owned)
}

/// Reads the `values` of one stream into `entries`. `null` is as good as none.
struct ValuesSeed<'b> {
    budget: &'b mut EntryBudget,
    exceeded: Option<PushError>,
    entries: &'b mut Vec<PushEntry>,
}

enum ValuesError {
    Limit(PushError),
    Json(serde_json::Error),
}

impl ValuesSeed<'_> {
    fn read(mut self, values: &RawValue) -> Result<(), ValuesError> {
        let mut deserializer = serde_json::Deserializer::from_str(values.get());
        let read = deserializer.deserialize_any(&mut self);
        match (self.exceeded, read) {
            (Some(error), _) => Err(ValuesError::Limit(error)),
            (None, read) => read.map_err(ValuesError::Json),
        }
    }
}

impl<'de> Visitor<'de> for &mut ValuesSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of entries")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(JsonEntry(entry)) = seq.next_element()? {
            if let Err(error) = self.budget.take(1) {
                self.exceeded = Some(error);
                return Err(de::Error::custom("too many entries"));
            }
            self.entries.push(entry);
        }
        Ok(())
    }
}

/// `["<nanoseconds>", "line", {metadata}]`; the second and third may be missing, further ones are ignored.
struct JsonEntry(PushEntry);

impl<'de> Deserialize<'de> for JsonEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = JsonEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of timestamp, line and structured metadata")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<JsonEntry, A::Error> {
                let time = seq.next_element::<Text>()?.ok_or_else(|| de::Error::custom(BAD_VALUE))?;
                let time =
                    time.0.and_then(|text| text.parse().ok()).ok_or_else(|| de::Error::custom(BAD_VALUE))?;
                let line = match seq.next_element::<Text>()? {
                    None => String::new(),
                    Some(Text(line)) => line.ok_or_else(|| de::Error::custom(BAD_STRING))?.into_owned(),
                };
                let metadata = seq.next_element::<Metadata>()?.unwrap_or_default().0;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(JsonEntry(PushEntry { time: TimeNs(time), line: Bytes::from(line), metadata }))
            }
        }
        deserializer.deserialize_seq(EntryVisitor)
    }
}

/// A JSON value of which only a string is of use: `None` for every other kind.
struct Text<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// Structured metadata: an object of strings, in the order sent.
#[derive(Default)]
struct Metadata(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;
        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, Text(value))) = map.next_entry::<Cow<'de, str>, Text<'de>>()? {
                    let value = value.ok_or_else(|| de::Error::custom(BAD_STRING))?;
                    pairs.push((name.into_owned(), value.into_owned()));
                }
                Ok(Metadata(pairs))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Metadata, E> {
                Err(E::custom(BAD_OBJECT))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Metadata, A::Error> {
                Err(de::Error::custom(BAD_OBJECT))
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Metadata, E> {
                Err(E::custom(BAD_OBJECT))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Metadata, E> {
                Err(E::custom(BAD_OBJECT))
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Metadata, E> {
                Err(E::custom(BAD_OBJECT))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Metadata, E> {
                Err(E::custom(BAD_OBJECT))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Metadata, E> {
                Err(E::custom(BAD_OBJECT))
            }
        }
        deserializer.deserialize_any(MetadataVisitor)
    }
}

#[derive(Deserialize)]
struct LegacyStream {
    #[serde(default)]
    labels: String,
    #[serde(default)]
    entries: Vec<LegacyEntry>,
}

#[derive(Deserialize)]
struct LegacyEntry {
    #[serde(deserialize_with = "rfc3339")]
    ts: TimeNs,
    #[serde(default)]
    line: String,
}

impl From<LegacyEntry> for PushEntry {
    fn from(entry: LegacyEntry) -> Self {
        Self { time: entry.ts, line: Bytes::from(entry.line), metadata: Vec::new() }
    }
}

fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeNs, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    parse_rfc3339(&text).ok_or_else(|| de::Error::custom(format_args!("{text:?} is no RFC 3339 time")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(body: &str) -> Result<Vec<PushStream>, String> {
        decode_json(body.as_bytes(), &PushLimits::default()).map_err(|error| error.to_string())
    }

    fn refused(values: &str, want: &str) {
        let body = format!(r#"{{"streams": [{{"stream": {{"app": "p1"}}, "values": [{values}]}}]}}"#);
        assert_eq!(decode(&body).unwrap_err(), want, "{body}");
    }

    #[test]
    fn plain_push() {
        let streams = decode(
            r#"{"streams":[{"stream":{"b":"2","a":"q\"","n":5},"values":[["17","x"],["18"],["19","y",{"k":"v"},4]],"z":1}],"more":2}"#,
        )
        .unwrap();
        assert_eq!(streams[0].labels, r#"{a="q\"", b="2", n="5"}"#);
        let entry = |time, line: &'static str, metadata| PushEntry {
            time: TimeNs(time),
            line: line.into(),
            metadata,
        };
        let k = ("k".to_owned(), "v".to_owned());
        assert_eq!(
            streams[0].entries,
            [entry(17, "x", vec![]), entry(18, "", vec![]), entry(19, "y", vec![k])]
        );
    }

    #[test]
    fn empty_forms() {
        for body in ["{}", r#"{"streams":[]}"#, r#"{"streams":null}"#] {
            assert_eq!(decode(body), Ok(vec![]), "{body}");
        }
        let no_values = decode(r#"{"streams": [{"stream": {"app": "p1"}}]}"#).unwrap();
        assert!(no_values[0].entries.is_empty());
        assert_eq!(decode(r#"{"streams": [{"values": [["1", "x"]]}]}"#).unwrap()[0].labels, "{}");
        assert_eq!(decode(""), Err("EOF".to_owned()));
        assert!(decode("{").unwrap_err().starts_with("loghttp.PushRequest.Streams: "));
    }

    #[test]
    fn recorded_refusals() {
        let head = "loghttp.PushRequest.Streams: []loghttp.LogProtoStream: unmarshalerDecoder: ";
        for (values, tail) in [
            (
                r#"[1792497600000000000, "x"]"#,
                r#"Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol, error found in #10 byte of ...|00, "x"]]}]}|..., bigger context ...|p": "p1"}, "values": [[1792497600000000000, "x"]]}]}|..."#,
            ),
            (
                r#"["2024-01-01T00:00:00Z", "x"]"#,
                r#"Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol, error found in #10 byte of ...|Z", "x"]]}]}|..., bigger context ...| "p1"}, "values": [["2024-01-01T00:00:00Z", "x"]]}]}|..."#,
            ),
            (
                r#"["1792497600000000000", null]"#,
                r#"Value is string, but can't find closing '"' symbol, error found in #10 byte of ...|", null]]}]}|..., bigger context ...| "p1"}, "values": [["1792497600000000000", null]]}]}|..."#,
            ),
            (
                r#"["1792497600000000000", "x", {"k": 5}]"#,
                r#"Value is string, but can't find closing '"' symbol, error found in #10 byte of ...|"k": 5}]]}]}|..., bigger context ...|values": [["1792497600000000000", "x", {"k": 5}]]}]}|..."#,
            ),
            (
                r#"["1792497600000000000", "x", ["a"]]"#,
                r#"Value looks like object, but can't find closing '}' symbol, error found in #10 byte of ...|, ["a"]]]}]}|..., bigger context ...|, "values": [["1792497600000000000", "x", ["a"]]]}]}|..."#,
            ),
            (
                r#"["1792497600000000000", "null meta", null]"#,
                r#"Value looks like object, but can't find closing '}' symbol, error found in #10 byte of ...|", null]]}]}|..., bigger context ...|es": [["1792497600000000000", "null meta", null]]}]}|..."#,
            ),
        ] {
            refused(values, &format!("{head}{tail}"));
        }
        let lone_surrogate =
            r#"{"streams":[{"stream":{"app":"psur"},"values":[["1792497600000000000","a\ud800b"]]}]}"#;
        assert!(decode(lone_surrogate).unwrap_err().starts_with(&format!("{head}{BAD_VALUE}")));
    }

    #[test]
    fn legacy_form() {
        let body = br#"{"streams": [{"labels": "{app=\"pold\"}", "entries": [{"ts": "2026-10-20T12:00:00.000000000Z", "line": "old form"}]}]}"#;
        let streams = decode_legacy_json(body, &PushLimits::default()).unwrap();
        assert_eq!(streams[0].labels, r#"{app="pold"}"#);
        assert_eq!(streams[0].entries[0].time, TimeNs(1_792_497_600_000_000_000));
        // On today's path the same body is a stream without values.
        assert!(decode_json(body, &PushLimits::default()).unwrap()[0].entries.is_empty());
    }

    proptest! {
        #[test]
        fn lines_come_back_as_sent(line in ".*", value in ".*") {
            let body = serde_json::json!({"streams": [{"stream": {"a": "b"}, "values": [["5", line, {"k": value}]]}]});
            let streams = decode(&body.to_string()).unwrap();
            prop_assert_eq!(&streams[0].entries[0].line[..], line.as_bytes());
            prop_assert_eq!(&streams[0].entries[0].metadata[0].1, &value);
        }

        #[test]
        fn damage_never_panics(at in 0usize..90, to in any::<u8>()) {
            let mut body = br#"{"streams":[{"stream":{"a":"b"},"values":[["5","line",{"k":"v"}],["6","x"]]}],"z":[1]}"#.to_vec();
            let at = at % body.len();
            body[at] = to;
            let _ = decode_json(&body, &PushLimits::default());
            let _ = decode_json(&body[..at], &PushLimits::default());
            let _ = decode_legacy_json(&body, &PushLimits::default());
        }
    }
}
