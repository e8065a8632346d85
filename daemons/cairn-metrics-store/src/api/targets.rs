//! `targets`, `targets/metadata`, `metadata`, `scrape_pools`, `scrape_pools/config`, `targets/relabel_steps`, `alertmanagers`, and the empty `rules` and `alerts`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use cairn_model::gotext::quote;
use cairn_model::{Labels, Matcher};
use serde::Serialize;
use serde_json::json;

use super::App;
use super::answer::Answered;
use super::error::ApiError;
use super::params::{Params, atoi};
use crate::config::resolve::PoolConfig;
use crate::relabel;
use crate::scrape::manager::PoolView;
use crate::target::Target;
use crate::web_address::WebAddress;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget {
    discovered_labels: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

fn map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn active(pool: &PoolView, target: &Target, web: &WebAddress) -> ActiveTarget {
    let status = target.status();
    ActiveTarget {
        discovered_labels: map(&target.discovered),
        labels: map(&target.labels),
        scrape_pool: pool.job_name.clone(),
        scrape_url: target.url.clone(),
        global_url: web.global_url(&target.url),
        last_error: status.last_error,
        // Go's zero time: never.
        last_scrape: status
            .last_scrape
            .map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string()),
        last_scrape_duration: status.last_duration.as_secs_f64(),
        health: status.health.as_str(),
        scrape_interval: target.interval.to_string(),
        scrape_timeout: target.timeout.to_string(),
    }
}

/// `/api/v1/targets`
pub(super) async fn targets(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let view = app.running()?.manager.view();
    let state = params.get("state").to_lowercase();
    let wanted_pool = params.get("scrapePool");
    let pools = || view.iter().filter(|pool| wanted_pool.is_empty() || pool.job_name == wanted_pool);
    let shows_active = matches!(state.as_str(), "" | "any" | "active");
    let shows_dropped = matches!(state.as_str(), "" | "any" | "dropped");
    let web = &app.settings().web;
    let active_targets: Vec<ActiveTarget> = pools()
        .filter(|_| shows_active)
        .flat_map(|pool| pool.targets.iter().map(|target| active(pool, target, web)))
        .collect();
    let dropped: Vec<_> = pools()
        .filter(|_| shows_dropped)
        .flat_map(|pool| {
            pool.dropped
                .iter()
                .map(|labels| json!({"discoveredLabels": map(labels), "scrapePool": pool.job_name}))
        })
        .collect();
    // As the peer has it: of all jobs, and null when only active ones are wanted.
    let counts: Option<BTreeMap<&str, usize>> =
        shows_dropped.then(|| view.iter().map(|pool| (pool.job_name.as_str(), pool.n_dropped)).collect());
    Ok(Answered::of(&json!({
        "activeTargets": active_targets,
        "droppedTargets": dropped,
        "droppedTargetCounts": counts,
    })))
}

/// `/api/v1/scrape_pools`
pub(super) async fn scrape_pools(State(app): State<App>) -> Result<Answered, ApiError> {
    let view = app.running()?.manager.view();
    let names: Vec<&str> = view.iter().map(|pool| pool.job_name.as_str()).collect();
    Ok(Answered::of(&json!({ "scrapePools": names })))
}

/// The job that a request names.
fn pool_named(app: &App, name: &str) -> Result<Arc<PoolConfig>, ApiError> {
    let config = app.config();
    let pool = config.pools.iter().find(|pool| pool.job_name == name);
    pool.map(Arc::clone).ok_or_else(|| {
        ApiError::bad_data(format!("error retrieving scrape config: scrape pool {} not found", quote(name)))
    })
}

/// `/api/v1/scrape_pools/config`: the keys of one job, with the defaults filled in and without its secrets.
pub(super) async fn scrape_pool_config(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let name = params.get("scrapePool");
    if name.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    let pool = pool_named(&app, name)?;
    let yaml = serde_saphyr::to_string(&pool.raw)
        .map_err(|error| ApiError::internal(format!("print the job as YAML: {error}")))?;
    Ok(Answered::of(&json!({ "yaml": yaml })))
}

