//! Parts of a date, in UTC, from seconds since the epoch.

use crate::func_scalar::unlabelled;
use crate::series::{Series, Steps, seconds};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// `minute(v)`
pub(crate) fn minute(seconds: f64) -> f64 {
    number(whole(seconds).rem_euclid(3_600) / 60)
}

/// `hour(v)`
pub(crate) fn hour(seconds: f64) -> f64 {
    number(whole(seconds).rem_euclid(DAY) / 3_600)
}

/// `day_of_week(v)`: Sunday is 0. The epoch was a Thursday.
pub(crate) fn day_of_week(seconds: f64) -> f64 {
    number((days(seconds) + 4).rem_euclid(7))
}

/// `day_of_month(v)`: from 1.
pub(crate) fn day_of_month(seconds: f64) -> f64 {
    number(civil(days(seconds)).day)
}

/// `day_of_year(v)`: from 1.
pub(crate) fn day_of_year(seconds: f64) -> f64 {
    let days = days(seconds);
    let january_first = days_before(civil(days).year, 1, 1);
    number(days - january_first + 1)
}

/// `days_in_month(v)`
pub(crate) fn days_in_month(seconds: f64) -> f64 {
    let date = civil(days(seconds));
    number(length_of_month(date.year, date.month))
}

/// `month(v)`: from 1.
pub(crate) fn month(seconds: f64) -> f64 {
    number(civil(days(seconds)).month)
}

/// `year(v)`
pub(crate) fn year(seconds: f64) -> f64 {
    number(civil(days(seconds)).year)
}

/// What a function gives without an argument: its part of each step's own time.
pub(crate) fn of_steps(part: fn(f64) -> f64, steps: Steps) -> Series {
    unlabelled((0..steps.n).map(|index| part(seconds(steps.time(index)))).collect())
}

/// A date of the proleptic Gregorian calendar.
struct Date {
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
}

#[expect(clippy::cast_precision_loss, reason = "parts of a date are small")]
fn number(value: i64) -> f64 {
    value as f64
}

/// Whole seconds, cut towards zero as Go's conversion cuts; far values saturate inside of what the calendar's
/// arithmetic can hold.
fn whole(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is clamped")]
    let whole = seconds as i64;
    whole.clamp(-(1 << 55), 1 << 55)
}

fn days(seconds: f64) -> i64 {
    whole(seconds).div_euclid(DAY)
}

/// Days since the epoch to a date. Years start in March here, so that the leap day is the last day; 146,097 days make
/// 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> Date {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    Date { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
}

/// Days from the epoch to a date: the inverse of [`civil`].
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn length_of_month(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_before(next_year, next_month, 1) - days_before(year, month, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        type Part = fn(f64) -> f64;
        let cases: [(f64, Part, f64); 8] = [
            (0.0, day_of_week, 4.0),
            (1_456_790_399.0, day_of_month, 29.0),
            (1_456_790_400.0, month, 3.0),
            (1_483_191_420.0, day_of_year, 366.0),
            (1_454_284_800.0, days_in_month, 29.0),
            (-1.0, year, 1969.0),
            (-1.0, hour, 23.0),
            (-0.5, year, 1970.0),
        ];
        for (seconds, part, want) in cases {
            assert_eq!(part(seconds), want, "{seconds}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_number_has_a_date(seconds in proptest::num::f64::ANY) {
            for part in [minute, hour, day_of_week, day_of_month, day_of_year, days_in_month, month, year] {
                proptest::prop_assert!(part(seconds).is_finite());
            }
        }

        #[test]
        fn dates_and_days_are_inverse(days in -200_000_000i64..200_000_000) {
            let date = civil(days);
            proptest::prop_assert_eq!(days_before(date.year, date.month, date.day), days);
        }
    }
}
