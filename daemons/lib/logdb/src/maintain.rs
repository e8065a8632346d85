//! Maintenance: cutting heads into chunk files, dropping the WAL behind them, expiring what is too old.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cairn_disk::SegmentId;
use cairn_model::TimeNs;

use crate::chunk_file::{ChunkFile, ChunkFileWriter, ChunkRef};
use crate::chunk_writer::{ChunkShape, encode_head};
use crate::engine::{Engine, LiveFile, Maintenance, WrittenFile};
use crate::error::MaintainError;
use crate::expire::{expire, forget_empty_streams, remove_condemned};
use crate::stats::MaintainReport;
use crate::stream::{FrozenHead, Stream, StreamState};
use crate::tenant::Tenant;

/// Which heads are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CutPlan {
    /// All of them.
    All,
    /// The full, the idle and the old ones, at this time.
    Due(i64),
    /// Those with entries in WAL segments before this one.
    Before(SegmentId),
}

/// A stream and whose it is.
type OwnedStream = (Arc<Tenant>, Arc<Stream>);

/// One round.
pub(crate) fn maintain(engine: &Engine, now: TimeNs) -> Result<MaintainReport, MaintainError> {
    let mut maintenance = engine.lock_maintenance();
    engine.clock.store(now.0, Ordering::Relaxed);
    let mut report = MaintainReport::default();
    // Expiry first: it makes room, which cutting may need.
    expire(engine, &mut maintenance, now, &mut report)?;
    remove_condemned(engine, &mut maintenance, &mut report)?;
    cut(engine, &mut maintenance, CutPlan::Due(now.0), &mut report)?;
    if engine.wal.bytes_on_disk() > engine.options.max_wal_bytes {
        // The older half: everything would make needlessly small chunks, the oldest segment alone would be back here soon.
        let (first, last) = engine.wal.segment_range();
        let before = SegmentId(first.0 + (last.0 - first.0) / 2 + 1);
        cut(engine, &mut maintenance, CutPlan::Before(before), &mut report)?;
    }
    forget_empty_streams(engine, &maintenance, &mut report)?;
    mark_idle(engine, now);
    Ok(report)
}

/// Streams that make room for others under the limit: everything of them is in chunks, and nothing came for as long as a
/// head waits for more. A busy stream whose head was just cut is not among them: it must not find its place taken.
fn mark_idle(engine: &Engine, now: TimeNs) {
    for stream in engine.tenants.all().iter().flat_map(|tenant| tenant.streams()) {
        let mut state = stream.lock();
        if state.is_in_chunks() && is_past(now.0, state.touched, engine.options.chunk_idle) {
            state.set_idle(true);
        }
    }
}

/// Cuts every head.
pub(crate) fn flush(engine: &Engine) -> Result<MaintainReport, MaintainError> {
    let mut maintenance = engine.lock_maintenance();
    let mut report = MaintainReport::default();
    cut(engine, &mut maintenance, CutPlan::All, &mut report)?;
    Ok(report)
}

/// Cuts heads, writes them to chunk files, enters those in the catalogue, drops the WAL segments that nothing needs.
pub(crate) fn cut(
    engine: &Engine,
    maintenance: &mut Maintenance,
    plan: CutPlan,
    report: &mut MaintainReport,
) -> Result<(), MaintainError> {
    commit_uncommitted(engine, maintenance, report)?;
    if let Some(cut_streams) = freeze(engine, plan, report)? {
        write_frozen(engine, maintenance, &cut_streams, report)?;
    }
    drop_wal(engine)
}

