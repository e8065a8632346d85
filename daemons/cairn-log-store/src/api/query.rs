//! `/loki/api/v1/query_range` and `/loki/api/v1/query`.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use cairn_logdb::{Store, View};
use cairn_logql::{Direction, EvalError, Expr, LogAnswer, LogExpr, LogQuery, MetricExpr, Options};
use cairn_model::{TimeNs, duration};
use http::HeaderMap;

use super::answer::{self, Cost, json_response};
use super::error::ApiError;
use super::params::Params;
use super::request::{AnswerForm, Tenant};
use crate::app::App;
use crate::config::limits::Limits;
use crate::work::Cancel;

/// Lines, or numbers over a range of time.
pub(super) async fn query_range(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let config = app.config();
    let request = RangeRequest::read(&params, app.now())?;
    let expr = parse(params.get("query"), &config.limits)?;
    let request = request.within(&expr, &config.limits, app.now())?;
    let form = AnswerForm::of(&headers);
    let store = app.store()?.clone();
    let asked = Instant::now();
    let limits = Arc::clone(&config);
    let body = app
        .queries
        .run(config.limits.query_timeout.to_std(), move |cancel| {
            let run =
                Run { store: &store, tenant: &tenant, limits: &limits.limits, cancel, asked, form: &form };
            match &expr {
                Expr::Log(expr) => run.logs(expr, &request),
                Expr::Metric(expr) => run.range(expr, &request),
            }
        })
        .await?;
    Ok(json_response(body))
}

/// Numbers at one instant.
pub(super) async fn query(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let config = app.config();
    let time = params.instant(app.now())?;
    params.limit()?;
    params.direction()?;
    let expr = match parse(params.get("query"), &config.limits)? {
        Expr::Metric(expr) => expr,
        Expr::Log(_) => {
            return Err(ApiError::bad_request(
                "log queries are not supported as an instant query type, please change your query to a range query \
                 type",
            ));
        }
    };
    let form = AnswerForm::of(&headers);
    let store = app.store()?.clone();
    let asked = Instant::now();
    let limits = Arc::clone(&config);
    let body = app
        .queries
        .run(config.limits.query_timeout.to_std(), move |cancel| {
            let run =
                Run { store: &store, tenant: &tenant, limits: &limits.limits, cancel, asked, form: &form };
            run.instant(&expr, time)
        })
        .await?;
    Ok(json_response(body))
}

/// The parameters of a range query.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeRequest {
    pub start: TimeNs,
    pub end: TimeNs,
    pub limit: usize,
    pub direction: Direction,
    pub step: i64,
    pub interval: i64,
}

impl RangeRequest {
    /// Reads them, in the order in which Loki does: the first mistake is the one that is told.
    pub(super) fn read(params: &Params, now: TimeNs) -> Result<Self, ApiError> {
        let (start, end) = params.bounds(now)?;
        if end < start {
            return Err(ApiError::bad_request("end timestamp must not be before or equal to start time"));
        }
        let limit = params.limit()?;
        let direction = params.direction()?;
        let step = params.step(start, end)?;
        let interval = params.interval()?;
        Ok(Self { start, end, limit, direction, step, interval })
    }

    /// Checks them against the limits, and moves the start to where the tenant may look.
    pub(super) fn within(mut self, expr: &Expr, limits: &Limits, now: TimeNs) -> Result<Self, ApiError> {
        let length = self.end.0.saturating_sub(self.start.0);
        if !limits.max_query_length.is_zero() && length > limits.max_query_length.0 {
            return Err(ApiError::bad_request(format!(
                "the query time range exceeds the limit (query length: {}, limit: {})",
                duration::format_go(length),
                limits.max_query_length
            )));
        }
        let max_entries = limits.max_entries_limit_per_query;
        if matches!(expr, Expr::Log(_)) && max_entries > 0 && self.limit > max_entries {
            return Err(ApiError::bad_request(format!(
                "max entries limit per query exceeded, limit > max_entries_limit_per_query ({} > {max_entries})",
                self.limit
            )));
        }
        if !limits.max_query_lookback.is_zero() {
            let oldest = TimeNs(now.0.saturating_sub(limits.max_query_lookback.0));
            self.start = self.start.max(oldest);
            self.end = self.end.max(self.start);
        }
        Ok(self)
    }
}

