//! Batches of series in an index: column by column, since neighbours differ in one label and lie in one page.

use std::collections::HashMap;
use std::hash::Hash;

use cairn_model::Labels;

use super::index::{BATCH_BYTES, TAG_SERIES, pack, unpack};
use super::{ChunkAt, ChunkPlace, SeriesEntry};
use crate::codec::{Malformed, Reader, put_bytes, put_len, put_uvarint, put_varint};

/// Collects series into a batch.
#[derive(Debug, Default)]
pub(super) struct SeriesBatch {
    symbols: Numbering<String>,
    /// Label names, as symbols; each has a column of values.
    names: Numbering<u32>,
    values: Vec<Vec<u8>>,
    /// Which names a series has.
    shapes: Numbering<Vec<u32>>,
    shape_column: Vec<u8>,
    chunk_counts: Vec<u8>,
    chunks: [Vec<u8>; CHUNK_COLUMNS],
    last: Last,
    /// Column and value's symbol of each label of the last series, and its shape.
    last_row: Vec<(u32, u32)>,
    last_shape: u32,
    n_series: usize,
    n_bytes: usize,
}

/// Columns of chunks: samples, first time, span, number of the time column, page, place in the page.
const CHUNK_COLUMNS: usize = 6;

/// What the next chunk is written as a difference to.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    n_samples: i64,
    min_time: i64,
    span: i64,
    page: i64,
    slot: i64,
}

/// Numbers things in the order in which they first come.
#[derive(Debug)]
struct Numbering<T> {
    numbers: HashMap<T, u32>,
    things: Vec<T>,
}

impl<T> Default for Numbering<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), things: Vec::new() }
    }
}

impl<T: Eq + Hash + Clone> Numbering<T> {
    fn of<Q>(&mut self, thing: &Q) -> u32
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = T> + ?Sized,
    {
        if let Some(&number) = self.numbers.get(thing) {
            return number;
        }
        let number = u32::try_from(self.things.len()).expect("a batch has some thousand things");
        self.numbers.insert(thing.to_owned(), number);
        self.things.push(thing.to_owned());
        number
    }
}

impl SeriesBatch {
    /// Adds a series. `labels`: name, value, and whether the series that was pushed before had both at the same place.
    pub(super) fn push<'l>(
        &mut self,
        labels: impl Iterator<Item = ((&'l str, &'l str), bool)>,
        chunks: &[ChunkPlace],
    ) {
        let (mut is_same_shape, mut n_labels) = (self.n_series > 0, 0);
        for ((name, value), is_same) in labels {
            // The first series of a batch was pushed behind one that is in the batch before.
            let last = self.last_row.get(n_labels).copied();
            let (column, symbol) = match last {
                Some(last) if is_same => last,
                _ => self.numbers_of(name, value),
            };
            is_same_shape &= last.is_some_and(|(last, _)| last == column);
            match self.last_row.get_mut(n_labels) {
                Some(last) => *last = (column, symbol),
                None => self.last_row.push((column, symbol)),
            }
            put_uvarint(&mut self.values[column as usize], u64::from(symbol));
            n_labels += 1;
        }
        is_same_shape &= n_labels == self.last_row.len();
        self.last_row.truncate(n_labels);
        self.n_bytes += n_labels;
        if !is_same_shape {
            let shape: Vec<u32> = self.last_row.iter().map(|(column, _)| *column).collect();
            self.last_shape = self.shapes.of(shape.as_slice());
        }
        let shape = self.last_shape;
        put_uvarint(&mut self.shape_column, u64::from(shape));
        put_len(&mut self.chunk_counts, chunks.len());
        for place in chunks {
            self.push_chunk(place);
        }
        self.n_bytes += chunks.len() * CHUNK_COLUMNS;
        self.n_series += 1;
    }

    /// Column and value's symbol of a label.
    fn numbers_of(&mut self, name: &str, value: &str) -> (u32, u32) {
        let name_symbol = self.symbols.of(name);
        let column = self.names.of(&name_symbol);
        if self.values.len() <= column as usize {
            self.values.push(Vec::new());
        }
        let before = self.symbols.things.len();
        let symbol = self.symbols.of(value);
        if self.symbols.things.len() > before {
            self.n_bytes += value.len();
        }
        (column, symbol)
    }

    fn push_chunk(&mut self, place: &ChunkPlace) {
        let ChunkPlace { min_time, max_time, n_samples, at } = *place;
        let ChunkAt::Page { page, slot, times } = at else {
            unreachable!("a writer puts chunks into pages");
        };
        let now = Last {
            n_samples: i64::from(n_samples),
            min_time,
            span: max_time.wrapping_sub(min_time),
            page: i64::from(page),
            slot: i64::from(slot),
        };
        let last = std::mem::replace(&mut self.last, now);
        let [samples, starts, spans, time_columns, pages, slots] = &mut self.chunks;
        put_varint(samples, now.n_samples - last.n_samples);
        put_varint(starts, now.min_time.wrapping_sub(last.min_time));
        put_varint(spans, now.span.wrapping_sub(last.span));
        put_uvarint(time_columns, times.map_or(0, |id| u64::from(id) + 1));
        put_varint(pages, now.page - last.page);
        put_varint(slots, now.slot - last.slot - 1);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_series == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.n_bytes >= BATCH_BYTES
    }

    /// The finished record; the batch is empty afterwards.
    pub(super) fn take_record(&mut self) -> std::io::Result<Vec<u8>> {
        let Self { symbols, names, values, shapes, shape_column, chunk_counts, chunks, .. } =
            std::mem::take(self);
        let mut body = Vec::new();
        put_len(&mut body, symbols.things.len());
        for symbol in &symbols.things {
            put_bytes(&mut body, symbol.as_bytes());
        }
        put_len(&mut body, names.things.len());
        for (symbol, column) in names.things.iter().zip(&values) {
            put_uvarint(&mut body, u64::from(*symbol));
            put_bytes(&mut body, column);
        }
        put_len(&mut body, shapes.things.len());
        for shape in &shapes.things {
            put_len(&mut body, shape.len());
            for column in shape {
                put_uvarint(&mut body, u64::from(*column));
            }
        }
        for column in [&shape_column, &chunk_counts].into_iter().chain(&chunks) {
            put_bytes(&mut body, column);
        }
        pack(TAG_SERIES, &body)
    }
}

