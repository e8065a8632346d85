//! The parts of an open store and the rules by which they are used together.
//!
//! Locks, in the order in which they are taken: `maintenance` (one round at a time), `gate`, `appender`, a tenant's
//! index, a stream's state. A push holds the gate shared from taking its sequence number until its entries are in the
//! heads; cutting holds it alone, so that every record that has a number is in a head (or refused) when a head is
//! cut: "all records up to n" is then a true sentence.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use cairn_disk::{DirLock, Format, Fs, SegmentId, Wal};

use crate::catalogue::Catalogue;
use crate::chunk_file::{ChunkFile, DirectoryRow, OpenFiles};
use crate::counters::Tally;
use crate::damage::{KnownDamage, ReadContext};
use crate::options::Options;
use crate::retention::Retention;
use crate::stats::RecoveryReport;
use crate::stream::Stream;
use crate::tenant::Tenants;

/// First bytes and version of the WAL segments of a log store. Not raised for a new field in a record, which is what
/// [`RECORD_VERSION`](crate::wal_record::RECORD_VERSION) is for: raise this one only when a build could no longer tell
/// records apart by their first byte. An older build then refuses the segment without looking at them.
pub const WAL_FORMAT: Format = Format::new(*b"CRNLGWAL", 1);
/// Folder of the WAL.
pub const WAL_DIR: &str = "wal";
/// Folder of the chunk files.
pub const CHUNK_DIR: &str = "chunks";

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) chunk_dir: PathBuf,
    pub(crate) tenants: Tenants,
    pub(crate) next_stream: AtomicU64,
    pub(crate) wal: Wal,
    /// Shared: a push is under way. Alone: heads are being cut.
    pub(crate) gate: RwLock<Checkpoint>,
    pub(crate) appender: Mutex<Appender>,
    pub(crate) catalogue: Catalogue,
    pub(crate) maintenance: Mutex<Maintenance>,
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) retention: RwLock<Retention>,
    /// The time that maintenance was last told; 0 before.
    pub(crate) clock: AtomicI64,
    pub(crate) tally: Arc<Tally>,
    pub(crate) damage: Arc<KnownDamage>,
    pub(crate) recovery: RecoveryReport,
    /// Released last.
    pub(crate) _lock: DirLock,
}

/// Where the WAL was last cut. Streams are defined once in each stretch between two checkpoints, since the log is
/// only ever dropped up to one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint {
    /// The first segment that belongs to it.
    pub(crate) segment: SegmentId,
}

/// Gives records their sequence numbers, in the order of the log.
#[derive(Debug)]
pub(crate) struct Appender {
    /// Number of the last record.
    pub(crate) sequence: u64,
    /// Bytes appended since the checkpoint.
    pub(crate) bytes_since_checkpoint: u64,
}

/// What only maintenance changes.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    pub(crate) next_file: u64,
    /// Every chunk file, with the number of its chunks that are still wanted.
    pub(crate) files: HashMap<u64, LiveFile>,
    /// Nothing of them is wanted; they go once no query reads them.
    pub(crate) condemned: Vec<Arc<ChunkFile>>,
    /// Written and synced, but the catalogue would not take it: tried again before anything else is cut.
    pub(crate) uncommitted: Option<WrittenFile>,
}

#[derive(Debug)]
pub(crate) struct LiveFile {
    pub(crate) file: Arc<ChunkFile>,
    pub(crate) live_chunks: usize,
}

/// A chunk file on disk that is not in the catalogue yet.
#[derive(Debug)]
pub(crate) struct WrittenFile {
    pub(crate) file: Arc<ChunkFile>,
    pub(crate) rows: Vec<DirectoryRow>,
    /// The streams it has chunks of, with the number of their frozen heads that are in it.
    pub(crate) streams: Vec<(Arc<Stream>, usize)>,
}

impl Engine {
    /// What a query needs for reading chunks.
    pub(crate) fn read_context(&self) -> ReadContext {
        ReadContext::new(Arc::clone(&self.files), Arc::clone(&self.tally), Arc::clone(&self.damage))
    }

    pub(crate) fn lock_maintenance(&self) -> MutexGuard<'_, Maintenance> {
        // A panic in maintenance leaves heads that are cut again and files that the next start enters again.
        self.maintenance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_appender(&self) -> MutexGuard<'_, Appender> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
