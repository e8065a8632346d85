//! Names of metrics and labels out of OTLP's, as Prometheus's translator makes them.

use cairn_model::gotext::quote;

/// Most bytes of a name within an error.
const MAX_SHOWN_BYTES: usize = 200;

/// UCUM's units in words.
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// Units behind a slash.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// How names are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Whether unit and kind are appended.
    pub has_suffixes: bool,
    /// Whether characters that are not plain become underscores.
    pub is_escaping: bool,
}

impl Strategy {
    /// The strategy of that name.
    pub fn of(name: &str) -> Option<Self> {
        let (has_suffixes, is_escaping) = match name {
            "UnderscoreEscapingWithSuffixes" | "" => (true, true),
            "UnderscoreEscapingWithoutSuffixes" => (false, true),
            "NoUTF8EscapingWithSuffixes" => (true, false),
            "NoTranslation" => (false, false),
            _ => return None,
        };
        Some(Self { has_suffixes, is_escaping })
    }
}

/// What matters of a metric's kind for its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Other,
}

/// The name of a metric.
///
/// # Errors
/// In the peer's words: nothing is left of it.
pub(super) fn metric(name: &str, unit: &str, kind: Kind, strategy: Strategy) -> Result<String, String> {
    if !strategy.is_escaping {
        return Ok(if strategy.has_suffixes { with_suffixes(name, unit, kind) } else { name.to_owned() });
    }
    let mut made = if strategy.has_suffixes {
        tokens(name, unit, kind).join("_")
    } else {
        let parts = name.split(|c: char| !is_plain(c) && c != '_').filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("_")
    };
    if made.starts_with(|c: char| c.is_ascii_digit()) {
        made.insert(0, '_');
    }
    if made.is_empty() {
        return Err(format!("normalization for metric {} resulted in empty name", quote(clipped(name))));
    }
    if made != name && made.chars().all(|c| c == '_') {
        let (name, made) = (quote(clipped(name)), quote(clipped(&made)));
        return Err(format!("normalization for metric {name} resulted in invalid name {made}"));
    }
    Ok(made)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn tokens(name: &str, unit: &str, kind: Kind) -> Vec<String> {
    let mut tokens: Vec<String> =
        name.split(|c| !is_plain(c)).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let (main, per) = units(unit);
    let (mut main, per) = (cleaned(&main), cleaned(&per));
    if tokens.contains(&main) {
        main.clear();
    }
    let mut per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) }.to_owned();
    if tokens.contains(&per) {
        per.clear();
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(&main).to_owned();
    }
    tokens.extend([main, per].into_iter().filter(|part| !part.is_empty()));
    let mut append_last = |word: &str| {
        tokens.retain(|token| token != word);
        tokens.push(word.to_owned());
    };
    if kind == Kind::Counter {
        append_last("total");
    }
    // Some senders use the unit "1" for counters of things, so only gauges count as ratios.
    if unit == "1" && kind == Kind::Gauge {
        append_last("ratio");
    }
    tokens
}

/// The names stay as they are, whatever is in them.
fn with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let mut name = name.to_owned();
    let cut = |name: &mut String, suffix: &str| {
        // With the character before it, which is taken for a delimiter.
        if name.ends_with(suffix) && name.len() > suffix.len() + 1 {
            let mut end = name.len() - suffix.len() - 1;
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.truncate(end);
        }
    };
    let is_ratio = unit == "1" && kind == Kind::Gauge;
    if is_ratio {
        cut(&mut name, "ratio");
    }
    if kind == Kind::Counter {
        cut(&mut name, "total");
    }
    let (main, per) = units(unit);
    if !per.is_empty() {
        cut(&mut name, &per);
    }
    if !main.is_empty() && !name.ends_with(&main) {
        name = format!("{name}_{main}");
    }
    if !per.is_empty() {
        name = format!("{name}_{per}");
    }
    if kind == Kind::Counter {
        name.push_str("_total");
    }
    if is_ratio {
        name.push_str("_ratio");
    }
    name
}

/// `By/s`: `bytes`, `per_second`. What is in braces is a remark.
fn units(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let named = |unit: &str, table: &[(&str, &str)]| {
        let unit = unit.trim();
        if unit.contains(['{', '}']) {
            return String::new();
        }
        table.iter().find(|(short, _)| *short == unit).map_or(unit, |(_, long)| *long).to_owned()
    };
    let per = named(per, &PER_UNITS);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    (named(main, &UNITS), per)
}

