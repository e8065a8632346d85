//! `/`: what the store is, how it is, and where everything is.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use cairn_model::number::human_bytes;
use maud::{Markup, html};

use super::{Page, facts, format, notice, refused_notice, replay_notice};
use crate::app::App;
use crate::scrape::schedule::now_ms;
use crate::target::Health;
use crate::version;

/// Paths that other programs use: path, what for.
const ADDRESSES: [(&str, &str); 6] = [
    ("", "data source of type Prometheus in Grafana, address for promtool and other clients"),
    ("/api/v1/write", "remote write 1.0 and 2.0"),
    ("/api/v1/otlp/v1/metrics", "metrics over OTLP"),
    ("/api/v1/read", "remote read"),
    ("/federate", "newest samples, for another Prometheus to scrape"),
    ("/metrics", "the store's own metrics"),
];

/// The front page.
pub(crate) async fn page(State(app): State<App>) -> Response {
    let state = match app.running() {
        Ok(running) => {
            let counters = running.storage.db().counters();
            let view = running.manager.view();
            let targets: Vec<Health> =
                view.iter().flat_map(|pool| &pool.targets).map(|target| target.status().health).collect();
            let n_up = targets.iter().filter(|health| **health == Health::Up).count();
            let base = app.settings().web.external_path();
            let shown_targets = html! {
                a href={ (base) "/targets" } { (n_up) " of " (targets.len()) " up" }
            };
            Ok(vec![
                ("Targets", shown_targets),
                ("Series in memory", html! { (format::count(counters.head_series)) }),
                (
                    "Stored",
                    html! {
                        (human_bytes(counters.blocks_bytes)) " in " (format::count(counters.blocks))
                        " blocks, " (human_bytes(counters.wal_bytes)) " of log"
                    },
                ),
                ("Retention", html! { (shown_retention(&app.settings().retention)) }),
            ])
        }
        Err(_) => Err(replay_notice(&app)),
    };
    Page::new("Metrics store", "/", body(&app, state)).respond(&app)
}

fn shown_retention(retention: &str) -> &str {
    if retention.is_empty() { "everything is kept" } else { retention }
}

/// `state`: figures of the database, or why there are none.
fn body(app: &App, state: Result<Vec<(&'static str, Markup)>, Markup>) -> Markup {
    let settings = app.settings();
    let (base, url) = (settings.web.external_path(), settings.web.reachable_url());
    let reload = app.reload_state();
    let now = now_ms();
    let uptime = Duration::from_millis(now.saturating_sub(app.started_ms()).max(0).unsigned_abs());
    let is_on = |path: &str| match path {
        "/api/v1/write" => settings.has_remote_write,
        "/api/v1/otlp/v1/metrics" => settings.has_otlp,
        _ => true,
    };
    let (mut rows, trouble) = match state {
        Ok(rows) => (rows, html! {}),
        Err(trouble) => (Vec::new(), trouble),
    };
    rows.extend([
        ("Up for", html! { (format::span(uptime)) }),
        ("Configuration", html! { "taken " (format::ago(reload.taken_ms, now)) }),
        (
            "Version",
            html! { "Cairn " (version::CAIRN_VERSION) ", speaks as Prometheus " (version::PROMETHEUS_VERSION) },
        ),
    ]);
    html! {
        p.lead {
            "Scrapes targets, stores their samples and answers PromQL over Prometheus's API."
        }
        form.ask action={ (base) "/query" } method="get" {
            input type="text" name="g0.expr" placeholder="up" aria-label="Expression" autofocus;
            button type="submit" { "Run" }
        }
        @if let Err(reason) = app.health.check() { (notice("warn", &format!("Not ready: {reason}"))) }
        (refused_notice(reload.refused.as_ref()))
        @if !app.damage().is_empty() {
            p.notice.bad role="alert" {
                "The start found " (app.damage().len()) " damaged parts of the database and left them out: "
                a href={ (base) "/status#damage" } { "which" } "."
            }
        }
        section {
            h2 { "State" }
            (trouble)
            (facts(rows))
        }
        section {
            h2 { "Addresses" }
            table {
                @for (path, what) in ADDRESSES {
                    tr {
                        td { code { (url) (path) } }
                        td { (what) @if !is_on(path) { " " span.muted { "(off)" } } }
                    }
                }
            }
        }
    }
}
