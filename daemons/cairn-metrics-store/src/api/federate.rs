//! `/federate`: the newest sample of each selected series, as a page for another Prometheus to scrape.
//!
//! | file | holds |
//! |---|---|
//! | `federate.rs` | the handler, the newest samples, the labels that are shown |
//! | `form.rs` | which form and which names the client takes |
//! | `text.rs`, `protobuf.rs` | the page in each form |

mod form;
mod protobuf;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cairn_model::{Histogram, Labels, Matcher, TimeMs};
use cairn_promql::source::{Selection, SeriesData, is_stale};
use cairn_promql::{EvalError, SourceError};
use cairn_tsdb::Db;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::App;
use super::params::Params;
use crate::engine::QueryError;
use crate::scrape::schedule::now_ms;
use form::{Form, Kind};

const NAME: &str = "__name__";
const INSTANCE: &str = "instance";

/// A newest sample.
enum Newest {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// One series with its newest sample.
struct Row {
    labels: Arc<Labels>,
    time_ms: i64,
    newest: Newest,
}

/// `/federate`
pub(super) async fn federate(State(app): State<App>, headers: HeaderMap, params: Params) -> Response {
    if !app.is_running() {
        return super::error::not_running(app.stop.is_cancelled());
    }
    let form = Form::negotiate(&headers);
    match page(&app, form, &params).await {
        Ok(page) => ([(CONTENT_TYPE, form.content_type())], page).into_response(),
        Err((status, text)) => {
            (status, [(CONTENT_TYPE, super::PLAIN_TEXT)], format!("{text}\n")).into_response()
        }
    }
}

async fn page(app: &App, form: Form, params: &Params) -> Result<Vec<u8>, (StatusCode, String)> {
    let failed = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, error);
    let selectors = params.any_selectors().map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    let external = app.config().external_labels.clone();
    let engine = &app.running().map_err(|error| failed(error.message))?.engine;
    let end = TimeMs(now_ms());
    let start = TimeMs(end.0.saturating_sub(engine.lookback_ms()));
    let question = move |db: &Db| {
        let rows = newest(db, &selectors, start, end)?;
        Ok(match form.kind {
            Kind::Text => text::page(&rows, &external, form.names).into_bytes(),
            Kind::Protobuf => protobuf::page(&rows, &external, form.names),
        })
    };
    engine.ask(question).await.map_err(|error| match error {
        QueryError::Eval(EvalError::Source(source)) => failed(source.to_string()),
        other => (StatusCode::SERVICE_UNAVAILABLE, other.to_string()),
    })
}

/// By name, and then by labels; each series once, however many selectors select it. What has no name has no place on a
/// page; the peer skips it as well.
fn newest(db: &Db, selectors: &[Vec<Matcher>], start: TimeMs, end: TimeMs) -> Result<Vec<Row>, SourceError> {
    let mut found: BTreeMap<Arc<Labels>, (i64, Newest)> = BTreeMap::new();
    for matchers in selectors {
        for series in db.view().newest(&Selection { matchers, start, end })? {
            if let Some(newest) = newest_of(&series)
                && !series.labels.value(NAME).is_empty()
            {
                found.insert(series.labels, newest);
            }
        }
    }
    let row = |(labels, (time_ms, newest))| Row { labels, time_ms, newest };
    let mut rows: Vec<Row> = found.into_iter().map(row).collect();
    rows.sort_by(|a, b| a.labels.value(NAME).cmp(b.labels.value(NAME)));
    Ok(rows)
}

/// `None` when the series ended, or was never there.
fn newest_of(series: &SeriesData) -> Option<(i64, Newest)> {
    let float = series.times.last().zip(series.values.last());
    match (float, series.histograms.last()) {
        (Some((&time, &value)), histogram) if histogram.is_none_or(|point| point.time < time) => {
            (!is_stale(value)).then_some((time, Newest::Float(value)))
        }
        (_, Some(point)) => {
            let histogram = &point.histogram;
            (!is_stale(histogram.sum)).then(|| (point.time, Newest::Histogram(Arc::clone(histogram))))
        }
        _ => None,
    }
}

impl Row {
    /// The labels but for the name: its own, then those of this store that it lacks. An instance that nobody names is
    /// shown empty, so that whoever scrapes the page does not put its own there.
    fn pairs<'a>(&'a self, external: &'a Labels) -> Vec<(&'a str, &'a str)> {
        let own = self.labels.iter().filter(|(name, _)| *name != NAME);
        let added = external.iter().filter(|(name, _)| self.labels.get(name).is_none());
        let has_instance = self.labels.get(INSTANCE).or(external.get(INSTANCE)).is_some();
        let instance = (!has_instance).then_some((INSTANCE, ""));
        let mut added: Vec<(&str, &str)> = added.chain(instance).collect();
        added.sort_unstable();
        own.chain(added).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_ended_is_left_out() {
        let stale = f64::from_bits(cairn_promql::source::STALE_NAN_BITS);
        let series = |values: &[f64]| SeriesData {
            times: (0..).take(values.len()).collect(),
            values: values.to_vec(),
            ..SeriesData::default()
        };
        assert!(newest_of(&series(&[1.0, stale])).is_none());
        assert!(newest_of(&series(&[])).is_none());
        assert!(matches!(newest_of(&series(&[stale, 2.0])), Some((1, Newest::Float(2.0)))));
    }
}
