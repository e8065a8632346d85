//! Opening: blocks, checkpoint, log. Damage is set aside and named; a newer version stops the start.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use cairn_disk::checked::remove_temporaries;
use cairn_disk::header::HeaderError;
use cairn_disk::record_file::RecordFileError;
use cairn_disk::{CheckedError, Fs, SegmentId, Wal, WalError, WalOptions, create_dir_durably};

use super::flush::Flushing;
use super::leftovers::Leftovers;
use super::maintain::Maintenance;
use super::pressure::Pressure;
use super::replay::{Replay, Replayed};
use super::status::Tally;
use super::write::Commit;
use super::{Inner, Layout, place};
use crate::block::{Block, BlockError, BlockId, TOMBSTONES_FILE};
use crate::checkpoint;
use crate::damage::DamageLog;
use crate::head::Head;
use crate::options::Options;
use crate::wal_record::{self, RecordError, SamplesDecoder, WAL_FORMAT};

/// Added to the name of what could not be read, so that it is kept for a person and not tried again.
pub(crate) const DAMAGED_SUFFIX: &str = ".damaged";

/// So many damaged places are named in the report; the rest is counted.
const MAX_NAMED_DAMAGE: usize = 100;

/// How far opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Opening blocks.
    Blocks {
        /// Blocks opened.
        done: usize,
        /// Blocks there are.
        total: usize,
    },
    /// Restoring the head from its checkpoint.
    Checkpoint {
        /// Series restored.
        series: usize,
    },
    /// Replaying the log, by segment numbers.
    Wal {
        /// First segment.
        first: u64,
        /// Last segment.
        last: u64,
        /// The one that is being read.
        current: u64,
    },
}

