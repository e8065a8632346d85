//! The segment that is being written, and the records that are not durable yet.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::{self, SEGMENT_HEADER_BYTES};
use super::{Lsn, SegmentId, WalError, WalOptions};
use crate::frame::{FRAME_HEADER_BYTES, push_frame};
use crate::fs::{Fs, FsFile};

/// Memory that is kept for waiting records between two syncs; more is given back.
const PENDING_KEPT_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Writer {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: WalOptions,
    /// Earlier segments and their lengths.
    sealed: BTreeMap<SegmentId, u64>,
    /// `None` until the first record: a store opens and serves reads on a full disk too.
    current: Option<Segment>,
    next_id: SegmentId,
    /// Number that the next record gets.
    next_record: u64,
    appended: Lsn,
    durable: Lsn,
    /// The frames between `durable` and `appended`: what must be written again if a sync fails.
    pending: Vec<u8>,
    /// How many records lie in `pending`, with the position after each.
    pending_ends: VecDeque<Lsn>,
    /// A sync or a roll-back failed: nothing may be appended to `current` again.
    broken: bool,
}

#[derive(Debug)]
struct Segment {
    id: SegmentId,
    path: PathBuf,
    file: Arc<dyn FsFile>,
    /// End of the last whole record.
    len: u64,
    /// Up to here it is known to be durable.
    synced_len: u64,
}

/// What a leader needs to sync without holding the lock.
pub(super) struct SyncTicket {
    segment: SegmentId,
    path: PathBuf,
    file: Arc<dyn FsFile>,
}

impl SyncTicket {
    pub(super) fn run(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Writer {
    pub(super) fn new(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        sealed: BTreeMap<SegmentId, u64>,
        next_id: SegmentId,
        next_record: u64,
    ) -> Self {
        Self {
            fs,
            dir: dir.to_owned(),
            options,
            sealed,
            current: None,
            next_id,
            next_record,
            appended: Lsn(0),
            durable: Lsn(0),
            pending: Vec::new(),
            pending_ends: VecDeque::new(),
            broken: false,
        }
    }

    pub(super) fn append(&mut self, record: &[u8]) -> Result<Lsn, WalError> {
        if self.broken {
            self.replace_segment()?;
        }
        if self.starts_new_segment_for(record.len()) {
            self.cut()?;
        }
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let fresh = self.create_next(self.next_record)?;
                self.current.insert(fresh)
            }
        };
        let start = self.pending.len();
        push_frame(&mut self.pending, record);
        if let Err(source) = current.file.write_all_at(&self.pending[start..], current.len) {
            self.pending.truncate(start);
            // Whole records only: what was written of this one goes. If even that fails, the segment is given up.
            self.broken = current.file.truncate(current.len).is_err();
            return Err(WalError::io("append to", &current.path, source));
        }
        let frame_len = (self.pending.len() - start) as u64;
        current.len += frame_len;
        self.next_record += 1;
        self.appended.0 += frame_len;
        self.pending_ends.push_back(self.appended);
        Ok(self.appended)
    }

    /// Whether a record of this length no longer fits the current segment.
    pub(super) fn starts_new_segment_for(&self, record_len: usize) -> bool {
        self.current.as_ref().is_some_and(|current| {
            current.len > SEGMENT_HEADER_BYTES as u64
                && current.len + (FRAME_HEADER_BYTES + record_len) as u64 > self.options.segment_bytes
        })
    }

    /// `None` when there is no segment, and so nothing to sync.
    pub(super) fn sync_ticket(&self) -> Option<SyncTicket> {
        self.current.as_ref().map(|current| SyncTicket {
            segment: current.id,
            path: current.path.clone(),
            file: Arc::clone(&current.file),
        })
    }

    pub(super) fn mark_durable(&mut self, lsn: Lsn) {
        if lsn <= self.durable {
            return;
        }
        let bytes = lsn.0 - self.durable.0;
        let drained = usize::try_from(bytes).expect("pending lies in memory");
        self.pending.drain(..drained);
        if self.pending.capacity() > PENDING_KEPT_BYTES && self.pending.len() < PENDING_KEPT_BYTES {
            self.pending.shrink_to(PENDING_KEPT_BYTES);
        }
        while self.pending_ends.front().is_some_and(|&end| end <= lsn) {
            self.pending_ends.pop_front();
        }
        self.durable = lsn;
        if let Some(current) = &mut self.current {
            current.synced_len = current.len - self.pending.len() as u64;
        }
    }

    /// Gives the segment up whose sync failed and writes what is not durable to a new one.
    pub(super) fn recover_from_failed_sync(
        &mut self,
        ticket: &SyncTicket,
        source: io::Error,
    ) -> Result<(), WalError> {
        let error = WalError::io("sync", &ticket.path, source);
        tracing::warn!(path = %ticket.path.display(), error = %error, "sync of the write-ahead log failed, its tail is written again");
        // An append that could not roll back has replaced the segment meanwhile, and synced everything elsewhere.
        if self.current.as_ref().is_none_or(|current| current.id != ticket.segment) {
            return Ok(());
        }
        match self.replace_segment() {
            Ok(()) => Ok(()),
            // The first failure says more than the second.
            Err(_) => Err(error),
        }
    }

