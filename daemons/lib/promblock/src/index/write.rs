//! Writing an index as series come, in ascending order of their labels.
//!
//! Symbols precede the series in the file, sorted, and are all known only at the end. So series wait in a spool file with
//! numbers of the symbols in the order they were met; what stays in memory is each distinct name and value once, and for
//! each label pair the differences of its series' numbers, mostly a byte each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::{Fs, FsFile};
use cairn_model::Labels;

use super::{CONTENTS_BYTES, HEADER_BYTES, MAGIC, POSTINGS_ALIGN, SERIES_ALIGN, VERSION};
use crate::bytes::{Reader, put_str, put_uvarint, put_varint, to_usize};
use crate::chunk::Chunk;
use crate::error::PromBlockError;

const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// Bytes of the spool that are read at once; a longer entry enlarges it.
const READ_BYTES: usize = 1 << 20;
/// More than any part is padded with.
const MAX_PADDING: usize = 16;
/// What the table of offsets calls its entries' two strings.
const TWO_STRINGS: u8 = 2;

/// A label pair by the numbers of its symbols, and where its list starts; `None` is the list of all series.
type List = (Option<(u32, u32)>, u64);

#[derive(Debug)]
pub(crate) struct IndexWriter {
    path: PathBuf,
    spool_path: PathBuf,
    spool: Output,
    symbols: Vec<Arc<str>>,
    symbol_ids: HashMap<Arc<str>, u32>,
    /// By the pair's symbols.
    postings: HashMap<(u32, u32), Postings>,
    n_series: u32,
    scratch: Vec<u8>,
}

/// The series of a label pair, as ordinals.
#[derive(Debug)]
struct Postings {
    first: u32,
    last: u32,
    count: u32,
    /// LEB128 of each ordinal's difference to the one before it, from the second on.
    deltas: Vec<u8>,
}

impl IndexWriter {
    pub(crate) fn create(fs: &dyn Fs, path: &Path) -> Result<Self, PromBlockError> {
        let spool_path = path.with_extension("spool");
        Ok(Self {
            path: path.to_owned(),
            spool: Output::create(fs, &spool_path)?,
            spool_path,
            symbols: Vec::new(),
            symbol_ids: HashMap::new(),
            postings: HashMap::new(),
            n_series: 0,
            scratch: Vec::new(),
        })
    }

    /// Adds a series; its labels are greater than those of the one before. Each chunk comes with its reference.
    pub(crate) fn push(&mut self, labels: &Labels, chunks: &[(Chunk, u64)]) -> Result<(), PromBlockError> {
        let ordinal = self.n_series;
        self.n_series =
            ordinal.checked_add(1).ok_or_else(|| self.too_large("series", u64::from(u32::MAX)))?;
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        put_uvarint(&mut record, labels.len() as u64);
        for (name, value) in labels.iter() {
            let pair = (self.symbol(name)?, self.symbol(value)?);
            put_uvarint(&mut record, u64::from(pair.0));
            put_uvarint(&mut record, u64::from(pair.1));
            self.postings.entry(pair).and_modify(|postings| postings.push(ordinal)).or_insert(Postings {
                first: ordinal,
                last: ordinal,
                count: 1,
                deltas: Vec::new(),
            });
        }
        put_chunks(&mut record, chunks);
        put_uvarint(&mut self.spool.buffer, record.len() as u64);
        self.spool.put(&record)?;
        self.scratch = record;
        Ok(())
    }

    fn symbol(&mut self, text: &str) -> Result<u32, PromBlockError> {
        if let Some(&id) = self.symbol_ids.get(text) {
            return Ok(id);
        }
        let id =
            u32::try_from(self.symbols.len()).map_err(|_| self.too_large("symbols", u64::from(u32::MAX)))?;
        let text: Arc<str> = text.into();
        self.symbols.push(Arc::clone(&text));
        self.symbol_ids.insert(text, id);
        Ok(id)
    }

    fn n_symbols(&self) -> u32 {
        u32::try_from(self.symbols.len()).expect("each has a number of 32 bits")
    }

    fn too_large(&self, what: &'static str, limit: u64) -> PromBlockError {
        PromBlockError::TooLarge { path: self.path.clone(), what, limit }
    }

