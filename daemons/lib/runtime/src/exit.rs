//! From a daemon's outcome to its exit code and one clear line.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::args::{CommonArgs, EXIT_USAGE};
use crate::config::ConfigError;
use crate::lifecycle::Lifecycle;
use crate::{logging, memory};

/// Exit code for a configuration that cannot be used (`EX_CONFIG`). The units keep systemd from retrying it.
pub const EXIT_CONFIG: u8 = 78;
/// Exit code for everything that fails later on.
pub const EXIT_FAILED: u8 = 1;

/// How long blocking work that nobody waits for may hold up the end of the process.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// Why a daemon ends, by what the caller can do about it.
#[derive(Debug)]
pub enum Failure {
    /// Arguments that contradict each other: exit code 64.
    Usage(String),
    /// A configuration that cannot be used, naming file, line and key where they are known: exit code 78.
    Config(anyhow::Error),
    /// Everything else: exit code 1.
    Run(anyhow::Error),
}

impl Failure {
    /// The process's exit code for this failure: 64, 78 or 1.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => EXIT_USAGE,
            Failure::Config(_) => EXIT_CONFIG,
            Failure::Run(_) => EXIT_FAILED,
        }
    }

    /// A bad configuration from any error, for checks beyond the file's form.
    pub fn config(error: impl Into<anyhow::Error>) -> Self {
        Failure::Config(error.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Usage(message) => f.write_str(message),
            // `{:#}` joins the chain with colons: one line says what, where and why.
            Failure::Config(error) => write!(f, "configuration: {error:#}"),
            Failure::Run(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Config(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Run(error)
    }
}

/// Runs a daemon: starts logging, builds the multi-threaded runtime, installs the signals, awaits `run` and maps its
/// outcome to an exit code, with one message on standard error where it failed.
///
/// Blocking work that is still running one second after `run` returned is left behind.
pub fn main_with<F, Fut>(name: &str, args: &CommonArgs, run: F) -> ExitCode
where
    F: FnOnce(Lifecycle) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    memory::keep_small();
    if let Err(error) = logging::init(args.log_level, args.log_format) {
        eprintln!("{name}: {error}");
        return ExitCode::from(EXIT_USAGE);
    }
    logging::log_panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("cairn").build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: start the async runtime: {error}");
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let outcome = runtime.block_on(async {
        let lifecycle = Lifecycle::install().map_err(|error| {
            Failure::Run(anyhow::Error::new(error).context("install the signal handlers"))
        })?;
        run(lifecycle).await
    });
    runtime.shutdown_timeout(LEFTOVER_GRACE);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            crate::notify::status(&failure.to_string());
            eprintln!("{name}: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn codes_and_words() {
        let run = std::fs::read("/nonexistent").context("open block").unwrap_err();
        let failure = Failure::from(run);
        assert_eq!(failure.code(), 1);
        assert_eq!(failure.to_string(), "open block: No such file or directory (os error 2)");
        assert_eq!(Failure::Usage("x".into()).code(), 64);
        assert_eq!(Failure::config(anyhow::anyhow!("bad")).code(), 78);
    }

    #[test]
    fn outcome_becomes_the_exit_code() {
        let args = CommonArgs::default();
        assert_eq!(main_with("t", &args, |_| async { Ok(()) }), ExitCode::SUCCESS);
        let failed = main_with("t", &args, |_| async { Err(Failure::config(anyhow::anyhow!("bad"))) });
        assert_eq!(failed, ExitCode::from(78));
    }
}
