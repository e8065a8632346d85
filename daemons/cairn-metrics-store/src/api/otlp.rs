//! `otlp/v1/metrics`: metrics as collectors and SDKs push them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cairn_http::body::{BudgetError, ReadBodyError};
use cairn_wire::decompress::{self, DecompressError};
use cairn_wire::otlp_metrics;
use cairn_wire::remote_write::RemoteWriteError;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::App;
use crate::otlp::{self, TranslateError};
use crate::remote_write::ReceiveError;

/// Most bytes of a push after decompression; collectors send some thousand data points, in less than a tenth of it.
const MAX_BYTES: usize = 16 << 20;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// A refusal: status and text, as Go's `http.Error` writes it.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, text) = self;
        let mut response = (status, [(CONTENT_TYPE, super::PLAIN_TEXT)], format!("{text}\n")).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn bad(text: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, text.into())
}

fn failed(text: impl Into<String>) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, text.into())
}

/// `/api/v1/otlp/v1/metrics`
pub(super) async fn push(State(app): State<App>, request: Request) -> Response {
    if !app.settings().has_otlp {
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
        return Refused(StatusCode::NOT_FOUND, text.to_owned()).into_response();
    }
    match take(&app, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn take(app: &App, request: Request) -> Result<(), Refused> {
    let running = app.running().map_err(|error| failed(error.message))?;
    let format = Format::of(request.headers())?;
    // The body comes before the place: a client that sends slowly, or not at all, must not keep others waiting.
    let body = cairn_http::body::read_within(request.into_body(), &app.write_bodies).await;
    let body = body.map_err(|error| match error {
        BudgetError::NoRoom => {
            Refused(StatusCode::SERVICE_UNAVAILABLE, "too many pushes at once; try again".to_owned())
        }
        BudgetError::Body(ReadBodyError::TooLarge) => {
            Refused(StatusCode::PAYLOAD_TOO_LARGE, "request body too large".to_owned())
        }
        BudgetError::Body(ReadBodyError::Broken(cause)) => bad(cause.to_string()),
    })?;
    let place = Arc::clone(&app.writes).acquire_owned().await;
    let place = place.map_err(|_| failed("the store is stopping"))?;
    let receiver = Arc::clone(&running.receiver);
    let (bytes, config) = (body.bytes.clone(), app.config());
    let info_interval_ms = running.engine.lookback_ms() / 2;
    // A client that leaves does not stop the work: what it sent may be half written.
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        let request = format.decode(&bytes)?;
        let request = otlp::translate(&request, &config.otlp, info_interval_ms);
        let request = request.map_err(|error| match error {
            TranslateError::TooLarge(text) => Refused(StatusCode::PAYLOAD_TOO_LARGE, text),
            TranslateError::Bad(text) => failed(text),
        })?;
        receiver.receive_message(&request).map_err(|error| match error {
            ReceiveError::Request(RemoteWriteError::TooLarge { .. }) => {
                Refused(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            other => failed(other.to_string()),
        })
    });
    let written = work.await.map_err(|_| failed("storing the push broke off; see the store's log"))?;
    let written = written.inspect_err(|Refused(status, text)| {
        if status.is_server_error()
            && let Some(held_back) = app.write_warning.ready()
        {
            tracing::error!(error = text, held_back, "push of metrics over OTLP refused");
        }
    })?;
    // The first refusal ends the peer's work, and nothing is kept.
    written.messages.into_iter().next().map_or(Ok(()), |message| Err(bad(message)))
}

/// How a body is to be read.
#[derive(Clone, Copy)]
struct Format {
    is_json: bool,
    is_gzip: bool,
}

impl Format {
    /// The media type exactly, as the peer compares it.
    fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let text =
            |name| headers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap_or("binary"));
        let is_json = match text(CONTENT_TYPE) {
            JSON => true,
            PROTOBUF => false,
            other => {
                return Err(bad(format!(
                    "unsupported content type: {other}, supported: [{JSON}, {PROTOBUF}]"
                )));
            }
        };
        let is_gzip = match text(CONTENT_ENCODING) {
            "" => false,
            "gzip" => true,
            other => {
                let text =
                    format!("unsupported compression: {other}. Only \"gzip\" or no compression supported");
                return Err(bad(text));
            }
        };
        Ok(Self { is_json, is_gzip })
    }

    fn decode(self, body: &[u8]) -> Result<otlp_metrics::ExportRequest, Refused> {
        let unpacked;
        let body = if self.is_gzip {
            unpacked = decompress::gzip(body, MAX_BYTES).map_err(|error| match error {
                DecompressError::TooLarge { limit } => Refused(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!(
                        "the request has more than {limit} bytes after decompression; send smaller batches"
                    ),
                ),
                other => bad(other.to_string()),
            })?;
            unpacked.as_slice()
        } else {
            body
        };
        let decoded =
            if self.is_json { otlp_metrics::decode_json(body) } else { otlp_metrics::decode_protobuf(body) };
        decoded.map_err(|error| match error {
            otlp_metrics::OtlpError::TooManyItems | otlp_metrics::OtlpError::TooMuchJson => {
                Refused(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            other => bad(other.to_string()),
        })
    }
}
