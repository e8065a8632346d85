//! A range query's result drawn as SVG.

use std::fmt::Write;

use cairn_model::TimeMs;
use cairn_model::number::general_float;
use cairn_promql::{MatrixSeries, Point};
use maud::{Markup, html};

use super::{format, notice, table};

/// Most series that are drawn: more are no picture.
const MAX_SERIES: usize = 100;
/// Colours of the style sheet. A line that is the first of its colour is drawn through, the next ones in
/// [patterns](N_PATTERNS) of dashes, so that no two lines look the same.
const N_COLOURS: usize = 20;
/// Patterns of dashes of the style sheet; the first is none.
const N_PATTERNS: usize = MAX_SERIES.div_ceil(N_COLOURS);

/// Size of the picture, and of what is around the plot.
const WIDTH: f64 = 1120.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// Differences below it are none: pixels per unit would not fit into a float.
const SMALLEST: f64 = 1e-300;
/// Lines of the grid aimed at.
const N_LINES: f64 = 6.0;
/// Distances of times on the axis, seconds.
const TIME_STEPS: [i64; 17] =
    [1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800];

/// What is drawn.
pub(super) struct Graph<'a> {
    pub(super) start: TimeMs,
    pub(super) end: TimeMs,
    pub(super) step_ms: i64,
    pub(super) series: &'a [MatrixSeries],
}

/// Where a value lies.
struct Scale {
    start: f64,
    per_ms: f64,
    low: f64,
    per_unit: f64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "times of our era are far below 2^53")]
    fn x(&self, time: TimeMs) -> f64 {
        LEFT + (time.0 as f64 - self.start) * self.per_ms
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value - self.low) * self.per_unit
    }
}

/// The picture with its legend.
pub(super) fn draw(graph: &Graph<'_>) -> Markup {
    let drawn: Vec<&MatrixSeries> =
        graph.series.iter().filter(|one| !one.points.is_empty()).take(MAX_SERIES).collect();
    let n_left_out = graph.series.iter().filter(|one| !one.points.is_empty()).count() - drawn.len();
    let has_histograms = graph.series.iter().any(|one| !one.histograms.is_empty());
    let finite =
        || drawn.iter().flat_map(|one| &one.points).map(|point| point.value).filter(|v| v.is_finite());
    let (low, high) = finite()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let picture = if low <= high {
        let (low, high, step) = bounds(low, high);
        picture(graph, &drawn, low, high, step)
    } else {
        html! { p.muted { "There is nothing to draw in this range." } }
    };
    html! {
        @if has_histograms {
            (notice("info", "Native histograms are not drawn; histogram_quantile() and its kin make lines of them."))
        }
        (picture)
        @if n_left_out > 0 {
            p.muted { (format::count(n_left_out as u64)) " more series are not drawn." }
        }
        ul.legend {
            @for (index, one) in drawn.iter().enumerate() {
                li {
                    svg.swatch width="30" height="10" aria-hidden="true" {
                        line class=(look(index)) x1="1" x2="29" y1="5" y2="5" {}
                    }
                    " " (table::metric(&one.labels))
                    @if let Some(last) = one.points.last() { " " span.muted { (general_float(last.value)) } }
                }
            }
        }
    }
}

/// Classes of a line: colour and dashes.
fn look(index: usize) -> String {
    format!("c{} d{}", index % N_COLOURS, index / N_COLOURS % N_PATTERNS)
}

/// Borders of the axis and the distance of its lines: round numbers around the values.
fn bounds(low: f64, high: f64) -> (f64, f64, f64) {
    let (mut low, mut high) = (low, high);
    let largest = high.abs().max(low.abs());
    if high - low <= (f64::EPSILON * largest).max(SMALLEST) {
        // A flat line lies in the middle.
        let margin = if largest <= SMALLEST { 1.0 } else { largest / 2.0 };
        (low, high) = (low - margin, high + margin);
    }
    // Half of each, since the difference of the extremes does not fit into a float.
    let raw = (high / N_LINES - low / N_LINES).max(f64::MIN_POSITIVE);
    let magnitude = 10f64.powf(raw.log10().floor()).max(f64::MIN_POSITIVE);
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * magnitude).into_iter().find(|step| *step >= raw);
    let step = step.filter(|step| step.is_finite()).unwrap_or(raw);
    let (floor, ceil) = ((low / step).floor() * step, (high / step).ceil() * step);
    if floor.is_finite() && ceil.is_finite() { (floor, ceil, step) } else { (low, high, step) }
}

