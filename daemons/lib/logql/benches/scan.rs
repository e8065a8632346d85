//! How fast lines are filtered, parsed and counted. `cargo bench -p cairn-logql` prints a table; nothing is asserted.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench: it prints, and fails where something is amiss"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use cairn_logql::{Direction, Expr, LogQuery, Options, Stats, parse, query_logs, query_range};
use cairn_model::{Labels, TimeNs};
use support::MemorySource;

/// Lines in the store.
const LINES: i64 = 200_000;
/// Nanoseconds between two lines.
const APART: i64 = 20_000_000;

fn main() {
    let mut source = MemorySource::default();
    for n in 0..LINES {
        let host = format!("h{}", n % 4);
        let labels = Labels::from_pairs([("app", "x"), ("host", host.as_str())]);
        let level = ["info", "info", "info", "warn", "error"][usize::try_from(n % 5).unwrap()];
        let line = format!(
            r#"{{"level":"{level}","msg":"request done","status":{},"took":"{}ms","path":"/api/items/{n}","user":{{"id":{},"name":"ann"}}}}"#,
            200 + n % 4 * 100,
            n % 977,
            n % 50
        );
        source.push(&labels, n * APART, &line, &[]);
    }
    let end = TimeNs(LINES * APART);
    println!("{:<70} {:>9} {:>10} {:>9}", "query", "lines", "MB/s", "ns/line");
    for text in [
        r#"{app="x"} |= "nothing has this""#,
        r#"{app="x"} |~ "nothing (has|had) this""#,
        r#"{app="x"} | json | user_name="bob""#,
        r#"{app="x"} | logfmt | level="bob""#,
        r#"sum(count_over_time({app="x"}[5m]))"#,
        r#"sum by (host) (rate({app="x"} |= "error" [5m]))"#,
        r#"sum by (level) (count_over_time({app="x"} | json [5m]))"#,
        r#"count_over_time({app="x"}[5m])"#,
        r#"quantile_over_time(0.9, {app="x"} | json | unwrap duration(took) [5m]) by (host)"#,
    ] {
        let started = Instant::now();
        let stats = run(&source, &parse(text).unwrap(), end);
        let seconds = started.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a report")]
        let (lines, bytes) = (stats.lines as f64, stats.bytes as f64);
        println!(
            "{text:<70} {:>9} {:>10.0} {:>9.0}",
            stats.lines,
            bytes / seconds / 1e6,
            seconds * 1e9 / lines
        );
    }
}

fn run(source: &MemorySource, expr: &Expr, end: TimeNs) -> Stats {
    let options = Options::default();
    match expr {
        Expr::Log(log) => {
            let query =
                LogQuery { start: TimeNs(0), end, limit: 100, direction: Direction::Backward, interval: 0 };
            query_logs(source, log, &query, &options).unwrap().stats
        }
        Expr::Metric(metric) => {
            query_range(source, metric, TimeNs(0), end, 15_000_000_000, &options).unwrap().stats
        }
    }
}
