//! Remote write over HTTP: which request is taken, what the sender is told, what queries then find.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod support;

use http::Method;
use support::{Answer, Store};

const FLAG: &str = "--web.enable-remote-write-receiver";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128);
    [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

fn snap(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

fn sample(value: f64, time: i64) -> Vec<u8> {
    [&[0x09][..], &value.to_le_bytes(), &[0x10], &varint(time.cast_unsigned())].concat()
}

/// A series of version 1.0 with one sample.
fn series(labels: &[(&str, &str)], value: f64, time: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, text) in labels {
        let label = [field(0x0a, name.as_bytes()), field(0x12, text.as_bytes())].concat();
        out.extend(field(0x0a, &label));
    }
    out.extend(field(0x12, &sample(value, time)));
    field(0x0a, &out)
}

/// References into the symbols, and samples.
type RefSeries<'a> = (&'a [u8], &'a [(f64, i64)]);

/// A request of version 2.0: symbols, and series as references and samples.
fn v2(symbols: &[&str], all: &[RefSeries<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for symbol in symbols {
        out.extend(field(0x22, symbol.as_bytes()));
    }
    for (refs, samples) in all {
        let mut one = field(0x0a, refs);
        for (value, time) in *samples {
            one.extend(field(0x12, &sample(*value, *time)));
        }
        out.extend(field(0x2a, &one));
    }
    snap(&out)
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap() * 1000
}

async fn write(store: &Store, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    store.send(Method::POST, "/api/v1/write", headers, body).await
}

fn written(answer: &Answer) -> [&str; 3] {
    ["samples", "histograms", "exemplars"]
        .map(|what| answer.header(&format!("x-prometheus-remote-write-{what}-written")))
}

#[tokio::test(flavor = "multi_thread")]
async fn off_unless_it_is_turned_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), "{}").await;
    let answer = write(&store, &[], &[]).await;
    let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n";
    assert_eq!((answer.status, answer.body.as_str()), (404, text));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_is_stored_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start_with(dir.path(), "{}", &[FLAG]).await;
    let t = now() - 60_000;
    let labels = [("__name__", "rw"), ("host", "a")];
    let body = snap(&[series(&labels, 1.0, t), series(&labels, 2.0, t + 1000)].concat());
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let last = snap(&series(&labels, 2.0, t + 1000));
    // Again what is the newest: no error.
    for body in [body, last] {
        let answer = write(&store, &headers, &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert_eq!(written(&answer), ["", "", ""], "headers of version 2.0 only");
    }
    assert_eq!(store.value("sum(count_over_time(rw{host=\"a\"}[5m]))").await, Some(2.0));
    // No headers at all are version 1.0, too.
    assert_eq!(write(&store, &[], &snap(&series(&labels, 3.0, t + 2000))).await.status, 204);

    let answer = write(&store, &headers, &snap(&series(&labels, 5.0, t + 2000))).await;
    let text = format!(
        "duplicate sample for timestamp {}; overrides not allowed: existing 3, new value 5\n",
        t + 2000
    );
    assert_eq!((answer.status, answer.body), (400, text));
    let answer = write(&store, &headers, &snap(&series(&labels, 5.0, now() + 3_600_000))).await;
    let text = "out of bounds: timestamp is too far in the future\n";
    assert_eq!((answer.status, answer.body.as_str()), (400, text));
    let no_name = snap(&series(&[("job", "j")], 5.0, t));
    assert_eq!(write(&store, &headers, &no_name).await.status, 204);
    let metrics = store.get("/metrics").await.body;
    assert!(metrics.contains("prometheus_api_remote_write_invalid_labels_samples_total 1"), "{metrics}");
    assert!(metrics.contains("prometheus_http_requests_total{handler=\"/api/v1/write\",code=\"400\"} 2"));
    store.stop().await;

    let store = Store::start_with(dir.path(), "{}", &[FLAG]).await;
    assert_eq!(store.value("sum(count_over_time(rw[5m]))").await, Some(3.0));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_2_tells_what_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start_with(dir.path(), "{}", &[FLAG]).await;
    let t = now() - 60_000;
    let symbols = ["", "__name__", "rw", "job", "j", "k"];
    let headers = [("content-type", V2), ("content-encoding", "snappy")];
    let all: [RefSeries<'_>; 2] =
        [(&[1, 2, 3, 4], &[(1.0, t), (2.0, t + 1000)]), (&[1, 2, 3, 5], &[(3.0, t)])];
    let answer = write(&store, &headers, &v2(&symbols, &all)).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(written(&answer), ["3", "0", "0"]);

    let all: [RefSeries<'_>; 5] = [
        (&[1, 2, 3, 4], &[(7.0, t + 1000), (8.0, t + 2000)]),
        (&[3, 4], &[(1.0, t)]),
        (&[1, 5, 3], &[(1.0, t)]),
        (&[1, 9], &[(1.0, t)]),
        (&[1, 2], &[]),
    ];
    let answer = write(&store, &headers, &v2(&symbols, &all)).await;
    let texts = [
        &format!(
            "duplicate sample for timestamp {}; overrides not allowed: existing 2, new value 7",
            t + 1000
        ),
        "invalid metric name or labels, got {job=\"j\"}",
        "parsing labels for series [1 5 3]: invalid labelRefs length 3",
        "parsing labels for series [1 9]: labelRefs 1 (name) = 9 (value) outside of symbols table (size 6)",
        "TimeSeries must contain at least one sample or histogram for series {__name__=\"rw\"}\n",
    ];
    assert_eq!((answer.status, answer.body.as_str()), (400, texts.join("\n").as_str()));
    assert_eq!(written(&answer), ["1", "0", "0"]);
    assert_eq!(store.value("sum(count_over_time(rw{job=\"j\"}[5m]))").await, Some(3.0));

    // The other version names the same series by other bytes.
    let body = snap(&series(&[("__name__", "rw"), ("job", "k")], 4.0, t + 1000));
    assert_eq!(write(&store, &[], &body).await.status, 204);
    assert_eq!(store.value("sum(count_over_time(rw{job=\"k\"}[5m]))").await, Some(2.0));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start_with(dir.path(), "{}", &[FLAG]).await;
    let body = snap(&series(&[("__name__", "rw")], 1.0, now()));
    let protobuf = "application/x-protobuf";
    for (content_type, encoding, status, text) in [
        (
            "text/plain",
            "snappy",
            415,
            "expected application/x-protobuf as the first (media) part, got text/plain content-type\n",
        ),
        (
            "application/x-protobuf;proto=x",
            "snappy",
            415,
            "got application/x-protobuf;proto=x content type; unknown type for remote write protobuf message x, \
             supported: prometheus.WriteRequest, io.prometheus.write.v2.Request\n",
        ),
        (
            "application/x-protobuf;x",
            "snappy",
            415,
            "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got x in \
             application/x-protobuf;x content-type\n",
        ),
        (
            protobuf,
            "gzip",
            415,
            "gzip encoding (compression) is not accepted by this server; only snappy is acceptable\n",
        ),
        ("application/x-protobuf;proto=prometheus.WriteRequest", "snappy", 204, ""),
    ] {
        let answer =
            write(&store, &[("content-type", content_type), ("content-encoding", encoding)], &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{content_type} {encoding}");
    }
    for (body, status, text) in [
        (&b"no snappy"[..], 400, "s2: corrupt input\n"),
        (&snap(b"\x0a\x7f"), 400, "unexpected EOF\n"),
        (&snap(b"\x08\x01"), 400, "proto: wrong wireType = 0 for field Timeseries\n"),
        (&snap(b""), 204, ""),
        // A body of version 1.0 under the name of 2.0 holds nothing that 2.0 knows.
    ] {
        let answer = write(&store, &[("content-type", protobuf)], body).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{body:?}");
    }
    let answer =
        write(&store, &[("content-type", V2)], &snap(&series(&[("__name__", "x")], 1.0, now()))).await;
    assert_eq!((answer.status, written(&answer)), (204, ["0", "0", "0"]));
    let answer = store.get("/api/v1/write").await;
    assert_eq!((answer.status, answer.body.as_str()), (405, "Method Not Allowed\n"));
    // The store does not wait for the rest of such a body: a client that is still sending may see the end of the
    // connection instead of the answer.
    let large = vec![0; 17 << 20];
    let mut attempts = 0;
    let answer = loop {
        let headers = [("content-type", protobuf)];
        match store.try_send(Method::POST, "/api/v1/write", &headers, &large).await {
            Ok(answer) => break answer,
            Err(error) => assert!(attempts < 50, "never an answer: {error}"),
        }
        attempts += 1;
    };
    assert_eq!(answer.status, 413);
    store.stop().await;
}