    /// Starts a new segment with everything that is not durable yet, and syncs it. The old one is cut back to what
    /// is known to be durable.
    pub(super) fn replace_segment(&mut self) -> Result<(), WalError> {
        self.broken = true;
        let first_record = self.next_record - self.pending_ends.len() as u64;
        let mut fresh = self.create_next(first_record)?;
        if !self.pending.is_empty() {
            let written =
                fresh.file.write_all_at(&self.pending, fresh.len).and_then(|()| fresh.file.sync_data());
            if let Err(source) = written {
                let error = WalError::io("write again to", &fresh.path, source);
                self.give_up(fresh.id, &fresh.path);
                return Err(error);
            }
            fresh.len += self.pending.len() as u64;
        }
        if let Some(old) = self.current.replace(fresh) {
            // The old tail is doubtful. If it cannot be cut, replay skips it by the records' numbers.
            let cut = old.file.truncate(old.synced_len).and_then(|()| old.file.sync_data());
            self.sealed.insert(old.id, if cut.is_ok() { old.synced_len } else { old.len });
        }
        self.broken = false;
        self.mark_durable(self.appended);
        Ok(())
    }

    /// Syncs and closes the current segment; the next record starts a new one.
    pub(super) fn cut(&mut self) -> Result<(), WalError> {
        if self.broken {
            self.replace_segment()?;
        }
        let Some(ticket) = self.sync_ticket() else { return Ok(()) };
        if let Err(source) = ticket.run() {
            self.recover_from_failed_sync(&ticket, source)?;
        }
        self.mark_durable(self.appended);
        if let Some(old) = self.current.take() {
            self.sealed.insert(old.id, old.len);
        }
        Ok(())
    }

    fn create_next(&mut self, first_record: u64) -> Result<Segment, WalError> {
        let id = self.next_id;
        // Not reused even if creation fails: a half-made file of that name may be left.
        self.next_id = SegmentId(id.0 + 1);
        match create_segment(&*self.fs, &self.dir, self.options, id, first_record) {
            Ok(segment) => Ok(segment),
            Err((path, source)) => {
                self.give_up(id, &path);
                Err(WalError::io("create", &path, source))
            }
        }
    }

    /// Removes a segment that could not be used. If even that fails it is dropped later, with the ones of its age;
    /// until then its records, being numbered, are not replayed twice.
    fn give_up(&mut self, id: SegmentId, path: &Path) {
        match self.fs.remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => {
                let len = self.fs.len(path).unwrap_or(0);
                self.sealed.insert(id, len);
            }
        }
    }

    pub(super) fn drop_before(&mut self, first_kept: SegmentId) -> Result<usize, WalError> {
        let mut dropped = 0;
        while let Some((&id, _)) = self.sealed.first_key_value()
            && id < first_kept
        {
            let path = self.dir.join(segment::segment_name(id));
            match self.fs.remove_file(&path) {
                Ok(()) => dropped += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(WalError::io("remove", &path, source)),
            }
            self.sealed.remove(&id);
        }
        if dropped > 0 {
            self.fs.sync_dir(&self.dir).map_err(|source| WalError::io("sync", &self.dir, source))?;
        }
        Ok(dropped)
    }

    pub(super) fn appended(&self) -> Lsn {
        self.appended
    }

    pub(super) fn durable(&self) -> Lsn {
        self.durable
    }

    pub(super) fn unsynced_bytes(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The segment that the next record goes to.
    pub(super) fn segment(&self) -> SegmentId {
        self.current.as_ref().map_or(self.next_id, |current| current.id)
    }

    pub(super) fn first_segment(&self) -> SegmentId {
        self.sealed.first_key_value().map_or_else(|| self.segment(), |(&id, _)| id)
    }

    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.sealed.values().sum::<u64>() + self.current.as_ref().map_or(0, |current| current.len)
    }
}

/// Creates a segment whose header and name are durable before it is used: a record in it can be found again.
fn create_segment(
    fs: &dyn Fs,
    dir: &Path,
    options: WalOptions,
    id: SegmentId,
    first_record: u64,
) -> Result<Segment, (PathBuf, io::Error)> {
    let path = dir.join(segment::segment_name(id));
    let header = segment::header(options.format, id, first_record);
    let create = || -> io::Result<Arc<dyn FsFile>> {
        let file: Arc<dyn FsFile> = Arc::from(fs.create_new(&path)?);
        file.write_all_at(&header, 0)?;
        file.sync_data()?;
        fs.sync_dir(dir)?;
        Ok(file)
    };
    match create() {
        Ok(file) => {
            let len = SEGMENT_HEADER_BYTES as u64;
            Ok(Segment { id, path, file, len, synced_len: len })
        }
        Err(source) => Err((path, source)),
    }
}
