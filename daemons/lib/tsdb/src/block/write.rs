//! Writing a block: series in ascending order in, a directory that is there whole or not at all out.
//!
//! What is written goes to the disk page by page; what stays in memory until the end are the postings, the places of pages
//! and batches, and a hash for each different column of times.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::checked::temporary_name;
use cairn_disk::record_file::RecordFileWriter;
use cairn_disk::{Format, Fs, write_atomically};
use cairn_model::{Labels, LabelsBuilder};
use cairn_promql::source::SeriesData;

use super::index::{Contents, Place, ValuesBatch};
use super::pages::{PageWriter, TAG_CHUNKS};
use super::postings_writer::PostingsWriter;
use super::series_batch::SeriesBatch;
use super::times::{Files, TimesWriter};
use super::{
    BlockId, BlockMeta, CHUNKS_FILE, ChunkAt, ChunkPlace, INDEX_FILE, INDEX_FORMAT, META_FILE, META_FORMAT,
};
use crate::chunk::column::{FloatEncoder, IntEncoder};
use crate::chunk::{self, Chunk, ENCODING_COLUMNS};
use crate::codec::Malformed;

/// Kind and version of the file `chunks`.
pub const CHUNKS_FORMAT: Format = Format::new(*b"CAIRNMCK", 2);

/// No chunk of columns has more samples. A longer one packs a little better, and takes longer to decode for a few samples: these
/// take some microseconds.
pub const MAX_COLUMN_SAMPLES: usize = 2048;

/// What a block covers and where it comes from, as [`BlockMeta`] says it.
#[derive(Debug)]
pub(crate) struct BlockOrigin {
    pub(crate) min_time_ms: i64,
    pub(crate) max_time_ms: i64,
    pub(crate) level: u32,
    pub(crate) sources: Vec<BlockId>,
    pub(crate) parents: Vec<BlockId>,
    pub(crate) order: u64,
    pub(crate) wal_until: Option<u64>,
    pub(crate) n_tombstones: u64,
}

/// Writes one block under a temporary name; [`finish`](Self::finish) makes it durable and gives it its own.
#[derive(Debug)]
pub(crate) struct BlockWriter {
    fs: Arc<dyn Fs>,
    /// The directory of all blocks.
    dir: PathBuf,
    temporary: PathBuf,
    id: BlockId,
    files: Files,
    page: PageWriter,
    times: TimesWriter,
    float_encoder: FloatEncoder,
    int_encoder: IntEncoder,
    batch: SeriesBatch,
    first_of_batch: u32,
    contents: Contents,
    postings: PostingsWriter,
    n_series: u32,
    n_chunks: u64,
    n_samples: u64,
    n_histogram_samples: u64,
    last_labels: Option<Labels>,
    scratch: Vec<u8>,
    /// Memory for the samples of a series, kept for the next one.
    decoded: Option<SeriesData>,
}

impl BlockWriter {
    pub(crate) fn create(fs: &Arc<dyn Fs>, dir: &Path, id: BlockId) -> io::Result<Self> {
        let temporary = temporary_name(&dir.join(id.to_string()));
        if fs.exists(&temporary) {
            fs.remove_dir_all(&temporary)?;
        }
        fs.create_dir_all(&temporary)?;
        Ok(Self {
            files: Files {
                chunks: RecordFileWriter::create(&**fs, &temporary.join(CHUNKS_FILE), CHUNKS_FORMAT)?,
                index: RecordFileWriter::create(&**fs, &temporary.join(INDEX_FILE), INDEX_FORMAT)?,
            },
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            temporary,
            id,
            page: PageWriter::default(),
            times: TimesWriter::default(),
            float_encoder: FloatEncoder::default(),
            int_encoder: IntEncoder::default(),
            batch: SeriesBatch::default(),
            first_of_batch: 0,
            contents: Contents::default(),
            postings: PostingsWriter::default(),
            n_series: 0,
            n_chunks: 0,
            n_samples: 0,
            n_histogram_samples: 0,
            last_labels: None,
            scratch: Vec::new(),
            decoded: None,
        })
    }