/// `/api/v1/targets/relabel_steps`: what each rule of a job makes of a label set.
pub(super) async fn relabel_steps(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let (name, text) = (params.get("scrapePool"), params.get("labels"));
    if name.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    if text.is_empty() {
        return Err(ApiError::bad_data("no labels parameter provided"));
    }
    let given: BTreeMap<String, String> = serde_json::from_str(text)
        .map_err(|error| ApiError::bad_data(format!("error parsing labels: {error}")))?;
    let pool = pool_named(&app, name)?;
    let given = Labels::from_pairs(&given);
    let steps = (0..pool.relabel.len()).map(|last| {
        let mut labels = given.to_builder();
        let is_kept = relabel::apply_all(&pool.relabel[..=last], &mut labels);
        let output = if is_kept { map(&labels.build()) } else { BTreeMap::new() };
        json!({ "rule": pool.relabel[last].shown(), "output": output, "keep": is_kept })
    });
    Ok(Answered::of(&json!({ "steps": steps.collect::<Vec<_>>() })))
}

/// `/api/v1/alertmanagers`
pub(super) async fn alertmanagers(State(app): State<App>) -> Result<Answered, ApiError> {
    let urls: Vec<_> = app.config().alertmanagers.iter().map(|url| json!({ "url": url })).collect();
    Ok(Answered::of(&json!({ "activeAlertmanagers": urls, "droppedAlertmanagers": [] })))
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    unit: &'a str,
    help: &'a str,
}

fn number(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    if !params.has(name) {
        return Ok(None);
    }
    atoi(params.get(name)).map(Some).map_err(|_| ApiError::bad_data(format!("{name} must be a number")))
}

/// `/api/v1/metadata`: what the live targets say, each different statement once.
pub(super) async fn metadata(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let limit = number(&params, "limit")?.filter(|limit| *limit >= 0);
    let per_metric = number(&params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let metric = params.get("metric");
    let mut all: BTreeMap<String, BTreeSet<(&'static str, String, String)>> = BTreeMap::new();
    for target in app.running()?.manager.view().iter().flat_map(|pool| &pool.targets) {
        for (name, said) in target.metadata() {
            if metric.is_empty() || metric == name {
                let said = (said.metric_type.as_str(), said.help, said.unit);
                all.entry(name).or_default().insert(said);
            }
        }
    }
    let cut =
        |limit: Option<i64>| limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let shown: BTreeMap<&String, Vec<Said<'_>>> = all
        .iter()
        .take(cut(limit))
        .map(|(name, said)| {
            let said = said.iter().take(cut(per_metric));
            (name, said.map(|(kind, help, unit)| Said { kind, unit, help }).collect())
        })
        .collect();
    Ok(Answered::of(&shown))
}

/// `/api/v1/targets/metadata`
pub(super) async fn target_metadata(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let limit = number(&params, "limit")?.filter(|limit| *limit >= 0);
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let text = params.get("match_target");
    let matchers = if text.is_empty() {
        Vec::new()
    } else {
        cairn_promql::parse_selector(text).map_err(|error| ApiError::param("match_target", error))?
    };
    let metric = params.get("metric");
    let mut entries = Vec::new();
    for target in app.running()?.manager.view().iter().flat_map(|pool| &pool.targets) {
        if !matchers.iter().all(|matcher: &Matcher| matcher.matches_labels(&target.labels)) {
            continue;
        }
        for (name, said) in target.metadata() {
            if !(metric.is_empty() || metric == name) || entries.len() >= limit {
                continue;
            }
            let mut entry = json!({
                "target": map(&target.labels), "type": said.metric_type.as_str(), "help": said.help, "unit": said.unit,
            });
            if metric.is_empty() {
                entry["metric"] = name.into();
            }
            entries.push(entry);
        }
    }
    Ok(Answered::of(&entries))
}

/// `/api/v1/rules`: there are none.
pub(super) async fn rules(params: Params) -> Result<Answered, ApiError> {
    let kind = params.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        let reason = format!("not supported value {}", cairn_model::gotext::quote(&kind));
        return Err(ApiError::param("type", reason));
    }
    params.selectors()?;
    if params.has("group_next_token") && !params.has("group_limit") {
        return Err(ApiError::bad_data(
            "group_limit needs to be present in order to paginate over the groups",
        ));
    }
    Ok(Answered::new("{\"groups\":[]}"))
}

/// `/api/v1/alerts`: there are none.
pub(super) async fn alerts() -> Answered {
    Answered::new("{\"alerts\":[]}")
}
