//! `/federate`: the newest sample of each selected series, as a page for another Prometheus to scrape.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cairn_http::exposition::push_escaped;
use cairn_model::gotext::quote;
use cairn_model::number::write_general_float;
use cairn_model::{FloatHistogram, Histogram, Labels, Matcher, TimeMs};
use cairn_promql::source::{SampleSource, Selection, SeriesData, is_stale};
use cairn_promql::{EvalError, SourceError};
use cairn_tsdb::Db;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::App;
use super::params::Params;
use crate::engine::QueryError;
use crate::scrape::schedule::now_ms;

const NAME: &str = "__name__";
const INSTANCE: &str = "instance";

/// What names look like that are not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// As they are, in quotes: for clients that ask for it.
    Quoted,
    /// Every character that is not plain becomes an underscore.
    Underscores,
}

impl Names {
    fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let takes_all = |media: &str| {
            media.trim().starts_with("text/plain")
                && media.split(';').any(|part| part.trim() == "escaping=allow-utf-8")
        };
        if accept.split(',').any(takes_all) { Self::Quoted } else { Self::Underscores }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Quoted => "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
            Self::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        })
    }
}

/// A newest sample.
enum Newest {
    Float(f64),
    /// With custom buckets: shown as the classic histogram that it was. Others have no place in the text format.
    Histogram(Arc<Histogram>),
}

/// `/federate`
pub(super) async fn federate(State(app): State<App>, headers: HeaderMap, params: Params) -> Response {
    if !app.is_running() {
        return super::error::not_running(app.stop.is_cancelled());
    }
    match page(&app, &headers, &params).await {
        Ok((text, names)) => ([(CONTENT_TYPE, names.content_type())], text).into_response(),
        Err((status, text)) => {
            (status, [(CONTENT_TYPE, super::PLAIN_TEXT)], format!("{text}\n")).into_response()
        }
    }
}

async fn page(
    app: &App,
    headers: &HeaderMap,
    params: &Params,
) -> Result<(String, Names), (StatusCode, String)> {
    let failed = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, error);
    let selectors = params.any_selectors().map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    let names = Names::of(headers);
    let external = app.config().external_labels.clone();
    let engine = &app.running().map_err(|error| failed(error.message))?.engine;
    let end = TimeMs(now_ms());
    let start = TimeMs(end.0.saturating_sub(engine.lookback_ms()));
    let question = move |db: &Db| {
        let newest = newest(db, &selectors, start, end)?;
        Ok(text(&newest, &external, names))
    };
    let text = engine.ask(question).await.map_err(|error| match error {
        QueryError::Eval(EvalError::Source(source)) => failed(source.to_string()),
        other => (StatusCode::SERVICE_UNAVAILABLE, other.to_string()),
    })?;
    Ok((text, names))
}

type Row = (Arc<Labels>, i64, Newest);

/// By name, and then by labels; each series once, however many selectors select it.
fn newest(db: &Db, selectors: &[Vec<Matcher>], start: TimeMs, end: TimeMs) -> Result<Vec<Row>, SourceError> {
    let mut rows: BTreeMap<Arc<Labels>, (i64, Newest)> = BTreeMap::new();
    for matchers in selectors {
        for series in db.view().select(&Selection { matchers, start, end })? {
            if let Some(newest) = newest_of(&series) {
                rows.insert(series.labels, newest);
            }
        }
    }
    let mut rows: Vec<Row> =
        rows.into_iter().map(|(labels, (time, newest))| (labels, time, newest)).collect();
    rows.sort_by(|(a, ..), (b, ..)| a.value(NAME).cmp(b.value(NAME)));
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
            let is_shown = histogram.has_custom_buckets() && !is_stale(histogram.sum);
            is_shown.then(|| (point.time, Newest::Histogram(Arc::clone(histogram))))
        }
        _ => None,
    }
}

/// The page.
fn text(rows: &[Row], external: &Labels, names: Names) -> String {
    let mut out = String::new();
    let mut family: Option<(&str, bool)> = None;
    for (labels, time, newest) in rows {
        let name = labels.value(NAME);
        if name.is_empty() {
            // What has no name has no place on a page; the peer skips it as well.
            continue;
        }
        let is_histogram = matches!(newest, Newest::Histogram(_));
        if family != Some((name, is_histogram)) {
            family = Some((name, is_histogram));
            let _ = writeln!(
                out,
                "# TYPE {} {}",
                shown_name(name, names),
                if is_histogram { "histogram" } else { "untyped" }
            );
        }
        let own = labels.iter().filter(|(name, _)| *name != NAME);
        let added = external.iter().filter(|(name, _)| labels.get(name).is_none());
        // So that whoever scrapes this page does not put its own there.
        let has_instance = labels.get(INSTANCE).or(external.get(INSTANCE)).is_some();
        let instance = (!has_instance).then_some((INSTANCE, ""));
        // External ones go behind, in their order.
        let mut added: Vec<(&str, &str)> = added.chain(instance).collect();
        added.sort_unstable();
        let pairs: Vec<(&str, &str)> = own.chain(added).collect();
        let shown = Shown { name, labels: &pairs, time_ms: *time, names };
        match newest {
            Newest::Float(value) => shown.line(&mut out, "", None, *value),
            Newest::Histogram(histogram) => {
                let float = FloatHistogram::from(&**histogram);
                let mut cumulative = 0.0;
                for (bound, count) in float.custom_bounds.iter().zip(bucket_counts(&float)) {
                    cumulative += count;
                    shown.line(&mut out, "_bucket", Some(*bound), cumulative);
                }
                shown.line(&mut out, "_bucket", Some(f64::INFINITY), float.count);
                shown.line(&mut out, "_sum", None, float.sum);
                shown.line(&mut out, "_count", None, float.count);
            }
        }
    }
    out
}

