//! Logs on standard error: logfmt for people and the journal, JSON for machines.
//!
//! Field names are the same in every daemon (`path`, `target`, `took_ms`, `bytes`, `error`); the message is constant.

mod logfmt;

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use logfmt::{Logfmt, LogfmtFields};

/// Environment variable with the level (`debug`) or with levels by module (`info,cairn_http=debug`).
pub const LEVEL_VARIABLE: &str = "CAIRN_LOG";

/// Least severe level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Someone must act, or data was lost.
    Error,
    /// Unexpected, handled.
    Warn,
    /// State changes a person would ask about.
    Info,
    /// For looking into one daemon.
    Debug,
    /// Per entry or request.
    Trace,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `ts=... level=info msg="block written" path=/x`
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// The levels cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{LEVEL_VARIABLE}: expected a level (error, warn, info, debug, trace) or module=level pairs, got \"{text}\""
)]
pub struct LoggingError {
    text: String,
}

/// Starts logging for the process: the flag wins over [`LEVEL_VARIABLE`], which wins over INFO.
///
/// When standard error is the journal, lines start with the level as `<6>` (sd-daemon(3)) and carry no time of their
/// own. Calling it a second time changes nothing.
///
/// # Errors
/// [`LoggingError`] where the variable cannot be read.
pub fn init(level: Option<LogLevel>, format: Option<LogFormat>) -> Result<(), LoggingError> {
    let variable = std::env::var(LEVEL_VARIABLE).ok().filter(|text| !text.is_empty());
    let text = match (level, variable) {
        (Some(level), _) => format!("{level:?}").to_ascii_lowercase(),
        (None, Some(text)) => text,
        (None, None) => "info".to_owned(),
    };
    let filter = EnvFilter::try_new(&text).map_err(|_| LoggingError { text })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(false);
    // An error here means that a subscriber is there already, which is what was asked for.
    let _ = match format.unwrap_or_default() {
        LogFormat::Logfmt => {
            let form = if is_journal() { Logfmt::for_journal() } else { Logfmt::with_time() };
            tracing::subscriber::set_global_default(
                builder.fmt_fields(LogfmtFields).event_format(form).finish(),
            )
        }
        LogFormat::Json => tracing::subscriber::set_global_default(
            builder.json().flatten_event(true).with_current_span(false).finish(),
        ),
    };
    Ok(())
}

/// Makes a panic one ERROR line, where the journal and the tests that read the log see it.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(error = message, place, "panic");
    }));
}

/// Whether standard error goes to the journal, told by the device and inode in `JOURNAL_STREAM` (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    if std::io::stderr().is_terminal() {
        return false;
    }
    nix::sys::stat::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Lets a line through once per interval, and counts those it holds back: for warnings that may come by the thousand.
#[derive(Debug)]
pub struct Occasionally {
    interval: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Occasionally {
    /// At most one line per `interval`.
    pub const fn every(interval: Duration) -> Self {
        Self { interval, state: Mutex::new((None, 0)) }
    }

    /// `Some(n)`: log now, and say that `n` like it were held back. `None`: hold this one back.
    pub fn ready(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.0.is_some_and(|last| last.elapsed() < self.interval) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(Instant::now());
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_lines_are_held_back_and_counted() {
        let hourly = Occasionally::every(Duration::from_secs(3600));
        assert_eq!(hourly.ready(), Some(0));
        assert_eq!(hourly.ready(), None);
        assert_eq!(hourly.ready(), None);
        hourly.state.lock().unwrap().0 = None;
        assert_eq!(hourly.ready(), Some(2));
    }
}
