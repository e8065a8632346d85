//! `/metrics`: prometheus-client registries as OpenMetrics, or as text 0.0.4 for everybody else.
//!
//! prometheus-client writes OpenMetrics only. Text 0.0.4 names a counter's metadata with its `_total`, has no units,
//! no exemplars, no end marker and fewer types; [`to_text`] makes it so.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use prometheus_client::registry::Registry;

use crate::Body;

/// A form of exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text format 0.0.4, the default.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Chooses by the request's `Accept`. OpenMetrics must be asked for by name, and not less than plain text.
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let (mut open_metrics, mut text) = (0.0, 0.0);
        for value in headers.get_all(ACCEPT) {
            for item in value.to_str().unwrap_or("").split(',') {
                let mut parameters = item.split(';').map(str::trim);
                let name = parameters.next().unwrap_or("");
                let (mut q, mut is_known_version) = (1.0f32, true);
                for parameter in parameters {
                    match parameter.split_once('=') {
                        Some(("q", value)) => q = value.trim().parse().unwrap_or(0.0),
                        Some(("version", value)) => {
                            is_known_version = ["1.0.0", "0.0.1"].contains(&value.trim_matches('"'));
                        }
                        _ => {}
                    }
                }
                match name {
                    "application/openmetrics-text" if is_known_version => open_metrics = q.max(open_metrics),
                    "text/plain" => text = q.max(text),
                    _ => {}
                }
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Format::OpenMetrics } else { Format::Text }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes a registry in `format`, without OpenMetrics's end marker, so that other families can follow.
pub fn encode(registry: &Registry, format: Format) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail, and the crate's own encoders return nothing but the writer's error.
    let _ = prometheus_client::encoding::text::encode_registry(&mut out, registry);
    match format {
        Format::OpenMetrics => out,
        Format::Text => to_text(&out),
    }
}

/// The answer to `GET /metrics` with these registries' families.
pub fn respond(registry: &Registry, headers: &HeaderMap) -> Response<Body> {
    let format = Format::negotiate(headers);
    respond_with(encode(registry, format), format)
}

/// The answer with an exposition that was put together from parts; the end marker is added here.
pub fn respond_with(mut text: String, format: Format) -> Response<Body> {
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    response
}

/// Turns OpenMetrics text, as prometheus-client writes it, into text format 0.0.4.
pub fn to_text(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest.split_once(' ').unwrap_or((rest, "")));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                "stateset" | "gaugehistogram" => ("", "gauge"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take().filter(|(help_name, _)| *help_name == name) {
                push_all(&mut out, &["# HELP ", name, suffix, " ", text, "\n"]);
            }
            push_all(&mut out, &["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            push_all(&mut out, &[without_exemplar(line), "\n"]);
        }
    }
    out
}

/// Writes a label's value as both text formats want it between its quotes.
pub fn push_escaped(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

fn push_all(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

/// Cuts ` # {...} value` off a sample. A `#` inside a label's value is not an exemplar.
fn without_exemplar(line: &str) -> &str {
    let mut in_quotes = false;
    let mut is_escaped = false;
    for (offset, byte) in line.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            b'#' if !in_quotes => return line[..offset].trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    fn negotiate(accept: &'static str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        Format::negotiate(&headers)
    }

    #[test]
    fn negotiation() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(negotiate(prometheus), Format::OpenMetrics);
        assert_eq!(negotiate("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), Format::Text);
        assert_eq!(negotiate("*/*"), Format::Text);
        assert_eq!(negotiate("application/openmetrics-text;version=9.0.0"), Format::Text);
        assert_eq!(negotiate("application/openmetrics-text;q=0"), Format::Text);
        assert_eq!(Format::negotiate(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn counters_keep_their_total_in_both_forms() {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        counter.inc_by(3);
        registry.register("lines", "Lines read", counter);
        registry.register("depth", "Queue # depth", Gauge::<i64>::default());
        assert_eq!(
            encode(&registry, Format::Text),
            "# HELP lines_total Lines read.\n# TYPE lines_total counter\nlines_total 3\n\
             # HELP depth Queue # depth.\n# TYPE depth gauge\ndepth 0\n"
        );
        let open = encode(&registry, Format::OpenMetrics);
        assert!(open.contains("# TYPE lines counter\nlines_total 3\n"), "{open}");
    }

    #[test]
    fn what_only_openmetrics_has_is_left_out() {
        let open = "# HELP x X.\n# TYPE x histogram\n# UNIT x seconds\nx_bucket{le=\"1.0\",p=\"a#\\\"b\"} 2 # {id=\"7\"} 0.5\n# TYPE y unknown\ny 1\n# EOF\n";
        let want =
            "# HELP x X.\n# TYPE x histogram\nx_bucket{le=\"1.0\",p=\"a#\\\"b\"} 2\n# TYPE y untyped\ny 1\n";
        assert_eq!(to_text(open), want);
    }
}
