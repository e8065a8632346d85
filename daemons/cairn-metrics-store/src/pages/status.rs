//! `/status`, `/tsdb-status`, `/flags`, `/config`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use cairn_model::TimeMs;
use cairn_model::number::human_bytes;
use cairn_tsdb::{BlockMeta, Counters, HeadStats};
use maud::{Markup, html};

use super::{Page, facts, format, refused_notice};
use crate::api::error::ApiError;
use crate::app::App;
use crate::scrape::schedule::now_ms;
use crate::version;

/// Entries of each list of the head.
const MAX_ENTRIES: usize = 20;

/// `/status`
pub(super) async fn status(State(app): State<App>) -> Response {
    let (now, reload, settings) = (now_ms(), app.reload_state(), app.settings());
    let uptime = Duration::from_millis(now.saturating_sub(app.started_ms()).max(0).unsigned_abs());
    let switch = |is_on: bool| html! { @if is_on { "on" } @else { span.muted { "off" } } };
    let mut body = html! {
        (refused_notice(reload.refused.as_ref()))
        section {
            h2 { "Process" }
            (facts([
                ("Version", html! { "Cairn " (version::CAIRN_VERSION) }),
                ("Prometheus's version", html! { (version::PROMETHEUS_VERSION) }),
                ("Host", html! { (crate::host::name()) }),
                ("Started", html! { (format::time(TimeMs(app.started_ms()))) " UTC, " (format::span(uptime)) " ago" }),
                ("Clock", html! { (format::time(TimeMs(now))) " UTC" }),
                ("Last reload", html! {
                    @match &reload.refused {
                        None => { "good" }
                        Some(refused) => { span.bad { "refused" } " " (format::ago(refused.at_ms, now)) }
                    }
                }),
                ("Configuration of", html! { (format::time(TimeMs(reload.taken_ms))) " UTC" }),
                ("Retention", html! { (settings.retention) }),
            ]))
        }
        section {
            h2 { "What is on" }
            (facts([
                ("Remote write", switch(settings.has_remote_write)),
                ("OTLP", switch(settings.has_otlp)),
                ("Admin API", switch(settings.has_admin_api)),
                ("Reload and quit over HTTP", switch(settings.has_lifecycle)),
            ]))
        }
        section #alertmanagers {
            h2 { "Alertmanagers" }
            @if app.config().alertmanagers.is_empty() { p.muted { "None is configured." } }
            ul { @for url in &app.config().alertmanagers { li { code { (url) } } } }
        }
    };
    if let Ok(running) = app.running() {
        let storage = Arc::clone(&running.storage);
        // Reads directories.
        let aside = tokio::task::spawn_blocking(move || storage.db().set_aside()).await.unwrap_or_default();
        body = html! { (body) (damage(app.damage(), &aside)) };
        let queries = running.engine.active();
        body = html! {
            (body)
            section {
                h2 { "Queries under way " span.count { (queries.len()) " of " (running.engine.max_concurrency()) } }
                @if !queries.is_empty() {
                    table.wide {
                        thead { tr { th { "Query" } th { "State" } th.n { "For" } } }
                        tbody {
                            @for query in &queries {
                                tr {
                                    td { code { (query.text) } }
                                    td { @if query.is_running { "running" } @else { "waiting" } }
                                    td.n { (format::span(query.elapsed)) }
                                }
                            }
                        }
                    }
                }
            }
        };
    }
    Page::new("Status", "/status", body).respond(&app)
}

/// What is damaged: found by this start, and set aside by any.
fn damage(at_start: &[String], aside: &[PathBuf]) -> Markup {
    html! {
        section #damage {
            h2 { "Damage" }
            @if at_start.is_empty() { p.muted { "The start found none." } } @else {
                p { "The start found these parts of the database damaged and left them out:" }
                ul { @for what in at_start { li.bad { (what) } } }
            }
            @if !aside.is_empty() {
                p {
                    "Set aside, by this start or by one before it. Nothing reads them; restore what they held from a backup, "
                    "or remove them:"
                }
                ul { @for path in aside { li { code { (path.display()) } } } }
            }
        }
    }
}

