//! Expressions, and their evaluation over a few series.
//!
//! The first byte says what the others are: a text as it stands, or choices along the grammar (`promql_grammar.rs`), so
//! that evaluation is reached. Three bytes before them choose times and options.
//!
//! Besides not panicking, what parses must print, parse again and print the same; the two must have one answer; and a
//! range query must give at its first and last step what an instant query gives there.

use std::panic;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use cairn_model::TimeMs;
use cairn_promql::{
    Answer, EvalError, Expr, MatrixSeries, Options, Point, Sample, Stop, Value, VectorSample, eval_instant,
    eval_range, parse, parse_selector,
};

use crate::promql_grammar;
use crate::promql_series::{FIRST_MS, LAST_MS, Series};

/// What a thread of the daemon that evaluates has.
const STACK_BYTES: usize = 2 << 20;

/// Looks at the deadline after which a query is out of time; each is 65,536 values of work.
const MAX_LOOKS: u32 = 40;

const MAX_SAMPLES: u64 = 20_000;

/// Longest text: what a parser that is not linear would need long for.
const MAX_TEXT_BYTES: usize = 4096;

/// What is the query's, not the step's.
const OF_THE_QUERY: &[&str] = &["start()", "end()", "step()", "range()"];

/// Sums over windows that overlap are put together from parts, so that their last digits depend on the windows before; a
/// comparison outside makes much of that. The tests of `cairn-promql` compare them with some tolerance.
const ROUNDED_ELSEWHERE: &[&str] = &[
    "sum_over_time(",
    "avg_over_time(",
    "stddev_over_time(",
    "stdvar_over_time(",
    "deriv(",
    "predict_linear(",
    "rate(",
    "increase(",
    // An instant query sorts, a range query does not: so an aggregation outside adds up in another order.
    "sort",
];

static SERIES: LazyLock<Series> = LazyLock::new(Series::new);

/// When to evaluate, and how.
#[derive(Clone, Copy, Debug)]
struct Setting {
    start: i64,
    step_ms: i64,
    n_steps: i64,
    lookback_ms: i64,
    flags: u8,
}

impl Setting {
    fn of([time, steps, flags]: [u8; 3]) -> Self {
        let start = match time {
            0 => 0,
            1 => i64::MIN,
            2 => i64::MAX,
            3 => -9_000_000_000_000,
            4 => 9_000_000_000_000_000,
            _ => FIRST_MS + i64::from(time) * 5_003,
        };
        let step_ms = [10_000, 1, 60_000, 7_321, 0, -5, 86_400_000, i64::MAX][usize::from(steps & 7)];
        let n_steps = [1, 2, 9, 30, 200][usize::from(steps >> 3) % 5];
        let lookback_ms = [300_000, 10_000, 1, i64::MAX][usize::from(flags >> 4 & 3)];
        Self { start, step_ms, n_steps, lookback_ms, flags }
    }

    fn end(self) -> i64 {
        self.start.saturating_add(self.step_ms.saturating_mul(self.n_steps - 1))
    }

