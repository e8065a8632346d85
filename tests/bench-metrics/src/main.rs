//! Arguments, one table for each mode. What is measured, and how, is in the library.
#![expect(clippy::print_stdout, reason = "what it prints is its purpose")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use cairn_bench_metrics::fleet::Fleet;
use cairn_bench_metrics::modes::{self, Size};
use cairn_bench_metrics::server::{Kind, Program};
use cairn_bench_metrics::template::{PAGE, Template};
use cairn_bench_metrics::{process, send};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Remote write as fast as it goes, then rest: speed, memory, bytes written and stored.
    Ingest,
    /// Targets scraped each second.
    Scrape,
    /// Machines come and go.
    Churn,
    /// kill -9 under full load: samples lost, time until ready.
    Kill,
}

/// Measures metrics stores beside each other.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; several come one after the other
    #[arg(required = true, value_enum)]
    modes: Vec<Mode>,
    /// A tenth of the samples, a fifth of the series of `churn`, a quarter of the time of `scrape`
    #[arg(long)]
    small: bool,
    /// Machines
    #[arg(long, default_value_t = 100)]
    hosts: usize,
    /// Samples of `ingest`; `kill` takes half of them [default: 135 million]
    #[arg(long)]
    samples: Option<u64>,
    /// cairn-metrics-store
    #[arg(long, value_name = "FILE")]
    cairn: Option<PathBuf>,
    /// prometheus
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
    /// victoria-metrics
    #[arg(long, value_name = "FILE")]
    victoria: Option<PathBuf>,
    /// Folder for data, instead of the system's for temporary files; what is put there is removed
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.hosts > 0 && arguments.hosts.is_multiple_of(send::HOSTS_PER_REQUEST),
        "--hosts must be a multiple of {}, since so many are in a request",
        send::HOSTS_PER_REQUEST
    );
    let programs = programs(arguments);
    ensure!(!programs.is_empty(), "no store given: --cairn, --prometheus, --victoria");
    let small = arguments.small;
    let size = Size {
        hosts: arguments.hosts,
        samples: arguments.samples.unwrap_or(if small { 13_500_000 } else { 135_000_000 }),
        churn_series: if small { 187_000 } else { 934_000 },
        targets: 200,
        scrape_time: Duration::from_secs(if small { 15 } else { 60 }),
    };
    let fleet = Fleet::new(Template::parse(PAGE)?);
    println!("{}; {} machines of {} series.", process::machine(), size.hosts, fleet.series_per_host());
    for mode in &arguments.modes {
        let (title, columns): (&str, &[&str]) = match mode {
            Mode::Ingest => ("Remote write", &modes::INGEST_COLUMNS),
            Mode::Scrape => ("Scraping", &modes::SCRAPE_COLUMNS),
            Mode::Churn => ("Churn", &modes::CHURN_COLUMNS),
            Mode::Kill => ("kill -9 under load", &modes::KILL_COLUMNS),
        };
        println!("\n{title}:\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
        for program in &programs {
            let dir = match &arguments.scratch {
                Some(scratch) => tempfile::tempdir_in(scratch),
                None => tempfile::tempdir(),
            };
            let dir = dir.context("folder for the data")?;
            let row = match mode {
                Mode::Ingest => modes::ingest(program, dir.path(), &fleet, size),
                Mode::Scrape => modes::scrape(program, dir.path(), &fleet, size),
                Mode::Churn => modes::churn(program, dir.path(), &fleet, size),
                Mode::Kill => modes::kill(program, dir.path(), &fleet, size),
            };
            match row {
                Ok(row) => println!("| {} |", row.join(" | ")),
                Err(error) => println!("| {} | failed: {error:#} |", program.name()),
            }
        }
    }
    Ok(())
}

fn programs(arguments: &Arguments) -> Vec<Program> {
    let given = [
        (Kind::Cairn, &arguments.cairn),
        (Kind::Prometheus, &arguments.prometheus),
        (Kind::Victoria, &arguments.victoria),
    ];
    given
        .into_iter()
        .filter_map(|(kind, path)| Some(Program { kind, path: std::path::absolute(path.clone()?).ok()? }))
        .collect()
}
