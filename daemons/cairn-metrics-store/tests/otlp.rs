//! Metrics over OTLP, as SDKs and the collector push them, and what queries see of them.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;

use cairn_wire::otlp_metrics::decode_json;
use cairn_wire::prompb;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use serde_json::{Value, json};
use support::{Answer, Store};

const PATH: &str = "/api/v1/otlp/v1/metrics";

fn now_nanos() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap() / 1_000_000_000 * 1_000_000_000
}

/// A push of one metric of a service.
fn push(metric: &Value) -> Value {
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "api"}},
            {"key": "service.instance.id", "value": {"stringValue": "i1"}},
            {"key": "host.name", "value": {"stringValue": "box"}},
        ]},
        "scopeMetrics": [{"metrics": [metric]}],
    }]})
}

fn counter(value: u32, time: u64) -> Value {
    push(&json!({"name": "shop.orders", "unit": "1", "description": "Orders.", "sum": {
        "isMonotonic": true, "aggregationTemporality": 2,
        "dataPoints": [{"asInt": value.to_string(), "timeUnixNano": time.to_string(),
                        "attributes": [{"key": "payment.method", "value": {"stringValue": "card"}}]}],
    }}))
}

async fn send(store: &Store, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    store.send(Method::POST, PATH, headers, body).await
}

async fn send_json(store: &Store, body: &Value) -> Answer {
    send(store, &[("content-type", "application/json")], body.to_string()).await
}

async fn started(dir: &std::path::Path, yaml: &str) -> Store {
    Store::start_with(dir, yaml, &["--web.enable-otlp-receiver"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_is_stored_once_and_found_with_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let store = started(dir.path(), "scrape_configs: []\n").await;
    let time = now_nanos();
    let body = counter(3, time);
    let protobuf = prompb::encode(&decode_json(body.to_string().as_bytes()).unwrap());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&protobuf).unwrap();
    let gzip = gzip.finish().unwrap();
    let protobuf_type = ("content-type", "application/x-protobuf");
    // The same push in each form: a repetition is no fault.
    for answer in [
        send_json(&store, &body).await,
        send(&store, &[protobuf_type], &protobuf).await,
        send(&store, &[protobuf_type, ("content-encoding", "gzip")], &gzip).await,
    ] {
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    }
    let found = store.query("shop_orders_total").await;
    assert_eq!(
        found[0]["metric"],
        json!({"__name__": "shop_orders_total", "instance": "i1", "job": "api", "payment_method": "card"})
    );
    assert_eq!(found[0]["value"][1], "3");
    let joined =
        store.query("shop_orders_total * on (job, instance) group_left (host_name) target_info").await;
    assert_eq!(joined[0]["metric"]["host_name"], "box");
    let flags = store.get("/api/v1/status/flags").await.json();
    assert_eq!(flags["data"]["web.enable-otlp-receiver"], "true");

    // Another value at the same time is a fault, and then nothing of the push is kept.
    let mut two = counter(4, time);
    let other = json!({"name": "other", "gauge": {"dataPoints": [{"asDouble": 1, "timeUnixNano": time.to_string()}]}});
    two["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array_mut().unwrap().insert(0, other);
    let answer = send_json(&store, &two).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.starts_with("duplicate sample for timestamp"), "{}", answer.body);
    assert!(store.query("other").await.is_empty());
    assert_eq!(store.value("shop_orders_total").await, Some(3.0));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_of_both_kinds_and_the_keys_of_otlp() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "scrape_configs: []\notlp: {promote_resource_attributes: [host.name], translation_strategy: NoTranslation}\n";
    let store = started(dir.path(), yaml).await;
    let time = now_nanos().to_string();
    let bounds = json!({"name": "lat", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": time, "count": "4", "sum": 2.0, "bucketCounts": ["1", "3"], "explicitBounds": [0.5]}]}});
    assert_eq!(send_json(&store, &push(&bounds)).await.status, 200);
    assert_eq!(store.value("lat_bucket{le=\"0.5\",\"host.name\"=\"box\"}").await, Some(1.0));
    assert_eq!(store.value("lat_count").await, Some(4.0));
    let exponential = json!({"name": "exp", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": time, "count": "3", "sum": 5.0, "scale": 0, "zeroCount": "1",
         "positive": {"offset": 0, "bucketCounts": ["2"]}}]}});
    assert_eq!(send_json(&store, &push(&exponential)).await.status, 200);
    let found = store.query("exp").await;
    let histogram = &found[0]["histogram"][1];
    assert_eq!((&histogram["count"], &histogram["sum"]), (&json!("3"), &json!("5")));
    assert_eq!(histogram["buckets"][1], json!([0, "1", "2", "2"]));
    let yaml = store.get("/api/v1/status/config").await.json()["data"]["yaml"].clone();
    assert!(yaml.as_str().unwrap().contains("translation_strategy: NoTranslation"), "{yaml}");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_refused_in_the_words_of_the_peer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), "scrape_configs: []\n").await;
    let answer = send_json(&store, &counter(1, now_nanos())).await;
    let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
    assert_eq!((answer.status, answer.body.as_str()), (404, text));
    store.stop().await;

    let store = started(dir.path(), "scrape_configs: []\n").await;
    let json_type = ("content-type", "application/json");
    for (headers, body, status, text) in [
        (
            &[("content-type", "application/json; charset=utf-8")][..],
            "{}",
            400,
            "unsupported content type: application/json; charset=utf-8, supported: [application/json, \
             application/x-protobuf]\n",
        ),
        (
            &[json_type, ("content-encoding", "zstd")],
            "{}",
            400,
            "unsupported compression: zstd. Only \"gzip\" or no compression supported\n",
        ),
        (&[json_type], "{\"resourceMetrics\": 1}", 400, "invalid type"),
        (&[json_type], "", 400, "EOF"),
        (&[json_type, ("content-encoding", "gzip")], "x", 400, ""),
        (&[("content-type", "application/x-protobuf")], "\x0a\x05x", 400, "unexpected EOF"),
        (&[json_type], "{}", 200, ""),
    ] {
        let answer = send(&store, headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(text), "{text:?} is not in {:?}", answer.body);
    }
    let mut delta = counter(1, now_nanos());
    delta["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["aggregationTemporality"] = json!(1);
    let answer = send_json(&store, &delta).await;
    let text = "invalid temporality and type combination for metric \"shop.orders\"\n";
    assert_eq!((answer.status, answer.body.as_str()), (500, text));
    assert_eq!(send_json(&store, &counter(1, now_nanos())).await.status, 200);
    let long_ago = send_json(&store, &counter(1, 1_000_000_000)).await;
    assert_eq!(long_ago.status, 400, "{}", long_ago.body);
    assert_eq!(store.get(PATH).await.status, 405);
    store.stop().await;
}
