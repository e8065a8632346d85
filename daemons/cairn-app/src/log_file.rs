//! The log file: lines go into a bounded buffer, one thread writes them.
//!
//! A request never waits for the disk. When the disk cannot keep up, or refuses, lines are dropped, counted and
//! reported on standard error. The file is opened again on request (SIGHUP) and whenever its name stands for another
//! file or none, which is how logrotate moves it away.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cairn_runtime::logging::Occasionally;

use crate::log_line::{Level, LineFormat};
use crate::own_metrics::LogMetrics;

/// Bytes of lines that may wait for the disk: a good second of the highest request rate.
const MAX_WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Between two reports of the same trouble.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Why the log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "open log file {path}: make its folder writable for this user, or choose another with log_file or --data-dir"
)]
pub struct OpenLogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A handle to the log file; clones write to the same.
#[derive(Clone, Debug)]
pub struct LogFile {
    shared: Arc<Shared>,
}

/// The owner of the writing thread.
#[derive(Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    metrics: LogMetrics,
    overflow: Occasionally,
}

#[derive(Debug)]
struct State {
    waiting: Vec<u8>,
    format: LineFormat,
    reopen: bool,
    closing: bool,
    /// Whether the thread sleeps, so that nobody wakes it in vain: a wake-up is a system call.
    is_idle: bool,
}

/// Opens (or creates) the log file, with its folder, and starts the thread that writes it.
///
/// # Errors
/// [`OpenLogError`], naming the path.
pub fn open(
    path: &Path,
    logger_name: &str,
    metrics: LogMetrics,
) -> Result<(LogFile, LogWriter), OpenLogError> {
    let to_error = |source| OpenLogError { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(to_error)?;
    }
    let file = open_for_append(path).map_err(to_error)?;
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: Vec::new(),
            format: LineFormat::new(logger_name),
            reopen: false,
            closing: false,
            is_idle: false,
        }),
        wake: Condvar::new(),
        metrics,
        overflow: Occasionally::every(REPORT_EVERY),
    });
    let sink =
        Sink { path: path.to_owned(), file, is_mid_line: false, trouble: Occasionally::every(REPORT_EVERY) };
    let thread = std::thread::Builder::new()
        .name("log-file".to_owned())
        .spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_until_closed(sink)
        })
        .map_err(to_error)?;
    Ok((LogFile { shared: Arc::clone(&shared) }, LogWriter { shared, thread }))
}

impl LogFile {
    /// Adds one line with the current time. Never waits for the disk.
    pub fn line(&self, level: Level, message: std::fmt::Arguments<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if state.waiting.len() >= MAX_WAITING_BYTES || state.closing {
            drop(guard);
            self.shared.metrics.dropped.inc();
            if let Some(held_back) = self.shared.overflow.ready() {
                tracing::warn!(held_back, "log file cannot keep up, dropping lines");
            }
            return;
        }
        state.format.write(&mut state.waiting, second, level, message);
        let was_idle = std::mem::take(&mut state.is_idle);
        drop(guard);
        self.shared.metrics.lines.inc();
        if was_idle {
            self.shared.wake.notify_one();
        }
    }

    /// Has the file closed and opened again under its name, after the lines that are waiting now.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.wake.notify_one();
    }
}

