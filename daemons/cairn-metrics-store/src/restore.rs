//! `cairn-metrics-store restore`: a snapshot in place of a data directory.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cairn_disk::{DirLock, RealFs};
use cairn_runtime::Failure;
use cairn_runtime::logging::{LogFormat, LogLevel};
use cairn_runtime::progress::Progress;
use cairn_tsdb::RestoreReport;

/// Arguments of `restore`.
#[derive(clap::Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The snapshot: a folder below `snapshots` of a data directory, or a copy of one
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The data directory to fill; it must have no database in it
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Least severe level that is logged [default: info, or $CAIRN_LOG]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub log_level: Option<LogLevel>,
    /// Form of the log lines on standard error [default: logfmt]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

/// Checks the snapshot and puts it in place. Says what it did to `report`, and what it left out.
///
/// # Errors
/// [`Failure::Run`]: the snapshot is damaged or none, the directory has a database or is in use, or the system failed.
/// The directory is as it was.
pub fn run(args: &RestoreArgs, report: &mut dyn Write) -> Result<(), Failure> {
    let RestoreArgs { from, data_dir, log_level: _, log_format: _ } = args;
    let _lock = DirLock::acquire(data_dir).map_err(|error| Failure::Run(error.into()))?;
    let progress = Progress::new("check snapshot", "blocks");
    let restored = cairn_tsdb::restore(&RealFs, from, data_dir, &|done, total| {
        progress.update(done as u64, total as u64);
    });
    let restored = restored.context("restore").map_err(Failure::Run)?;
    say(&restored, data_dir, report).context("say what was restored").map_err(Failure::Run)
}

fn say(restored: &RestoreReport, data_dir: &Path, report: &mut dyn Write) -> io::Result<()> {
    let RestoreReport { blocks, samples, bytes, left_out } = restored;
    writeln!(report, "restored {blocks} blocks, {samples} samples, {bytes} bytes to {}", data_dir.display())?;
    for path in left_out {
        writeln!(report, "left out: {}, which had been set aside as damaged", path.display())?;
    }
    Ok(())
}
