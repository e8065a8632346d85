//! Telling systemd how the daemon is doing (`sd_notify`). Without `NOTIFY_SOCKET` every call does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Longest status line that is sent, in bytes; systemd shows it in `systemctl status`.
const MAX_STATUS_BYTES: usize = 1024;

/// The daemon is up (or done reloading): the write-ahead log is replayed and every port is bound.
pub fn ready(text: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(text))]);
}

/// The daemon starts to reload its configuration; [`ready`] ends it. Carries the time that `Type=notify-reload` wants.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "cannot read the monotonic clock"),
    }
}

/// The daemon starts to stop.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Sets the line that `systemctl status` shows.
pub fn status(text: &str) {
    send(&[NotifyState::Status(&one_line(text))]);
}

/// Asks for more time to start or stop, counted from now: called repeatedly while replaying or flushing.
pub fn extend_timeout(by: Duration) {
    send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
}

/// Feeds the watchdog. [`crate::Lifecycle::next`] does so for the main loop; long work does so as it proceeds.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// The interval within which systemd wants the watchdog fed, where the unit has one.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

fn send(states: &[NotifyState<'_>]) {
    // Nobody depends on it being heard: systemd acts on silence by its own timeouts.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}

fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > MAX_STATUS_BYTES {
        let mut end = MAX_STATUS_BYTES;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_smuggle_in_another_state() {
        assert_eq!(one_line("replaying\nREADY=1"), "replaying READY=1");
        assert!(one_line(&"ä".repeat(2000)).len() <= MAX_STATUS_BYTES);
    }
}
