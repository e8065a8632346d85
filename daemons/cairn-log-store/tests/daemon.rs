//! The daemon as a process: start, stop, restart, reload, and what keeps it from starting.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "modules of a test; its helpers may unwrap"
)]

mod support;

use support::http::{announce, ask, begin, get, post};
use support::store::{Store, run_to_end};

fn now_ns() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_nanos().try_into().unwrap()
}

fn push_line(store: &Store, line: &str) -> u16 {
    let body = serde_json::json!({
        "streams": [{"stream": {"job": "test"}, "values": [[now_ns().to_string(), line]]}]
    });
    post(store.address, "/loki/api/v1/push", "application/json", body.to_string().as_bytes()).status
}

#[test]
fn what_was_pushed_is_there_after_a_restart() {
    let mut store = Store::start_default();
    assert_eq!(push_line(&store, "kept"), 204);
    store = store.restart("log-store.toml");
    let labels = get(store.address, "/loki/api/v1/labels").json();
    assert_eq!(labels["data"], serde_json::json!(["job", "service_name"]));
    let log = store.log();
    assert!(!log.contains("level=warn") && !log.contains("level=error"), "{log}");
    store.terminate();
}

#[test]
fn health_metrics_and_pages_answer() {
    let store = Store::start_default();
    assert_eq!(push_line(&store, "counted"), 204);
    for (path, status, starts_with) in [
        ("/ready", 200, "ready\n"),
        ("/-/ready", 200, "ready\n"),
        ("/-/healthy", 200, "healthy\n"),
        ("/config", 200, "auth_enabled: false\n"),
        ("/services", 200, "server => Running\n"),
        ("/log_level", 200, "{\"message\":\"Current log level is info\"}"),
        ("/loki/api/v1/status/buildinfo", 200, "{"),
        ("/prometheus/api/v1/rules", 200, "{\"status\":\"success\",\"data\":{\"groups\":[]}"),
        ("/prometheus/api/v1/alerts", 200, "{\"status\":\"success\",\"data\":{\"alerts\":[]}"),
        ("/prometheus/api/v1/rules?type=zz", 400, "{"),
        ("/api/prom/rules", 404, "no rule groups found\n"),
        ("/loki/api/v1/drilldown-limits", 200, "{\"limits\":{"),
        ("/nowhere", 404, "404 page not found\n"),
    ] {
        let answer = get(store.address, path);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().starts_with(starts_with), "{path}: {}", answer.text());
    }
    assert_eq!(post(store.address, "/flush", "text/plain", b"").status, 204);
    let drilldown = get(store.address, "/loki/api/v1/drilldown-limits").json();
    assert_eq!(drilldown["limits"]["retention_period"], "1w");
    let metrics = get(store.address, "/metrics").text();
    for line in [
        "loki_distributor_lines_received_total{tenant=\"fake\"} 1",
        "loki_request_duration_seconds_count{method=\"POST\",route=\"loki_api_v1_push\",status_code=\"204\",ws=\"false\"} 1",
        "cairn_log_store_entries_stored_total 1",
        "cairn_log_store_pushes_total 1",
        "loki_ingester_memory_streams 1",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn other_methods_are_405_without_a_text() {
    let store = Store::start_default();
    for (method, path) in
        [("GET", "/loki/api/v1/push"), ("DELETE", "/loki/api/v1/query_range"), ("PUT", "/loki/api/v1/labels")]
    {
        let answer = ask(store.address, method, path, &[], None).unwrap();
        assert_eq!((answer.status, answer.body.len()), (405, 0), "{method} {path}");
    }
}

#[test]
fn a_reload_takes_good_files_and_refuses_bad_ones() {
    let mut store = Store::start("log-store.toml", "[limits_config]\nmax_line_size = \"1KB\"\n");
    let long = "x".repeat(1025);
    assert_eq!(push_line(&store, &long), 400);
    std::fs::write(store.path("log-store.toml"), "[limits_config]\nmax_line_size = \"2KB\"\n").unwrap();
    store.hang_up();
    store.wait_for("the new limit", |store| (push_line(store, &long) == 204).then_some(()));
    std::fs::write(store.path("log-store.toml"), "[limits_config]\nmax_line_size = \"nothing\"\n").unwrap();
    assert_eq!(post(store.address, "/-/reload", "text/plain", b"").status, 200);
    store.wait_for("the refusal", |store| store.log().contains("configuration not reloaded").then_some(()));
    assert_eq!(push_line(&store, &long), 204, "the old configuration stays");
    assert!(
        get(store.address, "/metrics").text().contains("cairn_log_store_config_last_reload_successful 0")
    );
}

#[test]
fn tenants_are_kept_apart() {
    let store = Store::start("log-store.toml", "auth_enabled = true\n");
    let of = |tenant: &str| vec![("X-Scope-OrgID".to_owned(), tenant.to_owned())];
    let body =
        format!("{{\"streams\":[{{\"stream\":{{\"job\":\"a\"}},\"values\":[[\"{}\",\"x\"]]}}]}}", now_ns());
    let mut headers = of("one");
    headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    let answer = ask(store.address, "POST", "/loki/api/v1/push", &headers, Some(body.as_bytes())).unwrap();
    assert_eq!(answer.status, 204);
    let labels = |headers: &[(String, String)]| {
        ask(store.address, "GET", "/loki/api/v1/labels", headers, None).unwrap()
    };
    assert_eq!(labels(&of("one")).json()["data"], serde_json::json!(["job", "service_name"]));
    assert_eq!(labels(&of("two")).json(), serde_json::json!({"status": "success"}));
    let nobody = labels(&[]);
    assert_eq!((nobody.status, nobody.text().as_str()), (401, "no org id\n"));
    let bad = labels(&of("a b"));
    assert_eq!(
        (bad.status, bad.text().as_str()),
        (400, "tenant ID 'a b' contains unsupported character ' '\n")
    );
    assert_eq!(get(store.address, "/ready").status, 200, "no tenant needed");
}

#[test]
fn a_push_that_is_too_large_or_broken_is_refused() {
    let store = Store::start_default();
    let answer = announce(store.address, "/loki/api/v1/push", (64 << 20) + 1).unwrap();
    assert_eq!(answer.status, 413, "{}", answer.text());
    for (content_type, body, text) in [
        ("application/x-protobuf", &b"\xff\xff\xff"[..], "snappy: corrupt input\n"),
        ("application/json", b"{", ""),
    ] {
        let answer = post(store.address, "/loki/api/v1/push", content_type, body);
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(text) && answer.text().ends_with('\n'), "{}", answer.text());
    }
    assert_eq!(push_line(&store, "still up"), 204);
}

