//! Scraping against targets that behave, and targets that do not.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::{Page, Store, Target, TlsTarget, one_job};

async fn start(target: &Target, keys: &str) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), &one_job(target, keys)).await;
    (dir, store)
}

/// `lastError` of the only target, once it is down.
async fn last_error(store: &Store) -> String {
    store
        .until("a failed scrape", async || {
            let targets = store.get("/api/v1/targets").await.json();
            let target = &targets["data"]["activeTargets"][0];
            (target["health"] == "down").then(|| target["lastError"].as_str().unwrap().to_owned())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_target() {
    let target = Target::serve(Page::text("a{x=\"1\"} 1\na{x=\"2\"} 2\n")).await;
    let (_dir, store) = start(&target, "params: {m: [v w]}").await;
    store.until_value("sum(a)", 3.0).await;
    store.until_value("up", 1.0).await;
    assert_eq!(store.value("scrape_samples_scraped").await, Some(2.0));
    assert_eq!(store.value("scrape_samples_post_metric_relabeling").await, Some(2.0));
    assert!(
        store.value("scrape_duration_seconds").await.is_some_and(|seconds| (0.0..1.0).contains(&seconds))
    );
    store.until_value("scrape_series_added", 0.0).await;
    assert_eq!(store.value("scrape_body_size_bytes").await, None);

    let (path, headers) = target.requests()[0].clone();
    assert_eq!(path, "/metrics?m=v+w");
    assert_eq!(headers["user-agent"], "Prometheus/3.14.0");
    assert_eq!(headers["x-prometheus-scrape-timeout-seconds"], "0.1");
    assert_eq!(headers["accept-encoding"], "gzip");
    assert!(
        headers["accept"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,")
    );

    let data = store.get("/api/v1/targets?state=active").await.json()["data"].clone();
    let shown = &data["activeTargets"][0];
    let address = target.address.to_string();
    assert_eq!(shown["labels"], json!({"instance": address, "job": "app"}));
    assert_eq!(shown["discoveredLabels"]["__address__"], address.as_str());
    assert_eq!(shown["discoveredLabels"]["__param_m"], "v w");
    assert_eq!(shown["scrapeUrl"], format!("http://{address}/metrics?m=v+w"));
    assert_eq!((&shown["health"], &shown["scrapePool"]), (&json!("up"), &json!("app")));
    assert_eq!((&shown["scrapeInterval"], &data["droppedTargets"]), (&json!("100ms"), &json!([])));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_lie_on_an_even_grid() {
    let target = Target::serve(Page::text("a 1\n")).await;
    let dir = tempfile::tempdir().unwrap();
    // At one second the tolerance is the full 2 ms.
    let yaml = one_job(&target, "").replace("100ms", "1s");
    let store = Store::start(dir.path(), &yaml).await;
    let samples = store
        .until("three samples", async || {
            let samples = store.samples("a").await;
            (samples.len() >= 3).then_some(samples)
        })
        .await;
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of our era")]
    let offsets: Vec<i64> = samples.iter().map(|(time, _)| (time * 1000.0).round() as i64 % 1000).collect();
    // A busy machine may be later than the tolerance now and then; most scrapes are not.
    let usual = offsets.iter().min().unwrap();
    assert!(offsets.iter().filter(|offset| *offset == usual).count() >= 2, "{offsets:?}");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vanished_series_become_stale_at_once() {
    let target = Target::serve(Page::text("a{x=\"1\"} 1\na{x=\"2\"} 2\n")).await;
    let (_dir, store) = start(&target, "").await;
    store.until_value("count(a)", 2.0).await;
    target.set(Page::text("a{x=\"2\"} 2\n"));
    // The lookback is five minutes: only a stale marker makes this happen within this test's patience.
    store.until_value("count(a)", 1.0).await;
    assert_eq!(store.query("a").await[0]["metric"]["x"], "2");
    target.set(Page::text("a{x=\"1\"} 1\na{x=\"2\"} 2\n"));
    store.until_value("count(a)", 2.0).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_fails_the_whole_scrape() {
    let target = Target::serve(Page::text("a 1\nb 1\n")).await;
    let (_dir, store) = start(&target, "").await;
    store.until_value("a", 1.0).await;
    target.set(Page::text("a 2\n<html>\n"));
    assert_eq!(
        last_error(&store).await,
        r#"expected a valid start token, got "<" ("INVALID") while parsing: "<""#
    );
    store.until_value("up", 0.0).await;
    // Nothing of the body is kept, and what was there is stale.
    store.until("stale series", async || (store.value("a").await.is_none()).then_some(())).await;
    assert!(store.samples("a").await.iter().all(|(_, value)| value == "1"));
    target.set(Page::text("a 3\n"));
    store.until_value("a", 3.0).await;
    store.until_value("up", 1.0).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_read() {
    let target = Target::serve(Page::text("a 1\n")).await;
    let (_dir, store) = start(&target, "body_size_limit: 1KB").await;
    for (page, error) in [
        (Page { status: 404, ..Page::text("a 1\n") }, "server returned HTTP status 404 Not Found".to_owned()),
        (
            Page { content_type: "text/html", ..Page::text("a 1\n") },
            "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target"
                .to_owned(),
        ),
        (
            Page { content_type: "", ..Page::text("a 1\n") },
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
                .to_owned(),
        ),
        (Page::text(format!("a 1\n# {}\n", "x".repeat(2000))), "body size limit exceeded".to_owned()),
        (
            Page { hangs: true, ..Page::text("") },
            format!("Get \"http://{}/metrics\": context deadline exceeded", target.address),
        ),
    ] {
        target.set(page);
        store.until(&error, async || (last_error(&store).await == error).then_some(())).await;
        store.until_value("up", 0.0).await;
        target.set(Page::text("a 1\n"));
        store.until_value("up", 1.0).await;
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there() {
    let target = Target::serve(Page::text("a 1\n")).await;
    let (_dir, store) = start(&target, "").await;
    store.until_value("up", 1.0).await;
    // One client uses the target's port no more: the next connection is refused.
    let address = target.address;
    drop(target);
    let error = last_error(&store).await;
    assert!(error.contains(&address.to_string()), "{error}");
    store.until_value("up", 0.0).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_scrape() {
    let page = "a{long_name=\"v\"} 1\na{x=\"a long value\"} 2\na 3\n";
    for (keys, error) in [
        ("sample_limit: 2", "sample limit exceeded"),
        ("label_limit: 3", "label_limit exceeded (metric: a, number of labels: 4, limit: 3)"),
        (
            "label_name_length_limit: 8",
            "label_name_length_limit exceeded (metric: a, label name: long_name, length: 9, limit: 8)",
        ),
        (
            "label_value_length_limit: 6",
            "label_value_length_limit exceeded (metric: a, label name: instance, value: ",
        ),
        ("target_limit: 1", "target_limit exceeded (number of targets: 2, limit: 1)"),
    ] {
        let target = Target::serve(Page::text(page)).await;
        let dir = tempfile::tempdir().unwrap();
        let mut yaml = one_job(&target, keys);
        if keys.starts_with("target_limit") {
            yaml.push_str("      - targets: ['127.0.0.1:1']\n");
        }
        let store = Store::start(dir.path(), &yaml).await;
        let found = last_error(&store).await;
        assert!(found.starts_with(error), "{found}");
        assert_eq!(store.query("a").await, Vec::<serde_json::Value>::new(), "{keys}");
        store.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_body_and_target() {
    let page = "a{job=\"own\",exported_job=\"x\"} 1\nb{instance=\"\"} 1\n";
    let target = Target::serve(Page::text(page)).await;
    let (_dir, store) = start(&target, "").await;
    store.until_value("a", 1.0).await;
    let metric = store.query("a").await[0]["metric"].clone();
    assert_eq!(
        metric,
        json!({"__name__": "a", "exported_exported_job": "own", "exported_job": "x", "job": "app",
               "instance": target.address.to_string()})
    );
    store.stop().await;

    let (_dir, store) = start(&target, "honor_labels: true").await;
    store.until_value("a", 1.0).await;
    let metric = store.query("a").await[0]["metric"].clone();
    assert_eq!(
        metric,
        json!({"__name__": "a", "exported_job": "x", "job": "own", "instance": target.address.to_string()})
    );
    // An empty label of the body takes the target's away.
    assert_eq!(store.query("b").await[0]["metric"], json!({"__name__": "b", "job": "app"}));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_relabelled() {
    let target = Target::serve(Page::text("a{x=\"1\"} 1\ndrop_me 1\n")).await;
    let keys = "metric_relabel_configs:\n  - {source_labels: [__name__], regex: drop_.*, action: drop}\n  - {source_labels: [x], target_label: y, replacement: 'v$1'}";
    let (_dir, store) = start(&target, keys).await;
    store.until_value("a", 1.0).await;
    assert_eq!(store.query("a").await[0]["metric"]["y"], "v1");
    assert!(store.query("drop_me").await.is_empty());
    store.until_value("scrape_samples_post_metric_relabeling", 1.0).await;
    assert_eq!(store.value("scrape_samples_scraped").await, Some(2.0));
    let most_added = store.value("max_over_time(scrape_series_added[1h])").await;
    assert_eq!(most_added, Some(1.0), "what relabelling drops adds no series");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_in_the_body() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let page = format!("a 1 {}\n", now - 60_000);
    let target = Target::serve(Page::text(page.clone())).await;
    let (_dir, store) = start(&target, "").await;
    store.until_value("a", 1.0).await;
    store.until_value("count_over_time(up[1h]) > bool 2", 1.0).await;
    assert_eq!(store.samples("a").await.len(), 1, "the same sample again is no new one");
    store.stop().await;

    let (_dir, store) = start(&target, "honor_timestamps: false").await;
    store.until_value("count_over_time(a[30s]) > bool 2", 1.0).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_changes_targets_and_marks_removed_ones() {
    let (one, two) = (Target::serve(Page::text("a 1\n")).await, Target::serve(Page::text("a 2\n")).await);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start_with(dir.path(), &one_job(&one, ""), &["--web.enable-lifecycle"]).await;
    store.until_value("a", 1.0).await;
    let file = dir.path().join("prometheus.yml");
    std::fs::write(&file, one_job(&two, "")).unwrap();
    assert_eq!(store.post("/-/reload", "").await.status, 200);
    store.until_value("max(a)", 2.0).await;
    // The old target's series, its report series among them, become stale after a little more than two intervals.
    store.until_value("count(a)", 1.0).await;
    store.until_value("count(up)", 1.0).await;

    std::fs::write(&file, "scrape_configs: [{job_name: x, no_such_key: 1}]").unwrap();
    let answer = store.post("/-/reload", "").await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("no_such_key") && answer.body.contains("prometheus.yml"), "{}", answer.body);
    let metrics = store.get("/metrics").await.body;
    assert!(metrics.contains("prometheus_config_last_reload_successful 0"));
    let selector = format!("a{{instance=\"{}\"}}", two.address);
    let before = store.samples(&selector).await.len();
    store
        .until("the old configuration to go on", async || {
            (store.samples(&selector).await.len() > before).then_some(())
        })
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_from_files() {
    let target = Target::serve(Page::text("a 1\n")).await;
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list.json");
    std::fs::write(&list, format!(r#"[{{"targets": ["{}"], "labels": {{"env": "dev"}}}}]"#, target.address))
        .unwrap();
    let yaml = "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\nscrape_configs:\n  - job_name: files\n    file_sd_configs: [{files: ['list*.json']}]\n";
    let store = Store::start(dir.path(), yaml).await;
    store.until_value("a{env=\"dev\"}", 1.0).await;
    let targets = store.get("/api/v1/targets").await.json();
    let meta = &targets["data"]["activeTargets"][0]["discoveredLabels"]["__meta_filepath"];
    assert_eq!(*meta, list.display().to_string());
    std::fs::write(&list, "[]").unwrap();
    store.until("the target to vanish", async || store.value("a").await.is_none().then_some(())).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_it_scrapes_itself() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "scrape_configs: []";
    let store = Store::start(dir.path(), yaml).await;
    assert_eq!(store.get("/api/v1/targets").await.json()["data"]["activeTargets"], json!([]));
    store.stop().await;
    let config = cairn_metrics_store::config::Source::BuiltIn.load("127.0.0.1:9090").unwrap();
    assert_eq!(config.pools[0].job_name, "prometheus");
    assert_eq!(config.pools[0].static_groups[0].targets, ["127.0.0.1:9090"]);
    assert_eq!(config.pools[0].interval.ms(), 15_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_with_credentials() {
    let target = TlsTarget::serve("a 1\n").await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), "not yet").unwrap();
    std::fs::write(dir.path().join("token"), "old").unwrap();
    let yaml = format!(
        "scrape_configs:
  - job_name: app
    scrape_interval: 100ms
    scheme: https
    authorization: {{credentials_file: token}}
    tls_config: {{ca_file: ca.pem, server_name: inside.example}}
    scrape_failure_log_file: failures.log
    static_configs: [{{targets: ['{}']}}]
",
        target.address
    );
    let store = Store::start(dir.path(), &yaml).await;
    let error = last_error(&store).await;
    assert!(error.contains("ca.pem: no certificate in it"), "{error}");
    let failures = std::fs::read_to_string(dir.path().join("failures.log")).unwrap();
    assert!(failures.lines().all(|line| line.contains("no certificate in it")) && !failures.is_empty());
    // What was wrong is put right without a reload.
    std::fs::write(dir.path().join("ca.pem"), &target.authority).unwrap();
    store.until_value("up", 1.0).await;
    assert_eq!(store.value("a").await, Some(1.0));
    std::fs::write(dir.path().join("token"), "new").unwrap();
    store
        .until("the new token", async || {
            target.heads().iter().any(|head| head.contains("Bearer new")).then_some(())
        })
        .await;
    let shown = store.get("/api/v1/targets").await.json()["data"]["activeTargets"][0].clone();
    assert_eq!(shown["scrapeUrl"], format!("https://{}/metrics", target.address));
    assert!(shown["globalUrl"].as_str().unwrap().starts_with("https://"));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_metrics() {
    let page = "# TYPE jobs counter\n# UNIT jobs \n# HELP jobs Jobs \\\"done\\\".\njobs_total{q=\"a\"} 5 # {trace_id=\"x\"} 1\n\
                jobs_created{q=\"a\"} 1.5e9\n# EOF\n";
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let target = Target::serve(Page { content_type, ..Page::text(page) }).await;
    let (_dir, store) = start(&target, "").await;
    store.until_value("jobs_total", 5.0).await;
    store.until_value("jobs_created", 1.5e9).await;
    let metadata = store.get("/api/v1/metadata").await.json()["data"].clone();
    assert_eq!(metadata, json!({"jobs": [{"type": "counter", "unit": "", "help": "Jobs \"done\"."}]}));
    target.set(Page { content_type, ..Page::text("jobs_total{q=\"a\"} 6\n") });
    assert_eq!(last_error(&store).await, "data does not end with # EOF");
    target.set(Page::text("jobs_total{q=\"a\"} 7\n"));
    store.until_value("jobs_total", 7.0).await;
    store.stop().await;
}

/// A family in protobuf: one native histogram of one bucket, with an exemplar, and classic buckets beside it.
fn native_page(count: u8, exemplar_seconds: u8) -> Vec<u8> {
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }
    fn double(number: u8, value: f64) -> Vec<u8> {
        [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
    }
    let trace = field(1, &[field(1, b"trace_id"), field(2, b"t")].concat());
    let exemplar = [trace, double(2, 0.5), field(3, &[1 << 3, exemplar_seconds])].concat();
    let bucket = field(3, &[vec![1 << 3, count], double(2, 1.0)].concat());
    // Schema 0, one span of one bucket at index 0; field 16 has a tag of two bytes.
    let long = [&[0x82, 1, u8::try_from(exemplar.len()).unwrap()], &exemplar[..]].concat();
    let span = field(12, &[2 << 3, 1]);
    let delta = vec![13 << 3, count * 2];
    let histogram = [vec![1 << 3, count], double(2, 1.5), bucket, span, delta, long].concat();
    let metric = field(4, &field(7, &histogram));
    let family = [field(1, b"h"), vec![3 << 3, 4], metric].concat();
    [vec![u8::try_from(family.len()).unwrap()], family].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn native_histograms_and_exemplars() {
    let content_type =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let page = |count, seconds| Page { content_type, ..Page::bytes(native_page(count, seconds)) };
    let target = Target::serve(page(3, 100)).await;
    let (_dir, store) = start(&target, "scrape_native_histograms: true").await;
    store.until_value("scrape_samples_scraped", 1.0).await;
    store.until_value("up", 1.0).await;
    assert!(
        target.requests()[0].1["accept"].to_str().unwrap().starts_with("application/vnd.google.protobuf;")
    );
    let series = store.get("/api/v1/series?match[]={__name__=~%22h.*%22}").await.json()["data"].clone();
    assert_eq!(series.as_array().unwrap().len(), 1, "the classic part is left out: {series}");
    assert_eq!(series[0]["__name__"], "h");
    let found = store.get("/api/v1/query_exemplars?query=h&start=0&end=200").await.json()["data"].clone();
    assert_eq!(found[0]["exemplars"][0]["labels"], json!({"trace_id": "t"}));
    assert_eq!(found[0]["exemplars"].as_array().unwrap().len(), 1, "the same one is stored once");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn classic_histograms_become_native_ones() {
    let page = "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n\
                # TYPE g gauge\ng_count 7\n";
    let target = Target::serve(Page::text(page)).await;
    let (_dir, store) = start(&target, "convert_classic_histograms_to_nhcb: true").await;
    store.until_value("scrape_samples_scraped", 2.0).await;
    store.until_value("up", 1.0).await;
    let series = store.get("/api/v1/series?match[]={__name__=~%22h.*%22}").await.json()["data"].clone();
    assert_eq!(series.as_array().unwrap().len(), 1, "{series}");
    assert_eq!(series[0]["__name__"], "h");
    assert_eq!(store.value("g_count").await, Some(7.0));
    assert_eq!(store.value("h_count").await, None);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_is_never_asked_twice_at_once() {
    let target = Target::serve(Page { hangs: true, ..Page::text("") }).await;
    let (_dir, store) = start(&target, "").await;
    store.until("five requests", async || (target.requests().len() >= 5).then_some(())).await;
    // Each of them was given up at its time-out, before the next one began.
    assert_eq!(target.most_at_once(), 1);
    let error = last_error(&store).await;
    assert!(error.ends_with("context deadline exceeded"), "{error}");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_other_jobs_alone() {
    let (kept, other) = (Target::serve(Page::text("a 1\n")).await, Target::serve(Page::text("b 1\n")).await);
    let dir = tempfile::tempdir().unwrap();
    let config = |label: &str| {
        let second = format!(
            "  - job_name: other\n    static_configs: [{{targets: ['{}'], labels: {{env: {label}}}}}]\n",
            other.address
        );
        one_job(&kept, "") + &second
    };
    let store = Store::start_with(dir.path(), &config("one"), &["--web.enable-lifecycle"]).await;
    store.until_value("a", 1.0).await;
    store.until_value("b{env=\"one\"}", 1.0).await;
    let file = dir.path().join("prometheus.yml");
    for label in ["two", "three", "four"] {
        std::fs::write(&file, config(label)).unwrap();
        assert_eq!(store.post("/-/reload", "").await.status, 200);
        store.until_value(&format!("b{{env=\"{label}\"}}"), 1.0).await;
        assert_eq!(store.value("a").await, Some(1.0), "no marker for a job that did not change");
    }
    // One loop all along: a second one would have the target asked by two at once or off its grid.
    assert_eq!(kept.most_at_once(), 1);
    assert_eq!(store.value("min_over_time(up{job=\"app\"}[1h])").await, Some(1.0));
    store.stop().await;
}
