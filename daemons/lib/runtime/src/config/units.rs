//! Values with a unit: `"15s"`, `"512MiB"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use cairn_model::duration;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A duration as Prometheus writes it: `"15s"`, `"1h30m"`, `"7d"`, `"250ms"`, `"0"`. A bare number has no unit and is
/// refused. Forms that only Go reads (`"1.5h"`, `"100us"`) are taken as well, since Promtail's and Loki's files use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(Duration);

impl HumanDuration {
    /// Wraps a duration.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// This many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// This many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub fn as_millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as \"15s\", \"5m\" or \"7d\", got \"{0}\"")]
pub struct HumanDurationError(String);

impl FromStr for HumanDuration {
    type Err = HumanDurationError;

    fn from_str(text: &str) -> Result<Self, HumanDurationError> {
        let millis = duration::parse_prometheus(text).ok().and_then(|ms| u64::try_from(ms).ok());
        let nanos = || duration::parse_go(text).and_then(|nanos| u64::try_from(nanos).ok());
        millis
            .map(Duration::from_millis)
            .or_else(|| nanos().map(Duration::from_nanos))
            .map(Self)
            .ok_or_else(|| HumanDurationError(text.to_owned()))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_nanos().is_multiple_of(1_000_000) {
            f.write_str(&duration::format_prometheus(self.as_millis()))
        } else {
            f.write_str(&duration::format_go(i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)))
        }
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;
        impl Visitor<'_> for DurationVisitor {
            type Value = HumanDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"15s\", \"5m\" or \"7d\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(DurationVisitor)
    }
}

/// Units of sizes, the longest names first so that `MiB` is not read as `B`.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes with its unit: `"512MiB"` (powers of 1024), `"4MB"` (powers of 1000), `"100B"`. A bare number is
/// refused. For keys that a peer defines see [`lenient_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// This many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many KiB.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// This many MiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes in memory; more than the address space holds is its end.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a size such as \"512MiB\" or \"4MB\", got \"{0}\"")]
pub struct ByteSizeError(String);

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let parse = || {
            let (unit, factor) = SIZE_UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
            scale(text[..text.len() - unit.len()].trim_end(), *factor)
        };
        parse().map(Self).ok_or_else(|| ByteSizeError(text.to_owned()))
    }
}

/// `number` (digits with at most one dot) times `factor`, rounded down. `None`: no number, or too large.
fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits =
        |part: &str| !part.is_empty() && part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let power = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / power;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// Reads a size the way Loki's and Prometheus's files write it: units in any case, `4MB`, `256k`, `1.5g`, all powers of
/// 1024, and a bare number as bytes. With serde: `#[serde(deserialize_with = "lenient_bytes::deserialize")]`.
pub mod lenient_bytes {
    use super::{ByteSize, ByteSizeError, Deserializer, Visitor, fmt, scale};

    /// Reads the text form.
    ///
    /// # Errors
    /// [`ByteSizeError`] with the text.
    pub fn parse(text: &str) -> Result<ByteSize, ByteSizeError> {
        let trimmed = text.trim();
        let n_number = trimmed.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, unit) = trimmed.split_at(n_number);
        let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => Some(0),
            "k" | "kb" | "kib" => Some(10),
            "m" | "mb" | "mib" => Some(20),
            "g" | "gb" | "gib" => Some(30),
            "t" | "tb" | "tib" => Some(40),
            "p" | "pb" | "pib" => Some(50),
            "e" | "eb" | "eib" => Some(60),
            _ => None,
        };
        shift
            .and_then(|shift| scale(number, 1 << shift))
            .map(ByteSize)
            .ok_or_else(|| ByteSizeError(text.to_owned()))
    }

    /// For serde's `deserialize_with`: text as [`parse`] reads it, or a whole number of bytes.
    ///
    /// # Errors
    /// The deserializer's, with what was expected.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"4MB\" or a number of bytes")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                parse(text).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::custom("a size cannot be negative"))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |factor: u64| self.0 >= factor && self.0.is_multiple_of(factor);
        let binary = SIZE_UNITS.iter().find(|(unit, factor)| unit.contains('i') && fits(*factor));
        match binary {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"512MiB\" or \"4MB\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(SizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, want: Option<Duration>| {
            assert_eq!(text.parse::<HumanDuration>().ok().map(HumanDuration::get), want, "{text}");
        };
        check("15s", Some(Duration::from_secs(15)));
        check("7d", Some(Duration::from_secs(7 * 86_400)));
        check("1h30m", Some(Duration::from_secs(5400)));
        check("250ms", Some(Duration::from_millis(250)));
        check("1.5h", Some(Duration::from_secs(5400)));
        check("100us", Some(Duration::from_micros(100)));
        check("0", Some(Duration::ZERO));
        check("15", None);
        check("-5s", None);
        check("", None);
        assert_eq!(HumanDuration::from_secs(5400).to_string(), "1h30m");
    }

    #[test]
    fn sizes() {
        let check = |text: &str, want: Option<u64>| {
            assert_eq!(text.parse::<ByteSize>().ok().map(ByteSize::get), want, "{text}");
        };
        check("512MiB", Some(512 << 20));
        check("4MB", Some(4_000_000));
        check("1.5KiB", Some(1536));
        check("100B", Some(100));
        check("100", None);
        check("4 MiB", Some(4 << 20));
        check("4mb", None);
        check("99999999999TiB", None);
        check("-1B", None);
        assert_eq!(ByteSize::mib(512).to_string(), "512MiB");
        assert_eq!(ByteSize::bytes(1500).to_string(), "1500B");
    }

    #[test]
    fn sizes_as_the_peers_write_them() {
        let check = |text: &str, want: Option<u64>| {
            assert_eq!(lenient_bytes::parse(text).ok().map(ByteSize::get), want, "{text}");
        };
        check("4MB", Some(4 << 20));
        check("256KB", Some(256 << 10));
        check("256k", Some(256 << 10));
        check("1.5g", Some(3 << 29));
        check("1048576", Some(1 << 20));
        check("12 parsecs", None);
        check("99999999999999EB", None);
        check("", None);
    }
}
