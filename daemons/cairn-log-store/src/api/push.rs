//! `/loki/api/v1/push` and `/api/prom/push`: the answer comes once the lines are on disk.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cairn_http::body::{BudgetError, ReadBodyError};
use cairn_logdb::{PushError, PushReport, RejectReason, Store};
use cairn_wire::push::{self as wire, JsonForm, PushLimits, PushStream};
use http::{HeaderMap, StatusCode, header};

use super::error::{ApiError, ErrorKind};
use super::request::{Tenant, header_text};
use crate::app::App;
use crate::config::limits::Limits;
use crate::ingest::refusal::{Reason, Refusals};
use crate::ingest::{Admission, admit};

/// Largest body as sent. Agents send batches of about 1 MiB; this leaves room for everything but mistakes.
pub(super) const MAX_PUSH_BYTES: usize = 64 << 20;

/// Today's push.
pub(super) async fn push(app: State<Arc<App>>, tenant: Tenant, request: Request) -> Response {
    handle(app, tenant, request, JsonForm::V1).await
}

/// The first API's push, with its own JSON.
pub(super) async fn legacy(app: State<Arc<App>>, tenant: Tenant, request: Request) -> Response {
    handle(app, tenant, request, JsonForm::Legacy).await
}

async fn handle(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: Request,
    form: JsonForm,
) -> Response {
    match receive(app, tenant, request, form).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.on_write().into_response(),
    }
}

async fn receive(app: Arc<App>, tenant: String, request: Request, form: JsonForm) -> Result<(), ApiError> {
    let store = app.store()?.clone();
    let (parts, body) = request.into_parts();
    // The body comes before the permit: a client that sends slowly, or not at all, must not keep the others waiting.
    let body = cairn_http::body::read_within(body, &app.push_bodies).await.map_err(|error| match error {
        BudgetError::NoRoom => {
            ApiError::new(ErrorKind::Unavailable, "too many pushes under way, send this one again later")
        }
        BudgetError::Body(ReadBodyError::TooLarge) => ApiError::new(
            ErrorKind::TooLarge,
            format!("request body too large: more than {MAX_PUSH_BYTES} bytes"),
        ),
        BudgetError::Body(ReadBodyError::Broken(cause)) => {
            ApiError::bad_request(format!("read the request's body: {cause}"))
        }
    })?;
    let _permit = app.pushes.acquire().await.map_err(|_| ApiError::internal("the store is stopping"))?;
    let bytes = body.bytes.clone();
    let worker = Arc::clone(&app);
    let task =
        tokio::task::spawn_blocking(move || worker.store_push(&store, &tenant, &parts.headers, bytes, form));
    // A client that leaves does not stop the work: what it sent may be half written.
    task.await.map_err(|_panic| {
        ApiError::internal("internal error while storing the push; see the log of the store")
    })?
}

impl App {
    /// Decodes, checks and stores one push. Blocks until it is on disk.
    fn store_push(
        &self,
        store: &Store,
        tenant: &str,
        headers: &HeaderMap,
        body: Bytes,
        form: JsonForm,
    ) -> Result<(), ApiError> {
        let streams = decode(headers, body, form)?;
        let config = self.config();
        let admission = admit(streams, &config.limits, self.now()).map_err(|error| {
            let kind = match error {
                crate::ingest::AdmitError::NoStream => ErrorKind::Empty,
                crate::ingest::AdmitError::Labels(_) => ErrorKind::BadRequest,
            };
            ApiError::new(kind, error.to_string())
        })?;
        self.store_admission(store, tenant, admission, &config.limits)
    }

    /// Stores what was admitted, and tells the client what was not.
    pub(super) fn store_admission(
        &self,
        store: &Store,
        tenant: &str,
        admission: Admission,
        limits: &Limits,
    ) -> Result<(), ApiError> {
        let bytes = admission.bytes();
        let Admission { batches, mut refusals, entries, line_bytes, metadata_bytes } = admission;
        if !batches.is_empty() {
            let rate = limits.ingestion_rate_mb * MEBIBYTE;
            let burst = limits.ingestion_burst_size_mb * MEBIBYTE;
            if !self.rates.allow(tenant, bytes, rate, burst, Instant::now()) {
                self.metrics.discarded(tenant, Reason::RateLimited, entries, line_bytes);
                return Err(ApiError::new(
                    ErrorKind::TooMany,
                    format!(
                        "ingestion rate limit exceeded for user {tenant} (limit: {rate:.0} bytes/sec) while \
                         attempting to ingest '{entries}' lines totaling '{bytes}' bytes, reduce log volume or \
                         contact your Loki administrator to see if the limit can be increased"
                    ),
                ));
            }
            let report = store.push(tenant, batches).map_err(|error| {
                self.metrics.push_failed();
                to_api_error(&error)
            })?;
            self.metrics.received(tenant, entries, line_bytes, metadata_bytes);
            if report.wants_maintenance {
                self.maintenance.notify_one();
            }
            add_rejected(&report, tenant, &mut refusals);
        }
        for (reason, discarded) in refusals.by_reason() {
            self.metrics.discarded(tenant, reason, discarded.entries, discarded.bytes);
        }
        if refusals.is_empty() {
            return Ok(());
        }
        let kind = if refusals.is_temporary() { ErrorKind::TooMany } else { ErrorKind::BadRequest };
        Err(ApiError::new(kind, refusals.text()))
    }
}

const MEBIBYTE: f64 = 1_048_576.0;

fn decode(headers: &HeaderMap, body: Bytes, form: JsonForm) -> Result<Vec<PushStream>, ApiError> {
    let content_type = header_text(headers, header::CONTENT_TYPE.as_str());
    let encoding = header_text(headers, header::CONTENT_ENCODING.as_str());
    wire::decode(content_type, encoding, body, form, &PushLimits::default()).map_err(|error| {
        let kind = match error {
            wire::PushError::TooLarge { .. } => ErrorKind::TooLarge,
            _ => ErrorKind::BadRequest,
        };
        ApiError::new(kind, error.to_string())
    })
}

fn add_rejected(report: &PushReport, tenant: &str, refusals: &mut Refusals) {
    for rejected in &report.rejected {
        let text = match rejected.reason {
            RejectReason::StreamLimit { .. } => format!(
                "maximum active stream limit exceeded when trying to create stream {}, reduce the number of active \
                 streams (reduce labels or reduce label values), or contact your Loki administrator to see if the \
                 limit can be increased, user: '{tenant}'",
                rejected.labels
            ),
            other => format!("stream {}: {other}", rejected.labels),
        };
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        refusals.add(Reason::StreamLimit, text, count(rejected.entries), count(rejected.bytes));
    }
}

/// What a failed write means to the client. Agents send again on 5xx and 429, and drop on every other 4xx.
fn to_api_error(error: &PushError) -> ApiError {
    let chain = {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        text
    };
    match error {
        PushError::NoSpace => ApiError::new(
            ErrorKind::Unavailable,
            format!(
                "{chain}: nothing of this push was stored; free space in the data directory, then send it again"
            ),
        ),
        PushError::TooLarge { .. } => {
            ApiError::new(ErrorKind::TooLarge, format!("request body too large: {chain}"))
        }
        PushError::TenantLimit { .. } => ApiError::new(ErrorKind::TooMany, chain),
        _ => {
            tracing::error!(error = %chain, "push could not be stored");
            ApiError::new(
                ErrorKind::Unavailable,
                format!("{chain}: nothing of this push was acknowledged, send it again"),
            )
        }
    }
}
