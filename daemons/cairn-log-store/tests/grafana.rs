//! What Grafana sends at "Save & test" and for a plain Explore query, and what it must get: shape, status and, where
//! the data decides it, every byte. Answers are kept in `testdata/golden`; `CAIRN_REWRITE=1` writes them anew.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "modules of a test; its helpers may unwrap"
)]

mod support;

use std::path::Path;

use support::http::{Answer, ask, get, post};
use support::store::Store;

/// The data: six lines of one stream, one a second, errors and infos alternating, each with a trace.
const FIRST_SECOND: i64 = 1_793_620_740;
const RANGE: &str = "start=1793620680000000000&end=1793620800000000000";

fn store_with_lines() -> Store {
    // The lines are older than the default retention.
    let store = Store::start("log-store.toml", "[compactor]\nretention_enabled = false\n");
    let values: Vec<serde_json::Value> = (0..6)
        .map(|i: i64| {
            let level = if i % 2 == 0 { "info" } else { "error" };
            let status = if i % 2 == 0 { 200 } else { 500 };
            let line = format!(
                r#"{{"level":"{level}","request_id":"r{i}","status":{status},"dur":"{}ms","path":"<a&b>"}}"#,
                i * 10
            );
            let time = ((FIRST_SECOND + i) * 1_000_000_000).to_string();
            serde_json::json!([time, line, {"trace_id": format!("t{i}")}])
        })
        .collect();
    let body =
        serde_json::json!({"streams": [{"stream": {"job": "flask-app", "env": "prod"}, "values": values}]});
    let answer = post(store.address, "/loki/api/v1/push", "application/json", body.to_string().as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
    store
}

/// Compares status, content type and body (without the numbers of `stats`) with the golden file.
fn check(name: &str, answer: &Answer) {
    let mut body = answer.text();
    if let Some(at) = body.find(",\"stats\":{") {
        let stats: serde_json::Value = answer.json()["data"]["stats"].clone();
        for leaf in ["totalBytesProcessed", "totalLinesProcessed", "bytesProcessedPerSecond", "execTime"] {
            assert!(stats["summary"][leaf].is_number(), "{name}: stats.summary.{leaf}");
        }
        body = format!("{},\"stats\":...}}}}\n", &body[..at]);
    }
    let text = format!("{} {}\n{body}", answer.status, answer.header("Content-Type"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden").join(format!("{name}.txt"));
    if std::env::var_os("CAIRN_REWRITE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(text, want, "{name}");
}

#[test]
fn save_and_test_of_every_grafana() {
    let store = Store::start_default();
    // From Grafana 10: a sum at four seconds past the epoch, which Loki reads as the year 2096. No data is needed.
    let health = "/loki/api/v1/query?direction=backward&query=vector(1)%2Bvector(1)&time=4000000000";
    check("health_check", &get(store.address, health));
    // Up to Grafana 9: the labels must not be empty, so a fresh store cannot pass; it answers without data.
    check("labels_of_an_empty_store", &get(store.address, &format!("/loki/api/v1/labels?{RANGE}")));
    let buildinfo = get(store.address, "/loki/api/v1/status/buildinfo");
    assert_eq!(buildinfo.header("Content-Type"), "application/json");
    assert!(buildinfo.json()["version"].as_str().unwrap().starts_with("3."));
}

#[test]
fn explore() {
    let store = store_with_lines();
    let get = |target: &str| get(store.address, target);
    check("labels", &get(&format!("/loki/api/v1/labels?{RANGE}")));
    check("label_values", &get(&format!("/loki/api/v1/label/job/values?{RANGE}")));
    check("series", &get(&format!("/loki/api/v1/series?match%5B%5D=%7Bjob%3D%22flask-app%22%7D&{RANGE}")));
    check(
        "index_stats",
        &get(&format!("/loki/api/v1/index/stats?query=%7Bjob%3D%22flask-app%22%7D&{RANGE}")),
    );
    let query = "%7Bjob%3D%22flask-app%22%7D+%7C+json+%7C+status%3D%22500%22";
    let logs =
        format!("/loki/api/v1/query_range?direction=backward&limit=2&query={query}&{RANGE}&step=2000ms");
    check("logs_merged", &get(&logs));
    let categorize = [("X-Loki-Response-Encoding-Flags".to_owned(), "categorize-labels".to_owned())];
    check("logs_categorized", &ask(store.address, "GET", &logs, &categorize, None).unwrap());
    let form = format!("direction=backward&limit=2&query={query}&{RANGE}&step=2000ms");
    let posted =
        post(store.address, "/loki/api/v1/query_range", "application/x-www-form-urlencoded", form.as_bytes());
    check("logs_merged", &posted);
    let gzip =
        ask(store.address, "GET", &logs, &[("Accept-Encoding".to_owned(), "gzip".to_owned())], None).unwrap();
    assert_eq!(gzip.header("Content-Encoding"), "gzip");
    assert_eq!(gzip.header("Vary"), "Accept-Encoding");
    check("logs_merged", &gzip);
    let volume = "sum+by+(level%2C+detected_level)+(count_over_time(%7Bjob%3D%22flask-app%22%7D+%7C+drop+__error__%5B1m%5D))";
    check("log_volume", &get(&format!("/loki/api/v1/query_range?query={volume}&{RANGE}&step=60000ms")));
    check("detected_labels", &get(&format!("/loki/api/v1/detected_labels?{RANGE}")));
    check(
        "index_volume",
        &get(&format!("/loki/api/v1/index/volume?query=%7Bjob%3D%22flask-app%22%7D&{RANGE}")),
    );
}

#[test]
fn mistakes_are_told_in_lokis_words() {
    let store = store_with_lines();
    let get = |target: &str| get(store.address, target);
    check("empty_selector", &get("/loki/api/v1/query_range?query=%7B%7D"));
    check("log_query_at_an_instant", &get("/loki/api/v1/query?query=%7Bjob%3D%22flask-app%22%7D"));
    check("unfinished_query", &get("/loki/api/v1/query_range?query=%7Bjob%3D"));
    check("too_many_entries", &get("/loki/api/v1/query_range?query=%7Bjob%3D%22x%22%7D&limit=5001"));
    let old = "/loki/api/v1/query_range?query=%7Bjob%3D%22x%22%7D&start=1790000000&end=1793620800&step=3600";
    check("range_too_long", &get(old));
    check("get_of_push", &get("/loki/api/v1/push"));
    check("unknown_path", &get("/loki/api/v1/metadata"));
    check("trailing_slash", &get("/loki/api/v1/labels/"));
}