impl LogWriter {
    /// Writes what is waiting and closes the file. Blocks until that is done; later lines are dropped.
    pub fn close(self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("log file thread panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state holds whole lines at every point where a panic could happen, but for the one being written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_until_closed(&self, mut sink: Sink) {
        let mut batch = Vec::new();
        loop {
            let (reopen, closing) = {
                let mut state = self.lock();
                while state.waiting.is_empty() && !state.reopen && !state.closing {
                    state.is_idle = true;
                    state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                state.is_idle = false;
                std::mem::swap(&mut batch, &mut state.waiting);
                (std::mem::take(&mut state.reopen), state.closing)
            };
            if !sink.is_at_its_path() {
                self.reopen(&mut sink);
            }
            self.write(&mut sink, &batch);
            if reopen {
                self.reopen(&mut sink);
            }
            // A burst's buffer is not kept for ever.
            if batch.capacity() > MAX_WAITING_BYTES / 8 {
                batch = Vec::new();
            }
            batch.clear();
            if closing && self.lock().waiting.is_empty() {
                return;
            }
        }
    }

    fn write(&self, sink: &mut Sink, batch: &[u8]) {
        if batch.is_empty() {
            return;
        }
        if let Err(Unwritten { from, error }) = sink.write(batch) {
            let n_lost = batch[from..].iter().filter(|byte| **byte == b'\n').count();
            self.metrics.errors.inc();
            self.metrics.dropped.inc_by(n_lost as u64);
            if let Some(held_back) = sink.trouble.ready() {
                let path = sink.path.display();
                tracing::error!(%path, %error, lines = n_lost, held_back, "cannot write log file, lines are lost");
            }
        }
    }

    fn reopen(&self, sink: &mut Sink) {
        match open_for_append(&sink.path) {
            Ok(file) => {
                sink.file = file;
                sink.is_mid_line = false;
                self.metrics.reopens.inc();
                tracing::info!(path = %sink.path.display(), "reopened log file");
            }
            Err(error) => {
                self.metrics.errors.inc();
                if let Some(held_back) = sink.trouble.ready() {
                    let path = sink.path.display();
                    tracing::error!(%path, %error, held_back, "cannot reopen log file, writing to the old one");
                }
            }
        }
    }
}

/// The open file.
struct Sink {
    path: PathBuf,
    file: File,
    /// Whether an error left a line without its end.
    is_mid_line: bool,
    trouble: Occasionally,
}

/// What could not be written: everything from this byte of the batch on.
struct Unwritten {
    from: usize,
    error: io::Error,
}

impl Sink {
    fn is_at_its_path(&self) -> bool {
        let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        match (std::fs::metadata(&self.path), self.file.metadata()) {
            (Ok(named), Ok(open)) => identity(&named) == identity(&open),
            _ => false,
        }
    }

    fn write(&mut self, batch: &[u8]) -> Result<(), Unwritten> {
        if self.is_mid_line {
            // Ends the torn line, so that the next one starts on its own.
            self.write_from(b"\n").map_err(|unwritten| Unwritten { from: 0, ..unwritten })?;
        }
        self.write_from(batch)
    }

    fn write_from(&mut self, bytes: &[u8]) -> Result<(), Unwritten> {
        let mut from = 0;
        while from < bytes.len() {
            match self.file.write(&bytes[from..]) {
                Ok(n_written) if n_written > 0 => {
                    from += n_written;
                    self.is_mid_line = bytes[from - 1] != b'\n';
                }
                Ok(_) => return Err(Unwritten { from, error: io::ErrorKind::WriteZero.into() }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Unwritten { from, error }),
            }
        }
        Ok(())
    }
}

/// Appending writes at the end even after another process truncated the file (logrotate's `copytruncate`).
fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    fn open_log(path: &Path) -> (LogFile, LogWriter) {
        open(path, "t", LogMetrics::register(&mut Registry::default())).unwrap()
    }

    fn messages(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| line.rsplit(" - ").next().unwrap().to_owned()).collect()
    }

    /// Waits until `path` holds `n` lines.
    fn wait_for_lines(path: &Path, n: usize) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while messages(path).len() < n {
            assert!(std::time::Instant::now() < deadline, "{:?}", messages(path));
            std::thread::yield_now();
        }
    }

    #[test]
    fn lines_arrive_in_order_and_all_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/app.log");
        let (log, writer) = open_log(&path);
        for i in 0..10_000 {
            log.line(Level::Info, format_args!("{i}"));
        }
        writer.close();
        let want: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
        assert_eq!(messages(&path), want);
        log.line(Level::Info, format_args!("too late"));
        assert_eq!(log.shared.metrics.dropped.get(), 1);
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew_without_losing_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("app.log"), dir.path().join("app.log.1"));
        let (log, writer) = open_log(&path);
        log.line(Level::Info, format_args!("1"));
        wait_for_lines(&path, 1);
        std::fs::rename(&path, &moved).unwrap();
        log.line(Level::Info, format_args!("2"));
        wait_for_lines(&path, 1);
        assert_eq!(messages(&moved), ["1"]);
        assert_eq!(messages(&path), ["2"]);
        std::fs::remove_file(&path).unwrap();
        log.reopen();
        log.line(Level::Info, format_args!("3"));
        writer.close();
        assert_eq!(messages(&path), ["3"]);
        assert!(log.shared.metrics.reopens.get() >= 2);
    }

    #[test]
    fn a_full_disk_loses_lines_but_says_so() {
        let (log, writer) = open_log(Path::new("/dev/full"));
        log.line(Level::Info, format_args!("1"));
        log.line(Level::Info, format_args!("2"));
        writer.close();
        assert!(log.shared.metrics.errors.get() >= 1);
        assert_eq!(log.shared.metrics.dropped.get(), 2);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let file = open_for_append(&path).unwrap();
        let trouble = Occasionally::every(REPORT_EVERY);
        let mut sink = Sink { path: path.clone(), file, is_mid_line: true, trouble };
        assert!(sink.write(b"next\n").is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), b"\nnext\n");
        assert!(!sink.is_mid_line);
    }

    #[test]
    fn a_place_where_no_file_can_be_is_named() {
        let error = open(Path::new("/dev/null/app.log"), "t", LogMetrics::register(&mut Registry::default()));
        let error = error.err().unwrap().to_string();
        assert!(error.starts_with("open log file /dev/null/app.log: "), "{error}");
    }
}
