//! What a real Loki answered (shared/logqltest), asked of the engine directly.
//!
//! `CAIRN_SHARED` names the shared folder. The cases that do not pass are listed in `logqltest-failing.txt`; the test
//! fails when another one does not, and when a listed one does. `LOGQLTEST_VERBOSE=1` prints each difference,
//! `LOGQLTEST_ONLY=text` runs the cases whose id or query contains the text.

#![allow(clippy::unwrap_used, reason = "a test: whatever is not as it should be fails it")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;

use cairn_logql::{
    Direction, Expr, LogQuery, MetricValue, Options, parse, query_instant, query_logs, query_range,
};
use cairn_model::{Labels, TimeNs, duration, number, time};
use serde_json::Value;
use support::MemorySource;

fn shared() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared");
    std::env::var_os("CAIRN_SHARED").map_or_else(|| PathBuf::from(default), PathBuf::from).join("logqltest")
}

fn load(source: &mut MemorySource) {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(shared().join("data")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        let mut text = String::new();
        flate2::read::GzDecoder::new(std::fs::File::open(&file).unwrap()).read_to_string(&mut text).unwrap();
        for body in text.lines() {
            let body: Value = serde_json::from_str(body).unwrap();
            for stream in body["streams"].as_array().unwrap() {
                let labels = Labels::from_pairs(pairs(&stream["stream"]));
                for value in stream["values"].as_array().unwrap() {
                    let time = value[0].as_str().unwrap().parse().unwrap();
                    source.push(&labels, time, value[1].as_str().unwrap(), &pairs(&value[2]));
                }
            }
        }
    }
}

fn pairs(object: &Value) -> Vec<(String, String)> {
    let empty = serde_json::Map::new();
    let members = object.as_object().unwrap_or(&empty);
    members.iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned())).collect()
}

/// What came of a case.
enum Outcome {
    Passed,
    /// Passed, but the error says it in other words.
    Wording(String),
    Failed(String),
}

