//! `query_log_file`: one JSON object a line for each query that was evaluated, in the peer's form.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use cairn_model::{TimeMs, TimeNs};
use serde_json::{Value, json};

use crate::engine::{Cost, Timings, When};
use crate::scrape::schedule::now_ms;

/// Appends one line, and says whether it could. The file is opened for each, so that it may be rotated at any time. Blocking.
///
/// A file that cannot be written costs its lines and no query: the error is in the daemon's own log.
pub(crate) fn append(
    path: &Path,
    text: &str,
    when: When,
    timings: &Timings,
    outcome: Result<Cost, String>,
) -> bool {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    let line = line(text, when, timings, outcome, now_ms());
    // One write for the whole line: lines of several queries do not mix.
    let written = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    if let Err(error) = &written {
        tracing::warn!(path = %path.display(), %error, "a query is not in its log");
    }
    written.is_ok()
}

fn line(text: &str, when: When, timings: &Timings, outcome: Result<Cost, String>, now_ms: i64) -> Value {
    let time = |TimeMs(ms)| TimeNs(ms.saturating_mul(1_000_000)).to_string();
    let (start, end, step_ms, path) = match when {
        When::Instant(time) => (time, time, 0, "/api/v1/query"),
        When::Range { start, end, step_ms } => (start, end, step_ms, "/api/v1/query_range"),
    };
    let [queued, prepared, evaluated, sorted] = timings.seconds();
    let (cost, error) = match outcome {
        Ok(cost) => (cost, None),
        Err(error) => (Cost::default(), Some(error)),
    };
    let mut line = json!({
        "time": time(TimeMs(now_ms)),
        "level": "INFO",
        "msg": "promql query logged",
        // The peer's step is in whole seconds.
        "params": { "query": text, "start": time(start), "end": time(end), "step": step_ms / 1000 },
        "stats": {
            "timings": {
                "evalTotalTime": evaluated + sorted,
                "resultSortTime": sorted,
                "queryPreparationTime": prepared,
                "innerEvalTime": evaluated,
                "execQueueTime": queued,
                "execTotalTime": queued + prepared + evaluated + sorted,
            },
            "samples": {
                "totalQueryableSamples": cost.queryable,
                "samplesRead": cost.read,
                "peakSamples": cost.peak,
            },
        },
        "httpRequest": { "path": path },
    });
    if let Some(error) = error {
        line["error"] = error.into();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queries.log");
        let range = When::Range { start: TimeMs(0), end: TimeMs(60_000), step_ms: 15_000 };
        let cost = Cost { queryable: 7, read: 6, peak: 5 };
        assert!(append(&path, "up{a=\"\n\"}", range, &Timings::default(), Ok(cost)));
        append(&path, "x", When::Instant(TimeMs(1500)), &Timings::default(), Err("too much".to_owned()));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines[0]["params"],
            json!({"query": "up{a=\"\n\"}", "start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:01:00Z", "step": 15})
        );
        assert_eq!((&lines[0]["stats"]["samples"]["peakSamples"], lines[0].get("error")), (&json!(5), None));
        assert_eq!(
            (&lines[1]["error"], &lines[1]["httpRequest"]),
            (&json!("too much"), &json!({"path": "/api/v1/query"}))
        );
        // A folder that is not there is no reason to panic.
        assert!(!append(&dir.path().join("no/such"), "x", range, &Timings::default(), Ok(cost)));
    }
}