    /// Writes the file and syncs it (not its directory); answers its length.
    pub(crate) fn finish(mut self, fs: &dyn Fs) -> Result<u64, PromBlockError> {
        self.symbol_ids = HashMap::new();
        let mut by_text: Vec<u32> = (0..self.n_symbols()).collect();
        by_text.sort_unstable_by_key(|&id| &*self.symbols[id as usize]);
        let mut ranks = vec![0u32; by_text.len()];
        for (rank, &id) in (0..).zip(&by_text) {
            ranks[id as usize] = rank;
        }

        let mut out = Output::create(fs, &self.path)?;
        out.put(&MAGIC)?;
        out.put(&[VERSION])?;
        self.write_symbols(&mut out, &by_text)?;
        let series_at = out.position();
        let numbers = self.write_series(fs, &mut out, &ranks)?;
        let series_end = out.position();
        out.align(POSTINGS_ALIGN)?;
        let postings_at = out.position();
        let lists = self.write_postings(&mut out, &ranks, &numbers)?;
        let offsets_at = out.position();
        self.write_offsets(&mut out, lists)?;

        let mut contents = Vec::with_capacity(CONTENTS_BYTES);
        // The two in the middle were lists of values by name, which no reader needs any more; the peer fills them so.
        for offset in [HEADER_BYTES as u64, series_at, series_end, offsets_at, postings_at, offsets_at] {
            contents.extend_from_slice(&offset.to_be_bytes());
        }
        put_sum(&mut contents, 0);
        out.put(&contents)?;
        let bytes = out.finish()?;
        fs.remove_file(&self.spool_path).map_err(PromBlockError::io("remove", &self.spool_path))?;
        Ok(bytes)
    }

    fn write_symbols(&self, out: &mut Output, by_text: &[u32]) -> Result<(), PromBlockError> {
        let text_bytes = |text: &str| (uvarint_len(text.len() as u64) + text.len()) as u64;
        let bytes: u64 = 4 + self.symbols.iter().map(|text| text_bytes(text)).sum::<u64>();
        let len =
            u32::try_from(bytes).map_err(|_| self.too_large("bytes of symbols", u64::from(u32::MAX)))?;
        out.put(&len.to_be_bytes())?;
        let mut summed = Summed::default();
        summed.put(out, &self.n_symbols().to_be_bytes())?;
        let mut entry = Vec::new();
        for &id in by_text {
            entry.clear();
            put_str(&mut entry, &self.symbols[id as usize]);
            summed.put(out, &entry)?;
        }
        summed.finish(out)
    }

    /// Answers the number of each series, which is its offset divided by 16.
    fn write_series(
        &mut self,
        fs: &dyn Fs,
        out: &mut Output,
        ranks: &[u32],
    ) -> Result<Vec<u32>, PromBlockError> {
        self.spool.flush()?;
        let mut spool = SpoolReader::open(fs, &self.spool_path)?;
        let mut numbers = Vec::with_capacity(self.n_series as usize);
        let (mut content, mut entry) = (Vec::new(), Vec::new());
        for _ in 0..self.n_series {
            let record = spool.next()?;
            content.clear();
            let mut reader = Reader::new(record, "spooled series");
            let mut copy = || -> Result<(), crate::error::Malformed> {
                let n_labels = reader.uvarint()?;
                put_uvarint(&mut content, n_labels);
                for _ in 0..n_labels * 2 {
                    let id = usize::try_from(reader.uvarint()?).map_err(|_| reader.malformed())?;
                    put_uvarint(&mut content, u64::from(*ranks.get(id).ok_or(reader.malformed())?));
                }
                Ok(())
            };
            let broken = "the spool is not what was written to it";
            copy().map_err(|_| PromBlockError::damaged(&self.spool_path, 0, broken))?;
            content.extend_from_slice(&record[record.len() - reader.len()..]);
            out.align(SERIES_ALIGN)?;
            let number = u32::try_from(out.position() / SERIES_ALIGN)
                .map_err(|_| self.too_large("bytes of series", SERIES_ALIGN << 32))?;
            numbers.push(number);
            entry.clear();
            put_uvarint(&mut entry, content.len() as u64);
            let start = entry.len();
            entry.extend_from_slice(&content);
            put_sum(&mut entry, start);
            out.put(&entry)?;
        }
        Ok(numbers)
    }