/// Why a database could not be opened. Nothing was changed that a second attempt would need.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The write-ahead log cannot be used, or is of a newer version.
    #[error(transparent)]
    Wal(WalError),
    /// A block is of a newer version, or the system failed while reading it.
    #[error("open block")]
    Block(#[source] BlockError),
    /// A checkpoint is of a newer version, or the system failed while reading it.
    #[error("read checkpoint")]
    Checkpoint(#[source] RecordFileError),
    /// The file of exemplars is of a newer version, or the system failed while reading it.
    #[error("read exemplars")]
    Exemplars(#[source] CheckedError),
    /// A block length that no time can be divided by.
    #[error("a block length of {block_ms} ms; it must be at least 1 ms")]
    BlockLength {
        /// What the options say.
        block_ms: i64,
    },
    /// The directory cannot be used.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Blocks that are served.
    pub blocks: usize,
    /// Series in the head.
    pub series: usize,
    /// Samples that the log added to the head.
    pub samples: u64,
    /// Segments of the log that were read.
    pub wal_segments: usize,
    /// Bytes cut off the end of the log: a write that was under way when the process or the power died.
    pub torn_bytes: u64,
    /// What was damaged, one line each with its place: set aside (`.damaged`) or left out. Empty when all is well.
    pub damage: Vec<String>,
}

pub(super) fn open(options: Options, progress: &dyn Fn(Progress)) -> Result<(Inner, OpenReport), OpenError> {
    if options.block_ms < 1 {
        return Err(OpenError::BlockLength { block_ms: options.block_ms });
    }
    let fs = Arc::clone(&options.fs);
    let (dir, blocks_dir) = (options.dir.clone(), place::blocks(&options.dir));
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { action, path, source }
    };
    for path in [&dir, &blocks_dir] {
        create_dir_durably(&*fs, path).map_err(io("create", path))?;
    }
    let snapshots_dir = place::snapshots(&dir);
    let may_have_leftovers = [&dir, &blocks_dir, &snapshots_dir];
    for path in may_have_leftovers.into_iter().filter(|path| fs.exists(path)) {
        remove_temporaries(&*fs, path).map_err(io("remove leftovers in", path))?;
    }
    let mut report = OpenReport::default();
    let damage = Arc::new(DamageLog::default());
    let (blocks, leftovers) = open_blocks(&*fs, &blocks_dir, &damage, progress, &mut report)?;
    let in_blocks_before = blocks.iter().filter_map(|block| block.meta.wal_until).max().map(SegmentId);
    report.blocks = blocks.len();

    let head = Head::new();
    let exemplars = super::exemplars::load(&*fs, &dir, options.max_exemplars, &mut report.damage)
        .map_err(OpenError::Exemplars)?;
    let (wal, replayed, next_record) = std::thread::scope(|scope| {
        let mut replay = Replay::start(scope, &head, exemplars, options.block_ms);
        let first_segment = restore_checkpoint(&*fs, &dir, &head, &mut replay, progress, &mut report)?;
        let range = Range { first_segment, in_blocks_before: in_blocks_before.unwrap_or(first_segment) };
        let (wal, next_record) = replay_log(&options, range, &mut replay, progress, &mut report)?;
        report.samples = replay.samples;
        describe_losses(&replay, &mut report.damage);
        Ok::<_, OpenError>((wal, replay.finish(), next_record))
    })?;
    report.series = head.n_series();
    let Replayed { tips, newest_histograms, exemplars } = replayed;
    let commit =
        Commit::new(tips, newest_histograms, next_record).map_err(io("allocate buffers for", &dir))?;

    let inner = Inner {
        commit: Mutex::new(commit),
        layout: RwLock::new(Layout { blocks, flushed: 0 }),
        flushing: Mutex::new(Flushing::new()),
        leftovers: Mutex::new(leftovers),
        pressure: Pressure::default(),
        maintenance: Mutex::new(Maintenance::default()),
        exemplars: Mutex::new(exemplars),
        tally: Tally::default(),
        options,
        head,
        wal,
        damage,
    };
    Ok((inner, report))
}

fn open_blocks(
    fs: &dyn Fs,
    dir: &Path,
    damage: &Arc<DamageLog>,
    progress: &dyn Fn(Progress),
    report: &mut OpenReport,
) -> Result<(Vec<Arc<Block>>, Leftovers), OpenError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { action, path, source }
    };
    // What is found is relied on, and whoever gave a block its name may have died before that was durable.
    fs.sync_dir(dir).map_err(io("sync", dir))?;
    let names: Vec<String> = fs
        .list(dir)
        .map_err(io("list", dir))?
        .into_iter()
        .filter(|entry| entry.is_dir && entry.name.parse::<BlockId>().is_ok())
        .map(|entry| entry.name)
        .collect();
    let mut blocks = Vec::with_capacity(names.len());
    for (done, name) in names.iter().enumerate() {
        progress(Progress::Blocks { done, total: names.len() });
        let path = dir.join(name);
        match Block::open(fs, &path, Arc::clone(damage)) {
            Ok(block) => {
                if let Some(error) = &block.lost_tombstones {
                    set_aside(fs, &path.join(TOMBSTONES_FILE), error, &mut report.damage);
                }
                if !block.tombstones().is_empty() {
                    // As above: a deletion that is repeated finds nothing to do, and says that it is done.
                    fs.sync_dir(&path).map_err(io("sync", &path))?;
                }
                blocks.push(Arc::new(block));
            }
            Err(error) if error.is_newer_version() || error.is_io() => return Err(OpenError::Block(error)),
            Err(error) => set_aside(fs, &path, &error, &mut report.damage),
        }
    }
    progress(Progress::Blocks { done: names.len(), total: names.len() });
    let leftovers = take_out_replaced(fs, dir, &mut blocks);
    blocks.sort_by_key(|block| (block.meta.min_time_ms, block.meta.max_time_ms));
    Ok((blocks, leftovers))
}