/// `/tsdb-status`
pub(super) async fn database(State(app): State<App>) -> Response {
    let (title, path) = ("Database", "/tsdb-status");
    let storage = match app.running() {
        Ok(running) => Arc::clone(&running.storage),
        Err(_) => return Page::not_open(title, path, &app).respond(&app),
    };
    // The head is walked to be counted: too long for an async thread.
    let counted = tokio::task::spawn_blocking(move || {
        let db = storage.db();
        (db.head_stats(MAX_ENTRIES), db.counters(), db.blocks())
    });
    match counted.await {
        Ok((head, counters, blocks)) => {
            Page::new(title, path, database_body(&head, &counters, &blocks)).respond(&app)
        }
        Err(_panic) => {
            let error = ApiError::internal("counting the database broke off; the log says where");
            Page::failed(title, path, &error).respond(&app)
        }
    }
}

fn database_body(head: &HeadStats, counters: &Counters, blocks: &[BlockMeta]) -> Markup {
    let time = |ms: Option<i64>| {
        html! {
            @match ms { Some(ms) => { (format::time(TimeMs(ms))) " UTC" } None => { "–" } }
        }
    };
    let plain = format::count;
    html! {
        section {
            h2 { "In memory" }
            (facts([
                ("Series", html! { (format::count(head.n_series as u64)) }),
                ("Chunks", html! { (format::count(head.n_chunks as u64)) }),
                ("Label pairs", html! { (format::count(head.n_label_pairs as u64)) }),
                ("Oldest sample", time(head.min_time_ms)),
                ("Newest sample", time(head.max_time_ms)),
                ("Log", html! { (human_bytes(counters.wal_bytes)) }),
            ]))
        }
        div.columns {
            (list("Series by metric", ["Metric", "Series"], &head.series_by_metric, plain))
            (list("Values by label", ["Label", "Values"], &head.values_by_label, plain))
            (list("Memory by label", ["Label", "Of values"], &head.bytes_by_label, human_bytes))
            (list("Series by pair", ["Pair", "Series"], &head.series_by_pair, plain))
        }
        section {
            h2 { "Blocks " span.count { (blocks.len()) ", " (human_bytes(counters.blocks_bytes)) } }
            @if blocks.is_empty() { p.muted { "Nothing has been written to a block yet." } } @else {
                table.wide {
                    thead {
                        tr {
                            th { "Block" } th { "From (UTC)" } th { "To (UTC)" } th.n { "Series" } th.n { "Samples" }
                            th.n { "Size" } th.n { "Level" }
                        }
                    }
                    tbody {
                        @for block in blocks {
                            tr {
                                td { code { (block.id) } }
                                td { (format::time(TimeMs(block.min_time_ms))) }
                                td { (format::time(TimeMs(block.max_time_ms))) }
                                td.n { (format::count(block.n_series)) }
                                td.n { (format::count(block.n_samples)) }
                                td.n { (human_bytes(block.index_bytes.saturating_add(block.chunks_bytes))) }
                                td.n { (block.level) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn list(
    title: &str,
    [kind, number]: [&str; 2],
    entries: &[(String, u64)],
    shown: impl Fn(u64) -> String,
) -> Markup {
    html! {
        section {
            h2 { (title) }
            table.wide {
                thead { tr { th { (kind) } th.n { (number) } } }
                tbody {
                    @for (name, value) in entries { tr { td.url { (name) } td.n { (shown(*value)) } } }
                }
            }
        }
    }
}

/// `/flags`
pub(super) async fn flags(State(app): State<App>) -> Response {
    let body = html! {
        section {
            table.facts {
                @for (name, value) in &app.settings().flags {
                    tr { th scope="row" { code { "--" (name) } } td { code { (value) } } }
                }
            }
        }
    };
    Page::new("Flags", "/flags", body).respond(&app)
}

/// `/config`
pub(super) async fn config(State(app): State<App>) -> Response {
    let config = app.config();
    let body = html! {
        p.muted { "As it runs, with every default filled in and without its secrets." }
        pre { (config.yaml) }
    };
    Page::new("Configuration", "/config", body).respond(&app)
}
