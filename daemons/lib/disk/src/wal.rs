//! The write-ahead log: records in segments, group commit, replay that never refuses a torn tail.
//!
//! A caller appends first and changes its memory only after that succeeded, then waits in [`Wal::sync`] before it
//! tells anybody. One `fdatasync` serves all threads that wait: the first becomes the leader, the others follow.
//!
//! Three rules keep an acknowledged record safe, each against a failure that has cost others data:
//! * After a failed sync the unsynced tail of that segment is never trusted again (the kernel reports a failed
//!   write-back once and forgets it): the records are kept in memory until they are durable, and are written again
//!   to a new segment. So memory and log stay the same sequence, whatever a caller was told.
//! * A log that was opened never goes on in an old segment: what can be read after a restart may sit in the page cache only, and a
//!   hole in front of later records would take those with it.
//! * A segment's header carries the number of its first record, so that records written twice are replayed once, and
//!   a missing segment is noticed.

mod replay;
mod segment;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::fs::{Fs, is_no_space};
use crate::header::{Format, HeaderError};

pub use replay::{Damage, Replay, ReplayError, ReplayReport};
pub use segment::{SEGMENT_HEADER_BYTES, segment_name};
use writer::Writer;

/// Number of a segment: ascending, never reused while a later one exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How far the log had grown after a record: bytes appended since it was opened. Only for [`Wal::sync`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// Magic and version of the segments; one of a newer version is refused before its records are looked at. Each
    /// record starts with a version of its own, the engine's: that is the one to raise for a new field.
    pub format: Format,
    /// No new segment gets a smaller number than this. An engine whose checkpoint says "replay from segment n" passes
    /// n, so that numbers never go back even if every segment is gone.
    pub first_segment: SegmentId,
    /// A new segment is started before one would grow past this.
    pub segment_bytes: u64,
    /// A longer record is refused.
    pub max_record_bytes: usize,
    /// Once this much waits for a sync, an appender syncs itself: bounds the memory and what a crash can take.
    pub max_unsynced_bytes: usize,
}

impl WalOptions {
    /// Segments of 32 MiB (small enough to be dropped early, large enough for few files), records of at most 64 MiB,
    /// 16 MiB waiting for a sync.
    pub fn new(format: Format) -> Self {
        let first_segment = SegmentId(1);
        Self {
            format,
            first_segment,
            segment_bytes: 32 << 20,
            max_record_bytes: 64 << 20,
            max_unsynced_bytes: 16 << 20,
        }
    }
}

/// Why the log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The disk is full. Nothing was appended; freed space heals it.
    #[error("write-ahead log: no space left on the disk of {path}; free some space")]
    NoSpace {
        /// The segment or directory.
        path: PathBuf,
    },
    /// Another input or output error. After one in [`Wal::sync`] the records are kept and written again by the next
    /// call; they must not be acknowledged before one succeeds.
    #[error("write-ahead log: {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A segment of another kind or a newer version.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A record longer than the limit.
    #[error("write-ahead log: a record of {bytes} bytes, the limit is {limit}")]
    RecordTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The engine refused a record during replay.
    #[error("write-ahead log: replay of {path}, record at byte {offset}")]
    Replay {
        /// The segment.
        path: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// The engine's reason.
        #[source]
        source: ReplayError,
    },
}

impl WalError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if is_no_space(&source) {
            return Self::NoSpace { path: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the disk is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// A copy for each thread that waited for the same sync.
    fn duplicate(&self) -> Self {
        match self {
            Self::NoSpace { path } => Self::NoSpace { path: path.clone() },
            Self::Io { action, path, source } => {
                // An `io::Error` cannot be cloned; number or kind and text are what a reader needs.
                let source = match source.raw_os_error() {
                    Some(errno) => io::Error::from_raw_os_error(errno),
                    None => io::Error::new(source.kind(), source.to_string()),
                };
                Self::Io { action, path: path.clone(), source }
            }
            other => {
                Self::Io { action: "sync", path: PathBuf::new(), source: io::Error::other(other.to_string()) }
            }
        }
    }
}

/// A write-ahead log. All methods take `&self`; any number of threads may append and sync.
#[derive(Debug)]
pub struct Wal {
    state: Mutex<State>,
    /// Woken whenever a sync ended, well or badly.
    sync_ended: Condvar,
    options: WalOptions,
}

#[derive(Debug)]
struct State {
    writer: Writer,
    /// Whether a leader is syncing right now, outside of the lock.
    syncing: bool,
    /// The last failed sync: which records it was to make durable, and why it did not.
    failure: Option<Failure>,
    /// Counts failed syncs, so that a follower can tell a new failure from an old one.
    failures: u64,
}

#[derive(Debug)]
struct Failure {
    up_to: Lsn,
    error: WalError,
}

impl Wal {
    /// Opens the log in `dir` (created where missing), hands every whole record to `replay` in the order of their
    /// appending, and cuts a torn tail off. What was handed over is durable. Nothing else is written before the first
    /// append, so that a store can be opened on a full disk.
    ///
    /// # Errors
    /// [`WalError`]: the directory cannot be used, a segment is of a newer version, or `replay` refused a record.
    /// Torn and damaged records are no error; the report names them.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        replay: Replay<'_>,
    ) -> Result<(Self, ReplayReport), WalError> {
        let replayed = replay::replay_all(&*fs, dir, options.format, replay)?;
        let next_id = replayed.next_id.max(options.first_segment);
        let writer = Writer::new(fs, dir, options, replayed.kept, next_id, replayed.next_record);
        let state = State { writer, syncing: false, failure: None, failures: 0 };
        let wal = Self { state: Mutex::new(state), sync_ended: Condvar::new(), options };
        Ok((wal, replayed.report))
    }

