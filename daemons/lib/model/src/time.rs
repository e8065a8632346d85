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

/// Reads RFC 3339 as Go's `time.Parse(time.RFC3339Nano, text)` does, which is the peer's reader of times: years 0000 to 9999,
/// hours of one digit, a comma before the fraction, digits behind nanoseconds, offsets up to 24:60. Rounded down.
///
/// `None` for anything else. No leap second: Go has none.
pub fn parse_rfc3339_ms(text: &str) -> Option<TimeMs> {
    let (year, rest) = digits(text, 4, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2, 2)?;
    let (hour, rest) = digits(rest.strip_prefix('T')?, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    let (second, mut rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let n = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let (first_three, _) = digits(fraction, 1, 3)?;
        ms = first_three * [0, 100, 10, 1][n.min(3)];
        rest = &fraction[n..];
    }
    let offset_minutes = match rest {
        "Z" => 0,
        _ => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let (hours, rest) = digits(rest.strip_prefix(['+', '-'])?, 2, 2)?;
            let (minutes, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
            if hours > 24 || minutes > 60 || !rest.is_empty() {
                return None;
            }
            sign * (hours * 60 + minutes)
        }
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let small = |number: i64| i8::try_from(number).ok();
    let date = jiff::civil::Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
    let epoch = jiff::civil::date(1970, 1, 1);
    // A civil date, since jiff's points in time end a day before the year 9999 does.
    let days = i64::from(date.since((jiff::Unit::Day, epoch)).ok()?.get_days());
    let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
    Some(TimeMs((minutes * 60 + second) * 1000 + ms))
}

/// The number of the first digits, `fewest` to `most` of them, and what follows.
fn digits(text: &str, fewest: usize, most: usize) -> Option<(i64, &str)> {
    let n = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(n)?;
    (n >= fewest).then(|| number.parse().ok())?.map(|number| (number, rest))
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

    #[test]
    fn the_peer_s_reader_takes_years_0_to_9999() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799_000)),
            ("9999-12-31T23:59:59.999999999-24:60", Some(253_402_390_799_999)),
            ("0000-01-01T00:00:00Z", Some(-62_167_219_200_000)),
            ("1600-01-01T00:00:00Z", Some(-11_676_096_000_000)),
            ("1969-12-31T23:59:59.9999Z", Some(-1)),
            ("2026-11-02T13:00:00.5+01:00", Some(1_793_620_800_500)),
            ("2026-11-02T12:00:00,05Z", Some(1_793_620_800_050)),
            ("2026-11-02T1:00:00Z", Some(1_793_581_200_000)),
            ("2026-11-02T12:00:00.1234567891234Z", Some(1_793_620_800_123)),
            ("2026-11-02T12:00:00-00:00", Some(1_793_620_800_000)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-11-02T24:00:00Z", None),
            ("2026-11-02T12:00:60Z", None),
            ("2026-11-02T12:00:00", None),
            ("2026-11-02T12:00:00.Z", None),
            ("2026-11-02T12:00:00+0100", None),
            ("2026-11-02T12:00:00+25:00", None),
            ("2026-11-02T12:00:00Zx", None),
            ("2026-11-02t12:00:00z", None),
            ("10000-01-01T00:00:00Z", None),
            ("2026-1\u{e9}", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339_ms(text), ms.map(TimeMs), "{text}");
        }
    }
}
