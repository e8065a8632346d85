//! `export` and `import`, as a person calls them, against the peer's own tools where they are installed.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use cairn_disk::{DirLock, RealFs};
use cairn_model::histogram::{Buckets, Counts, Span};
use cairn_model::{Histogram, Labels, TimeMs};
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS, SeriesData};
use cairn_tsdb::db::SelectError;
use cairn_tsdb::{BlockId, Db, Options, Sample};
use serde_json::Value;

const HOUR: i64 = 3_600_000;
const STEP: i64 = 15_000;
/// 2026-11-27T10:00:00Z, at a border of blocks.
const START: i64 = 1_795_773_600_000;

/// A program of Debian's package prometheus.
fn peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: no {name} in PATH (Debian: apt-get install prometheus)");
    }
    found
}

fn store(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn-metrics-store")).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it, which must succeed; answers the report.
#[track_caller]
fn good(output: &Output) -> String {
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{}{errors}", text(&output.stdout));
    assert!(!errors.contains("level=warn") && !errors.contains("level=error"), "{errors}");
    text(&output.stdout)
}

#[track_caller]
fn export(data: &Path, out: &Path, more: &[&str]) -> String {
    let (data, out) = (data.to_str().unwrap(), out.to_str().unwrap());
    let words = ["export", "--format", "prometheus-blocks", "--data-dir", data, "--out", out];
    good(&store(&[&words, more].concat()))
}

fn import_words<'a>(from: &'a str, data: &'a str) -> [&'a str; 7] {
    ["import", "--format", "prometheus-blocks", "--from", from, "--data-dir", data]
}

#[track_caller]
fn import(from: &Path, data: &Path) -> String {
    good(&store(&import_words(from.to_str().unwrap(), data.to_str().unwrap())))
}

fn open(dir: &Path) -> (Db, DirLock) {
    let lock = DirLock::acquire(dir).unwrap();
    let mut options = Options::new(dir, Arc::new(RealFs));
    options.retention_ms = None;
    (Db::open(options, &|_| {}).unwrap().0, lock)
}

/// Values by their bits, histograms by their text.
type Rows = BTreeMap<String, Vec<(i64, String)>>;

fn rows(db: &Db) -> Rows {
    let mut rows = Rows::new();
    db.walk(&[], (TimeMs::MIN, TimeMs::MAX), |series| {
        let mut all: Vec<(i64, String)> = series
            .times
            .iter()
            .zip(&series.values)
            .map(|(time, value)| (*time, format!("{:x}", value.to_bits())))
            .collect();
        all.extend(series.histograms.iter().map(|point| {
            // What is known about resets depends on how chunks are cut.
            let mut histogram = (*point.histogram).clone();
            histogram.reset_hint = Default::default();
            (point.time, format!("{histogram:?}"))
        }));
        all.sort();
        assert!(rows.insert(series.labels.to_string(), all).is_none());
        Ok::<(), SelectError>(())
    })
    .unwrap();
    rows
}

fn histogram(n: u64) -> Histogram {
    Histogram {
        reset_hint: Default::default(),
        schema: 2,
        zero_threshold: 0.001,
        sum: n as f64 * 1.25,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 2, length: 1 }],
        negative_spans: Vec::new(),
        custom_bounds: Arc::default(),
        counts: Counts::Int(Buckets {
            count: 6 * n,
            zero_count: n,
            positive: vec![n, 3 * n, n],
            negative: Vec::new(),
        }),
    }
}

