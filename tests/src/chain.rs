//! The assertions of `scripts/up --check`: from a request to an answer.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::corpus::LogFile;
use crate::daemon::wait_for;
use crate::http;
use crate::stack::Stack;
use crate::tailing::{Rotation, Writer};

/// How long data may take from its source to an answer before the check gives up. Not a measurement: the benchmark is
/// `scripts/bench-latency`.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(60);

/// Most lines asked for at once: Loki's default limit.
const MAX_LINES: usize = 5000;

/// Nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

/// Lines of one query, in time order, oldest first.
///
/// # Errors
/// When the store does not answer 200 with streams.
pub fn log_lines(store: SocketAddr, query: &str, start_ns: i64, end_ns: i64) -> Result<Vec<String>> {
    let (start, end, limit) = (start_ns.to_string(), end_ns.to_string(), MAX_LINES.to_string());
    let parameters =
        [("query", query), ("start", &start), ("end", &end), ("limit", &limit), ("direction", "forward")];
    let answer = http::get_with(store, "/loki/api/v1/query_range", &parameters)?;
    ensure!(answer.status == 200, "{query}: {} {}", answer.status, answer.text());
    let json = answer.json()?;
    ensure!(json["data"]["resultType"] == "streams", "{query}: {json}");
    let mut lines: Vec<(i64, String)> = Vec::new();
    for stream in array(&json["data"]["result"])? {
        for value in array(&stream["values"])? {
            let time =
                value[0].as_str().and_then(|t| t.parse().ok()).with_context(|| format!("time in {value}"))?;
            lines.push((time, value[1].as_str().with_context(|| format!("line in {value}"))?.to_owned()));
        }
    }
    lines.sort_by_key(|(time, _)| *time);
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// The one value of an instant query over either store's API; `None` when the answer is empty.
///
/// # Errors
/// When the store refuses, or answers several series.
pub fn instant(store: SocketAddr, path: &str, query: &str) -> Result<Option<f64>> {
    let values = instant_values(store, path, query)?;
    ensure!(values.len() <= 1, "{query}: {} series instead of one", values.len());
    Ok(values.first().copied())
}

/// All values of an instant query.
///
/// # Errors
/// When the store refuses.
pub fn instant_values(store: SocketAddr, path: &str, query: &str) -> Result<Vec<f64>> {
    let answer = http::get_with(store, path, &[("query", query)])?;
    ensure!(answer.status == 200, "{query}: {} {}", answer.status, answer.text());
    let json = answer.json()?;
    array(&json["data"]["result"])?
        .iter()
        .map(|series| {
            series["value"][1]
                .as_str()
                .and_then(|v| v.parse().ok())
                .with_context(|| format!("value of {series}"))
        })
        .collect()
}

/// Path of the log store's instant queries.
pub const LOG_QUERY: &str = "/loki/api/v1/query";
/// Path of the metrics store's instant queries.
pub const METRIC_QUERY: &str = "/api/v1/query";

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("an array instead of {value}"))
}

