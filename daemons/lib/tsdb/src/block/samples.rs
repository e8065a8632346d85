//! Reading the samples of a block, series after series: pages and time columns that neighbours share are read once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use cairn_disk::record_file::read_record_at;
use cairn_promql::source::SeriesData;

use super::index::TimesPage;
use super::pages::{Page, TAG_CHUNKS, TAG_TIMES};
use super::read::{Block, BlockError};
use super::{ChunkAt, ChunkPlace};
use crate::chunk::column::FloatDecoder;
use crate::chunk::{Chunk, ENCODING_COLUMNS, Encoding};
use crate::codec::Malformed;

/// Decoded time columns are kept up to so many samples (2 MiB); beyond, all are forgotten.
const MAX_KEPT_TIMES: usize = 256 << 10;

const BAD: Malformed = Malformed("chunk");

/// Decoded time columns of one block, for all who read it for one purpose.
#[derive(Debug, Default)]
pub(crate) struct TimeColumns(RwLock<KeptTimes>);

#[derive(Debug, Default)]
struct KeptTimes {
    by_number: HashMap<u32, Arc<[i64]>>,
    n_times: usize,
}

impl TimeColumns {
    fn get(&self, id: u32) -> Option<Arc<[i64]>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_number.get(&id).cloned()
    }

    fn keep(&self, id: u32, times: Arc<[i64]>) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.n_times += times.len();
        if kept.n_times > MAX_KEPT_TIMES {
            kept.by_number.clear();
            kept.n_times = times.len();
        }
        kept.by_number.insert(id, times);
    }
}

/// Reads samples of one block. Cheap to make; to be used for many series, ascending.
#[derive(Debug)]
pub(crate) struct SampleReader<'a> {
    block: &'a Block,
    page: Option<(u32, Page)>,
    times_page: Option<(usize, Page)>,
    times: Arc<TimeColumns>,
    /// Memory for the times that are being decoded.
    decoded: Vec<i64>,
}

thread_local! {
    /// Its tables are larger than most of what it reads.
    static DECODER: RefCell<FloatDecoder> = RefCell::default();
}

impl<'a> SampleReader<'a> {
    pub(super) fn new(block: &'a Block, times: Arc<TimeColumns>) -> Self {
        Self { block, page: None, times_page: None, times, decoded: Vec::new() }
    }

    /// Appends the samples of a chunk in `start..=end`. Damage is noted and left out.
    ///
    /// # Errors
    /// [`BlockError`] when the system fails.
    pub(crate) fn read(
        &mut self,
        place: &ChunkPlace,
        start: i64,
        end: i64,
        into: &mut SeriesData,
    ) -> Result<(), BlockError> {
        let read = self.read_checked(place, start, end, into);
        self.block.note(read).map(|_| ())
    }

    /// As [`read`](Self::read), but damage is an error. Nothing of a damaged chunk is appended.
    ///
    /// # Errors
    /// [`BlockError`].
    pub(crate) fn read_checked(
        &mut self,
        place: &ChunkPlace,
        start: i64,
        end: i64,
        into: &mut SeriesData,
    ) -> Result<(), BlockError> {
        let (n_times, n_histograms) = (into.times.len(), into.histograms.len());
        let n_starts = into.starts.len();
        let read = self.append(place, start, end, into);
        if read.is_err() {
            into.times.truncate(n_times);
            into.values.truncate(n_times);
            into.starts.truncate(n_starts);
            into.histograms.truncate(n_histograms);
        }
        read
    }

    fn append(
        &mut self,
        place: &ChunkPlace,
        start: i64,
        end: i64,
        into: &mut SeriesData,
    ) -> Result<(), BlockError> {
        let block = self.block;
        let (page, slot, times) = match place.at {
            ChunkAt::Record { offset, len } => {
                let record = read_record_at(&*block.chunks, &block.chunks_path, offset, len as usize)?;
                return decode_piece(&record, place, start, end, into)
                    .map_err(|source| block.malformed_chunks(offset, source));
            }
            ChunkAt::Page { page, slot, times } => (page, slot, times),
        };
        let times = match times {
            Some(id) => Some(self.times(id, usize::from(place.n_samples))?),
            None => None,
        };
        let offset = self.load_page(page)?;
        let (_, page) = self.page.as_ref().expect("loaded above");
        let decoded = page.piece(slot).and_then(|piece| {
            let Some(times) = times else { return decode_piece(piece, place, start, end, into) };
            let from = times.partition_point(|time| *time < start);
            let until = times.partition_point(|time| *time <= end);
            let wanted = from..until.max(from);
            DECODER.with_borrow_mut(|decoder| {
                decode_columns(piece, times.len(), wanted.clone(), into, decoder)
            })?;
            into.times.extend_from_slice(&times[wanted]);
            Ok(())
        });
        decoded.map_err(|source| block.malformed_chunks(offset, source))
    }

