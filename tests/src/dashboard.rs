//! Cairn's own dashboards: every query of every panel, with what Grafana puts for its variables, put to the real stores.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::chain::now_ns;
use crate::http;
use crate::root::root;

/// What Grafana puts for its own variables, for a window of a minute and a scrape interval of a second.
const BUILT_IN: [(&str, &str); 3] = [("__rate_interval", "10s"), ("__interval", "5s"), ("__range", "60s")];

/// Seconds that a panel shows here.
const WINDOW_S: i64 = 60;

/// Seconds between two points.
const STEP_S: i64 = 5;

/// Folder of what the package `cairn-grafana` holds.
pub fn package_folder() -> PathBuf {
    root().join("packaging/cairn-grafana")
}

/// Which language and API a query speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Data source `cairn-metrics`.
    PromQl,
    /// Data source `cairn-logs`.
    LogQl,
}

/// One query of a dashboard, ready to be asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// Panel and letter, as in `Latency, B`.
    pub place: String,
    /// Language.
    pub language: Language,
    /// The expression with every variable replaced.
    pub text: String,
    /// Asked at one moment rather than over the window.
    pub instant: bool,
}

/// Where the stores answer.
#[derive(Clone, Copy, Debug)]
pub struct Stores {
    /// Log store.
    pub logs: SocketAddr,
    /// Metrics store.
    pub metrics: SocketAddr,
}

/// Reads a dashboard.
///
/// # Errors
/// When it is no JSON.
pub fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {} as JSON", path.display()))
}

/// All queries of a dashboard: of its panels, those in collapsed rows too, and of its annotations.
///
/// # Errors
/// When one uses a variable that nothing defines, or a data source that is not ours.
pub fn queries(dashboard: &Value) -> Result<Vec<Query>> {
    let variables = variables(dashboard);
    let mut found = Vec::new();
    let mut panels: Vec<&Value> = list(&dashboard["panels"]).iter().collect();
    while let Some(panel) = panels.pop() {
        panels.extend(list(&panel["panels"]));
        for target in list(&panel["targets"]) {
            let place = format!("{}, {}", word(&panel["title"]), word(&target["refId"]));
            found.push(query(&place, target, &variables).with_context(|| place.clone())?);
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        if annotation["expr"].is_string() {
            let place = format!("annotation {}", word(&annotation["name"]));
            found.push(query(&place, annotation, &variables).with_context(|| place.clone())?);
        }
    }
    found.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(found)
}

fn query(place: &str, target: &Value, variables: &BTreeMap<String, String>) -> Result<Query> {
    let language = match word(&target["datasource"]["uid"]) {
        "cairn-metrics" => Language::PromQl,
        "cairn-logs" => Language::LogQl,
        other => bail!("the data source {other:?} is not one of Cairn's"),
    };
    Ok(Query {
        place: place.to_owned(),
        language,
        text: replace(word(&target["expr"]), variables)?,
        instant: target["instant"] == true || target["queryType"] == "instant",
    })
}

/// What Grafana puts for each variable while nobody has chosen anything: "All", or the text as it is.
fn variables(dashboard: &Value) -> BTreeMap<String, String> {
    let own = list(&dashboard["templating"]["list"]).iter().map(|variable| {
        let value = if variable["includeAll"] == true { &variable["allValue"] } else { &variable["query"] };
        (word(&variable["name"]).to_owned(), word(value).to_owned())
    });
    BUILT_IN.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain(own).collect()
}

/// Replaces `$name` and `${name}`.
fn replace(text: &str, variables: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        let after = rest[at + 1..].strip_prefix('{').unwrap_or(&rest[at + 1..]);
        let braced = after.len() < rest.len() - at - 1;
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let name = &after[..end];
        out += variables.get(name).with_context(|| format!("nothing defines ${name} of {text}"))?;
        rest = &after[end..];
        if braced {
            rest = rest.strip_prefix('}').with_context(|| format!("${{{name} without end in {text}"))?;
        }
    }
    Ok(out + rest)
}

