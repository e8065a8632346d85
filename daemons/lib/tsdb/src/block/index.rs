//! The records of a block's index: batches of series, batches of label values with their postings, and a table of
//! contents that is all a reader keeps in memory.
//!
//! Each batch is compressed and has its own symbol table and checksum, so that one damaged byte costs the series of one
//! batch at most, and a query reads only the batches it needs.

use std::collections::HashMap;

use cairn_disk::Format;
use cairn_disk::compress::{self, DEFAULT_LEVEL};
use cairn_model::{Labels, LabelsBuilder};
use roaring::RoaringBitmap;

use crate::codec::{Malformed, Reader, put_bytes, put_len, put_uvarint, put_varint};
use crate::postings::Postings;

/// Kind and version of the file `index`.
pub const INDEX_FORMAT: Format = Format::new(*b"CAIRNMIX", 1);

/// A batch of series.
pub(super) const TAG_SERIES: u8 = 1;
/// A batch of values of one label.
pub(super) const TAG_VALUES: u8 = 2;
/// The table of contents.
pub(super) const TAG_CONTENTS: u8 = 3;

/// A batch is closed once it has so many bytes before compression: large enough to compress well, small enough to read
/// for one series.
pub(super) const BATCH_BYTES: usize = 64 << 10;

/// No batch is decompressed past this. One batch exceeds `BATCH_BYTES` by its last entry: labels are limited to 1 MiB,
/// the chunk list of a series in the longest block and the postings of one value to a few.
pub(super) const MAX_BATCH_BYTES: usize = 256 << 20;

/// Where a chunk lies in the file `chunks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) n_samples: u16,
    /// Where its frame starts.
    pub(crate) offset: u64,
    /// Length of its record: encoding byte and data.
    pub(crate) len: u32,
}

/// One series of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeriesEntry {
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<ChunkPlace>,
}

/// Collects series into a batch.
#[derive(Debug, Default)]
pub(super) struct SeriesBatch {
    symbols: Vec<u8>,
    n_symbols: u32,
    symbol_ids: HashMap<String, u32>,
    entries: Vec<u8>,
    n_series: usize,
}

impl SeriesBatch {
    pub(super) fn push(&mut self, labels: &Labels, chunks: &[ChunkPlace]) {
        put_len(&mut self.entries, labels.len());
        for (name, value) in labels.iter() {
            for text in [name, value] {
                let symbol = self.symbol(text);
                put_uvarint(&mut self.entries, u64::from(symbol));
            }
        }
        put_len(&mut self.entries, chunks.len());
        let (mut last_time, mut last_end) = (0i64, 0u64);
        for &ChunkPlace { min_time, max_time, n_samples, offset, len } in chunks {
            put_varint(&mut self.entries, min_time.wrapping_sub(last_time));
            put_uvarint(&mut self.entries, max_time.wrapping_sub(min_time).cast_unsigned());
            put_uvarint(&mut self.entries, u64::from(n_samples));
            put_uvarint(&mut self.entries, offset.wrapping_sub(last_end));
            put_uvarint(&mut self.entries, u64::from(len));
            last_time = max_time;
            last_end = offset + u64::from(len);
        }
        self.n_series += 1;
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.symbol_ids.get(text) {
            return id;
        }
        let id = self.n_symbols;
        self.symbol_ids.insert(text.to_owned(), id);
        put_bytes(&mut self.symbols, text.as_bytes());
        self.n_symbols += 1;
        id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_series == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.symbols.len() + self.entries.len() >= BATCH_BYTES
    }

    /// The finished record; the batch is empty afterwards.
    pub(super) fn take_record(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::with_capacity(self.symbols.len() + self.entries.len() + 16);
        put_uvarint(&mut body, u64::from(self.n_symbols));
        body.extend_from_slice(&self.symbols);
        put_len(&mut body, self.n_series);
        body.extend_from_slice(&self.entries);
        *self = Self::default();
        pack(TAG_SERIES, &body)
    }
}

/// Reads a batch of series.
pub(super) fn read_series(record: &[u8]) -> Result<Vec<SeriesEntry>, Malformed> {
    let body = unpack(TAG_SERIES, record)?;
    let mut reader = Reader::new(&body, "batch of series");
    let n_symbols = reader.count()?;
    let symbols: Vec<&str> = (0..n_symbols).map(|_| reader.str()).collect::<Result<_, _>>()?;
    let n_series = reader.count()?;
    let mut entries = Vec::with_capacity(n_series);
    for _ in 0..n_series {
        let n_labels = reader.count()?;
        let mut labels = LabelsBuilder::new();
        for _ in 0..n_labels {
            let mut symbol = || -> Result<&str, Malformed> {
                symbols.get(reader.u32()? as usize).copied().ok_or(reader.malformed())
            };
            let name = symbol()?;
            labels.set(name, symbol()?);
        }
        let n_chunks = reader.count()?;
        let mut chunks = Vec::with_capacity(n_chunks);
        let (mut last_time, mut last_end) = (0i64, 0u64);
        for _ in 0..n_chunks {
            let min_time = last_time.wrapping_add(reader.varint()?);
            let max_time = min_time.wrapping_add(reader.uvarint()?.cast_signed());
            let n_samples = u16::try_from(reader.uvarint()?).map_err(|_| reader.malformed())?;
            let offset = last_end.wrapping_add(reader.uvarint()?);
            let len = reader.u32()?;
            chunks.push(ChunkPlace { min_time, max_time, n_samples, offset, len });
            last_time = max_time;
            last_end = offset.wrapping_add(u64::from(len));
        }
        entries.push(SeriesEntry { labels: labels.build(), chunks });
    }
    Ok(entries)
}

