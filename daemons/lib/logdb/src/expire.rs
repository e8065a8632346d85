//! Retention at work: chunks whose newest entry is too old leave the catalogue, files without chunks leave the disk,
//! streams without anything leave memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use cairn_model::TimeNs;

use crate::engine::{Engine, Maintenance};
use crate::error::MaintainError;
use crate::stats::MaintainReport;
use crate::stream::Stream;

/// Takes out every chunk whose last entry is older than its stream's retention. A chunk goes as a whole: entries
/// stay at most one chunk's span longer than asked. A file is rewritten never; it goes with its last chunk.
pub(crate) fn expire(
    engine: &Engine,
    maintenance: &mut Maintenance,
    now: TimeNs,
    report: &mut MaintainReport,
) -> Result<(), MaintainError> {
    let mut expired: Vec<(Arc<Stream>, i64)> = Vec::new();
    let mut rows: Vec<(u64, u64)> = Vec::new();
    let mut per_file: HashMap<u64, usize> = HashMap::new();
    {
        let retention = engine.retention.read().unwrap_or_else(PoisonError::into_inner);
        for tenant in engine.tenants.all() {
            for stream in tenant.streams() {
                let Some(period) = retention.period_of(&tenant.name, &stream.labels) else { continue };
                let cutoff = now.0.saturating_sub(i64::try_from(period.as_nanos()).unwrap_or(i64::MAX));
                let rows_before = rows.len();
                for chunk in stream.lock().chunks.iter().filter(|chunk| chunk.place.max_time < cutoff) {
                    rows.push((chunk.file.id, chunk.place.offset));
                    *per_file.entry(chunk.file.id).or_default() += 1;
                }
                if rows.len() > rows_before {
                    expired.push((stream, cutoff));
                }
            }
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let is_condemned = |(id, gone): (&u64, &usize)| {
        maintenance.files.get(id).is_some_and(|file| file.live_chunks <= *gone).then_some(*id)
    };
    let condemned: Vec<u64> = per_file.iter().filter_map(is_condemned).collect();
    engine.catalogue.expire(&rows, &condemned)?;
    for (stream, cutoff) in expired {
        let mut state = stream.lock();
        Arc::make_mut(&mut state.chunks).retain(|chunk| {
            let stays = chunk.place.max_time >= cutoff;
            if !stays {
                engine.tally.chunks.subtract(1);
                engine.tally.chunk_bytes.subtract(u64::from(chunk.place.bytes));
            }
            stays
        });
    }
    for (id, gone) in per_file {
        if let Some(file) = maintenance.files.get_mut(&id) {
            file.live_chunks = file.live_chunks.saturating_sub(gone);
        }
    }
    for id in condemned {
        maintenance.condemned.extend(maintenance.files.remove(&id).map(|live| live.file));
    }
    engine.tally.chunks_expired.add(rows.len() as u64);
    report.chunks_expired += rows.len() as u64;
    Ok(())
}

/// Removes condemned files that no query reads any more.
pub(crate) fn remove_condemned(
    engine: &Engine,
    maintenance: &mut Maintenance,
    report: &mut MaintainReport,
) -> Result<(), MaintainError> {
    let mut removed = Vec::new();
    let mut failure = None;
    maintenance.condemned.retain(|file| {
        if failure.is_some() || Arc::strong_count(file) > 1 {
            return true;
        }
        engine.files.forget(file.id);
        match engine.fs.remove_file(&file.path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                failure = Some(MaintainError::Io { path: file.path.clone(), source });
                return true;
            }
        }
        removed.push(file.id);
        false
    });
    if !removed.is_empty() {
        report.files_removed += removed.len() as u64;
        let synced = engine.fs.sync_dir(&engine.chunk_dir);
        synced.map_err(|source| MaintainError::Io { path: engine.chunk_dir.clone(), source })?;
        // A row that outlives its file is noticed at the next start and goes then.
        engine.catalogue.forget_files(&removed)?;
    }
    failure.map_or(Ok(()), Err)
}

/// Forgets streams of which nothing is left: expired ones, and those of pushes that were refused.
pub(crate) fn forget_empty_streams(
    engine: &Engine,
    maintenance: &Maintenance,
    report: &mut MaintainReport,
) -> Result<(), MaintainError> {
    // Rows of a file that is still to be entered refer to streams that look empty to nobody: their heads are there.
    debug_assert!(maintenance.uncommitted.is_none(), "cutting has succeeded");
    let any_empty = engine
        .tenants
        .all()
        .iter()
        .any(|tenant| tenant.streams().iter().any(|stream| stream.lock().is_empty()));
    if !any_empty {
        return Ok(());
    }
    // Alone: a push that has just looked a stream up must not lose it.
    let _gate = engine.gate.write().unwrap_or_else(PoisonError::into_inner);
    let mut empty = Vec::new();
    for tenant in engine.tenants.all() {
        let streams = tenant.streams().into_iter().filter(|stream| stream.lock().is_empty());
        empty.extend(streams.map(|stream| (Arc::clone(&tenant), stream)));
    }
    let ids: Vec<u64> = empty.iter().map(|(_, stream)| stream.id).collect();
    engine.catalogue.forget_streams(&ids)?;
    for (tenant, stream) in &empty {
        tenant.remove(stream);
    }
    report.streams_removed += empty.len() as u64;
    Ok(())
}
