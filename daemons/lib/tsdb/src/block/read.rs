//! Reading a block. Damage in a part costs that part: it is noted and left out; only input and output errors fail a query.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::header::HeaderError;
use cairn_disk::record_file::{RecordFileError, open_record_file, read_record_at};
use cairn_disk::{CheckedError, Fs, FsFile, read_checked_versioned};
use roaring::RoaringBitmap;

use super::index::{self, Contents, Place, SeriesEntry};
use super::{
    BlockMeta, CHUNKS_FILE, CHUNKS_FORMAT, ChunkPlace, INDEX_FILE, INDEX_FORMAT, META_FILE, META_FORMAT,
};
use crate::chunk::{Chunk, Encoding};
use crate::codec::Malformed;
use crate::damage::DamageLog;
use crate::postings::{LabelIndex, Postings};

/// Why a block, or a part of it, could not be read. The files are left as they are.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The description is unreadable.
    #[error(transparent)]
    Meta(#[from] CheckedError),
    /// A file is unreadable.
    #[error(transparent)]
    File(#[from] RecordFileError),
    /// A checksum holds, but the content makes no sense.
    #[error("{path}: {source} at byte {offset}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// What was wrong.
        source: Malformed,
    },
    /// A file is not as long as the description says.
    #[error("{path}: {found} bytes, the block's description says {expected}")]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that are there.
        found: u64,
        /// Bytes that should be.
        expected: u64,
    },
}

impl BlockError {
    /// Whether a newer build wrote it.
    pub(crate) fn is_newer_version(&self) -> bool {
        matches!(
            self,
            Self::Meta(CheckedError::Header(HeaderError::Version { .. }))
                | Self::File(RecordFileError::Header(HeaderError::Version { .. }))
        )
    }

    /// Whether the system failed, rather than the bytes being wrong. A missing file is wrong bytes: it will not come
    /// back by asking again.
    pub(crate) fn is_io(&self) -> bool {
        match self {
            Self::Meta(CheckedError::Io { source, .. }) | Self::File(RecordFileError::Io { source, .. }) => {
                !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        }
    }
}

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) meta: BlockMeta,
    index_path: PathBuf,
    chunks_path: PathBuf,
    index: Box<dyn FsFile>,
    chunks: Box<dyn FsFile>,
    contents: Contents,
    damage: Arc<DamageLog>,
}

impl Block {
    /// Opens a block and checks its description, the lengths of its files and its table of contents.
    pub(crate) fn open(fs: &dyn Fs, dir: &Path, damage: Arc<DamageLog>) -> Result<Self, BlockError> {
        let meta_path = dir.join(META_FILE);
        let (version, body) = read_checked_versioned(fs, &meta_path, META_FORMAT)?;
        let meta = BlockMeta::decode(version, &body).map_err(|source| BlockError::Malformed {
            path: meta_path,
            offset: 0,
            source,
        })?;
        let (index_path, chunks_path) = (dir.join(INDEX_FILE), dir.join(CHUNKS_FILE));
        // The first version is the only one so far. A second one of `index` has to be kept for whoever reads it; in
        // `chunks` each record begins with its encoding.
        let (index, _) = open_record_file(fs, &index_path, INDEX_FORMAT)?;
        let (chunks, _) = open_record_file(fs, &chunks_path, CHUNKS_FORMAT)?;
        for (path, file, expected) in
            [(&index_path, &index, meta.index_bytes), (&chunks_path, &chunks, meta.chunks_bytes)]
        {
            let found = file.len().map_err(|source| RecordFileError::Io { path: path.clone(), source })?;
            if found != expected {
                return Err(BlockError::Length { path: path.clone(), found, expected });
            }
        }
        let record = read_record_at(&*index, &index_path, meta.toc_offset, meta.toc_len)?;
        let contents = Contents::from_record(&record).map_err(|source| BlockError::Malformed {
            path: index_path.clone(),
            offset: meta.toc_offset,
            source,
        })?;
        Ok(Self { meta, index_path, chunks_path, index, chunks, contents, damage })
    }

