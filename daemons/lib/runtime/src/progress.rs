//! Progress of long work: a bar on a terminal, otherwise a log line and systemd's status line at intervals.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::notify;

/// Between two drawings of the bar: fast enough to look alive.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Between two log lines: often enough to see that it moves, seldom enough for a journal.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// How much more start time is asked of systemd with each report; several times [`LOG_EVERY`].
const EXTEND_BY: Duration = Duration::from_secs(30);
/// Width of the bar in characters.
const BAR_WIDTH: u64 = 30;

/// Reports how far a piece of long work is. `update` may be called from any thread, as often as one likes.
#[derive(Debug)]
pub struct Progress {
    what: String,
    unit: &'static str,
    on_terminal: bool,
    started: Instant,
    last_report: Mutex<Option<Instant>>,
}

impl Progress {
    /// Work named `what` ("replay wal"), counted in `unit` ("records", "bytes"). Says nothing yet, so that work that is
    /// done at once leaves no trace.
    pub fn new(what: impl Into<String>, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            unit,
            on_terminal: std::io::stderr().is_terminal(),
            started: Instant::now(),
            last_report: Mutex::new(None),
        }
    }

    /// Reports `done` of `total` (0: unknown), at most ten times a second on a terminal, else every five seconds.
    ///
    /// Each report also feeds the watchdog and asks systemd for more time, so it must mean real progress.
    pub fn update(&self, done: u64, total: u64) {
        let every = if self.on_terminal { DRAW_EVERY } else { LOG_EVERY };
        {
            // A poisoned lock only means that another reporter panicked; the time in it is still good.
            let mut last = self.last_report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if last.unwrap_or(self.started).elapsed() < every {
                return;
            }
            *last = Some(Instant::now());
        }
        notify::extend_timeout(EXTEND_BY);
        notify::watchdog();
        notify::status(&self.line(done, total));
        if self.on_terminal {
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", self.line(done, total));
        } else {
            tracing::info!(work = %self.what, done, total, unit = self.unit, "in progress");
        }
    }

    /// Ends the work: clears the bar; logs how long it took where progress was shown.
    pub fn finish(self, done: u64) {
        let shown = self.last_report.lock().is_ok_and(|last| last.is_some());
        if !shown {
            return;
        }
        if self.on_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let took_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(work = %self.what, done, unit = self.unit, took_ms, "work done");
    }

    fn line(&self, done: u64, total: u64) -> String {
        let Self { what, unit, .. } = self;
        if total == 0 {
            return format!("{what}: {done} {unit}");
        }
        let done = done.min(total);
        let scaled = |width: u64| {
            u64::try_from(u128::from(done) * u128::from(width) / u128::from(total)).unwrap_or(width)
        };
        let filled = scaled(BAR_WIDTH);
        let bar: String = (0..BAR_WIDTH).map(|i| if i < filled { '#' } else { '.' }).collect();
        format!("{what} [{bar}] {}% {done}/{total} {unit}", scaled(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_known_and_unknown_totals() {
        let progress = Progress::new("replay wal", "records");
        assert_eq!(
            progress.line(512, 1024),
            "replay wal [###############...............] 50% 512/1024 records"
        );
        assert_eq!(progress.line(7, 0), "replay wal: 7 records");
        assert!(progress.line(u64::MAX, u64::MAX).contains("100%"));
    }

    #[test]
    fn quick_work_leaves_no_trace() {
        let progress = Progress::new("replay wal", "records");
        progress.update(1, 2);
        assert!(progress.last_report.lock().unwrap().is_none());
        progress.finish(2);
    }
}