/// A database with five hours in blocks and some minutes in the head.
fn filled(dir: &Path) {
    let (db, _lock) = open(dir);
    let special = [0.0, -0.0, 5e-324, f64::INFINITY, f64::NEG_INFINITY, 0.1, -1.0 / 3.0, 1e300];
    let mut import = db.import(BlockId(7)).unwrap();
    let mut all = Vec::new();
    for index in 0..30usize {
        let mut series = SeriesData {
            labels: Arc::new(Labels::from_pairs([
                ("__name__", "requests_total"),
                ("instance", &format!("host-{index}")),
                ("path", "/a \"b\" \\ é"),
            ])),
            ..SeriesData::default()
        };
        for at in 0..5 * HOUR / STEP {
            series.times.push(START + at * STEP + index as i64);
            let kind = usize::try_from(at).unwrap() + index;
            series.values.push(if kind.is_multiple_of(97) {
                f64::from_bits(STALE_NAN_BITS)
            } else if kind.is_multiple_of(5) {
                special[kind % special.len()]
            } else {
                at as f64
            });
        }
        all.push(series);
    }
    let mut series = SeriesData {
        labels: Arc::new(Labels::from_pairs([("__name__", "latency_seconds"), ("job", "native")])),
        ..SeriesData::default()
    };
    for at in 0..3 * HOUR / STEP {
        let histogram = Arc::new(histogram(at.cast_unsigned() + 1));
        series.histograms.push(HistogramPoint { time: START + at * STEP, start: 0, histogram });
    }
    all.push(series);
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    for series in &all {
        import.add(series).unwrap();
    }
    import.finish(vec![BlockId(7)]).unwrap().unwrap();
    let series = db.series_ref(&Labels::from_pairs([("__name__", "fresh"), ("in", "head")])).unwrap();
    let last = START + 5 * HOUR;
    let fresh: Vec<Sample> = (0..20)
        .map(|at| Sample { series: series.clone(), time_ms: last + at * STEP, value: at as f64, start_ms: 0 })
        .collect();
    assert!(db.append(&fresh, TimeMs(last + HOUR)).unwrap().iter().all(|outcome| outcome.is_kept()));
    db.sync().unwrap();
}

#[test]
fn what_is_exported_comes_back_and_coming_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out, other) = (dir.path().join("data"), dir.path().join("out"), dir.path().join("other"));
    filled(&data);
    let report = export(&data, &out, &[]);
    assert!(report.contains("3 blocks, "), "{report}");
    let again = export(&data, &out, &[]);
    assert!(again.contains("3 blocks (3 were there already)"), "{again}");

    let report = import(&out, &other);
    assert!(report.contains("3 blocks, ") && report.contains("2026-11-27T10:00:00Z"), "{report}");
    let expected = rows(&open(&data).0);
    assert_eq!(expected.len(), 32);
    assert_eq!(rows(&open(&other).0), expected);

    let report = import(&out, &other);
    assert!(report.contains("0 blocks (3 were imported before)"), "{report}");
    let (db, lock) = open(&other);
    assert_eq!((db.blocks().len(), rows(&db)), (3, expected));
    drop((db, lock));

    // The same content has the same names, wherever it came from.
    let third = dir.path().join("third");
    export(&other, &third, &[]);
    let names = |dir: &Path| -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&third), names(&out));
}

#[test]
fn what_the_database_has_already_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out, other) = (dir.path().join("data"), dir.path().join("out"), dir.path().join("other"));
    filled(&data);
    export(&data, &out, &[]);
    let labels = Labels::from_pairs([("__name__", "fresh"), ("in", "head")]);
    let time_ms = START + 5 * HOUR + 3 * STEP;
    {
        let (db, _lock) = open(&other);
        let series = db.series_ref(&labels).unwrap();
        let sample = Sample { series, time_ms, value: -1.0, start_ms: 0 };
        assert!(db.append(&[sample], TimeMs(time_ms)).unwrap()[0].is_kept());
        db.sync().unwrap();
    }
    import(&out, &other);
    let (mut expected, found) = (floats(&open(&data).0), floats(&open(&other).0));
    expected.get_mut(&labels.to_string()).unwrap()[3].1 = (-1.0f64).to_bits();
    assert_eq!(found, expected);
}

#[test]
fn a_part_by_time_matcher_and_length() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out, other) = (dir.path().join("data"), dir.path().join("out"), dir.path().join("other"));
    filled(&data);
    let words = ["--from", "2026-11-27T11:00:00Z", "--to", "1795784400", "--block-duration", "6h"];
    let selectors = ["--matcher", "requests_total{instance=\"host-3\"}", "--matcher", "{in=\"head\"}"];
    let report = export(&data, &out, &[&words[..], &selectors[..]].concat());
    assert!(report.contains("2 blocks, "), "{report}");
    import(&out, &other);
    let found = rows(&open(&other).0);
    assert_eq!(found.len(), 1);
    let times: Vec<i64> = found.values().next().unwrap().iter().map(|(time, _)| *time).collect();
    assert_eq!(times.first(), Some(&(START + HOUR + 3)));
    // Inclusive, and this series is three milliseconds late.
    assert_eq!(times.last(), Some(&(1_795_784_400_000 - STEP + 3)));
}

