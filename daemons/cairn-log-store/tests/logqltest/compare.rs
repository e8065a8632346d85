//! The rules by which an answer counts as equal to the recorded one: shared/logqltest/README.md section 5.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::case::Case;

/// What an answer differs in; the second list is about the wording of errors, which is no failure.
#[derive(Debug, Default)]
pub struct Verdict {
    pub differences: Vec<String>,
    pub remarks: Vec<String>,
}

/// Sample values: equal within `rel`, or within `floor`.
#[derive(Clone, Copy)]
struct Tolerance {
    rel: f64,
    floor: f64,
}

const EXACT: Tolerance = Tolerance { rel: 1e-9, floor: 1e-15 };
const VOLUME: Tolerance = Tolerance { rel: 0.2, floor: 4096.0 };

type LabelKey = Vec<(String, String)>;

/// Compares one answer with the recorded one.
pub fn differences(case: &Case, status: u16, content_type: &str, data: &[u8]) -> Verdict {
    let want = case.get("body");
    let got = parse(data);
    let want_status = case.number("status");
    let is_routing = |s: u64| s == 404 || s == 405;
    if u64::from(status) != want_status && !(is_routing(status.into()) && is_routing(want_status)) {
        return failed(format!("HTTP {want_status}, got {status}: {}", show(&got)));
    }
    if status >= 400 {
        if !truthy(want) || truthy(case.get("any_text")) {
            return Verdict::default();
        }
        let empty = String::from_utf8_lossy(data).trim().is_empty();
        return Verdict {
            differences: if empty { vec!["no error text".to_owned()] } else { vec![] },
            remarks: other("", &Value::from(error_text(want)), &Value::from(error_text(&got))),
        };
    }
    let media = |s: &str| s.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let want_type = case.text("content_type");
    if media(content_type) != media(want_type) {
        return failed(format!("content type {want_type}, got {content_type}"));
    }
    let how = case.text("compare");
    if how == "status" {
        return Verdict::default();
    }
    if how == "push" || want.is_object() != got.is_object() {
        return of(other("", want, &got));
    }
    match how {
        "json" | "json-set" => return of(compare_json(how, want, &got)),
        "fields" => return of(compare_fields(want, &got)),
        "stats" => return of(compare_stats(case, want, &got)),
        _ => {}
    }
    let tolerance = if how == "volume" { VOLUME } else { EXACT };
    let mut differences = compare_query(case, want, &got, tolerance, &[]);
    if !differences.is_empty()
        && compare_query(case, want, &got, EXACT, &["detected_level", "service_name"]).is_empty()
    {
        differences.push("(equal without detected_level and service_name)".to_owned());
    }
    Verdict {
        differences,
        remarks: other("warnings ", list_or_empty(&want["warnings"]), list_or_empty(&got["warnings"])),
    }
}

fn failed(text: String) -> Verdict {
    of(vec![text])
}

fn of(differences: Vec<String>) -> Verdict {
    Verdict { differences, remarks: vec![] }
}

fn parse(data: &[u8]) -> Value {
    serde_json::from_slice(data).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(data).into_owned()))
}

fn error_text(body: &Value) -> String {
    let text = match body {
        Value::Object(map) => {
            map.get("message").filter(|m| truthy(m)).or(map.get("error")).cloned().unwrap_or_default()
        }
        other => other.clone(),
    };
    let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::Bool(true) => true,
    }
}

fn list_or_empty(value: &Value) -> &Value {
    static EMPTY: Value = Value::Array(vec![]);
    if value.is_null() { &EMPTY } else { value }
}

/// Equality in which 1 and 1.0 are the same number.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| equal(v, w)))
        }
        _ => a == b,
    }
}

fn show(value: &Value) -> String {
    value.to_string().chars().take(160).collect()
}