/// Moves the heads of the plan out of the way of new entries. `None` when there is nothing to write.
fn freeze(
    engine: &Engine,
    plan: CutPlan,
    report: &mut MaintainReport,
) -> Result<Option<Vec<OwnedStream>>, MaintainError> {
    let all: Vec<OwnedStream> = engine
        .tenants
        .all()
        .into_iter()
        .flat_map(|tenant| tenant.streams().into_iter().map(move |stream| (Arc::clone(&tenant), stream)))
        .collect();
    let is_wanted = |stream: &Stream| {
        let mut state = stream.lock();
        !state.frozen.is_empty() || (!state.active.is_empty() && is_due(engine, &mut state, plan))
    };
    let mut wanted: Vec<_> = all.into_iter().filter(|(_, stream)| is_wanted(stream)).collect();
    let is_wal_due = match plan {
        CutPlan::All => !wanted.is_empty(),
        CutPlan::Due(_) | CutPlan::Before(_) => {
            engine.lock_appender().bytes_since_checkpoint >= engine.options.wal_segment_bytes
        }
    };
    if wanted.is_empty() && !is_wal_due {
        return Ok(None);
    }
    // Waits for the pushes under way and holds new ones back for a moment.
    let mut checkpoint = engine.gate.write().unwrap_or_else(PoisonError::into_inner);
    if is_wal_due {
        let cut = engine.wal.cut();
        match cut {
            Ok(segment) => {
                checkpoint.segment = segment;
                engine.lock_appender().bytes_since_checkpoint = 0;
            }
            // A full disk must not keep heads from being written: that may be what frees it.
            Err(error) if error.is_no_space() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let through = engine.lock_appender().sequence;
    for (_, stream) in &wanted {
        let mut state = stream.lock();
        if !state.active.is_empty() && is_due(engine, &mut state, plan) {
            state.freeze(through);
            report.heads_cut += 1;
        }
    }
    drop(checkpoint);
    // Always in the same order: the same pushes make the same files.
    wanted.sort_by_key(|(_, stream)| stream.id);
    Ok(Some(wanted))
}

fn is_due(engine: &Engine, state: &mut StreamState, plan: CutPlan) -> bool {
    let options = &engine.options;
    match plan {
        CutPlan::All => true,
        CutPlan::Before(segment) => state.active.oldest_segment().is_some_and(|oldest| oldest < segment),
        CutPlan::Due(now) => {
            // Entries that came before anybody told the time (a replay, the first pushes) count from here on.
            for stamp in [&mut state.born, &mut state.touched] {
                if *stamp == 0 {
                    *stamp = now;
                }
            }
            state.active.raw_bytes() >= options.chunk_target_bytes
                || is_past(now, state.touched, options.chunk_idle)
                || is_past(now, state.born, options.chunk_max_age)
        }
    }
}

fn is_past(now: i64, then: i64, period: Duration) -> bool {
    i128::from(now) - i128::from(then) >= i128::try_from(period.as_nanos()).unwrap_or(i128::MAX)
}

fn write_frozen(
    engine: &Engine,
    maintenance: &mut Maintenance,
    cut_streams: &[OwnedStream],
    report: &mut MaintainReport,
) -> Result<(), MaintainError> {
    let mut streams = cut_streams.iter().peekable();
    while streams.peek().is_some() {
        let id = maintenance.next_file;
        // Never used again, not even after a failure: its name may be on disk.
        maintenance.next_file += 1;
        let path = engine.chunk_dir.join(crate::chunk_file::file_name(id));
        let io = |source| MaintainError::Io { path: path.clone(), source };
        let mut writer = ChunkFileWriter::create(&engine.fs, &engine.chunk_dir, id).map_err(io)?;
        let mut written = Vec::new();
        // A stream's heads go into one file, so that they are replaced by their chunks at one moment.
        while let Some((tenant, stream)) =
            streams.next_if(|_| writer.bytes() < engine.options.chunk_file_bytes)
        {
            let frozen = stream.lock().frozen.clone();
            if let Err(source) = write_stream(engine, &mut writer, tenant, stream, &frozen) {
                writer.abandon();
                return Err(io(source));
            }
            written.push((Arc::clone(stream), frozen.len()));
        }
        let rows = writer.finish().map_err(io)?;
        let bytes = engine.fs.len(&path).map_err(io)?;
        let file = Arc::new(ChunkFile { id, path: path.clone(), bytes });
        maintenance.uncommitted = Some(WrittenFile { file, rows, streams: written });
        commit_uncommitted(engine, maintenance, report)?;
    }
    Ok(())
}

fn write_stream(
    engine: &Engine,
    writer: &mut ChunkFileWriter,
    tenant: &Tenant,
    stream: &Stream,
    frozen: &[FrozenHead],
) -> std::io::Result<()> {
    let options = &engine.options;
    let shape = ChunkShape {
        chunk_bytes: options.chunk_target_bytes,
        block_bytes: options.block_target_bytes,
        level: options.compression_level,
    };
    for FrozenHead { head, through } in frozen {
        encode_head(head, stream.id, *through, shape, &mut |chunk| {
            writer.add(&tenant.name, &stream.labels, &chunk)
        })?;
    }
    Ok(())
}

/// Enters a written file in the catalogue, then lets its chunks take the place of the heads. If the catalogue
/// refuses, file and heads stay, and this is tried again before anything else is cut.
fn commit_uncommitted(
    engine: &Engine,
    maintenance: &mut Maintenance,
    report: &mut MaintainReport,
) -> Result<(), MaintainError> {
    let Some(written) = &maintenance.uncommitted else { return Ok(()) };
    engine.catalogue.add_file(written.file.id, written.file.bytes, &written.rows)?;
    let Some(WrittenFile { file, rows, streams }) = maintenance.uncommitted.take() else { return Ok(()) };
    let tally = &engine.tally;
    tally.chunks.add(rows.len() as u64);
    tally.chunk_bytes.add(rows.iter().map(|row| u64::from(row.place.bytes)).sum());
    tally.chunks_written.add(rows.len() as u64);
    report.files_written += 1;
    report.chunks_written += rows.len() as u64;
    let live_chunks = rows.len();
    let mut rows = rows.into_iter().peekable();
    for (stream, heads) in streams {
        let mut state = stream.lock();
        while let Some(row) = rows.next_if(|row| row.stream == stream.id) {
            state.through = state.through.max(row.place.through);
            Arc::make_mut(&mut state.chunks).push(ChunkRef { file: Arc::clone(&file), place: row.place });
        }
        let gone: Vec<FrozenHead> = state.frozen.drain(..heads).collect();
        drop(state);
        for FrozenHead { head, .. } in gone {
            tally.head_bytes.subtract(head.memory_bytes() as u64);
            tally.head_entries.subtract(head.len() as u64);
        }
    }
    maintenance.files.insert(file.id, LiveFile { file, live_chunks });
    Ok(())
}

/// Drops the WAL segments of which every record is in a chunk.
fn drop_wal(engine: &Engine) -> Result<(), MaintainError> {
    // First the checkpoint, then the heads: a push in between belongs to this checkpoint or a later one.
    let checkpoint = engine.gate.read().unwrap_or_else(PoisonError::into_inner).segment;
    let heads = engine.tenants.all().into_iter().flat_map(|tenant| tenant.streams());
    let oldest = heads.filter_map(|stream| stream.lock().oldest_segment()).min();
    let keep = oldest.map_or(checkpoint, |oldest| oldest.min(checkpoint));
    engine.wal.drop_before(keep)?;
    Ok(())
}
