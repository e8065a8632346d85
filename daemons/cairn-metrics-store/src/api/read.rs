//! `read`: Prometheus's remote read, as samples in one message or as a stream of chunks.
//!
//! A stream holds one series at a time, so its memory does not grow with the answer. Samples come in one message, as the
//! protocol wants it, so their number and bytes are bounded, and few such requests run at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cairn_http::Body;
use cairn_http::body::{self, ReadBodyError};
use cairn_model::{Labels, MatchOp, Matcher, TimeMs};
use cairn_promblock::chunk::{Chunk, ChunkBuilder};
use cairn_promblock::{Sample as BlockSample, Value};
use cairn_promql::source::{SampleSource, Selection, SeriesData};
use cairn_tsdb::Db;
use cairn_wire::decompress::{self, DecompressError};
use cairn_wire::prompb;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::App;
use crate::engine::CancelOnDrop;

/// Requests that run at once, as with Prometheus; more wait.
const MAX_READS: usize = 10;
/// Requests for samples among them: each holds its whole answer.
const MAX_SAMPLE_READS: usize = 2;
/// Most bytes of a request after decompression: a few queries take some hundred. (Prometheus takes 32 MiB.)
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Most samples of one query's answer that is not a stream, as with Prometheus.
const MAX_SAMPLES: usize = 50_000_000;
/// Most bytes of an answer that is not a stream, before compression.
const MAX_SAMPLE_BYTES: usize = 512 << 20;
/// A series is split when its frame would pass this many bytes, as with Prometheus.
const MAX_FRAME_BYTES: usize = 1 << 20;
/// Up to so many series are found by the index and read at once; of more, all blocks are walked in their order.
const FEW_SERIES: usize = 64;
/// Frames that may wait for a slow client.
const WAITING_FRAMES: usize = 4;

const SAMPLES_TYPE: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// Clients compare the beginning of it.
const STREAM_TYPE: HeaderValue =
    HeaderValue::from_static("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");

/// Places for requests.
#[derive(Debug)]
pub struct ReadPlaces {
    all: Arc<Semaphore>,
    samples: Arc<Semaphore>,
}

impl Default for ReadPlaces {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_READS)), samples: Arc::new(Semaphore::new(MAX_SAMPLE_READS)) }
    }
}

/// Why there is no answer. The texts are the peer's where it has some.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("{0}")]
    Bad(String),
    #[error("{0}")]
    Failed(String),
    /// Nobody waits for the answer any more.
    #[error("the client has gone away")]
    Gone,
}

impl IntoResponse for ReadError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Failed(_) | Self::Gone => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, [(CONTENT_TYPE, super::PLAIN_TEXT)], format!("{self}\n")).into_response()
    }
}

/// Whether the client has gone away: nobody would read the answer.
type IsGone<'a> = &'a dyn Fn() -> bool;

/// What one query of a request asks for.
struct Wanted {
    matchers: Vec<Matcher>,
    start: TimeMs,
    end: TimeMs,
}

/// `/api/v1/read`
pub(super) async fn read(State(app): State<App>, request: Request) -> Response {
    match answer(&app, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn answer(app: &App, request: Request) -> Result<Response, ReadError> {
    let running = app.running().map_err(|error| ReadError::Failed(error.message))?;
    let body = body::read(request.into_body()).await.map_err(|error| match error {
        ReadBodyError::TooLarge => ReadError::Bad("request body too large".to_owned()),
        ReadBodyError::Broken(cause) => ReadError::Bad(cause.to_string()),
    })?;
    let external = app.config().external_labels.clone();
    // The body comes before the place, so that a slow client keeps nobody waiting. What costs more than its bytes comes
    // after it, and not on the thread that serves others.
    let place = place(&app.reads.all).await?;
    let is_gone = Arc::new(AtomicBool::new(false));
    let _guard = CancelOnDrop(Arc::clone(&is_gone));
    let broken = |_| ReadError::Failed("the read broke off; the log says where".to_owned());
    let reading = tokio::task::spawn_blocking({
        let (external, is_gone) = (external.clone(), Arc::clone(&is_gone));
        move || {
            asked(&body, &external, &|| is_gone.load(Ordering::Acquire))
                .map(|(wanted, is_stream)| (place, wanted, is_stream))
        }
    });
    let (place, wanted, is_stream) = reading.await.map_err(broken)??;
    let storage = Arc::clone(&running.storage);
    if is_stream {
        let (sender, frames) = mpsc::channel(WAITING_FRAMES);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let outcome = stream(storage.db(), &wanted, &external, &sender);
            if let Err(error @ (ReadError::Bad(_) | ReadError::Failed(_))) = outcome {
                tracing::error!(%error, "remote read ended early");
                // The head of the answer is long gone: the client must not take what it has for all there is.
                let _ = sender.blocking_send(Err(axum::Error::new(error)));
            }
        });
        let body = Body::new(Frames(frames));
        return Ok(([(CONTENT_TYPE, STREAM_TYPE)], body).into_response());
    }
    let sample_place = self::place(&app.reads.samples).await?;
    let work = tokio::task::spawn_blocking(move || {
        let _places = (place, sample_place);
        samples(storage.db(), &wanted, &external, &|| is_gone.load(Ordering::Acquire))
    });
    let message = work.await.map_err(broken)??;
    let encoding = HeaderValue::from_static("snappy");
    Ok(([(CONTENT_TYPE, SAMPLES_TYPE), (CONTENT_ENCODING, encoding)], message).into_response())
}

