//! What Grafana sends on "Save & test", in Explore and in its query builder, and what it must read.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use serde_json::{Value, json};
use support::{Page, Store, Target, one_job};

const PAGE: &str = "# HELP app_requests_total Requests served.\n# TYPE app_requests_total counter\n\
                    app_requests_total{path=\"/\"} 3\napp_requests_total{path=\"/x\"} 4\n\
                    # TYPE app_size gauge\napp_size 1.5\n";

async fn running() -> (tempfile::TempDir, Target, Store) {
    running_with(&[]).await
}

async fn running_with(flags: &[&str]) -> (tempfile::TempDir, Target, Store) {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::serve(Page::text(PAGE)).await;
    let store = Store::start_with(dir.path(), &one_job(&target, ""), flags).await;
    store.until_value("app_size", 1.5).await;
    (dir, target, store)
}

fn seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn save_and_test() {
    let (_dir, _target, store) = running().await;
    let want = r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#;
    let answer = store.post("/api/v1/query", "query=1%2B1&time=4").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, want));
    assert_eq!(answer.header("content-type"), "application/json");
    let answer = store.get("/api/v1/query?query=1%2B1&time=4").await;
    assert_eq!(answer.body, want);

    // Grafana asks by POST first and falls back on 405 only.
    let answer = store.post("/api/v1/status/buildinfo", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (405, "Method Not Allowed\n"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let data = store.get("/api/v1/status/buildinfo").await.json()["data"].clone();
    assert_eq!(data["version"], "3.14.0");
    assert!(data.get("features").is_none(), "Grafana would take the store for Mimir");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explore_asks_ranges_and_instants() {
    let (_dir, _target, store) = running().await;
    let now = seconds();
    let form = format!("query=app_requests_total&start={}&end={}&step=15", now - 60, now);
    let answer = store.post("/api/v1/query_range", &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let data = answer.json()["data"].clone();
    assert_eq!(data["resultType"], "matrix");
    // Until the next full second has passed there may be nothing at `end` yet, but never more than two series.
    let paths: Vec<&Value> =
        data["result"].as_array().unwrap().iter().map(|one| &one["metric"]["path"]).collect();
    assert!(paths.is_empty() || paths == ["/", "/x"], "{paths:?}");

    let form = format!("query=sum(app_requests_total)&time={}", now + 1);
    let answer = store.post("/api/v1/query", &form).await.json();
    assert_eq!(answer["data"]["resultType"], "vector");
    assert_eq!(answer["data"]["result"], json!([{"metric": {}, "value": [now + 1, "7"]}]));

    for (query, error) in [
        ("up{", r#"invalid parameter "query": 1:4: parse error: unexpected end of input inside braces"#),
        ("", r#"invalid parameter "query": unknown position: parse error: no expression found in input"#),
    ] {
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        let answer = store.post("/api/v1/query", &form).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json(), json!({"status": "error", "errorType": "bad_data", "error": error}));
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn range_queries_check_their_parameters() {
    let (_dir, _target, store) = running().await;
    for (form, error) in [
        ("query=up&end=1&step=1", r#"invalid parameter "start": cannot parse "" to a valid timestamp"#),
        (
            "query=up&start=2&end=1&step=1",
            r#"invalid parameter "end": end timestamp must not be before start time"#,
        ),
        (
            "query=up&start=1&end=2&step=x",
            r#"invalid parameter "step": cannot parse "x" to a valid duration"#,
        ),
        (
            "query=up&start=1&end=2&step=0",
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        ),
        (
            "query=up&start=0&end=11001&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            "query=up[5m]&start=0&end=1&step=1",
            r#"invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector"#,
        ),
        (
            "query=up&start=0&end=1&step=1&limit=-1",
            r#"invalid parameter "limit": limit must be non-negative"#,
        ),
    ] {
        let answer = store.post("/api/v1/query_range", form).await;
        assert_eq!(answer.status, 400, "{form}: {}", answer.body);
        assert_eq!(answer.json()["error"], error, "{form}");
    }
    // 11001 points pass.
    let answer = store.get("/api/v1/query_range?query=1&start=0&end=11000&step=1").await;
    assert_eq!(answer.json()["data"]["result"][0]["values"].as_array().unwrap().len(), 11_001);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_are_probed_with_milliseconds() {
    let (_dir, _target, store) = running().await;
    let now_ms = seconds() * 1000;
    let path = format!("/api/v1/query_exemplars?query=test&start={}&end={now_ms}", now_ms - 1000);
    let answer = store.get(&path).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"success","data":[]}"#));
    let answer = store.get("/api/v1/query_exemplars?query=1").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "no selector, no data at all");
    let answer = store.get("/api/v1/query_exemplars?query=test&start=2&end=1").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"], "end timestamp must not be before start timestamp");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builder_reads_labels_series_and_metadata() {
    let (_dir, _target, store) = running().await;
    let data = async |path: &str| {
        let answer = store.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()["data"].clone()
    };
    assert_eq!(data("/api/v1/labels").await, json!(["__name__", "instance", "job", "path"]));
    assert_eq!(
        data("/api/v1/labels?match[]=app_size&limit=40000").await,
        json!(["__name__", "instance", "job"])
    );
    assert_eq!(data("/api/v1/label/path/values").await, json!(["/", "/x"]));
    let names = data("/api/v1/label/__name__/values").await;
    for name in ["app_requests_total", "app_size", "scrape_duration_seconds", "up"] {
        assert!(names.as_array().unwrap().contains(&name.into()), "{names}");
    }
    assert_eq!(data("/api/v1/label/U__a_2e_b/values").await, json!([]));
    for path in ["labels?start=0&end=1", "label/path/values?start=0&end=1", "labels?start=10&end=5"] {
        assert_eq!(data(&format!("/api/v1/{path}")).await, json!([]), "{path}: before everything stored");
    }
    let answer = store.get("/api/v1/label/%FF/values").await;
    assert_eq!((answer.status, answer.json()["errorType"].clone()), (400, "bad_data".into()));
    let answer = store.get("/api/v1/label/path/values?limit=1").await.json();
    assert_eq!(answer["data"], json!(["/"]));
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));

    let instance = store.query("app_size").await[0]["metric"]["instance"].clone();
    let series =
        store.post("/api/v1/series", "match[]=app_requests_total%7Bpath%3D%22/%22%7D&match[]=app_size").await;
    assert_eq!(
        series.json()["data"],
        json!([
            {"__name__": "app_requests_total", "instance": instance, "job": "app", "path": "/"},
            {"__name__": "app_size", "instance": instance, "job": "app"},
        ])
    );
    let answer = store.get("/api/v1/series").await;
    assert_eq!(
        (answer.status, answer.json()["error"].clone()),
        (400, "no match[] parameter provided".into())
    );

    let metadata = data("/api/v1/metadata").await;
    assert_eq!(
        metadata["app_requests_total"],
        json!([{"type": "counter", "unit": "", "help": "Requests served."}])
    );
    assert_eq!(data("/api/v1/metadata?limit=0").await, json!({}));
    assert_eq!(store.get("/api/v1/metadata?limit=x").await.json()["error"], "limit must be a number");
    for path in ["/api/v1/metadata", "/api/v1/label/job/values", "/api/v1/targets", "/api/v1/rules"] {
        assert_eq!(store.post(path, "").await.status, 405, "{path}");
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_alerts_and_status_have_their_shapes() {
    let (dir, _target, store) = running().await;
    let data = async |path: &str| store.get(path).await.json()["data"].clone();
    assert_eq!(data("/api/v1/rules").await, json!({"groups": []}));
    assert_eq!(data("/api/v1/alerts").await, json!({"alerts": []}));
    assert_eq!(
        data("/api/v1/alertmanagers").await,
        json!({"activeAlertmanagers": [], "droppedAlertmanagers": []})
    );
    assert_eq!(data("/api/v1/scrape_pools").await, json!({"scrapePools": ["app"]}));
    assert_eq!(
        store.get("/api/v1/rules?type=bad").await.json()["error"],
        r#"invalid parameter "type": not supported value "bad""#
    );
    let flags = data("/api/v1/status/flags").await;
    assert_eq!(flags["storage.tsdb.path"], dir.path().join("data").display().to_string());
    assert_eq!(flags["query.lookback-delta"], "5m");
    let yaml = data("/api/v1/status/config").await["yaml"].as_str().unwrap().to_owned();
    assert!(yaml.contains("job_name: app") && yaml.contains("scrape_interval: 100ms"), "{yaml}");
    let info = data("/api/v1/status/runtimeinfo").await;
    assert_eq!((&info["storageRetention"], &info["reloadConfigSuccess"]), (&json!("15d"), &json!(true)));
    let tsdb = data("/api/v1/status/tsdb?limit=3").await;
    assert!(tsdb["headStats"]["numSeries"].as_u64().unwrap() >= 8, "{tsdb}");
    assert_eq!(tsdb["seriesCountByMetricName"][0], json!({"name": "app_requests_total", "value": 2}));
    assert_eq!(
        store.get("/api/v1/status/tsdb?limit=0").await.json()["error"],
        "limit must be a positive number"
    );
    assert!(data("/api/v1/status/walreplay").await["current"].is_u64());
    assert_eq!(
        data("/api/v1/format_query?query=sum(rate(up[5m]))by(job)").await,
        "sum by (job) (rate(up[5m]))"
    );
    store.stop().await;
}

/// What versions 8 to 13 send, beyond the tests above: path, form, and the shape of `data`.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_every_version() {
    let (_dir, _target, store) = running().await;
    let now = seconds();
    let (start, end) = (now / 60 * 60 - 3600, now / 60 * 60 + 60);
    let strings = |data: &Value| data.as_array().unwrap().iter().all(Value::is_string);
    let maps = |data: &Value| data.as_array().unwrap().iter().all(Value::is_object);
    let frames = |data: &Value| data["resultType"].is_string() && data["result"].is_array();
    type Shape<'a> = &'a dyn Fn(&Value) -> bool;
    let times = format!("start={start}&end={end}");
    let by_get: [(String, Shape<'_>); 12] = [
        (format!("query?query=1%2B1&time={now}.123"), &frames),
        // Durations as the backend writes them.
        (format!("query_range?query=rate(app_requests_total[1m0s])&{times}&step=15"), &frames),
        (
            format!("query_range?query=rate(app_requests_total[1h0m0s])&start={end}&end={end}&step=60"),
            &frames,
        ),
        (format!("labels?{times}&limit=40000"), &strings),
        (format!("labels?match[]=app_requests_total&match[]=app_size&{times}"), &strings),
        (format!("label/__name__/values?{times}"), &strings),
        (
            format!("label/path/values?match[]=app_requests_total%7Bpath=~%22.%2B%22%7D&{times}&limit=40000"),
            &strings,
        ),
        (format!("label/U__path/values?{times}"), &strings),
        (format!("series?match[]=%7B__name__!%3D%22%22%7D&{times}&limit=40000"), &maps),
        ("metadata?limit=1000".to_owned(), &Value::is_object),
        (
            "rules?exclude_alerts=true&group_limit=40&rule_name[]=a&rule_group[]=b&file[]=c".to_owned(),
            &|data| data == &json!({"groups": []}),
        ),
        ("alerts".to_owned(), &|data| data == &json!({"alerts": []})),
    ];
    let sent = [
        ("x-grafana-org-id", "1"),
        ("fromalert", "true"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("x-dashboard-uid", "a b"),
        ("authorization", "Basic YWRtaW46YWRtaW4="),
        ("accept-encoding", "gzip"),
    ];
    for (path, is_right) in &by_get {
        let answer = store.send(Method::GET, &format!("/api/v1/{path}"), &sent, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        let body = answer.json();
        assert_eq!(body["status"], "success", "{path}");
        assert!(is_right(&body["data"]), "{path}: {}", answer.body);
    }
    // What the backend tries by POST first: taken, or refused with the one status on which it falls back.
    for (path, status) in [
        ("labels", 200),
        ("query", 200),
        ("query_exemplars", 200),
        ("format_query", 200),
        ("parse_query", 200),
        ("rules", 405),
        ("alerts", 405),
        ("status/buildinfo", 405),
        ("status/flags", 405),
        ("metadata", 405),
        ("label/path/values", 405),
    ] {
        let answer = store.post(&format!("/api/v1/{path}"), "query=app_size").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    // A value beside a name of the query string: the form comes first.
    let answer = store.post("/api/v1/query?query=2&time=5", "query=1&unknown=x").await.json();
    assert_eq!(answer["data"]["result"], json!([5, "1"]));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_the_newer_page() {
    let (_dir, _target, store) = running().await;
    let features = store.get("/api/v1/features").await.json()["data"].clone();
    assert_eq!(features["promql_functions"]["mad_over_time"], true);
    assert_eq!(features["api"]["remote_write_receiver"], false);
    assert_eq!(store.get("/api/v1/notifications").await.json()["data"], json!([]));
    assert_eq!(store.get("/api/v1/notifications/live").await.status, 204);
    for name in ["metric_names", "label_names", "label_values"] {
        let answer = store.get(&format!("/api/v1/search/{name}")).await;
        let want = json!({"status": "error", "errorType": "unavailable", "error": "search API disabled"});
        assert_eq!((answer.status, answer.json()), (500, want));
    }
    for path in ["scrape_pools/config?scrapePool=zz", "targets/relabel_steps?scrapePool=zz&labels={}"] {
        let answer = store.get(&format!("/api/v1/{path}")).await;
        assert_eq!(
            (answer.status, answer.json()["error"].clone()),
            (400, "error retrieving scrape config: scrape pool \"zz\" not found".into())
        );
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_paths_and_headers() {
    let (_dir, _target, store) = running().await;
    let answer = store.get("/api/v1/nothing").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "404 page not found\n"));
    for (method, path, status, place) in [
        (Method::GET, "/api/v1/query/?query=1", 301, "/api/v1/query?query=1"),
        (Method::POST, "/api/v1/query/", 307, "/api/v1/query"),
        (Method::GET, "//api/v1//query?query=1", 301, "/api/v1/query?query=1"),
        (Method::POST, "/api/v1//query", 301, "/api/v1/query"),
    ] {
        let answer = store.send(method, path, &[], "").await;
        assert_eq!((answer.status, answer.header("location")), (status, place), "{path}");
    }
    let answer = store.send(Method::GET, "/api/v1/query?query=1", &[("origin", "")], "").await;
    assert!(answer.headers.get("access-control-allow-origin").is_none(), "an empty origin is none");
    assert_eq!(store.send(Method::HEAD, "/api/v1/query?query=1", &[], "").await.status, 405);
    assert_eq!(store.send(Method::OPTIONS, "/api/v1/query", &[], "").await.status, 204);
    let answer = store.send(Method::GET, "/api/v1/query?query=1", &[("origin", "http://g:3000")], "").await;
    assert_eq!(answer.header("access-control-allow-origin"), "http://g:3000");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, POST, OPTIONS");
    assert!(answer.header("vary").contains("Origin"));
    assert_eq!(store.get("/-/healthy").await.body, "Prometheus Server is Healthy.\n");
    assert_eq!(store.get("/-/ready").await.body, "Prometheus Server is Ready.\n");
    assert_eq!(store.get("/-/reload").await.status, 405);
    let answer = store.post("/-/reload", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (403, "Lifecycle API is not enabled."));
    for path in ["snapshot?skip_head=x", "delete_series", "clean_tombstones"] {
        for method in [Method::POST, Method::PUT] {
            let answer = store.send(method, &format!("/api/v1/admin/tsdb/{path}"), &[], "").await;
            let want = json!({"status": "error", "errorType": "unavailable", "error": "admin APIs disabled"});
            assert_eq!((answer.status, answer.json()), (500, want), "{path}");
        }
    }
    let metrics = store.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    for name in [
        "prometheus_build_info{",
        "prometheus_ready 1",
        "prometheus_config_last_reload_successful 1",
        "prometheus_tsdb_head_series ",
        "prometheus_tsdb_head_samples_appended_total{type=\"float\"} ",
        "prometheus_target_scrape_pool_targets{scrape_job=\"app\"} 1",
        "prometheus_http_requests_total{handler=\"/api/v1/query\",code=\"200\"} ",
        "prometheus_tsdb_wal_writes_failed_total 0",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.body.contains(name), "{name} is missing");
    }
    let version = store.get("/version").await;
    assert_eq!(version.json()["version"], "3.14.0");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::serve(Page::text(PAGE)).await;
    let store = Store::start_with(dir.path(), &one_job(&target, ""), &["--query.max-samples=1000"]).await;
    store.until_value("app_size", 1.5).await;

    let answer = store.post("/api/v1/query", "query=sum_over_time(vector(1)%5B1h:1s%5D)").await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(
        answer.json(),
        json!({"status": "error", "errorType": "execution",
               "error": "query processing would load too many samples into memory in query execution"})
    );
    store.stop().await;

    let store = Store::start(dir.path(), &one_job(&target, "")).await;
    let answer = store.post("/api/v1/query", "query=sum_over_time(vector(1)%5B200d:1s%5D)&timeout=1ms").await;
    assert_eq!(
        (answer.status, answer.json()["errorType"].clone()),
        (503, "timeout".into()),
        "{}",
        answer.body
    );
    for timeout in ["0", "-1"] {
        let answer = store.post("/api/v1/query", &format!("query=1&timeout={timeout}")).await;
        assert_eq!(answer.json()["error"], "query timed out in query queue", "no time is no time");
    }
    // The store is none the worse for it.
    assert_eq!(store.value("app_size").await, Some(1.5));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_api() {
    let (dir, _target, store) = running_with(&["--web.enable-admin-api"]).await;
    let flags = store.get("/api/v1/status/flags").await.json();
    assert_eq!(flags["data"]["web.enable-admin-api"], "true");
    let admin = async |path: &str, form: &str| store.post(&format!("/api/v1/admin/tsdb/{path}"), form).await;
    assert_eq!(store.get("/api/v1/admin/tsdb/snapshot").await.status, 405);

    let answer = admin("delete_series", "").await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("no match[] parameter provided")));
    assert_eq!(admin("delete_series", "match[]=up&start=x").await.status, 400);
    assert_eq!(admin("delete_series", "match[]=%7B%7D").await.status, 400);
    let answer = admin("snapshot", "skip_head=maybe").await;
    let want = "invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \"maybe\": \
                invalid syntax";
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(want)));

    let answer = admin("snapshot", "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let name = answer.json()["data"]["name"].as_str().unwrap().to_owned();
    let snapshot = dir.path().join("data/snapshots").join(&name);
    assert!(snapshot.join("blocks").is_dir(), "{name}");
    let blocks = store.get("/api/v1/status/tsdb/blocks").await.json()["data"]["blocks"].clone();
    let block = &blocks.as_array().unwrap()[0];
    assert_eq!((block["version"].as_i64(), block["compaction"]["level"].as_i64()), (Some(1), Some(1)));
    assert!(block["ulid"].as_str().unwrap().len() == 26 && block["stats"]["numSamples"].as_u64() > Some(0));

    let now = seconds();
    let answer =
        admin("delete_series", &format!("match[]=app_requests_total&start=0&end={}", now + 60)).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let answer = store.send(Method::PUT, "/api/v1/admin/tsdb/clean_tombstones", &[], "").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let form = format!("query=app_requests_total[1h]&time={now}");
    // The target goes on, so only what was there before is gone.
    let seen = store.post("/api/v1/query", &form).await.json();
    for series in seen["data"]["result"].as_array().unwrap() {
        assert!(
            series["values"]
                .as_array()
                .unwrap()
                .iter()
                .all(|pair| pair[0].as_f64().unwrap() >= (now - 1) as f64)
        );
    }
    store.stop().await;

    // Put back into an empty folder, it is what it was.
    let restored = dir.path().join("restored");
    let args = cairn_metrics_store::restore::RestoreArgs {
        from: snapshot.clone(),
        data_dir: restored.clone(),
        log_level: None,
        log_format: None,
    };
    let mut said = Vec::new();
    cairn_metrics_store::restore::run(&args, &mut said).unwrap();
    assert!(String::from_utf8(said).unwrap().starts_with("restored 1 blocks, "));
    let error = cairn_metrics_store::restore::run(&args, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("holds a database already"), "{error}");
    // A data directory that has a log beside its blocks is none; a stop leaves one mostly, but not always.
    std::fs::create_dir_all(dir.path().join("data/wal")).unwrap();
    std::fs::write(dir.path().join("data/wal/9999999999.wal"), "").unwrap();
    let copy = cairn_metrics_store::restore::RestoreArgs {
        from: snapshot.parent().unwrap().parent().unwrap().to_owned(),
        data_dir: dir.path().join("other"),
        ..args
    };
    let error = cairn_metrics_store::restore::run(&copy, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("is a data directory and no snapshot"), "{error}");
    let fs = std::sync::Arc::new(cairn_disk::RealFs);
    let (db, _) = cairn_tsdb::Db::open(cairn_tsdb::Options::new(&restored, fs), &|_| {}).unwrap();
    let names = db.label_values("__name__", &[], cairn_model::TimeMs::MIN, cairn_model::TimeMs::MAX).unwrap();
    assert!(names.iter().any(|name| name == "app_requests_total"), "{names:?}");
}
