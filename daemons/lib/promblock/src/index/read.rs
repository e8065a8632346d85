//! Reading an index: the symbols stay in memory, series are walked from the first to the last.

use std::io;
use std::path::{Path, PathBuf};

use cairn_disk::{Fs, FsFile};
use cairn_model::{Labels, LabelsBuilder};

use super::{CONTENTS_BYTES, HEADER_BYTES, MAGIC, SERIES_ALIGN, VERSION};
use crate::bytes::{Reader, to_usize};
use crate::error::{Malformed, PromBlockError};

/// Symbols are kept in memory. 4 GiB is the format's limit; a block of ten million series has some hundred MiB.
const MAX_SYMBOLS_BYTES: u64 = 1 << 30;

/// Of so many symbols the place of the first is known; the others are found from there.
const SYMBOLS_A_STEP: u32 = 32;

/// The largest entry of a series: room for a million chunks.
const MAX_SERIES_BYTES: u64 = 16 << 20;
/// Labels and the number of chunks take at least this.
const MIN_SERIES_BYTES: u64 = 2;
const SUM_BYTES: u64 = 4;

/// Labels of one series, and bytes of their text: an entry names symbols by a few bytes each, however long they are.
const MAX_LABELS: usize = 10_000;
const MAX_LABELS_BYTES: usize = 16 << 20;

const READ_BYTES: usize = 1 << 20;

/// One series of a block.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesEntry {
    /// Its number, by which tombstones name it.
    pub id: u64,
    /// Its labels.
    pub labels: Labels,
    /// Its chunks, ascending by time and without overlap.
    pub chunks: Vec<ChunkMeta>,
}

/// Where a chunk lies, in time and in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of its first sample.
    pub min_time: i64,
    /// Time of its last sample.
    pub max_time: i64,
    /// Number of the file (from 0) in the upper half, offset in the lower.
    pub(crate) reference: u64,
}

#[derive(Debug)]
pub(crate) struct IndexReader {
    path: PathBuf,
    file: Box<dyn FsFile>,
    symbols: Symbols,
    series_end: u64,
    /// Where the next series starts, before padding.
    at: u64,
    /// Of the file, from `buffer_at`.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Whether the last entry was damaged: one report for a stretch of damage.
    in_damage: bool,
}

#[derive(Debug, Default)]
struct Symbols {
    /// The strings, each after its length.
    bytes: Vec<u8>,
    /// Where each [`SYMBOLS_A_STEP`]th starts.
    steps: Vec<u32>,
    count: u32,
}