#[test]
fn pushes_that_never_end_do_not_hold_up_the_others() {
    let store = Store::start_default();
    let unfinished: Vec<_> = (0..64)
        .map(|n| {
            begin(store.address, "/loki/api/v1/push", 64 << 20).unwrap_or_else(|e| panic!("push {n}: {e}"))
        })
        .collect();
    assert_eq!(push_line(&store, "in between"), 204);
    drop(unfinished);
}

#[test]
fn what_keeps_it_from_starting_is_told() {
    let mut store = Store::start_default();
    let data = store.path("data");
    let locked = run_to_end(&["--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    let text = String::from_utf8(locked.stderr).unwrap();
    assert_eq!(locked.status.code(), Some(1), "{text}");
    assert!(text.contains("in use by process") && text.contains(data.to_str().unwrap()), "{text}");

    let other = tempfile::tempdir().unwrap();
    let port =
        run_to_end(&["--listen", &store.address.to_string(), "--data-dir", other.path().to_str().unwrap()]);
    let text = String::from_utf8(port.stderr).unwrap();
    assert_eq!(port.status.code(), Some(1), "{text}");
    assert!(text.contains("the port is in use"), "{text}");

    let unwritable = run_to_end(&["--listen", "127.0.0.1:0", "--data-dir", "/proc/nowhere"]);
    let text = String::from_utf8(unwritable.stderr).unwrap();
    assert_eq!(unwritable.status.code(), Some(1), "{text}");
    assert!(text.contains("/proc/nowhere"), "{text}");
    store.terminate();
}