    /// The segments that lie in `dir`, ascending; for showing how far a replay has come.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn segments(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<SegmentId>> {
        Ok(segment::list(fs, dir)?.into_iter().map(|(id, _)| id).collect())
    }

    /// Writes one record to the current segment. It survives a crash of this process at once, and a loss of power
    /// after [`sync`](Self::sync) of the answered position.
    ///
    /// # Errors
    /// [`WalError`]; then nothing was appended: the file is cut back to its last whole record.
    pub fn append(&self, record: &[u8]) -> Result<Lsn, WalError> {
        let limit = self.options.max_record_bytes;
        if record.len() > limit {
            return Err(WalError::RecordTooLarge { bytes: record.len(), limit });
        }
        let mut state = self.lock();
        if state.writer.unsynced_bytes() >= self.options.max_unsynced_bytes {
            let appended = state.writer.appended();
            drop(state);
            self.sync(appended)?;
            state = self.lock();
        }
        while state.syncing && state.writer.starts_new_segment_for(record.len()) {
            state = self.wait(state);
        }
        state.writer.append(record)
    }

    /// Waits until everything up to `lsn` is durable. Threads that wait at the same time share one `fdatasync`.
    ///
    /// # Errors
    /// [`WalError`]: not durable yet. The records are kept and written again to a new segment by the next call of
    /// `sync`, `append` or `cut`; nothing may be acknowledged before a `sync` succeeds.
    pub fn sync(&self, lsn: Lsn) -> Result<(), WalError> {
        let mut state = self.lock();
        loop {
            if state.writer.durable() >= lsn {
                return Ok(());
            }
            if !state.syncing {
                return self.lead(state, lsn);
            }
            let failures_before = state.failures;
            state = self.wait(state);
            if state.failures != failures_before
                && let Some(failure) = &state.failure
                && failure.up_to >= lsn
                && state.writer.durable() < lsn
            {
                return Err(failure.error.duplicate());
            }
        }
    }

    /// Position after the last appended record, for a `sync` of everything.
    pub fn appended(&self) -> Lsn {
        self.lock().writer.appended()
    }

    /// Syncs and closes the current segment. Answers the number that the next one will have: every earlier record
    /// lies in a smaller one.
    ///
    /// # Errors
    /// [`WalError`] of the sync; the log goes on in the segment it had.
    pub fn cut(&self) -> Result<SegmentId, WalError> {
        let mut state = self.lock();
        // Of two syncs of one file the kernel tells only one about a failed write-back: never run them side by side.
        while state.syncing {
            state = self.wait(state);
        }
        state.writer.cut()?;
        let id = state.writer.segment();
        drop(state);
        self.sync_ended.notify_all();
        Ok(id)
    }

    /// Removes the segments before `first_kept`, oldest first. Answers how many there were.
    ///
    /// # Errors
    /// [`WalError`]; segments that are left are removed by the next call.
    pub fn drop_before(&self, first_kept: SegmentId) -> Result<usize, WalError> {
        self.lock().writer.drop_before(first_kept)
    }

    /// Bytes in all segments.
    pub fn bytes_on_disk(&self) -> u64 {
        self.lock().writer.bytes_on_disk()
    }

    /// The first and the current segment.
    pub fn segment_range(&self) -> (SegmentId, SegmentId) {
        let state = self.lock();
        (state.writer.first_segment(), state.writer.segment())
    }

    /// Syncs on behalf of everyone who waits. Called with the lock held and nobody else leading.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>, lsn: Lsn) -> Result<(), WalError> {
        // A segment that failed before is replaced under the lock, since nothing may be appended meanwhile.
        let mut outcome = if state.writer.is_broken() { state.writer.replace_segment() } else { Ok(()) };
        let target = state.writer.appended();
        if outcome.is_ok()
            && state.writer.durable() < lsn
            && let Some(ticket) = state.writer.sync_ticket()
        {
            state.syncing = true;
            drop(state);
            let synced = ticket.run();
            state = self.lock();
            state.syncing = false;
            outcome = match synced {
                Ok(()) => {
                    state.writer.mark_durable(target);
                    Ok(())
                }
                Err(error) => state.writer.recover_from_failed_sync(&ticket, error),
            };
        }
        if state.writer.durable() >= lsn {
            outcome = Ok(());
        }
        if let Err(error) = &outcome {
            state.failures += 1;
            state.failure = Some(Failure { up_to: target, error: error.duplicate() });
        }
        drop(state);
        self.sync_ended.notify_all();
        outcome
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.sync_ended.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of ours panics while holding it; if one did, the file still ends in a whole or a torn record.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
