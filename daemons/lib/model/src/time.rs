//! Points in time: Prometheus counts milliseconds, Loki nanoseconds. Two types, so that they cannot be mixed.

use std::fmt;
use std::str::FromStr;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeMs(pub i64);

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeNs(pub i64);

impl TimeMs {
    /// The smallest time.
    pub const MIN: Self = Self(i64::MIN);
    /// The largest time.
    pub const MAX: Self = Self(i64::MAX);

    /// Seconds since the epoch.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of our era are far below 2^53")]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl TimeNs {
    /// The smallest time.
    pub const MIN: Self = Self(i64::MIN);
    /// The largest time.
    pub const MAX: Self = Self(i64::MAX);

    /// The same time in milliseconds, rounded down.
    pub fn to_ms(self) -> TimeMs {
        TimeMs(self.0.div_euclid(1_000_000))
    }
}

/// RFC 3339 in UTC with as many fractional digits as needed: `2026-11-13T01:20:00Z`, `...00.5Z`.
impl fmt::Display for TimeNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => fmt::Display::fmt(&timestamp, f),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl fmt::Display for TimeMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => fmt::Display::fmt(&timestamp, f),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// Reads RFC 3339 with optional fraction and zone offset: `2026-11-21T01:00:00.5+01:00`. `None` for anything else,
/// also for times that nanoseconds in 64 bits cannot hold (before 1677, after 2262).
pub fn parse_rfc3339(text: &str) -> Option<TimeNs> {
    let bytes = text.as_bytes();
    // jiff reads more than RFC 3339 (blanks, missing seconds, zone names); Go's layout does not.
    let has_shape = bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[16] == b':'
        && (bytes[bytes.len() - 1] == b'Z' || matches!(bytes.get(bytes.len() - 6), Some(b'+' | b'-')))
        && !text.contains('[');
    if !has_shape {
        return None;
    }
    let timestamp = jiff::Timestamp::from_str(text).ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok().map(TimeNs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_both_ways() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-02T12:00:00Z", 1_793_620_800_000_000_000),
            ("2026-11-02T13:00:00.5+01:00", 1_793_620_800_500_000_000),
        ] {
            assert_eq!(parse_rfc3339(text), Some(TimeNs(nanos)), "{text}");
        }
        assert_eq!(TimeNs(1_793_620_800_500_000_000).to_string(), "2026-11-02T12:00:00.5Z");
        for bad in [
            "",
            "2026-11-02",
            "2026-11-02 12:00:00Z",
            "2026-11-02T12:00:00",
            "2026-13-02T12:00:00Z",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }
}
