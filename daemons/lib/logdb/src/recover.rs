//! Opening a store: what the catalogue knows, what chunk files say beyond it, what the WAL still holds.
//!
//! The order of writing is: WAL record synced; chunk file synced and named; catalogue committed; WAL segment dropped.
//! So a crash leaves, at most, temporary files (removed), chunk files that the catalogue does not know (entered again
//! from their directory), and WAL records that are in chunks already (left out by their sequence number: each chunk
//! says up to which one its stream is complete).

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use cairn_disk::checked::remove_temporaries;
use cairn_disk::header::HeaderError;
use cairn_disk::wal::ReplayError;
use cairn_disk::{DirLock, SegmentId, Wal, WalOptions, create_dir_durably};
use cairn_model::Labels;

use crate::catalogue::Catalogue;
use crate::chunk_file::{
    ChunkFile, ChunkFileError, ChunkRef, DirectoryRow, OpenFiles, file_name, parse_file_name, read_directory,
};
use crate::counters::Tally;
use crate::engine::{Appender, CHUNK_DIR, Checkpoint, Engine, LiveFile, Maintenance, WAL_DIR, WAL_FORMAT};
use crate::error::OpenError;
use crate::head::NewEntry;
use crate::options::Options;
use crate::push::MAX_RECORD_BYTES;
use crate::stats::{Progress, RecoveryReport, Stage};
use crate::stream::Stream;
use crate::tenant::Tenants;
use crate::wal_record::{self, Record, RecordEntry, RecordError, RecordStream};

/// Progress is told once per so many records.
const PROGRESS_RECORDS: u64 = 1000;

/// Opens or creates a store.
pub(crate) fn open(options: Options, progress: &dyn Fn(Progress)) -> Result<Engine, OpenError> {
    let lock = DirLock::acquire(&options.catalogue_dir)?;
    let fs = Arc::clone(&options.fs);
    let (chunk_dir, wal_dir) = (options.dir.join(CHUNK_DIR), options.dir.join(WAL_DIR));
    for dir in [&options.dir, &chunk_dir, &wal_dir] {
        create_dir_durably(&*fs, dir).map_err(|source| OpenError::Io { path: dir.clone(), source })?;
    }
    let catalogue = Catalogue::open(&options.catalogue_dir)?;
    let mut recovery = Recovery::new(&options, progress);
    recovery.load_catalogue(&catalogue)?;
    recovery.look_at_files(&catalogue, &chunk_dir)?;
    let wal = recovery.replay_wal(&wal_dir)?;
    let Recovery { tenants, maintenance, report, next_stream, sequence, tally, .. } = recovery;
    let (_, segment) = wal.segment_range();
    Ok(Engine {
        chunk_dir,
        tenants,
        next_stream: AtomicU64::new(next_stream),
        wal,
        gate: RwLock::new(Checkpoint { segment }),
        appender: Mutex::new(Appender { sequence, bytes_since_checkpoint: 0 }),
        catalogue,
        maintenance: Mutex::new(maintenance),
        files: Arc::new(OpenFiles::new(Arc::clone(&fs))),
        retention: RwLock::new(options.retention.clone()),
        clock: AtomicI64::new(0),
        tally: Arc::new(tally),
        damage: Arc::default(),
        recovery: report,
        _lock: lock,
        fs,
        options,
    })
}

struct Recovery<'a> {
    options: &'a Options,
    progress: &'a dyn Fn(Progress),
    tenants: Tenants,
    by_id: HashMap<u64, Arc<Stream>>,
    maintenance: Maintenance,
    report: RecoveryReport,
    next_stream: u64,
    sequence: u64,
    tally: Tally,
}

impl<'a> Recovery<'a> {
    fn new(options: &'a Options, progress: &'a dyn Fn(Progress)) -> Self {
        Self {
            options,
            progress,
            tenants: Tenants::default(),
            by_id: HashMap::new(),
            maintenance: Maintenance { next_file: 1, ..Maintenance::default() },
            report: RecoveryReport::default(),
            // 0 is never a stream: it is what a damaged number most often looks like.
            next_stream: 1,
            sequence: 0,
            tally: Tally::default(),
        }
    }

    fn tell(&self, stage: Stage, done: u64, total: u64) {
        (self.progress)(Progress { stage, done, total });
    }

