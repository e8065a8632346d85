//! The page at `/`: destinations, then files with offsets and lag. No script, no external part.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_model::number::human_bytes;

use crate::positions::Entry;
use crate::queue::Queue;
use crate::shipper::DestinationStatus;
use crate::time::unix_seconds;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>cairn-log-shipper</title>\
    <style>body{font:14px/1.5 system-ui,sans-serif;margin:2em}table{border-collapse:collapse;margin-bottom:2em}\
    td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:left}.n{text-align:right}.bad{color:#b00}\
    .lag{background:#fe9;font-weight:bold}</style></head><body>\
    <h1>cairn-log-shipper</h1>\n";

/// Renders the page.
pub(super) fn render(entries: &[Arc<Entry>], destinations: &[DestinationStatus], queue: &Queue) -> String {
    let mut out = String::from(HEAD);
    write_destinations(&mut out, destinations);
    let (used, limit) = (queue.used_bytes() as u64, queue.limit_bytes() as u64);
    let _ = writeln!(out, "<p>Queue: {} of {}</p>", human_bytes(used), human_bytes(limit));
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
        "<h2>Files</h2>\n<table><tr><th>file</th><th>state</th><th class=\"n\">size</th><th class=\"n\">read</th>\
         <th class=\"n\">acknowledged</th><th class=\"n\">lag</th><th class=\"n\">lines read</th></tr>\n",
    );
    let mut rows: Vec<_> = entries.iter().map(|entry| (entry.about(), entry)).collect();
    rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    for (about, entry) in rows {
        let Some(open) = about.open else { continue };
        let state = if open.is_rotated { "rotated, waiting for late writers" } else { "tailing" };
        let acknowledged = entry.ledger.committed().offset;
        let _ = write!(out, "<tr><td>{}</td><td>{state}</td>", escape(&about.path));
        for bytes in [open.size, about.read.offset, acknowledged] {
            write_bytes(out, "n", bytes);
        }
        let lag = open.size.saturating_sub(acknowledged);
        write_bytes(out, if lag > 0 { "n lag" } else { "n" }, lag);
        let _ = writeln!(out, "<td class=\"n\">{}</td></tr>", entry.lines.load(Ordering::Relaxed));
    }
    out.push_str("</table>\n");
}

/// A cell with a size for people; the exact one shows when the pointer rests on it.
fn write_bytes(out: &mut String, class: &str, bytes: u64) {
    let _ = write!(out, "<td class=\"{class}\" title=\"{bytes} bytes\">{}</td>", human_bytes(bytes));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_disk::RealFs;

    use super::*;
    use crate::positions::{About, OpenState, Owner, Positions};
    use crate::receipt::Mark;
    use crate::tail::identity::{FileId, Head};

    #[test]
    fn names_cannot_bring_markup() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
        let page = render(&[], &[], &Queue::new(100, || {}));
        assert!(page.ends_with("</html>\n"));
    }

    #[test]
    fn a_file_that_lags_stands_out() {
        let about = |path: &str, offset| About {
            owner: Owner::Numbered(0),
            path: path.to_owned(),
            file: FileId { dev: 1, ino: 1, born: None },
            head: Head::default(),
            read: Mark { offset, ..Mark::default() },
            seen_s: 0,
            open: Some(OpenState { size: 3 << 20, is_rotated: false }),
        };
        let dir = tempfile::tempdir().unwrap();
        let (positions, _) = Positions::open(Arc::new(RealFs), dir.path(), Duration::ZERO).unwrap();
        let entries = [positions.add(about("/behind", 1 << 20)), positions.add(about("/through", 3 << 20))];
        let page = render(&entries, &[], &Queue::new(100, || {}));
        let row = |path: &str| page.lines().find(|line| line.contains(path)).unwrap();
        assert!(
            row("/behind").contains("<td class=\"n lag\" title=\"2097152 bytes\">2.0 MiB</td>"),
            "{page}"
        );
        assert!(row("/through").contains("<td class=\"n\" title=\"0 bytes\">0 B</td>"), "{page}");
        assert!(page.contains("<th class=\"n\">lag</th>"));
    }
}
