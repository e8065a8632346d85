//! Durations and sizes as `prometheus.yml` writes them.

use std::fmt;
use std::time::Duration;

use cairn_model::duration::{format_prometheus, parse_prometheus};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `15s`, `1h30m`, `0`: whole milliseconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PromDuration(i64);

impl PromDuration {
    /// From milliseconds; negative ones count as none.
    pub const fn from_ms(ms: i64) -> Self {
        Self(if ms < 0 { 0 } else { ms })
    }

    /// Milliseconds, zero or more.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// The same as the standard library's type.
    pub const fn std(self) -> Duration {
        Duration::from_millis(self.0.unsigned_abs())
    }
}

impl std::str::FromStr for PromDuration {
    type Err = cairn_model::duration::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_prometheus(text).map(Self)
    }
}

impl fmt::Display for PromDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_prometheus(self.0))
    }
}

impl Serialize for PromDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PromDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = PromDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 15s or 1h30m")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PromDuration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<PromDuration, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<PromDuration, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// `512MB`, `10MiB`, `0`: bytes. Units are powers of 1024 with or without the `i`, as in Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PromSize(pub u64);

const SIZE_UNITS: [(&str, u32); 6] = [("E", 60), ("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10)];

impl std::str::FromStr for PromSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("not a valid size: {text:?}, expected a number and a unit such as 10MB");
        if text == "0" {
            return Ok(Self(0));
        }
        let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, unit) = text.split_at(digits);
        let prefix = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B')).ok_or_else(invalid)?;
        let shift = match prefix {
            "" => 0,
            _ => SIZE_UNITS.iter().find(|(name, _)| *name == prefix).ok_or_else(invalid)?.1,
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(1 << shift).map(Self).ok_or_else(invalid);
        }
        let number: f64 = number.parse().map_err(|_| invalid())?;
        #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
        let bytes = number * (1u64 << shift) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
        if (0.0..9.0e18).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(invalid()) }
    }
}

impl fmt::Display for PromSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS.iter().find(|(_, shift)| self.0 != 0 && self.0.is_multiple_of(1 << shift));
        match unit {
            Some((name, shift)) => write!(f, "{}{name}iB", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for PromSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PromSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = PromSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 10MB or 512KiB, or 0")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PromSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<PromSize, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<PromSize, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("10B", 10), ("1KB", 1024), ("1KiB", 1024), ("1.5MB", 1_572_864), ("2GiB", 2 << 30)]
        {
            assert_eq!(text.parse(), Ok(PromSize(bytes)), "{text}");
        }
        for bad in ["", "10", "MB", "1XB", "-1MB", "99999999999999EB", "1e99MB"] {
            assert!(bad.parse::<PromSize>().is_err(), "{bad}");
        }
        for (bytes, text) in [(0, "0B"), (1000, "1000B"), (10 << 20, "10MiB"), (3 << 30, "3GiB")] {
            assert_eq!(PromSize(bytes).to_string(), text);
        }
    }
}
