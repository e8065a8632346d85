//! Debian's promtool as a client of the store. Skips, and says so, where promtool is not installed.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::process::Output;

use support::{Page, Store, Target, one_job};

const PAGE: &str = "# HELP app_requests_total Requests served.\n# TYPE app_requests_total counter\n\
                    app_requests_total{path=\"/\"} 3\napp_requests_total{path=\"/x\"} 4\n\
                    # TYPE app_size gauge\napp_size 1.5\n\
                    # TYPE lat histogram\nlat_bucket{le=\"0.1\"} 1\nlat_bucket{le=\"+Inf\"} 3\nlat_sum 2\nlat_count 3\n";

/// Where promtool lies.
fn promtool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join("promtool")).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: promtool is not installed");
    }
    found
}

struct Tool {
    program: PathBuf,
    dir: PathBuf,
    server: String,
}

impl Tool {
    async fn run(&self, words: &[&str]) -> Output {
        let mut command = std::process::Command::new(&self.program);
        command.current_dir(&self.dir);
        command.args(words.iter().map(|word| word.replace("SERVER", &self.server)));
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Standard output of a command that must succeed.
    async fn good(&self, words: &[&str]) -> String {
        let output = self.run(words).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

async fn running() -> Option<(tempfile::TempDir, Target, Store, Tool)> {
    let program = promtool()?;
    let dir = tempfile::tempdir().unwrap();
    let target = Target::serve(Page::text(PAGE)).await;
    let store =
        Store::start_with(dir.path(), &one_job(&target, ""), &["--web.enable-remote-write-receiver"]).await;
    store.until_value("app_size", 1.5).await;
    let server = format!("http://{}", store.address);
    let tool = Tool { program, dir: dir.path().to_owned(), server };
    Some((dir, target, store, tool))
}

#[tokio::test(flavor = "multi_thread")]
async fn queries() {
    let Some((_dir, target, store, tool)) = running().await else { return };
    let text = tool.good(&["query", "instant", "SERVER", "sum by (path) (app_requests_total)"]).await;
    let mut lines: Vec<&str> = text.lines().map(|line| line.split(" @[").next().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["{path=\"/\"} => 3", "{path=\"/x\"} => 4"]);
    let text = tool.good(&["query", "instant", "--time=2026-11-02T12:00:00Z", "SERVER", "1+1"]).await;
    assert_eq!(text, "scalar: 2 @[1793620800]\n");
    let text = tool.good(&["query", "-o", "json", "instant", "SERVER", "app_size"]).await;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[0]["value"][1], "1.5", "{text}");

    let text = tool.good(&["query", "range", "--step=1s", "SERVER", "vector(2)"]).await;
    assert!(text.starts_with("{} =>\n2 @["), "{text}");
    let text = tool.good(&["query", "series", "--match=app_size", "SERVER"]).await;
    let address = target.address;
    assert_eq!(text, format!("{{__name__=\"app_size\", instance=\"{address}\", job=\"app\"}}\n"));
    assert_eq!(tool.good(&["query", "labels", "SERVER", "path"]).await, "/\n/x\n");

    for (words, error) in [
        (
            &["query", "instant", "SERVER", "up{"][..],
            "invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces",
        ),
        (
            &["query", "range", "--start=1", "--end=20000", "--step=1s", "SERVER", "up"],
            "exceeded maximum resolution of 11,000 points per timeseries",
        ),
    ] {
        let output = tool.run(words).await;
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("bad_data") && said.contains(error), "{said}");
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn debugging_takes_the_metrics() {
    let Some((dir, _target, store, tool)) = running().await else { return };
    // It writes where it stands.
    let text = tool.good(&["debug", "metrics", "SERVER"]).await;
    assert!(text.contains("debug.tar.gz"), "{text}");
    assert!(dir.path().join("debug.tar.gz").is_file());
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_filled_in_from_the_store() {
    let Some((dir, _target, store, tool)) = running().await else { return };
    let rules = dir.path().join("rules.yml");
    let text = "groups: [{name: g, rules: [{record: app:two, expr: vector(2)}]}]";
    std::fs::write(&rules, text).unwrap();
    let (rules, out) = (rules.display().to_string(), dir.path().join("out").display().to_string());
    let words =
        ["tsdb", "create-blocks-from", "rules", "--start=1795219200", "--end=1795222800", "--url=SERVER"];
    let output_dir = format!("--output-dir={out}");
    let words: Vec<&str> =
        words.into_iter().chain([output_dir.as_str(), "--eval-interval=60s", &rules]).collect();
    tool.good(&words).await;
    let list = tool.good(&["tsdb", "list", &out]).await;
    assert_eq!(list.lines().count(), 2, "a heading and one block: {list}");
    store.stop().await;
}
