//! What bounds a query, which queries are running, and what the parameters and switches of queries do.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use serde_json::{Value, json};
use support::{Answer, Page, Store, Target, one_job};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PAGE: &str = "# TYPE app_size gauge\napp_size{path=\"/\"} 1.5\napp_size{path=\"/x\"} 2.5\n";

async fn running_with(flags: &[&str]) -> (tempfile::TempDir, Target, Store) {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::serve(Page::text(PAGE)).await;
    let store = Store::start_with(dir.path(), &one_job(&target, ""), flags).await;
    store.until_value("sum(app_size)", 4.0).await;
    (dir, target, store)
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

async fn post(store: &Store, path: &str, pairs: &[(&str, &str)]) -> Answer {
    store.post(&format!("/api/v1/{path}"), &form(pairs)).await
}

/// `error` of a refusal with this status and type.
fn refused(answer: &Answer, status: u16, kind: &str) -> String {
    let body = answer.json();
    assert_eq!((answer.status, &body["errorType"]), (status, &json!(kind)), "{}", answer.body);
    body["error"].as_str().unwrap().to_owned()
}

/// A query that takes far longer than any test waits, of bounded memory: 11,001 times the middle of four million.
const ENDLESS: [(&str, &str); 4] = [
    ("query", "quantile_over_time(0.5, vector(1)[50d:1s])"),
    ("start", "0"),
    ("end", "11000"),
    ("step", "1"),
];

async fn active(store: &Store) -> Vec<Value> {
    let data = store.get("/api/v1/status/active_queries").await.json()["data"].clone();
    assert!(data["maxConcurrency"].as_u64() > Some(0));
    data["queries"].as_array().unwrap().clone()
}

/// Sends a query on a connection of its own.
async fn send_and_hold(store: &Store, path: &str, pairs: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect(store.address).await.unwrap();
    let head = format!("GET /api/v1/{path}?{} HTTP/1.1\r\nhost: x\r\n\r\n", form(pairs));
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn experimental_functions_have_a_switch() {
    let (_dir, _target, store) = running_with(&[]).await;
    for path in ["query", "format_query", "parse_query"] {
        assert_eq!(post(&store, path, &[("query", "limitk(1, app_size)")]).await.status, 200, "{path}");
    }
    store.stop().await;

    let (_dir, _target, store) = running_with(&["--query.experimental-functions=false"]).await;
    for path in ["query", "format_query", "parse_query", "query_exemplars"] {
        let answer = post(&store, path, &[("query", "mad_over_time(app_size[5m])")]).await;
        assert_eq!(
            refused(&answer, 400, "bad_data"),
            "invalid parameter \"query\": 1:1: parse error: function \"mad_over_time\" is not enabled",
            "{path}"
        );
    }
    let answer = post(&store, "query", &[("query", "limitk(1, app_size)")]).await;
    assert!(refused(&answer, 400, "bad_data").ends_with(
        "limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
    ));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_dropped_late_on_request() {
    let query = "label_replace(abs(app_size{path=\"/\"}), \"kept\", \"$1\", \"__name__\", \"(.*)\")";
    for (flags, kept) in
        [(&[][..], json!(null)), (&["--enable-feature=promql-delayed-name-removal"], json!("app_size"))]
    {
        let (_dir, _target, store) = running_with(flags).await;
        assert_eq!(store.query(query).await[0]["metric"]["kept"], kept);
        let shown = store.get("/api/v1/status/flags").await.json()["data"]["enable-feature"].clone();
        assert_eq!(shown, flags.first().map_or("", |flag| &flag["--enable-feature=".len()..]));
        store.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_queries_are_listed_and_end_with_their_client() {
    let (_dir, _target, store) = running_with(&["--query.max-concurrency=1"]).await;
    assert!(active(&store).await.is_empty());
    let first = send_and_hold(&store, "query_range", &ENDLESS).await;
    let running = store
        .until("the query to run", async || {
            active(&store).await.into_iter().find(|one| one["state"] == "running")
        })
        .await;
    assert_eq!(
        (&running["query"], &running["start"], &running["end"], &running["step"]),
        (&json!(ENDLESS[0].1), &json!(0.0), &json!(11_000.0), &json!(1.0))
    );

    // There is one place, so the next one waits in the queue, and its time runs there.
    let second = send_and_hold(&store, "query", &[("query", "up"), ("time", "1795223972.5")]).await;
    let queued = store
        .until("the second to wait", async || {
            active(&store).await.into_iter().find(|one| one["state"] == "queued")
        })
        .await;
    assert_eq!((&queued["query"], &queued["time"]), (&json!("up"), &json!(1_795_223_972.5)));
    // What is wrong is said at once.
    let answer = post(&store, "query", &[("query", "up{")]).await;
    assert!(refused(&answer, 400, "bad_data").contains("1:4: parse error"));
    let answer = post(&store, "query", &[("query", "1"), ("timeout", "50ms")]).await;
    assert_eq!(refused(&answer, 503, "timeout"), "query timed out in query queue");
    assert!(store.get("/metrics").await.body.contains("prometheus_engine_queries 2"));

    // Both clients go away: nothing of them stays.
    drop((first, second));
    store.until("an empty list", async || active(&store).await.is_empty().then_some(())).await;
    assert_eq!(store.value("sum(app_size)").await, Some(4.0));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_have_the_words_of_the_peer() {
    let (_dir, _target, store) =
        running_with(&["--query.max-samples=1000", "--query.timeout=5s", "--query.lookback-delta=7m"]).await;
    let answer = post(&store, "query", &[("query", "count_over_time(vector(1)[1h:1s])")]).await;
    let too_many = "query processing would load too many samples into memory in query execution";
    assert_eq!(refused(&answer, 422, "execution"), too_many);
    let flags = store.get("/api/v1/status/flags").await.json()["data"].clone();
    assert_eq!(
        (&flags["query.max-samples"], &flags["query.timeout"], &flags["query.lookback-delta"]),
        (&json!("1000"), &json!("5s"), &json!("7m"))
    );
    store.stop().await;

    let (_dir, _target, store) = running_with(&[]).await;
    let pairs: Vec<_> = ENDLESS.into_iter().chain([("timeout", "100ms")]).collect();
    let answer = post(&store, "query_range", &pairs).await;
    assert_eq!(refused(&answer, 503, "timeout"), "query timed out in expression evaluation");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_logged_where_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::serve(Page::text(PAGE)).await;
    let yaml = one_job(&target, "").replace("global:\n", "global:\n  query_log_file: queries.log\n");
    let store = Store::start(dir.path(), &yaml).await;
    post(&store, "query", &[("query", "1 + 1"), ("time", "1.5")]).await;
    post(&store, "query", &[("query", "label_replace(up, \"a\", \"b\", \"c\", \"(\")")]).await;
    let text = std::fs::read_to_string(dir.path().join("queries.log")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["params"]["query"], &lines[0]["params"]["step"]), (&json!("1 + 1"), &json!(0)));
    assert_eq!(lines[1]["error"], "invalid regular expression in label_replace(): (");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_queries() {
    let (_dir, _target, store) = running_with(&[]).await;
    let plain = post(&store, "query", &[("query", "app_size")]).await.json();
    assert!(plain["data"].get("stats").is_none() && plain.get("warnings").is_none());
    for stats in ["true", "all", "1"] {
        let answer = post(&store, "query", &[("query", "app_size"), ("stats", stats)]).await.json();
        let stats_shown = &answer["data"]["stats"];
        let timings: Vec<&String> = stats_shown["timings"].as_object().unwrap().keys().collect();
        let want = [
            "evalTotalTime",
            "execQueueTime",
            "execTotalTime",
            "innerEvalTime",
            "queryPreparationTime",
            "resultSortTime",
        ];
        assert_eq!(timings, want);
        let samples = &stats_shown["samples"];
        assert_eq!((&samples["totalQueryableSamples"], &samples["samplesRead"]), (&json!(2), &json!(2)));
        assert!(samples["peakSamples"].as_u64() >= Some(2), "{answer}");
        assert_eq!(samples.get("samplesReadPerStep").is_some(), stats == "all", "{answer}");
        let warning = "value \"1\" for parameter \"stats\" is deprecated and will be rejected in the next major release, \
                       use \"true\" or \"all\"";
        assert_eq!(answer.get("warnings"), (stats == "1").then(|| json!([warning])).as_ref());
    }
    let range =
        [("query", "count_over_time(app_size[1h])"), ("start", "1.5"), ("end", "31.6"), ("step", "15")];
    let answer = post(&store, "query_range", &[&range[..], &[("stats", "all")]].concat()).await;
    let none = "[[1.5,0],[16.5,0],[31.5,0]]";
    let want = format!(
        "\"samples\":{{\"totalQueryableSamplesPerStep\":{none},\"totalQueryableSamples\":0,\
         \"samplesReadPerStep\":{none},\"samplesRead\":0,\"peakSamples\":0}}"
    );
    assert!(answer.body.contains(&want), "{}", answer.body);
    let limited = post(&store, "query", &[("query", "app_size"), ("limit", "1")]).await.json();
    assert_eq!(limited["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(limited["warnings"], json!(["results truncated due to limit"]));

    // A lookback of its own: what was scraped a moment ago is older than a millisecond.
    let answer = post(&store, "query", &[("query", "app_size"), ("lookback_delta", "0.001")]).await.json();
    let seen = answer["data"]["result"].as_array().unwrap().len();
    assert!(seen <= 2, "{answer}");
    let answer = post(&store, "query", &[("query", "1"), ("lookback_delta", "x")]).await;
    assert_eq!(
        refused(&answer, 400, "bad_data"),
        "error parsing lookback delta duration: cannot parse \"x\" to a valid duration"
    );

    for (time, shown) in [("2026-11-21T01:48:13.25Z", json!(1_795_225_693.25)), ("1e3", json!(1000))] {
        let answer = post(&store, "query", &[("query", "1"), ("time", time)]).await.json();
        assert_eq!(answer["data"]["result"][0], shown, "{time}");
    }
    for (query, shown) in [("0/0", "NaN"), ("1/0", "+Inf"), ("-1/0", "-Inf"), ("vector(1e21)", "1e+21")] {
        let answer = post(&store, "query", &[("query", query)]).await.json();
        let result = &answer["data"]["result"];
        let value = if result[0].is_object() { &result[0]["value"][1] } else { &result[1] };
        assert_eq!(value, shown, "{query}");
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_counted_as_the_statistics_of_a_query_say() {
    let (_dir, _target, store) = running_with(&[]).await;
    let count = async |name: &str| -> u64 {
        let metrics = store.get("/metrics").await.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
        line.parse().unwrap()
    };
    store.until_value("sum(count_over_time(app_size[1h])) >= bool 6", 1.0).await;
    // Six steps whose windows all hold what was scraped until a second ago.
    let end = format!("{:.3}", store.query("time()").await[0].as_f64().unwrap_or_default() - 1.0);
    let query = format!("sum(rate(app_size[1h] @ {end})) + sum(app_size)");
    let form = [("query", query.as_str()), ("start", &end), ("end", &end), ("step", "1"), ("stats", "true")];
    let total = "prometheus_engine_query_samples_total";
    let before = count(total).await;
    let answer = post(&store, "query_range", &form).await.json();
    let with_statistics = answer["data"]["stats"]["samples"]["totalQueryableSamples"].as_u64().unwrap();
    assert_eq!(count(total).await - before, with_statistics);
    assert_eq!(post(&store, "query_range", &form[..4]).await.status, 200);
    assert_eq!(count(total).await - before, 2 * with_statistics);
    assert!(count("prometheus_engine_query_samples_read_total").await > 0);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_are_printed_and_taken_apart() {
    let (_dir, _target, store) = running_with(&[]).await;
    let name = "a_metric_whose_name_is_so_long_that_two_of_it_do_not_fit_on_a_line";
    let answer = post(&store, "format_query", &[("query", &format!("{name}+{name}"))]).await.json();
    assert_eq!(answer["data"], format!("  {name}\n+\n  {name}"));
    for method in [Method::GET, Method::POST] {
        let answer = store.send(method, "/api/v1/parse_query?query=-foo", &[], "").await;
        let vector = json!({
            "type": "vectorSelector", "name": "foo", "matchers": [{"name": "__name__", "type": "=", "value": "foo"}],
            "offset": 0, "offsetExpr": null, "timestamp": null, "startOrEnd": null, "anchored": false, "smoothed": false,
        });
        assert_eq!(answer.json()["data"], json!({"type": "unaryExpr", "op": "-", "expr": vector}));
    }
    for path in ["format_query", "parse_query"] {
        let answer = post(&store, path, &[("query", "up{")]).await;
        assert_eq!(
            refused(&answer, 400, "bad_data"),
            "invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces"
        );
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_requests_are_refused_at_once() {
    let (_dir, _target, store) = running_with(&[]).await;
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let chain = vec!["up"; 100_000].join(" + ");
    let long = "x".repeat((1 << 20) + 1);
    let regex = format!("{{a=~\"{}\"}}", "(x{1000}){1000}");
    let alternatives = format!("{{a=~\"{}\"}}", "(a|b)*c".repeat(100_000));
    for query in [&deep, &chain, &long, &regex, &alternatives] {
        for path in ["query", "format_query", "parse_query", "query_exemplars"] {
            let answer = post(&store, path, &[("query", query)]).await;
            refused(&answer, 400, "bad_data");
        }
        for path in ["series", "labels"] {
            refused(&post(&store, path, &[("match[]", query)]).await, 400, "bad_data");
        }
    }
    for (start, end, step) in
        [("0", "1e18", "1"), ("-1e300", "1e300", "1e-3"), ("0", "11001", "1"), ("0", "1", "1e-9")]
    {
        let answer =
            post(&store, "query_range", &[("query", "1"), ("start", start), ("end", end), ("step", step)])
                .await;
        refused(&answer, 400, "bad_data");
    }
    let chain = vec!["vector(1)"; 1000].join(" + ");
    assert_eq!(store.value(&chain).await, Some(1000.0));
    for path in ["format_query", "parse_query"] {
        let answer = post(&store, path, &[("query", &chain)]).await;
        assert_eq!((answer.status, answer.body.matches("vector").count() >= 1000), (200, true), "{path}");
    }
    // As far as times go, all is well: there is nothing there.
    for pairs in [
        [("query", "rate(app_size[290y])"), ("time", "9e15"), ("x", "")],
        [("query", "app_size offset -290y"), ("time", "1e10"), ("x", "")],
        [("query", "app_size @ 1e12"), ("time", "-1e12"), ("lookback_delta", "200y")],
    ] {
        let answer = post(&store, "query", &pairs).await;
        assert!(matches!(answer.status, 200 | 400 | 422), "{pairs:?}: {}", answer.body);
    }
    assert_eq!(store.value("sum(app_size)").await, Some(4.0));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn durations_are_shown_as_the_peer_shows_them() {
    let (_dir, _target, store) = running_with(&[]).await;
    store.until_value("scrape_samples_scraped", 2.0).await;
    let wanted = [
        "# TYPE prometheus_engine_query_duration_seconds summary\n",
        "prometheus_engine_query_duration_seconds{slice=\"inner_eval\",quantile=\"0.9\"} 0.",
        "prometheus_engine_query_duration_seconds{slice=\"result_sort\",quantile=\"0.9\"} ",
        "prometheus_engine_query_duration_histogram_seconds_count{slice=\"result_sort\"} ",
        "prometheus_engine_query_duration_histogram_seconds_bucket{le=\"10.0\",slice=\"queue_time\"}",
        "prometheus_engine_query_log_enabled 0\n",
        "# TYPE prometheus_engine_query_log_failures",
        "# TYPE prometheus_engine_query_samples_read",
        "prometheus_target_interval_length_seconds{interval=\"100ms\",quantile=\"0.99\"} ",
        "prometheus_target_sync_length_seconds_count{scrape_job=\"app\"} 1\n",
        "prometheus_target_sync_length_histogram_seconds_count{scrape_job=\"app\"} 1\n",
        "prometheus_target_scrape_duration_seconds_count ",
    ];
    for accept in ["text/plain", "application/openmetrics-text;version=1.0.0"] {
        store
            .until("two scrapes", async || {
                let answer = store.send(Method::GET, "/metrics", &[("accept", accept)], "").await;
                let page = answer.body;
                assert_eq!(page.ends_with("# EOF\n"), accept != "text/plain");
                let missing: Vec<_> = wanted.iter().filter(|text| !page.contains(**text)).collect();
                // The first interval ends with the second scrape.
                missing.is_empty().then_some(())
            })
            .await;
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_queries_are_refused_in_the_words_of_the_peer() {
    let (_dir, _target, store) = running_with(&[]).await;
    let nested = |before: &str, inside: &str, after: &str, n: usize| {
        format!("{}{inside}{}", before.repeat(n), after.repeat(n))
    };
    for (query, words) in [
        (
            "{path=~\"(((a{1000}){1000}){1000})\"}".to_owned(),
            "1:2: parse error: error parsing regexp: expression too large",
        ),
        (
            nested("-", "app_size", "", 100_000),
            "1:151: parse error: expression is nested deeper than 150 levels",
        ),
        (
            nested("abs(", "app_size", ")", 100_000),
            "1:601: parse error: expression is nested deeper than 150 levels",
        ),
        (
            nested("", "app_size", "[1h:]", 100_000),
            "parse error: expression is nested deeper than 1200 levels",
        ),
        (nested("sum(", "", "", 100_000), "1:601: parse error: expression is nested deeper than 150 levels"),
        (nested("{", "", "", 100_000), "1:2: parse error: unexpected left brace '{'"),
        ("rate(app_size[1000y])".to_owned(), "1:15: parse error: duration out of range"),
        ("app_size offset 1000y".to_owned(), "1:17: parse error: duration out of range"),
        (
            "app_size @ -1e300".to_owned(),
            "1:12: parse error: timestamp out of bounds for @ modifier: -1000000000",
        ),
        ("app_size @ NaN".to_owned(), "1:12: parse error: timestamp out of bounds for @ modifier: NaN"),
        ("# nothing".repeat(100_000), "unknown position: parse error: no expression found in input"),
    ] {
        let error = refused(&post(&store, "query", &[("query", &query)]).await, 400, "bad_data");
        assert!(error.contains(words), "{words}: {error}");
    }

    let too_many = "query processing would load too many samples into memory in query execution";
    let scalars = nested("time()+(", "time()", ")", 60);
    for (query, words) in [
        ("max_over_time(app_size[10y:1ms])".to_owned(), too_many),
        (format!("max_over_time(vector({scalars})[40m:1ms])"), too_many),
        (
            "label_replace(app_size, \"x\", \"\", \"path\", \"((a{1000}){1000}){1000}\")".to_owned(),
            "invalid regular expression in label_replace(): ((a{1000}){1000}){1000}",
        ),
        (
            format!("label_replace(app_size, \"x\", \"{}\", \"path\", \"(.*)\")", "$1".repeat(300_000)),
            "label_replace() would make a label value of up to ",
        ),
        (
            nested("label_replace(", "app_size", ", \"path\", \"$1$1\", \"path\", \"(.*)\")", 100),
            "label_replace() would make a label value of up to ",
        ),
        ("topk(1e300, app_size)".to_owned(), "Scalar value 1e+300 overflows int64"),
    ] {
        let error = refused(&post(&store, "query", &[("query", &query)]).await, 422, "execution");
        assert!(error.starts_with(words), "{words}: {error}");
    }

    let steps = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
    let no_step = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive \
                   integer";
    let overflow =
        "invalid parameter \"step\": cannot parse \"1e300\" to a valid duration. It overflows int64";
    for (end, step, words) in [
        ("11001", "1", steps),
        ("1e300", "9223372036", steps),
        ("1", "0", no_step),
        ("1", "-1", no_step),
        ("1", "1e-9", no_step),
        ("1", "1e300", overflow),
    ] {
        let pairs = [("query", "app_size"), ("start", "0"), ("end", end), ("step", step)];
        assert_eq!(refused(&post(&store, "query_range", &pairs).await, 400, "bad_data"), words);
    }
    // Each step has a value of its own, so that there would be 121 million values in the result.
    let pairs =
        [("query", "count_values(\"v\", vector(time()))"), ("start", "0"), ("end", "10999"), ("step", "1")];
    assert_eq!(refused(&post(&store, "query_range", &pairs).await, 422, "execution"), too_many);
    // Nine quantiles of nine quantiles of ...: evaluated once each, though they are many.
    let quantiles = nested("histogram_quantiles(", "app_size", ", \"q\", 1, 2, 3, 4, 5, 6, 7, 8, 9)", 100);
    assert_eq!(post(&store, "query", &[("query", &quantiles)]).await.json()["data"]["result"], json!([]));
    assert_eq!(store.value("sum(app_size)").await, Some(4.0));
    store.stop().await;
}
