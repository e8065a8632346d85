//! Records of exemplars: series, then the exemplar itself, one after the other.

use crate::codec::{Malformed, Reader, put_uvarint};
use crate::exemplars::Stored;

/// Appends an exemplar of a series to a record.
pub(crate) fn push_exemplar(record: &mut Vec<u8>, series: u64, exemplar: &Stored) {
    put_uvarint(record, series);
    exemplar.write(record);
}

/// Reads what [`push_exemplar`] wrote, until the record ends.
pub(super) fn read_exemplars(
    reader: &mut Reader<'_>,
    mut visit: impl FnMut(u64, Stored),
) -> Result<(), Malformed> {
    while !reader.is_empty() {
        let series = reader.uvarint()?;
        visit(series, Stored::read(reader)?);
    }
    Ok(())
}
