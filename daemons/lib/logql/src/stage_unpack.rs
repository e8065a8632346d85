//! `| unpack`: what Promtail's pack stage packed.

use std::borrow::Cow;

use crate::json_scan::{self, Event, Kind, Step};
use crate::labelset::LabelSet;
use crate::stage_json::{JSON_ERROR, sanitize};

/// The member that holds the original line.
const ENTRY: &[u8] = b"_entry";

/// Runs `| unpack`: with a member `_entry` that becomes the line and the other texts become labels; without, nothing
/// changes.
pub(crate) fn run<'l>(line: Cow<'l, [u8]>, labels: &mut LabelSet<'_>) -> Cow<'l, [u8]> {
    if line.is_empty() {
        return line;
    }
    if line[0] != b'{' {
        labels.set_error(JSON_ERROR, "expecting json object(6), but it is not");
        return line;
    }
    let mut entry: Option<String> = None;
    let mut found: Vec<(String, String)> = Vec::new();
    let result = json_scan::each_member(&line, &mut |event| {
        if let Event::Member { key, value, kind: Kind::String } = event {
            let value = json_scan::string_value(value).into_owned();
            if *key == *ENTRY {
                entry = Some(value);
            } else {
                let key = String::from_utf8_lossy(&key);
                let name = sanitize(&key, true);
                found.push((labels.parsed_name(name).into_owned(), value));
            }
        }
        Step::SkipObject
    });
    if let Err(error) = result {
        labels.set_error(JSON_ERROR, &error.to_string());
        return line;
    }
    let Some(entry) = entry else { return line };
    for (name, value) in found.iter().filter(|(name, _)| !name.is_empty()) {
        labels.set(name, value);
    }
    Cow::Owned(entry.into_bytes())
}
