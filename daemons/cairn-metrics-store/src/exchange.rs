//! `export` and `import`: Prometheus's blocks out of the database and into it, while the daemon is stopped.

mod export;
mod import;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use cairn_disk::{DirLock, RealFs};
use cairn_model::{Matcher, TimeMs};
use cairn_runtime::logging::{LogFormat, LogLevel};
use cairn_runtime::progress::Progress;
use cairn_runtime::{CommonArgs, Failure};
use cairn_tsdb::{Db, Options, Progress as Opening};
use tokio_util::sync::CancellationToken;

use crate::cli::DEFAULT_DATA_DIR;
use crate::config::units::PromDuration;
use crate::foreign;
use crate::restore::{self, RestoreArgs};

/// What is done instead of serving.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Write what is stored as Prometheus's blocks
    #[command(long_about = EXPORT_ABOUT)]
    Export(ExportArgs),
    /// Take in Prometheus's blocks: bring the history along
    #[command(long_about = IMPORT_ABOUT)]
    Import(ImportArgs),
    /// Put a snapshot in place of a data directory
    Restore(RestoreArgs),
}

const EXPORT_ABOUT: &str = "\
Write what is stored as Prometheus's blocks.

The daemon must be stopped: it holds the database. What is exported stays as it is.

The folder that --out names can be given to `promtool tsdb analyze`, `list` and `dump`, to Prometheus as its \
--storage.tsdb.path, or to `thanos tools bucket upload-blocks`. A block's name follows from what is in it: an export that \
was interrupted can be run again, and blocks that are there already are kept.

Staleness markers and native histograms go along. Exemplars, metadata and start timestamps do not: such blocks have no \
place for them.

Examples:
  cairn-metrics-store export --format prometheus-blocks --out /tmp/blocks
  cairn-metrics-store export --format prometheus-blocks --out /tmp/blocks \\
      --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z --matcher '{job=\"node\"}'

Exit codes: 0 all was written, 1 something failed or was damaged and left out (it is named), 64 wrong arguments.";

const IMPORT_ABOUT: &str = "\
Take in Prometheus's blocks: bring the history along.

The daemon must be stopped: it holds the database. Run this as its user, so that it can read what is written:
  sudo -u cairn-metrics-store cairn-metrics-store import --format prometheus-blocks --from DIR

--from names a block, a folder of blocks, or the whole data directory \
of a Prometheus. What lies there is only read.

A Prometheus keeps the last two or three hours in its write-ahead log, which is not read. To bring those along, ask it for \
a snapshot first (it needs --web.enable-admin-api):
  curl -X POST http://localhost:9090/api/v1/admin/tsdb/snapshot
and import the folder that it made under data/snapshots. Stop the Prometheus otherwise, or it may remove blocks meanwhile.

What Prometheus has deleted stays deleted. Where the database has a sample of the same series and time already, that one \
counts. A block that was imported before is left out, so that an import that was interrupted can be run again.

The daemon removes what is older than its retention, 15 days if nothing else is configured: set \
--storage.tsdb.retention.time (or storage.tsdb.retention.time in the configuration) before it starts with older history.

Exit codes: 0 all was taken in, 1 something failed or was damaged and left out (it is named), 64 wrong arguments.";

/// How data are exchanged.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Blocks of Prometheus's TSDB
    PrometheusBlocks,
}