fn other(what: &str, want: &Value, got: &Value) -> Vec<String> {
    if equal(want, got) {
        return vec![];
    }
    let (x, y): (Vec<char>, Vec<char>) =
        (want.to_string().chars().collect(), got.to_string().chars().collect());
    let common = x.iter().zip(&y).take_while(|(a, b)| a == b).count();
    let at = common.saturating_sub(40);
    let cut = |text: &[char]| text.iter().skip(at).take(160).collect::<String>();
    vec![format!("{what}{}, got {}", cut(&x), cut(&y))]
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
}

fn same(x: &Value, y: &Value, tolerance: Tolerance) -> bool {
    let (Some(a), Some(b)) = (number_of(x), number_of(y)) else { return false };
    #[expect(clippy::float_cmp, reason = "equal infinities")]
    let equal = a == b || a.is_nan() && b.is_nan();
    let allowed = (tolerance.rel * a.abs().max(b.abs())).max(tolerance.floor);
    equal || a.is_finite() && b.is_finite() && (a - b).abs() <= allowed
}

fn labels(set: &Value, strip: &[&str]) -> LabelKey {
    let mut out: LabelKey = set
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !strip.contains(&name.as_str()))
        .map(|(name, value)| {
            let masked = name == "__error_details__";
            (name.clone(), if masked { "*".to_owned() } else { value.as_str().unwrap_or("?").to_owned() })
        })
        .collect();
    out.sort();
    out
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Label set to its lines by time and text; lines against the direction are reported as one more.
fn streams(
    result: &Value,
    forward: bool,
    ignore: &[Value],
    strip: &[&str],
) -> BTreeMap<LabelKey, Vec<(i128, String, String)>> {
    let mut out: BTreeMap<LabelKey, Vec<(i128, String, String)>> = BTreeMap::new();
    for stream in items(result) {
        let lines = out.entry(labels(&stream["stream"], strip)).or_default();
        let mut times = Vec::new();
        for value in items(&stream["values"]) {
            let time: i128 = value[0].as_str().and_then(|t| t.parse().ok()).unwrap_or(-1);
            times.push(time);
            let text = value[1].as_str().unwrap_or("<no text>").to_owned();
            let mut third: Vec<(String, LabelKey)> = value
                .get(2)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(group, set)| (group.clone(), labels(set, strip)))
                .collect();
            third.sort();
            let third = if value.get(2).is_some() { format!("{third:?}") } else { String::new() };
            if !ignore.iter().filter_map(Value::as_str).any(|i| text.contains(i)) {
                lines.push((time, text, third));
            }
        }
        if !times.is_sorted_by(|a, b| if forward { a <= b } else { a >= b }) {
            lines.push((0, "not in the order of time".to_owned(), String::new()));
        }
    }
    out.values_mut().for_each(|lines| lines.sort());
    out
}

/// Points of one series of a vector or matrix.
fn points(series: &Value) -> Vec<Value> {
    match series.get("values") {
        Some(values) => items(values).to_vec(),
        None => vec![series["value"].clone()],
    }
}

fn series(result: &Value, strip: &[&str]) -> BTreeMap<LabelKey, Vec<Vec<Value>>> {
    let mut out: BTreeMap<LabelKey, Vec<Vec<Value>>> = BTreeMap::new();
    for one in items(result) {
        out.entry(labels(&one["metric"], strip)).or_default().push(points(one));
    }
    out.values_mut().for_each(|lists| lists.sort_by_key(|points| format!("{points:?}")));
    out
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of our era")]
fn time_ms(point: &Value) -> i64 {
    (point[0].as_f64().unwrap_or(f64::NAN) * 1000.0).round() as i64
}

fn by_time(result: &Value) -> BTreeMap<i64, Vec<String>> {
    let mut out: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for point in items(result).iter().flat_map(points) {
        let text = format!("{:.8e}", number_of(&point[1]).unwrap_or(f64::NAN));
        out.entry(time_ms(&point)).or_default().push(text);
    }
    out.values_mut().for_each(|values| values.sort());
    out
}

fn compare_sets<T, U>(a: &BTreeMap<LabelKey, T>, b: &BTreeMap<LabelKey, U>, what: &str) -> Vec<String> {
    let missing: Vec<_> = a.keys().filter(|k| !b.contains_key(*k)).collect();
    let extra: Vec<_> = b.keys().filter(|k| !a.contains_key(*k)).collect();
    [("missing", missing), ("too many", extra)]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(how, list)| format!("{what} {how}: {}, e.g. {:?}", list.len(), list[0]))
        .collect()
}