/// Every endpoint of the sample app answers with the status that its users know.
///
/// # Errors
/// When one does not.
pub fn app_answers(app: SocketAddr) -> Result<()> {
    for (path, want) in [
        ("/", 200),
        ("/health", 200),
        ("/get", 200),
        ("/api/data", 200),
        ("/error", 500),
        ("/slow?ms=5", 200),
        ("/metrics", 200),
        ("/no-such-page", 404),
    ] {
        let answer = http::get(app, path)?;
        ensure!(answer.status == want, "GET {path}: {} instead of {want}", answer.status);
    }
    let answer = http::post(app, "/post", "application/json", br#"{"k":"v"}"#)?;
    ensure!(answer.status == 200, "POST /post: {} instead of 200", answer.status);
    Ok(())
}

/// The app's log file and the log store hold the same lines since `since_ns`, and filters find what they must.
/// `skip` is how many lines the file held before.
///
/// # Errors
/// When a line is missing, doubled, out of order or changed.
pub fn app_log_arrives(stack: &Stack, since_ns: i64, skip: usize) -> Result<usize> {
    let store = stack.log_store_address;
    let content = fs::read_to_string(&stack.app_log).context("read app.log")?;
    let complete = &content[..content.rfind('\n').map_or(0, |at| at + 1)];
    let file: Vec<&str> = complete.lines().skip(skip).take(MAX_LINES).collect();
    ensure!(!file.is_empty(), "app.log holds no new line, although the app was asked");
    for line in &file {
        ensure!(
            is_app_log_line(line),
            "app.log: not `YYYY-MM-DD HH:MM:SS - logger - LEVEL - message`: {line}"
        );
    }
    let arrived = wait_for("the lines of app.log to arrive in the log store", ARRIVAL_DEADLINE, || {
        log_lines(store, r#"{job="flask-app"}"#, since_ns, now_ns())
            .ok()
            .filter(|lines| lines.len() >= file.len())
    })?;
    for (index, (stored, written)) in arrived.iter().zip(&file).enumerate() {
        ensure!(stored == written, "line {index} of app.log: wrote {written:?}, the store has {stored:?}");
    }
    let end = now_ns();
    for (query, keep) in [
        (r#"{job="flask-app"} |~ "ERROR|error""#, ["ERROR", "error"].as_slice()),
        (r#"{job="flask-app"} |= "api/data""#, &["api/data"]),
    ] {
        let want: Vec<&&str> =
            file.iter().filter(|line| keep.iter().any(|text| line.contains(text))).collect();
        let got = log_lines(store, query, since_ns, end)?;
        ensure!(!want.is_empty(), "{query}: the traffic gave nothing to find");
        ensure!(got.len() >= want.len(), "{query}: {} lines instead of at least {}", got.len(), want.len());
        ensure!(got.iter().zip(&want).all(|(a, b)| a == **b), "{query}: other lines than the file has");
    }
    let rates = instant_values(store, LOG_QUERY, r#"rate({job="flask-app"}[5m])"#)?;
    ensure!(!rates.is_empty() && rates.iter().all(|rate| *rate > 0.0), "rate of the app's lines: {rates:?}");
    Ok(file.len())
}

/// `YYYY-MM-DD HH:MM:SS - logger_name - LEVEL - message`.
fn is_app_log_line(line: &str) -> bool {
    let shape = "dddd-dd-dd dd:dd:dd - ";
    let dated = line.len() > shape.len()
        && line.is_char_boundary(shape.len())
        && line.bytes().zip(shape.bytes()).all(|(c, s)| if s == b'd' { c.is_ascii_digit() } else { c == s });
    let mut parts = line.get(shape.len()..).unwrap_or_default().splitn(3, " - ");
    let (logger, level, message) = (parts.next(), parts.next(), parts.next());
    dated
        && logger.is_some_and(|l| !l.is_empty() && !l.contains(' '))
        && level.is_some_and(|l| ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"].contains(&l))
        && message.is_some_and(|m| !m.is_empty())
}

/// Lines with the labels that users' queries ask for (design 6.3) are pushed, and each query finds exactly its own.
///
/// # Errors
/// When one does not.
pub fn users_queries_answer(store: SocketAddr) -> Result<usize> {
    let base = now_ns();
    // A marker of this run in every line, so that data of earlier runs does not count.
    let mark = format!("run-{base}");
    let streams: [(&str, &[&str]); 5] = [
        (r#"{"service_name":"flask-dummy","env":"dev"}"#, &["dummy one", "dummy two"]),
        (
            r#"{"env":"sandbox","container_name":"web-1","image":"web:1"}"#,
            &["container says error", "container is fine"],
        ),
        (r#"{"env":"sandbox","log_source":"codeswarm_mcp","filename":"/logs/mcp.log"}"#, &["tool line"]),
        (
            r#"{"env":"sandbox","filename":"/logs/a_telemetry.jsonl"}"#,
            &["telemetry error here", "telemetry fine"],
        ),
        (
            r#"{"service":"worker"}"#,
            &[r#"{\"request_id\":\"abc\",\"event\":\"done\"}"#, r#"{\"request_id\":\"xyz\"}"#],
        ),
    ];
    let mut body = String::from(r#"{"streams":["#);
    let mut n = 0i64;
    for (index, (labels, lines)) in streams.iter().enumerate() {
        let values: Vec<String> = lines
            .iter()
            .map(|line| {
                n += 1;
                // The marker goes into structured metadata, so that JSON lines stay JSON.
                format!(r#"["{}","{line}",{{"run":"{mark}"}}]"#, base + n)
            })
            .collect();
        body += &format!(
            r#"{}{{"stream":{labels},"values":[{}]}}"#,
            if index > 0 { "," } else { "" },
            values.join(",")
        );
    }
    body += "]}";
    let answer = http::post(store, "/loki/api/v1/push", "application/json", body.as_bytes())?;
    ensure!(answer.status == 204, "push: {} {}", answer.status, answer.text());

    let of_run = format!("| run=\"{mark}\"");
    let queries: [(&str, &[&str]); 7] = [
        (r#"{service_name="flask-dummy"}"#, &["dummy one", "dummy two"]),
        (
            r#"{env="sandbox"}"#,
            &[
                "container says error",
                "container is fine",
                "tool line",
                "telemetry error here",
                "telemetry fine",
            ],
        ),
        (
            r#"{env=~".+"}"#,
            &[
                "dummy one",
                "dummy two",
                "container says error",
                "container is fine",
                "tool line",
                "telemetry error here",
                "telemetry fine",
            ],
        ),
        (r#"{env="sandbox", container_name=~".+"}"#, &["container says error", "container is fine"]),
        (r#"{env="sandbox", log_source="codeswarm_mcp"}"#, &["tool line"]),
        (r#"{env="sandbox", filename=~".*_telemetry.*"} |= "error""#, &["telemetry error here"]),
        (r#"{service="worker"} | json | request_id="abc""#, &[r#"{"request_id":"abc","event":"done"}"#]),
    ];
    for (query, want) in &queries {
        let got = log_lines(store, &format!("{query} {of_run}"), base, base + 1_000_000_000)?;
        ensure!(got == *want, "{query}: got {got:?} instead of {want:?}");
    }
    refused_and_formatted(store, base)?;
    Ok(queries.len())
}

/// `{}` is refused in Loki's words; RFC 3339 times and needless credentials are accepted.
fn refused_and_formatted(store: SocketAddr, base: i64) -> Result<()> {
    let refused = http::get_with(store, "/loki/api/v1/query_range", &[("query", "{}")])?;
    ensure!(refused.status == 400, "{{}}: {} instead of 400", refused.status);
    ensure!(
        refused.text().contains("queries require at least one regexp or equality matcher"),
        "{{}}: {}",
        refused.text()
    );

    let rfc3339 = |ns: i64| cairn_model::TimeNs(ns).to_string();
    let (start, end) = (rfc3339(base), rfc3339(base + 1_000_000_000));
    let answer = http::get_as_admin(
        store,
        "/loki/api/v1/query_range",
        &[("query", r#"{service="worker"}"#), ("start", &start), ("end", &end), ("limit", "10")],
    )?;
    ensure!(answer.status == 200, "RFC 3339 times: {} {}", answer.status, answer.text());
    let n: usize = array(&answer.json()?["data"]["result"])?
        .iter()
        .map(|s| s["values"].as_array().map_or(0, Vec::len))
        .sum();
    ensure!(n == 2, "RFC 3339 times: {n} lines instead of 2");
    Ok(())
}

/// Every target is up; the app's counters arrive with the right values; users' metric queries answer.
///
/// # Errors
/// When one does not in time.
pub fn metrics_arrive(stack: &Stack) -> Result<usize> {
    let store = stack.metrics_store_address;
    let n_targets = 4 + usize::from(stack.has_node_exporter());
    wait_for("every target to be up", ARRIVAL_DEADLINE, || {
        instant(store, METRIC_QUERY, "sum(up)").ok().flatten().filter(|up| *up >= n_targets as f64)
    })
    .with_context(|| http::get(store, "/api/v1/targets").map(|a| a.text()).unwrap_or_default())?;

    let query = r#"flask_app_request_count{method="GET",endpoint="/api/data",status="200"}"#;
    let exposed = |stack: &Stack| -> Result<f64> {
        let text = http::get(stack.app_address, "/metrics")?.text();
        let line = text
            .lines()
            .find(|l| {
                l.starts_with("flask_app_request_count{")
                    && l.contains(r#"endpoint="/api/data""#)
                    && l.contains(r#"status="200""#)
            })
            .context("find the app's counter of /api/data in /metrics")?;
        line.rsplit(' ').next().and_then(|v| v.parse().ok()).with_context(|| format!("value of {line}"))
    };
    let before = exposed(stack)?;
    let stored = wait_for("the app's counter to arrive", ARRIVAL_DEADLINE, || {
        let sum = format!(r#"sum({query} and on (instance) up{{instance="{}"}})"#, stack.app_address);
        instant(store, METRIC_QUERY, &sum).ok().flatten().filter(|v| *v >= before)
    })?;
    let after = exposed(stack)?;
    ensure!(stored <= after, "{query}: the store says {stored}, the app {before} before and {after} after");

    let queries = [
        "rate(flask_app_request_count[5m])",
        "histogram_quantile(0.95, rate(flask_app_request_duration_seconds_bucket[5m]))",
        "rate(flask_app_error_count[5m])",
    ];
    for query in queries {
        wait_for(&format!("an answer to {query}"), ARRIVAL_DEADLINE, || {
            instant_values(store, METRIC_QUERY, query).ok().filter(|values| values.iter().any(|v| *v > 0.0))
        })?;
    }
    if stack.has_node_exporter() {
        wait_for("node exporter's series", ARRIVAL_DEADLINE, || {
            instant(store, METRIC_QUERY, r#"count(node_cpu_seconds_total{job="node"})"#)
                .ok()
                .flatten()
                .filter(|n| *n > 0.0)
        })?;
    }
    Ok(n_targets)
}

/// Writes the corpus into `folder` in five pieces, rotating in between, while the shipper follows; then every file's
/// count and every line's bytes must be in the log store. Answers with the number of files and lines.
///
/// # Errors
/// When a line is lost, doubled, out of order or changed.
pub fn corpus_arrives(store: SocketAddr, folder: &Path, files: &[LogFile]) -> Result<(usize, usize)> {
    let start = now_ns();
    let rotations = [Rotation::Rename, Rotation::Rename, Rotation::Truncate, Rotation::Rename];
    let mut writers: Vec<(Writer, &LogFile)> = files
        .iter()
        .map(|file| Ok((Writer::create(&folder.join(&file.name))?, file)))
        .collect::<Result<_>>()?;
    for (index, rotation) in rotations.iter().map(Some).chain([None]).enumerate() {
        for (writer, file) in &mut writers {
            let piece = file.lines.len().div_ceil(rotations.len() + 1);
            let lines = file.lines.get(index * piece..).unwrap_or_default();
            writer.write(&lines[..lines.len().min(piece)])?;
        }
        match rotation {
            None => {}
            Some(Rotation::Rename) => {
                writers.iter_mut().try_for_each(|(writer, _)| writer.rotate(Rotation::Rename))?
            }
            Some(Rotation::Truncate) => {
                // What the shipper has not read when a file is emptied is gone, for any shipper: wait for it.
                for (writer, _) in &writers {
                    counted(store, writer)?;
                }
                writers.iter_mut().try_for_each(|(writer, _)| writer.rotate(Rotation::Truncate))?;
            }
        }
    }
    for (writer, file) in &writers {
        counted(store, writer)?;
        let query = selector(writer);
        let stored = log_lines(store, &query, start, now_ns())?;
        ensure!(
            stored.len() == file.lines.len(),
            "{query}: {} lines instead of {}",
            stored.len(),
            file.lines.len()
        );
        for (index, (got, want)) in stored.iter().zip(&file.lines).enumerate() {
            let want = String::from_utf8_lossy(want);
            ensure!(*got == want, "{query}: line {index} is {got:?} instead of {want:?}");
        }
    }
    Ok((files.len(), files.iter().map(|file| file.lines.len()).sum()))
}

fn selector(writer: &Writer) -> String {
    format!(r#"{{job="corpus", filename="{}"}}"#, writer.path().display())
}

/// Waits until the store counts as many lines as were written, and fails when it counts more.
fn counted(store: SocketAddr, writer: &Writer) -> Result<()> {
    let query = format!("sum(count_over_time({}[1h]))", selector(writer));
    let want = writer.written() as f64;
    let mut last = None;
    let reached = wait_for(&format!("{query} to reach {want}"), ARRIVAL_DEADLINE, || {
        last = instant(store, LOG_QUERY, &query).ok().flatten().or(last);
        last.filter(|count| *count >= want)
    });
    match reached {
        Ok(count) if count > want => bail!("{query} = {count}, but only {want} lines were written"),
        Ok(_) => Ok(()),
        Err(e) => Err(e.context(format!("the last answer was {last:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_lines_format_is_checked() {
        assert!(is_app_log_line("2026-11-21 10:00:00 - flask_app - INFO - GET / 200"));
        for bad in [
            "2026-11-21T10:00:00 - flask_app - INFO - x",
            "2026-11-21 10:00:00 - flask_app - LOUD - x",
            "2026-11-21 10:00:00 - flask_app - INFO - ",
            "2026-11-21 10:00:00,123 - flask_app - INFO - x",
            "",
        ] {
            assert!(!is_app_log_line(bad), "{bad}");
        }
    }
}
