//! How long queries take: the same questions to every store, in turns, over the same data at rest.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::server::Server;

/// Queries are asked so many times at least, and longer ones no more often.
const MIN_RUNS: usize = 5;
/// Short ones so many times.
const MAX_RUNS: usize = 300;
/// As long as this is not over: enough of them that CPU time, which is counted in hundredths of a second, is known.
const RUN_TIME: Duration = Duration::from_secs(2);

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// An expression every 15 seconds over the last hours of the data.
    Range(i64, &'static str),
    /// An expression at the end of the data.
    Instant(&'static str),
    /// Which series a selector has.
    Series(&'static str),
    /// Which values a label has among a selector's series.
    LabelValues(&'static str, &'static str),
}

/// Distance of the points of a range query in seconds.
const STEP: i64 = 15;

use Question::{Instant as At, LabelValues, Range, Series};

/// Title and question of each row.
const QUESTIONS: [(&str, Question); 16] = [
    ("rate over one job, 1 h", Range(1, r#"rate(node_cpu_seconds_total{job="node"}[5m])"#)),
    ("sum by of rates, 6 h", Range(6, "sum by (instance) (rate(node_cpu_seconds_total[5m]))")),
    (
        "histogram_quantile, 6 h",
        Range(
            6,
            "histogram_quantile(0.95, sum by (le, handler) \
             (rate(prometheus_http_request_duration_seconds_bucket[5m])))",
        ),
    ),
    ("top 10, instant", At("topk(10, rate(node_interrupts_total[5m]))")),
    ("avg_over_time[1h], 6 h", Range(6, "avg_over_time(node_memory_MemAvailable_bytes[1h])")),
    ("max without, 6 h", Range(6, "max without (cpu) (node_cpu_seconds_total)")),
    (
        "group_left join, 1 h",
        Range(
            1,
            "rate(node_network_receive_bytes_total[5m]) \
             * on (instance, device) group_left (operstate) node_network_info",
        ),
    ),
    (
        "error ratio, 6 h",
        Range(
            6,
            r#"sum by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[5m])) / sum by (instance) (rate(node_cpu_seconds_total[5m]))"#,
        ),
    ),
    ("deriv[1h], 6 h", Range(6, "deriv(node_memory_MemAvailable_bytes[1h])")),
    ("quantile_over_time[1h], 6 h", Range(6, "quantile_over_time(0.9, node_memory_MemAvailable_bytes[1h])")),
    ("subquery, 1 h", Range(1, "max_over_time(sum(rate(node_network_receive_bytes_total[5m]))[30m:1m])")),
    ("increase[6h], instant", At("increase(node_cpu_seconds_total[6h])")),
    ("count of all series", At(r#"count({__name__!=""})"#)),
    ("regex over many names", At(r#"count by (__name__) ({__name__=~"node_network_.*"})"#)),
    ("series of one metric", Series("node_cpu_seconds_total")),
    ("label values with a matcher", LabelValues("instance", "node_load1")),
];

impl Question {
    /// Path and query string; the data ends at `end` (seconds since the epoch).
    fn path(&self, end: i64) -> String {
        match self {
            Range(hours, query) => {
                let start = end - hours * 3600;
                format!("/api/v1/query_range?{}&start={start}&end={end}&step={STEP}", pair("query", query))
            }
            At(query) => format!("/api/v1/query?{}&time={end}", pair("query", query)),
            Series(matcher) => {
                format!("/api/v1/series?{}&start={}&end={end}", pair("match[]", matcher), end - 3600)
            }
            LabelValues(label, matcher) => {
                let matcher = pair("match[]", matcher);
                format!("/api/v1/label/{label}/values?{matcher}&start={}&end={end}", end - 3600)
            }
        }
    }
}

fn pair(key: &str, value: &str) -> String {
    let mut out = String::new();
    for (at, text) in [key, value].into_iter().enumerate() {
        if at > 0 {
            out.push('=');
        }
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() {
                out.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// What one store took for one question.
#[derive(Clone, Copy, Debug)]
struct Taken {
    median: Duration,
    cpu: Duration,
    n_answered: usize,
}

/// Columns of the table: the question, then three for each store.
pub fn columns(names: &[String]) -> Vec<String> {
    let mut columns = vec!["query".to_owned(), "series".to_owned()];
    for name in names {
        columns.push(format!("{name} ms"));
        columns.push(format!("{name} CPU ms"));
    }
    if names.len() > 1 {
        columns.push("times the best other".to_owned());
    }
    columns
}

/// Asks every question of every store, whose data ends at `ends_ms`, and hands over a row for each. The first store is compared with the others.
///
/// # Errors
/// A store ends or refuses.
pub fn compare(servers: &[Server], ends_ms: &[i64], mut row: impl FnMut(Vec<String>)) -> Result<()> {
    for (title, question) in QUESTIONS {
        let ask =
            |(server, end_ms): (&Server, &i64)| ask(server, &question.path(end_ms / 1000)).context(title);
        let taken: Vec<Taken> = servers.iter().zip(ends_ms).map(ask).collect::<Result<_>>()?;
        let mut cells = vec![title.to_owned(), n_series(&taken)];
        for one in &taken {
            cells.extend([milliseconds(one.median), milliseconds(one.cpu)]);
        }
        if let Some(best) = taken.iter().skip(1).map(|one| one.median).min() {
            cells.push(format!("{:.1}", best.as_secs_f64() / taken[0].median.as_secs_f64().max(1e-9)));
        }
        row(cells);
    }
    Ok(())
}

/// How many series the answers have: one number where the stores agree.
fn n_series(taken: &[Taken]) -> String {
    let mut counts: Vec<String> = taken.iter().map(|one| one.n_answered.to_string()).collect();
    counts.dedup();
    counts.join(" / ")
}

/// Warm: the first two answers are not counted. VictoriaMetrics is told not to answer from its cache of results.
fn ask(server: &Server, path: &str) -> Result<Taken> {
    let path = format!("{path}&nocache=1");
    let mut n_answered = 0;
    for _ in 0..2 {
        let answer = server.client.get(&path)?;
        if answer.status != 200 {
            bail!("{path}: {}: {}", answer.status, answer.body);
        }
        let json: serde_json::Value = serde_json::from_str(&answer.body)?;
        let found = json["data"].as_array().or_else(|| json["data"]["result"].as_array());
        n_answered = found.map_or(0, Vec::len);
    }
    let cpu_before = server.usage()?.cpu;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < MIN_RUNS || (times.len() < MAX_RUNS && began.elapsed() < RUN_TIME) {
        let asked = Instant::now();
        server.client.get(&path)?;
        times.push(asked.elapsed());
    }
    let cpu = server.usage()?.cpu.saturating_sub(cpu_before);
    times.sort();
    let n_runs = u32::try_from(times.len()).unwrap_or(u32::MAX);
    Ok(Taken { median: times[times.len() / 2], cpu: cpu / n_runs, n_answered })
}

fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_paths() {
        assert_eq!(Range(1, "up").path(7_200), "/api/v1/query_range?query=up&start=3600&end=7200&step=15");
        assert_eq!(
            LabelValues("job", r#"{a="b"}"#).path(3600),
            "/api/v1/label/job/values?match%5B%5D=%7Ba%3D%22b%22%7D&start=0&end=3600"
        );
        assert_eq!(milliseconds(Duration::from_micros(1234)), "1.23");
    }
}