    /// Whether samples may lie in `start..=end`.
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        self.meta.min_time_ms <= end && self.meta.max_time_ms > start
    }

    /// Hands over the series of a set, ascending by number and so by labels. Those of a damaged batch are left out.
    pub(crate) fn visit_series<E: From<BlockError>>(
        &self,
        wanted: &RoaringBitmap,
        mut visit: impl FnMut(SeriesEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        for (position, &(first, place)) in self.contents.series.iter().enumerate() {
            let next_first = match self.contents.series.get(position + 1) {
                Some(&(next_first, _)) => next_first,
                None => u32::try_from(self.meta.n_series).unwrap_or(u32::MAX),
            };
            if first >= next_first || wanted.range_cardinality(first..next_first) == 0 {
                continue;
            }
            let read = self.index_record(place).and_then(|record| {
                index::read_series(&record).map_err(|source| self.malformed_index(place, source))
            });
            let Some(entries) = self.note(read)? else { continue };
            for (id, entry) in (first..next_first).zip(entries) {
                if wanted.contains(id) {
                    visit(entry)?;
                }
            }
        }
        Ok(())
    }

    /// Series one after the other, a batch in memory at a time; for compaction, which stops at any damage.
    pub(crate) fn all_series(&self) -> impl Iterator<Item = Result<SeriesEntry, BlockError>> + '_ {
        self.contents.series.iter().flat_map(move |&(_, place)| {
            let read = self.index_record(place).and_then(|record| {
                index::read_series(&record).map_err(|source| self.malformed_index(place, source))
            });
            match read {
                Ok(entries) => entries.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            }
        })
    }

    /// One chunk's samples, or `None` when they are damaged.
    pub(crate) fn chunk(&self, place: &ChunkPlace) -> Result<Option<Chunk>, BlockError> {
        self.note(self.checked_chunk(place))
    }

    /// One chunk's samples; damage is an error.
    pub(crate) fn checked_chunk(&self, place: &ChunkPlace) -> Result<Chunk, BlockError> {
        let malformed =
            |source| BlockError::Malformed { path: self.chunks_path.clone(), offset: place.offset, source };
        let mut record = read_record_at(&*self.chunks, &self.chunks_path, place.offset, place.len as usize)?;
        // A record without a byte has no encoding, and 0 is none.
        let encoding = Encoding::from_number(record.first().copied().unwrap_or(0)).map_err(malformed)?;
        record.remove(0);
        Ok(Chunk {
            min_time: place.min_time,
            max_time: place.max_time,
            n_samples: place.n_samples,
            encoding,
            data: record.into(),
        })
    }

    /// Notes that a chunk whose checksum holds could not be decoded.
    pub(crate) fn note_undecodable(&self, place: &ChunkPlace, source: Malformed) {
        let path = self.chunks_path.clone();
        self.damage.note(&BlockError::Malformed { path, offset: place.offset, source }, place.offset);
    }

    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        self.contents.labels.iter().map(|(name, _)| name.as_str())
    }

    /// Hands over the values of a label, ascending, each with its series. Answers false when some of them are damaged and
    /// missing.
    pub(crate) fn visit_values(
        &self,
        name: &str,
        visit: &mut dyn FnMut(&str, Postings),
    ) -> Result<bool, BlockError> {
        let mut is_whole = true;
        for (_, place) in self.value_batches(name) {
            is_whole &= self.visit_batch(*place, &mut |value, postings| {
                visit(value, postings);
                true
            })?;
        }
        Ok(is_whole)
    }

    fn value_batches(&self, name: &str) -> &[(String, Place)] {
        match self.contents.labels.binary_search_by(|(other, _)| other.as_str().cmp(name)) {
            Ok(at) => &self.contents.labels[at].1,
            Err(_) => &[],
        }
    }

    fn visit_batch(
        &self,
        place: Place,
        visit: &mut dyn FnMut(&str, Postings) -> bool,
    ) -> Result<bool, BlockError> {
        let read = self.index_record(place).and_then(|record| {
            index::read_values(&record, self.meta.n_series, visit)
                .map_err(|source| self.malformed_index(place, source))
        });
        Ok(self.note(read)?.is_some())
    }

    fn index_record(&self, place: Place) -> Result<Vec<u8>, BlockError> {
        Ok(read_record_at(&*self.index, &self.index_path, place.offset, place.len)?)
    }

    fn malformed_index(&self, place: Place, source: Malformed) -> BlockError {
        BlockError::Malformed { path: self.index_path.clone(), offset: place.offset, source }
    }

    /// Turns damage into a note and `None`; leaves input and output errors as they are.
    fn note<T>(&self, read: Result<T, BlockError>) -> Result<Option<T>, BlockError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_io() => Err(error),
            Err(error) => {
                let offset = match &error {
                    BlockError::Malformed { offset, .. }
                    | BlockError::File(RecordFileError::Checksum { offset, .. }) => *offset,
                    _ => 0,
                };
                self.damage.note(&error, offset);
                Ok(None)
            }
        }
    }
}

impl LabelIndex for Block {
    type Error = BlockError;

    fn all(&self) -> Result<RoaringBitmap, BlockError> {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..u32::try_from(self.meta.n_series).unwrap_or(u32::MAX));
        Ok(all)
    }

    fn pair(&self, name: &str, value: &str) -> Result<Option<RoaringBitmap>, BlockError> {
        let mut found = RoaringBitmap::new();
        let batches = self.value_batches(name);
        // The last batch that does not start after the value.
        let Some(at) = batches.partition_point(|(first, _)| first.as_str() <= value).checked_sub(1) else {
            return Ok(Some(found));
        };
        let is_whole = self.visit_batch(batches[at].1, &mut |other, postings| {
            if other == value {
                postings.add_to(&mut found);
            }
            other < value
        })?;
        Ok(is_whole.then_some(found))
    }

    fn pairs_where(
        &self,
        name: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<RoaringBitmap>, BlockError> {
        let mut found = RoaringBitmap::new();
        let is_whole = self.visit_values(name, &mut |value, postings| {
            if keep(value) {
                postings.add_to(&mut found);
            }
        })?;
        Ok(is_whole.then_some(found))
    }
}
