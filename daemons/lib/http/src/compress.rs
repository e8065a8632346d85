//! Compression of answers, where the client takes it and it pays.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};

use crate::Body;

/// Smaller answers fit in a packet anyway.
const MIN_BYTES: u64 = 1024;
/// Bytes compressed at a time on an async thread: well under a millisecond.
const PIECE_BYTES: usize = 64 * 1024;
/// zstd's level: above gzip's fastest in ratio, at a fraction of its time.
const ZSTD_LEVEL: i32 = 1;
/// zstd's window as a power of two. The level's own of 512 KiB would cost each answer under way a megabyte.
const ZSTD_WINDOW_LOG: u32 = 17;

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
    /// With zlib's frame, which is what HTTP means by the name.
    Deflate,
}

impl Coding {
    /// Most wanted first, where the client does not mind.
    const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::Deflate];

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// Which coding these request headers ask for: the one with the highest weight, and of equal ones the first of
/// [`Coding::ALL`]. A client that says `*` gets gzip, which all of them read; one that gives `identity` a higher weight
/// than all codings gets none (RFC 9110, section 12.5.3).
pub(crate) fn negotiate(headers: &HeaderMap) -> Option<Coding> {
    let mut weights = [None; Coding::ALL.len()];
    let mut any = None;
    let mut plain: f32 = 0.0;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or("").split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = weight(parameters);
            match name.trim() {
                "*" => any = Some(weight),
                name if name.eq_ignore_ascii_case("identity") => plain = weight,
                name => {
                    let named = |coding: &Coding| name.eq_ignore_ascii_case(coding.name());
                    if let Some(at) = Coding::ALL.iter().position(named) {
                        weights[at] = Some(weight);
                    }
                }
            }
        }
    }
    let mut best: Option<(Coding, f32)> = None;
    for (coding, named) in Coding::ALL.into_iter().zip(weights) {
        let weight = named.or(any.filter(|_| coding == Coding::Gzip)).unwrap_or(0.0);
        if weight > best.map_or(0.0, |(_, weight)| weight) {
            best = Some((coding, weight));
        }
    }
    // Of equal weights the coding wins: whoever lists it wants it.
    best.filter(|(_, weight)| *weight >= plain).map(|(coding, _)| coding)
}

/// The weight `q` among the parameters of an item, 1 when there is none or it is no number.
fn weight(parameters: &str) -> f32 {
    let mut pairs = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let q = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    q.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(1.0)
}

/// Compresses `response` if its type pays, it is large enough and the client takes a coding. A compressible answer says
/// `Vary` either way, so that no cache gives it to the wrong client.
pub(crate) fn apply(coding: Option<Coding>, response: Response<Body>) -> Response<Body> {
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
    let encoder = match coding {
        // An encoder that cannot be made, for want of memory, is no reason to give no answer.
        Some(coding) if !is_small => Encoder::new(coding, hint.exact()).ok().map(|encoder| (coding, encoder)),
        _ => None,
    };
    let Some((coding, encoder)) = encoder else { return Response::from_parts(parts, body) };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    let body =
        CompressedBody { inner: body, pending: Bytes::new(), encoder: Some(encoder), has_unflushed: false };
    Response::from_parts(parts, Body::new(body))
}

fn is_compressible_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence != "text/event-stream"
        && (essence.starts_with("text/")
            || ["json", "javascript", "xml", "openmetrics-text"].iter().any(|part| essence.ends_with(part)))
}

/// Compresses into memory that is taken away piece by piece.
enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
}

impl Encoder {
    /// `bytes` is how much will come, where that is known.
    fn new(coding: Coding, bytes: Option<u64>) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                // A short answer then takes short tables.
                encoder.set_pledged_src_size(bytes)?;
                if bytes.is_none_or(|bytes| bytes > 1 << ZSTD_WINDOW_LOG) {
                    encoder.window_log(ZSTD_WINDOW_LOG)?;
                }
                Self::Zstd(encoder)
            }
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast())),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Zstd(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
            Self::Deflate(encoder) => encoder,
        }
    }

    fn take_output(&mut self) -> Option<Bytes> {
        let out = std::mem::take(match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Deflate(encoder) => encoder.get_mut(),
        });
        (!out.is_empty()).then(|| out.into())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
        }
    }
}

/// Compresses another body piece by piece.
struct CompressedBody {
    inner: Body,
    pending: Bytes,
    /// Gone once the end was written.
    encoder: Option<Encoder>,
    has_unflushed: bool,
}

