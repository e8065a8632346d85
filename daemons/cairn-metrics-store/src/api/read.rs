//! `read`: Prometheus's remote read, as samples in one message or as a stream of chunks.
//!
//! A stream holds one series at a time, so its memory does not grow with the answer. Samples come in one message, as the
//! protocol wants it, so their number and bytes are bounded, and few such requests run at once.
//!
//! | file | holds |
//! |---|---|
//! | `read.rs` | the handler: places, who waits, who has gone |
//! | `read/request.rs` | what is asked for |
//! | `read/series.rs` | the series, as samples or as frames of a stream |

mod request;
mod series;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cairn_http::Body;
use cairn_http::body::{self, ReadBodyError};
use cairn_model::{Matcher, TimeMs};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::App;
use crate::engine::CancelOnDrop;
use request::asked;
use series::{Frames, samples, stream};

/// Requests that run at once, as with Prometheus; more wait.
const MAX_READS: usize = 10;
/// Requests for samples among them: each holds its whole answer.
const MAX_SAMPLE_READS: usize = 2;
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
