//! Signals in, tasks out: the object that a daemon's main loop owns.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{exit, notify};

/// Reload requests waiting to be served. One is enough: a reload reads the newest file, so two in a row are one.
const RELOADS_WAITING: usize = 1;

/// How often [`Lifecycle::next`] returns [`Turn::Tick`] unless [`Lifecycle::tick_every`] says otherwise.
const DEFAULT_TICK: Duration = Duration::from_secs(1);

/// What the main loop should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The tick period has passed: time for maintenance.
    Tick,
    /// SIGHUP or `/-/reload`: read the configuration again.
    Reload,
    /// Stop was asked for: leave the loop and run the stop plan.
    Stop,
}

/// A running daemon's connection to the outside: stop, reload, its tasks and the watchdog.
///
/// The first TERM or INT cancels `stop`; a second one ends the process at once with exit code 1. HUP never kills.
#[derive(Debug)]
pub struct Lifecycle {
    /// Cancelled once the daemon should stop. Give clones (or child tokens) to everything that waits.
    pub stop: CancellationToken,
    /// One message for each reload that is asked for.
    pub reload: mpsc::Receiver<()>,
    /// Every background task is spawned on this tracker, so that stopping can wait for them.
    pub tasks: TaskTracker,
    reload_sender: mpsc::Sender<()>,
    tick: tokio::time::Interval,
    watchdog: Option<Duration>,
}

/// Asks a [`Lifecycle`] for a reload, as SIGHUP does; for `/-/reload`.
#[derive(Clone, Debug)]
pub struct ReloadHandle(mpsc::Sender<()>);

impl ReloadHandle {
    /// Asks for a reload. One that is already waiting covers this one too.
    pub fn request(&self) {
        let _ = self.0.try_send(());
    }
}

impl Lifecycle {
    /// Installs the handlers for TERM, INT and HUP and starts listening to them.
    ///
    /// # Errors
    /// The system's, where a handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        let lifecycle = Self::detached();
        let signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        };
        // Not on the tracker: it must outlive every other task to see the second signal.
        tokio::spawn(signals.listen(lifecycle.stop.clone(), lifecycle.reload_handle()));
        Ok(lifecycle)
    }

    /// A lifecycle without signals: for tests, and for a daemon embedded in one.
    pub fn detached() -> Self {
        let (reload_sender, reload) = mpsc::channel(RELOADS_WAITING);
        Self {
            stop: CancellationToken::new(),
            reload,
            tasks: TaskTracker::new(),
            reload_sender,
            tick: interval(DEFAULT_TICK),
            watchdog: notify::watchdog_interval(),
        }
    }

    /// A handle with which an HTTP handler asks for a reload.
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle(self.reload_sender.clone())
    }

    /// Sets how often [`Lifecycle::next`] returns [`Turn::Tick`]. `period` must not be zero.
    pub fn tick_every(&mut self, period: Duration) {
        self.tick = interval(period);
    }

    /// Waits for what the main loop should do next, and feeds systemd's watchdog meanwhile.
    ///
    /// The watchdog is fed only from in here: a loop that hangs in its own work does not come back, and systemd
    /// restarts the daemon. Work that legitimately takes long calls [`notify::watchdog`] as it makes progress.
    /// Stop comes before reload, reload before tick. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Turn {
        loop {
            notify::watchdog();
            let watchdog_due = async {
                match self.watchdog {
                    // Half the interval, as sd_watchdog_enabled(3) recommends.
                    Some(interval) => tokio::time::sleep(interval / 2).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Turn::Stop,
                // The lifecycle holds a sender itself, so the channel never closes.
                Some(()) = self.reload.recv() => return Turn::Reload,
                _ = self.tick.tick() => return Turn::Tick,
                () = watchdog_due => {}
            }
        }
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    async fn listen(mut self, stop: CancellationToken, reload: ReloadHandle) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "TERM",
                _ = self.interrupt.recv() => "INT",
                _ = self.hangup.recv() => {
                    reload.request();
                    continue;
                }
            };
            if stop.is_cancelled() {
                tracing::warn!(signal = name, "second stop signal, leaving at once");
                std::process::exit(i32::from(exit::EXIT_FAILED));
            }
            tracing::info!(signal = name, "stopping");
            stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stop_comes_before_reload_and_reload_before_tick() {
        let mut lifecycle = Lifecycle::detached();
        assert_eq!(lifecycle.next().await, Turn::Tick);
        let handle = lifecycle.reload_handle();
        handle.request();
        handle.request();
        assert_eq!(lifecycle.next().await, Turn::Reload);
        assert_eq!(lifecycle.next().await, Turn::Tick, "two requests in a row are one reload");
        handle.request();
        lifecycle.stop.cancel();
        assert_eq!(lifecycle.next().await, Turn::Stop);
    }

    #[tokio::test]
    async fn hangup_asks_for_a_reload_and_kills_nobody() {
        let mut lifecycle = Lifecycle::install().unwrap();
        lifecycle.tick_every(Duration::from_secs(3600));
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).unwrap();
        assert_eq!(lifecycle.next().await, Turn::Reload);
        assert!(!lifecycle.stop.is_cancelled());
    }
}
