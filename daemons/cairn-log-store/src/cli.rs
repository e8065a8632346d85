//! The command line: Cairn's flags, and the two of Loki's that unit files use.

use std::path::{Path, PathBuf};

use cairn_runtime::{CommonArgs, Failure, args};

/// Loki's flags that are understood, with one dash or two.
const LOKI_FLAGS: [&str; 2] = ["config.file", "verify-config"];

/// Arguments of the log store.
#[derive(clap::Parser, Clone, Debug, Default)]
#[command(name = "cairn-log-store", version, about = "Log store with Loki's API")]
pub struct Args {
    /// The flags that every daemon has.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Loki's own configuration file (YAML); -config.file works too
    #[arg(long = "config.file", value_name = "FILE", conflicts_with = "config")]
    pub loki_config: Option<PathBuf>,
    /// The same as --check-config, as Loki calls it
    #[arg(long = "verify-config")]
    pub verify_config: bool,
}

/// Reads the process's arguments; bad usage ends the process with exit code 64.
pub fn parse() -> Args {
    args::parse_from(args::double_dash(std::env::args_os(), &LOKI_FLAGS))
}

impl Args {
    /// Reads the configuration that the arguments name, with the flags laid over it.
    ///
    /// # Errors
    /// [`Failure::Config`], naming file, place and key.
    pub fn load_config(&self) -> Result<crate::config::Config, Failure> {
        let mut config = match &self.loki_config {
            Some(path) => crate::config::Config::load_loki(path)?,
            None => crate::config::Config::load(self.common.config.as_deref())?,
        };
        if let Some(listen) = &self.common.listen {
            config.listen = listen.clone();
        }
        if let Some(dir) = &self.common.data_dir {
            config.data_dir = std::path::absolute(dir).unwrap_or_else(|_| Path::new(dir).to_owned());
        }
        Ok(config)
    }

    /// Whether only the configuration is to be checked.
    pub fn is_check(&self) -> bool {
        self.common.check_config || self.verify_config
    }
}
