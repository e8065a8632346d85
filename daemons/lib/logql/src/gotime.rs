//! Times as Go prints and parses them, in UTC.

use std::fmt::Write;

use cairn_model::TimeNs;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A time split into its parts.
struct Parts {
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    weekday: usize,
    year_day: i64,
}

/// Days since the epoch to year, month, day. Howard Hinnant, "chrono-compatible low-level date algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Year, month, day to days since the epoch.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn parts(time: TimeNs) -> Parts {
    let seconds = time.0.div_euclid(1_000_000_000);
    let days = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    Parts {
        year,
        month: usize::try_from(month).unwrap_or(1),
        day,
        hour: of_day / 3600,
        minute: of_day / 60 % 60,
        second: of_day % 60,
        nanos: time.0.rem_euclid(1_000_000_000),
        weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
        year_day: days - days_of(year, 1, 1) + 1,
    }
}

/// Go's default form: `2026-11-21 02:00:13.186654388 +0000 UTC`.
pub(crate) fn print(time: TimeNs) -> String {
    format(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// The reference parts of a layout; longer ones first where one starts another.
const REFERENCES: [&str; 26] = [
    "January", "Jan", "Monday", "Mon", "MST", "2006", "Z07:00", "Z0700", "-07:00", "-0700", "-07", "002",
    "01", "02", "03", "04", "05", "06", "15", "_2", "PM", "pm", "1", "2", "3", "4",
];

/// Cuts a layout into reference parts and plain text.
fn cut(layout: &str) -> Vec<(bool, &str)> {
    let mut out: Vec<(bool, &str)> = Vec::new();
    let mut rest = layout;
    let mut plain = layout;
    while !rest.is_empty() {
        let fraction_len = fraction(rest, layout.len() - rest.len(), layout);
        let reference = REFERENCES.iter().find(|r| rest.starts_with(**r)).copied();
        let reference = reference.or_else(|| rest.starts_with('5').then_some("5"));
        let len = fraction_len.or_else(|| reference.map(str::len));
        let Some(len) = len else {
            let c = rest.chars().next().map_or(1, char::len_utf8);
            rest = &rest[c..];
            continue;
        };
        let before = &plain[..plain.len() - rest.len()];
        if !before.is_empty() {
            out.push((false, before));
        }
        out.push((true, &rest[..len]));
        rest = &rest[len..];
        plain = rest;
    }
    if !plain.is_empty() {
        out.push((false, plain));
    }
    out
}

/// Length of a fraction (`.000`, `,999`) at the start of `rest`; it must not be followed by a digit.
fn fraction(rest: &str, at: usize, layout: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let digit = *bytes.get(1)?;
    if !matches!(bytes[0], b'.' | b',') || !matches!(digit, b'0' | b'9') || at == 0 {
        return None;
    }
    let len = 1 + bytes[1..].iter().take_while(|b| **b == digit).count();
    let is_whole = !bytes.get(len).is_some_and(u8::is_ascii_digit);
    (is_whole && layout.is_char_boundary(at)).then_some(len)
}

/// Prints a time by a layout such as `2006-01-02T15:04:05.000Z07:00`.
pub(crate) fn format(time: TimeNs, layout: &str) -> String {
    let p = parts(time);
    let mut out = String::with_capacity(layout.len() + 8);
    let hour12 = if p.hour % 12 == 0 { 12 } else { p.hour % 12 };
    for (is_reference, text) in cut(layout) {
        if !is_reference {
            out.push_str(text);
            continue;
        }
        let _ = match text {
            "January" => write!(out, "{}", MONTHS[p.month - 1]),
            "Jan" => write!(out, "{}", &MONTHS[p.month - 1][..3]),
            "Monday" => write!(out, "{}", DAYS[p.weekday]),
            "Mon" => write!(out, "{}", &DAYS[p.weekday][..3]),
            "MST" => write!(out, "UTC"),
            "2006" => write!(out, "{:04}", p.year),
            "Z07:00" | "Z0700" => write!(out, "Z"),
            "-07:00" => write!(out, "+00:00"),
            "-0700" => write!(out, "+0000"),
            "-07" => write!(out, "+00"),
            "002" => write!(out, "{:03}", p.year_day),
            "01" => write!(out, "{:02}", p.month),
            "02" => write!(out, "{:02}", p.day),
            "03" => write!(out, "{hour12:02}"),
            "04" => write!(out, "{:02}", p.minute),
            "05" => write!(out, "{:02}", p.second),
            "06" => write!(out, "{:02}", p.year.rem_euclid(100)),
            "15" => write!(out, "{:02}", p.hour),
            "_2" => write!(out, "{:2}", p.day),
            "PM" => write!(out, "{}", if p.hour >= 12 { "PM" } else { "AM" }),
            "pm" => write!(out, "{}", if p.hour >= 12 { "pm" } else { "am" }),
            "1" => write!(out, "{}", p.month),
            "2" => write!(out, "{}", p.day),
            "3" => write!(out, "{hour12}"),
            "4" => write!(out, "{}", p.minute),
            "5" => write!(out, "{}", p.second),
            _ => {
                let digits = format!("{:09}", p.nanos);
                let kept = &digits[..(text.len() - 1).min(9)];
                let kept = if text.ends_with('9') { kept.trim_end_matches('0') } else { kept };
                if kept.is_empty() { Ok(()) } else { write!(out, "{}{kept}", &text[..1]) }
            }
        };
    }
    out
}

/// Reads a time by a layout, in UTC unless the text names an offset. `None` when it does not fit.
pub(crate) fn parse(layout: &str, text: &str) -> Option<TimeNs> {
    let (mut year, mut month, mut day) = (0i64, 1i64, 1i64);
    let (mut hour, mut minute, mut second, mut nanos, mut offset) = (0i64, 0i64, 0i64, 0i64, 0i64);
    let mut is_pm = None;
    let mut rest = text;
    for (is_reference, part) in cut(layout) {
        if !is_reference {
            rest = rest.strip_prefix(part)?;
            continue;
        }
        match part {
            "2006" => year = read_number(&mut rest, 4, 4)?,
            "06" => {
                let short = read_number(&mut rest, 2, 2)?;
                year = if short >= 69 { 1900 + short } else { 2000 + short };
            }
            "01" => month = read_number(&mut rest, 2, 2)?,
            "1" => month = read_number(&mut rest, 1, 2)?,
            "02" => day = read_number(&mut rest, 2, 2)?,
            "2" => day = read_number(&mut rest, 1, 2)?,
            "_2" => {
                rest = rest.trim_start_matches(' ');
                let len = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
                day = rest[..len].parse().ok()?;
                rest = &rest[len..];
            }
            "15" => hour = read_number(&mut rest, 2, 2)?,
            "03" => hour = read_number(&mut rest, 2, 2)?,
            "3" => hour = read_number(&mut rest, 1, 2)?,
            "04" => minute = read_number(&mut rest, 2, 2)?,
            "4" => minute = read_number(&mut rest, 1, 2)?,
            "05" | "5" => {
                second = read_number(&mut rest, if part == "05" { 2 } else { 1 }, 2)?;
                // A fraction may follow the seconds even where the layout has none.
                if rest.starts_with('.') && !layout.contains(".0") && !layout.contains(".9") {
                    (nanos, rest) = read_fraction(rest)?;
                }
            }
            "January" | "Jan" => {
                let len = if part == "Jan" { 3 } else { usize::MAX };
                let at = MONTHS.iter().position(|m| rest.starts_with(&m[..m.len().min(len)]))?;
                rest = &rest[MONTHS[at].len().min(len)..];
                month = i64::try_from(at).ok()? + 1;
            }
            "Monday" | "Mon" => {
                let len = if part == "Mon" { 3 } else { usize::MAX };
                let at = DAYS.iter().position(|d| rest.starts_with(&d[..d.len().min(len)]))?;
                rest = &rest[DAYS[at].len().min(len)..];
            }
            "PM" | "pm" => {
                is_pm = Some(rest.get(..2)?.eq_ignore_ascii_case("pm"));
                rest = &rest[2..];
            }
            "Z07:00" | "Z0700" if rest.starts_with('Z') => rest = &rest[1..],
            "Z07:00" | "Z0700" | "-07:00" | "-0700" | "-07" => {
                let sign = if rest.starts_with('-') { -1 } else { 1 };
                rest = rest.strip_prefix(['+', '-'])?;
                let hours: i64 = rest.get(..2)?.parse().ok()?;
                rest = &rest[2..];
                let mut minutes = 0;
                if part != "-07" {
                    rest = if part.contains(':') { rest.strip_prefix(':')? } else { rest };
                    minutes = rest.get(..2)?.parse().ok()?;
                    rest = &rest[2..];
                }
                offset = sign * (hours * 3600 + minutes * 60);
            }
            "MST" => rest = rest.strip_prefix("UTC").or_else(|| rest.strip_prefix("GMT"))?,
            "002" => day = read_number(&mut rest, 3, 3)?,
            _ if part.ends_with('9') && !rest.starts_with('.') => {}
            _ => (nanos, rest) = read_fraction(rest)?,
        }
    }
    if let Some(is_pm) = is_pm {
        hour = hour % 12 + if is_pm { 12 } else { 0 };
    }
    let in_range =
        (1..=12).contains(&month) && (1..=366).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !rest.is_empty() || !in_range {
        return None;
    }
    let seconds = days_of(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(TimeNs(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

/// `min` to `max` digits at the start of `rest`, which then stands behind them.
fn read_number(rest: &mut &str, min: usize, max: usize) -> Option<i64> {
    let len = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    let value = if len < min { None } else { rest[..len].parse().ok() };
    *rest = &rest[len..];
    value
}

/// Nanoseconds of `.123` and what follows.
fn read_fraction(text: &str) -> Option<(i64, &str)> {
    let digits = text.strip_prefix(['.', ','])?;
    let len = digits.bytes().take_while(u8::is_ascii_digit).count();
    if len == 0 || len > 9 {
        return None;
    }
    let value: i64 = format!("{:0<9}", &digits[..len]).parse().ok()?;
    Some((value, &digits[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: TimeNs = TimeNs(1_795_226_413_186_654_388);

    #[test]
    fn prints_by_layout() {
        for (layout, want) in [
            ("2006-01-02T15:04:05.000Z07:00", "2026-11-21T02:00:13.186Z"),
            ("Mon Jan _2 15:04:05 2006", "Sat Nov 21 02:00:13 2026"),
            ("3:04PM", "2:00AM"),
            ("02.01.06", "21.11.26"),
            ("Monday, 2 January", "Saturday, 21 November"),
        ] {
            assert_eq!(format(TIME, layout), want, "{layout}");
        }
        assert_eq!(print(TIME), "2026-11-21 02:00:13.186654388 +0000 UTC");
        assert_eq!(print(TimeNs(0)), "1970-01-01 00:00:00 +0000 UTC");
    }

    #[test]
    fn parses_by_layout() {
        assert_eq!(parse("2006-01-02 15:04:05", "1970-01-02 00:00:01"), Some(TimeNs(86_401_000_000_000)));
        assert_eq!(parse("2006-01-02T15:04:05Z07:00", "1970-01-01T01:00:00+01:00"), Some(TimeNs(0)));
        assert_eq!(parse("2006-01-02", "x"), None);
        assert_eq!(parse("2006-01-02", "2024-13-01"), None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(nanos in proptest::num::i64::ANY) {
            let layout = "2006-01-02T15:04:05.000000000Z07:00";
            proptest::prop_assert_eq!(parse(layout, &format(TimeNs(nanos), layout)), Some(TimeNs(nanos)));
        }

        #[test]
        fn no_text_panics(layout in ".{0,12}", text in ".{0,12}") {
            let _ = parse(&layout, &text);
            let _ = format(TimeNs(0), &layout);
        }
    }
}
