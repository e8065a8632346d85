//! Remote read, as Thanos and other Prometheuses ask for it, and federation.

#![allow(clippy::unwrap_used)]

mod support;

use cairn_model::histogram::{Buckets, Counts, Histogram, Span};
use cairn_promblock::{Value, chunk};
use cairn_wire::{exposition, prompb};
use http::Method;
use support::{Answer, Store};

/// More series than are read at once, so that blocks are walked.
const N_MANY: usize = 100;

const CONFIG: &str = "global: {external_labels: {env: dev, replica: a}}\nscrape_configs: []\n";

fn label(name: &str, value: &str) -> prompb::Label {
    prompb::Label { name: name.to_owned(), value: value.to_owned() }
}

fn snappy(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

fn histogram(count: u64) -> Histogram {
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        counts: Counts::Int(Buckets { count, zero_count: 0, positive: vec![1, count - 1], negative: vec![] }),
        ..Histogram::without_observations(25.0, false)
    }
}

/// Milliseconds of a whole minute, some minutes ago.
fn base() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() / 60 * 60_000 - 180_000
}

async fn filled(dir: &std::path::Path, start: i64) -> Store {
    let store = Store::start_with(dir, CONFIG, &["--web.enable-remote-write-receiver"]).await;
    let floats = |name: &str, path: &str, n: i32| prompb::TimeSeries {
        labels: vec![label("__name__", name), label("path", path)],
        samples: (0..n)
            .map(|i| prompb::Sample { value: f64::from(i), timestamp: start + i64::from(i) * 1000 })
            .collect(),
        ..prompb::TimeSeries::default()
    };
    let mut timeseries = vec![floats("many", "long", 150)];
    timeseries.extend((0..N_MANY).map(|i| floats("many", &format!("{i:03}"), 2)));
    timeseries.push(prompb::TimeSeries {
        labels: vec![label("__name__", "native"), label("replica", "own")],
        histograms: (2u32..5)
            .map(|i| prompb::Histogram::of(start + i64::from(i) * 1000, &histogram(i.into())))
            .collect(),
        ..prompb::TimeSeries::default()
    });
    let body = snappy(&prompb::encode(&prompb::WriteRequest { timeseries }));
    let answer = store.send(Method::POST, "/api/v1/write", &[], body).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    store
}

fn query(start: i64, end: i64, matchers: &[(i32, &str, &str)]) -> prompb::Query {
    let matcher = |&(kind, name, value): &(i32, &str, &str)| prompb::LabelMatcher {
        kind,
        name: name.to_owned(),
        value: value.to_owned(),
    };
    prompb::Query {
        start_timestamp_ms: start,
        end_timestamp_ms: end,
        matchers: matchers.iter().map(matcher).collect(),
    }
}

async fn read(store: &Store, queries: Vec<prompb::Query>, kinds: &[i32]) -> Answer {
    let request = prompb::ReadRequest { queries, accepted_response_types: kinds.to_vec() };
    let headers = [
        ("content-encoding", "snappy"),
        ("content-type", "application/x-stream-protobuf"),
        ("x-prometheus-remote-read-version", "0.1.0"),
        ("accept-encoding", "gzip"),
    ];
    store.send(Method::POST, "/api/v1/read", &headers, snappy(&prompb::encode(&request))).await
}

fn frames(bytes: &[u8]) -> Vec<prompb::ChunkedReadResponse> {
    prompb::unframe(bytes).unwrap()
}

fn samples(series: &prompb::ChunkedSeries) -> Vec<(i64, Value)> {
    let mut samples = Vec::new();
    for one in &series.chunks {
        let before = samples.len();
        chunk::decode(u8::try_from(one.kind).unwrap(), &one.data, &mut |sample| {
            samples.push((sample.time_ms, sample.value));
        })
        .unwrap();
        assert_eq!((samples[before].0, samples.last().unwrap().0), (one.min_time_ms, one.max_time_ms));
    }
    samples
}

