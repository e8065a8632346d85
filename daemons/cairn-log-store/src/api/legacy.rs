//! `/api/prom/query`: how Grafana before 7 and very old agents ask for lines.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use cairn_logql::{Expr, LogAnswer};
use cairn_model::gotext;

use super::answer::json_response;
use super::error::ApiError;
use super::params::Params;
use super::query::{RangeRequest, Run, parse};
use super::request::{AnswerForm, Tenant};
use crate::app::App;
use crate::json;

/// Log lines in the form of Loki's first API.
pub(super) async fn query(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let config = app.config();
    let request = RangeRequest::read(&params, app.now())?;
    let mut text = params.get("query").to_owned();
    if !params.get("regexp").is_empty() {
        text = format!("{text} |~ {}", gotext::quote(params.get("regexp")));
    }
    let expr = parse(&text, &config.limits)?;
    let request = request.within(&expr, &config.limits, app.now())?;
    let Expr::Log(expr) = expr else {
        return Err(ApiError::bad_request("legacy endpoints only support streams result type"));
    };
    let store = app.store()?.clone();
    let asked = Instant::now();
    let limits = Arc::clone(&config);
    let body = app
        .queries
        .run(config.limits.query_timeout.to_std(), move |cancel| {
            let form = AnswerForm::default();
            let run =
                Run { store: &store, tenant: &tenant, limits: &limits.limits, cancel, asked, form: &form };
            run.entries(&expr, &request).map(|(answer, _, _)| encode(&answer))
        })
        .await?;
    Ok(json_response(body))
}

fn encode(answer: &LogAnswer) -> Vec<u8> {
    let mut out = b"{\"streams\":[".to_vec();
    for (index, stream) in answer.streams(false).iter().enumerate() {
        let labels: Vec<String> =
            stream.labels.iter().map(|(name, value)| format!("{name}={}", gotext::quote(value))).collect();
        out.extend_from_slice(if index > 0 { b",{\"labels\":" } else { b"{\"labels\":" });
        json::push_string(&mut out, format!("{{{}}}", labels.join(", ")).as_bytes());
        out.extend_from_slice(b",\"entries\":[");
        for (index, entry) in stream.entries.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{\"ts\":\"" } else { b"{\"ts\":\"" });
            json::push_number(&mut out, entry.time);
            out.extend_from_slice(b"\",\"line\":");
            json::push_string(&mut out, &entry.line);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
    out
}