impl HttpBody for CompressedBody {
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
                if let Err(error) = encoder.writer().write_all(&piece) {
                    return Poll::Ready(Some(Err(axum::Error::new(error))));
                }
                this.has_unflushed = true;
                match encoder.take_output() {
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
                    let end = encoder.map(Encoder::finish);
                    return Poll::Ready(
                        end.map(|out| out.map(|out| Frame::data(out.into())).map_err(axum::Error::new)),
                    );
                }
                Poll::Pending if this.has_unflushed => {
                    // What was streamed so far must not wait for more to come.
                    this.has_unflushed = false;
                    if let Err(error) = encoder.writer().flush() {
                        return Poll::Ready(Some(Err(axum::Error::new(error))));
                    }
                    if let Some(out) = encoder.take_output() {
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

    fn asked(value: &'static str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        negotiate(&headers)
    }

    #[test]
    fn negotiation() {
        for (value, want) in [
            ("gzip", Some(Coding::Gzip)),
            ("deflate, GZIP;q=0.5", Some(Coding::Deflate)),
            ("deflate, gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("zstd;q=0.2, gzip; q=0.3", Some(Coding::Gzip)),
            ("zstd;q=0, deflate;Q=0.001", Some(Coding::Deflate)),
            ("*", Some(Coding::Gzip)),
            ("*;q=0.5, zstd;q=0.4", Some(Coding::Gzip)),
            ("gzip;q=0", None),
            ("*, gzip;q=0.0", None),
            ("*;q=0", None),
            ("gzip;q=-1", None),
            ("identity", None),
            ("identity;q=1, zstd;q=0.1", None),
            ("zstd;q=0.1, Identity", None),
            ("gzip;q=0.5, identity;q=0.7, zstd;q=0.8", Some(Coding::Zstd)),
            ("identity;q=0.5, *;q=0.1", None),
            ("gzip, identity", Some(Coding::Gzip)),
            ("identity;q=0, gzip;q=0.1", Some(Coding::Gzip)),
            ("", None),
        ] {
            assert_eq!(asked(value), want, "{value}");
        }
        // The header may come in several lines.
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("zstd"));
        assert_eq!(negotiate(&headers), Some(Coding::Zstd));
    }

    fn answer(content_type: &'static str, body: &str) -> Response<Body> {
        Response::builder().header(CONTENT_TYPE, content_type).body(Body::from(body.to_owned())).unwrap()
    }

    fn unpacked(coding: Coding, bytes: &[u8]) -> String {
        let mut back = String::new();
        match coding {
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(bytes).unwrap();
                decoder.read_to_string(&mut back).unwrap()
            }
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_string(&mut back).unwrap(),
            Coding::Deflate => flate2::read::ZlibDecoder::new(bytes).read_to_string(&mut back).unwrap(),
        };
        back
    }

    #[tokio::test]
    async fn text_is_compressed_and_comes_back_whole() {
        for coding in Coding::ALL {
            for n_lines in [100, 20_000] {
                let text = "a line of text\n".repeat(n_lines);
                let response = apply(Some(coding), answer("application/json", &text));
                assert_eq!(response.headers()[CONTENT_ENCODING], coding.name());
                assert_eq!(response.headers()[VARY], "Accept-Encoding");
                let bytes = response.into_body().collect().await.unwrap().to_bytes();
                assert!(bytes.len() < text.len() / 10, "{coding:?}");
                assert_eq!(unpacked(coding, &bytes), text);
            }
        }
    }

    /// Two pieces, with a pause of one poll before each.
    struct Trickle(Vec<&'static str>, bool);

    impl HttpBody for Trickle {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            self.1 = !self.1;
            if self.1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(self.0.pop().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
        }
    }

    #[tokio::test]
    async fn what_is_streamed_does_not_wait_for_more() {
        for coding in Coding::ALL {
            let mut streamed = answer("text/plain", "");
            *streamed.body_mut() = Body::new(Trickle(vec!["second", "first "], false));
            let mut body = apply(Some(coding), streamed).into_body();
            let mut frames = Vec::new();
            while let Some(frame) = body.frame().await {
                frames.push(frame.unwrap().into_data().unwrap());
            }
            assert!(frames.len() >= 2, "{coding:?}: {frames:?}");
            assert_eq!(unpacked(coding, &frames.concat()), "first second");
        }
    }

    #[test]
    fn what_does_not_pay_is_left_alone_but_varies() {
        let gzip = Some(Coding::Gzip);
        let small = apply(gzip, answer("text/plain", "hi"));
        assert!(!small.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(small.headers()[VARY], "Accept-Encoding");
        let refused = apply(None, answer("text/plain", &"x".repeat(5000)));
        assert!(!refused.headers().contains_key(CONTENT_ENCODING));
        let image = apply(gzip, answer("image/png", &"x".repeat(5000)));
        assert!(!image.headers().contains_key(CONTENT_ENCODING) && !image.headers().contains_key(VARY));
    }
}
