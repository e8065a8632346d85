//! The page as text 0.0.4.

use std::fmt::Write;

use cairn_http::exposition::push_escaped;
use cairn_model::number::write_general_float;
use cairn_model::{FloatHistogram, Labels};
use cairn_wire::exposition::encode::custom_bucket_counts;

use super::form::{Names, is_plain};
use super::{NAME, Newest, Row};

/// The page. Native histograms with custom buckets are shown as the classic ones that they were; others have no place in
/// this form.
pub(super) fn page(rows: &[Row], external: &Labels, names: Names) -> String {
    let mut out = String::new();
    let mut family: Option<(&str, bool)> = None;
    for row in rows {
        let name = row.labels.value(NAME);
        let is_histogram = match &row.newest {
            Newest::Histogram(histogram) if !histogram.has_custom_buckets() => continue,
            newest => matches!(newest, Newest::Histogram(_)),
        };
        if family != Some((name, is_histogram)) {
            family = Some((name, is_histogram));
            let _ = writeln!(
                out,
                "# TYPE {} {}",
                names.quoted(name),
                if is_histogram { "histogram" } else { "untyped" }
            );
        }
        let pairs = row.pairs(external);
        let shown = Shown { name, labels: &pairs, time_ms: row.time_ms, names };
        match &row.newest {
            Newest::Float(value) => shown.line(&mut out, "", None, *value),
            Newest::Histogram(histogram) => {
                let float = FloatHistogram::from(&**histogram);
                let mut cumulative = 0.0;
                for (bound, count) in float.custom_bounds.iter().zip(custom_bucket_counts(&float)) {
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
        let full = format!("{name}{suffix}");
        let name = names.quoted(&full).into_owned();
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
            out.push_str(&names.quoted(label));
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
    use std::sync::Arc;

    use cairn_model::Histogram;
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
        let row = |pairs: &[(&str, &str)], time_ms, newest| Row { labels: labels(pairs), time_ms, newest };
        let native = Histogram::without_observations(1.0, false);
        let rows: Vec<Row> = vec![
            row(&[(NAME, "a.b"), ("x y", "é")], 5, Newest::Float(f64::NAN)),
            row(&[(NAME, "h"), ("instance", "i")], 6, Newest::Histogram(Arc::new(histogram))),
            row(&[(NAME, "native")], 6, Newest::Histogram(Arc::new(native))),
            row(&[(NAME, "up"), ("env", "own"), ("job", "a\"\\\n")], 7, Newest::Float(1e21)),
            row(&[(NAME, "up"), ("job", "b")], 8, Newest::Float(f64::INFINITY)),
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
        assert_eq!(page(&rows, &external, Names::Underscores), want);
        let quoted = page(&rows[..1], &Labels::empty(), Names::AsTheyAre);
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
        assert_eq!(custom_bucket_counts(&FloatHistogram::from(&histogram)), [0.0, 2.0, 0.0]);
    }
}