fn run(source: &MemorySource, case: &Value) -> Outcome {
    let (status, body) = answer(source, case);
    let want_status = case["status"].as_u64().unwrap();
    // Faults of the query that Loki answers with 500 are the asker's fault all the same.
    let same = want_status == status || (want_status == 500 && status == 400);
    if !same {
        return Outcome::Failed(format!("status {want_status}, got {status}: {}", short(&body)));
    }
    if status >= 400 {
        let words = |v: &Value| v.as_str().unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ");
        if case["any_text"].as_bool() == Some(true) || words(&case["body"]) == words(&body) {
            return Outcome::Passed;
        }
        return Outcome::Wording(format!("{}\n      got {}", words(&case["body"]), words(&body)));
    }
    match compare(case, &case["body"]["data"], &body) {
        None => Outcome::Passed,
        Some(_) if case.get("may_differ").is_some_and(|v| v.as_bool() != Some(false)) => Outcome::Passed,
        Some(difference) => Outcome::Failed(difference),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

/// Status and `data` of the engine's answer, in the shape of the HTTP API.
fn answer(source: &MemorySource, case: &Value) -> (u64, Value) {
    let params = &case["params"];
    let param = |name: &str| params[name].as_str();
    let fail = |text: String| (400, Value::String(text));
    let options = Options::default();
    let expr = match parse(param("query").unwrap_or("")) {
        Ok(expr) => expr,
        Err(error) => return fail(error.to_string()),
    };
    let is_range = case["path"].as_str().unwrap().ends_with("query_range");
    let start = param("start").map_or(TimeNs(0), instant);
    let end = param("end").map_or(TimeNs(0), instant);
    let direction = match param("direction").map(str::to_lowercase).as_deref() {
        Some("forward") => Direction::Forward,
        _ => Direction::Backward,
    };
    match expr {
        Expr::Log(_) if !is_range => fail(
            "log queries are not supported as an instant query type, please change your query to a range query type"
                .to_owned(),
        ),
        Expr::Log(log) => {
            let limit = param("limit").map_or(100, |l| l.parse().unwrap());
            let interval = param("interval").map_or(0, step_of);
            let query = LogQuery { start, end, limit, direction, interval };
            match query_logs(source, &log, &query, &options) {
                Ok(answer) => (200, streams_json(&answer, case["headers"].is_object())),
                Err(error) => fail(error.to_string()),
            }
        }
        Expr::Metric(metric) => {
            let answer = if is_range {
                let default = ((end.0 - start.0) / 1_000_000_000 / 250).max(1) * 1_000_000_000;
                let step = param("step").map_or(default, step_of);
                query_range(source, &metric, start, end, step, &options)
            } else {
                query_instant(source, &metric, param("time").map_or(TimeNs(0), instant), &options)
            };
            match answer {
                Ok(answer) => (200, metric_json(&answer.value, param("time").map_or(TimeNs(0), instant))),
                Err(error) => fail(error.to_string()),
            }
        }
    }
}

fn instant(text: &str) -> TimeNs {
    if let Some(time) = time::parse_rfc3339(text) {
        return time;
    }
    if text.contains('.') {
        #[expect(clippy::cast_possible_truncation, reason = "a time of our era")]
        return TimeNs((text.parse::<f64>().unwrap() * 1000.0).round() as i64 * 1_000_000);
    }
    let value: i64 = text.parse().unwrap();
    TimeNs(if text.len() <= 10 { value * 1_000_000_000 } else { value })
}

#[expect(clippy::cast_possible_truncation, reason = "a step of at most days")]
fn step_of(text: &str) -> i64 {
    match text.parse::<f64>() {
        Ok(seconds) => (seconds * 1e9) as i64,
        Err(_) => duration::parse_prometheus(text).unwrap() * 1_000_000,
    }
}

fn object<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    Value::Object(pairs.into_iter().map(|(n, v)| (n.to_owned(), Value::String(v.to_owned()))).collect())
}

fn streams_json(answer: &cairn_logql::LogAnswer, categorize: bool) -> Value {
    let streams = answer.streams(categorize).into_iter().map(|stream| {
        let values = stream.entries.iter().map(|entry| {
            let line = String::from_utf8_lossy(&entry.line).into_owned();
            let mut value = vec![Value::String(entry.time.0.to_string()), Value::String(line)];
            if categorize {
                let mut third = serde_json::Map::new();
                if !entry.labels.metadata.is_empty() {
                    third.insert("structuredMetadata".to_owned(), object(entry.labels.metadata.iter()));
                }
                if !entry.labels.parsed.is_empty() {
                    let parsed = entry.labels.parsed.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                    third.insert("parsed".to_owned(), object(parsed));
                }
                value.push(Value::Object(third));
            }
            Value::Array(value)
        });
        let values: Vec<Value> = values.collect();
        serde_json::json!({"stream": object(stream.labels.iter().copied()), "values": values})
    });
    serde_json::json!({"resultType": "streams", "result": streams.collect::<Vec<_>>()})
}

fn metric_json(value: &MetricValue, time: TimeNs) -> Value {
    let point =
        |time: TimeNs, value: f64| serde_json::json!([time.to_ms().as_seconds(), number::plain_float(value)]);
    match value {
        MetricValue::Scalar(value) => {
            serde_json::json!({"resultType": "scalar", "result": point(time, *value)})
        }
        MetricValue::Vector(samples) => {
            let sample = |s: &cairn_logql::Sample| serde_json::json!({"metric": object(s.labels.iter()), "value": point(time, s.value)});
            serde_json::json!({"resultType": "vector", "result": samples.iter().map(sample).collect::<Vec<_>>()})
        }
        MetricValue::Matrix(series) => {
            let one = |s: &cairn_logql::Series| {
                let values: Vec<Value> = s.points.iter().map(|(t, v)| point(*t, *v)).collect();
                serde_json::json!({"metric": object(s.labels.iter()), "values": values})
            };
            serde_json::json!({"resultType": "matrix", "result": series.iter().map(one).collect::<Vec<_>>()})
        }
    }
}

type Key = Vec<(String, String)>;

/// Labels as a key; the text of error details is a library's and only has to be there.
fn key(labels: &Value) -> Key {
    let mut key = pairs(labels);
    for (name, value) in &mut key {
        if name == "__error_details__" {
            "*".clone_into(value);
        }
    }
    key.sort();
    key
}

fn compare(case: &Value, want: &Value, got: &Value) -> Option<String> {
    if want["resultType"] != got["resultType"] {
        return Some(format!("resultType {}, got {}", want["resultType"], got["resultType"]));
    }
    match want["resultType"].as_str().unwrap() {
        "scalar" => {
            (!same_number(&want["result"][1], &got["result"][1])).then(|| format!("{want}, got {got}"))
        }
        "streams" => compare_streams(case, &want["result"], &got["result"]),
        _ => compare_series(case, &want["result"], &got["result"]),
    }
}

fn same_number(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) =
        (a.as_str().and_then(number::parse_float), b.as_str().and_then(number::parse_float))
    else {
        return a == b;
    };
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= (1e-9 * a.abs().max(b.abs())).max(1e-15)
}