/// The queries that fill the dashboard's variables, as the path and parameters that Grafana asks.
///
/// # Errors
/// When one is not of the form `label_values(selector, label)`.
pub fn variable_queries(dashboard: &Value) -> Result<Vec<(String, Language, String, String)>> {
    let mut found = Vec::new();
    for variable in list(&dashboard["templating"]["list"]).iter().filter(|v| v["type"] == "query") {
        let name = word(&variable["name"]).to_owned();
        let text = variable["query"].as_str().unwrap_or_else(|| word(&variable["query"]["query"]));
        let inside = text.strip_prefix("label_values(").and_then(|t| t.strip_suffix(')'));
        let (selector, label) =
            inside.and_then(|t| t.rsplit_once(',')).with_context(|| format!("variable {name}: {text}"))?;
        let language =
            if variable["datasource"]["uid"] == "cairn-logs" { Language::LogQl } else { Language::PromQl };
        found.push((name, language, selector.trim().to_owned(), label.trim().to_owned()));
    }
    Ok(found)
}

/// The values of a label among the series of a selector.
///
/// # Errors
/// When the store refuses.
pub fn label_values(stores: Stores, language: Language, selector: &str, label: &str) -> Result<Vec<String>> {
    let (store, path, parameter) = match language {
        Language::PromQl => (stores.metrics, format!("/api/v1/label/{label}/values"), "match[]"),
        Language::LogQl => (stores.logs, format!("/loki/api/v1/label/{label}/values"), "query"),
    };
    let answer = http::get_with(store, &path, &[(parameter, selector)])?;
    ensure!(answer.status == 200, "{path} {selector}: {} {}", answer.status, answer.text());
    Ok(list(&answer.json()?["data"]).iter().map(|value| word(value).to_owned()).collect())
}

/// Asks a query over the last minute. Answers with how many points or lines came that show something: numbers, no NaN.
///
/// # Errors
/// When the store refuses, or answers with anything that Grafana would not show in a panel.
pub fn ask(query: &Query, stores: Stores) -> Result<usize> {
    let (store, path) = match (query.language, query.instant) {
        (Language::PromQl, false) => (stores.metrics, "/api/v1/query_range"),
        (Language::PromQl, true) => (stores.metrics, "/api/v1/query"),
        (Language::LogQl, false) => (stores.logs, "/loki/api/v1/query_range"),
        (Language::LogQl, true) => (stores.logs, "/loki/api/v1/query"),
    };
    let end = now_ns() / 1_000_000_000;
    let (start, end, step) = ((end - WINDOW_S).to_string(), end.to_string(), STEP_S.to_string());
    let mut parameters = vec![("query", query.text.as_str())];
    if query.instant {
        parameters.push(("time", &end));
    } else {
        parameters.extend([("start", start.as_str()), ("end", end.as_str()), ("step", step.as_str())]);
    }
    let answer = http::get_with(store, path, &parameters)?;
    ensure!(answer.status == 200, "{}: {}: {} {}", query.place, query.text, answer.status, answer.text());
    let json = answer.json()?;
    let is_number = |point: &&Value| {
        point[1].as_str().and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite)
    };
    let result = list(&json["data"]["result"]);
    match word(&json["data"]["resultType"]) {
        "streams" => Ok(result.iter().map(|stream| list(&stream["values"]).len()).sum()),
        "matrix" => {
            Ok(result.iter().map(|series| list(&series["values"]).iter().filter(is_number).count()).sum())
        }
        "vector" => Ok(result.iter().map(|series| &series["value"]).filter(is_number).count()),
        other => bail!("{}: {}: a {other:?} cannot be shown", query.place, query.text),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_unknown_ones_refused() {
        let known = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("a_b".to_owned(), "2".to_owned())]);
        for (text, want) in [("x", "x"), ("$a", "1"), ("${a}b", "1b"), ("$a_b-$a", "2-1"), ("[$a]", "[1]")] {
            assert_eq!(replace(text, &known).unwrap(), want);
        }
        for text in ["$b", "${a", "${a:csv}", "$"] {
            assert!(replace(text, &known).is_err(), "{text}");
        }
    }
}
