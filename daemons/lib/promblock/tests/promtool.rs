//! Against the peer's own tool: what is written here it reads, what it writes is read here, to the last bit.
//!
//! Needs `promtool` (Debian: package prometheus); without it the tests say so and pass.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_disk::RealFs;
use cairn_model::Labels;
use cairn_promblock::{BlockReader, BlockWriter, Sample, Value, find_blocks};

const HOUR: i64 = 3_600_000;
const START: i64 = 1_699_999_200_000;

fn promtool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join("promtool")).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: no promtool in PATH (Debian: apt-get install prometheus)");
    }
    found
}

fn run(tool: &Path, words: &[&str]) -> String {
    let output = Command::new(tool).args(words).output().expect("promtool starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{words:?}: {}{}", text(&output.stdout), text(&output.stderr));
    let errors = text(&output.stderr);
    assert!(!errors.contains("err") && !errors.contains("warn"), "{words:?} complained: {errors}");
    text(&output.stdout)
}

/// Labels as `promtool tsdb dump` prints them, times, and the values' bits.
type Dump = BTreeMap<String, Vec<(i64, u64)>>;

fn dump(tool: &Path, dir: &Path) -> Dump {
    // The tool wants a log, be it an empty one.
    std::fs::create_dir_all(dir.join("wal")).expect("a directory for the log");
    parse_dump(&run(tool, &["tsdb", "dump", dir.to_str().expect("a path in UTF-8")]))
}

fn parse_dump(text: &str) -> Dump {
    let mut dump = Dump::new();
    for line in text.lines() {
        let (rest, time) = line.rsplit_once(' ').expect("labels, value, time");
        let (labels, value) = rest.rsplit_once(' ').expect("labels and value");
        let value: f64 = match value {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            text => text.parse().expect("a float"),
        };
        // Of a NaN only that it is one is printed.
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        dump.entry(labels.to_owned()).or_default().push((time.parse().expect("a time"), bits));
    }
    dump
}

fn dump_of(series: &[(Labels, Vec<Sample>)]) -> Dump {
    let row = |sample: &Sample| match sample.value {
        Value::Float(value) if value.is_nan() => (sample.time_ms, f64::NAN.to_bits()),
        Value::Float(value) => (sample.time_ms, value.to_bits()),
        Value::Histogram(_) => panic!("a histogram"),
    };
    series.iter().map(|(labels, samples)| (labels.to_string(), samples.iter().map(row).collect())).collect()
}

#[test]
fn promtool_reads_what_is_written() {
    let Some(tool) = promtool() else { return };
    let special =
        [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX, 0.1, 1e15, -1.0 / 3.0];
    let mut series: Vec<(Labels, Vec<Sample>)> = (0..60usize)
        .map(|index| {
            let labels = Labels::from_pairs([
                ("__name__", "node_cpu_seconds_total"),
                ("cpu", &index.to_string()),
                ("text", "quote \" back\\slash é"),
            ]);
            // Steps of every width of a delta of deltas.
            let mut time = START;
            let samples = (0..300usize)
                .map(|at| {
                    let sample = Sample::float(time, special[(at + index) % special.len()]);
                    time += match at % 7 {
                        0 => 1,
                        1 => 9_000,
                        2 => 70_000,
                        _ => 15_000,
                    };
                    sample
                })
                .collect();
            (labels, samples)
        })
        .collect();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BlockWriter::create(&RealFs, dir.path(), START, START + 2 * HOUR).unwrap();
    for (labels, samples) in &series {
        writer.add(labels, samples.iter().cloned()).unwrap();
    }
    let written = writer.finish(START + 2 * HOUR).unwrap().unwrap();
    let place = dir.path().to_str().unwrap();
    let list = run(&tool, &["tsdb", "list", place]);
    assert!(list.contains(&written.meta.ulid) && list.contains("18000"), "{list}");
    let analysis = run(&tool, &["tsdb", "analyze", place]);
    assert!(analysis.contains("Series: 60") && analysis.contains("node_cpu_seconds_total"), "{analysis}");
    assert_eq!(dump(&tool, dir.path()), dump_of(&series));
}

#[test]
fn blocks_of_promtool_are_read() {
    let Some(tool) = promtool() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (page, out) = (dir.path().join("page"), dir.path().join("blocks"));
    let mut text = String::from("# TYPE requests counter\n# HELP requests What was asked.\n");
    for host in 0..40 {
        for at in 0..900 {
            let time = START / 1000 + at * 15;
            let value = f64::from(host) * 0.1 + at as f64;
            text.push_str(&format!("requests_total{{host=\"h{host}\",path=\"/a b\\\"c\"}} {value} {time}\n"));
        }
    }
    text.push_str("# EOF\n");
    std::fs::write(&page, text).unwrap();
    let (page, out) = (page.to_str().unwrap(), out.to_str().unwrap());
    run(&tool, &["tsdb", "create-blocks-from", "openmetrics", page, out]);
    let expected = dump(&tool, Path::new(out));

    let found = find_blocks(&RealFs, Path::new(out)).unwrap();
    assert!(found.blocks.len() >= 2, "{found:?}");
    let mut read = Dump::new();
    let mut n_samples = 0;
    for dir in found.blocks {
        let mut block = BlockReader::open(&RealFs, &dir).unwrap();
        n_samples += block.meta().stats.num_samples;
        while let Some(entry) = block.next_series() {
            let entry = entry.unwrap();
            let mut samples = Vec::new();
            for chunk in &entry.chunks {
                block.samples(&entry, chunk, &mut samples).unwrap();
            }
            for (labels, rows) in dump_of(&[(entry.labels, samples)]) {
                read.entry(labels).or_default().extend(rows);
            }
        }
    }
    read.values_mut().for_each(|rows| rows.sort_unstable());
    assert_eq!(n_samples, 40 * 900);
    assert_eq!(read, expected);
}