/// Reads a query and checks what a limit says about its text.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Expr, ApiError> {
    let expr = cairn_logql::parse(text).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let mut selectors = Vec::new();
    match &expr {
        Expr::Log(log) => selectors.push((log, 0)),
        Expr::Metric(metric) => ranges_of(metric, &mut selectors),
    }
    for (log, range) in selectors {
        let (n_matchers, max_matchers) = (log.matchers.len(), limits.max_streams_matchers_per_query);
        if max_matchers > 0 && n_matchers > max_matchers {
            return Err(ApiError::bad_request(format!(
                "max streams matchers per query exceeded, matchers-count > limit ({n_matchers} > {max_matchers})"
            )));
        }
        if !limits.max_query_range.is_zero() && range > limits.max_query_range.0 {
            return Err(ApiError::bad_request(format!(
                "[interval] value exceeds limit: [{}] > [{}]",
                duration::format_prometheus(range / 1_000_000),
                limits.max_query_range
            )));
        }
    }
    Ok(expr)
}

/// The selections of a metric query with their ranges in nanoseconds.
fn ranges_of<'a>(expr: &'a MetricExpr, out: &mut Vec<(&'a LogExpr, i64)>) {
    match expr {
        MetricExpr::Range(range) => out.push((&range.log, range.range)),
        MetricExpr::Vector(aggregation) => ranges_of(&aggregation.inner, out),
        MetricExpr::LabelReplace(replace) => ranges_of(&replace.inner, out),
        MetricExpr::Binary(binary) => {
            ranges_of(&binary.left, out);
            ranges_of(&binary.right, out);
        }
        MetricExpr::Literal(_) | MetricExpr::VectorOf(_) => {}
    }
}

/// One query on its blocking thread.
pub(super) struct Run<'a> {
    pub store: &'a Store,
    pub tenant: &'a str,
    pub limits: &'a Limits,
    pub cancel: &'a Cancel,
    pub asked: Instant,
    pub form: &'a AnswerForm,
}

impl Run<'_> {
    /// The entries of a log query, and what it cost.
    pub(super) fn entries(
        &self,
        expr: &LogExpr,
        request: &RangeRequest,
    ) -> Result<(LogAnswer, Vec<String>, Cost), ApiError> {
        let query = LogQuery {
            start: request.start,
            end: request.end,
            limit: request.limit,
            direction: request.direction,
            interval: request.interval,
        };
        let (answer, view, mut cost) =
            self.evaluate(|view, options| cairn_logql::query_logs(view, expr, &query, options))?;
        cost.stats = answer.stats;
        cost.returned = answer.entries.len() as u64;
        Ok((answer, view.damage(), cost))
    }

    fn logs(&self, expr: &LogExpr, request: &RangeRequest) -> Result<Vec<u8>, ApiError> {
        let (answer, warnings, cost) = self.entries(expr, request)?;
        Ok(answer::streams(&answer, self.form, &warnings, &cost))
    }

    fn range(&self, expr: &MetricExpr, request: &RangeRequest) -> Result<Vec<u8>, ApiError> {
        self.metric(request.end, |view, options| {
            cairn_logql::query_range(view, expr, request.start, request.end, request.step, options)
        })
    }

    fn instant(&self, expr: &MetricExpr, time: TimeNs) -> Result<Vec<u8>, ApiError> {
        self.metric(time, |view, options| cairn_logql::query_instant(view, expr, time, options))
    }

    fn metric(
        &self,
        time: TimeNs,
        evaluate: impl FnOnce(&View, &Options<'_>) -> Result<cairn_logql::MetricAnswer, EvalError>,
    ) -> Result<Vec<u8>, ApiError> {
        let (answer, view, mut cost) = self.evaluate(evaluate)?;
        cost.stats = answer.stats;
        cost.returned = answer::n_points(&answer.value);
        let mut warnings = answer.warnings.clone();
        warnings.extend(view.damage());
        Ok(answer::metric(&answer, time, &warnings, &cost))
    }

    fn evaluate<T>(
        &self,
        evaluate: impl FnOnce(&View, &Options<'_>) -> Result<T, EvalError>,
    ) -> Result<(T, View, Cost), ApiError> {
        let started = Instant::now();
        let is_cancelled = || self.cancel.is_cancelled();
        let options = Options {
            max_series: self.limits.max_query_series,
            partial_series: self.form.partial_series,
            is_cancelled: Some(&is_cancelled),
        };
        let view = self.store.view(self.tenant);
        let answer = evaluate(&view, &options).map_err(|error| match error {
            EvalError::Query(text) => ApiError::bad_request(text),
            EvalError::Cancelled => self.cancel.to_error(),
            EvalError::Source(source) => {
                tracing::error!(error = %source, "query could not read stored entries");
                ApiError::internal(format!("read stored entries: {source}"))
            }
        })?;
        let cost = Cost { took: started.elapsed(), waited: started - self.asked, ..Cost::default() };
        Ok((answer, view, cost))
    }
}
