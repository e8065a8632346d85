//! Compression of answers, where the client takes it and it pays.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};

use crate::Body;

/// Smaller answers fit in a packet anyway.
const MIN_BYTES: u64 = 1024;
/// Bytes compressed at a time on an async thread: well under a millisecond.
const PIECE_BYTES: usize = 64 * 1024;

/// Whether these request headers accept gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut verdict = None;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or("").split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let is_refused = parameters
                .split(';')
                .filter_map(|parameter| parameter.trim().strip_prefix("q="))
                .any(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0));
            match name.trim() {
                name if name.eq_ignore_ascii_case("gzip") => return !is_refused,
                "*" => verdict = Some(!is_refused),
                _ => {}
            }
        }
    }
    verdict.unwrap_or(false)
}

/// Compresses `response` if its type pays, it is large enough and `accepted`. A compressible answer says `Vary` either
/// way, so that no cache gives it to the wrong client.
pub(crate) fn apply(accepted: bool, response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let is_compressible =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_compressible_type)
            && !headers.contains_key(CONTENT_ENCODING);
    let hint = response.body().size_hint();
    let is_small = hint.exact().is_some_and(|bytes| bytes < MIN_BYTES);
    let has_no_body = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !is_compressible || has_no_body {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !accepted || is_small {
        return Response::from_parts(parts, body);
    }
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let body = GzipBody { inner: body, pending: Bytes::new(), encoder: Some(encoder), has_unflushed: false };
    Response::from_parts(parts, Body::new(body))
}

fn is_compressible_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence != "text/event-stream"
        && (essence.starts_with("text/")
            || ["json", "javascript", "xml", "openmetrics-text"].iter().any(|part| essence.ends_with(part)))
}

/// Compresses another body piece by piece.
struct GzipBody {
    inner: Body,
    pending: Bytes,
    /// Gone once the end was written.
    encoder: Option<GzEncoder<Vec<u8>>>,
    has_unflushed: bool,
}

impl GzipBody {
    fn take_output(encoder: &mut GzEncoder<Vec<u8>>) -> Option<Bytes> {
        let out = std::mem::take(encoder.get_mut());
        (!out.is_empty()).then(|| out.into())
    }
}

impl HttpBody for GzipBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        loop {
            let Some(encoder) = &mut this.encoder else { return Poll::Ready(None) };
            if !this.pending.is_empty() {
                let piece = this.pending.split_to(this.pending.len().min(PIECE_BYTES));
                // Writing into a vector cannot fail.
                if let Err(error) = encoder.write_all(&piece) {
                    return Poll::Ready(Some(Err(axum::Error::new(error))));
                }
                this.has_unflushed = true;
                match Self::take_output(encoder) {
                    Some(out) => return Poll::Ready(Some(Ok(Frame::data(out)))),
                    None => continue,
                }
            }
            match Pin::new(&mut this.inner).poll_frame(cx) {
                // Trailers are not used by any daemon; they could not follow a compressed body unseen.
                Poll::Ready(Some(Ok(frame))) => this.pending = frame.into_data().unwrap_or_default(),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    let encoder = this.encoder.take();
                    let end = encoder.map(GzEncoder::finish);
                    return Poll::Ready(
                        end.map(|out| out.map(|out| Frame::data(out.into())).map_err(axum::Error::new)),
                    );
                }
                Poll::Pending if this.has_unflushed => {
                    // What was streamed so far must not wait for more to come.
                    this.has_unflushed = false;
                    if let Err(error) = encoder.flush() {
                        return Poll::Ready(Some(Err(axum::Error::new(error))));
                    }
                    if let Some(out) = Self::take_output(encoder) {
                        return Poll::Ready(Some(Ok(Frame::data(out))));
                    }
                    // The waker of the inner body is registered: it was polled just now.
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http_body_util::BodyExt;

    use super::*;

    fn accepts(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepts_gzip(&headers)
    }

    #[test]
    fn negotiation() {
        assert!(accepts("gzip"));
        assert!(accepts("deflate, GZIP;q=0.5"));
        assert!(accepts("*"));
        assert!(!accepts("gzip;q=0"));
        assert!(!accepts("*, gzip;q=0.0"));
        assert!(!accepts("identity"));
        assert!(!accepts(""));
    }

    fn answer(content_type: &'static str, body: &str) -> Response<Body> {
        Response::builder().header(CONTENT_TYPE, content_type).body(Body::from(body.to_owned())).unwrap()
    }

    #[tokio::test]
    async fn large_text_is_compressed_and_comes_back_whole() {
        let text = "a line of text\n".repeat(20_000);
        let response = apply(true, answer("application/json", &text));
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(response.headers()[VARY], "Accept-Encoding");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(bytes.len() < text.len() / 10);
        let mut back = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn what_does_not_pay_is_left_alone_but_varies() {
        let small = apply(true, answer("text/plain", "hi"));
        assert!(!small.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(small.headers()[VARY], "Accept-Encoding");
        let refused = apply(false, answer("text/plain", &"x".repeat(5000)));
        assert!(!refused.headers().contains_key(CONTENT_ENCODING));
        let image = apply(true, answer("image/png", &"x".repeat(5000)));
        assert!(!image.headers().contains_key(CONTENT_ENCODING) && !image.headers().contains_key(VARY));
    }
}
