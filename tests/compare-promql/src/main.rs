//! Arguments and the exit status. What is compared, and how, is in the library.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cairn_bench_metrics::server::{Kind, Program};
use clap::Parser;

use cairn_compare_promql::run::{Plan, run};

/// Asks Cairn's metrics store and Prometheus 2.42 the same random PromQL and compares the answers
///
/// Both are started on free ports with data of two hours that are made to be nasty: counters with resets, gauges with
/// NaN and infinities, histograms that no one should expose, gaps, staleness markers, odd labels. Then each query goes
/// to both, as an instant or a range query, and the answers are compared series by series and value by value.
///
/// Where Prometheus 3, which Cairn follows, changed what a query means, 2.42 is asked in other words. What still
/// differs is reduced to the smallest part of the query that differs alone, and printed, unless a rule explains it.
///
/// The last line is `N equal, M explained (by rule), K different`. The exit status is 0 when nothing is different, 1
/// when something is, 2 when the comparison could not be made.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where data and queries come from: the same seed, the same run [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// How many queries
    #[arg(long, default_value_t = 4000)]
    count: usize,
    /// Only the query of this number, with both answers
    #[arg(long, value_name = "NUMBER")]
    only: Option<usize>,
    /// Print refusals that differ in words: status and type of an error must be the same, its text need not
    #[arg(long)]
    words: bool,
    /// Print differences that a rule explains, too
    #[arg(long)]
    explained: bool,
    /// cairn-metrics-store
    #[arg(long, value_name = "FILE")]
    cairn: PathBuf,
    /// prometheus, 2.42
    #[arg(long, value_name = "FILE")]
    prometheus: PathBuf,
}

fn main() -> ExitCode {
    match compared(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was different.
fn compared(arguments: &Arguments) -> Result<bool> {
    let program = |kind, path: &PathBuf| -> Result<Program> {
        let path = std::path::absolute(path).with_context(|| format!("find {}", path.display()))?;
        Ok(Program { kind, path })
    };
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
    let plan = Plan {
        cairn: program(Kind::Cairn, &arguments.cairn)?,
        peer: program(Kind::Prometheus, &arguments.prometheus)?,
        seed: arguments.seed.unwrap_or_else(clock),
        n_queries: arguments.count,
        only: arguments.only,
        prints_words: arguments.words,
        prints_explained: arguments.explained,
    };
    let mut out = std::io::stdout().lock();
    // Whoever reads it may have had enough.
    let tally = run(&plan, &mut |line| drop(writeln!(out, "{line}")))?;
    Ok(tally.different == 0)
}
