//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use cairn_runtime::CommonArgs;
use cairn_runtime::args::double_dash;

/// Promtail's flags that are understood, for units and scripts that call it.
const PROMTAIL_FLAGS: [&str; 1] = ["config.file"];

/// Tails files and ships their lines to a Loki-compatible store.
///
/// Reads a Promtail YAML (`--config config.yml`) or the same keys as TOML.
#[derive(clap::Parser, Debug)]
#[command(name = "cairn-log-shipper", version)]
pub struct Args {
    /// What every daemon has.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Promtail's spelling of --config
    #[arg(long = "config.file", value_name = "FILE", conflicts_with = "config")]
    pub config_file: Option<PathBuf>,
}

impl Args {
    /// The configuration file that was named.
    pub fn config_path(&self) -> Option<&PathBuf> {
        self.common.config.as_ref().or(self.config_file.as_ref())
    }
}

/// Reads the process's arguments, with Promtail's `-config.file` as well.
pub fn parse() -> Args {
    cairn_runtime::args::parse_from(normalized(std::env::args_os()))
}

fn normalized(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    double_dash(args, &PROMTAIL_FLAGS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn read(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(normalized(words.iter().map(OsString::from)))
    }

    #[test]
    fn both_spellings_of_the_configuration() {
        for words in [["x", "-config.file=/a.yml"], ["x", "--config.file=/a.yml"], ["x", "--config=/a.yml"]] {
            assert_eq!(read(&words).unwrap().config_path(), Some(&PathBuf::from("/a.yml")));
        }
        assert!(read(&["x", "-config.file=/a.yml", "--config=/b"]).is_err());
    }
}
