//! `scrape_failure_log_file`: one JSON object a line for each scrape that failed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use cairn_model::TimeNs;
use serde_json::json;

use super::ingest::ScrapeError;
use super::schedule::now_ms;

/// Appends one line. The file is opened for each, so that it may be rotated at any time. Blocking.
///
/// A file that cannot be written costs its lines and no scrape: the error is in the daemon's own log.
pub(super) fn append(path: &Path, job: &str, url: &str, error: &ScrapeError) {
    let time = TimeNs(now_ms().saturating_mul(1_000_000)).to_string();
    let line = json!({
        "time": time, "level": "ERROR", "msg": error.to_string(), "job_name": job, "target": url,
    });
    let opened = OpenOptions::new().create(true).append(true).open(path);
    // One write for the whole line: lines of several targets do not mix.
    if let Err(error) = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
        tracing::warn!(path = %path.display(), %error, "a failed scrape is not in its log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("failures.log");
        for text in ["first", "sec\nond"] {
            append(&path, "app", "http://h:1/metrics", &ScrapeError::Fetch(text.to_owned()));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["msg"], "sec\nond");
        assert_eq!(
            (&lines[0]["job_name"], &lines[0]["target"]),
            (&json!("app"), &json!("http://h:1/metrics"))
        );
        // A folder that is not there is no reason to panic.
        append(&dir.path().join("no/such"), "app", "u", &ScrapeError::SampleLimit);
    }
}
