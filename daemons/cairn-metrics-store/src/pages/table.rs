//! A query's result as a table.

use cairn_model::number::general_float;
use cairn_model::{FloatHistogram, Labels, TimeMs};
use cairn_promql::{MatrixSeries, Sample, Value};
use maud::{Markup, html};

use super::format;

/// Most rows; further ones are counted. A browser is slow beyond.
const MAX_ROWS: usize = 1000;
/// Most samples of one series of a range vector.
const MAX_SAMPLES: usize = 200;

/// The table.
pub(super) fn table(value: &Value) -> Markup {
    let (rows, n): (Vec<(Markup, Markup)>, usize) = match value {
        Value::Scalar(point) => (vec![(html! { "scalar" }, number(point.value))], 1),
        Value::String(_, text) => (vec![(html! { "string" }, html! { (text) })], 1),
        Value::Vector(samples) => {
            let shown = samples.iter().take(MAX_ROWS).map(|one| (metric(&one.labels), sample(&one.value)));
            (shown.collect(), samples.len())
        }
        Value::Matrix(series) => {
            let shown = series.iter().take(MAX_ROWS).map(|one| (metric(&one.labels), stored(one)));
            (shown.collect(), series.len())
        }
    };
    if rows.is_empty() {
        return html! { p.muted { "Nothing: no series matches, or none has a sample then." } };
    }
    html! {
        table.wide.result {
            thead { tr { th { "Series" } th.n { "Value" } } }
            tbody { @for (series, value) in &rows { tr { td.url { (series) } td.n { (value) } } } }
        }
        @if n > MAX_ROWS { p.muted { (format::count((n - MAX_ROWS) as u64)) " more are not shown." } }
    }
}

/// `name{a="b"}`; what has no labels at all is `{}`.
pub(super) fn metric(labels: &Labels) -> Markup {
    let name = labels.value("__name__");
    let others: Vec<_> = labels.iter().filter(|(name, _)| *name != "__name__").collect();
    html! {
        b { (name) }
        @if !others.is_empty() || name.is_empty() {
            "{"
            @for (index, (name, value)) in others.iter().enumerate() {
                @if index > 0 { ", " }
                (name) "=" span.value { (format!("{value:?}")) }
            }
            "}"
        }
    }
}

fn number(value: f64) -> Markup {
    html! { (general_float(value)) }
}

fn sample(sample: &Sample) -> Markup {
    match sample {
        Sample::Float(value) => number(*value),
        Sample::Histogram(histogram) => buckets(histogram),
    }
}

/// A native histogram: count and sum, its buckets on demand.
fn buckets(histogram: &FloatHistogram) -> Markup {
    let zero = std::iter::once(histogram.zero_bucket());
    let all = histogram.negative_buckets().chain(zero).chain(histogram.positive_buckets());
    html! {
        details {
            summary {
                "count " (general_float(histogram.count)) ", sum " (general_float(histogram.sum))
            }
            table {
                @for bucket in all.filter(|bucket| bucket.count != 0.0) {
                    tr {
                        td.n {
                            (if bucket.includes_lower { "[" } else { "(" }) (general_float(bucket.lower)) ", "
                            (general_float(bucket.upper)) (if bucket.includes_upper { "]" } else { ")" })
                        }
                        td.n { (general_float(bucket.count)) }
                    }
                }
            }
        }
    }
}

/// The samples of a range vector with their times, newest last.
fn stored(series: &MatrixSeries) -> Markup {
    let n = series.points.len() + series.histograms.len();
    let skipped = series.points.len().saturating_sub(MAX_SAMPLES);
    let at = |time: TimeMs| html! { " " span.muted { "@ " (format::time(time)) } };
    html! {
        @if n > MAX_SAMPLES { div.muted { "the last of " (n) } }
        @for point in &series.points[skipped..] { div { (number(point.value)) (at(point.time)) } }
        @for one in series.histograms.iter().rev().take(MAX_SAMPLES).rev() {
            div { (buckets(&one.histogram)) (at(one.time)) }
        }
    }
}
