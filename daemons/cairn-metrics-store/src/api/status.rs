//! `status/*`, `/version`.

use axum::extract::State;
use axum::response::IntoResponse;
use cairn_model::{TimeMs, TimeNs};
use cairn_tsdb::{BlockId, BlockMeta};
use serde_json::{Value, json};

use super::App;
use super::answer::Answered;
use super::error::ApiError;
use super::params::{Params, atoi};
use crate::engine::When;
use crate::scrape::schedule::now_ms;
use crate::version;

/// Most entries of the lists of `status/tsdb`.
const MAX_TSDB_LIMIT: i64 = 10_000;
const DEFAULT_TSDB_LIMIT: usize = 10;

/// No key `features`: Grafana would take the store for Mimir.
fn build() -> Value {
    json!({
        "version": version::PROMETHEUS_VERSION,
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        // Cairn's own version, in the one place that nobody parses.
        "goVersion": format!("cairn-{}", version::CAIRN_VERSION),
    })
}

/// `/api/v1/status/buildinfo`
pub(super) async fn buildinfo() -> Answered {
    Answered::of(&build())
}

/// `/version`
pub(super) async fn version() -> impl IntoResponse {
    build().to_string()
}

/// `/api/v1/status/runtimeinfo`
pub(super) async fn runtimeinfo(State(app): State<App>) -> Answered {
    let directory = std::env::current_dir().map_or_else(|_| String::new(), |dir| dir.display().to_string());
    let time = |ms: i64| TimeNs(ms.saturating_mul(1_000_000)).to_string();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let reload = app.reload_state();
    Answered::of(&json!({
        "startTime": time(app.started_ms()),
        "CWD": directory,
        "hostname": crate::host::name(),
        "serverTime": time(now_ms()),
        "reloadConfigSuccess": reload.refused.is_none(),
        "lastConfigTime": time(reload.taken_ms),
        "corruptionCount": app.damage().len(),
        "goroutineCount": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        "GOMAXPROCS": cores,
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": app.settings().retention,
    }))
}

/// `/api/v1/status/config`
pub(super) async fn config(State(app): State<App>) -> Answered {
    Answered::of(&json!({ "yaml": app.config().yaml }))
}

/// `/api/v1/status/flags`
pub(super) async fn flags(State(app): State<App>) -> Answered {
    Answered::of(&app.settings().flags)
}

/// `/api/v1/status/active_queries`: what waits and runs, oldest first. The peer has no such path; it keeps the list in a
/// file.
pub(super) async fn active_queries(State(app): State<App>) -> Result<Answered, ApiError> {
    let engine = &app.running()?.engine;
    let shown = engine.active().into_iter().map(|query| {
        let mut one = json!({
            "id": query.id,
            "query": query.text,
            "state": if query.is_running { "running" } else { "queued" },
            "startTime": TimeNs(query.taken_ms.saturating_mul(1_000_000)).to_string(),
            "elapsedSeconds": query.elapsed.as_secs_f64(),
        });
        match query.when {
            When::Instant(time) => one["time"] = time.as_seconds().into(),
            When::Range { start, end, step_ms } => {
                one["start"] = start.as_seconds().into();
                one["end"] = end.as_seconds().into();
                one["step"] = TimeMs(step_ms).as_seconds().into();
            }
        }
        one
    });
    let queries: Vec<Value> = shown.collect();
    Ok(Answered::of(&json!({ "queries": queries, "maxConcurrency": engine.max_concurrency() })))
}

/// `/api/v1/status/tsdb`
pub(super) async fn tsdb(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let limit = if params.has("limit") {
        match atoi(params.get("limit")) {
            Ok(limit) if limit > MAX_TSDB_LIMIT => {
                return Err(ApiError::bad_data(format!("limit must not exceed {MAX_TSDB_LIMIT}")));
            }
            Ok(limit @ 1..) => usize::try_from(limit).unwrap_or(DEFAULT_TSDB_LIMIT),
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        }
    } else {
        DEFAULT_TSDB_LIMIT
    };
    let storage = std::sync::Arc::clone(&app.running()?.storage);
    let head = tokio::task::spawn_blocking(move || storage.db().head_stats(limit))
        .await
        .map_err(|_| ApiError::internal("counting the head broke off"))?;
    let list = |pairs: &[(String, u64)]| -> Vec<Value> {
        pairs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
    };
    Ok(Answered::of(&json!({
        "headStats": {
            "numSeries": head.n_series,
            "numLabelPairs": head.n_label_pairs,
            "chunkCount": head.n_chunks,
            "minTime": head.min_time_ms.unwrap_or(i64::MAX),
            "maxTime": head.max_time_ms.unwrap_or(i64::MIN),
        },
        "seriesCountByMetricName": list(&head.series_by_metric),
        "labelValueCountByLabelName": list(&head.values_by_label),
        "memoryInBytesByLabelName": list(&head.bytes_by_label),
        "seriesCountByLabelValuePair": list(&head.series_by_pair),
    })))
}

/// `/api/v1/status/tsdb/blocks`: each block as its `meta.json` would say it.
pub(super) async fn blocks(State(app): State<App>) -> Result<Answered, ApiError> {
    let blocks: Vec<Value> = app.running()?.storage.db().blocks().iter().map(meta_json).collect();
    Ok(Answered::of(&json!({ "blocks": blocks })))
}

/// A block's description under the peer's names. Its levels start at 1; here 0 is a part of the shortest window.
fn meta_json(meta: &BlockMeta) -> Value {
    let ids = |ids: &[BlockId]| -> Vec<String> { ids.iter().map(ToString::to_string).collect() };
    let mut stats = json!({
        "numSamples": meta.n_samples,
        "numFloatSamples": meta.n_samples - meta.n_histogram_samples.min(meta.n_samples),
        "numHistogramSamples": meta.n_histogram_samples,
        "numSeries": meta.n_series,
        "numChunks": meta.n_chunks,
    });
    if meta.n_tombstones > 0 {
        stats["numTombstones"] = meta.n_tombstones.into();
    }
    json!({
        "ulid": meta.id.to_string(),
        "minTime": meta.min_time_ms,
        "maxTime": meta.max_time_ms,
        "stats": stats,
        "compaction": { "level": meta.level.max(1), "sources": ids(&meta.sources) },
        "version": 1,
    })
}

/// `/api/v1/status/walreplay`: answered while the log is replayed, and afterwards.
pub(super) async fn walreplay(State(app): State<App>) -> Answered {
    let (min, max, current) = app.replay();
    Answered::of(&json!({ "min": min, "max": max, "current": current }))
}
