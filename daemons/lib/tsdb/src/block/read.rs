//! Reading a block. Damage in a part costs that part: it is noted and left out; only input and output errors fail a query.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cairn_disk::header::HeaderError;
use cairn_disk::record_file::{RecordFileError, open_record_file, read_record_at};
use cairn_disk::{CheckedError, Fs, FsFile, read_checked_versioned};
use cairn_promql::source::SeriesData;
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::index::{self, Contents, Place, Wanted};
use super::{
    BlockMeta, CHUNKS_FILE, CHUNKS_FORMAT, INDEX_FILE, INDEX_FORMAT, META_FILE, META_FORMAT, SampleReader,
    SeriesEntry, TimeColumns, Tombstones, index_v1, series_batch,
};
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

/// A batch of series in the index.
struct SeriesRange {
    numbers: Range<u32>,
    place: Place,
}

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) meta: BlockMeta,
    /// Why its deletions are not known: what was deleted is answered again.
    pub(crate) lost_tombstones: Option<BlockError>,
    pub(super) index_path: PathBuf,
    pub(super) chunks_path: PathBuf,
    pub(super) index: Box<dyn FsFile>,
    index_version: u16,
    pub(super) chunks: Box<dyn FsFile>,
    pub(super) contents: Contents,
    /// Replaced as a whole by a deletion; whoever reads keeps what was true when it began.
    tombstones: RwLock<Arc<Tombstones>>,
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
        let (index, index_version) = open_record_file(fs, &index_path, INDEX_FORMAT)?;
        // A chunk's place in the index says how it is stored, so the version of `chunks` follows from that of `index`.
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
        let contents = Contents::from_record(index_version, &record).map_err(|source| {
            BlockError::Malformed { path: index_path.clone(), offset: meta.toc_offset, source }
        })?;
        let (tombstones, lost_tombstones) = match Tombstones::read(fs, dir) {
            Ok(tombstones) => (tombstones, None),
            Err(error) if error.is_io() || error.is_newer_version() => return Err(error),
            Err(error) => (Tombstones::default(), Some(error)),
        };
        let tombstones = RwLock::new(Arc::new(tombstones));
        Ok(Self {
            meta,
            lost_tombstones,
            index_path,
            chunks_path,
            index,
            index_version,
            chunks,
            contents,
            tombstones,
            damage,
        })
    }

    /// What was deleted from it.
    pub(crate) fn tombstones(&self) -> Arc<Tombstones> {
        Arc::clone(&self.tombstones.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on readers see these deletions, which the caller has made durable.
    pub(crate) fn set_tombstones(&self, tombstones: Tombstones) {
        *self.tombstones.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tombstones);
    }

    /// The description, with the deletions that came after it was written.
    pub(crate) fn described(&self) -> BlockMeta {
        BlockMeta { n_tombstones: self.tombstones().n_intervals(), ..self.meta.clone() }
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
        for batch in self.batches_with(wanted) {
            for entry in self.read_wanted(&batch, wanted)? {
                visit(entry)?;
            }
        }
        Ok(())
    }

    /// What `map` makes of the series of a set, as [`visit_series`](Self::visit_series) hands them over; read on all cores.
    pub(crate) fn map_series<T: Send>(
        &self,
        wanted: &RoaringBitmap,
        map: impl Fn(SeriesEntry) -> Option<T> + Sync,
    ) -> Result<Vec<T>, BlockError> {
        let batches: Vec<SeriesRange> = self.batches_with(wanted).collect();
        let read = |batch: &SeriesRange| -> Result<Vec<T>, BlockError> {
            Ok(self.read_wanted(batch, wanted)?.into_iter().filter_map(&map).collect())
        };
        if let [only] = &batches[..] {
            return read(only);
        }
        let read: Vec<Vec<T>> = batches.par_iter().map(read).collect::<Result<_, BlockError>>()?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Hands over the values that a label has among the series of a set; one may come more than once.
    pub(crate) fn visit_values_of(
        &self,
        name: &str,
        wanted: &RoaringBitmap,
        mut visit: impl FnMut(&str),
    ) -> Result<(), BlockError> {
        for SeriesRange { numbers, place } in self.batches_with(wanted) {
            let first = numbers.start;
            let wanted = wanted.range(numbers);
            let read = if self.index_version == 1 {
                self.read_batch(first, place, wanted).map(|entries| {
                    entries.iter().filter_map(|entry| entry.labels.get(name)).for_each(&mut visit);
                })
            } else {
                self.index_record(place).and_then(|record| {
                    series_batch::read_values_of(name, first, &record, wanted, &mut visit)
                        .map_err(|source| self.malformed_index(place, source))
                })
            };
            self.note(read)?;
        }
        Ok(())
    }

    /// How many batches have series of the set.
    pub(crate) fn n_batches_with(&self, wanted: &RoaringBitmap) -> usize {
        self.batches_with(wanted).count()
    }

    /// Batches that have series of the set.
    fn batches_with(&self, wanted: &RoaringBitmap) -> impl Iterator<Item = SeriesRange> {
        let all = &self.contents.series;
        let n_series = u32::try_from(self.meta.n_series).unwrap_or(u32::MAX);
        let ranges = all.iter().enumerate().map(move |(position, &(first, place))| {
            let end = all.get(position + 1).map_or(n_series, |&(next_first, _)| next_first);
            SeriesRange { numbers: first..end, place }
        });
        ranges
            .filter(|range| !range.numbers.is_empty() && wanted.range_cardinality(range.numbers.clone()) > 0)
    }

    /// The series of a batch that are in the set; none when it is damaged, which is noted.
    fn read_wanted(
        &self,
        batch: &SeriesRange,
        wanted: &RoaringBitmap,
    ) -> Result<Vec<SeriesEntry>, BlockError> {
        let SeriesRange { numbers, place } = batch;
        let read = self.read_batch(numbers.start, *place, wanted.range(numbers.clone()));
        Ok(self.note(read)?.unwrap_or_default())
    }

    /// Series one after the other, a batch in memory at a time; for compaction, which stops at any damage.
    pub(crate) fn all_series(&self) -> impl Iterator<Item = Result<SeriesEntry, BlockError>> + '_ {
        self.contents.series.iter().flat_map(move |&(first, place)| {
            match self.read_batch(first, place, first..) {
                Ok(entries) => entries.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            }
        })
    }

    /// The series of a batch that are wanted, by ascending numbers; the first one's number is `first`.
    fn read_batch(
        &self,
        first: u32,
        place: Place,
        wanted: impl Iterator<Item = u32>,
    ) -> Result<Vec<SeriesEntry>, BlockError> {
        let record = self.index_record(place)?;
        let malformed = |source| self.malformed_index(place, source);
        if self.index_version == 1 {
            let mut entries = index_v1::read_series(first, &record).map_err(malformed)?;
            let mut wanted = wanted.peekable();
            entries.retain(|entry| wanted.next_if_eq(&entry.number).is_some());
            return Ok(entries);
        }
        let mut entries = Vec::new();
        series_batch::read_series(first, &record, wanted, |entry| entries.push(entry)).map_err(malformed)?;
        Ok(entries)
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// The first series or chunk that cannot be read.
    pub(crate) fn check(&self) -> Result<(), BlockError> {
        let mut samples = self.samples();
        for entry in self.all_series() {
            let mut read = SeriesData::default();
            for place in &entry?.chunks {
                samples.read_checked(place, i64::MIN, i64::MAX, &mut read)?;
            }
        }
        Ok(())
    }

    /// Reads samples of this block.
    pub(crate) fn samples(&self) -> SampleReader<'_> {
        self.samples_with(Arc::default())
    }

    /// Reads samples of this block, with time columns that others have decoded, too.
    pub(crate) fn samples_with(&self, times: Arc<TimeColumns>) -> SampleReader<'_> {
        SampleReader::new(self, times)
    }

    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        self.contents.labels.iter().map(|(name, _)| name.as_str())
    }

    /// Hands over the values of a label that begin with `prefix` and that `is_wanted`, ascending, each with its series.
    /// Answers false when some of them are damaged and missing.
    pub(crate) fn visit_values(
        &self,
        name: &str,
        prefix: &str,
        is_wanted: &mut dyn FnMut(&str) -> bool,
        visit: &mut dyn FnMut(&str, Postings),
    ) -> Result<bool, BlockError> {
        let batches = self.value_batches(name);
        let mut is_whole = true;
        // From the last batch that does not start after the prefix on.
        let first = batches.partition_point(|(first, _)| first.as_str() <= prefix).saturating_sub(1);
        for (first_value, place) in &batches[first..] {
            if first_value.as_str() > prefix && !first_value.starts_with(prefix) {
                break;
            }
            let mut wanted = |value: &str| match () {
                () if value.starts_with(prefix) && is_wanted(value) => Wanted::Yes,
                () if value > prefix && !value.starts_with(prefix) => Wanted::End,
                () => Wanted::No,
            };
            is_whole &= self.visit_batch(*place, &mut wanted, visit)?;
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
        is_wanted: &mut dyn FnMut(&str) -> Wanted,
        visit: &mut dyn FnMut(&str, Postings),
    ) -> Result<bool, BlockError> {
        let read = self.index_record(place).and_then(|record| {
            index::read_values(self.index_version, &record, self.meta.n_series, is_wanted, visit)
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

    pub(super) fn malformed_chunks(&self, offset: u64, source: Malformed) -> BlockError {
        BlockError::Malformed { path: self.chunks_path.clone(), offset, source }
    }

    /// Notes damage of which there was a copy.
    pub(super) fn note_healed(&self, error: &BlockError, offset: u64) {
        self.damage.note_healed(error, offset);
    }

    /// Turns damage into a note and `None`; leaves input and output errors as they are.
    pub(super) fn note<T>(&self, read: Result<T, BlockError>) -> Result<Option<T>, BlockError> {
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
        let is_whole = self.visit_batch(batches[at].1, &mut index::only(value), &mut |_, postings| {
            postings.add_to(&mut found)
        })?;
        Ok(is_whole.then_some(found))
    }

    fn pairs_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<RoaringBitmap>, BlockError> {
        let mut found = RoaringBitmap::new();
        let is_whole =
            self.visit_values(name, prefix, keep, &mut |_, postings| postings.add_to(&mut found))?;
        Ok(is_whole.then_some(found))
    }
}
