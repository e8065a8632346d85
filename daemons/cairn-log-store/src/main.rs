//! `cairn-log-store`: arguments, configuration, run, exit code. Everything else is in the library.

use std::process::ExitCode;

use cairn_log_store::{cli, daemon};
use cairn_runtime::{config, exit};

fn main() -> ExitCode {
    let mut args = cli::parse();
    let config = args.load_config();
    // The flag comes first, then the environment (which logging reads itself), then the file.
    if let Ok(config) = &config {
        if std::env::var_os(cairn_runtime::logging::LEVEL_VARIABLE).is_none() {
            args.common.log_level = args.common.log_level.or(config.log_level);
        }
        args.common.log_format = args.common.log_format.or(config.log_format);
    }
    let common = args.common.clone();
    exit::main_with("cairn-log-store", &common, async |lifecycle| {
        let config = config?;
        if args.is_check() {
            config::report_good(&config.source());
            if !config.ignored_keys.is_empty() {
                eprintln!(
                    "these keys of the Loki file mean nothing here: {}",
                    config.ignored_keys.join(", ")
                );
            }
            return Ok(());
        }
        daemon::run(lifecycle, args, config).await
    })
}
