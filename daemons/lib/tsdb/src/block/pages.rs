//! Pages: small pieces of bytes one after the other in one record with one checksum, found by their number.

use std::collections::HashMap;

use crate::codec::{Malformed, Reader, put_uvarint};

/// A page is closed at this size. Larger ones cost more to read for one series; smaller ones need more checksums and a
/// longer list of pages in memory.
const PAGE_BYTES: usize = 16 << 10;

/// A page of chunks.
pub(super) const TAG_CHUNKS: u8 = 1;
/// A page of time columns.
pub(super) const TAG_TIMES: u8 = 2;

const BAD: Malformed = Malformed("page");

/// Collects pieces into a page. Of equal pieces there is one: the hundred hosts of a fleet have the same constants.
#[derive(Debug, Default)]
pub(super) struct PageWriter {
    ends: Vec<usize>,
    data: Vec<u8>,
    by_hash: HashMap<u64, u32>,
}

impl PageWriter {
    /// Adds a piece, or finds it; answers its number.
    pub(super) fn push(&mut self, piece: &[u8]) -> u32 {
        let hash = xxhash_rust::xxh3::xxh3_64(piece);
        if let Some(&slot) = self.by_hash.get(&hash)
            && self.piece(slot as usize) == piece
        {
            return slot;
        }
        let slot = self.push_new(piece);
        self.by_hash.insert(hash, slot);
        slot
    }

    /// Adds a piece, whether or not there is an equal one: its number is one more than that of the last one.
    pub(super) fn push_new(&mut self, piece: &[u8]) -> u32 {
        let slot = u32::try_from(self.ends.len()).expect("a page has at most a few thousand pieces");
        self.data.extend_from_slice(piece);
        self.ends.push(self.data.len());
        slot
    }

    fn piece(&self, slot: usize) -> &[u8] {
        let start = if slot == 0 { 0 } else { self.ends[slot - 1] };
        &self.data[start..self.ends[slot]]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.data.len() >= PAGE_BYTES
    }

    /// The finished record; the page is empty afterwards.
    pub(super) fn take_record(&mut self, tag: u8) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.data.len() + 2 * self.ends.len() + 8);
        record.push(tag);
        put_uvarint(&mut record, self.ends.len() as u64);
        let mut start = 0;
        for &end in &self.ends {
            put_uvarint(&mut record, (end - start) as u64);
            start = end;
        }
        record.extend_from_slice(&self.data);
        self.ends.clear();
        self.data.clear();
        self.by_hash.clear();
        record
    }
}

/// A page that was read.
#[derive(Debug)]
pub(super) struct Page {
    record: Vec<u8>,
    /// Where each piece starts in the record, and where the last one ends.
    borders: Vec<usize>,
}

impl Page {
    pub(super) fn parse(tag: u8, record: Vec<u8>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&record, "page");
        if reader.byte()? != tag {
            return Err(BAD);
        }
        let n = reader.count()?;
        let mut lens = Vec::with_capacity(n);
        for _ in 0..n {
            lens.push(reader.count_up_to(record.len())?);
        }
        let mut at = record.len() - reader.rest().len();
        let mut borders = Vec::with_capacity(n + 1);
        borders.push(at);
        for len in lens {
            at += len;
            borders.push(at);
        }
        if at != record.len() {
            return Err(BAD);
        }
        Ok(Self { record, borders })
    }

    pub(super) fn piece(&self, slot: u32) -> Result<&[u8], Malformed> {
        let slot = slot as usize;
        match (self.borders.get(slot), self.borders.get(slot + 1)) {
            (Some(&start), Some(&end)) => Ok(&self.record[start..end]),
            _ => Err(BAD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_and_equal_ones_are_kept_once() {
        let mut writer = PageWriter::default();
        let slots: Vec<u32> =
            ["one", "", "two", "one", ""].map(|piece| writer.push(piece.as_bytes())).to_vec();
        assert_eq!(slots, [0, 1, 2, 0, 1]);
        let record = writer.take_record(TAG_TIMES);
        assert!(writer.is_empty());
        let page = Page::parse(TAG_TIMES, record.clone()).unwrap();
        let pieces: Vec<&[u8]> = (0..3).map(|slot| page.piece(slot).unwrap()).collect();
        assert_eq!(pieces, [b"one", &b""[..], b"two"]);
        assert!(page.piece(3).is_err() && page.piece(u32::MAX).is_err());
        assert!(Page::parse(TAG_CHUNKS, record.clone()).is_err(), "another kind of page");
        for len in 0..record.len() {
            assert!(Page::parse(TAG_TIMES, record[..len].to_vec()).is_err());
        }
    }
}
