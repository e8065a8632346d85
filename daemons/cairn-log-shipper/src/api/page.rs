//! The page at `/`: destinations, then files with offsets and lag. No script, no external part.

use std::fmt::Write;
use std::sync::Arc;

use crate::positions::Entry;
use crate::queue::Queue;
use crate::shipper::DestinationStatus;
use crate::time::unix_seconds;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>cairn-log-shipper</title>\
    <style>body{font:14px/1.5 system-ui,sans-serif;margin:2em}table{border-collapse:collapse;margin-bottom:2em}\
    td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:left}td.n{text-align:right}.bad{color:#b00}</style></head><body>\
    <h1>cairn-log-shipper</h1>\n";

/// Renders the page.
pub(super) fn render(entries: &[Arc<Entry>], destinations: &[DestinationStatus], queue: &Queue) -> String {
    let mut out = String::from(HEAD);
    write_destinations(&mut out, destinations);
    let _ = writeln!(out, "<p>Queue: {} of {} bytes</p>", queue.used_bytes(), queue.limit_bytes());
    write_files(&mut out, entries);
    out.push_str("<p><a href=\"/metrics\">metrics</a></p></body></html>\n");
    out
}

fn write_destinations(out: &mut String, destinations: &[DestinationStatus]) {
    out.push_str("<h2>Destinations</h2>\n<table><tr><th>name</th><th>url</th><th>last success</th><th>state</th></tr>\n");
    let now = unix_seconds();
    for one in destinations {
        let success = one
            .state
            .last_success_s
            .map_or_else(|| "never".to_owned(), |at| format!("{} s ago", now.saturating_sub(at)));
        let (class, text) = match &one.state.last_error {
            Some(error) => ("bad", format!("{} failed attempts: {error}", one.state.failed_attempts)),
            None => ("", "ok".to_owned()),
        };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{success}</td><td class=\"{class}\">{}</td></tr>",
            escape(&one.settings.name),
            escape(&one.settings.url.to_string()),
            escape(&text),
        );
    }
    out.push_str("</table>\n");
}

fn write_files(out: &mut String, entries: &[Arc<Entry>]) {
    out.push_str(
        "<h2>Files</h2>\n<table><tr><th>file</th><th>state</th><th>size</th><th>read</th><th>acknowledged</th>\
         <th>lag</th><th>lines read</th></tr>\n",
    );
    let mut rows: Vec<_> = entries.iter().map(|entry| (entry.about(), entry)).collect();
    rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    for (about, entry) in rows {
        let Some(open) = about.open else { continue };
        let state = if open.is_rotated { "rotated, waiting for late writers" } else { "tailing" };
        let acknowledged = entry.ledger.committed().offset;
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{state}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{acknowledged}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&about.path),
            open.size,
            about.read.offset,
            open.size.saturating_sub(acknowledged),
            entry.lines.load(std::sync::atomic::Ordering::Relaxed),
        );
    }
    out.push_str("</table>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_bring_markup() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
        let page = render(&[], &[], &Queue::new(100, || {}));
        assert!(page.ends_with("</html>\n"));
    }
}
