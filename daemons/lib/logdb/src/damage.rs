//! What queries find damaged: each place is logged and counted once per run, and told to every view that skips it.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_disk::header::HeaderError;

use crate::chunk_file::{ChunkFileError, OpenFiles};
use crate::counters::Tally;

/// Damaged places that are remembered as logged; with more, some are logged again.
const MAX_KNOWN: usize = 10_000;
/// Texts of one view; more are only counted.
const MAX_TEXTS: usize = 20;

/// The damaged places of a store.
#[derive(Debug, Default)]
pub(crate) struct KnownDamage {
    places: Mutex<HashSet<(PathBuf, u64)>>,
}

/// What reading chunks needs; one for each view.
#[derive(Clone, Debug)]
pub(crate) struct ReadContext {
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) known: Arc<KnownDamage>,
    texts: Arc<Mutex<Vec<String>>>,
}

impl ReadContext {
    pub(crate) fn new(files: Arc<OpenFiles>, tally: Arc<Tally>, known: Arc<KnownDamage>) -> Self {
        Self { files, tally, known, texts: Arc::default() }
    }

    /// Decides what an error costs. Damage and missing files cost the part concerned: it is reported and `Ok` says
    /// to go on without it. Everything else (too many open files, an I/O error) ends the query.
    pub(crate) fn tolerate(&self, error: ChunkFileError) -> Result<(), ChunkFileError> {
        let place = match &error {
            ChunkFileError::Damaged { path, offset, .. } => (path.clone(), *offset),
            ChunkFileError::Header(
                HeaderError::Magic { path, .. }
                | HeaderError::Version { path, .. }
                | HeaderError::Checksum { path },
            ) => (path.clone(), 0),
            ChunkFileError::Io { path, source }
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) =>
            {
                (path.clone(), 0)
            }
            ChunkFileError::Io { .. } => return Err(error),
        };
        let mut known = self.known.places.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        if known.insert(place.clone()) {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(path = %place.0.display(), offset = place.1, error = %error, cause, "skipped a damaged part of a chunk file");
            self.tally.chunks_damaged.add(1);
        }
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < MAX_TEXTS {
            texts.push(error.to_string());
        }
        Ok(())
    }

    /// What was skipped through this context.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        texts.sort();
        texts.dedup();
        texts
    }
}