    /// Answers where the list of each pair starts, in the order of the pairs' texts.
    fn write_postings(
        &mut self,
        out: &mut Output,
        ranks: &[u32],
        numbers: &[u32],
    ) -> Result<Vec<List>, PromBlockError> {
        let mut pairs: Vec<((u32, u32), Postings)> = std::mem::take(&mut self.postings).into_iter().collect();
        pairs.sort_unstable_by_key(|((name, value), _)| (ranks[*name as usize], ranks[*value as usize]));
        let mut lists = Vec::with_capacity(pairs.len() + 1);
        lists.push((None, out.position()));
        write_list(out, self.n_series, numbers.iter().copied())?;
        for (pair, postings) in pairs {
            out.align(POSTINGS_ALIGN)?;
            lists.push((Some(pair), out.position()));
            write_list(out, postings.count, postings.ordinals().map(|ordinal| numbers[ordinal as usize]))?;
        }
        Ok(lists)
    }

    fn write_offsets(&self, out: &mut Output, lists: Vec<List>) -> Result<(), PromBlockError> {
        let text = |id: u32| &*self.symbols[id as usize];
        let put = |entry: &mut Vec<u8>, pair: Option<(u32, u32)>, offset: u64| {
            entry.clear();
            entry.push(TWO_STRINGS);
            let (name, value) = pair.map_or(("", ""), |(name, value)| (text(name), text(value)));
            put_str(entry, name);
            put_str(entry, value);
            put_uvarint(entry, offset);
        };
        let mut entry = Vec::new();
        let mut bytes = 4u64;
        for &(pair, offset) in &lists {
            put(&mut entry, pair, offset);
            bytes += entry.len() as u64;
        }
        let limit = u64::from(u32::MAX);
        let len =
            u32::try_from(bytes).map_err(|_| self.too_large("bytes in the table of postings", limit))?;
        out.put(&len.to_be_bytes())?;
        let mut summed = Summed::default();
        let count = u32::try_from(lists.len()).map_err(|_| self.too_large("label pairs", limit))?;
        summed.put(out, &count.to_be_bytes())?;
        for (pair, offset) in lists {
            put(&mut entry, pair, offset);
            summed.put(out, &entry)?;
        }
        summed.finish(out)
    }
}

/// Number of chunks, then of each its times and reference, as differences to the chunk before it.
fn put_chunks(out: &mut Vec<u8>, chunks: &[(Chunk, u64)]) {
    put_uvarint(out, chunks.len() as u64);
    let mut before: Option<(i64, u64)> = None;
    for (chunk, reference) in chunks {
        match before {
            None => put_varint(out, chunk.min_time),
            Some((last, _)) => put_uvarint(out, chunk.min_time.wrapping_sub(last).cast_unsigned()),
        }
        put_uvarint(out, chunk.max_time.wrapping_sub(chunk.min_time).cast_unsigned());
        match before {
            None => put_uvarint(out, *reference),
            Some((_, last)) => put_varint(out, reference.wrapping_sub(last).cast_signed()),
        }
        before = Some((chunk.max_time, *reference));
    }
}

fn write_list(
    out: &mut Output,
    count: u32,
    numbers: impl Iterator<Item = u32>,
) -> Result<(), PromBlockError> {
    let bytes = (u64::from(count) + 1) * 4;
    let len = u32::try_from(bytes).map_err(|_| PromBlockError::TooLarge {
        path: out.path.clone(),
        what: "series of one label pair",
        limit: u64::from(u32::MAX / 4) - 1,
    })?;
    out.put(&len.to_be_bytes())?;
    let mut summed = Summed::default();
    summed.put(out, &count.to_be_bytes())?;
    for number in numbers {
        summed.put(out, &number.to_be_bytes())?;
    }
    summed.finish(out)
}

impl Postings {
    /// A series may have a pair once only, and series come in order.
    fn push(&mut self, ordinal: u32) {
        put_uvarint(&mut self.deltas, u64::from(ordinal - self.last));
        self.last = ordinal;
        self.count += 1;
    }

