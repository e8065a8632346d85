//! Writing the families as text 0.0.4 and as OpenMetrics.
//!
//! In text 0.0.4 a counter may have any name. OpenMetrics wants `_total` on counters, so there the same samples under
//! the same names have the type `unknown`: a scrape stores the same series either way.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use cairn_http::exposition::{Format, push_escaped};

use super::{BUCKETS, FlaskMetrics, METHODS, MethodMetrics, STATUSES};
use crate::routes::{ROUTES, Route};

impl FlaskMetrics {
    /// Writes all families; the end marker of OpenMetrics is the caller's.
    pub fn encode(&self, out: &mut String, format: Format) {
        let counter = match format {
            Format::Text => "counter",
            Format::OpenMetrics => "unknown",
        };
        family(out, "flask_app_request_count", counter, "Total number of requests");
        for (route, method, metrics) in self.series() {
            for (status, count) in STATUSES.iter().zip(&metrics.by_status) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    line(
                        out,
                        format_args!(
                            "flask_app_request_count{{method=\"{method}\",endpoint=\"{}\",status=\"{status}\"}} {count}",
                            route.template(),
                        ),
                    );
                }
            }
        }
        family(out, "flask_app_request_duration_seconds", "histogram", "Request duration in seconds");
        for (route, method, metrics) in self.series() {
            encode_histogram(out, route, method, metrics);
        }
        family(out, "flask_app_active_requests", "gauge", "Number of active requests");
        line(out, format_args!("flask_app_active_requests {}", self.active.load(Ordering::Relaxed)));
        family(out, "flask_app_error_count", counter, "Total number of errors");
        for (route, metrics) in ROUTES.iter().zip(&self.by_route) {
            let errors = metrics.errors.load(Ordering::Relaxed);
            if errors > 0 {
                line(
                    out,
                    format_args!("flask_app_error_count{{endpoint=\"{}\"}} {errors}", route.template()),
                );
            }
        }
        family(out, "flask_app_info", "gauge", "Application info");
        out.push_str("flask_app_info{version=\"");
        push_escaped(out, env!("CARGO_PKG_VERSION"));
        out.push_str("\",environment=\"");
        push_escaped(out, &self.environment);
        out.push_str("\"} 1\n");
    }

    /// Every pair of route and method, those without requests included.
    fn series(&self) -> impl Iterator<Item = (Route, &'static str, &MethodMetrics)> {
        ROUTES.into_iter().zip(&self.by_route).flat_map(|(route, by_route)| {
            METHODS
                .into_iter()
                .zip(&by_route.by_method)
                .map(move |(method, metrics)| (route, method, metrics))
        })
    }
}

fn encode_histogram(out: &mut String, route: Route, method: &str, metrics: &MethodMetrics) {
    // Read once, so that the count equals the last bucket even while requests come in.
    let counts = metrics.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return;
    }
    const NAME: &str = "flask_app_request_duration_seconds";
    let labels = format!("method=\"{method}\",endpoint=\"{}\"", route.template());
    let mut below = 0;
    for (bound, count) in BUCKETS.iter().zip(&counts) {
        below += count;
        // `{:?}` writes 1.0 and 0.005, as the Python client does.
        line(out, format_args!("{NAME}_bucket{{{labels},le=\"{bound:?}\"}} {below}"));
    }
    line(out, format_args!("{NAME}_bucket{{{labels},le=\"+Inf\"}} {total}"));
    line(out, format_args!("{NAME}_count{{{labels}}} {total}"));
    let seconds = std::time::Duration::from_nanos(metrics.sum_ns.load(Ordering::Relaxed)).as_secs_f64();
    line(out, format_args!("{NAME}_sum{{{labels}}} {seconds}"));
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn encoded(format: Format) -> String {
        let metrics = FlaskMetrics::new("sand\"box");
        for _ in 0..3 {
            metrics.started();
        }
        metrics.finished(Route::ApiData, "GET", 200, Duration::from_millis(30));
        metrics.finished(Route::Error, "GET", 500, Duration::from_secs(11));
        let mut out = String::new();
        metrics.encode(&mut out, format);
        out
    }

    #[test]
    fn text_is_exact() {
        let version = env!("CARGO_PKG_VERSION");
        let want = include_str!("../../testdata/metrics/flask.txt").replace("@VERSION@", version);
        assert_eq!(encoded(Format::Text), want);
    }

    #[test]
    fn openmetrics_differs_in_the_counters_types_only() {
        let want = encoded(Format::Text)
            .replace("# TYPE flask_app_request_count counter", "# TYPE flask_app_request_count unknown")
            .replace("# TYPE flask_app_error_count counter", "# TYPE flask_app_error_count unknown");
        assert_eq!(encoded(Format::OpenMetrics), want);
    }
}
