//! `/api/v1/write`: remote write 1.0 and 2.0. The answer comes once the samples are on disk.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cairn_http::body::{BudgetError, ReadBodyError};
use cairn_wire::remote_write::{RemoteWriteError, Version};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::App;
use super::error::WriteRefusal;
use crate::remote_write::{ReceiveError, Written};

/// The media type of both versions.
const MEDIA_TYPE: &str = "application/x-protobuf";
/// The messages, as the parameter `proto` names them.
const V1_MESSAGE: &str = "prometheus.WriteRequest";
const V2_MESSAGE: &str = "io.prometheus.write.v2.Request";

/// How much of a request of version 2.0 was kept.
const WRITTEN_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];

/// Takes a request.
pub(super) async fn write(State(app): State<App>, request: Request) -> Response {
    if !app.settings().has_remote_write {
        return WriteRefusal::Disabled.into_response();
    }
    let version = match negotiate(request.headers()) {
        Ok(version) => version,
        Err(reason) => return WriteRefusal::Media(reason).into_response(),
    };
    let outcome = receive(&app, request, version).await;
    let (written, refusal) = match outcome {
        Ok(written) if written.messages.is_empty() => (written, None),
        Ok(mut written) => {
            // The first one ended the peer's work in version 1.0.
            let n_shown = if version == Version::V1 { 1 } else { written.messages.len() };
            written.messages.truncate(n_shown);
            let text = written.messages.join("\n");
            (written, Some(WriteRefusal::Bad(text)))
        }
        Err(refusal) => (Written::default(), Some(refusal)),
    };
    let mut response =
        refusal.map_or_else(|| StatusCode::NO_CONTENT.into_response(), WriteRefusal::into_response);
    if version == Version::V2 {
        let counts = [written.samples, written.histograms, written.exemplars];
        for (name, count) in WRITTEN_HEADERS.into_iter().zip(counts) {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}

async fn receive(app: &App, request: Request, version: Version) -> Result<Written, WriteRefusal> {
    let running = app.running().map_err(|error| WriteRefusal::Failed(error.message))?;
    // The body comes before the place: a client that sends slowly, or not at all, must not keep others waiting.
    let body =
        cairn_http::body::read_within(request.into_body(), &app.write_bodies).await.map_err(|error| {
            match error {
                BudgetError::NoRoom => WriteRefusal::Busy,
                BudgetError::Body(ReadBodyError::TooLarge) => {
                    WriteRefusal::TooLarge("request body too large".into())
                }
                BudgetError::Body(ReadBodyError::Broken(cause)) => WriteRefusal::Bad(cause.to_string()),
            }
        })?;
    let stopping = |_| WriteRefusal::Failed("the store is stopping".to_owned());
    let place = Arc::clone(&app.writes).acquire_owned().await.map_err(stopping)?;
    let receiver = Arc::clone(&running.receiver);
    let bytes = body.bytes.clone();
    // A client that leaves does not stop the work: what it sent may be half written.
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        receiver.receive(&bytes, version)
    });
    let broken = |_| WriteRefusal::Failed("storing the request broke off; see the store's log".to_owned());
    work.await.map_err(broken)?.map_err(|error| match error {
        ReceiveError::Request(error @ RemoteWriteError::TooLarge { .. }) => {
            WriteRefusal::TooLarge(error.to_string())
        }
        ReceiveError::Request(error) => WriteRefusal::Bad(error.to_string()),
        ReceiveError::Storage(error) => {
            if let Some(held_back) = app.write_warning.ready() {
                tracing::error!(%error, held_back, "remote write refused: the database does not take the samples");
            }
            WriteRefusal::Failed(error.to_string())
        }
    })
}

/// Which message a body is, by its headers. The texts are the peer's.
fn negotiate(headers: &HeaderMap) -> Result<Version, String> {
    let text = |name| headers.get(name).map_or(Ok(""), |value: &HeaderValue| value.to_str().map_err(|_| ""));
    let content_type = match text(CONTENT_TYPE) {
        Ok("") => MEDIA_TYPE,
        Ok(content_type) => content_type,
        Err(_) => {
            return Err(format!(
                "expected {MEDIA_TYPE} as the first (media) part, got a binary content-type"
            ));
        }
    };
    let mut parts = content_type.split(';').map(str::trim);
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        ));
    }
    let mut version = Version::V1;
    for part in parts {
        let Some((key, value)) = part.split_once('=').filter(|(_, value)| !value.contains('=')) else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got \
                 {part} in {content_type} content-type"
            ));
        };
        if key == "proto" {
            version = match value {
                V1_MESSAGE => Version::V1,
                V2_MESSAGE => Version::V2,
                other => {
                    return Err(format!(
                        "got {content_type} content type; unknown type for remote write protobuf message {other}, \
                         supported: {V1_MESSAGE}, {V2_MESSAGE}"
                    ));
                }
            };
            break;
        }
    }
    match text(CONTENT_ENCODING) {
        Ok("" | "snappy") => Ok(version),
        Ok(other) => Err(format!(
            "{other} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )),
        Err(_) => {
            Err("binary encoding (compression) is not accepted by this server; only snappy is acceptable"
                .into())
        }
    }
}
