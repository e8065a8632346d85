//! Series notation: `metric{label="v"} 1 2+1x3 _x2 stale`.

use cairn_model::number::parse_float;
use cairn_model::{Labels, MatchOp};
use cairn_promql::source::STALE_NAN_BITS;

/// One slot of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slot {
    Empty,
    Value(f64),
    /// A native histogram, which this engine's sources do not have.
    Histogram,
}

/// Labels and slots of a line; `None` for start timestamps, which this engine's sources do not have either.
pub(crate) fn series(line: &str) -> Option<(Labels, Vec<Slot>)> {
    let (metric, items) = split(line);
    let items = items.trim();
    if items.starts_with("@st") {
        return None;
    }
    Some((labels(metric), slots(items)))
}

/// Cuts the metric off: a name, then braces if they follow directly.
fn split(line: &str) -> (&str, &str) {
    let name_len =
        line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(line.len());
    if !line[name_len..].starts_with('{') {
        return line.split_at(name_len);
    }
    let mut quote = None;
    let mut is_escaped = false;
    for (at, c) in line.char_indices().skip(name_len) {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(open) => {
                is_escaped = c == '\\' && open != '`';
                if c == open {
                    quote = None;
                }
            }
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '}' => return line.split_at(at + 1),
            None => {}
        }
    }
    panic!("no closing brace: {line}");
}

fn labels(metric: &str) -> Labels {
    let matchers = cairn_promql::parse_selector(metric).unwrap_or_else(|error| panic!("{metric}: {error}"));
    matchers
        .iter()
        .map(|matcher| {
            assert_eq!(matcher.op(), MatchOp::Equal, "{metric}");
            (matcher.name().to_owned(), matcher.value().to_owned())
        })
        .collect()
}

fn slots(items: &str) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut rest = items.trim();
    while !rest.is_empty() {
        let item_end = if rest.starts_with("{{") {
            let mut end = rest.find("}}").unwrap() + 2;
            if rest[end..].starts_with("+{{") || rest[end..].starts_with("-{{") {
                end += rest[end..].find("}}").unwrap() + 2;
            }
            end + rest[end..].find(char::is_whitespace).unwrap_or(rest.len() - end)
        } else {
            rest.find(char::is_whitespace).unwrap_or(rest.len())
        };
        let (item, after) = rest.split_at(item_end);
        rest = after.trim_start();
        expand(item, &mut slots);
    }
    slots
}

fn expand(item: &str, slots: &mut Vec<Slot>) {
    if item.starts_with("{{") {
        let times = item.rsplit_once("}}x").map_or(0, |(_, n)| n.parse::<usize>().unwrap());
        slots.extend(std::iter::repeat_n(Slot::Histogram, times + 1));
        return;
    }
    if let Some(n) = item.strip_prefix("_x") {
        slots.extend(std::iter::repeat_n(Slot::Empty, n.parse().unwrap()));
        return;
    }
    match item {
        "_" => return slots.push(Slot::Empty),
        "stale" => return slots.push(Slot::Value(f64::from_bits(STALE_NAN_BITS))),
        _ => {}
    }
    let (start, rest) = number(item);
    let (delta, rest) = match rest.chars().next() {
        Some('+') => number(&rest[1..]),
        Some('-') => {
            let (delta, rest) = number(&rest[1..]);
            (-delta, rest)
        }
        _ => (0.0, rest),
    };
    let n: usize = rest.strip_prefix('x').map_or(0, |n| n.parse().unwrap());
    let mut value = start;
    for _ in 0..=n {
        slots.push(Slot::Value(value));
        value += delta;
    }
}

/// The longest number at the start of `text`, and what follows.
fn number(text: &str) -> (f64, &str) {
    (1..=text.len())
        .rev()
        .filter(|end| text.is_char_boundary(*end))
        .find_map(|end| {
            let head = &text[..end];
            // `0x10` means zero ten times, not sixteen.
            let value = if head.contains('x') { None } else { parse_float(head) };
            value.map(|value| (value, &text[end..]))
        })
        .unwrap_or_else(|| panic!("no number: {text}"))
}
