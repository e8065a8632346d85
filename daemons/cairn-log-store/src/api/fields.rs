//! `/detected_fields` and `/detected_field/{name}/values`: what the newest lines of a query hold beside stream labels.

mod detect;
mod replay;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::response::Response;
use cairn_logql::{Direction, Expr, LogExpr};

use self::detect::{Fields, detect};
use super::answer::json_response;
use super::error::{ApiError, path_not_found};
use super::params::Params;
use super::query::{RangeRequest, Run, parse};
use super::request::{AnswerForm, Tenant};
use crate::app::App;
use crate::json;

/// Lines looked at when no limit is given.
const DEFAULT_LINES: usize = 100;
/// Fields, or values of one field, when no limit is given.
const DEFAULT_FIELDS: usize = 1000;
/// Most fields or values in one answer.
const MAX_FIELDS: usize = 10_000;

/// Names of fields, with the type and number of their values and the parser that finds them.
pub(super) async fn fields(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let request = FieldsRequest::read(&app, &params)?;
    let limit = request.limit;
    let fields = request.run(&app, tenant, limit).await?;
    if fields.is_empty() {
        return Ok(json_response(b"{}".to_vec()));
    }
    let mut out = b"{\"fields\":[".to_vec();
    for (index, (name, field)) in fields.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"label\":" } else { b"{\"label\":" });
        json::push_string(&mut out, name.as_bytes());
        let cardinality = field.values.len();
        json::push_number(
            &mut out,
            format_args!(",\"type\":\"{}\",\"cardinality\":{cardinality},\"parsers\":", field.kind.as_str()),
        );
        if field.parsers.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            json::push_strings(&mut out, &field.parsers);
        }
        if let Some(path) = &field.json_path {
            out.extend_from_slice(b",\"jsonPath\":");
            json::push_strings(&mut out, path);
        }
        out.push(b'}');
    }
    json::push_number(&mut out, format_args!("],\"limit\":{limit}}}"));
    Ok(json_response(out))
}

/// Values of one field.
pub(super) async fn values(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    if name.contains('/') {
        return Err(path_not_found().await);
    }
    let request = FieldsRequest::read(&app, &params)?;
    let limit = request.limit;
    let fields = request.run(&app, tenant, MAX_FIELDS).await?;
    let Some(field) = fields.get(&name) else { return Ok(json_response(b"{}".to_vec())) };
    let mut out = Vec::new();
    json::push_number(&mut out, format_args!("{{\"limit\":{limit},\"values\":"));
    json::push_strings(&mut out, field.values.iter().take(limit));
    out.push(b'}');
    Ok(json_response(out))
}

struct FieldsRequest {
    expr: LogExpr,
    range: RangeRequest,
    limit: usize,
}

impl FieldsRequest {
    fn read(app: &App, params: &Params) -> Result<Self, ApiError> {
        let config = app.config();
        let (start, end) = params.bounds(app.now())?;
        if end < start {
            return Err(ApiError::bad_request("end timestamp must not be before or equal to start time"));
        }
        let step = params.step(start, end)?;
        let lines = params.count("line_limit", DEFAULT_LINES)?;
        let limit = params.count("limit", params.count("field_limit", DEFAULT_FIELDS)?)?.min(MAX_FIELDS);
        let expr = parse(params.get("query"), &config.limits)?;
        let range =
            RangeRequest { start, end, limit: lines, direction: Direction::Backward, step, interval: 0 };
        let range = range.within(&expr, &config.limits, app.now())?;
        match expr {
            Expr::Log(expr) => Ok(Self { expr, range, limit }),
            Expr::Metric(_) => Err(ApiError::bad_request("only log selector is supported")),
        }
    }

    async fn run(self, app: &App, tenant: String, max_fields: usize) -> Result<Fields, ApiError> {
        let config = app.config();
        let store = app.store()?.clone();
        let asked = Instant::now();
        app.queries
            .run(config.limits.query_timeout.to_std(), {
                let config = Arc::clone(&config);
                move |cancel| {
                    let form = AnswerForm::default();
                    let run = Run {
                        store: &store,
                        tenant: &tenant,
                        limits: &config.limits,
                        cancel,
                        asked,
                        form: &form,
                    };
                    let (answer, _, _) = run.entries(&self.expr, &self.range)?;
                    detect(&answer, &self.expr, max_fields)
                        .map_err(|error| ApiError::internal(error.to_string()))
                }
            })
            .await
    }
}