/// Observations in the bucket below each custom bound.
fn bucket_counts(histogram: &FloatHistogram) -> Vec<f64> {
    let mut counts = vec![0.0; histogram.custom_bounds.len()];
    for bucket in &histogram.positive {
        // The one above the last bound has none.
        if let Some(count) = usize::try_from(bucket.index).ok().and_then(|index| counts.get_mut(index)) {
            *count += bucket.count;
        }
    }
    counts
}

/// Whether a name can be written without quotes.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn shown_name(name: &str, names: Names) -> String {
    match names {
        _ if is_plain(name) => name.to_owned(),
        Names::Quoted => quote(name),
        Names::Underscores => {
            let plain = |(index, c): (usize, char)| {
                let is_good =
                    c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && index > 0);
                if is_good { c } else { '_' }
            };
            name.chars().enumerate().map(plain).collect()
        }
    }
}

/// A series on the page.
struct Shown<'a> {
    name: &'a str,
    labels: &'a [(&'a str, &'a str)],
    time_ms: i64,
    names: Names,
}

impl Shown<'_> {
    /// One line of it; `le` is the bound of a bucket.
    fn line(&self, out: &mut String, suffix: &str, le: Option<f64>, value: f64) {
        let Self { name, labels, time_ms, names } = *self;
        let name = shown_name(&format!("{name}{suffix}"), names);
        let is_outside = is_plain(&name);
        if is_outside {
            out.push_str(&name);
        }
        let mut before = '{';
        let mut next = |out: &mut String| {
            out.push(before);
            before = ',';
        };
        if !is_outside {
            next(out);
            out.push_str(&name);
        }
        for (label, text) in labels {
            next(out);
            out.push_str(&shown_name(label, names));
            out.push_str("=\"");
            push_escaped(out, text);
            out.push('"');
        }
        if let Some(le) = le {
            next(out);
            out.push_str("le=\"");
            let _ = write_general_float(out, le);
            out.push('"');
        }
        if before == ',' {
            out.push('}');
        }
        out.push(' ');
        // Writing to a String does not fail.
        let _ = write_general_float(out, value);
        let _ = writeln!(out, " {time_ms}");
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::histogram::{Buckets, CUSTOM_BUCKETS_SCHEMA, Counts, Span};

    use super::*;

    #[test]
    fn a_page_has_one_type_for_each_name_and_the_external_labels() {
        let labels = |pairs: &[(&str, &str)]| Arc::new(Labels::from_pairs(pairs.iter().copied()));
        let histogram = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_bounds: Arc::from([0.5, 1.0, 2.0]),
            positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }],
            counts: Counts::Int(Buckets {
                count: 7,
                zero_count: 0,
                positive: vec![1, 2, 4],
                negative: vec![],
            }),
            ..Histogram::without_observations(9.5, false)
        };
        let rows: Vec<Row> = vec![
            (labels(&[("job", "nameless")]), 0, Newest::Float(1.0)),
            (labels(&[(NAME, "a.b"), ("x y", "é")]), 5, Newest::Float(f64::NAN)),
            (labels(&[(NAME, "h"), ("instance", "i")]), 6, Newest::Histogram(Arc::new(histogram))),
            (labels(&[(NAME, "up"), ("env", "own"), ("job", "a\"\\\n")]), 7, Newest::Float(1e21)),
            (labels(&[(NAME, "up"), ("job", "b")]), 8, Newest::Float(f64::INFINITY)),
        ];
        let external = Labels::from_pairs([("env", "dev"), ("zone", "z")]);
        let want = "# TYPE a_b untyped\n\
                    a_b{x_y=\"é\",env=\"dev\",instance=\"\",zone=\"z\"} NaN 5\n\
                    # TYPE h histogram\n\
                    h_bucket{instance=\"i\",env=\"dev\",zone=\"z\",le=\"0.5\"} 1 6\n\
                    h_bucket{instance=\"i\",env=\"dev\",zone=\"z\",le=\"1\"} 1 6\n\
                    h_bucket{instance=\"i\",env=\"dev\",zone=\"z\",le=\"2\"} 3 6\n\
                    h_bucket{instance=\"i\",env=\"dev\",zone=\"z\",le=\"+Inf\"} 7 6\n\
                    h_sum{instance=\"i\",env=\"dev\",zone=\"z\"} 9.5 6\n\
                    h_count{instance=\"i\",env=\"dev\",zone=\"z\"} 7 6\n\
                    # TYPE up untyped\n\
                    up{env=\"own\",job=\"a\\\"\\\\\\n\",instance=\"\",zone=\"z\"} 1e+21 7\n\
                    up{job=\"b\",env=\"dev\",instance=\"\",zone=\"z\"} +Inf 8\n";
        assert_eq!(text(&rows, &external, Names::Underscores), want);
        let quoted = text(&rows[1..2], &Labels::empty(), Names::Quoted);
        assert_eq!(quoted, "# TYPE \"a.b\" untyped\n{\"a.b\",\"x y\"=\"é\",instance=\"\"} NaN 5\n");
    }

    #[test]
    fn buckets_lie_at_their_bounds() {
        let histogram = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_bounds: Arc::from([0.5, 1.0, 2.0]),
            positive_spans: vec![Span { offset: 1, length: 1 }, Span { offset: 1, length: 1 }],
            counts: Counts::Int(Buckets { count: 5, zero_count: 0, positive: vec![2, 3], negative: vec![] }),
            ..Histogram::without_observations(1.0, false)
        };
        // What lies above the last bound is only in the count.
        assert_eq!(bucket_counts(&FloatHistogram::from(&histogram)), [0.0, 2.0, 0.0]);
    }

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
