//! Version 1 of the index, and of the file `chunks`, where each chunk was a record of its own: only read.

use cairn_model::LabelsBuilder;
use roaring::RoaringBitmap;

use super::index::{TAG_SERIES, unpack};
use super::{ChunkAt, ChunkPlace, SeriesEntry};
use crate::codec::{Malformed, Reader};
use crate::postings::Postings;

/// Reads a batch of series, of which the first has this number.
pub(super) fn read_series(first: u32, record: &[u8]) -> Result<Vec<SeriesEntry>, Malformed> {
    let body = unpack(TAG_SERIES, record)?;
    let mut reader = Reader::new(&body, "batch of series");
    let n_symbols = reader.count()?;
    let symbols: Vec<&str> = (0..n_symbols).map(|_| reader.str()).collect::<Result<_, _>>()?;
    let n_series = reader.count()?;
    let mut entries = Vec::with_capacity(n_series);
    for number in first.. {
        if entries.len() == n_series {
            break;
        }
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
            chunks.push(ChunkPlace { min_time, max_time, n_samples, at: ChunkAt::Record { offset, len } });
            last_time = max_time;
            last_end = offset.wrapping_add(u64::from(len));
        }
        entries.push(SeriesEntry { number, labels: labels.build(), chunks });
    }
    Ok(entries)
}

/// Reads the series of a label pair: 0 and the number of the only one, or the length of a bitmap and the bitmap.
pub(super) fn read_postings(reader: &mut Reader<'_>) -> Result<Postings, Malformed> {
    let mut set_reader = *reader;
    if set_reader.uvarint()? == 0 {
        reader.byte()?;
        return Ok(Postings::One(reader.u32()?));
    }
    let set = RoaringBitmap::deserialize_from(reader.bytes()?).map_err(|_| reader.malformed())?;
    Ok(Postings::Many(set))
}

/// Passes over the series of a label pair.
pub(super) fn skip_postings(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let mut set_reader = *reader;
    if set_reader.uvarint()? == 0 {
        reader.byte()?;
        reader.u32()?;
    } else {
        reader.bytes()?;
    }
    Ok(())
}
