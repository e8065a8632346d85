//! `cairn-metrics-store`: arguments, configuration, run (or a command), exit code. Everything else is in the library.

use std::process::ExitCode;

use cairn_metrics_store::{cli, daemon};
use cairn_runtime::config::{self, ConfigSource};
use cairn_runtime::{Failure, exit};

fn main() -> ExitCode {
    let args = cli::parse();
    let common = args.common.clone();
    exit::main_with("cairn-metrics-store", &common, async |lifecycle| {
        if let Some(command) = args.command {
            let stop = lifecycle.stop.clone();
            let work = tokio::task::spawn_blocking(move || command.run(&stop));
            return work.await.map_err(|error| Failure::Run(error.into()))?;
        }
        let config = daemon::load(&args)?;
        if args.common.check_config {
            daemon::check_files(&config)?;
            config::report_good(&ConfigSource::from(args.source()));
            return Ok(());
        }
        daemon::run(lifecycle, args, config).await
    })
}