/// Arguments that both have.
#[derive(clap::Args, Clone, Debug)]
pub struct StoreArgs {
    /// Form of the data
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Format,
    /// Folder of the database
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,
    /// Least severe level that is logged [default: info, or $CAIRN_LOG]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub log_level: Option<LogLevel>,
    /// Form of the log lines on standard error [default: logfmt]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

/// Arguments of `export`.
#[derive(clap::Args, Clone, Debug)]
pub struct ExportArgs {
    /// What both have.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Folder that gets the blocks; made where it is missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// First instant, as RFC 3339 or seconds since 1970 [default: the oldest sample]
    #[arg(long, value_name = "TIME", value_parser = crate::api::parse_time)]
    pub from: Option<TimeMs>,
    /// Last instant, inclusive [default: the newest sample]
    #[arg(long, value_name = "TIME", value_parser = crate::api::parse_time)]
    pub to: Option<TimeMs>,
    /// Only series that match, such as '{job="node"}'; given several times, those that match any
    #[arg(long = "matcher", value_name = "SELECTOR", value_parser = parse_selector)]
    pub matchers: Vec<Selector>,
    /// Length of the blocks: a multiple of 2h, to whose multiples since 1970 they are aligned
    #[arg(long, value_name = "DURATION", default_value = "2h")]
    pub block_duration: PromDuration,
}

/// Arguments of `import`.
#[derive(clap::Args, Clone, Debug)]
pub struct ImportArgs {
    /// What both have.
    #[command(flatten)]
    pub store: StoreArgs,
    /// A block, a folder of blocks, or the data directory of a Prometheus
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
}

/// The matchers of one selector.
#[derive(Clone, Debug)]
pub struct Selector(pub Vec<Matcher>);

fn parse_selector(text: &str) -> Result<Selector, String> {
    cairn_promql::parse_selector(text).map(Selector).map_err(|error| error.to_string())
}

impl Command {
    /// The arguments that every process has: here only those about logging.
    pub fn common(&self) -> CommonArgs {
        let (log_level, log_format) = match self {
            Self::Export(ExportArgs { store, .. }) | Self::Import(ImportArgs { store, .. }) => {
                (store.log_level, store.log_format)
            }
            Self::Restore(args) => (args.log_level, args.log_format),
        };
        CommonArgs { log_level, log_format, ..CommonArgs::default() }
    }

    /// Does it; `stop` interrupts it between two series. The report goes to standard output. Blocking.
    ///
    /// # Errors
    /// [`Failure`], with the exit codes that the help names.
    pub fn run(&self, stop: &CancellationToken) -> Result<(), Failure> {
        let mut report = std::io::stdout().lock();
        self.run_reporting(stop, &mut report)
    }

    /// [`run`](Self::run) with the report to somewhere else.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_reporting(&self, stop: &CancellationToken, report: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Export(args) => export::run(args, stop, report),
            Self::Import(args) => import::run(args, stop, report),
            Self::Restore(args) => restore::run(args, report),
        }
    }
}

/// The database with the lock on its folder.
struct Opened {
    db: Db,
    _lock: DirLock,
}

/// Opens the database that the daemon has when it runs. `must_exist`: an empty one is not made.
fn open(dir: &Path, must_exist: bool) -> Result<Opened, Failure> {
    if must_exist && !dir.join("blocks").is_dir() {
        let message = format!("{}: no database of cairn-metrics-store; see --data-dir", dir.display());
        return Err(Failure::Run(anyhow!(message)));
    }
    foreign::refuse_prometheus(dir).map_err(Failure::Run)?;
    let lock = DirLock::acquire(dir).context("the daemon must be stopped for this").map_err(Failure::Run)?;
    let mut options = Options::new(dir, Arc::new(RealFs));
    // How long samples are kept is the daemon's business: nothing is hidden or removed here.
    options.retention_ms = None;
    let (blocks, head, wal) = (
        Progress::new("open blocks", "blocks"),
        Progress::new("read checkpoint", "series"),
        Progress::new("replay wal", "segments"),
    );
    let (db, opened) = Db::open(options, &|progress| match progress {
        Opening::Blocks { done, total } => blocks.update(done as u64, total as u64),
        Opening::Checkpoint { series } => head.update(series as u64, 0),
        Opening::Wal { current, first, last } => {
            wal.update(current.saturating_sub(first), last.saturating_sub(first) + 1);
        }
    })
    .context("open the database")
    .map_err(Failure::Run)?;
    for damage in &opened.damage {
        tracing::error!(damage, "part of the database is damaged and left out");
    }
    Ok(Opened { db, _lock: lock })
}

/// A line of the report. A closed pipe is not an error of ours.
fn say(report: &mut dyn Write, line: &str) {
    let _ = writeln!(report, "{line}");
}

fn interrupted() -> anyhow::Error {
    anyhow!("interrupted; run the same again to go on")
}