type Line = (i64, String, String);

fn stream_lines(case: &Value, result: &Value) -> BTreeMap<Key, Vec<Line>> {
    let ignore: Vec<&str> =
        case["ignore"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let forward = case["params"]["direction"].as_str().is_some_and(|d| d.eq_ignore_ascii_case("forward"));
    let mut out: BTreeMap<Key, Vec<Line>> = BTreeMap::new();
    for stream in result.as_array().unwrap() {
        let mut lines = Vec::new();
        let mut last = None;
        for value in stream["values"].as_array().unwrap() {
            let time: i64 = value[0].as_str().unwrap().parse().unwrap();
            if last.is_some_and(|last| if forward { time < last } else { time > last }) {
                lines.push((0, "not in the order of time".to_owned(), String::new()));
            }
            last = Some(time);
            let third = value[2].as_object().map(|groups| {
                groups.iter().map(|(group, labels)| format!("{group} {:?}", key(labels))).collect::<String>()
            });
            let line = value[1].as_str().unwrap();
            if !ignore.iter().any(|text| line.contains(text)) {
                lines.push((time, line.to_owned(), third.unwrap_or_default()));
            }
        }
        if !lines.is_empty() {
            out.entry(key(&stream["stream"])).or_default().append(&mut lines);
        }
    }
    out.values_mut().for_each(|lines| lines.sort());
    out
}

fn compare_streams(case: &Value, want: &Value, got: &Value) -> Option<String> {
    let (want, got) = (stream_lines(case, want), stream_lines(case, got));
    for (key, lines) in &want {
        match got.get(key) {
            None => {
                return Some(format!(
                    "stream missing: {key:?}\n      got e.g. {:?}",
                    got.keys().find(|k| !want.contains_key(*k))
                ));
            }
            Some(other) if other != lines => {
                let at =
                    lines.iter().zip(other).position(|(a, b)| a != b).unwrap_or(lines.len().min(other.len()));
                return Some(format!(
                    "{key:?}: {} lines, got {}; first other {:?}\n      got {:?}",
                    lines.len(),
                    other.len(),
                    lines.get(at),
                    other.get(at)
                ));
            }
            Some(_) => {}
        }
    }
    got.keys().find(|key| !want.contains_key(*key)).map(|key| format!("stream too many: {key:?}"))
}

type Points = Vec<(i64, Value)>;

/// Label set to its lists of points: Loki may give one set twice.
fn series_points(result: &Value) -> BTreeMap<Key, Vec<Points>> {
    let mut out: BTreeMap<Key, Vec<Points>> = BTreeMap::new();
    for series in result.as_array().unwrap() {
        let values = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
        #[expect(clippy::cast_possible_truncation, reason = "a time of our era")]
        let point = |v: Value| ((v[0].as_f64().unwrap() * 1000.0).round() as i64, v[1].clone());
        out.entry(key(&series["metric"])).or_default().push(values.into_iter().map(point).collect());
    }
    out.values_mut().for_each(|lists| lists.sort_by_key(|points| format!("{points:?}")));
    out
}

fn compare_series(case: &Value, want: &Value, got: &Value) -> Option<String> {
    let query = case["query"].as_str().unwrap_or("");
    let difference = compare_points(&series_points(want), &series_points(got));
    let is_top = ["topk", "bottomk"].iter().any(|w| query.contains(w));
    if difference.is_some() && is_top {
        // Other members of a tie at the cut are as good.
        let by_time = |result: &Value| {
            let mut all: BTreeMap<i64, Vec<String>> = BTreeMap::new();
            for (time, value) in series_points(result).into_values().flatten().flatten() {
                let value = number::parse_float(value.as_str().unwrap()).unwrap();
                all.entry(time).or_default().push(format!("{value:.9e}"));
            }
            all.values_mut().for_each(|values| values.sort());
            all
        };
        if by_time(want) == by_time(got) {
            return None;
        }
    }
    let starts = |word: &str| query.trim_start_matches([' ', '(']).starts_with(word);
    // A grouping at the very end belongs to the outermost aggregation, whose groups then come in any order.
    let before_last =
        query.trim_end().strip_suffix(')').and_then(|q| q.rsplit_once('(')).map_or("", |(before, _)| before);
    let is_grouped = ["by", "without"].iter().any(|word| before_last.trim_end().ends_with(word));
    if difference.is_none()
        && case["body"]["data"]["resultType"] == "vector"
        && !is_grouped
        && ["sort", "topk", "bottomk"].iter().any(|w| starts(w))
    {
        let values = |result: &Value| -> Vec<Value> {
            result.as_array().unwrap().iter().map(|s| s["value"][1].clone()).collect()
        };
        let (want, got) = (values(want), values(got));
        if want.iter().zip(&got).any(|(a, b)| !same_number(a, b)) {
            return Some(format!("values in another order: {want:?}, got {got:?}"));
        }
    }
    difference
}

fn compare_points(want: &BTreeMap<Key, Vec<Points>>, got: &BTreeMap<Key, Vec<Points>>) -> Option<String> {
    for (key, lists) in want {
        let Some(others) = got.get(key) else {
            let other = got.keys().find(|k| !want.contains_key(*k));
            return Some(format!("series missing: {key:?}\n      got e.g. {other:?}"));
        };
        if lists.len() != others.len() {
            return Some(format!("{key:?} listed {} times, got {}", lists.len(), others.len()));
        }
        for (points, other) in lists.iter().zip(others) {
            let is_same = |(a, b): (&(i64, Value), &(i64, Value))| a.0 == b.0 && same_number(&a.1, &b.1);
            if points.len() == other.len() && points.iter().zip(other).all(is_same) {
                continue;
            }
            let at = points.iter().zip(other).position(|pair| !is_same(pair));
            let at = at.unwrap_or(points.len().min(other.len()));
            return Some(format!(
                "{key:?}: {} points, got {}; first other {:?}, got {:?}",
                points.len(),
                other.len(),
                points.get(at),
                other.get(at)
            ));
        }
    }
    got.keys().find(|key| !want.contains_key(*key)).map(|key| format!("series too many: {key:?}"))
}

/// The cases that are known to fail, one id a line; `#` starts a reason.
const KNOWN_FAILING: &str = include_str!("logqltest-failing.txt");

#[test]
fn answers_of_a_real_loki() {
    if !shared().join("cases").is_dir() {
        println!("skipped: no shared/logqltest here (set CAIRN_SHARED)");
        return;
    }
    let verbose = std::env::var_os("LOGQLTEST_VERBOSE").is_some();
    let only = std::env::var("LOGQLTEST_ONLY").unwrap_or_default();
    let mut source = MemorySource::default();
    load(&mut source);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(shared().join("cases")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut failing = BTreeSet::new();
    let (mut n_passed, mut n_wording) = (0, 0);
    for file in files {
        let topic = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if topic == "push" || topic.starts_with("api-") {
            continue;
        }
        let (mut passed, mut total) = (0, 0);
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let (id, query) = (case["id"].as_str().unwrap(), case["query"].as_str().unwrap_or(""));
            if !(id.contains(&only) || query.contains(&only)) {
                continue;
            }
            total += 1;
            match run(&source, &case) {
                Outcome::Passed => passed += 1,
                Outcome::Wording(difference) => {
                    passed += 1;
                    n_wording += 1;
                    if verbose {
                        println!("WORDING {id} {query}\n      {difference}");
                    }
                }
                Outcome::Failed(difference) => {
                    failing.insert(id.to_owned());
                    if verbose {
                        println!("FAILED {id} {query}\n      {difference}");
                    }
                }
            }
        }
        n_passed += passed;
        if total > 0 {
            println!("{topic}: {passed} of {total}");
        }
    }
    println!("{n_passed} passed ({n_wording} in other words), {} failed", failing.len());
    if only.is_empty() {
        let known: BTreeSet<String> = KNOWN_FAILING
            .lines()
            .filter_map(|line| line.split('#').next()?.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        let lost: Vec<_> = failing.difference(&known).collect();
        let won: Vec<_> = known.difference(&failing).collect();
        assert!(lost.is_empty(), "cases that passed before: {lost:?}");
        assert!(won.is_empty(), "cases that pass now; take them from logqltest-failing.txt: {won:?}");
    }
}
