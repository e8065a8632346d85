//! `query`, `query_range`, `format_query`.

use std::fmt::Write;

use axum::extract::State;
use cairn_model::TimeMs;
use cairn_promql::{Answer, Expr, SampleCounts};

use super::answer::{Answered, push_value};
use super::error::ApiError;
use super::params::Params;
use super::{App, Running};
use crate::engine::{Cost, Query, Timings, When, parse_bounded, truncate};
use crate::scrape::schedule::now_ms;

/// Most points of one series in a range query, one more than the step count in Prometheus's message.
const MAX_POINTS: i64 = 11_000;

const TRUNCATED: &str = "results truncated due to limit";

/// `/api/v1/query`
pub(super) async fn instant(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let limit = params.limit()?;
    let time = params.time_or("time", TimeMs(now_ms()))?;
    answer(app.running()?, &params, When::Instant(time), limit).await
}

/// `/api/v1/query_range`
pub(super) async fn range(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let limit = params.limit()?;
    let start = params.time("start")?;
    let end = params.time("end")?;
    if end < start {
        return Err(ApiError::param("end", "end timestamp must not be before start time"));
    }
    let step_ms = match params.duration_ms("step")? {
        Some(step_ms) => step_ms,
        None => return Err(ApiError::param("step", "cannot parse \"\" to a valid duration")),
    };
    if step_ms <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::param("step", reason));
    }
    if end.0.saturating_sub(start.0) / step_ms > MAX_POINTS {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    answer(app.running()?, &params, When::Range { start, end, step_ms }, limit).await
}

async fn answer(running: &Running, params: &Params, when: When, limit: usize) -> Result<Answered, ApiError> {
    let query = Query {
        text: params.get("query").to_owned(),
        when,
        timeout: params.timeout()?,
        lookback_ms: params.lookback_ms()?,
        count_samples: params.has("stats"),
    };
    let stats = params.get("stats").to_owned();
    let render = move |found, timings| rendered(found, when, &timings, &stats, limit);
    Ok(running.engine.run(query, render).await?)
}

/// The answer as it is sent.
fn rendered(found: Answer, when: When, timings: &Timings, stats: &str, limit: usize) -> Answered {
    let cost = Cost::of(&found);
    let Answer { mut value, mut warnings, infos, counts, .. } = found;
    if truncate(&mut value, limit) {
        warnings.push(TRUNCATED.to_owned());
    }
    if !matches!(stats, "" | "true" | "all") {
        let stats = cairn_model::gotext::quote(stats);
        warnings.push(format!(
            "value {stats} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""
        ));
    }
    let answered = Answered::written(|out| {
        out.push('{');
        push_value(out, &value);
        if !stats.is_empty() {
            let per_step = counts.filter(|_| stats == "all");
            push_stats(out, timings, &cost, per_step.as_ref(), when);
        }
        out.push('}');
    });
    answered.with(warnings, infos)
}

/// What becomes of the expression of the parameter `query`. A long one takes its time, so it is read off the async
/// threads.
pub(super) async fn parsed<T: Send + 'static>(
    app: &App,
    params: &Params,
    use_it: impl FnOnce(Expr) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let engine = &app.running()?.engine;
    let (options, text) = (engine.parse_options(), params.get("query").to_owned());
    let read = engine.ask(move |_| Ok(parse_bounded(&text, options).map(use_it))).await?;
    read.map_err(|error| ApiError::param("query", error))
}

/// `"stats":{...}` with a comma before it; in the peer's order.
fn push_stats(out: &mut String, timings: &Timings, cost: &Cost, per_step: Option<&SampleCounts>, when: When) {
    let [queued, prepared, evaluated, sorted] = timings.seconds();
    let (evaluation, total) = (evaluated + sorted, queued + prepared + evaluated + sorted);
    let _ = write!(
        out,
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{evaluation},\"resultSortTime\":{sorted},\"queryPreparationTime\":{prepared},\
         \"innerEvalTime\":{evaluated},\"execQueueTime\":{queued},\"execTotalTime\":{total}}},\"samples\":{{"
    );
    if let Some(counts) = per_step {
        push_steps(out, "totalQueryableSamplesPerStep", when, &counts.queryable);
    }
    let _ = write!(out, "\"totalQueryableSamples\":{},", cost.queryable);
    if let Some(counts) = per_step {
        push_steps(out, "samplesReadPerStep", when, &counts.read);
    }
    let _ = write!(out, "\"samplesRead\":{},\"peakSamples\":{}}}}}", cost.read, cost.peak);
}

/// `"name":[[seconds,count],...],`
fn push_steps(out: &mut String, name: &str, when: When, counts: &[u64]) {
    let (start, step_ms) = match when {
        When::Instant(time) => (time.0, 0),
        When::Range { start, step_ms, .. } => (start.0, step_ms),
    };
    let _ = write!(out, "\"{name}\":[");
    let mut time = start;
    for (index, count) in counts.iter().enumerate() {
        out.push_str(if index > 0 { ",[" } else { "[" });
        let _ = write!(out, "{},{count}]", TimeMs(time).as_seconds());
        time = time.saturating_add(step_ms);
    }
    out.push_str("],");
}

/// `/api/v1/format_query`
pub(super) async fn format(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    Ok(Answered::of(&parsed(&app, &params, |expr| expr.pretty()).await?))
}
