//! The request to a target, and which answers are worth reading.

use std::error::Error;

use bytes::Bytes;
use cairn_http::client::{CallOptions, Client, ClientError};
use cairn_wire::exposition::Format;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, StatusCode};

use super::ingest::ScrapeError;
use super::negotiate::format_of;
use crate::config::resolve::PoolConfig;
use crate::target::Target;
use crate::version;

/// Redirects followed, as many as Go's client follows.
const MAX_REDIRECTS: usize = 10;

/// Asks the target for its page, with the request that [`request`] made. The answer is decompressed, and its format known.
///
/// # Errors
/// [`ScrapeError`]
pub(crate) async fn fetch(
    client: &Client,
    request: &Result<Request<Bytes>, String>,
    pool: &PoolConfig,
    target: &Target,
) -> Result<(Bytes, Format), ScrapeError> {
    if let Some(reason) = target.forced_error() {
        return Err(ScrapeError::Fetch(reason));
    }
    let timeout = target.timeout.std();
    let request = request.clone().map_err(ScrapeError::Fetch)?;
    let max_body = usize::try_from(pool.limits.max_body_bytes()).unwrap_or(usize::MAX);
    let max_redirects = if pool.client.follows_redirects { MAX_REDIRECTS } else { 0 };
    let options = CallOptions { timeout, max_body, max_redirects };
    let response = client.send_with(request, &options).await.map_err(|error| explain(&error, target))?;
    if response.status() != StatusCode::OK {
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or("");
        return Err(ScrapeError::Fetch(format!("server returned HTTP status {} {reason}", status.as_u16())));
    }
    let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::to_str);
    let content_type = content_type.and_then(Result::ok).unwrap_or("");
    let format = format_of(content_type, pool.fallback_protocol).map_err(ScrapeError::Fetch)?;
    Ok((response.into_body(), format))
}

/// What a target is asked for each time.
///
/// # Errors
/// A text, when its URL is none.
pub(crate) fn request(pool: &PoolConfig, target: &Target) -> Result<Request<Bytes>, String> {
    let timeout = target.timeout.std();
    let mut builder = Request::get(&target.url)
        .header(ACCEPT, &pool.accept)
        .header(USER_AGENT, version::USER_AGENT)
        .header(
            HeaderName::from_static("x-prometheus-scrape-timeout-seconds"),
            cairn_model::number::plain_float(timeout.as_secs_f64()),
        );
    if !pool.has_compression {
        // Otherwise the client asks for gzip and decodes it under the cap.
        builder = builder.header(ACCEPT_ENCODING, "identity");
    }
    builder.body(Bytes::new()).map_err(|error| error.to_string())
}

/// The client's error in the words that people know from Prometheus.
fn explain(error: &ClientError, target: &Target) -> ScrapeError {
    match error {
        ClientError::TooLarge { .. } => ScrapeError::BodySizeLimit,
        ClientError::Timeout { .. } => {
            ScrapeError::Fetch(format!("Get \"{}\": context deadline exceeded", target.url))
        }
        ClientError::Redirects { limit, .. } => {
            ScrapeError::Fetch(format!("Get \"{}\": stopped after {limit} redirects", target.url))
        }
        ClientError::Setup { reason, .. } => ScrapeError::Fetch(format!("Get \"{}\": {reason}", target.url)),
        other => {
            // The last cause is what the system said: "Connection refused" and its like.
            let mut cause: &dyn Error = other;
            while let Some(next) = cause.source() {
                cause = next;
            }
            let cause = cause.to_string();
            let own = other.to_string();
            ScrapeError::Fetch(if cause == own { own } else { format!("Get \"{}\": {cause}", target.url) })
        }
    }
}
