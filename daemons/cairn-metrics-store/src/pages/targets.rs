//! `/targets`: what is scraped and how it went. `/service-discovery`: what was found, kept and dropped.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Page, format, labels};
use crate::app::App;
use crate::scrape::manager::PoolView;
use crate::scrape::schedule::now_ms;
use crate::target::{Health, Target};
use crate::web_address::WebAddress;

/// Most targets of one job on a page; further ones are counted.
const MAX_SHOWN: usize = 1000;

/// What is to be shown.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filter {
    /// `unhealthy`, or anything else for all.
    #[serde(default)]
    state: String,
    /// A text that is in a label's value or the address.
    #[serde(default)]
    search: String,
}

impl Filter {
    fn shows(&self, target: &Target) -> bool {
        let is_wanted = self.state != "unhealthy" || target.status().health != Health::Up;
        is_wanted && self.finds(&target.url, &target.labels)
    }

    /// Jobs without a target are of interest only while everything is shown.
    fn shows_pool(&self, pool: &PoolView) -> bool {
        let shows_all = self.state != "unhealthy" && self.search.is_empty();
        shows_all || pool.targets.iter().any(|target| self.shows(target))
    }

    fn finds(&self, url: &str, labels: &cairn_model::Labels) -> bool {
        self.search.is_empty()
            || url.contains(&self.search)
            || labels.iter().any(|(_, value)| value.contains(&self.search))
    }
}

/// `/targets`
pub(super) async fn targets(State(app): State<App>, Query(filter): Query<Filter>) -> Response {
    let view = match app.running() {
        Ok(running) => running.manager.view(),
        Err(_) => return Page::not_open("Targets", "/targets", &app).respond(&app),
    };
    let base = app.settings().web.external_path();
    let all: usize = view.iter().map(|pool| pool.targets.len()).sum();
    let is_unhealthy = |target: &&Arc<Target>| target.status().health != Health::Up;
    let unhealthy = view.iter().flat_map(|pool| &pool.targets).filter(is_unhealthy).count();
    let shows_unhealthy = filter.state == "unhealthy";
    let body = html! {
        form.filter action={ (base) "/targets" } method="get" {
            label { input type="radio" name="state" value="" checked[!shows_unhealthy]; " all (" (all) ")" }
            label {
                input type="radio" name="state" value="unhealthy" checked[shows_unhealthy];
                " unhealthy (" (unhealthy) ")"
            }
            input type="search" name="search" value=(filter.search) placeholder="label value or address"
                aria-label="Search";
            button type="submit" { "Show" }
        }
        @if view.is_empty() { p.muted { "No jobs are configured." } }
        @for pool in view.iter() {
            @if filter.shows_pool(pool) { (pool_section(pool, &filter, &app.settings().web)) }
        }
    };
    Page::new("Targets", "/targets", body).respond(&app)
}

fn pool_section(pool: &PoolView, filter: &Filter, web: &WebAddress) -> Markup {
    let shown: Vec<&Arc<Target>> = pool.targets.iter().filter(|target| filter.shows(target)).collect();
    let n_up = pool.targets.iter().filter(|target| target.status().health == Health::Up).count();
    let now = now_ms();
    let has_errors = shown.iter().any(|target| !target.status().last_error.is_empty());
    html! {
        section {
            h2 {
                (pool.job_name) " "
                span.count.bad[n_up < pool.targets.len()] { (n_up) " of " (pool.targets.len()) " up" }
            }
            @if shown.is_empty() {
                p.muted {
                    @if pool.n_dropped > 0 {
                        "All that was found is dropped: " (pool.n_dropped) ", see "
                        a href={ (web.external_path()) "/service-discovery" } { "service discovery" } "."
                    } @else { "The job has no targets." }
                }
            } @else {
                table.wide {
                    thead {
                        tr {
                            th { "Endpoint" } th { "State" } th { "Labels" } th.n { "Last scrape" }
                            th.n { "Took" } @if has_errors { th.error { "Error" } }
                        }
                    }
                    tbody {
                        @for target in shown.iter().take(MAX_SHOWN) { (row(target, web, now, has_errors)) }
                    }
                }
                (rest(shown.len()))
            }
        }
    }
}

fn row(target: &Target, web: &WebAddress, now: i64, has_errors: bool) -> Markup {
    let status = target.status();
    let url = web.global_url(&target.url);
    // Only what leads to a page is a link: whatever else relabelling made of the scheme stays text.
    let is_link = url.starts_with("http://") || url.starts_with("https://");
    html! {
        tr {
            td.url { @if is_link { a href=(url) rel="noreferrer" { (target.url) } } @else { (target.url) } }
            td { span.state.(status.health.as_str()) { (status.health.as_str()) } }
            td.labels { (labels(target.labels.iter())) }
            td.n {
                @match status.last_scrape {
                    Some(time) => { (format::ago(time.0.div_euclid(1_000_000), now)) }
                    None => { "never" }
                }
                div.muted { "every " (target.interval) }
            }
            td.n { @if status.last_scrape.is_some() { (format::span(status.last_duration)) } }
            @if has_errors { td.error { (status.last_error) } }
        }
    }
}

fn rest(n: usize) -> Markup {
    html! { @if n > MAX_SHOWN { p.muted { (n - MAX_SHOWN) " more are not shown." } } }
}

/// `/service-discovery`
pub(super) async fn discovery(State(app): State<App>, Query(filter): Query<Filter>) -> Response {
    let (title, path) = ("Service discovery", "/service-discovery");
    let view = match app.running() {
        Ok(running) => running.manager.view(),
        Err(_) => return Page::not_open(title, path, &app).respond(&app),
    };
    let base = app.settings().web.external_path();
    let body = html! {
        form.filter action={ (base) (path) } method="get" {
            input type="search" name="search" value=(filter.search) placeholder="label value" aria-label="Search";
            button type="submit" { "Show" }
        }
        @if view.is_empty() { p.muted { "No jobs are configured." } }
        @for pool in view.iter() { (discovery_section(pool, &filter)) }
    };
    Page::new(title, path, body).respond(&app)
}

fn discovery_section(pool: &PoolView, filter: &Filter) -> Markup {
    let kept: Vec<_> =
        pool.targets.iter().filter(|target| filter.finds(&target.url, &target.discovered)).collect();
    let dropped: Vec<_> = pool.dropped.iter().filter(|labels| filter.finds("", labels)).collect();
    html! {
        section {
            h2 {
                (pool.job_name) " "
                span.count { (pool.targets.len()) " kept, " (pool.n_dropped) " dropped" }
            }
            table.wide {
                thead { tr { th { "Found" } th { "Labels of the target" } } }
                tbody {
                    @for target in kept.iter().take(MAX_SHOWN) {
                        tr {
                            td { (labels(target.discovered.iter())) }
                            td { (labels(target.labels.iter())) }
                        }
                    }
                    @for found in dropped.iter().take(MAX_SHOWN) {
                        tr.muted { td { (labels(found.iter())) } td { "dropped" } }
                    }
                }
            }
            (rest(kept.len()))
            (rest(dropped.len()))
        }
    }
}
