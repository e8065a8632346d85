//! `/labels`, `/label/{name}/values`, `/series`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use cairn_model::{Matcher, TimeNs};

use super::answer::{json_response, string_list};
use super::error::{ApiError, path_not_found};
use super::params::Params;
use super::request::Tenant;
use super::selector;
use crate::app::App;
use crate::json;

/// Selectors in one request for series.
const MAX_SELECTORS: usize = 100;

/// Names of labels.
pub(super) async fn names(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let (matchers, start, end) = question(&app, &params)?;
    let store = app.store()?.clone();
    let names = app
        .queries
        .run(app.config().limits.query_timeout.to_std(), move |_| {
            Ok(store.label_names(&tenant, &matchers, start, end))
        })
        .await?;
    Ok(json_response(string_list(&names)))
}

/// Values of one label.
pub(super) async fn values(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    if name.contains('/') {
        return Err(path_not_found().await);
    }
    let (matchers, start, end) = question(&app, &params)?;
    let store = app.store()?.clone();
    let values = app
        .queries
        .run(app.config().limits.query_timeout.to_std(), move |_| {
            Ok(store.label_values(&tenant, &name, &matchers, start, end))
        })
        .await?;
    Ok(json_response(string_list(&values)))
}

fn question(app: &App, params: &Params) -> Result<(Vec<Matcher>, TimeNs, TimeNs), ApiError> {
    let (start, end) = params.bounds(app.now())?;
    let matchers = selector::parse_optional(params.get("query"))?;
    if end < start {
        let lookback = app.config().limits.max_query_lookback;
        return Err(ApiError::bad_request(format!(
            "this data is no longer available, it is past now - max_query_lookback ({lookback})"
        )));
    }
    Ok((matchers, start, end))
}

/// Label sets of streams.
pub(super) async fn series(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let (start, end) = params.bounds(app.now())?;
    let mut selectors = Vec::new();
    for text in params.all("match").chain(params.all("match[]")) {
        let matchers = selector::parse_or_all(text)?;
        if matchers.is_empty() {
            selectors.clear();
            break;
        }
        selectors.push(matchers);
    }
    if selectors.len() > MAX_SELECTORS {
        return Err(ApiError::bad_request(format!(
            "too many selectors in one request ({} > {MAX_SELECTORS})",
            selectors.len()
        )));
    }
    if end < start {
        return Err(ApiError::bad_request("end timestamp must not be before or equal to start time"));
    }
    let store = app.store()?.clone();
    let body = app
        .queries
        .run(app.config().limits.query_timeout.to_std(), move |_| {
            let mut out = b"{\"status\":\"success\",\"data\":[".to_vec();
            for (index, labels) in store.series(&tenant, &selectors, start, end).iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json::push_labels(&mut out, labels);
            }
            out.extend_from_slice(b"]}");
            Ok(out)
        })
        .await?;
    Ok(json_response(body))
}
