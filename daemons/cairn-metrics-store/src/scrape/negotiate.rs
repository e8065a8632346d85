//! Which format an answer is in: its `Content-Type`, or what the job falls back to.

use cairn_model::gotext::quote;
use cairn_wire::exposition::Format;

use crate::config::protocol::ScrapeProtocol;

/// The format to read an answer as.
///
/// # Errors
/// Prometheus's words, when the answer does not say what it is and the job has no fallback.
pub(crate) fn format_of(content_type: &str, fallback: Option<ScrapeProtocol>) -> Result<Format, String> {
    let (reason, cause) = if content_type.is_empty() {
        let reason = "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol \
                      specified for target";
        (reason.to_owned(), None)
    } else {
        match media_type(content_type) {
            Ok(media) => {
                if let Some(format) = Format::ALL.into_iter().find(|format| format.media_type() == media) {
                    return Ok(format);
                }
                let sent = quote(content_type);
                let reason = format!(
                    "received unsupported Content-Type {sent} and no fallback_scrape_protocol specified for target"
                );
                (reason, None)
            }
            Err(cause) => {
                let sent = quote(content_type);
                let reason =
                    format!("cannot parse Content-Type {sent} and no fallback_scrape_protocol for target");
                (reason, Some(cause))
            }
        }
    };
    match (fallback, cause) {
        (Some(protocol), _) => Ok(protocol.format()),
        (None, None) => Err(reason),
        (None, Some(cause)) => Err(format!("{reason}\n{cause}")),
    }
}

/// The media type in lower case, the parameters checked, as Go's `mime` package has it.
fn media_type(text: &str) -> Result<String, &'static str> {
    let (media, mut rest) = text.split_once(';').map_or((text, None), |(media, rest)| (media, Some(rest)));
    let media = media.trim().to_ascii_lowercase();
    check_media(&media)?;
    let mut seen: Vec<String> = Vec::new();
    while let Some(parameters) = rest {
        let parameters = parameters.trim_start();
        // A semicolon at the end is forgiven.
        if parameters.is_empty() {
            break;
        }
        let (name, after) = token(parameters);
        let after = after.trim_start().strip_prefix('=').map(str::trim_start);
        let value = after.filter(|_| !name.is_empty()).and_then(parameter_value);
        let Some((_, after)) = value else { return Err("mime: invalid media parameter") };
        let name = name.to_ascii_lowercase();
        if seen.contains(&name) {
            return Err("mime: duplicate parameter name");
        }
        seen.push(name);
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(more) => Some(more),
            None if after.is_empty() => None,
            None => return Err("mime: invalid media parameter"),
        };
    }
    Ok(media)
}

fn check_media(media: &str) -> Result<(), &'static str> {
    let (kind, rest) = token(media);
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if rest.is_empty() {
        return Ok(());
    }
    let Some(rest) = rest.strip_prefix('/') else { return Err("mime: expected slash after first token") };
    let (subtype, rest) = token(rest);
    if subtype.is_empty() {
        return Err("mime: expected token after slash");
    }
    if rest.is_empty() { Ok(()) } else { Err("mime: unexpected content after media subtype") }
}

/// A token of RFC 7231 and what follows.
fn token(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c);
    text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()))
}

/// A token or a quoted text, and what follows.
fn parameter_value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Some(token(text)).filter(|(value, _)| !value.is_empty());
    };
    let mut is_escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some((&quoted[..at], &quoted[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (content_type, want) in [
            ("text/plain; version=0.0.4; charset=utf-8", Format::Text),
            ("Text/Plain", Format::Text),
            ("text/plain;", Format::Text),
            ("text/plain; a=\"b;\\\"c\"", Format::Text),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values",
                Format::OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                Format::Protobuf,
            ),
        ] {
            assert_eq!(format_of(content_type, None), Ok(want), "{content_type}");
            let fallback = Some(ScrapeProtocol::PrometheusText0);
            assert_eq!(format_of(content_type, fallback), Ok(want), "{content_type}");
        }
        for content_type in ["", "text/html", "nonsense/", ";"] {
            let fallback = Some(ScrapeProtocol::OpenMetricsText1);
            assert_eq!(format_of(content_type, fallback), Ok(Format::OpenMetrics), "{content_type}");
        }
    }

    #[test]
    fn refusals_in_the_words_of_prometheus() {
        let unparsable = |text: &str, cause: &str| {
            format!(
                "cannot parse Content-Type \"{text}\" and no fallback_scrape_protocol for target\nmime: {cause}"
            )
        };
        for (content_type, want) in [
            (
                "",
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for \
                 target"
                    .to_owned(),
            ),
            (
                "text/html; charset=utf-8",
                "received unsupported Content-Type \"text/html; charset=utf-8\" and no fallback_scrape_protocol \
                 specified for target"
                    .to_owned(),
            ),
            ("text/", unparsable("text/", "expected token after slash")),
            ("text plain", unparsable("text plain", "expected slash after first token")),
            ("text/plain x", unparsable("text/plain x", "unexpected content after media subtype")),
            (";a=b", unparsable(";a=b", "no media type")),
            ("text/plain; a", unparsable("text/plain; a", "invalid media parameter")),
            ("text/plain; a=b; A=c", unparsable("text/plain; a=b; A=c", "duplicate parameter name")),
        ] {
            assert_eq!(format_of(content_type, None), Err(want), "{content_type}");
        }
    }
}
