//! The panels of `/query` as the peer's links have them. Of panel 0 these parameters are read, of the next ones likewise:
//!
//! | parameter | means |
//! |---|---|
//! | `g0.expr` | the expression; the first panel without one is the end of them |
//! | `g0.tab` | `0` or `graph`: drawn; anything else: a table |
//! | `g0.range_input` | `1h`: how much is drawn |
//! | `g0.end_input`, `g0.moment_input` | where a graph ends, when a table is evaluated; in UTC, each also in place of the other |
//! | `g0.step_input` | step in seconds |
//! | `g0.res_type` | `fixed` or `custom`: the step is `g0.res_step`; `auto`: it comes from `g0.res_density`, which is `low`, `medium` or `high` |

use std::collections::BTreeMap;

use cairn_model::TimeMs;
use cairn_model::duration::parse_prometheus;
use cairn_model::number::parse_float;

use crate::api::error::ApiError;
use crate::api::parse_time;
use crate::engine::When;

/// Most panels that are shown: each is a query.
const MAX_PANELS: usize = 20;
/// Points of a drawn series by density, when no step is asked for; `medium` is about one for each four pixels.
const DENSITIES: [(&str, i64); 3] = [("low", 100), ("medium", 250), ("high", 750)];
const DEFAULT_POINTS: i64 = 250;
/// Most points of a drawn series, as the API has it.
const MAX_POINTS: i64 = 11_000;

/// One panel as it was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Panel {
    pub(super) expr: String,
    pub(super) is_graph: bool,
    pub(super) range: String,
    /// End of a graph, time of a table.
    pub(super) moment: String,
    /// Seconds.
    pub(super) step: String,
    /// Other than the default.
    pub(super) density: Option<String>,
}

/// The panels of a query string, and how many are left out. There is always one, which may be empty.
pub(super) fn all(query: &str) -> (Vec<Panel>, usize) {
    // Of several values of one parameter the first counts.
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        values.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    let has_expr = |index: &usize| values.contains_key(&format!("g{index}.expr"));
    let n = (0..).take_while(has_expr).count().max(1);
    let shown = n.min(MAX_PANELS);
    ((0..shown).map(|index| Panel::take(&mut values, index)).collect(), n - shown)
}

impl Panel {
    fn take(values: &mut BTreeMap<String, String>, index: usize) -> Self {
        let mut take = |name: &str| values.remove(&format!("g{index}.{name}")).unwrap_or_default();
        let tab = take("tab");
        let is_graph = matches!(tab.as_str(), "0" | "graph");
        let (end, moment) = (take("end_input"), take("moment_input"));
        let (wanted, other) = if is_graph { (end, moment) } else { (moment, end) };
        let (kind, density, fixed, step) =
            (take("res_type"), take("res_density"), take("res_step"), take("step_input"));
        Self {
            expr: take("expr"),
            is_graph,
            range: take("range_input"),
            moment: if wanted.is_empty() { other } else { wanted },
            step: if matches!(kind.as_str(), "fixed" | "custom") && !fixed.is_empty() { fixed } else { step },
            density: Some(density)
                .filter(|density| kind == "auto" && matches!(density.as_str(), "low" | "high")),
        }
    }

    /// When to evaluate.
    pub(super) fn when(&self, now: TimeMs) -> Result<When, ApiError> {
        let end = match self.moment.trim() {
            "" => now,
            text => moment(text).map_err(|reason| ApiError::param("end", reason))?,
        };
        if !self.is_graph {
            return Ok(When::Instant(end));
        }
        let range_ms = match self.range.trim() {
            "" => 3_600_000,
            text => parse_prometheus(text).map_err(|error| ApiError::param("range", error))?,
        };
        if range_ms <= 0 {
            return Err(ApiError::param("range", "must be above 0"));
        }
        let start = TimeMs(end.0.saturating_sub(range_ms));
        let step_ms = match self.step.trim() {
            "" => {
                let known = DENSITIES.into_iter().find(|(name, _)| self.density.as_deref() == Some(name));
                let n_points = known.map_or(DEFAULT_POINTS, |(_, n_points)| n_points);
                (range_ms / n_points / 1000 * 1000).max(1000)
            }
            text => step_ms(text).map_err(|reason| ApiError::param("step", reason))?,
        };
        if range_ms / step_ms > MAX_POINTS {
            let reason = "exceeded maximum resolution of 11,000 points per timeseries. Try a longer step";
            return Err(ApiError::param("step", reason));
        }
        Ok(When::Range { start, end, step_ms })
    }
}