impl IndexReader {
    /// Checks header and table of contents, and reads the symbols.
    pub(crate) fn open(fs: &dyn Fs, path: &Path) -> Result<Self, PromBlockError> {
        let file = fs.open_read(path).map_err(PromBlockError::io("open", path))?;
        let len = file.len().map_err(PromBlockError::io("read", path))?;
        let damaged = |offset, what| PromBlockError::damaged(path, offset, what);
        let read = |offset: u64, len: u64, what| {
            let mut bytes = vec![0; to_usize(len)];
            match file.read_exact_at(&mut bytes, offset) {
                Ok(()) => Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(damaged(offset, what)),
                Err(source) => Err(PromBlockError::io("read", path)(source)),
            }
        };
        let smallest = (HEADER_BYTES + CONTENTS_BYTES) as u64;
        if len < smallest {
            return Err(damaged(0, "an index that is cut short"));
        }
        let head = read(0, HEADER_BYTES as u64, "an index that is cut short")?;
        if head[..4] != MAGIC {
            return Err(damaged(0, "not an index"));
        }
        if head[4] != VERSION {
            let (what, found) = ("version of an index", u64::from(head[4]));
            return Err(PromBlockError::Unknown { path: path.to_owned(), what, found });
        }
        let contents_at = len - CONTENTS_BYTES as u64;
        let contents = read(contents_at, CONTENTS_BYTES as u64, "an index that is cut short")?;
        let contents = summed(&contents)
            .ok_or_else(|| damaged(contents_at, "a table of contents whose checksum does not hold"))?;
        let mut offsets = [0u64; 6];
        let mut reader = Reader::new(contents, "table of contents");
        for offset in &mut offsets {
            *offset = reader.u64_be().map_err(|_| damaged(contents_at, "a malformed table of contents"))?;
        }
        let [symbols_at, series_at, ..] = offsets;
        // Series end where the next part starts; which one that is depends on the writer's age.
        let next_part = offsets[2..].iter().copied().filter(|&at| at > series_at).min();
        let series_end = next_part.unwrap_or(contents_at);
        if series_at > series_end || series_end > contents_at || symbols_at > contents_at {
            return Err(damaged(contents_at, "a table of contents that points outside of the index"));
        }

        let symbols = if symbols_at == 0 {
            Symbols::default()
        } else {
            let what = "symbols that are cut short";
            let len_bytes = read(symbols_at, 4, what)?;
            let len =
                u64::from(Reader::new(&len_bytes, what).u32_be().map_err(|_| damaged(symbols_at, what))?);
            if len > MAX_SYMBOLS_BYTES {
                let (what, limit) = ("bytes of symbols", MAX_SYMBOLS_BYTES);
                return Err(PromBlockError::TooLarge { path: path.to_owned(), what, limit });
            }
            if symbols_at + 4 + len + SUM_BYTES > contents_at {
                return Err(damaged(symbols_at, what));
            }
            let mut bytes = read(symbols_at + 4, len + SUM_BYTES, what)?;
            if summed(&bytes).is_none() {
                return Err(damaged(symbols_at, "symbols whose checksum does not hold"));
            }
            bytes.truncate(to_usize(len));
            Symbols::parse(bytes).map_err(|_| damaged(symbols_at, "malformed symbols"))?
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            symbols,
            series_end,
            at: series_at,
            buffer: Vec::new(),
            buffer_at: 0,
            in_damage: false,
        })
    }

    /// How far the walk is, from 0 to the second number.
    pub(crate) fn position(&self) -> (u64, u64) {
        (self.at, self.series_end)
    }

    /// The next series; an error for a stretch of damage, after which it goes on with the next entry that is whole.
    pub(crate) fn next_series(&mut self) -> Option<Result<SeriesEntry, PromBlockError>> {
        loop {
            let at = self.at.next_multiple_of(SERIES_ALIGN);
            if at + MIN_SERIES_BYTES + SUM_BYTES >= self.series_end {
                self.at = self.series_end;
                return None;
            }
            match self.entry_at(at) {
                Err(error) => {
                    self.at = self.series_end;
                    return Some(Err(error));
                }
                Ok(Ok((entry, end))) => {
                    (self.at, self.in_damage) = (end, false);
                    return Some(Ok(entry));
                }
                Ok(Err(what)) => {
                    // Entries start at multiples of 16: one of them is the next whole one.
                    self.at = at + SERIES_ALIGN;
                    if !std::mem::replace(&mut self.in_damage, true) {
                        return Some(Err(PromBlockError::damaged(&self.path, at, what.0)));
                    }
                }
            }
        }
    }

    /// The entry at an offset, and where it ends. The outer error is the system's.
    fn entry_at(&mut self, at: u64) -> Result<Result<(SeriesEntry, u64), Malformed>, PromBlockError> {
        const CUT: Malformed = Malformed("a series that ends too early");
        // A length takes at most three bytes below its limit.
        self.fill(at, 4)?;
        let mut reader = Reader::new(self.from(at), "a series whose length cannot be read");
        let before = reader.len();
        let len = match reader.uvarint() {
            Ok(len @ MIN_SERIES_BYTES..=MAX_SERIES_BYTES) => len,
            Ok(_) => return Ok(Err(Malformed("a series of an impossible length"))),
            Err(what) => return Ok(Err(what)),
        };
        let prefix = (before - reader.len()) as u64;
        let end = at + prefix + len + SUM_BYTES;
        if end > self.series_end {
            return Ok(Err(CUT));
        }
        self.fill(at, to_usize(end - at))?;
        let Some(bytes) = self.from(at).get(to_usize(prefix)..to_usize(end - at)) else {
            return Ok(Err(CUT));
        };
        let Some(content) = summed(bytes) else {
            return Ok(Err(Malformed("a series whose checksum does not hold")));
        };
        Ok(self.symbols.entry(at / SERIES_ALIGN, content).map(|entry| (entry, end)))
    }

    fn from(&self, at: u64) -> &[u8] {
        self.buffer.get(to_usize(at - self.buffer_at)..).unwrap_or(&[])
    }

    /// Has `len` bytes from `at` in the buffer, or as many as there are.
    fn fill(&mut self, at: u64, len: usize) -> Result<(), PromBlockError> {
        if at >= self.buffer_at && at + len as u64 <= self.buffer_at + self.buffer.len() as u64 {
            return Ok(());
        }
        self.buffer.resize(len.max(READ_BYTES), 0);
        self.buffer_at = at;
        let mut filled = 0;
        while filled < self.buffer.len() {
            match self.file.read_at(&mut self.buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(PromBlockError::io("read", &self.path)(source)),
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

impl Symbols {
    /// Takes the part between length and checksum apart.
    fn parse(mut bytes: Vec<u8>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&bytes, "symbols");
        let count = reader.u32_be()?;
        let start = bytes.len() - reader.len();
        let mut steps = Vec::new();
        for index in 0..count {
            if index.is_multiple_of(SYMBOLS_A_STEP) {
                steps
                    .push(u32::try_from(bytes.len() - start - reader.len()).map_err(|_| reader.malformed())?);
            }
            reader.str_bytes()?;
        }
        bytes.drain(..start);
        Ok(Self { bytes, steps, count })
    }

    fn get(&self, id: u64) -> Result<&str, Malformed> {
        const NONE: Malformed = Malformed("a series with a symbol that is not there");
        let id = u32::try_from(id).ok().filter(|&id| id < self.count).ok_or(NONE)?;
        let step = *self.steps.get((id / SYMBOLS_A_STEP) as usize).ok_or(NONE)?;
        let mut reader = Reader::new(self.bytes.get(step as usize..).ok_or(NONE)?, NONE.0);
        for _ in 0..id % SYMBOLS_A_STEP {
            reader.str_bytes()?;
        }
        std::str::from_utf8(reader.str_bytes()?)
            .map_err(|_| Malformed("a series with a label that is not UTF-8"))
    }

    fn entry(&self, id: u64, content: &[u8]) -> Result<SeriesEntry, Malformed> {
        let mut reader = Reader::new(content, "a series that makes no sense");
        let mut labels = LabelsBuilder::new();
        let n_labels = reader.count()?;
        let mut text_bytes = 0;
        for _ in 0..n_labels {
            let (name, value) = (self.get(reader.uvarint()?)?, self.get(reader.uvarint()?)?);
            text_bytes += name.len() + value.len();
            if n_labels > MAX_LABELS || text_bytes > MAX_LABELS_BYTES {
                return Err(Malformed("a series with more labels than any has"));
            }
            labels.set(name, value);
        }
        let n_chunks = reader.count()?;
        let mut chunks: Vec<ChunkMeta> = Vec::with_capacity(n_chunks.min(content.len() / 3));
        for _ in 0..n_chunks {
            const ORDER: Malformed = Malformed("a series with chunks out of order");
            let min_time = match chunks.last() {
                None => reader.varint()?,
                Some(last) => {
                    let gap = i64::try_from(reader.uvarint()?).map_err(|_| ORDER)?;
                    // A gap of 0 would be an overlap.
                    last.max_time.checked_add(gap).filter(|_| gap > 0).ok_or(ORDER)?
                }
            };
            let length = i64::try_from(reader.uvarint()?).map_err(|_| ORDER)?;
            let max_time = min_time.checked_add(length).ok_or(ORDER)?;
            let reference = match chunks.last() {
                None => reader.uvarint()?,
                Some(last) => last.reference.wrapping_add(reader.varint()?.cast_unsigned()),
            };
            chunks.push(ChunkMeta { min_time, max_time, reference });
        }
        if !reader.is_empty() {
            return Err(reader.malformed());
        }
        Ok(SeriesEntry { id, labels: labels.build(), chunks })
    }
}

/// The bytes before a checksum at the end, if it holds.
fn summed(bytes: &[u8]) -> Option<&[u8]> {
    let (content, sum) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(content) == u32::from_be_bytes(*sum)).then_some(content)
}
