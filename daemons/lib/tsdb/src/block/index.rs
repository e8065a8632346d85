//! The records of a block's index: batches of series ([`series_batch`](super::series_batch)), batches of label values with
//! their postings, and a table of contents that is all a reader keeps in memory.
//!
//! Each batch is compressed and has its own symbol table and checksum, so that one damaged byte costs the series of one
//! batch at most, and a query reads only the batches it needs.

use std::cell::RefCell;
use std::cmp::Ordering;

use cairn_disk::Format;
use cairn_disk::compress::{self, DecompressError, Decompressor};
use roaring::RoaringBitmap;

use super::index_v1;
use crate::codec::{Malformed, Reader, put_bytes, put_len, put_uvarint};
use crate::postings::Postings;

/// Kind and version of the file `index`.
pub const INDEX_FORMAT: Format = Format::new(*b"CAIRNMIX", 2);

/// A batch of series.
pub(super) const TAG_SERIES: u8 = 1;
/// A batch of values of one label.
pub(super) const TAG_VALUES: u8 = 2;
/// The table of contents.
pub(super) const TAG_CONTENTS: u8 = 3;

/// A batch is closed once it has so many bytes before compression: large enough to compress well, small enough to read
/// for one series.
pub(super) const BATCH_BYTES: usize = 32 << 10;

/// No batch is decompressed past this. One batch exceeds `BATCH_BYTES` by its last entry: labels are limited to 1 MiB,
/// the chunk list of a series in the longest block and the postings of one value to a few.
pub(super) const MAX_BATCH_BYTES: usize = 256 << 20;

/// An index is a twentieth of its block and compresses well: a high level costs little.
const LEVEL: i32 = 9;

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

    pub(super) fn push(&mut self, value: &str, postings: &Postings) {
        put_bytes(&mut self.body, value.as_bytes());
        let mut runs = Vec::new();
        match postings {
            Postings::One(id) => put_run(&mut runs, 0, *id, *id),
            Postings::Many(set) => {
                let mut next = 0;
                let mut run: Option<(u32, u32)> = None;
                for id in set {
                    run = match run {
                        Some((first, last)) if last + 1 == id => Some((first, id)),
                        Some((first, last)) => {
                            put_run(&mut runs, next, first, last);
                            next = last + 1;
                            Some((id, id))
                        }
                        None => Some((id, id)),
                    };
                }
                if let Some((first, last)) = run {
                    put_run(&mut runs, next, first, last);
                }
            }
        }
        put_bytes(&mut self.body, &runs);
        self.n_values += 1;
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

/// Numbers `first..=last`, of which the ones before end at `next`. Numbers alone are the usual case and take one field.
fn put_run(out: &mut Vec<u8>, next: u32, first: u32, last: u32) {
    let gap = u64::from(first - next) << 1;
    if first == last {
        put_uvarint(out, gap);
    } else {
        put_uvarint(out, gap | 1);
        put_uvarint(out, u64::from(last - first - 1));
    }
}

/// Reads what [`put_run`] wrote; all numbers are below `n_series`.
fn read_runs(bytes: &[u8], n_series: u64) -> Result<Postings, Malformed> {
    let mut reader = Reader::new(bytes, "postings");
    let mut set = RoaringBitmap::new();
    let mut next = 0u64;
    while !reader.is_empty() {
        let field = reader.uvarint()?;
        let first = next.checked_add(field >> 1).ok_or(reader.malformed())?;
        let more = if field & 1 == 1 { reader.uvarint()?.saturating_add(1) } else { 0 };
        let last = first.checked_add(more).filter(|&last| last < n_series).ok_or(reader.malformed())?;
        let id = |number: u64| u32::try_from(number).map_err(|_| Malformed("postings"));
        if next == 0 && more == 0 && reader.is_empty() {
            return Ok(Postings::One(id(first)?));
        }
        set.insert_range(id(first)?..=id(last)?);
        next = last + 1;
    }
    Ok(Postings::Many(set))
}

/// What to do with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Pass on.
    No,
    /// Hand over its series.
    Yes,
    /// This one and all after it are not wanted.
    End,
}

/// Reads a batch of values, ascending; hands those that are wanted over with the series that have them. Answers whether
/// the end was reached before [`Wanted::End`].
pub(super) fn read_values(
    version: u16,
    record: &[u8],
    n_series: u64,
    mut is_wanted: impl FnMut(&str) -> Wanted,
    mut visit: impl FnMut(&str, Postings),
) -> Result<bool, Malformed> {
    let body = unpack(TAG_VALUES, record)?;
    let mut reader = Reader::new(&body, "batch of label values");
    let n_values = reader.count()?;
    for _ in 0..n_values {
        let value = reader.str()?;
        match is_wanted(value) {
            Wanted::End => return Ok(false),
            Wanted::No if version == 1 => index_v1::skip_postings(&mut reader)?,
            Wanted::No => drop(reader.bytes()?),
            Wanted::Yes => {
                let postings = if version == 1 {
                    index_v1::read_postings(&mut reader)?
                } else {
                    read_runs(reader.bytes()?, n_series)?
                };
                let largest = match &postings {
                    Postings::One(id) => Some(*id),
                    Postings::Many(set) => set.max(),
                };
                if largest.is_some_and(|id| u64::from(id) >= n_series) {
                    return Err(reader.malformed());
                }
                visit(value, postings);
            }
        }
    }
    Ok(true)
}