#[test]
fn wrong_arguments_a_running_daemon_and_missing_folders() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    let (data_text, out_text) = (data.to_str().unwrap(), out.to_str().unwrap());
    let code = |words: &[&str]| store(words).status.code();
    assert_eq!(code(&["export", "--out", out_text]), Some(64));
    assert_eq!(code(&["import", "--format", "csv", "--from", out_text]), Some(64));
    let base = ["export", "--format", "prometheus-blocks", "--data-dir", data_text, "--out", out_text];
    let with = |more: &[&str]| store(&[&base, more].concat());
    assert_eq!(with(&["--block-duration", "3h"]).status.code(), Some(64));
    assert_eq!(with(&["--matcher", "{"]).status.code(), Some(64));
    assert_eq!(with(&["--from", "2", "--to", "1"]).status.code(), Some(64));

    let none = with(&[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("no database of cairn-metrics-store"), "{none:?}");
    assert!(!data.exists() && !out.exists());

    let (db, lock) = open(&data);
    let held = with(&[]);
    assert_eq!(held.status.code(), Some(1));
    let errors = text(&held.stderr);
    assert!(
        errors.contains("must be stopped") && errors.contains(&std::process::id().to_string()),
        "{errors}"
    );
    drop((db, lock));
    assert!(good(&with(&[])).contains("empty"));

    let nothing = store(&import_words(out_text, data_text));
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("neither a block"), "{nothing:?}");
}

#[test]
fn damage_is_named_and_the_rest_comes_along() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out, other) = (dir.path().join("data"), dir.path().join("out"), dir.path().join("other"));
    filled(&data);
    let report = export(&data, &out, &[]);
    let first = out.join(report.split(' ').next().unwrap()).join("chunks/000001");
    let mut bytes = std::fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    std::fs::create_dir_all(out.join("wal")).unwrap();
    std::fs::write(out.join("wal/00000000"), "x").unwrap();
    let output = store(&import_words(out.to_str().unwrap(), other.to_str().unwrap()));
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("1 damaged places were left out") && errors.contains("000001"), "{errors}");
    assert!(errors.contains("snapshot"), "nothing was said about the log: {errors}");
    let (expected, found) = (rows(&open(&data).0), rows(&open(&other).0));
    let count = |rows: &Rows| rows.values().map(Vec::len).sum::<usize>();
    assert!(count(&found) < count(&expected) && count(&found) + 120 >= count(&expected));
}

/// `promtool tsdb dump`: labels, times, and the values' bits.
fn dump(tool: &Path, dir: &Path) -> BTreeMap<String, Vec<(i64, u64)>> {
    let output = Command::new(tool).args(["tsdb", "dump"]).arg(dir).output().unwrap();
    let mut dump: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for line in good(&output).lines() {
        let (rest, time) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        dump.entry(labels.to_owned()).or_default().push((time.parse().unwrap(), value_bits(value)));
    }
    dump
}

/// Of a NaN the tools print only that it is one.
fn value_bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

fn floats(db: &Db) -> BTreeMap<String, Vec<(i64, u64)>> {
    let mut floats = BTreeMap::new();
    db.walk(&[], (TimeMs::MIN, TimeMs::MAX), |series| {
        let rows: Vec<_> = series
            .times
            .iter()
            .zip(&series.values)
            .map(|(time, value)| (*time, value_bits(*value)))
            .collect();
        if !rows.is_empty() {
            floats.insert(series.labels.to_string(), rows);
        }
        Ok::<(), SelectError>(())
    })
    .unwrap();
    floats
}

#[test]
fn promtool_reads_an_export() {
    let Some(tool) = peer("promtool") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    filled(&data);
    export(&data, &out, &[]);
    let tsdb = |word: &str| {
        let output = Command::new(&tool).args(["tsdb", word]).arg(&out).output().unwrap();
        assert!(output.stderr.is_empty(), "{word}: {}", text(&output.stderr));
        good(&output)
    };
    let list = tsdb("list");
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(tsdb("analyze").contains("Series: "));
    assert_eq!(dump(&tool, &out), floats(&open(&data).0));
}

