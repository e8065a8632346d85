//! Times and numbers for people; sizes are `cairn_model::number::human_bytes`.

use std::time::Duration;

use cairn_model::TimeMs;
use maud::{Markup, html};

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The two largest parts of a time span: `3 d 4 h`, `12 s`, `8 ms`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        let ms = duration.as_secs_f64() * 1000.0;
        return if ms >= 10.0 { format!("{ms:.0} ms") } else { format!("{ms:.1} ms") };
    }
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    let shown = parts[first..].iter().take(2).filter(|(n, _)| *n > 0);
    shown.map(|(n, unit)| format!("{n} {unit}")).collect::<Vec<_>>().join(" ")
}

/// A time in UTC to the second: `2026-11-28 10:15:00`.
pub(super) fn time(time: TimeMs) -> String {
    let text = TimeMs(time.0.div_euclid(1000).saturating_mul(1000)).to_string();
    text.trim_end_matches('Z').replacen('T', " ", 1)
}

/// How long ago something was, with the time itself where the pointer rests.
pub(super) fn ago(then_ms: i64, now_ms: i64) -> Markup {
    let past = Duration::from_millis(now_ms.saturating_sub(then_ms).max(0).unsigned_abs());
    html! { span title={ (time(TimeMs(then_ms))) " UTC" } { (span(past)) " ago" } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        for (ms, want) in [
            (0, "0.0 ms"),
            (8, "8.0 ms"),
            (250, "250 ms"),
            (12_345, "12 s"),
            (60_000, "1 min"),
            (3_700_000, "1 h 1 min"),
            (3_600_000 * 76, "3 d 4 h"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), want);
        }
        assert_eq!(time(TimeMs(1_795_860_900_987)), "2026-11-28 10:15:00");
        assert_eq!(ago(1000, 0).into_string(), "<span title=\"1970-01-01 00:00:01 UTC\">0.0 ms ago</span>");
    }
}