    fn run(self, expr: &Expr, when: When) -> Result<Answer, EvalError> {
        let looks = AtomicU32::new(0);
        let stop = || (looks.fetch_add(1, Ordering::Relaxed) >= MAX_LOOKS).then_some(Stop::TimedOut);
        let options = Options {
            lookback_ms: self.lookback_ms,
            max_samples: MAX_SAMPLES,
            default_subquery_step_ms: if self.flags & 8 == 0 { 60_000 } else { 1_000 },
            delayed_name_removal: self.flags & 1 != 0,
            start_timestamps: self.flags & 2 != 0,
            count_samples: self.flags & 4 != 0,
            clock: None,
            stop: Some(&stop),
        };
        match when {
            When::At(time) => eval_instant(&*SERIES, expr, TimeMs(time), &options),
            When::Over { start, end } => {
                eval_range(&*SERIES, expr, TimeMs(start), TimeMs(end), self.step_ms, &options)
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum When {
    At(i64),
    Over { start: i64, end: i64 },
}

/// Takes any bytes.
pub(crate) fn run(input: &[u8]) {
    let Some((&mode, rest)) = input.split_first() else { return };
    let Some((&setting, rest)) = rest.split_first_chunk::<3>() else { return };
    let text = if mode & 1 == 0 {
        String::from_utf8_lossy(&rest[..rest.len().min(MAX_TEXT_BYTES)]).into_owned()
    } else {
        promql_grammar::query(rest)
    };
    // The stack of this thread may be larger than what the daemon gives.
    let work =
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || check(&text, Setting::of(setting)));
    if let Err(panic) = work.expect("a thread can be started").join() {
        panic::resume_unwind(panic);
    }
}

fn check(text: &str, setting: Setting) {
    let _ = parse_selector(text);
    let Ok(expr) = parse(text) else { return };
    let printed = expr.to_string();
    let again = parse(&printed).unwrap_or_else(|error| panic!("{text:?} prints as {printed:?}: {error}"));
    assert_eq!(plain(&printed), plain(&again.to_string()), "{text:?}");
    assert_eq!(expr.value_type(), again.value_type(), "{text:?}");
    let pretty = expr.pretty();
    let from_pretty = parse(&pretty).unwrap_or_else(|error| panic!("{text:?} prints as {pretty:?}: {error}"));
    assert_eq!(plain(&printed), plain(&from_pretty.to_string()), "{pretty:?}");

    let at_start = When::At(setting.start);
    let instant = setting.run(&expr, at_start);
    assert_same(&instant, &setting.run(&again, at_start), text);
    let over = When::Over { start: setting.start, end: setting.end() };
    let range = setting.run(&expr, over);
    let differs = OF_THE_QUERY.iter().chain(ROUNDED_ELSEWHERE).any(|word| printed.contains(word));
    let Ok(range) = range else { return };
    if differs || expr.value_type() == cairn_promql::ast::ValueType::String {
        return;
    }
    let Value::Matrix(series) = &range.value else { panic!("{text:?}: a range query gave {range:?}") };
    assert_step(series, setting.start, &instant, text);
    if setting.n_steps > 1 && setting.end() < i64::MAX {
        assert_step(series, setting.end(), &setting.run(&expr, When::At(setting.end())), text);
    }
}

/// Infinity is printed with its sign, as the peer does, and in front of a power that reads as an operator.
fn plain(printed: &str) -> String {
    printed.replace("++Inf ^", "+Inf ^")
}

/// Two evaluations of what is written alike. How often the deadline was looked at depends on the cores.
fn assert_same(one: &Result<Answer, EvalError>, other: &Result<Answer, EvalError>, text: &str) {
    match (one, other) {
        (Err(EvalError::TimedOut), _) | (_, Err(EvalError::TimedOut)) => {}
        (Ok(one), Ok(other)) => {
            assert_eq!(format!("{:?}", one.value), format!("{:?}", other.value), "{text:?}");
        }
        // The text of an error may name the place.
        (Err(_), Err(_)) => {}
        _ => panic!("{text:?}: {one:?} and {other:?}"),
    }
}

/// What a range query gave at one step, against an instant query.
fn assert_step(series: &[MatrixSeries], time: i64, instant: &Result<Answer, EvalError>, text: &str) {
    let instant = match instant {
        Ok(answer) => answer,
        Err(EvalError::TimedOut) => return,
        Err(error) => panic!("{text:?}: at {time} {error}, while the range query has an answer"),
    };
    let found = series.iter().flat_map(|one| {
        let points = one.points.iter().filter(|point| point.time.0 == time);
        let points = points.map(|point| Sample::Float(point.value));
        let histograms = one.histograms.iter().filter(|point| point.time.0 == time);
        let histograms = histograms.map(|point| Sample::Histogram(point.histogram.clone()));
        points.chain(histograms).map(|value| (one.labels.to_string(), value))
    });
    let wanted: Vec<(String, Sample)> = match &instant.value {
        Value::Scalar(Point { value, .. }) => vec![("{}".to_owned(), Sample::Float(*value))],
        Value::Vector(samples) => {
            let pair = |one: &VectorSample| (one.labels.to_string(), one.value.clone());
            samples.iter().map(pair).collect()
        }
        Value::String(..) | Value::Matrix(_) => return,
    };
    let [mut found, mut wanted] = [found.collect::<Vec<_>>(), wanted];
    found.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(format!("{found:?}"), format!("{wanted:?}"), "{text:?} at {time}");
}

/// Texts and bytes to start from.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let last = u8::try_from((LAST_MS - FIRST_MS) / 5_003).unwrap_or(u8::MAX);
    let texts = [
        "sum by (job) (rate(c[1m])) / on (job) group_left (version) target_info",
        "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
        "histogram_quantiles(h, \"q\", 0.1, 0.9) + histogram_fraction(0, 1, h)",
        "rate(h[1m] anchored) </ 3 or h - h offset 30s",
        "topk(2, n) or bottomk(1, n) or limitk(3, n) or limit_ratio(-0.5, n)",
        "count_values without (i) (\"v\", g) and g unless -g",
        "label_replace(g, \"x\", \"$1-$2\", \"i\", \"(.)(.*)\") + ignoring (x) fill_left (1) g",
        "label_join(n, \"__name__\", \"-\", \"x\", \"job\")",
        "max_over_time(deriv(g[1m])[5m:10s] @ end() offset -30s)",
        "info(c, {version=~\".+\"})",
        "predict_linear(g[2m], 3600) > bool scalar(vector(time())) ^ 2",
        "double_exponential_smoothing(g[5m], 0.5, 0.1) != NaN",
        "absent_over_time(nothing{a=\"b\"}[step() * 2]) or vector(start())",
        "sort_by_label_desc(n, \"x\", \"job\")",
        "increase(c[90s] smoothed) * 2 atan2 (c % 7)",
        "quantile_over_time(0.3, g[1m]) + stdvar_over_time(g[1m]) + mad_over_time(g[1m])",
        "{__name__=~\".*\",\"utf8 näme\"!=\"x\"}[1m:]",
        "year(g) + days_in_month() - hour(vector(1e300))",
        "((1)) - -1 ^ +Inf",
        "\"text\"",
        "c[1m] offset 5m @ 10060.5",
    ];
    let mut seeds = Vec::new();
    for (number, text) in (0u8..).zip(texts) {
        for setting in [[last / 2, 8, 0], [last, number << 3, number << 1 | 1]] {
            seeds.push([&[0], &setting[..], text.as_bytes()].concat());
        }
    }
    for first in 0..40u8 {
        let choices: Vec<u8> =
            (0..48u8).map(|at| at.wrapping_mul(37).wrapping_add(first.wrapping_mul(29)) ^ first).collect();
        seeds.push([&[1, last / 2, first, first << 4][..], &choices].concat());
    }
    seeds
}
