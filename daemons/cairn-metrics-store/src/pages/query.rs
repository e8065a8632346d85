//! `/query`: an expression and what it comes to. The parameters are those of the peer's links: `g0.expr`, `g0.tab` (`0` or
//! `graph`: drawn), `g0.range_input` (`1h`), `g0.end_input`, `g0.step_input` (seconds).

use std::collections::BTreeMap;
use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use cairn_model::TimeMs;
use cairn_model::duration::parse_prometheus;
use cairn_promql::Value;
use maud::{Markup, html};

use super::graph::Graph;
use super::{Page, format, graph, notice, table};
use crate::api::error::ApiError;
use crate::api::parse_time;
use crate::app::App;
use crate::engine::{Query, When};
use crate::scrape::schedule::now_ms;

const TITLE: &str = "Query";
const PATH: &str = "/query";

/// Points of a drawn series when no step is asked for: about one for each four pixels.
const DEFAULT_POINTS: i64 = 250;
/// Most points of a drawn series, as the API has it.
const MAX_POINTS: i64 = 11_000;

/// The form as it was sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    expr: String,
    is_graph: bool,
    range: String,
    end: String,
    step: String,
}

impl Asked {
    /// Of several values of one parameter the first counts.
    fn of(query: &str) -> Self {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            values.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        let mut take = |name: &str| values.remove(name).unwrap_or_default();
        let tab = take("g0.tab");
        Self {
            expr: take("g0.expr"),
            is_graph: matches!(tab.as_str(), "0" | "graph"),
            range: take("g0.range_input"),
            end: take("g0.end_input"),
            step: take("g0.step_input"),
        }
    }

    /// When to evaluate.
    fn when(&self, now: TimeMs) -> Result<When, ApiError> {
        let end = match self.end.trim() {
            "" => now,
            // The peer's page writes `2026-11-28 10:15:00`, in UTC.
            text if text.len() == 19 && text.as_bytes()[10] == b' ' => {
                let text = format!("{}Z", text.replacen(' ', "T", 1));
                parse_time(&text).map_err(|reason| ApiError::param("end", reason))?
            }
            text => parse_time(text).map_err(|reason| ApiError::param("end", reason))?,
        };
        if !self.is_graph {
            return Ok(When::Instant(end));
        }
        let range_ms = match self.range.trim() {
            "" => 3_600_000,
            text => parse_prometheus(text).map_err(|error| ApiError::param("range", error))?,
        };
        if range_ms <= 0 {
            return Err(ApiError::param("range", "must be above 0"));
        }
        let start = TimeMs(end.0.saturating_sub(range_ms));
        let step_ms = match self.step.trim() {
            "" => (range_ms / DEFAULT_POINTS / 1000 * 1000).max(1000),
            text => match text.parse::<u32>() {
                Ok(seconds @ 1..) => i64::from(seconds) * 1000,
                _ => return Err(ApiError::param("step", "must be whole seconds above 0, or empty")),
            },
        };
        if range_ms / step_ms > MAX_POINTS {
            let reason = "exceeded maximum resolution of 11,000 points per timeseries. Try a longer step";
            return Err(ApiError::param("step", reason));
        }
        Ok(When::Range { start, end, step_ms })
    }
}

/// `/query`
pub(super) async fn page(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    if app.running().is_err() {
        return Page::not_open(TITLE, PATH, &app).respond(&app);
    }
    let asked = Asked::of(&query.unwrap_or_default());
    let form = form(&asked, app.settings().web.external_path());
    let mut page = Page::new(TITLE, PATH, html! {});
    let result = if asked.expr.trim().is_empty() {
        html! { p.muted { "Type an expression, such as " code { "up" } " or " code { "rate(prometheus_http_requests_total[5m])" } "." } }
    } else {
        match result(&app, &asked).await {
            Ok(result) => result,
            Err(error) => {
                page.status = error.kind.status();
                notice("bad", &error.message)
            }
        }
    };
    page.body = html! { (form) (result) };
    page.respond(&app)
}

async fn result(app: &App, asked: &Asked) -> Result<Markup, ApiError> {
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

fn form(asked: &Asked, base: &str) -> Markup {
    html! {
        form.query action={ (base) (PATH) } method="get" {
            textarea name="g0.expr" rows="3" spellcheck="false" autofocus aria-label="Expression" { (asked.expr) }
            div.controls {
                button type="submit" name="g0.tab" value="1" aria-pressed=(!asked.is_graph) { "Table" }
                button type="submit" name="g0.tab" value="0" aria-pressed=(asked.is_graph) { "Graph" }
                label { "Range " input type="text" name="g0.range_input" value=(asked.range) placeholder="1h" size="6"; }
                label {
                    "End (UTC) "
                    input type="text" name="g0.end_input" value=(asked.end) placeholder="now" size="19";
                }
                label {
                    "Step (s) "
                    input type="text" name="g0.step_input" value=(asked.step) placeholder="auto" size="6" inputmode="numeric";
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(query: &str) -> Result<When, String> {
        Asked::of(query).when(TimeMs(7_200_000)).map_err(|error| error.message)
    }

    #[test]
    fn the_parameters_of_the_peers_links() {
        let asked = Asked::of("g0.expr=up%7Bjob%3D%22a%22%7D+%3D%3D+1&g0.tab=1&g0.expr=other&x=y");
        assert_eq!(asked.expr, "up{job=\"a\"} == 1");
        assert!(!asked.is_graph);
        assert!(matches!(when(""), Ok(When::Instant(TimeMs(7_200_000)))));
        assert!(matches!(when("g0.end_input=1970-01-01+00%3A00%3A05"), Ok(When::Instant(TimeMs(5000)))));
        let one_hour = |start, end, step_ms| {
            move |when: Result<When, String>| {
                matches!(when, Ok(When::Range { start: s, end: e, step_ms: step })
                    if (s.0, e.0, step) == (start, end, step_ms))
            }
        };
        assert!(one_hour(3_600_000, 7_200_000, 14_000)(when("g0.tab=graph")));
        assert!(one_hour(-1000, 1000, 1000)(when(
            "g0.tab=0&g0.range_input=2s&g0.end_input=1&g0.step_input=1"
        )));
        for (query, want) in [
            ("g0.end_input=x", "invalid parameter \"end\""),
            ("g0.tab=0&g0.range_input=x", "invalid parameter \"range\""),
            ("g0.tab=0&g0.range_input=0s", "invalid parameter \"range\""),
            ("g0.tab=0&g0.step_input=0", "invalid parameter \"step\""),
            ("g0.tab=0&g0.step_input=1&g0.range_input=1d", "exceeded maximum resolution"),
        ] {
            assert!(when(query).unwrap_err().contains(want), "{query}");
        }
    }
}
