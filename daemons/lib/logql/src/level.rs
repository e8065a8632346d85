//! `detected_level` and `service_name`: the two labels that the store adds by itself.
//!
//! Pure functions of an entry, so that the write path and the tests' oracle agree.

use cairn_model::Labels;

use crate::stage_logfmt::LogfmtReader;

/// Where `service_name` comes from when a stream has none, in order of preference.
pub const SERVICE_NAME_SOURCES: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// The value of `service_name` when nothing tells it.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// The `service_name` to add to a stream: `None` when it has one already.
pub fn service_name(labels: &Labels) -> Option<&str> {
    if labels.get("service_name").is_some() {
        return None;
    }
    Some(SERVICE_NAME_SOURCES.iter().find_map(|name| labels.get(name)).unwrap_or(UNKNOWN_SERVICE))
}

/// Names that hold a level, the earlier the better.
const LEVEL_NAMES: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

/// The value of `detected_level` when nothing tells it.
pub const UNKNOWN_LEVEL: &str = "unknown";

/// The normal name of a known level in any case and spelling.
pub fn normalize(word: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 14] = [
        ("trace", "trace"),
        ("trc", "trace"),
        ("debug", "debug"),
        ("dbg", "debug"),
        ("info", "info"),
        ("inf", "info"),
        ("information", "info"),
        ("warn", "warn"),
        ("wrn", "warn"),
        ("warning", "warn"),
        ("error", "error"),
        ("err", "error"),
        ("critical", "critical"),
        ("fatal", "fatal"),
    ];
    KNOWN.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
}

/// The level of an entry, as Loki's `discover_log_levels` finds it: from a label or metadata of the stream, the OTLP
/// severity number, the fields of a JSON or logfmt line, a word of the line; else `unknown`. A value of an unknown
/// level is kept as it is when it stands in labels or metadata. Metadata named `detected_level` wins: whoever stores
/// the entry replaces it with the answer, which is the same level in its normal spelling.
pub fn detect<'a>(stream: &'a Labels, metadata: &'a Labels, line: &[u8]) -> &'a str {
    if let Some(value) = metadata.get("detected_level") {
        return normalize(value).unwrap_or(value);
    }
    for name in LEVEL_NAMES {
        if let Some(value) = metadata.get(name).or_else(|| stream.get(name)) {
            return normalize(value).unwrap_or(value);
        }
    }
    if let Some(level) = metadata.get("severity_number").and_then(from_severity_number) {
        return level;
    }
    from_line(line)
}

fn from_severity_number(text: &str) -> Option<&'static str> {
    Some(match text.parse::<u32>().ok()? {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => return None,
    })
}

/// The level that the text of a line tells.
pub fn from_line(line: &[u8]) -> &'static str {
    let trimmed = line.trim_ascii();
    let field = if trimmed.first() == Some(&b'{') && trimmed.last() == Some(&b'}') {
        from_json(trimmed)
    } else if memchr::memchr(b'=', line).is_some() {
        from_logfmt(line)
    } else {
        None
    };
    field.or_else(|| from_words(line)).unwrap_or(UNKNOWN_LEVEL)
}

/// String members with a level's name on the first two levels of nesting; the outer level is asked first.
fn from_json(line: &[u8]) -> Option<&'static str> {
    let mut best: Option<(usize, String)> = None;
    crate::json_scan::scan_strings(line, 2, &mut |depth, key, value| {
        if let Some(at) = LEVEL_NAMES.iter().position(|n| *n == key) {
            let rank = depth * LEVEL_NAMES.len() + at;
            if best.as_ref().is_none_or(|(r, _)| rank < *r) {
                best = Some((rank, value.to_owned()));
            }
        }
    });
    best.and_then(|(_, value)| normalize(&value))
}

fn from_logfmt(line: &[u8]) -> Option<&'static str> {
    let mut best: Option<(usize, Vec<u8>)> = None;
    let mut reader = LogfmtReader::new(line);
    while let Some(pair) = reader.next_pair() {
        let at = LEVEL_NAMES.iter().position(|n| n.as_bytes().eq_ignore_ascii_case(pair.key));
        if let Some(at) = at
            && best.as_ref().is_none_or(|(r, _)| at < *r)
        {
            best = Some((at, pair.value.into_owned()));
        }
    }
    best.and_then(|(_, value)| normalize(std::str::from_utf8(&value).ok()?))
}

/// The first known word of the line, whichever it is.
fn from_words(line: &[u8]) -> Option<&'static str> {
    const WORDS: [&str; 9] =
        ["trace", "debug", "fatal", "critical", "error", "err", "warning", "warn", "info"];
    let mut at = 0;
    while at < line.len() {
        let first = line[at].to_ascii_lowercase();
        let starts_word = at == 0 || is_left_neighbour(line[at - 1]);
        if starts_word && matches!(first, b't' | b'd' | b'f' | b'c' | b'e' | b'w' | b'i') {
            for word in WORDS {
                let end = at + word.len();
                if line.get(at..end).is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()))
                    && line.get(end).is_none_or(|b| is_right_neighbour(*b))
                {
                    return normalize(word);
                }
            }
        }
        at += 1;
    }
    None
}

fn is_left_neighbour(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'[' | b'(' | b'{' | b'"' | b'\'' | b'=' | b'|')
}

fn is_right_neighbour(byte: u8) -> bool {
    is_left_neighbour(byte) || matches!(byte, b']' | b')' | b'}' | b':' | b',' | b'!')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_lines() {
        for (line, want) in [
            (r#"{"severity":"notice","msg":"error x"}"#, "error"),
            ("lvl=weird msg=hi", "unknown"),
            ("INFO error", "info"),
            ("E1121 fatal=", "fatal"),
            ("panic: runtime", "unknown"),
            ("an error.", "unknown"),
            ("<error>", "unknown"),
            ("x-error", "unknown"),
            ("errors", "unknown"),
            ("[WARNING] x", "warn"),
            (r#"{"a":{"level":"dbg"}}"#, "debug"),
            (r#"{"a":{"b":{"level":"dbg"}}}"#, "unknown"),
            ("LEVEL=ERR x=1", "error"),
            ("", "unknown"),
        ] {
            assert_eq!(from_line(line.as_bytes()), want, "{line}");
        }
    }

    #[test]
    fn labels_come_first_and_keep_unknown_words() {
        let stream = Labels::from_pairs([("level", "notice")]);
        assert_eq!(detect(&stream, &Labels::empty(), b"error"), "notice");
        let metadata = Labels::from_pairs([("severity_number", "17")]);
        assert_eq!(detect(&Labels::empty(), &metadata, b"info"), "error");
        assert_eq!(detect(&Labels::empty(), &Labels::from_pairs([("Level", "WRN")]), b""), "warn");
    }

    #[test]
    fn service_names() {
        let of = |pairs: &[(&str, &str)]| {
            service_name(&Labels::from_pairs(pairs.iter().copied())).map(str::to_owned)
        };
        assert_eq!(of(&[("job", "j"), ("app", "a")]).as_deref(), Some("a"));
        assert_eq!(of(&[("env", "x")]).as_deref(), Some("unknown_service"));
        assert_eq!(of(&[("service_name", "x")]), None);
    }
}
