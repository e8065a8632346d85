//! Arguments, one table for each mode. What is measured, and how, is in the library.
#![expect(clippy::print_stdout, reason = "what it prints is its purpose")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use cairn_bench_metrics::fleet::Fleet;
use cairn_bench_metrics::keep::{self, Dir};
use cairn_bench_metrics::modes::{self, Size};
use cairn_bench_metrics::server::{Kind, Program, Server};
use cairn_bench_metrics::template::{PAGE, Template};
use cairn_bench_metrics::{process, queries, send};

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
    /// Queries over what `ingest` wrote, all stores beside each other: time and CPU.
    Query,
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
    /// `ingest` sends each sample when it is made, one in 15 s of each series, and not as fast as they are taken
    #[arg(long)]
    paced: bool,
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
    /// Folder where `ingest` leaves its data and `query` finds it, also in a later run; without it `query` loads its own
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
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
        is_paced: arguments.paced,
    };
    let fleet = Fleet::new(Template::parse(PAGE)?);
    println!("{}; {} machines of {} series.", process::machine(), size.hosts, fleet.series_per_host());
    for mode in &arguments.modes {
        match mode {
            Mode::Ingest => {
                let scratch = arguments.scratch.as_deref();
                table("Remote write", &modes::INGEST_COLUMNS, &programs, |program| {
                    let dir = Dir::for_ingest(arguments.keep.as_deref(), scratch, program)?;
                    modes::ingest(program, dir.path(), &fleet, size)
                });
            }
            Mode::Scrape => table("Scraping", &modes::SCRAPE_COLUMNS, &programs, |program| {
                let dir = Dir::passing(arguments.scratch.as_deref())?;
                modes::scrape(program, dir.path(), &fleet, size)
            }),
            Mode::Churn => table("Churn", &modes::CHURN_COLUMNS, &programs, |program| {
                let dir = Dir::passing(arguments.scratch.as_deref())?;
                modes::churn(program, dir.path(), &fleet, size)
            }),
            Mode::Kill => table("kill -9 under load", &modes::KILL_COLUMNS, &programs, |program| {
                let dir = Dir::passing(arguments.scratch.as_deref())?;
                modes::kill(program, dir.path(), &fleet, size)
            }),
            Mode::Query => query(arguments, &programs, &fleet, size)?,
        }
    }
    Ok(())
}

/// A row for each store, one after the other.
fn table(
    title: &str,
    columns: &[&str],
    programs: &[Program],
    measure: impl Fn(&Program) -> Result<modes::Row>,
) {
    print_head(title, columns);
    for program in programs {
        match measure(program) {
            Ok(row) => println!("| {} |", row.join(" | ")),
            Err(error) => println!("| {} | failed: {error:#} |", program.name()),
        }
    }
}

fn print_head(title: &str, columns: &[impl AsRef<str>]) {
    let columns: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
    println!("\n{title}:\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

/// A row for each question, all stores in it.
fn query(arguments: &Arguments, programs: &[Program], fleet: &Arc<Fleet>, size: Size) -> Result<()> {
    let mut stores = Vec::new();
    for program in programs {
        let dir = Dir::for_query(arguments.keep.as_deref(), arguments.scratch.as_deref(), program)?;
        if keep::loaded(dir.path()).is_none_or(|loaded| loaded.samples != size.samples) {
            dir.clear()?;
            modes::ingest(program, dir.path(), fleet, size)?;
        }
        stores.push(dir);
    }
    let ends: Vec<i64> = stores.iter().filter_map(|dir| Some(keep::loaded(dir.path())?.end_ms)).collect();
    let servers: Vec<Server> = programs
        .iter()
        .zip(&stores)
        .map(|(program, dir)| program.start(dir.path(), "[]"))
        .collect::<Result<_>>()?;
    let names: Vec<String> = programs.iter().map(Program::name).collect();
    print_head("Queries (medians, warm)", &queries::columns(&names));
    queries::compare(&servers, &ends, |row| println!("| {} |", row.join(" | ")))?;
    for server in servers {
        server.stop()?;
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
