//! One query in two dialects: as Cairn is asked, and as the older Prometheus must be asked to mean the same.
//!
//! What Prometheus 3 changed in the meaning of a query is undone here, in the text for 2.42, so that answers can be
//! expected to be equal instead of being forgiven for not being so:
//!
//! | since Prometheus 3 | 2.42 is asked |
//! |---|---|
//! | a window `[5m]` and a subquery's `[5m:1m]` leave out their left border | for one millisecond less: times are whole milliseconds |
//! | the lookback leaves out its left border | with `--query.lookback-delta=4m59s999ms` |
//! | `rate`, `increase`, `delta` divide by the range, so that it must not differ | the same; their ranges end in 500 ms, where no sample is |
//! | `.` in a regular expression matches a line feed | `(?s:...)` around the expression |
//! | `holt_winters` is called `double_exponential_smoothing` | by the old name |
//! | `atan2` drops metric names as the other arithmetic does | `label_replace` around it drops them |
//! | a duration may be a number, a number a duration; `1_000` | the number, or the duration, that it is |
//! | names of metrics and labels may be quoted: `{"up"}` | without quotes |

use std::borrow::Cow;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Cairn: Prometheus 3.
    Cairn,
    /// The Prometheus that is there: 2.42.
    Peer,
}

/// Flags of Prometheus without which it would mean something else.
pub(crate) const PEER_FLAGS: &[&str] = &["--query.lookback-delta=4m59s999ms"];
/// The same for Cairn: what 2.42 has under another name is experimental in Prometheus 3.
pub(crate) const CAIRN_FLAGS: &[&str] = &["--enable-feature=promql-experimental-functions"];

/// A piece of text in both dialects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// It reads the same.
    Same(Cow<'static, str>),
    /// It does not: Cairn's, the peer's.
    Each(String, String),
}

impl Text {
    /// As one of both reads it.
    pub(crate) fn of(&self, dialect: Dialect) -> &str {
        match (self, dialect) {
            (Self::Same(text), _) => text,
            (Self::Each(cairn, _), Dialect::Cairn) => cairn,
            (Self::Each(_, peer), Dialect::Peer) => peer,
        }
    }
}

/// How a range is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Border {
    /// Nothing divides by it: one millisecond less for the peer.
    Narrowed,
    /// Something does: half a second more for both, where no sample lies.
    Avoided,
}

impl Border {
    /// The range that whole seconds become, as Cairn reads it, in milliseconds.
    pub(crate) fn range_ms(self, seconds: u64) -> i64 {
        let ms = i64::try_from(seconds * 1000).unwrap_or(i64::MAX);
        if self == Self::Avoided { ms + 500 } else { ms }
    }
}

/// A range of whole seconds; `as_number` writes it as one for Cairn.
pub(crate) fn range(seconds: u64, border: Border, as_number: bool) -> Text {
    match border {
        Border::Narrowed => {
            let cairn = if as_number { seconds.to_string() } else { duration(seconds * 1000) };
            Text::Each(cairn, duration(seconds * 1000 - 1))
        }
        Border::Avoided => Text::Same(duration(seconds * 1000 + 500).into()),
    }
}

/// A duration of whole seconds that is the same for both.
pub(crate) fn seconds(seconds: u64, as_number: bool) -> Text {
    let text = duration(seconds * 1000);
    if as_number { Text::Each(seconds.to_string(), text) } else { Text::Same(text.into()) }
}

/// The value of a matcher with a regular expression, as a string literal.
pub(crate) fn regex(pattern: &str) -> Text {
    Text::Each(literal(pattern), literal(&format!("(?s:{pattern})")))
}

/// What stands around an expression whose metric names 2.42 keeps.
pub(crate) fn without_name() -> (Text, Text) {
    let close = ", \"__name__\", \"\", \"__name__\", \"(?s:.*)\")";
    (Text::Each(String::new(), "label_replace(".to_owned()), Text::Each(String::new(), close.to_owned()))
}

/// A string literal.
pub(crate) fn literal(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Milliseconds, at least one, as PromQL writes durations.
fn duration(mut ms: u64) -> String {
    let mut text = String::new();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if ms >= length {
            text += &format!("{}{unit}", ms / length);
            ms %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_the_peer_ends_a_millisecond_later() {
        let narrowed = range(300, Border::Narrowed, false);
        assert_eq!((narrowed.of(Dialect::Cairn), narrowed.of(Dialect::Peer)), ("5m", "4m59s999ms"));
        assert_eq!(range(3600, Border::Narrowed, true).of(Dialect::Cairn), "3600");
        assert_eq!(range(60, Border::Avoided, false).of(Dialect::Cairn), "1m500ms");
        assert_eq!(range(60, Border::Avoided, true).of(Dialect::Peer), "1m500ms");
    }

    #[test]
    fn strings_are_quoted() {
        assert_eq!(literal("a\"b\\\n"), r#""a\"b\\\n""#);
        assert_eq!(regex("a.*").of(Dialect::Peer), "\"(?s:a.*)\"");
    }
}