fn compare_query(
    case: &Case,
    want: &Value,
    got: &Value,
    tolerance: Tolerance,
    strip: &[&str],
) -> Vec<String> {
    let (w, g) = (&want["data"], &got["data"]);
    for key in ["resultType", "encodingFlags"] {
        let differs = other(&format!("{key} "), &w[key], &g[key]);
        if !differs.is_empty() {
            return differs;
        }
    }
    let (a, b) = (&w["result"], &g["result"]);
    match w["resultType"].as_str() {
        Some("scalar") => compare_scalar(a, b),
        Some("streams") => compare_streams(case, a, b, strip),
        kind => compare_series(case, kind == Some("vector"), a, b, tolerance, strip),
    }
}

/// Loki writes a scalar's time in milliseconds; seconds are as good.
fn compare_scalar(a: &Value, b: &Value) -> Vec<String> {
    let (Some(ta), Some(tb)) = (a[0].as_f64(), b[0].as_f64()) else { return vec!["scalar".to_owned()] };
    let time_fits = [ta, ta / 1000.0].iter().any(|t| (tb - t).abs() < 1e-3);
    if same(&a[1], &b[1], EXACT) && time_fits { vec![] } else { vec![format!("scalar {a}, got {b}")] }
}

fn compare_streams(case: &Case, a: &Value, b: &Value, strip: &[&str]) -> Vec<String> {
    let forward = case.param("direction").eq_ignore_ascii_case("forward");
    let ignore = items(case.get("ignore"));
    let (a, b) = (streams(a, forward, ignore, strip), streams(b, forward, ignore, strip));
    let mut out = compare_sets(&a, &b, "streams");
    for (key, x) in &a {
        let Some(y) = b.get(key).filter(|y| *y != x) else { continue };
        let at = x.iter().zip(y).position(|(x, y)| x != y).unwrap_or(x.len().min(y.len()));
        let cut =
            |line: Option<&(i128, String, String)>| format!("{line:?}").chars().take(300).collect::<String>();
        out.push(format!(
            "{key:?}: {} lines, got {}; first other: {}, got {}",
            x.len(),
            y.len(),
            cut(x.get(at)),
            cut(y.get(at))
        ));
    }
    out
}

fn compare_series(
    case: &Case,
    is_vector: bool,
    want: &Value,
    got: &Value,
    tolerance: Tolerance,
    strip: &[&str],
) -> Vec<String> {
    let (a, b) = (series(want, strip), series(got, strip));
    let mut out = compare_sets(&a, &b, "series");
    for (key, lists) in &a {
        let Some(others) = b.get(key) else { continue };
        if lists.len() != others.len() {
            out.push(format!("{key:?} listed so often: {}, got {}", lists.len(), others.len()));
        }
        for (x, y) in lists.iter().zip(others) {
            let times = |points: &[Value]| points.iter().map(time_ms).collect::<Vec<_>>();
            if times(x) != times(y) {
                let at = x
                    .iter()
                    .zip(y)
                    .position(|(x, y)| time_ms(x) != time_ms(y))
                    .unwrap_or(x.len().min(y.len()));
                out.push(format!(
                    "{key:?}: {} points, got {}; first other {:?}, got {:?}",
                    x.len(),
                    y.len(),
                    x.get(at),
                    y.get(at)
                ));
            } else if let Some((x, y)) =
                x.iter().zip(y).find(|(x, y)| !same(&x[1], &y[1], tolerance) || !y[1].is_string())
            {
                out.push(format!("{key:?}: {x}, got {y}"));
            }
        }
    }
    let query = case.text("query");
    if !out.is_empty() && matches(r"\b(approx_topk|topk|bottomk)\b", query) && by_time(want) == by_time(got) {
        return vec![]; // other members of a tie at the cut
    }
    let is_ordered = is_vector
        && matches(r"^[\s(]*(sort|sort_desc|topk|bottomk)\s*\(", query)
        && !matches(r"\b(by|without)\b[^()]*\([^()]*\)\s*$", query);
    if out.is_empty() && is_ordered {
        let in_order =
            items(want).iter().zip(items(got)).all(|(x, y)| same(&x["value"][1], &y["value"][1], EXACT));
        if !in_order {
            out.push("values in another order".to_owned());
        }
    }
    out
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).expect("patterns here are constant").is_match(text)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list = list.clone();
            list.sort_by_key(ToString::to_string);
            Value::Array(list)
        }
        other => other.clone(),
    }
}