    /// The stream with these labels. Numbers are a matter of each source: whatever `id` it gives, labels decide.
    fn stream(&mut self, id: u64, tenant: &str, labels: &Arc<Labels>) -> Arc<Stream> {
        self.next_stream = self.next_stream.max(id.saturating_add(1));
        let tenant = self.tenants.get_or_add(tenant, usize::MAX).expect("there is no limit");
        // A number that stands for other labels already is not used a second time.
        let is_free = self.by_id.get(&id).is_none_or(|known| known.labels == *labels);
        let own_id = if is_free { id } else { self.next_stream };
        let stream = tenant.restore(own_id, labels);
        self.next_stream = self.next_stream.max(stream.id + 1);
        self.by_id.entry(stream.id).or_insert_with(|| Arc::clone(&stream));
        stream
    }

    fn load_catalogue(&mut self, catalogue: &Catalogue) -> Result<(), OpenError> {
        let loaded = catalogue.load()?;
        let total = loaded.chunks.len() as u64;
        for row in &loaded.streams {
            self.stream(row.id, &row.tenant, &row.labels);
        }
        let mut gone = Vec::new();
        for row in &loaded.files {
            let path = self.options.dir.join(CHUNK_DIR).join(file_name(row.id));
            self.maintenance.next_file = self.maintenance.next_file.max(row.id + 1);
            let is_there = self.options.fs.exists(&path);
            let file = Arc::new(ChunkFile { id: row.id, path: path.clone(), bytes: row.bytes });
            if !is_there {
                if !row.is_condemned {
                    tracing::error!(path = %path.display(), "chunk file is missing, its entries are lost");
                    self.report.files_missing.push(path);
                }
                gone.push(row.id);
            } else if row.is_condemned {
                self.maintenance.condemned.push(file);
            } else {
                self.maintenance.files.insert(row.id, LiveFile { file, live_chunks: 0 });
            }
        }
        if !gone.is_empty() {
            catalogue.forget_files(&gone)?;
        }
        for (done, (file, stream, place)) in (0u64..).zip(&loaded.chunks) {
            if done.is_multiple_of(PROGRESS_RECORDS) {
                self.tell(Stage::Catalogue, done, total);
            }
            let known = self.by_id.get(stream).cloned();
            if let (Some(file), Some(stream)) = (self.maintenance.files.get_mut(file), known) {
                file.live_chunks += 1;
                let chunk = ChunkRef { file: Arc::clone(&file.file), place: *place };
                add_chunk(&stream, chunk, &mut self.sequence, &self.tally);
            }
        }
        self.tell(Stage::Catalogue, total, total);
        Ok(())
    }

    /// Removes temporary files and enters the files that the catalogue does not know.
    fn look_at_files(&mut self, catalogue: &Catalogue, dir: &Path) -> Result<(), OpenError> {
        let fs = &*self.options.fs;
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        remove_temporaries(fs, dir).map_err(io)?;
        let entries = fs.list(dir).map_err(io)?;
        let condemned: HashSet<u64> = self.maintenance.condemned.iter().map(|file| file.id).collect();
        let total = entries.len() as u64;
        for (done, entry) in (1u64..).zip(entries) {
            let Some(id) = parse_file_name(&entry.name).filter(|_| !entry.is_dir) else { continue };
            self.maintenance.next_file = self.maintenance.next_file.max(id.saturating_add(1));
            if !condemned.contains(&id) && !self.maintenance.files.contains_key(&id) {
                self.reregister(catalogue, dir, id, entry.len)?;
            }
            self.tell(Stage::ChunkFiles, done, total);
        }
        Ok(())
    }

    fn reregister(
        &mut self,
        catalogue: &Catalogue,
        dir: &Path,
        id: u64,
        bytes: u64,
    ) -> Result<(), OpenError> {
        let path = dir.join(file_name(id));
        let mut rows = match read_directory(&*self.options.fs, &path) {
            Ok(rows) => rows,
            // A newer build's file would be lost sight of: that must stop the start.
            Err(ChunkFileError::Header(error @ HeaderError::Version { .. })) => return Err(error.into()),
            Err(error) => {
                tracing::error!(path = %path.display(), error = %error, "chunk file cannot be read, it is left where it is");
                self.report.files_damaged.push(path);
                return Ok(());
            }
        };
        let mut streams = Vec::with_capacity(rows.len());
        for row in &mut rows {
            let stream = self.stream(row.stream, &row.tenant, &row.labels);
            row.stream = stream.id;
            streams.push(stream);
        }
        catalogue.add_file(id, bytes, &rows)?;
        tracing::warn!(path = %path.display(), chunks = rows.len(), "entered a chunk file that the catalogue did not know");
        let file = Arc::new(ChunkFile { id, path, bytes });
        self.maintenance.files.insert(id, LiveFile { file: Arc::clone(&file), live_chunks: rows.len() });
        for (stream, DirectoryRow { place, .. }) in streams.iter().zip(rows) {
            add_chunk(stream, ChunkRef { file: Arc::clone(&file), place }, &mut self.sequence, &self.tally);
        }
        self.report.files_reregistered += 1;
        Ok(())
    }

