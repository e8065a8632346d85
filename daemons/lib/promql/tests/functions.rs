//! What the rows of the function table claim, checked against what the functions do. A new row is checked with it.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::sync::Arc;

use cairn_model::{Labels, TimeMs};
use cairn_promql::ast::ValueType;
use cairn_promql::functions::{FUNCTIONS, Function, Names, Varies};
use cairn_promql::{
    EvalError, Options, Sample, SampleSource, Selection, SeriesData, SourceError, Value, eval_instant,
    eval_range, parse,
};

/// Two metrics, each with buckets under two hosts, over 20 minutes.
struct Source;

impl SampleSource for Source {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let mut found = Vec::new();
        for name in ["a_bucket", "b_bucket"] {
            for host in ["x", "y"] {
                for (le, share) in [("0.5", 1.0), ("1", 2.0), ("+Inf", 3.0)] {
                    let labels = Labels::from_pairs([("__name__", name), ("host", host), ("le", le)]);
                    if !selection.matchers.iter().all(|matcher| matcher.matches_labels(&labels)) {
                        continue;
                    }
                    let inside = |time: &i64| selection.start.0 <= *time && *time <= selection.end.0;
                    let times: Vec<i64> = (0..80).map(|i| i * 15_000).filter(inside).collect();
                    // Grows, falls, and is different at any two times.
                    let value = |time: &i64| {
                        let time = f64::from(i32::try_from(*time).unwrap()) / 1e6;
                        share * (time + (time * 7.0).sin() + 2.0)
                    };
                    let values = times.iter().map(value).collect();
                    found.push(SeriesData {
                        labels: Arc::new(labels),
                        times: times.into(),
                        values,
                        ..SeriesData::default()
                    });
                }
            }
        }
        Ok(found)
    }
}

/// Calls with the fewest and with the most arguments (a few, where any number may stand).
fn calls(function: &Function, selector: &str) -> Vec<String> {
    let n_types = function.arg_types.len();
    let counts = match usize::try_from(function.variadic) {
        Ok(0) => vec![n_types],
        Ok(more) => vec![n_types - 1, n_types - 1 + more],
        Err(_) => vec![n_types - 1, n_types + 2],
    };
    let call = |n_args: usize| {
        let arg = |index: usize| match function.arg_types[index.min(n_types - 1)] {
            // Between 0 and 1, and no two alike: quantiles, factors of smoothing.
            ValueType::Scalar => format!("{}", 0.05 + 0.07 * f64::from(u8::try_from(index).unwrap())),
            ValueType::String => "\"host\"".to_owned(),
            ValueType::InstantVector => selector.to_owned(),
            ValueType::RangeVector => selector.replacen('}', "}[3m]", 1),
        };
        format!("{}({})", function.name, (0..n_args).map(arg).collect::<Vec<_>>().join(", "))
    };
    // The second argument of info() takes no name.
    if function.name == "info" {
        return vec![format!("info({selector})"), format!("info({selector}, {{host=\"x\"}})")];
    }
    counts.into_iter().map(call).collect()
}

/// Labels, and times with the bits of values.
type Points = (Arc<Labels>, Vec<(i64, u64)>);

/// Labels and points of the answer.
fn answer(query: &str, start: i64, end: i64) -> Vec<Points> {
    let expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let options = Options::default();
    let got = if start == end {
        eval_instant(&Source, &expr, TimeMs(start), &options)
    } else {
        eval_range(&Source, &expr, TimeMs(start), TimeMs(end), 60_000, &options)
    };
    let value = match got {
        Ok(answer) => answer.value,
        Err(error) => panic!("{query}: {error}"),
    };
    match value {
        Value::Scalar(point) => vec![(Arc::new(Labels::empty()), vec![(0, point.value.to_bits())])],
        Value::Vector(samples) => {
            let bits = |sample: Sample| match sample {
                Sample::Float(value) => value.to_bits(),
                Sample::Histogram(histogram) => panic!("{query}: {histogram}"),
            };
            samples.into_iter().map(|s| (s.labels, vec![(0, bits(s.value))])).collect()
        }
        Value::Matrix(matrix) => matrix
            .into_iter()
            .map(|s| (s.labels, s.points.iter().map(|p| (p.time.0, p.value.to_bits())).collect()))
            .collect(),
        Value::String(..) => panic!("{query}: a string"),
    }
}

const ONE_NAME: &str = "a_bucket{host=\"x\",le=\"1\"}";

#[test]
fn every_function_is_evaluated_with_the_arguments_of_its_row() {
    for function in FUNCTIONS {
        for call in calls(function, ONE_NAME) {
            assert_eq!(parse(&call).unwrap().value_type(), function.returns, "{call}");
            for end in [600_000, 900_000] {
                answer(&call, 600_000, end);
            }
        }
    }
}

#[test]
fn a_function_that_varies_with_nothing_gives_the_same_at_any_time() {
    for function in FUNCTIONS {
        for call in calls(function, &format!("{ONE_NAME} @ 500")) {
            // Each of these is an evaluation of its own; a range query would evaluate the call once.
            let values: Vec<_> = [600_000, 777_000, 950_000].map(|time| answer(&call, time, time)).into();
            let is_same = values.windows(2).all(|pair| pair[0] == pair[1]);
            match function.varies {
                Varies::Never => assert!(is_same, "{call} varies, and its row says Never"),
                Varies::ByStep => {}
                Varies::ByQuery => {
                    let points = answer(&call, 600_000, 900_000).remove(0).1;
                    let is_same = points.windows(2).all(|pair| pair[0].1 == pair[1].1);
                    assert!(is_same, "{call} varies within a query, and its row says ByQuery");
                }
            }
        }
    }
}

#[test]
fn names_become_what_the_row_says() {
    for function in FUNCTIONS {
        for call in calls(function, ONE_NAME) {
            for (labels, _) in answer(&call, 600_000, 900_000) {
                let has_name = !labels.value("__name__").is_empty();
                match function.names {
                    Names::Dropped | Names::Distinct => assert!(!has_name, "{call} gives {labels}"),
                    Names::Kept => assert!(has_name, "{call} gives {labels}"),
                    Names::Rewritten => {}
                }
            }
        }
    }
}

/// Series that a function makes equal by taking their names off are refused, or joined where they have no step in
/// common; a row that says `Distinct` or `Kept` promises that none become equal.
#[test]
fn results_never_become_equal_unseen() {
    let two_names = "{host=\"x\",le=\"1\",__name__=~\"a_bucket|b_bucket\"}";
    let options = Options::default();
    for function in FUNCTIONS.iter().filter(|function| function.returns == ValueType::InstantVector) {
        for call in calls(function, two_names) {
            let expr = parse(&format!("count by (__name__, host, le) ({call}) > 1")).unwrap();
            match eval_instant(&Source, &expr, TimeMs(600_000), &options) {
                Ok(answer) => assert_eq!(answer.value, Value::Vector(Vec::new()), "{call}: equal series"),
                Err(EvalError::Execution(why)) if why.contains("same labelset") => {
                    assert!(matches!(function.names, Names::Dropped | Names::Rewritten), "{call}: {why}");
                }
                Err(EvalError::Execution(why)) if why.ends_with("is not evaluated by this engine yet") => {}
                Err(error) => panic!("{call}: {error}"),
            }
        }
    }
}
