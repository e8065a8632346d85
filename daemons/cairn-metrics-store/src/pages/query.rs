//! `/query`: expressions and what they come to. The parameters are those of the peer's links, one set for each panel, `g0`,
//! `g1`, ...; [`panel`](super::panel) reads them.

use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use cairn_model::TimeMs;
use cairn_promql::Value;
use maud::{Markup, html};

use super::graph::Graph;
use super::panel::{self, Panel};
use super::{Page, format, graph, notice, table};
use crate::api::error::ApiError;
use crate::app::App;
use crate::engine::{Query, When};
use crate::scrape::schedule::now_ms;

const TITLE: &str = "Query";
const PATH: &str = "/query";

/// `/query`
pub(super) async fn page(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    if app.running().is_err() {
        return Page::not_open(TITLE, PATH, &app).respond(&app);
    }
    let (panels, n_left_out) = panel::all(&query.unwrap_or_default());
    let mut page = Page::new(TITLE, PATH, html! {});
    let mut shown = Vec::with_capacity(panels.len());
    for asked in &panels {
        // One after the other: each takes a place among the queries that may run at once.
        shown.push(if asked.expr.trim().is_empty() {
            html! { p.muted { "Type an expression, such as " code { "up" } " or " code { "rate(prometheus_http_requests_total[5m])" } "." } }
        } else {
            match result(&app, asked).await {
                Ok(result) => result,
                Err(error) => {
                    page.status = error.kind.status();
                    notice("bad", &error.message)
                }
            }
        });
    }
    page.body = html! {
        form.query action={ (app.settings().web.external_path()) (PATH) } method="get" {
            // The button of the enter key: each panel stays a table or a graph.
            button type="submit" hidden { "Run" }
            @for (index, (asked, shown)) in panels.iter().zip(&shown).enumerate() {
                section { (form(index, asked)) (shown) }
            }
        }
        @if n_left_out > 0 { (notice("warn", &format!("{n_left_out} more panels are not shown."))) }
    };
    page.respond(&app)
}

async fn result(app: &App, asked: &Panel) -> Result<Markup, ApiError> {
    let when = asked.when(TimeMs(now_ms()))?;
    let query =
        Query { text: asked.expr.clone(), when, timeout: None, lookback_ms: None, count_samples: false };
    let began = Instant::now();
    let render = move |answer: cairn_promql::Answer, _| {
        let shown = match (when, &answer.value) {
            (When::Range { start, end, step_ms }, Value::Matrix(series)) => {
                graph::draw(&Graph { start, end, step_ms, series })
            }
            _ => table::table(&answer.value),
        };
        let n_series = match &answer.value {
            Value::Vector(samples) => samples.len(),
            Value::Matrix(series) => series.len(),
            Value::Scalar(_) | Value::String(..) => 1,
        };
        html! {
            @for text in &answer.warnings { (notice("warn", text)) }
            @for text in &answer.infos { (notice("info", text)) }
            p.muted {
                (format::count(n_series as u64)) " series, "
                (format::count(answer.stats.samples_read)) " samples read, "
                (format::span(began.elapsed()))
            }
            (shown)
        }
    };
    Ok(app.running()?.engine.run(query, render).await?)
}

/// The fields of a panel, inside of the page's form.
fn form(index: usize, asked: &Panel) -> Markup {
    let name = |field: &str| format!("g{index}.{field}");
    let moment = if asked.is_graph { "end_input" } else { "moment_input" };
    html! {
        textarea name=(name("expr")) rows="3" spellcheck="false" autofocus[index == 0] aria-label="Expression" { (asked.expr) }
        div.controls {
            button type="submit" name=(name("tab")) value="table" aria-pressed=(!asked.is_graph) { "Table" }
            button type="submit" name=(name("tab")) value="graph" aria-pressed=(asked.is_graph) { "Graph" }
            // Of two values the first counts, which is the one of a button that was pressed.
            input type="hidden" name=(name("tab")) value=(if asked.is_graph { "graph" } else { "table" });
            label { "Range " input type="text" name=(name("range_input")) value=(asked.range) placeholder="1h" size="6"; }
            label {
                (if asked.is_graph { "End (UTC) " } else { "Time (UTC) " })
                input type="text" name=(name(moment)) value=(asked.moment) placeholder="now" size="19";
            }
            label {
                "Step (s) "
                input type="text" name=(name("step_input")) value=(asked.step) placeholder="auto" size="6" inputmode="decimal";
            }
            @if let Some(density) = asked.density.as_deref() {
                input type="hidden" name=(name("res_type")) value="auto";
                input type="hidden" name=(name("res_density")) value=(density);
            }
        }
    }
}