fn labels(pairs: &[prompb::Label]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
    pairs.join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let start = base();
    let store = filled(dir.path(), start).await;
    // The second asks for nothing, and for an external label as if it were stored.
    let queries = vec![
        query(
            start + 1000,
            start + 140_000,
            &[(0, "__name__", "many"), (0, "path", "long"), (0, "env", "dev")],
        ),
        query(start, start + 1000, &[(0, "__name__", "nothing")]),
        query(start, start + 4000, &[(0, "__name__", "native")]),
    ];
    let answer = read(&store, queries, &[1, 0]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.header("content-type"),
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    assert_eq!(answer.header("content-encoding"), "");
    let frames = frames(&answer.bytes);
    assert_eq!(frames.iter().map(|frame| frame.query_index).collect::<Vec<_>>(), [0, 2]);
    let long = &frames[0].chunked_series[0];
    assert_eq!(labels(&long.labels), "__name__=many,env=dev,path=long,replica=a");
    let want: Vec<(i64, Value)> =
        (1..=140).map(|i| (start + i64::from(i) * 1000, Value::Float(f64::from(i)))).collect();
    assert_eq!(samples(long), want);
    let native = &frames[1].chunked_series[0];
    assert_eq!(labels(&native.labels), "__name__=native,env=dev,replica=own", "its own label wins");
    let got = samples(native);
    assert_eq!(got.len(), 3);
    let Value::Histogram(last) = &got[2].1 else { panic!("{got:?}") };
    assert_eq!((got[2].0, last.count(), last.sum.to_bits()), (start + 4000, 4.0, 25.0f64.to_bits()));

    // Many series: one a frame, ascending.
    let answer = read(&store, vec![query(start, start + 999, &[(2, "path", ".+")])], &[1]).await;
    let paths: Vec<String> = self::frames(&answer.bytes)
        .iter()
        .map(|frame| {
            assert_eq!((frame.chunked_series.len(), samples(&frame.chunked_series[0]).len()), (1, 1));
            frame.chunked_series[0].labels.iter().find(|label| label.name == "path").unwrap().value.clone()
        })
        .collect();
    let want: Vec<String> = (0..N_MANY).map(|i| format!("{i:03}")).chain(["long".to_owned()]).collect();
    assert_eq!(paths, want);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_in_one_message() {
    let dir = tempfile::tempdir().unwrap();
    let start = base();
    let store = filled(dir.path(), start).await;
    let queries = vec![
        query(start, start + 1000, &[(0, "__name__", "many"), (2, "path", "long|001")]),
        query(start, start + 3000, &[(0, "__name__", "native"), (1, "replica", "a")]),
    ];
    for kinds in [&[][..], &[0], &[0, 1]] {
        let answer = read(&store, queries.clone(), kinds).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            (answer.header("content-type"), answer.header("content-encoding")),
            ("application/x-protobuf", "snappy")
        );
        let plain = cairn_wire::decompress::snappy_block(&answer.bytes, 1 << 20).unwrap();
        let results = prompb::decode::<prompb::ReadResponse>(&plain).unwrap().results;
        let of = |i: usize| results[i].timeseries.iter().map(|one| labels(&one.labels)).collect::<Vec<_>>();
        assert_eq!(
            of(0),
            ["__name__=many,env=dev,path=001,replica=a", "__name__=many,env=dev,path=long,replica=a"]
        );
        assert_eq!(
            results[0].timeseries[1].samples,
            [
                prompb::Sample { value: 0.0, timestamp: start },
                prompb::Sample { value: 1.0, timestamp: start + 1000 }
            ]
        );
        assert_eq!(of(1), ["__name__=native,env=dev,replica=own"]);
        let histograms = &results[1].timeseries[0].histograms;
        assert_eq!(histograms.len(), 2);
        assert_eq!((histograms[1].count_int, &histograms[1].positive_deltas), (Some(3), &vec![1, 1]));
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), CONFIG).await;
    let answer = read(&store, Vec::new(), &[7]).await;
    let want = "server does not support any of the requested response types: [7]; supported: map[SAMPLES:{} \
                STREAMED_XOR_CHUNKS:{}]\n";
    assert_eq!((answer.status, answer.body.as_str()), (400, want));
    for (body, text) in [(&b"no snappy"[..], "snappy"), (b"\x03\x08\xff\xff\xff", "")] {
        let answer = store.send(Method::POST, "/api/v1/read", &[], body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(text), "{}", answer.body);
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    for (matcher, text) in [((9, "a", "b"), "invalid matcher type"), ((2, "a", "("), "error parsing regexp")]
    {
        let answer = read(&store, vec![query(0, 1, &[matcher])], &[1]).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(text), "{}", answer.body);
    }
    // No matcher is everything, and the wrong way round is nothing.
    for one in [query(0, 1, &[]), query(1, 0, &[(2, "a", ".*")])] {
        let answer = read(&store, vec![one], &[1]).await;
        assert_eq!((answer.status, answer.bytes.len()), (200, 0));
    }
    assert_eq!(store.get("/api/v1/read").await.status, 405);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_prometheus_federates() {
    let dir = tempfile::tempdir().unwrap();
    let start = base();
    let store = filled(dir.path(), start).await;
    let answer =
        store.get("/federate?match[]=many%7Bpath=~%22long%7C00.%22%7D&match[]=%7Bpath=%22long%22%7D").await;
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
    let lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!(lines.len(), 12, "{}", answer.body);
    assert_eq!(lines[0], "# TYPE many untyped");
    let time = start + 149_000;
    assert_eq!(
        lines[11],
        format!("many{{path=\"long\",env=\"dev\",instance=\"\",replica=\"a\"}} 149 {time}")
    );
    for (path, status, body) in [
        ("/federate", 200, ""),
        ("/federate?match[]=native", 200, ""),
        ("/federate?match[]=up%7B", 400, "1:4: parse error: unexpected end of input inside braces\n"),
    ] {
        let answer = store.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}");
    }
    assert_eq!(store.post("/federate", "").await.status, 405);

    // As a Prometheus asks that scrapes native histograms.
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
                  escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5";
    let path = "/federate?match[]=native&match[]=many%7Bpath=%22long%22%7D";
    let answer = store.send(http::Method::GET, path, &[("accept", accept)], "").await;
    assert_eq!(
        answer.header("content-type"),
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=allow-utf-8"
    );
    let options = exposition::Options { wants_native: true, ..exposition::Options::default() };
    let mut parser = exposition::Parser::new(&answer.bytes, exposition::Format::Protobuf, options);
    let mut read = Vec::new();
    while let Some(item) = parser.next() {
        if let exposition::Item::Sample(sample) = item.unwrap() {
            let value = match &sample.value {
                exposition::Value::Float(value) => format!("{value}"),
                exposition::Value::Histogram(histogram) => format!("schema {}", histogram.schema),
            };
            read.push(format!("{:?} {value}", sample.timestamp));
        }
    }
    assert_eq!(read[0], format!("Some({time}) 149"));
    assert!(read.len() == 2 && read[1].contains("schema "), "{read:?}");
    store.stop().await;
}
