//! Durations and sizes as Loki's configuration writes them.

use std::fmt;

use cairn_model::duration;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration in Prometheus's form (`7d`, `1h30m`, `30d1h`) or Go's (`1.5h`, `1m0s`); the number 0 means off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(
    /// Nanoseconds, not negative.
    pub i64,
);

impl Span {
    /// A span of this many hours.
    pub const fn hours(hours: i64) -> Self {
        Self::seconds(hours * 3600)
    }

    /// A span of this many seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// The same as a standard duration.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.unsigned_abs())
    }

    /// Whether the span is zero, which turns most limits off.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    fn parse(text: &str) -> Option<Self> {
        let nanos = match duration::parse_prometheus(text) {
            Ok(ms) => ms.checked_mul(1_000_000)?,
            Err(_) => duration::parse_go(text)?,
        };
        (nanos >= 0).then_some(Self(nanos))
    }
}

/// `1w`, `30d1h`, `10m`: as Prometheus prints it, which the configuration reads back.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::format_prometheus(self.0 / 1_000_000))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"10m\", \"168h\" or \"30d1h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Span, E> {
                match value {
                    0 => Ok(Span(0)),
                    other => Err(E::invalid_value(de::Unexpected::Unsigned(other), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Span, E> {
                match value {
                    0 => Ok(Span(0)),
                    other => Err(E::invalid_value(de::Unexpected::Signed(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

/// A number of bytes: `256KB`, `3MB`, `64KiB` (all powers of 1024, as Loki reads them) or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(
    /// Bytes.
    pub u64,
);

/// Unit letters, each 1024 times the one before.
const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];

impl Bytes {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits_end].parse().ok()?;
        let unit = text[digits_end..].trim_start().to_ascii_uppercase();
        let factor = match unit.as_str() {
            "" | "B" => 1,
            unit => {
                let letter = unit.chars().next()?;
                if !matches!(&unit[letter.len_utf8()..], "" | "B" | "IB") {
                    return None;
                }
                let power = UNITS.iter().position(|u| *u == letter)?;
                1u64 << (10 * (power + 1))
            }
        };
        number.checked_mul(factor).map(Self)
    }

    /// As a count in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// `256KB`, `0B`: the largest unit that divides the number.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0;
        let mut unit = "";
        for letter in ["K", "M", "G", "T", "P"] {
            if value == 0 || !value.is_multiple_of(1024) {
                break;
            }
            value /= 1024;
            unit = letter;
        }
        write!(f, "{value}{unit}B")
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"256KB\" or \"3MB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Bytes::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Bytes, E> {
                Ok(Bytes(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Bytes, E> {
                u64::try_from(value)
                    .map(Bytes)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
        }
        deserializer.deserialize_any(BytesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_in_both_syntaxes() {
        for (text, want) in [
            ("168h", Some(Span::hours(168))),
            ("1w", Some(Span::hours(168))),
            ("1.5h", Some(Span::seconds(5400))),
            ("1m0s", Some(Span::seconds(60))),
            ("0s", Some(Span(0))),
            ("-1h", None),
            ("10", None),
            ("", None),
        ] {
            assert_eq!(Span::parse(text), want, "{text}");
        }
        assert_eq!(Span::hours(30 * 24 + 1).to_string(), "30d1h");
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, want) in [
            ("256KB", Some(262_144)),
            ("3 MB", Some(3 << 20)),
            ("64kib", Some(65_536)),
            ("10", Some(10)),
            ("1G", Some(1 << 30)),
            ("x", None),
            ("1.5MB", None),
            ("1QB", None),
            ("99999999999PB", None),
        ] {
            assert_eq!(Bytes::parse(text).map(|b| b.0), want, "{text}");
        }
        assert_eq!(Bytes(262_144).to_string(), "256KB");
        assert_eq!(Bytes(0).to_string(), "0B");
        assert_eq!(Bytes(1000).to_string(), "1000B");
    }
}