#[test]
fn blocks_of_promtool_are_imported() {
    let Some(tool) = peer("promtool") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (page, blocks, data) = (dir.path().join("page"), dir.path().join("blocks"), dir.path().join("data"));
    let mut openmetrics = String::from("# TYPE temperature gauge\n");
    for sensor in 0..25 {
        for at in 0..1500 {
            let (value, time) = (f64::from(sensor * at % 1000) * 0.001, START / 1000 + i64::from(at) * 15);
            openmetrics
                .push_str(&format!("temperature{{sensor=\"{sensor}\",place=\"x y\"}} {value} {time}\n"));
        }
    }
    openmetrics.push_str("# EOF\n");
    std::fs::write(&page, openmetrics).unwrap();
    let made = Command::new(&tool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&page, &blocks])
        .output();
    assert!(made.unwrap().status.success());
    // The tool itself makes no log, and will not dump what has none.
    std::fs::create_dir(blocks.join("wal")).unwrap();
    let expected = dump(&tool, &blocks);
    assert_eq!(expected.values().map(Vec::len).sum::<usize>(), 25 * 1500);
    import(&blocks, &data);
    assert_eq!(floats(&open(&data).0), expected);
}

/// Debian's Prometheus on a folder, until it is dropped.
struct Prometheus {
    process: std::process::Child,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    fn start(program: &Path, dir: &Path, data: &Path) -> Self {
        let config = dir.join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let mut process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .args(["--storage.tsdb.retention.time=100y", "--web.listen-address=127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut address = None;
        loop {
            let line = lines.next().expect("it says that it is ready").unwrap();
            if let Some((_, rest)) = line.split_once("msg=\"Listening on\" address=") {
                address = Some(rest.trim().to_owned());
            }
            if line.contains("Server is ready to receive web requests") {
                break;
            }
        }
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { process, address: address.expect("it says where it listens") }
    }

    fn query(&self, query: &str, time: i64) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        write!(
            stream,
            "GET /api/v1/query?query={query}&time={} HTTP/1.0\r\nHost: {}\r\n\r\n",
            time as f64 / 1000.0,
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("200 OK"), "{answer}");
        serde_json::from_str::<Value>(body).unwrap()["data"]["result"].take()
    }
}

#[test]
fn prometheus_serves_an_export() {
    let Some(program) = peer("prometheus") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    filled(&data);
    export(&data, &out, &[]);
    let prometheus = Prometheus::start(&program, dir.path(), &out);
    let end = START + 5 * HOUR + 30 * STEP;

    let found = prometheus.query("requests_total[6h]", end);
    let mut series: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for result in found.as_array().unwrap() {
        let labels: Labels =
            result["metric"].as_object().unwrap().iter().map(|(k, v)| (k, v.as_str().unwrap())).collect();
        let values = result["values"].as_array().unwrap().iter();
        let row = |pair: &Value| {
            let value: f64 = pair[1].as_str().unwrap().parse().unwrap();
            (format!("{:.0}", pair[0].as_f64().unwrap() * 1000.0).parse().unwrap(), value_bits(value))
        };
        series.insert(labels.to_string(), values.map(row).collect());
    }
    let mut expected = floats(&open(&data).0);
    expected.retain(|labels, _| labels.contains("requests_total"));
    // A range leaves staleness markers out.
    expected.values_mut().for_each(|rows| rows.retain(|(_, bits)| *bits != f64::NAN.to_bits()));
    assert_eq!(series, expected);

    let fresh = prometheus.query("sum_over_time(fresh[1h])", end);
    assert_eq!(fresh[0]["value"][1], "190");
    let at = START + HOUR;
    let n = (HOUR / STEP + 1) as f64;
    let counts = prometheus.query("histogram_count(latency_seconds)", at);
    assert_eq!(counts[0]["value"][1], (6.0 * n).to_string());
    let sums = prometheus.query("histogram_sum(latency_seconds)", at);
    assert_eq!(sums[0]["value"][1], (1.25 * n).to_string());
    let quantile = prometheus.query("histogram_quantile(1, latency_seconds)", at);
    let quantile: f64 = quantile[0]["value"][1].as_str().unwrap().parse().unwrap();
    // The highest bucket is number 3 of schema 2; the last bit is a matter of two libraries' powers.
    assert!((quantile - 2f64.powf(0.75)).abs() < 1e-12, "{quantile}");
}