/// A batch of series as it is read: what comes before the columns of chunks.
struct Batch<'a> {
    symbols: Vec<&'a str>,
    /// Label names, each with its values in the order of the series that have it, as symbols.
    columns: Vec<(&'a str, Reader<'a>)>,
    shapes: Vec<Shape>,
    /// The shape of each series.
    shape_column: Reader<'a>,
    /// The columns of chunks.
    rest: Reader<'a>,
}

/// Which names a series has, as numbers of columns.
struct Shape {
    columns: Vec<usize>,
    /// Whether the names ascend, as they do in all that was not damaged.
    ascends: bool,
}

const WHAT: &str = "batch of series";

impl<'a> Batch<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, WHAT);
        let bad = reader.malformed();
        let n_symbols = reader.count()?;
        let symbols: Vec<&str> = (0..n_symbols).map(|_| reader.str()).collect::<Result<_, _>>()?;
        let n_names = reader.count()?;
        let mut columns = Vec::with_capacity(n_names);
        for _ in 0..n_names {
            let name = *symbols.get(reader.u32()? as usize).ok_or(bad)?;
            columns.push((name, Reader::new(reader.bytes()?, WHAT)));
        }
        let n_shapes = reader.count()?;
        let mut shapes = Vec::with_capacity(n_shapes);
        for _ in 0..n_shapes {
            let n = reader.count()?;
            let last = n_names.saturating_sub(1);
            let shape: Vec<usize> = (0..n).map(|_| reader.count_up_to(last)).collect::<Result<_, _>>()?;
            let names = shape.iter().filter_map(|at| columns.get(*at)).map(|(name, _)| *name);
            shapes.push(Shape { ascends: names.is_sorted_by(|a, b| a < b), columns: shape });
        }
        let shape_column = Reader::new(reader.bytes()?, WHAT);
        Ok(Self { symbols, columns, shapes, shape_column, rest: reader })
    }

    fn symbol(&self, number: u32) -> Result<&'a str, Malformed> {
        self.symbols.get(number as usize).copied().ok_or(self.rest.malformed())
    }
}