/// A merge was finished, but not all of its parents were removed. They say nothing that it does not, and what was deleted
/// since is not deleted from them.
///
/// Where the merged block was itself merged again, nobody names those parents any more. This build never gets that far
/// ([`leftovers`](super::leftovers)), earlier ones did; then the block that has all of it names each block from a flush
/// that it came from. (Of an imported one that would say nothing: its sources are what the other store says.)
fn take_out_replaced(fs: &dyn Fs, dir: &Path, blocks: &mut Vec<Arc<Block>>) -> Leftovers {
    let parents: HashSet<BlockId> =
        blocks.iter().flat_map(|block| block.meta.parents.iter().copied()).collect();
    let merged: HashSet<BlockId> = blocks
        .iter()
        .filter(|block| !block.meta.parents.is_empty())
        .flat_map(|block| block.meta.sources.iter().copied())
        .collect();
    let is_replaced = |block: &&Arc<Block>| {
        let meta = &block.meta;
        let is_flushed = meta.level == 0 && meta.parents.is_empty();
        parents.contains(&meta.id) || (is_flushed && merged.contains(&meta.id))
    };
    let replaced: BTreeSet<BlockId> = blocks.iter().filter(is_replaced).map(|block| block.meta.id).collect();
    blocks.retain(|block| !replaced.contains(&block.meta.id));
    let mut leftovers = Leftovers::default();
    leftovers.add(replaced.into_iter().map(Into::into));
    let cleared = leftovers.clear_names(fs, dir).and_then(|()| leftovers.clear_space(fs, dir));
    if let Err(error) = cleared {
        // Reading and appending need not wait for it.
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "a block that was merged into another one stays for now");
    }
    leftovers
}

/// Renames what cannot be read, so that the database starts without it and a person finds it.
pub(super) fn set_aside(fs: &dyn Fs, path: &Path, error: &dyn fmt::Display, damage: &mut Vec<String>) {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(DAMAGED_SUFFIX);
    let aside = path.with_file_name(name);
    let moved = fs.rename(path, &aside).and_then(|()| fs.sync_dir(cairn_disk::checked::parent_of(path)));
    let what = match moved {
        Ok(()) => format!("{error}; set aside as {}", aside.display()),
        Err(reason) => format!("{error}; left where it is ({reason})"),
    };
    tracing::error!(path = %path.display(), error = %error, "damaged, set aside");
    damage.push(what);
}

/// What lies set aside in a data directory, by this start or by one before. A directory that cannot be listed has nothing.
pub(super) fn all_set_aside(fs: &dyn Fs, dir: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| fs.list(dir).unwrap_or_default();
    let blocks_dir = place::blocks(dir);
    let mut found = Vec::new();
    let mut look = |dir: &Path| {
        let names = entries(dir).into_iter().map(|entry| entry.name);
        found.extend(names.filter(|name| name.ends_with(DAMAGED_SUFFIX)).map(|name| dir.join(name)));
    };
    look(dir);
    look(&blocks_dir);
    for block in entries(&blocks_dir).into_iter().filter(|block| !block.name.ends_with(DAMAGED_SUFFIX)) {
        // Its list of deletions, of which nothing can be told any more.
        look(&blocks_dir.join(block.name));
    }
    found.sort();
    found
}

/// Restores the newest readable checkpoint. Answers the first log segment to replay.
fn restore_checkpoint(
    fs: &dyn Fs,
    dir: &Path,
    head: &Head,
    replay: &mut Replay<'_>,
    progress: &dyn Fn(Progress),
    report: &mut OpenReport,
) -> Result<SegmentId, OpenError> {
    let found = checkpoint::list(fs, dir).map_err(|source| OpenError::Io {
        action: "list",
        path: dir.to_owned(),
        source,
    })?;
    for (first_segment, path) in found {
        let mut n_series = 0;
        let read = checkpoint::read(fs, &path, |saved| {
            n_series += 1;
            if n_series % 10_000 == 0 {
                progress(Progress::Checkpoint { series: n_series });
            }
            replay.restore(saved)
        });
        match read {
            Ok(found) => {
                head.reserve_ids_below(found.next_id);
                report.damage.extend(found.damage);
                progress(Progress::Checkpoint { series: found.n_series });
                return Ok(first_segment);
            }
            Err(
                error @ (RecordFileError::Io { .. } | RecordFileError::Header(HeaderError::Version { .. })),
            ) => return Err(OpenError::Checkpoint(error)),
            Err(error) => set_aside(fs, &path, &error, &mut report.damage),
        }
    }
    Ok(SegmentId(1))
}