    /// Appends values, and start timestamps if there are any, of a chunk whose [times](Self::times) lie elsewhere; those `wanted`.
    ///
    /// # Errors
    /// [`BlockError`]; what was appended is of no use then.
    pub(crate) fn read_values(
        &mut self,
        place: &ChunkPlace,
        wanted: Range<usize>,
        into: &mut SeriesData,
    ) -> Result<(), BlockError> {
        let block = self.block;
        let ChunkAt::Page { page, slot, .. } = place.at else {
            return Err(block.malformed_chunks(0, Malformed("kind of a chunk")));
        };
        let offset = self.load_page(page)?;
        let (_, page) = self.page.as_ref().expect("loaded above");
        let n = usize::from(place.n_samples);
        let decoded = page.piece(slot).and_then(|piece| {
            DECODER.with_borrow_mut(|decoder| decode_columns(piece, n, wanted, into, decoder))
        });
        decoded.map_err(|source| block.malformed_chunks(offset, source))
    }

    /// Makes a page the current one; answers where it lies.
    fn load_page(&mut self, number: u32) -> Result<u64, BlockError> {
        let block = self.block;
        let place = *block
            .contents
            .pages
            .get(number as usize)
            .ok_or_else(|| block.malformed_chunks(0, Malformed("number of a page")))?;
        if self.page.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            self.page = None;
            let record = read_record_at(&*block.chunks, &block.chunks_path, place.offset, place.len)?;
            let page = Page::parse(TAG_CHUNKS, record)
                .map_err(|source| block.malformed_chunks(place.offset, source))?;
            self.page = Some((number, page));
        }
        Ok(place.offset)
    }

    /// The column of times with this number, which has `n` of them.
    ///
    /// # Errors
    /// [`BlockError`]: that is not there, nor is its copy.
    pub(crate) fn times(&mut self, id: u32, n: usize) -> Result<Arc<[i64]>, BlockError> {
        if let Some(times) = self.times.get(id).filter(|times| times.len() == n) {
            return Ok(times);
        }
        let block = self.block;
        let pages = &block.contents.times;
        let at = pages
            .partition_point(|page| page.first <= id)
            .checked_sub(1)
            .ok_or_else(|| block.malformed_chunks(0, Malformed("number of a time column")))?;
        let TimesPage { first, place, .. } = pages[at];
        let page = match self.times_page.take_if(|(loaded, _)| *loaded == at) {
            Some((_, page)) => page,
            None => self.load_times(&pages[at])?,
        };
        let malformed = |source| block.malformed_chunks(place.offset, source);
        self.decoded.clear();
        let decoded = page
            .piece(id - first)
            .and_then(|piece| {
                DECODER.with_borrow_mut(|decoder| decoder.of_ints().decode(piece, n, 0..n, &mut self.decoded))
            })
            .map_err(malformed);
        self.times_page = Some((at, page));
        decoded?;
        let times: Arc<[i64]> = Arc::from(&*self.decoded);
        self.times.keep(id, Arc::clone(&times));
        Ok(times)
    }

    /// Reads a page of times, or its copy when it is damaged. Then the damage is noted, although nothing is lost.
    fn load_times(&self, page: &TimesPage) -> Result<Page, BlockError> {
        let block = self.block;
        let TimesPage { first: _, place, copy } = *page;
        let read = read_record_at(&*block.chunks, &block.chunks_path, place.offset, place.len)
            .map_err(BlockError::from)
            .and_then(|record| {
                Page::parse(TAG_TIMES, record).map_err(|source| block.malformed_chunks(place.offset, source))
            });
        match read {
            Err(error) if !error.is_io() => {
                let record = read_record_at(&*block.index, &block.index_path, copy.offset, copy.len)?;
                let page = Page::parse(TAG_TIMES, record)
                    .map_err(|source| block.malformed_chunks(place.offset, source))?;
                block.note_healed(&error, place.offset);
                Ok(page)
            }
            read => read,
        }
    }
}

/// A chunk that has its times in itself: encoding byte and data.
fn decode_piece(
    piece: &[u8],
    place: &ChunkPlace,
    start: i64,
    end: i64,
    into: &mut SeriesData,
) -> Result<(), Malformed> {
    let (&encoding, data) = piece.split_first().ok_or(BAD)?;
    into.has_no_markers = false;
    let chunk = Chunk {
        min_time: place.min_time,
        max_time: place.max_time,
        n_samples: place.n_samples,
        encoding: Encoding::from_number(encoding)?,
        data: data.into(),
    };
    chunk.decode_range(start, end, into)
}

/// What is wanted of a chunk of `n` samples in columns: encoding byte, values, and start timestamps if there are any.
fn decode_columns(
    piece: &[u8],
    n: usize,
    wanted: Range<usize>,
    into: &mut SeriesData,
    decoder: &mut FloatDecoder,
) -> Result<(), Malformed> {
    let (&encoding, data) = piece.split_first().ok_or(BAD)?;
    if encoding != ENCODING_COLUMNS {
        return Err(Malformed("chunk of an unknown encoding"));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let n_before = into.values.len();
    let decoded = decoder.decode(data, n, wanted.clone(), &mut into.values)?;
    into.has_no_markers = decoded.has_no_markers && (n_before == 0 || into.has_no_markers);
    let starts = &data[decoded.n_bytes..];
    if !starts.is_empty() {
        into.starts.resize(n_before, 0);
        decoder.of_ints().decode(starts, n, wanted, &mut into.starts)?;
    } else if !into.starts.is_empty() {
        into.starts.resize(into.values.len(), 0);
    }
    Ok(())
}
