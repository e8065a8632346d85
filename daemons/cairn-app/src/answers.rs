//! The bodies of the sample's endpoints.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use cairn_http::Body;

use crate::routes::{ROUTES, Route};

/// Longest wait that `/slow` takes: below the limit for a request.
pub const MAX_SLOW_MS: u64 = 30_000;
/// Wait of `/slow` without `ms`.
pub const DEFAULT_SLOW_MS: u64 = 1_000;

/// What `/error` says, in its answer and in the log.
pub const SIMULATED_ERROR: &str = "simulated error";

/// An answer in JSON.
pub fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut text = value.to_string();
    text.push('\n');
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error in JSON: `{"error":...,"message":...}`.
pub fn error(status: StatusCode, message: &str) -> Response<Body> {
    let name = status.canonical_reason().unwrap_or("Error");
    json(status, &json!({ "error": name, "message": message }))
}

/// `/`.
pub fn root() -> Response<Body> {
    let endpoints: Vec<_> = ROUTES
        .into_iter()
        .filter(|route| *route != Route::Unmatched && !route.template().starts_with("/-/"))
        .map(Route::template)
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    json(
        StatusCode::OK,
        &json!({ "message": "Hello from cairn-app", "version": version, "endpoints": endpoints }),
    )
}

/// `/health`.
pub fn health() -> Response<Body> {
    json(StatusCode::OK, &json!({ "status": "healthy" }))
}

/// `/get`: the query's arguments; of equal names the last one counts.
pub fn get(query: &str) -> Response<Body> {
    json(StatusCode::OK, &json!({ "method": "GET", "args": form(query.as_bytes()) }))
}

/// `/post`: what came, as JSON, as a form, or as text. `Err`: it said that it was JSON and is not.
pub fn post(headers: &HeaderMap, body: &[u8]) -> Response<Body> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let received = match essence.as_str() {
        _ if body.is_empty() => Value::Null,
        "application/x-www-form-urlencoded" => Value::Object(form(body)),
        "application/json" => match serde_json::from_slice(body) {
            Ok(value) => value,
            Err(problem) => {
                return error(StatusCode::BAD_REQUEST, &format!("the body is not JSON: {problem}"));
            }
        },
        // A client that does not say what it sends may well send JSON.
        _ => serde_json::from_slice(body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned())),
    };
    json(StatusCode::OK, &json!({ "method": "POST", "received": received }))
}

/// `/api/data`.
pub fn api_data() -> Response<Body> {
    let data: Vec<_> =
        (1..=5).map(|id| json!({ "id": id, "name": format!("item-{id}"), "value": id * 10 })).collect();
    json(StatusCode::OK, &json!({ "count": data.len(), "data": data }))
}

/// Milliseconds that `/slow` shall take.
///
/// # Errors
/// The message for a 400.
pub fn slow_ms(query: &str) -> Result<u64, String> {
    let Some((_, text)) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ms") else {
        return Ok(DEFAULT_SLOW_MS);
    };
    text.parse()
        .ok()
        .filter(|ms| *ms <= MAX_SLOW_MS)
        .ok_or_else(|| format!("ms: expected a whole number from 0 to {MAX_SLOW_MS}"))
}

/// `/slow` once it has waited.
pub fn slow(ms: u64) -> Response<Body> {
    json(StatusCode::OK, &json!({ "message": "slow answer", "ms": ms }))
}

fn form(text: &[u8]) -> Map<String, Value> {
    form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_takes_whole_milliseconds_up_to_its_limit() {
        assert_eq!(slow_ms(""), Ok(DEFAULT_SLOW_MS));
        assert_eq!(slow_ms("a=b&ms=20"), Ok(20));
        for bad in ["ms=", "ms=-1", "ms=1.5", "ms=30001", "ms=99999999999999999999999"] {
            assert!(slow_ms(bad).is_err(), "{bad}");
        }
    }
}