fn compare_json(how: &str, want: &Value, got: &Value) -> Vec<String> {
    let clean = |value: &Value| match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(k, v)| *k != "stats" && (*k != "data" || truthy(v)))
                .map(|(k, v)| (k.clone(), if how == "json-set" { sorted(v) } else { v.clone() }))
                .collect::<Map<_, _>>(),
        ),
        other => other.clone(),
    };
    other("", &clean(want), &clean(got))
}

fn compare_fields(want: &Value, got: &Value) -> Vec<String> {
    let keys = |v: &Value| {
        Value::from(v.as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect::<Vec<_>>())
    };
    let mut out = other("keys ", &sorted(&keys(want)), &sorted(&keys(got)));
    for (key, x) in want.as_object().into_iter().flatten() {
        let y = &got[key];
        if !items(x).first().is_some_and(Value::is_object) {
            out.extend(other(&format!("{key}: "), &sorted(x), &sorted(y)));
            continue;
        }
        let by_label = |v: &Value| {
            items(v)
                .iter()
                .map(|e| (e["label"].as_str().unwrap_or("").to_owned(), e.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let (a, b) = (by_label(x), by_label(y));
        let names = |m: &BTreeMap<String, Value>| Value::from(m.keys().cloned().collect::<Vec<_>>());
        out.extend(other(&format!("{key}: "), &names(&a), &names(&b)));
        for (name, field) in &a {
            let Some(found) = b.get(name) else { continue };
            for (property, value) in field.as_object().into_iter().flatten() {
                let z = &found[property];
                let fits = match property.as_str() {
                    "cardinality" => same(value, z, Tolerance { rel: 0.1, floor: 1.0 }),
                    "parsers" => sorted(list_or_empty(value)) == sorted(list_or_empty(z)),
                    _ => equal(value, z),
                };
                if !fits {
                    out.push(format!("{name}.{property}: {value}, got {z}"));
                }
            }
        }
    }
    out
}

fn compare_stats(case: &Case, want: &Value, got: &Value) -> Vec<String> {
    let truth = |key: &str| case.get("truth")[key].as_f64().unwrap_or(0.0);
    let mut out = other("streams ", &case.get("truth")["streams"], &got["streams"]);
    let slack = 2048.0 * truth("streams").max(1.0);
    for (key, low, high) in [
        ("entries", truth("entries"), 2.0 * truth("entries")),
        ("bytes", 0.7 * truth("bytes") - slack, 2.6 * truth("bytes") + slack),
    ] {
        if !got[key].as_f64().is_some_and(|value| (low..=high).contains(&value)) {
            out.push(format!("{key} {}, expected {low} to {high}", got[key]));
        }
    }
    if truthy(&want["chunks"]) != truthy(&got["chunks"]) {
        out.push(format!("chunks {}, got {}", want["chunks"], got["chunks"]));
    }
    out
}
