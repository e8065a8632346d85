//! A request of remote read: how it is read and bounded, and what it asks the database for.

use cairn_model::{Labels, MatchOp, Matcher, TimeMs};
use cairn_wire::decompress::{self, DecompressError};
use cairn_wire::prompb;

use super::{IsGone, ReadError, Wanted};

/// Most bytes of a request after decompression: a few queries take some hundred. (Prometheus takes 32 MiB.)
const MAX_REQUEST_BYTES: usize = 1 << 20;

fn decoded(body: &[u8]) -> Result<prompb::ReadRequest, ReadError> {
    let plain = decompress::snappy_block(body, MAX_REQUEST_BYTES).map_err(|error| {
        ReadError::Bad(match error {
            DecompressError::TooLarge { limit } => format!("snappy: decoded length exceeds limit {limit}"),
            _ => "snappy: corrupt input".to_owned(),
        })
    })?;
    prompb::decode_read_request(&plain).map_err(ReadError::Bad)
}

/// What the body of a request asks for, and whether as a stream.
pub(super) fn asked(
    body: &[u8],
    external: &Labels,
    is_gone: IsGone<'_>,
) -> Result<(Vec<Wanted>, bool), ReadError> {
    let request = decoded(body)?;
    let mut all = Vec::new();
    for query in &request.queries {
        if is_gone() {
            return Err(ReadError::Gone);
        }
        all.push(wanted(query, external)?);
    }
    Ok((all, negotiated(&request.accepted_response_types)?))
}

/// Whether a stream is wanted.
fn negotiated(accepted: &[i32]) -> Result<bool, ReadError> {
    match accepted.iter().find(|kind| matches!(kind, 0 | 1)) {
        Some(kind) => Ok(*kind == 1),
        None if accepted.is_empty() => Ok(false),
        None => {
            let accepted: Vec<String> = accepted.iter().map(ToString::to_string).collect();
            Err(ReadError::Bad(format!(
                "server does not support any of the requested response types: [{}]; supported: \
                 map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]",
                accepted.join(" ")
            )))
        }
    }
}

/// A matcher that wants an external label to be what it is asks the database for series without it: it is added only
/// when they leave.
fn wanted(query: &prompb::Query, external: &Labels) -> Result<Wanted, ReadError> {
    let matcher = |matcher: &prompb::LabelMatcher| {
        let op = match matcher.kind {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            _ => return Err(ReadError::Bad("invalid matcher type".to_owned())),
        };
        let is_own = op == MatchOp::Equal && external.get(&matcher.name) == Some(matcher.value.as_str());
        let value = if is_own { "" } else { matcher.value.as_str() };
        Matcher::new(&*matcher.name, op, value).map_err(|error| ReadError::Bad(error.to_string()))
    };
    Ok(Wanted {
        matchers: query.matchers.iter().map(matcher).collect::<Result<_, _>>()?,
        start: TimeMs(query.start_timestamp_ms),
        end: TimeMs(query.end_timestamp_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::super::series::labels;
    use super::*;

    #[test]
    fn the_first_known_type_counts() {
        assert!(!negotiated(&[]).unwrap());
        assert!(!negotiated(&[9, 0, 1]).unwrap());
        assert!(negotiated(&[1, 0]).unwrap());
        let want = "server does not support any of the requested response types: [7 8]; supported: \
                    map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]";
        assert_eq!(negotiated(&[7, 8]).unwrap_err().to_string(), want);
    }

    #[test]
    fn requests_are_bounded_before_they_are_built() {
        let packed = |plain: &[u8]| snap::raw::Encoder::new().compress_vec(plain).unwrap();
        let refused = |plain: &[u8]| {
            let outcome = asked(&packed(plain), &Labels::empty(), &|| false);
            outcome.map(|(wanted, _)| wanted.len()).unwrap_err().to_string()
        };
        assert_eq!(refused(&vec![0; (1 << 20) + 1]), "snappy: decoded length exceeds limit 1048576");
        assert_eq!(
            refused(&b"\x0a\x00".repeat(1001)),
            "the request has more than 1000 queries; send several requests"
        );
        let matchers = b"\x1a\x00".repeat(10_001);
        // 20002 bytes as a varint.
        let query = [&b"\x0a\xa2\x9c\x01"[..], &matchers].concat();
        assert_eq!(refused(&query), "the request has more than 10000 matchers; send several requests");
        let empty = packed(&b"\x0a\x00".repeat(1000));
        assert_eq!(asked(&empty, &Labels::empty(), &|| false).unwrap().0.len(), 1000);
        assert!(matches!(asked(&empty, &Labels::empty(), &|| true), Err(ReadError::Gone)));
    }

    #[test]
    fn external_labels_are_added_and_not_asked_for() {
        let external = Labels::from_pairs([("env", "dev"), ("replica", "a")]);
        let own = Labels::from_pairs([("__name__", "up"), ("replica", "b")]);
        let pairs: Vec<_> =
            labels(&own, &external).into_iter().map(|label| (label.name, label.value)).collect();
        let want = [("__name__", "up"), ("env", "dev"), ("replica", "b")];
        assert_eq!(pairs, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let matcher = |kind, name: &str, value: &str| prompb::LabelMatcher {
            kind,
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let matchers = vec![matcher(0, "env", "dev"), matcher(0, "env", "prod"), matcher(2, "env", "dev")];
        let query = prompb::Query { start_timestamp_ms: 1, end_timestamp_ms: 2, matchers };
        let asked: Vec<String> = wanted(&query, &external)
            .unwrap()
            .matchers
            .iter()
            .map(|matcher| format!("{}{}{}", matcher.name(), matcher.op().as_str(), matcher.value()))
            .collect();
        assert_eq!(asked, ["env=", "env=prod", "env=~dev"]);
    }
}