    /// Adds a series; they come in ascending order of their labels, its chunks in ascending order of time.
    ///
    /// # Errors
    /// What the system says. [`io::ErrorKind::InvalidData`] with a [`Malformed`] inside: a chunk cannot be decoded.
    pub(crate) fn add<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        chunks: &[Chunk],
    ) -> io::Result<()> {
        let mut samples = self.decoded.take().unwrap_or_default();
        samples.times.clear();
        samples.values.clear();
        samples.starts.clear();
        samples.histograms.clear();
        for chunk in chunks {
            chunk
                .decode_range(i64::MIN, i64::MAX, &mut samples)
                .map_err(|source: Malformed| io::Error::new(io::ErrorKind::InvalidData, source))?;
        }
        let added = self.add_samples(labels, &samples);
        self.decoded = Some(samples);
        added
    }

    /// Adds a series with its samples; series come in ascending order of their labels, samples in that of their times.
    /// The labels of `samples` are not looked at.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn add_samples<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        samples: &SeriesData,
    ) -> io::Result<()> {
        self.check_order(labels.clone());
        let mut places = Vec::new();
        let n = samples.times.len();
        // Chunks of about the same size, rather than full ones and a rest.
        let n_chunks = n.div_ceil(MAX_COLUMN_SAMPLES);
        for index in 0..n_chunks {
            let range = index * n / n_chunks..(index + 1) * n / n_chunks;
            let starts = samples.starts.get(range.clone()).unwrap_or(&[]);
            places.push(self.add_columns(&samples.times[range.clone()], &samples.values[range], starts)?);
        }
        if !samples.histograms.is_empty() {
            let histograms = SeriesData { histograms: samples.histograms.clone(), ..SeriesData::default() };
            for chunk in chunk::encode(&histograms) {
                self.n_histogram_samples += u64::from(chunk.n_samples);
                places.push(self.add_chunk(&chunk)?);
            }
            places.sort_by_key(|place| place.min_time);
        }
        self.n_samples += (n + samples.histograms.len()) as u64;
        self.n_chunks += places.len() as u64;
        let is_same = self.postings.add(self.n_series, labels.clone());
        self.batch.push(labels.zip(is_same.iter().copied()), &places);
        self.n_series = self.n_series.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        if self.batch.is_full() { self.flush_batch() } else { Ok(()) }
    }

    /// In builds for development: the caller keeps the order.
    fn check_order<'l>(&mut self, labels: impl Iterator<Item = (&'l str, &'l str)>) {
        if cfg!(debug_assertions) {
            let mut builder = LabelsBuilder::new();
            for (name, value) in labels {
                builder.set(name, value);
            }
            let labels = builder.build();
            assert!(self.last_labels.as_ref().is_none_or(|last| *last < labels), "series ascend");
            self.last_labels = Some(labels);
        }
    }

    fn add_columns(&mut self, times: &[i64], values: &[f64], starts: &[i64]) -> io::Result<ChunkPlace> {
        let id = self.times.id(times, &mut self.files)?;
        self.scratch.clear();
        self.scratch.push(ENCODING_COLUMNS);
        self.float_encoder.encode(values, &mut self.scratch);
        if starts.iter().any(|&start| start != 0) {
            self.int_encoder.encode(starts, true, &mut self.scratch);
        }
        let (&min_time, &max_time) = times.first().zip(times.last()).ok_or(io::ErrorKind::InvalidInput)?;
        self.add_piece(min_time, max_time, times.len(), Some(id))
    }

    /// Adds a chunk as it is.
    fn add_chunk(&mut self, chunk: &Chunk) -> io::Result<ChunkPlace> {
        let &Chunk { min_time, max_time, n_samples, encoding, ref data } = chunk;
        self.scratch.clear();
        self.scratch.push(encoding.number());
        self.scratch.extend_from_slice(data);
        self.add_piece(min_time, max_time, usize::from(n_samples), None)
    }

    /// Puts what is in `scratch` into the page.
    fn add_piece(
        &mut self,
        min_time: i64,
        max_time: i64,
        n_samples: usize,
        times: Option<u32>,
    ) -> io::Result<ChunkPlace> {
        let page = u32::try_from(self.contents.pages.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let slot = self.page.push(&self.scratch);
        if self.page.is_full() {
            self.flush_page()?;
        }
        let n_samples = u16::try_from(n_samples).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(ChunkPlace { min_time, max_time, n_samples, at: ChunkAt::Page { page, slot, times } })
    }

    fn flush_page(&mut self) -> io::Result<()> {
        if !self.page.is_empty() {
            let record = self.page.take_record(TAG_CHUNKS);
            self.contents.pages.push(Place { offset: self.files.chunks.push(&record)?, len: record.len() });
        }
        Ok(())
    }

    /// Whether no series was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.n_series == 0
    }

    fn flush_batch(&mut self) -> io::Result<()> {
        if !self.batch.is_empty() {
            let record = self.batch.take_record()?;
            let place = self.push_index(&record)?;
            self.contents.series.push((self.first_of_batch, place));
            self.first_of_batch = self.n_series;
        }
        Ok(())
    }

    fn push_index(&mut self, record: &[u8]) -> io::Result<Place> {
        Ok(Place { offset: self.files.index.push(record)?, len: record.len() })
    }

    /// Writes the index, syncs everything, and renames the directory.
    pub(crate) fn finish(mut self, origin: BlockOrigin) -> io::Result<BlockMeta> {
        self.flush_page()?;
        self.times.flush(&mut self.files)?;
        self.contents.times = std::mem::take(&mut self.times.pages);
        self.flush_batch()?;
        for (name, values) in std::mem::take(&mut self.postings).finish(self.n_series) {
            let mut batches = Vec::new();
            let mut open: Option<ValuesBatch> = None;
            for (value, postings) in values {
                let batch = open.get_or_insert_with(|| ValuesBatch::new(&value));
                batch.push(&value, &postings);
                if let Some(full) = open.take_if(|batch| batch.is_full()) {
                    batches.push(self.push_values(full)?);
                }
            }
            if let Some(last) = open {
                batches.push(self.push_values(last)?);
            }
            self.contents.labels.push((name.into(), batches));
        }
        let record = self.contents.to_record()?;
        let toc = self.push_index(&record)?;
        let BlockOrigin { min_time_ms, max_time_ms, level, sources, parents, order, wal_until, n_tombstones } =
            origin;
        let meta = BlockMeta {
            id: self.id,
            min_time_ms,
            max_time_ms,
            level,
            sources,
            parents,
            order,
            wal_until,
            n_series: u64::from(self.n_series),
            n_chunks: self.n_chunks,
            n_samples: self.n_samples,
            n_histogram_samples: self.n_histogram_samples,
            n_tombstones,
            chunks_bytes: self.files.chunks.finish()?,
            index_bytes: self.files.index.finish()?,
            toc_offset: toc.offset,
            toc_len: toc.len,
        };
        // Syncs the directory too, so the names of all three files are durable before the directory gets its own.
        write_atomically(&*self.fs, &self.temporary.join(META_FILE), META_FORMAT, &meta.encode())?;
        self.fs.rename(&self.temporary, &self.dir.join(self.id.to_string()))?;
        self.fs.sync_dir(&self.dir)?;
        Ok(meta)
    }

    fn push_values(&mut self, batch: ValuesBatch) -> io::Result<(String, Place)> {
        let first_value = batch.first_value.clone();
        let record = batch.into_record()?;
        Ok((first_value, self.push_index(&record)?))
    }
}
