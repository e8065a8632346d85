//! Service discovery through a running store: lists that change, lists that fail, and what the API shows of jobs.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod support;

use serde_json::json;
use support::{Page, Store, Target};

async fn instances(store: &Store) -> Vec<String> {
    let data = store.get("/api/v1/targets?state=active").await.json()["data"].clone();
    let targets = data["activeTargets"].as_array().unwrap().clone();
    targets.iter().map(|target| target["labels"]["instance"].as_str().unwrap().to_owned()).collect()
}

fn list(body: &str) -> Page {
    Page { content_type: "application/json; charset=utf-8", ..Page::text(body) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_behind_a_url() {
    let lists = Target::serve(list(
        r#"[{"targets": ["127.0.0.1:1", "127.0.0.1:2"], "labels": {"env": "dev"}}, {"targets": ["127.0.0.1:3"]}]"#,
    ))
    .await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "word").unwrap();
    let yaml = format!(
        "scrape_configs:
  - job_name: app
    http_sd_configs:
      - url: http://{}/list
        refresh_interval: 100ms
        bearer_token_file: token
    relabel_configs:
      - {{source_labels: [__meta_url], target_label: from}}
      - {{source_labels: [__address__], regex: '.*:2', action: drop}}
",
        lists.address
    );
    let store = Store::start(dir.path(), &yaml).await;
    store.until("three targets", async || (instances(&store).await.len() == 2).then_some(())).await;
    let (path, headers) = lists.requests()[0].clone();
    assert_eq!((path.as_str(), headers["accept"].to_str().unwrap()), ("/list", "application/json"));
    assert_eq!(headers["x-prometheus-refresh-interval-seconds"], "0.1");
    assert_eq!(headers["authorization"], "Bearer word");
    let data = store.get("/api/v1/targets").await.json()["data"].clone();
    let url = format!("http://{}/list", lists.address);
    assert_eq!(data["activeTargets"][0]["labels"]["from"], url.as_str());
    assert_eq!(data["droppedTargets"][0]["discoveredLabels"]["__meta_url"], url.as_str());
    assert_eq!(data["droppedTargetCounts"], json!({"app": 1}));

    // None of these is an empty list.
    for bad in [
        Page { status: 500, ..list("[]") },
        Page::text("[]"),
        list("[{\"targets\": [\"a/b\"]}]"),
        list("[{\"nothing\": 1}]"),
        list("["),
    ] {
        let n_before = lists.requests().len();
        lists.set(bad);
        store.until("two askings", async || (lists.requests().len() >= n_before + 2).then_some(())).await;
        assert_eq!(instances(&store).await.len(), 2);
    }
    let metrics = store.get("/metrics").await.body;
    let failures = metrics
        .lines()
        .find(|line| line.starts_with("prometheus_sd_refresh_failures_total{"))
        .and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    assert!(failures.is_some_and(|n| n >= 5), "{metrics}");
    assert!(
        metrics.contains("prometheus_sd_discovered_targets{name=\"scrape\",config=\"app\"} 3"),
        "{metrics}"
    );

    lists.set(list("[{\"targets\": [\"127.0.0.1:9\"]}]"));
    store.until("the new list", async || (instances(&store).await == ["127.0.0.1:9"]).then_some(())).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_two_discoveries_is_scraped_once() {
    let target = Target::serve(Page::text("a 1\n")).await;
    let lists = Target::serve(list(&format!("[{{\"targets\": [\"{}\"]}}]", target.address))).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.yml"), format!("- targets: ['{}']\n", target.address)).unwrap();
    let yaml = format!(
        "scrape_configs:
  - job_name: app
    scrape_interval: 100ms
    http_sd_configs: [{{url: 'http://{}/'}}]
    file_sd_configs: [{{files: ['t*.yml']}}]
    relabel_configs: [{{action: labeldrop, regex: __meta_.*}}]
",
        lists.address
    );
    let store = Store::start(dir.path(), &yaml).await;
    store
        .until("both lists", async || {
            let metrics = store.get("/metrics").await.body;
            metrics.contains("prometheus_sd_updates_total{name=\"scrape\"} 2").then_some(())
        })
        .await;
    assert_eq!(instances(&store).await.len(), 1);
    store.until_value("a", 1.0).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_rules_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "scrape_configs:
  - job_name: app
    basic_auth: {username: u, password: hunter2}
    relabel_configs:
      - {source_labels: [env], target_label: stage, replacement: 'is_$1'}
      - {source_labels: [env], regex: dev, action: drop}
";
    let store = Store::start(dir.path(), yaml).await;
    let shown = store.get("/api/v1/scrape_pools/config?scrapePool=app").await.json();
    let text = shown["data"]["yaml"].as_str().unwrap();
    assert!(text.starts_with("job_name: app\n"), "{text}");
    assert!(text.contains("<secret>") && !text.contains("hunter2"), "{text}");

    let ask = async |query: &str| store.get(&format!("/api/v1/targets/relabel_steps?{query}")).await;
    let steps =
        ask("scrapePool=app&labels=%7B%22env%22%3A%22dev%22%7D").await.json()["data"]["steps"].clone();
    assert_eq!(
        steps,
        json!([
            {"rule": {"sourceLabels": ["env"], "separator": ";", "regex": "(.*)", "targetLabel": "stage",
                      "replacement": "is_$1", "action": "replace"},
             "output": {"env": "dev", "stage": "is_dev"}, "keep": true},
            {"rule": {"sourceLabels": ["env"], "separator": ";", "regex": "dev", "replacement": "$1", "action": "drop"},
             "output": {}, "keep": false},
        ])
    );
    for (query, error) in [
        ("labels=%7B%7D", "no scrapePool parameter provided"),
        ("scrapePool=app", "no labels parameter provided"),
        ("scrapePool=app&labels=x", "error parsing labels"),
        ("scrapePool=no&labels=%7B%7D", "scrape pool \\\"no\\\" not found"),
    ] {
        let answer = ask(query).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.body.contains(error), "{query}: {}", answer.body);
    }
    store.stop().await;
}