/// Which part of the log means what.
#[derive(Clone, Copy)]
struct Range {
    /// What lies before is a leftover: its series are in the checkpoint, its samples in blocks.
    first_segment: SegmentId,
    /// Samples before lie in blocks, although their series are in no checkpoint: the process died in between.
    in_blocks_before: SegmentId,
}

/// Answers the log and a number for the next record of samples.
fn replay_log(
    options: &Options,
    range: Range,
    replay: &mut Replay<'_>,
    progress: &dyn Fn(Progress),
    report: &mut OpenReport,
) -> Result<(Wal, u64), OpenError> {
    let Range { first_segment, in_blocks_before } = range;
    let dir = place::wal(&options.dir);
    let segments = if options.fs.exists(&dir) {
        Wal::segments(&*options.fs, &dir).unwrap_or_default()
    } else {
        Vec::new()
    };
    let last = segments.last().map_or(first_segment.0, |id| id.0);
    let wal_options = WalOptions {
        first_segment: first_segment.max(in_blocks_before),
        segment_bytes: options.wal_segment_bytes,
        max_record_bytes: wal_record::MAX_RECORD_BYTES,
        ..WalOptions::new(WAL_FORMAT)
    };
    let mut current = None;
    let mut malformed = 0u64;
    let mut samples = SamplesDecoder::new().map_err(|source| OpenError::Io {
        action: "allocate buffers for",
        path: dir.clone(),
        source,
    })?;
    let (wal, found) = Wal::open(Arc::clone(&options.fs), &dir, wal_options, &mut |segment, record| {
        if current != Some(segment) {
            current = Some(segment);
            progress(Progress::Wal { first: first_segment.0, last, current: segment.0 });
        }
        // Segments before the checkpoint are leftovers of an interrupted removal.
        if segment < first_segment {
            return Ok(());
        }
        replay.is_in_blocks = segment < in_blocks_before;
        match wal_record::read(record, &mut samples, replay) {
            Ok(()) => {}
            Err(RecordError::Malformed(_)) => malformed += 1,
            // Leaving it out would lose what was acknowledged, and the next checkpoint would drop it for good.
            Err(error @ RecordError::Version { .. }) => return Err(error.into()),
        }
        Ok(())
    })?;
    report.wal_segments = found.segments;
    report.torn_bytes = found.torn_bytes;
    for damage in found.damaged.iter().filter(|damage| damage.segment >= first_segment) {
        report.damage.push(format!(
            "write-ahead log segment {}: {} damaged bytes at byte {}",
            damage.segment, damage.bytes, damage.offset
        ));
    }
    if found.missing_records > 0 {
        report.damage.push(format!("write-ahead log: {} records are missing", found.missing_records));
    }
    if malformed > 0 {
        report.damage.push(format!("write-ahead log: {malformed} records of an unknown shape"));
    }
    Ok((wal, samples.next_number()))
}

fn describe_losses(replay: &Replay<'_>, damage: &mut Vec<String>) {
    for (count, what) in
        [(replay.orphans, "of series that no record names"), (replay.lost, "that refer to a damaged record")]
    {
        if count > 0 {
            damage.push(format!("write-ahead log: {count} samples {what}"));
        }
    }
    if damage.len() > MAX_NAMED_DAMAGE {
        let more = damage.len() - MAX_NAMED_DAMAGE;
        damage.truncate(MAX_NAMED_DAMAGE);
        damage.push(format!("and {more} more"));
    }
}
