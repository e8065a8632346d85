//! Series notation: `metric{label="v"} 1 2+1x3 _x2 stale`.

use std::sync::Arc;

use cairn_model::duration::parse_prometheus;
use cairn_model::number::parse_float;
use cairn_model::{FloatHistogram, Labels, MatchOp};
use cairn_promql::source::STALE_NAN_BITS;

use crate::histogram_notation::{self, Written};

/// One slot of a series.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    Empty,
    Value(f64),
    Histogram(Written),
}

/// What a line of a script says about a series.
pub(crate) enum Line {
    Samples(Labels, Vec<Slot>),
    /// Start timestamps of the samples that a later line has, in milliseconds after each sample.
    Starts(Labels, Vec<Option<i64>>),
}

/// Reads a line of a `load`.
pub(crate) fn line(text: &str) -> Line {
    let (metric, items) = split(text);
    match items.strip_prefix("@st") {
        Some(items) => Line::Starts(labels(metric), items.split_whitespace().flat_map(starts).collect()),
        None => Line::Samples(labels(metric), slots(items)),
    }
}

/// Reads a line of a result.
pub(crate) fn series(text: &str) -> (Labels, Vec<Slot>) {
    let (metric, items) = split(text);
    (labels(metric), slots(items))
}

/// `_`, `_x3`, `-30s`, `-30s-1mx4`.
fn starts(item: &str) -> Vec<Option<i64>> {
    if let Some(n) = item.strip_prefix("_x") {
        return vec![None; n.parse().unwrap()];
    }
    if item == "_" {
        return vec![None];
    }
    let (item, n) = match item.rsplit_once('x') {
        Some((item, n)) => (item, n.parse().unwrap()),
        None => (item, 0),
    };
    let (first, step) = match item[1..].find(['+', '-']) {
        Some(at) => item.split_at(at + 1),
        None => (item, "0"),
    };
    let signed = |text: &str| {
        let ms = parse_prometheus(text.trim_start_matches(['+', '-'])).unwrap();
        if text.starts_with('-') { -ms } else { ms }
    };
    let (first, step) = (signed(first), signed(step));
    (0..=n).map(|i: i64| Some(first + step * i)).collect()
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

/// `{{a}}`, `{{a}}x3`, `{{a}}+{{b}}x3`
fn expand_histogram(item: &str, slots: &mut Vec<Slot>) {
    let (first, rest) = item[2..].split_once("}}").unwrap();
    let first = histogram_notation::parse(first);
    let (step, n) = match rest.get(1..).and_then(|rest| rest.strip_prefix("{{")) {
        Some(step) => {
            let (step, n) = step.split_once("}}").unwrap();
            (Some((rest.starts_with('-'), histogram_notation::parse(step))), n)
        }
        None => (None, rest),
    };
    let n: usize = n.strip_prefix('x').map_or(0, |n| n.parse().unwrap());
    let mut histogram = Arc::clone(&first.histogram);
    for _ in 0..=n {
        slots.push(Slot::Histogram(Written { histogram: Arc::clone(&histogram), has_hint: first.has_hint }));
        if let Some((is_minus, step)) = &step {
            let mut next = FloatHistogram::clone(&histogram);
            if *is_minus { next.subtract(&step.histogram) } else { next.add(&step.histogram) }.unwrap();
            histogram = Arc::new(next);
        }
    }
}

fn expand(item: &str, slots: &mut Vec<Slot>) {
    if item.starts_with("{{") {
        return expand_histogram(item, slots);
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
