//! Places in a column from which it can be decoded: who wants a few samples of a long chunk does not decode all that come
//! before them.

use super::bits::BitReader;
use crate::codec::{Malformed, Reader, put_len, put_uvarint, put_varint};

/// So many codes lie between two marks. Four bytes for a mark make two hundredths of a byte a sample, of those columns that
/// have codes at all.
pub(super) const EVERY: usize = 128;

/// A column of fewer codes has no marks.
const MIN_CODES: usize = 2 * EVERY;

/// A place in a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bits before it in the stream, counted from its start.
    pub(super) bit: usize,
    /// Residuals before it.
    pub(super) at: usize,
    /// Sum of those residuals; wraps.
    pub(super) sum: i64,
    /// Codes before it.
    pub(super) code: usize,
}

/// Whether a column of so many codes has marks.
pub(super) fn are_worth_it(n_codes: usize) -> bool {
    n_codes >= MIN_CODES
}

/// Whether there is a mark before code number `code`.
pub(super) fn is_before(code: usize) -> bool {
    code > 0 && code.is_multiple_of(EVERY)
}

/// Appends how long the stream of codes is, and its marks. Residuals are counted where `has_runs`, summed up where `has_sums`;
/// elsewhere they follow from the number of the mark, or are of no use.
pub(super) fn put(out: &mut Vec<u8>, n_stream: usize, marks: &[Mark], has_runs: bool, has_sums: bool) {
    put_len(out, n_stream);
    let mut last = Mark::default();
    for mark in marks {
        put_uvarint(out, (mark.bit - last.bit) as u64);
        if has_runs {
            put_uvarint(out, (mark.at - last.at) as u64);
        }
        if has_sums {
            put_varint(out, mark.sum.wrapping_sub(last.sum));
        }
        last = *mark;
    }
}

/// What [`put`] has written: answers the length of the stream, and fills `marks` with the start of the column and each mark in it.
///
/// # Errors
/// [`Malformed`] when the marks are not whole, or leave the stream.
pub(super) fn read(
    reader: &mut Reader<'_>,
    n_codes: usize,
    has_runs: bool,
    has_sums: bool,
    marks: &mut Vec<Mark>,
) -> Result<usize, Malformed> {
    let bad = reader.malformed();
    let n_stream = reader.count_up_to(reader.rest().len())?;
    let mut mark = Mark::default();
    marks.clear();
    marks.push(mark);
    while mark.code + EVERY < n_codes {
        mark.code += EVERY;
        mark.bit += reader.count_up_to(n_stream * 8)?;
        mark.at = if has_runs { mark.at + reader.count_up_to(usize::from(u16::MAX))? } else { mark.code };
        if has_sums {
            mark.sum = mark.sum.wrapping_add(reader.varint()?);
        }
        if mark.bit > n_stream * 8 {
            return Err(bad);
        }
        marks.push(mark);
    }
    Ok(n_stream)
}

/// Moves a reader of a stream to a mark in it.
pub(super) fn go_to(mark: Mark, bits: &mut BitReader<'_>) {
    if mark.code > 0 {
        bits.go_to(mark.bit);
    }
}