    fn ordinals(&self) -> impl Iterator<Item = u32> {
        let mut deltas = Reader::new(&self.deltas, "postings");
        let mut ordinal = self.first;
        std::iter::once(self.first).chain((1..self.count).map_while(move |_| {
            ordinal += u32::try_from(deltas.uvarint().ok()?).ok()?;
            Some(ordinal)
        }))
    }
}

fn uvarint_len(value: u64) -> usize {
    (64 - value.leading_zeros()).div_ceil(7).max(1) as usize
}

/// Appends the checksum of what follows `start`.
fn put_sum(bytes: &mut Vec<u8>, start: usize) {
    let sum = crc32c::crc32c(&bytes[start..]);
    bytes.extend_from_slice(&sum.to_be_bytes());
}

/// Writes to an [`Output`] and sums up.
#[derive(Default)]
struct Summed {
    sum: u32,
}

impl Summed {
    fn put(&mut self, out: &mut Output, bytes: &[u8]) -> Result<(), PromBlockError> {
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        out.put(bytes)
    }

    fn finish(self, out: &mut Output) -> Result<(), PromBlockError> {
        out.put(&self.sum.to_be_bytes())
    }
}

/// A file that is written from its beginning to its end.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: Box<dyn FsFile>,
    buffer: Vec<u8>,
    written: u64,
}

impl Output {
    fn create(fs: &dyn Fs, path: &Path) -> Result<Self, PromBlockError> {
        let file = fs.create_new(path).map_err(PromBlockError::io("create", path))?;
        Ok(Self { path: path.to_owned(), file, buffer: Vec::new(), written: 0 })
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), PromBlockError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn align(&mut self, to: u64) -> Result<(), PromBlockError> {
        let missing = self.position().next_multiple_of(to) - self.position();
        self.put(&[0; MAX_PADDING][..to_usize(missing)])
    }

    fn flush(&mut self) -> Result<(), PromBlockError> {
        self.file
            .write_all_at(&self.buffer, self.written)
            .map_err(PromBlockError::io("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<u64, PromBlockError> {
        self.flush()?;
        self.file.sync_data().map_err(PromBlockError::io("sync", &self.path))?;
        Ok(self.written)
    }
}

/// Reads the spool from its beginning to its end.
struct SpoolReader {
    path: PathBuf,
    file: Box<dyn FsFile>,
    buffer: Vec<u8>,
    /// Where the next record starts in `buffer`.
    at: usize,
    /// Where `buffer` ends in the file.
    read: u64,
}

impl SpoolReader {
    fn open(fs: &dyn Fs, path: &Path) -> Result<Self, PromBlockError> {
        let file = fs.open_read(path).map_err(PromBlockError::io("open", path))?;
        Ok(Self { path: path.to_owned(), file, buffer: Vec::new(), at: 0, read: 0 })
    }

    fn next(&mut self) -> Result<&[u8], PromBlockError> {
        let start = loop {
            let mut reader = Reader::new(&self.buffer[self.at..], "spool");
            if let Ok(len) = reader.uvarint()
                && len <= reader.len() as u64
            {
                let start = self.buffer.len() - reader.len();
                self.at = start + to_usize(len);
                break start;
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            let filled = self.buffer.len();
            self.buffer.resize(filled + READ_BYTES, 0);
            let read = self
                .file
                .read_at(&mut self.buffer[filled..], self.read)
                .map_err(PromBlockError::io("read", &self.path))?;
            if read == 0 {
                let what = "the spool is shorter than what was written to it";
                return Err(PromBlockError::damaged(&self.path, self.read, what));
            }
            self.buffer.truncate(filled + read);
            self.read += read as u64;
        };
        Ok(&self.buffer[start..self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_numbers() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::MAX] {
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, value);
            assert_eq!(uvarint_len(value), bytes.len(), "{value}");
        }
    }

    #[test]
    fn postings_keep_their_order() {
        let mut postings = Postings { first: 3, last: 3, count: 1, deltas: Vec::new() };
        for ordinal in [4, 200, 70_000] {
            postings.push(ordinal);
        }
        assert_eq!(postings.ordinals().collect::<Vec<_>>(), [3, 4, 200, 70_000]);
    }
}