/// Reads a batch of series as far as there are wanted ones, and hands those over. `wanted` are their numbers, ascending; that of the
/// first series is `first`.
pub(super) fn read_series(
    first: u32,
    record: &[u8],
    wanted: impl Iterator<Item = u32>,
    mut visit: impl FnMut(SeriesEntry),
) -> Result<(), Malformed> {
    let body = unpack(TAG_SERIES, record)?;
    let mut batch = Batch::read(&body)?;
    let bad = batch.rest.malformed();
    let mut column = || Ok(Reader::new(batch.rest.bytes()?, WHAT));
    let mut chunk_counts = column()?;
    let mut chunk_columns = ChunkColumns {
        samples: column()?,
        starts: column()?,
        spans: column()?,
        times: column()?,
        pages: column()?,
        slots: column()?,
        last: Last::default(),
    };
    let mut values = Vec::new();
    let mut pairs = Vec::new();
    let mut wanted = wanted.peekable();
    let mut index = 0;
    while !batch.shape_column.is_empty() && wanted.peek().is_some() {
        let shape = batch.shapes.get(batch.shape_column.u32()? as usize).ok_or(bad)?;
        values.clear();
        for &at in &shape.columns {
            let (name, column) = batch.columns.get_mut(at).ok_or(bad)?;
            values.push((*name, column.u32()?));
        }
        let n_chunks = chunk_counts.count_up_to(chunk_columns.slots.rest().len())?;
        let number = first.checked_add(index).ok_or(bad)?;
        let is_wanted = wanted.next_if_eq(&number).is_some();
        let mut chunks = Vec::with_capacity(if is_wanted { n_chunks } else { 0 });
        for _ in 0..n_chunks {
            let place = chunk_columns.next()?;
            if is_wanted {
                chunks.push(place);
            }
        }
        if is_wanted {
            pairs.clear();
            for &(name, value) in &values {
                pairs.push((name, batch.symbol(value)?));
            }
            let is_ready = shape.ascends && pairs.iter().all(|(_, value)| !value.is_empty());
            let labels = if is_ready {
                Labels::from_ascending(pairs.iter().copied())
            } else {
                Labels::from_pairs(pairs.iter().copied())
            };
            visit(SeriesEntry { number, labels, chunks });
        }
        index += 1;
    }
    Ok(())
}

/// Reads the values that a label has among the series that are wanted, and nothing else of a batch; a value may come more
/// than once.
pub(super) fn read_values_of(
    name: &str,
    first: u32,
    record: &[u8],
    wanted: impl Iterator<Item = u32>,
    mut visit: impl FnMut(&str),
) -> Result<(), Malformed> {
    let body = unpack(TAG_SERIES, record)?;
    let mut batch = Batch::read(&body)?;
    let bad = batch.rest.malformed();
    let Some(at) = batch.columns.iter().position(|(other, _)| *other == name) else { return Ok(()) };
    let has_name: Vec<bool> = batch.shapes.iter().map(|shape| shape.columns.contains(&at)).collect();
    let mut column = batch.columns.swap_remove(at).1;
    let mut wanted = wanted.peekable();
    let mut index = 0;
    while !batch.shape_column.is_empty() && wanted.peek().is_some() {
        let number = first.checked_add(index).ok_or(bad)?;
        let is_wanted = wanted.next_if_eq(&number).is_some();
        if *has_name.get(batch.shape_column.u32()? as usize).ok_or(bad)? {
            let value = column.u32()?;
            if is_wanted {
                visit(batch.symbol(value)?);
            }
        }
        index += 1;
    }
    Ok(())
}

struct ChunkColumns<'a> {
    samples: Reader<'a>,
    starts: Reader<'a>,
    spans: Reader<'a>,
    times: Reader<'a>,
    pages: Reader<'a>,
    slots: Reader<'a>,
    last: Last,
}

impl ChunkColumns<'_> {
    fn next(&mut self) -> Result<ChunkPlace, Malformed> {
        let bad = self.slots.malformed();
        let last = &mut self.last;
        last.n_samples = last.n_samples.wrapping_add(self.samples.varint()?);
        last.min_time = last.min_time.wrapping_add(self.starts.varint()?);
        last.span = last.span.wrapping_add(self.spans.varint()?);
        last.page = last.page.wrapping_add(self.pages.varint()?);
        last.slot = last.slot.wrapping_add(self.slots.varint()?).wrapping_add(1);
        let times = self.times.u32()?.checked_sub(1);
        Ok(ChunkPlace {
            min_time: last.min_time,
            max_time: last.min_time.wrapping_add(last.span),
            n_samples: u16::try_from(last.n_samples).map_err(|_| bad)?,
            at: ChunkAt::Page {
                page: u32::try_from(last.page).map_err(|_| bad)?,
                slot: u32::try_from(last.slot).map_err(|_| bad)?,
                times,
            },
        })
    }
}
