//! How `rate` and `increase` extrapolate, in both versions: a difference is explained when each store is right by its own.

use crate::blame::Blamed;
use crate::compare::TOLERANCE;
use crate::moment::Moment;
use crate::outcome::{Outcome, Value};
use crate::rules_values::{differing_values, without_name};

/// Which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// 2.42
    Two,
    /// Prometheus 3
    Three,
}

/// Every value that differs is what its version makes of the samples in the window.
pub(crate) fn zero_point(blamed: &Blamed) -> bool {
    let head = blamed.asked.expr.head.as_str();
    let (Moment::Instant(time), [window]) = (blamed.asked.moment, &blamed.children[..]) else { return false };
    let Outcome::Series { rows, .. } = &window.ours else { return false };
    if !["rate", "increase"].contains(&head) {
        return false;
    }
    let ends = window.expr.window.ends(time);
    let is_close = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * a.abs().max(b.abs());
    differing_values(blamed).is_some_and(|values| {
        values.iter().all(|(labels, _, ours, theirs)| {
            rows.iter().filter(|row| without_name(&row.labels) == *labels).any(|row| {
                let by = |version| computed(version, &row.points, ends, head == "rate");
                is_close(by(Version::Three), *ours) && is_close(by(Version::Two), *theirs)
            })
        })
    })
}

/// The rate or increase of a window's samples. Times and ends are in milliseconds.
fn computed(version: Version, points: &[(i64, Value)], ends: (i64, i64), is_rate: bool) -> f64 {
    let (Some(first), Some(last), true) = (points.first(), points.last(), points.len() > 1) else {
        return f64::NAN;
    };
    let drops = points.windows(2).filter(|pair| pair[1].1.number < pair[0].1.number);
    let rise = last.1.number - first.1.number + drops.map(|pair| pair[0].1.number).sum::<f64>();
    let sampled = seconds(last.0 - first.0);
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let distance = sampled / (points.len() - 1) as f64;
    let to_zero = (rise > 0.0 && first.1.number >= 0.0).then(|| sampled * (first.1.number / rise));
    let near = |to_border: f64| if to_border < distance * 1.1 { to_border } else { distance / 2.0 };
    let (to_start, to_end) = (seconds(first.0 - ends.0), seconds(ends.1 - last.0));
    let before = match version {
        Version::Two => near(to_zero.map_or(to_start, |to_zero| to_zero.min(to_start))),
        Version::Three => to_zero.map_or(near(to_start), |to_zero| to_zero.min(near(to_start))),
    };
    let factor = (sampled + before + near(to_end)) / sampled;
    rise * if is_rate { factor / seconds(ends.1 - ends.0) } else { factor }
}

#[expect(clippy::cast_precision_loss, reason = "some hours")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_differ_only_where_zero_is_near_a_far_begin() {
        let points = |values: &[f64]| -> Vec<(i64, Value)> {
            let value = |number: &f64| Value { text: number.to_string(), number: *number };
            (0..).map(|at| 100_000 + at * 10_000).zip(values.iter().map(value)).collect()
        };
        let check = |values: &[f64], ends, two: f64, three: f64| {
            let by = |version| computed(version, &points(values), ends, false);
            assert!((by(Version::Two) - two).abs() < 1e-9, "{values:?} {}", by(Version::Two));
            assert!((by(Version::Three) - three).abs() < 1e-9, "{values:?} {}", by(Version::Three));
        };
        // A steady counter far from zero; one whose zero is 8 s back, between half of the distance and all of it.
        check(&[1000.0, 1010.0, 1020.0], (40_000, 120_000), 25.0, 25.0);
        check(&[8.0, 18.0, 28.0], (40_000, 120_000), 28.0, 25.0);
        check(&[2.0, 12.0, 22.0], (40_000, 120_000), 22.0, 22.0);
        check(&[8.0, 18.0, 3.0], (95_000, 120_000), 13.0 * 1.25, 13.0 * 1.25);
    }
}