/// Collects values of one label into a batch.
#[derive(Debug)]
pub(super) struct ValuesBatch {
    pub(super) first_value: String,
    body: Vec<u8>,
    n_values: usize,
}

impl ValuesBatch {
    pub(super) fn new(first_value: &str) -> Self {
        Self { first_value: first_value.to_owned(), body: Vec::new(), n_values: 0 }
    }

    pub(super) fn push(&mut self, value: &str, postings: &Postings) -> std::io::Result<()> {
        put_bytes(&mut self.body, value.as_bytes());
        match postings {
            Postings::One(id) => {
                put_uvarint(&mut self.body, 0);
                put_uvarint(&mut self.body, u64::from(*id));
            }
            Postings::Many(set) => {
                put_len(&mut self.body, set.serialized_size());
                set.serialize_into(&mut self.body)?;
            }
        }
        self.n_values += 1;
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.body.len() >= BATCH_BYTES
    }

    pub(super) fn into_record(self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::with_capacity(self.body.len() + 8);
        put_len(&mut body, self.n_values);
        body.extend_from_slice(&self.body);
        pack(TAG_VALUES, &body)
    }
}

/// Reads a batch of values; hands each over with the series that have it, until `visit` answers false.
pub(super) fn read_values(
    record: &[u8],
    n_series: u64,
    mut visit: impl FnMut(&str, Postings) -> bool,
) -> Result<(), Malformed> {
    let body = unpack(TAG_VALUES, record)?;
    let mut reader = Reader::new(&body, "batch of label values");
    let n_values = reader.count()?;
    for _ in 0..n_values {
        let value = reader.str()?;
        let mut set_reader = reader;
        let postings = if set_reader.uvarint()? == 0 {
            reader.byte()?;
            Postings::One(reader.u32()?)
        } else {
            let set = RoaringBitmap::deserialize_from(reader.bytes()?).map_err(|_| reader.malformed())?;
            Postings::Many(set)
        };
        let in_range = match &postings {
            Postings::One(id) => u64::from(*id) < n_series,
            Postings::Many(set) => set.max().is_none_or(|id| u64::from(id) < n_series),
        };
        if !in_range {
            return Err(reader.malformed());
        }
        if !visit(value, postings) {
            break;
        }
    }
    Ok(())
}

/// Where a record of the index lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// The table of contents: what a reader keeps of an index.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents {
    /// Batches of series with the number of their first series, ascending.
    pub(super) series: Vec<(u32, Place)>,
    /// Label names, ascending, each with its batches of values and the first value of each, ascending.
    pub(super) labels: Vec<(String, Vec<(String, Place)>)>,
}

impl Contents {
    pub(super) fn to_record(&self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        let put_place = |body: &mut Vec<u8>, place: &Place| {
            put_uvarint(body, place.offset);
            put_len(body, place.len);
        };
        put_len(&mut body, self.series.len());
        for (first, place) in &self.series {
            put_uvarint(&mut body, u64::from(*first));
            put_place(&mut body, place);
        }
        put_len(&mut body, self.labels.len());
        for (name, batches) in &self.labels {
            put_bytes(&mut body, name.as_bytes());
            put_len(&mut body, batches.len());
            for (first_value, place) in batches {
                put_bytes(&mut body, first_value.as_bytes());
                put_place(&mut body, place);
            }
        }
        pack(TAG_CONTENTS, &body)
    }

    pub(super) fn from_record(record: &[u8]) -> Result<Self, Malformed> {
        let body = unpack(TAG_CONTENTS, record)?;
        let mut reader = Reader::new(&body, "table of contents");
        let read_place = |reader: &mut Reader<'_>| -> Result<Place, Malformed> {
            let offset = reader.uvarint()?;
            Ok(Place { offset, len: reader.u32()? as usize })
        };
        let mut contents = Self::default();
        for _ in 0..reader.count()? {
            let first = reader.u32()?;
            contents.series.push((first, read_place(&mut reader)?));
        }
        for _ in 0..reader.count()? {
            let name = reader.str()?.to_owned();
            let mut batches = Vec::new();
            for _ in 0..reader.count()? {
                let first_value = reader.str()?.to_owned();
                batches.push((first_value, read_place(&mut reader)?));
            }
            contents.labels.push((name, batches));
        }
        Ok(contents)
    }
}

fn pack(tag: u8, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut record = vec![tag];
    record.extend_from_slice(&compress::compress(body, DEFAULT_LEVEL)?);
    Ok(record)
}

fn unpack(tag: u8, record: &[u8]) -> Result<Vec<u8>, Malformed> {
    match record.split_first() {
        Some((&found, packed)) if found == tag => {
            compress::decompress(packed, MAX_BATCH_BYTES).map_err(|_| Malformed("index record"))
        }
        _ => Err(Malformed("index record: another kind was expected here")),
    }
}