fn picture(graph: &Graph<'_>, drawn: &[&MatrixSeries], low: f64, high: f64, step: f64) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "times of our era are far below 2^53")]
    let (start, length) = (graph.start.0 as f64, (graph.end.0 - graph.start.0).max(1) as f64);
    let scale = Scale {
        start,
        per_ms: (WIDTH - LEFT - RIGHT) / length,
        low,
        // As above: the halves fit.
        per_unit: (HEIGHT - TOP - BOTTOM) / 2.0 / (high / 2.0 - low / 2.0),
    };
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let y_lines = std::iter::successors(Some(low), |y| Some(y + step));
    let y_lines = y_lines.take_while(|y| *y <= high + step / 2.0).take(20);
    html! {
        svg.graph viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="Graph of the result" {
            @for value in y_lines {
                line.grid x1=(LEFT) x2=(right) y1=(coordinate(scale.y(value))) y2=(coordinate(scale.y(value))) {}
                text.axis x=(LEFT - 8.0) y=(coordinate(scale.y(value) + 4.0)) text-anchor="end" {
                    (axis_number(value, step))
                }
            }
            @for (time, text) in time_marks(graph) {
                line.grid x1=(coordinate(scale.x(time))) x2=(coordinate(scale.x(time))) y1=(TOP) y2=(bottom) {}
                text.axis x=(coordinate(scale.x(time))) y=(bottom + 20.0) text-anchor="middle" { (text) }
            }
            @for (index, one) in drawn.iter().enumerate() {
                path class={ "line " (look(index)) } d=(path(one, graph.step_ms, &scale)) {
                    title { (one.labels) }
                }
            }
        }
    }
}

/// A tenth of a pixel is enough.
fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

/// The line of a series: broken where steps have no number, a dot where one stands alone.
fn path(series: &MatrixSeries, step_ms: i64, scale: &Scale) -> String {
    let mut out = String::new();
    let mut before: Option<Point> = None;
    for point in series.points.iter().filter(|point| point.value.is_finite()) {
        let is_next = before.is_some_and(|before| point.time.0 - before.time.0 <= step_ms);
        // A line of no length shows as a dot, because its ends are round. Writing to a String does not fail.
        let (x, y) = (coordinate(scale.x(point.time)), coordinate(scale.y(point.value)));
        let _ = if is_next { write!(out, "L{x} {y}") } else { write!(out, "M{x} {y}h0") };
        before = Some(*point);
    }
    out
}

/// Times of the grid with their texts.
fn time_marks(graph: &Graph<'_>) -> Vec<(TimeMs, String)> {
    let length = (graph.end.0 - graph.start.0) / 1000;
    let step = TIME_STEPS.into_iter().find(|step| length / step <= 10).unwrap_or_else(|| (length / 8).max(1));
    let first = graph.start.0.div_euclid(step * 1000).saturating_add(1).saturating_mul(step * 1000);
    let times = std::iter::successors(Some(first), |time| time.checked_add(step * 1000));
    let shown = times.take_while(|time| *time <= graph.end.0).take(12);
    shown
        .map(|time| {
            let text = format::time(TimeMs(time));
            let (date, clock) = text.split_once(' ').unwrap_or((&text, ""));
            let text = match step {
                86_400.. => date.to_owned(),
                _ if clock == "00:00:00" => date.to_owned(),
                ..60 => clock.to_owned(),
                _ => clock.get(..5).unwrap_or(clock).to_owned(),
            };
            (TimeMs(time), text)
        })
        .collect()
}