async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ReadError> {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await;
    place.map_err(|_| ReadError::Failed("the store is stopping".to_owned()))
}

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
fn asked(body: &[u8], external: &Labels, is_gone: IsGone<'_>) -> Result<(Vec<Wanted>, bool), ReadError> {
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

/// Hands over what a query wants, series by series, ascending by their stored labels, as long as the client is there.
fn visit(
    db: &Db,
    wanted: &Wanted,
    is_gone: IsGone<'_>,
    mut take: impl FnMut(SeriesData) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    if is_gone() {
        return Err(ReadError::Gone);
    }
    let mut visit = |series| if is_gone() { Err(ReadError::Gone) } else { take(series) };
    let Wanted { matchers, start, end } = wanted;
    let failed = |error: cairn_promql::SourceError| ReadError::Failed(error.to_string());
    if start > end {
        return Ok(());
    }
    if db.series(matchers, *start, *end).map_err(failed)?.len() <= FEW_SERIES {
        let selection = Selection { matchers, start: *start, end: *end };
        return db.view().select(&selection).map_err(failed)?.into_iter().try_for_each(visit);
    }
    let walked = db.walk::<anyhow::Error>(std::slice::from_ref(matchers), (*start, *end), |series| {
        visit(series).map_err(anyhow::Error::new)
    });
    walked.map_err(|error| match error.downcast() {
        Ok(error) => error,
        Err(other) => ReadError::Failed(format!("{other:#}")),
    })
}

/// Labels of a series as it leaves: with the external ones that it does not have itself.
fn labels(series: &Labels, external: &Labels) -> Vec<prompb::Label> {
    let mut all = external.to_builder();
    for (name, value) in series.iter() {
        all.set(name, value);
    }
    let label =
        |(name, value): (&str, &str)| prompb::Label { name: name.to_owned(), value: value.to_owned() };
    all.build().iter().map(label).collect()
}

/// The snappy block of a `ReadResponse`. Each series is encoded as soon as it was read.
fn samples(db: &Db, wanted: &[Wanted], external: &Labels, is_gone: IsGone<'_>) -> Result<Vec<u8>, ReadError> {
    let mut message = Vec::new();
    for one in wanted {
        let mut n_samples = 0;
        let mut result = Vec::new();
        visit(db, one, is_gone, |series| {
            n_samples += series.times.len() + series.histograms.len();
            if n_samples > MAX_SAMPLES {
                return Err(ReadError::Bad(format!("exceeded sample limit ({MAX_SAMPLES})")));
            }
            let floats = series.times.iter().zip(&series.values);
            let series = prompb::TimeSeries {
                labels: labels(&series.labels, external),
                samples: floats.map(|(&timestamp, &value)| prompb::Sample { value, timestamp }).collect(),
                exemplars: Vec::new(),
                histograms: series
                    .histograms
                    .iter()
                    .map(|point| prompb::Histogram::of(point.time, &point.histogram))
                    .collect(),
            };
            prompb::push_series(&mut result, &series);
            if message.len() + result.len() > MAX_SAMPLE_BYTES {
                let reason = format!("exceeded {MAX_SAMPLE_BYTES} bytes; ask for a stream of chunks");
                return Err(ReadError::Bad(reason));
            }
            Ok(())
        })?;
        prompb::push_result(&mut message, &result);
    }
    let compressed = snap::raw::Encoder::new().compress_vec(&message);
    compressed.map_err(|error| ReadError::Failed(format!("compress the answer: {error}")))
}

type FrameSender = mpsc::Sender<Result<Bytes, axum::Error>>;

/// Sends the frames of all queries.
fn stream(db: &Db, wanted: &[Wanted], external: &Labels, frames: &FrameSender) -> Result<(), ReadError> {
    for (index, one) in (0..).zip(wanted) {
        visit(db, one, &|| frames.is_closed(), |series| {
            let labels = labels(&series.labels, external);
            let room = MAX_FRAME_BYTES.saturating_sub(prompb::labels_len(&labels));
            let mut pending = Vec::new();
            let mut n_bytes = 0;
            let mut push = |chunk: Chunk| {
                n_bytes += chunk.data.len();
                pending.push(prompb::Chunk {
                    min_time_ms: chunk.min_time,
                    max_time_ms: chunk.max_time,
                    kind: chunk.encoding.into(),
                    data: chunk.data,
                });
                if n_bytes < room {
                    return Ok(());
                }
                n_bytes = 0;
                send(frames, &labels, std::mem::take(&mut pending), index)
            };
            let mut builder = ChunkBuilder::default();
            let malformed = |error: cairn_promblock::error::Malformed| ReadError::Failed(error.to_string());
            for sample in in_order(&series) {
                if let Some(chunk) = builder.push(&sample).map_err(malformed)? {
                    push(chunk)?;
                }
            }
            builder.finish().map_or(Ok(()), push)?;
            if pending.is_empty() { Ok(()) } else { send(frames, &labels, pending, index) }
        })?;
    }
    Ok(())
}

/// Numbers and histograms of a series by time.
fn in_order(series: &SeriesData) -> impl Iterator<Item = BlockSample> {
    let mut floats = series.times.iter().zip(&series.values).peekable();
    let mut histograms = series.histograms.iter().peekable();
    std::iter::from_fn(move || {
        let is_float = match (floats.peek(), histograms.peek()) {
            (Some((time, _)), Some(point)) => **time < point.time,
            (Some(_), None) => true,
            _ => false,
        };
        if is_float {
            return floats.next().map(|(&time_ms, &value)| BlockSample::float(time_ms, value));
        }
        histograms.next().map(|point| BlockSample {
            time_ms: point.time,
            value: Value::Histogram(Box::new(cairn_model::Histogram::clone(&point.histogram))),
        })
    })
}

/// Sends one frame.
fn send(
    frames: &FrameSender,
    labels: &[prompb::Label],
    chunks: Vec<prompb::Chunk>,
    query_index: i64,
) -> Result<(), ReadError> {
    let series = prompb::ChunkedSeries { labels: labels.to_vec(), chunks };
    let message = prompb::ChunkedReadResponse { chunked_series: vec![series], query_index };
    frames.blocking_send(Ok(prompb::frame(&message).into())).map_err(|_| ReadError::Gone)
}

/// The body of a stream.
struct Frames(mpsc::Receiver<Result<Bytes, axum::Error>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.poll_recv(context).map(|next| next.map(|bytes| bytes.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
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
    fn queries_without_series_end_too_when_the_client_has_gone() {
        let storage = crate::storage::Storage::for_tests();
        let external = Labels::empty();
        let wanted = || Wanted { matchers: Vec::new(), start: TimeMs(0), end: TimeMs(1) };
        let all = [wanted(), wanted(), wanted()];
        assert!(samples(storage.db(), &all, &external, &|| false).is_ok());
        let n_asked = std::cell::Cell::new(0);
        let leaves = || n_asked.replace(n_asked.get() + 1) == 1;
        assert!(matches!(samples(storage.db(), &all, &external, &leaves), Err(ReadError::Gone)));
        assert_eq!(n_asked.get(), 2);
        let (sender, frames) = mpsc::channel(1);
        assert!(stream(storage.db(), &all, &external, &sender).is_ok());
        drop(frames);
        assert!(matches!(stream(storage.db(), &all, &external, &sender), Err(ReadError::Gone)));
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