/// Plain characters, others as underscores, never two in a row.
fn cleaned(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_plain(c) { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out.strip_prefix('_').map(str::to_owned).unwrap_or(out)
}

/// How labels are named, besides the strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelNames {
    /// Whether `_a` becomes `key_a`.
    pub has_key_prefix: bool,
    /// Whether several underscores in a row stay.
    pub keeps_underscores: bool,
}

/// The name of a label.
///
/// # Errors
/// In the peer's words: nothing is left of it.
pub(super) fn label(name: &str, strategy: Strategy, names: LabelNames) -> Result<String, String> {
    if name.is_empty() {
        return Err("label name is empty".to_owned());
    }
    if !strategy.is_escaping {
        if name.chars().all(|c| c == '_') {
            return Err(format!("label name {} contains only underscores", quote(clipped(name))));
        }
        return Ok(name.to_owned());
    }
    let reserved = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let (inner, around) = match reserved {
        Some(inner) if !names.keeps_underscores && !inner.is_empty() => (inner, "__"),
        _ => (name, ""),
    };
    let mut made = String::from(around);
    for c in inner.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c != '_' || names.keeps_underscores || !made[around.len()..].ends_with('_') {
            made.push(c);
        }
    }
    made.push_str(around);
    if made.starts_with(|c: char| c.is_ascii_digit()) {
        made.insert_str(0, "key_");
    } else if names.has_key_prefix && made.starts_with('_') && !made.starts_with("__") {
        made.insert_str(0, "key");
    }
    if made.chars().all(|c| c == '_') {
        let (name, made) = (quote(clipped(name)), quote(clipped(&made)));
        return Err(format!("normalization for label name {name} resulted in invalid name {made}"));
    }
    Ok(made)
}

/// A name as it stands in an error: its first bytes, whole characters of them.
pub(super) fn clipped(name: &str) -> &str {
    let end = (0..=name.len().min(MAX_SHOWN_BYTES)).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, unit: &str, kind: Kind, strategy: &str) -> String {
        metric(name, unit, kind, Strategy::of(strategy).unwrap()).unwrap_or_else(|error| error)
    }

    #[test]
    fn names_of_metrics() {
        let (g, c, o) = (Kind::Gauge, Kind::Counter, Kind::Other);
        for (name, unit, kind, want) in [
            ("http.server.request.duration", "s", o, "http_server_request_duration_seconds"),
            ("requests.count", "1", c, "requests_count_total"),
            ("memory.usage", "By", g, "memory_usage_bytes"),
            ("cpu.utilization", "1", g, "cpu_utilization_ratio"),
            ("io", "By/s", g, "io_bytes_per_second"),
            ("io.bytes", "By", c, "io_bytes_total"),
            ("total.sent", "{packets}", c, "sent_total"),
            ("sent", "{packets}/s", c, "sent_per_second_total"),
            ("2xx", "", c, "_2xx_total"),
            ("a__b..c", "m/min", g, "a_b_c_meters_per_min"),
            ("t", "foo bar", g, "t_foo_bar"),
            ("日本", "", g, "normalization for metric \"日本\" resulted in empty name"),
        ] {
            assert_eq!(of(name, unit, kind, ""), want, "{name}");
        }
        for (strategy, want) in [
            ("UnderscoreEscapingWithoutSuffixes", "a_b__c"),
            ("NoUTF8EscapingWithSuffixes", "a.b__c_seconds_total"),
            ("NoTranslation", "a.b__c"),
        ] {
            assert_eq!(of("a.b__c", "s", c, strategy), want, "{strategy}");
        }
        assert_eq!(of("x_total", "", c, "NoUTF8EscapingWithSuffixes"), "x_total");
        assert_eq!(Strategy::of("x"), None);
    }

    #[test]
    fn names_of_labels() {
        let strategy = Strategy::of("").unwrap();
        let shipped = LabelNames { has_key_prefix: true, keeps_underscores: true };
        let plain = LabelNames { has_key_prefix: false, keeps_underscores: false };
        for (name, as_shipped, as_plain) in [
            ("http.method", "http_method", "http_method"),
            ("1a", "key_1a", "key_1a"),
            ("_a", "key_a", "_a"),
            ("a..b", "a__b", "a_b"),
            ("__a..b__", "__a__b__", "__a_b__"),
        ] {
            assert_eq!(label(name, strategy, shipped).as_deref(), Ok(as_shipped), "{name}");
            assert_eq!(label(name, strategy, plain).as_deref(), Ok(as_plain), "{name}");
        }
        assert!(label("..", strategy, shipped).is_err());
        assert_eq!(label("", strategy, plain).unwrap_err(), "label name is empty");
    }
}