/// A number of the axis, as exact as the distance of its lines.
fn axis_number(value: f64, step: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let largest = value.abs();
    // Sums of steps are never exactly 0.
    if largest < step / 1000.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&largest) {
        return format!("{value:.2e}");
    }
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| largest >= *unit).unwrap_or((1.0, ""));
    let decimals = (0..9).find(|decimals| step / unit * 10f64.powi(*decimals) >= 0.999).unwrap_or(9);
    format!("{:.*}{name}", usize::try_from(decimals).unwrap_or(0), value / unit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use cairn_model::Labels;

    use super::*;

    fn series(name: &str, values: &[f64]) -> MatrixSeries {
        let times = (0..).map(|i| TimeMs(i * 1000));
        MatrixSeries {
            labels: Arc::new(Labels::from_pairs([("__name__", "m"), ("l", name)])),
            points: times.zip(values).map(|(time, value)| Point { time, value: *value }).collect(),
            histograms: vec![],
        }
    }

    fn drawn(series: &[MatrixSeries]) -> String {
        let n = series.iter().map(|one| one.points.len()).max().unwrap_or(1);
        let end = TimeMs(i64::try_from(n).unwrap() * 1000 - 1000);
        draw(&Graph { start: TimeMs(0), end, step_ms: 1000, series }).into_string()
    }

    #[test]
    fn a_line_is_broken_where_there_is_nothing() {
        let page = drawn(&[series("a", &[1.0, 2.0, f64::NAN, 3.0, 4.0])]);
        let start = page.find(" d=\"").unwrap() + 4;
        let path = &page[start..start + page[start..].find('"').unwrap()];
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 2), "{path}");
        assert!(!page.contains("NaN"), "{page}");
    }

    #[test]
    fn any_values_make_a_picture() {
        for values in [
            &[0.0, 0.0][..],
            &[5.0],
            &[-3.0, 1e-300],
            &[f64::MAX, f64::MIN],
            &[1e-310, 2e-310],
            &[f64::INFINITY, 1.0, f64::NEG_INFINITY],
            &[1e15, 1e15 + 1.0],
        ] {
            let page = drawn(&[series("a", values)]);
            assert!(page.contains("<path"), "{values:?}: {page}");
            let numbers = page.split(['"', ' ', 'M', 'L']);
            assert!(!numbers.into_iter().any(|text| text == "NaN" || text == "inf"), "{values:?}: {page}");
            assert!(page.len() < 20_000, "{values:?}");
        }
        assert!(drawn(&[series("a", &[f64::NAN])]).contains("nothing to draw"));
        assert!(drawn(&[]).contains("nothing to draw"));
        let many: Vec<MatrixSeries> = (0..MAX_SERIES + 5).map(|i| series(&i.to_string(), &[1.0])).collect();
        assert!(drawn(&many).contains("5 more series are not drawn"));
    }

    #[test]
    fn no_two_lines_look_the_same() {
        let looks: BTreeSet<String> = (0..MAX_SERIES).map(look).collect();
        assert_eq!(looks.len(), MAX_SERIES);
        let style = super::super::STYLE;
        for class in looks.iter().flat_map(|look| look.split(' ')).filter(|class| *class != "d0") {
            assert!(style.contains(&format!(".{class} {{")), "{class} is not in the style sheet");
        }
    }

    /// Luminance as WCAG 2 has it, of `#rrggbb` or `#rgb`.
    fn luminance(colour: &str) -> f64 {
        let digits: Vec<u32> = colour[1..].chars().map(|c| c.to_digit(16).unwrap()).collect();
        let parts: Vec<f64> = match digits[..] {
            [r, g, b] => [r, g, b].map(|digit| f64::from(digit * 17)).to_vec(),
            _ => digits.chunks(2).map(|pair| f64::from(pair[0] * 16 + pair[1])).collect(),
        };
        let linear = |part: f64| {
            let part = part / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(parts[0]) + 0.7152 * linear(parts[1]) + 0.0722 * linear(parts[2])
    }

    #[test]
    fn lines_stand_out_by_day_and_by_night() {
        let style = super::super::STYLE;
        let (day, night) = style.split_once("prefers-color-scheme: dark").unwrap();
        for sheet in [day, night] {
            let colour = |name: &str| {
                let (_, rest) = sheet.split_once(&format!("--{name}: ")).unwrap_or_else(|| panic!("{name}"));
                rest.split(';').next().unwrap()
            };
            let back = luminance(colour("card"));
            for index in 0..N_COLOURS {
                let line = luminance(colour(&format!("c{index}")));
                let contrast = (line.max(back) + 0.05) / (line.min(back) + 0.05);
                assert!(contrast >= 3.0, "--c{index}: {contrast}");
            }
        }
    }

    #[test]
    fn labels_bring_no_markup() {
        let page = drawn(&[series("<script>\"&</title>", &[1.0, 2.0])]);
        assert!(!page.contains("<script") && page.matches("</title>").count() == 1, "{page}");
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(bounds(0.0, 10.0), (0.0, 10.0, 2.0));
        assert_eq!(bounds(3.0, 3.0), (1.5, 4.5, 0.5));
        for (value, step, want) in [
            (0.0, 1.0, "0"),
            (0.25, 0.05, "0.25"),
            (1500.0, 500.0, "1.5k"),
            (2e6, 1e6, "2M"),
            (-20.0, 10.0, "-20"),
            (1e-9, 1e-9, "1.00e-9"),
        ] {
            assert_eq!(axis_number(value, step), want);
        }
        let graph = Graph { start: TimeMs(0), end: TimeMs(3_600_000), step_ms: 1000, series: &[] };
        let marks: Vec<String> = time_marks(&graph).into_iter().map(|(_, text)| text).collect();
        assert_eq!(marks, ["00:10", "00:20", "00:30", "00:40", "00:50", "01:00"]);
    }
}