    fn replay_wal(&mut self, dir: &Path) -> Result<Wal, OpenError> {
        let mut options = WalOptions::new(WAL_FORMAT);
        options.segment_bytes = self.options.wal_segment_bytes;
        options.max_record_bytes = MAX_RECORD_BYTES;
        let fs = Arc::clone(&self.options.fs);
        let mut defined: HashMap<u64, Arc<Stream>> = HashMap::new();
        let mut first_segment = None;
        let mut replay = |segment: SegmentId, bytes: &[u8]| -> Result<(), ReplayError> {
            // Definitions may lie in any earlier segment: all of them stay until what is replayed here is cut.
            let first_segment = *first_segment.get_or_insert(segment);
            self.replay_record(first_segment, bytes, &mut defined)
        };
        let (wal, replayed) = Wal::open(fs, dir, options, &mut replay)?;
        self.report.wal_torn_bytes = replayed.torn_bytes;
        self.report.wal_records_damaged += replayed.damaged.len() as u64;
        self.report.wal_records_missing = replayed.missing_records;
        self.tell(Stage::Wal, self.report.wal_records, self.report.wal_records);
        if self.report.wal_entries_without_stream > 0 || replayed.is_damaged() {
            tracing::error!(
                damaged = self.report.wal_records_damaged,
                missing = self.report.wal_records_missing,
                entries = self.report.wal_entries_without_stream,
                "the write-ahead log is damaged, entries are lost"
            );
        }
        Ok(wal)
    }

    fn replay_record(
        &mut self,
        segment: SegmentId,
        bytes: &[u8],
        defined: &mut HashMap<u64, Arc<Stream>>,
    ) -> Result<(), ReplayError> {
        self.report.wal_records += 1;
        if self.report.wal_records.is_multiple_of(PROGRESS_RECORDS) {
            self.tell(Stage::Wal, self.report.wal_records, 0);
        }
        let record = match wal_record::decode(bytes) {
            Ok(record) => record,
            // Skipping it would lose what was acknowledged, and the next cut would drop it for good.
            Err(error @ RecordError::Version { .. }) => return Err(error.into()),
            Err(error @ RecordError::Malformed(_)) => {
                tracing::error!(segment = segment.0, error = %error, "skipped a damaged record of the write-ahead log");
                self.report.wal_records_damaged += 1;
                return Ok(());
            }
        };
        let Record { sequence, tenant, definitions, metadata, streams } = record;
        self.sequence = self.sequence.max(sequence);
        for (id, labels) in definitions {
            let stream = self.stream(id, tenant, &Arc::new(labels));
            defined.insert(id, stream);
        }
        for RecordStream { id, entries } in &streams {
            let Some(stream) = defined.get(id).or_else(|| self.by_id.get(id)) else {
                self.report.wal_entries_without_stream += entries.len() as u64;
                continue;
            };
            let entries: Vec<NewEntry<'_>> = entries
                .iter()
                .map(|RecordEntry { time, line, metadata: set }| NewEntry {
                    time: time.0,
                    line,
                    metadata: &metadata[*set],
                })
                .collect();
            let applied = stream.lock().apply(sequence, segment, &entries, 0);
            self.report.wal_entries += applied.stored;
            self.tally.head_bytes.add(applied.bytes as u64);
            self.tally.head_entries.add(applied.stored);
        }
        Ok(())
    }
}

fn add_chunk(stream: &Stream, chunk: ChunkRef, sequence: &mut u64, tally: &Tally) {
    tally.chunks.add(1);
    tally.chunk_bytes.add(u64::from(chunk.place.bytes));
    *sequence = (*sequence).max(chunk.place.through);
    let mut state = stream.lock();
    state.through = state.through.max(chunk.place.through);
    Arc::make_mut(&mut state.chunks).push(chunk);
}