/// For one value.
pub(super) fn only<'a>(value: &'a str) -> impl FnMut(&str) -> Wanted + 'a {
    move |other| match other.cmp(value) {
        Ordering::Less => Wanted::No,
        Ordering::Equal => Wanted::Yes,
        Ordering::Greater => Wanted::End,
    }
}

/// Where a record lies in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// The table of contents: what a reader keeps of a block.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents {
    /// Batches of series with the number of their first series, ascending.
    pub(super) series: Vec<(u32, Place)>,
    /// Label names, ascending, each with its batches of values and the first value of each, ascending.
    pub(super) labels: Vec<(String, Vec<(String, Place)>)>,
    /// Pages of the file `chunks`; none in version 1.
    pub(super) pages: Vec<Place>,
    /// Pages of time columns, ascending by the number of their first column.
    pub(super) times: Vec<TimesPage>,
}

/// A page of time columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TimesPage {
    /// Number of its first column.
    pub(super) first: u32,
    /// Where it lies in `chunks`.
    pub(super) place: Place,
    /// Where it lies once more, in `index`.
    pub(super) copy: Place,
}

fn put_place(body: &mut Vec<u8>, place: &Place) {
    put_uvarint(body, place.offset);
    put_len(body, place.len);
}

fn read_place(reader: &mut Reader<'_>) -> Result<Place, Malformed> {
    let offset = reader.uvarint()?;
    Ok(Place { offset, len: reader.u32()? as usize })
}

impl Contents {
    pub(super) fn to_record(&self) -> std::io::Result<Vec<u8>> {
        let Self { series, labels, pages, times } = self;
        let mut body = Vec::new();
        put_len(&mut body, series.len());
        for (first, place) in series {
            put_uvarint(&mut body, u64::from(*first));
            put_place(&mut body, place);
        }
        put_len(&mut body, labels.len());
        for (name, batches) in labels {
            put_bytes(&mut body, name.as_bytes());
            put_len(&mut body, batches.len());
            for (first_value, place) in batches {
                put_bytes(&mut body, first_value.as_bytes());
                put_place(&mut body, place);
            }
        }
        put_len(&mut body, pages.len());
        let mut end = 0;
        for place in pages {
            put_uvarint(&mut body, place.offset.wrapping_sub(end));
            put_len(&mut body, place.len);
            end = place.offset + place.len as u64;
        }
        put_len(&mut body, times.len());
        for TimesPage { first, place, copy } in times {
            put_uvarint(&mut body, u64::from(*first));
            put_place(&mut body, place);
            put_place(&mut body, copy);
        }
        pack(TAG_CONTENTS, &body)
    }

    pub(super) fn from_record(version: u16, record: &[u8]) -> Result<Self, Malformed> {
        let body = unpack(TAG_CONTENTS, record)?;
        let mut reader = Reader::new(&body, "table of contents");
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
        if version >= 2 {
            let mut end = 0u64;
            for _ in 0..reader.count()? {
                let Place { offset, len } = read_place(&mut reader)?;
                let offset = end.wrapping_add(offset);
                contents.pages.push(Place { offset, len });
                end = offset.wrapping_add(len as u64);
            }
            for _ in 0..reader.count()? {
                let first = reader.u32()?;
                let (place, copy) = (read_place(&mut reader)?, read_place(&mut reader)?);
                contents.times.push(TimesPage { first, place, copy });
            }
        }
        Ok(contents)
    }
}

pub(super) fn pack(tag: u8, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut record = vec![tag];
    record.extend_from_slice(&compress::compress(body, LEVEL)?);
    Ok(record)
}

pub(super) fn unpack(tag: u8, record: &[u8]) -> Result<Vec<u8>, Malformed> {
    match record.split_first() {
        Some((&found, packed)) if found == tag => decompress(packed).map_err(|_| Malformed("index record")),
        _ => Err(Malformed("index record: another kind was expected here")),
    }
}

thread_local! {
    /// Making one takes as long as using it.
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

fn decompress(packed: &[u8]) -> Result<Vec<u8>, DecompressError> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().map_err(DecompressError::Corrupt)?),
        };
        let mut out = Vec::new();
        decompressor.decompress(packed, MAX_BATCH_BYTES, &mut out)?;
        Ok(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postings_come_back_as_runs() {
        let sets: [&[u32]; 6] = [&[0], &[7], &[0, 1, 2], &[5, 6, 9, 11, 12, 13], &[0, 99], &[]];
        for set in sets {
            let postings = match set {
                [one] => Postings::One(*one),
                _ => Postings::Many(set.iter().copied().collect()),
            };
            let mut batch = ValuesBatch::new("a");
            batch.push("a", &postings);
            let record = batch.into_record().unwrap();
            let mut found = Vec::new();
            let visit = |value: &str, postings| found.push((value.to_owned(), postings));
            assert_eq!(read_values(2, &record, 100, only("a"), visit), Ok(true));
            assert_eq!(found, [("a".to_owned(), postings)]);
            let too_large = read_values(2, &record, 0, only("a"), |_, _| ());
            assert_eq!(too_large.is_err(), !set.is_empty(), "{set:?}");
        }
    }
}
