//! The command line that every daemon has in common.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::ListenAddr;
use crate::logging::{LogFormat, LogLevel};

/// Exit code for a command line that cannot be read (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// Arguments of every daemon; flatten them into the daemon's own with `#[command(flatten)]`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct CommonArgs {
    /// Configuration file [default: the one in /etc/cairn where it exists, else built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the main HTTP listener, as host:port; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<ListenAddr>,
    /// Folder for everything that this daemon stores
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Read the configuration, say whether it is good, and exit (0 or 78)
    #[arg(long)]
    pub check_config: bool,
    /// Least severe level that is logged [default: info, or $CAIRN_LOG]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub log_level: Option<LogLevel>,
    /// Form of the log lines on standard error [default: logfmt]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

/// Reads the process's arguments. `--help` and `--version` print and exit 0, bad usage prints and exits 64.
pub fn parse<T: clap::Parser>() -> T {
    parse_from(std::env::args_os())
}

/// [`parse`] on given arguments, the program's name first: for daemons that translate a peer's flags beforehand.
pub fn parse_from<T: clap::Parser>(args: impl IntoIterator<Item = OsString>) -> T {
    parse_explaining(args, |_| None)
}

/// [`parse_from`], where `explain` may know better than a guess at similar names what an unknown flag (`--web.read-timeout`)
/// is about: one line, which stands in the place of the guess.
pub fn parse_explaining<T: clap::Parser>(
    args: impl IntoIterator<Item = OsString>,
    explain: impl FnOnce(&str) -> Option<String>,
) -> T {
    match T::try_parse_from(args).map_err(|error| explained(error, &mut T::command(), explain)) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to standard output, mistakes to standard error; a closed pipe is not our error.
            let _ = error.print();
            std::process::exit(if error.use_stderr() { i32::from(EXIT_USAGE) } else { 0 });
        }
    }
}

/// The error with what is known about the flag that it is about.
fn explained(
    error: clap::Error,
    command: &mut clap::Command,
    explain: impl FnOnce(&str) -> Option<String>,
) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let known = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => explain(flag).map(|what| format!("{flag}: {what}")),
        _ => None,
    };
    known.map_or(error, |message| command.error(ErrorKind::UnknownArgument, message))
}

/// Rewrites a peer's Go-style flags (`-config.file=x`, one dash) to `--config.file=x` so that clap can read them.
///
/// Only the names given are touched; everything after a lone `--` stays as it is.
pub fn double_dash(args: impl IntoIterator<Item = OsString>, names: &[&str]) -> Vec<OsString> {
    let mut rest_is_literal = false;
    args.into_iter()
        .map(|arg| {
            rest_is_literal |= arg == "--";
            let is_go_flag = !rest_is_literal
                && arg.to_str().is_some_and(|text| {
                    text.strip_prefix('-').is_some_and(|flag| {
                        let name = flag.split_once('=').map_or(flag, |(name, _)| name);
                        names.contains(&name)
                    })
                });
            if !is_go_flag {
                return arg;
            }
            let mut doubled = OsString::from("-");
            doubled.push(arg);
            doubled
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Args {
        #[command(flatten)]
        common: CommonArgs,
        #[arg(long = "config.file")]
        config_file: Option<PathBuf>,
    }

    fn read(words: &[&str]) -> Result<Args, clap::Error> {
        let words = words.iter().map(OsString::from);
        Args::try_parse_from(double_dash(words, &["config.file"]))
    }

    #[test]
    fn common_flags_are_read() {
        let args = read(&[
            "x",
            "--listen",
            "localhost:0",
            "--data-dir",
            "/d",
            "--check-config",
            "--log-level",
            "debug",
        ])
        .unwrap()
        .common;
        assert_eq!(args.listen.unwrap().as_str(), "localhost:0");
        assert_eq!(args.data_dir, Some(PathBuf::from("/d")));
        assert!(args.check_config);
        assert_eq!(args.log_level, Some(LogLevel::Debug));
    }

    #[test]
    fn go_flags_with_one_dash_are_read() {
        assert_eq!(read(&["x", "-config.file=a.yml"]).unwrap().config_file, Some(PathBuf::from("a.yml")));
        assert_eq!(read(&["x", "-config.file", "b"]).unwrap().config_file, Some(PathBuf::from("b")));
        assert_eq!(read(&["x", "--config.file", "c"]).unwrap().config_file, Some(PathBuf::from("c")));
    }

    #[test]
    fn an_unknown_flag_is_explained_where_something_is_known() {
        use clap::CommandFactory;
        let explained = |flag: &str| {
            let error = Args::try_parse_from(["x", flag]).err().unwrap();
            let explain = |flag: &str| (flag == "--config.fil").then(|| "gone since 1.0".to_owned());
            explained(error, &mut Args::command(), explain).to_string()
        };
        let known = explained("--config.fil=3");
        assert!(known.contains("--config.fil: gone since 1.0") && !known.contains("tip:"), "{known}");
        let unknown = explained("--config.files");
        assert!(unknown.contains("tip:") && unknown.contains("--config.file"), "{unknown}");
    }

    #[test]
    fn a_bad_address_is_bad_usage() {
        let Err(error) = read(&["x", "--listen", "nowhere"]) else {
            panic!("accepted an address without a port")
        };
        assert!(error.to_string().contains("host:port"), "{error}");
    }
}
