//! Taking a request apart: tenant, parameters, and the headers that change an answer.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use http::{HeaderMap, Method, header};
use std::sync::Arc;

use super::error::{ApiError, ErrorKind};
use super::params::Params;
use crate::app::App;
use crate::tenant::{TenantError, tenant};

/// Largest form that is read; a query is shorter than 128 KiB, and escaping may triple it.
const MAX_FORM_BYTES: usize = 1 << 20;
/// The header by which a client asks for labels by category.
const ENCODING_FLAGS: &str = "X-Loki-Response-Encoding-Flags";
/// The flag that does so.
const CATEGORIZE_LABELS: &str = "categorize-labels";
/// The header in which Grafana says who asks.
const QUERY_TAGS: &str = "X-Query-Tags";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Tenant(pub String);

impl FromRequestParts<Arc<App>> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        tenant(app.config().auth_enabled, &parts.headers).map(Self).map_err(|error| {
            let kind = match error {
                TenantError::Missing => ErrorKind::NoTenant,
                _ => ErrorKind::BadRequest,
            };
            ApiError::new(kind, error.to_string()).on_write()
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let url_query = parts.uri.query().unwrap_or("");
        let is_form = parts.method == Method::POST
            && header_text(&parts.headers, header::CONTENT_TYPE.as_str())
                .is_some_and(|t| t.trim_start().starts_with("application/x-www-form-urlencoded"));
        if !is_form {
            return Ok(Self::parse(b"", url_query));
        }
        let form = axum::body::to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| {
            let text = format!("the form cannot be read, or is larger than {MAX_FORM_BYTES} bytes");
            ApiError::bad_request(text)
        })?;
        Ok(Self::parse(&form, url_query))
    }
}

/// What the headers ask of a query's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AnswerForm {
    /// The flags as sent, to be echoed; also those that are unknown.
    pub flags: Vec<String>,
    /// Structured metadata and parsed labels go into a third element of each line.
    pub categorize: bool,
    /// The asker can do with the first series of too many.
    pub partial_series: bool,
}

impl AnswerForm {
    /// Reads the headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let flags: Vec<String> = header_text(headers, ENCODING_FLAGS)
            .into_iter()
            .flat_map(|text| text.split(',').map(|flag| flag.trim().to_owned()))
            .filter(|flag| !flag.is_empty())
            .collect();
        Self {
            categorize: flags.iter().any(|flag| flag == CATEGORIZE_LABELS),
            flags,
            partial_series: header_text(headers, QUERY_TAGS)
                .is_some_and(|tags| tags.contains("Source=grafana-lokiexplore-app")),
        }
    }
}

/// A header as text; `None` when it is missing or no text.
pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_echoed_and_understood() {
        let mut headers = HeaderMap::new();
        assert_eq!(AnswerForm::of(&headers), AnswerForm::default());
        headers.insert(ENCODING_FLAGS, "nonsense, categorize-labels".parse().unwrap());
        headers.insert(QUERY_TAGS, "Source=grafana-lokiexplore-app".parse().unwrap());
        let form = AnswerForm::of(&headers);
        assert_eq!(form.flags, ["nonsense", "categorize-labels"]);
        assert!(form.categorize && form.partial_series);
    }
}