/// `2026-11-28 10:15:00`, as the peer's page writes times, in UTC and with or without seconds; or whatever the API takes.
fn moment(text: &str) -> Result<TimeMs, String> {
    let seconds = if text.len() == 16 { ":00" } else { "" };
    match text.split_once(' ') {
        Some((date, clock)) if !clock.contains(['Z', '+']) => {
            parse_time(&format!("{date}T{clock}{seconds}Z"))
        }
        _ => parse_time(text),
    }
    .map_err(|_| format!("{text:?} is no time such as 2026-11-28 10:15:00"))
}

/// Seconds, a fraction of a second too; or a duration.
fn step_ms(text: &str) -> Result<i64, String> {
    let ms = match parse_float(text) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is beyond the range becomes its end, and is refused"
        )]
        Some(seconds) => (seconds * 1000.0).round() as i64,
        None => parse_prometheus(text).unwrap_or(0),
    };
    if (1..=i64::from(u32::MAX) * 1000).contains(&ms) {
        return Ok(ms);
    }
    Err("must be seconds above 0, or empty".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(query: &str) -> Panel {
        all(query).0.remove(0)
    }

    fn when(query: &str) -> Result<When, String> {
        one(query).when(TimeMs(7_200_000)).map_err(|error| error.message)
    }

    #[test]
    fn the_parameters_of_the_peers_links() {
        let asked = one("g0.expr=up%7Bjob%3D%22a%22%7D+%3D%3D+1&g0.tab=1&g0.expr=other&x=y");
        assert_eq!(asked.expr, "up{job=\"a\"} == 1");
        assert!(!asked.is_graph);
        assert!(matches!(when(""), Ok(When::Instant(TimeMs(7_200_000)))));
        for query in [
            "g0.end_input=1970-01-01+00%3A01%3A00",
            "g0.moment_input=1970-01-01%2000:01",
            "g0.moment_input=60&g0.end_input=x",
            "g0.moment_input=1970-01-01T00:01:00Z",
        ] {
            assert!(matches!(when(query), Ok(When::Instant(TimeMs(60_000)))), "{query}");
        }
        let range = |query: &str| match when(query) {
            Ok(When::Range { start, end, step_ms }) => (start.0, end.0, step_ms),
            other => panic!("{query}: {other:?}"),
        };
        for (query, start, end, step_ms) in [
            ("g0.tab=graph", 3_600_000, 7_200_000, 14_000),
            ("g0.tab=0&g0.range_input=2s&g0.end_input=1&g0.step_input=1", -1000, 1000, 1000),
            ("g0.tab=0&g0.moment_input=1&g0.range_input=2s", -1000, 1000, 1000),
            ("g0.tab=graph&g0.res_type=auto&g0.res_density=low", 3_600_000, 7_200_000, 36_000),
            ("g0.tab=graph&g0.res_type=auto&g0.res_density=high", 3_600_000, 7_200_000, 4000),
            ("g0.tab=graph&g0.res_type=auto&g0.res_density=x", 3_600_000, 7_200_000, 14_000),
            ("g0.tab=graph&g0.res_type=fixed&g0.res_step=0.5", 3_600_000, 7_200_000, 500),
            ("g0.tab=graph&g0.res_type=custom&g0.res_step=60&g0.step_input=5", 3_600_000, 7_200_000, 60_000),
            ("g0.tab=graph&g0.step_input=1m", 3_600_000, 7_200_000, 60_000),
        ] {
            assert_eq!(range(query), (start, end, step_ms), "{query}");
        }
        for (query, want) in [
            ("g0.end_input=x", "invalid parameter \"end\""),
            ("g0.tab=0&g0.range_input=x", "invalid parameter \"range\""),
            ("g0.tab=0&g0.range_input=0s", "invalid parameter \"range\""),
            ("g0.tab=0&g0.step_input=0", "invalid parameter \"step\""),
            ("g0.tab=0&g0.step_input=NaN", "invalid parameter \"step\""),
            ("g0.tab=0&g0.step_input=1e99", "invalid parameter \"step\""),
            ("g0.tab=0&g0.step_input=1&g0.range_input=1d", "exceeded maximum resolution"),
        ] {
            assert!(when(query).unwrap_err().contains(want), "{query}");
        }
    }

    #[test]
    fn panels_end_where_an_expression_is_missing() {
        let (panels, n_left_out) = all("g0.expr=a&g1.expr=b&g1.tab=graph&g3.expr=d&g2.tab=0");
        let shown: Vec<_> = panels.iter().map(|one| (one.expr.as_str(), one.is_graph)).collect();
        assert_eq!((&shown[..], n_left_out), (&[("a", false), ("b", true)][..], 0));
        let many: String = (0..30).map(|index| format!("g{index}.expr=x&")).collect();
        let (panels, n_left_out) = all(&many);
        assert_eq!((panels.len(), n_left_out), (MAX_PANELS, 10));
        assert_eq!(all("g1.expr=b").0, [Panel::default()]);
    }
}
