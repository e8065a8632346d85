//! Units: records that are replayed all together or not at all. They are one record of the log, so its checksum holds for all
//! of them, and a write that breaks off leaves nothing.

use super::{RECORD_VERSION, TAG_UNIT, WHAT};
use crate::codec::{Malformed, Reader, put_len};

/// Memory that is kept for the next unit; more is given back.
const KEPT_BYTES: usize = 1 << 20;

/// Gathers the records of a unit.
#[derive(Debug, Default)]
pub(crate) struct UnitEncoder {
    record: Vec<u8>,
    n_records: usize,
    /// Where the last one starts.
    last: usize,
}

impl UnitEncoder {
    /// Starts a unit.
    pub(crate) fn begin(&mut self) {
        self.record.clear();
        self.record.extend_from_slice(&[RECORD_VERSION, TAG_UNIT]);
        self.n_records = 0;
    }

    /// Adds a record, which comes after those before it.
    pub(crate) fn push(&mut self, record: &[u8]) {
        put_len(&mut self.record, record.len());
        self.last = self.record.len();
        self.record.extend_from_slice(record);
        self.n_records += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_records == 0
    }

    /// What goes into the log: of a unit of one record, as most are, that one.
    pub(crate) fn finish(&self) -> &[u8] {
        if self.n_records == 1 { &self.record[self.last..] } else { &self.record }
    }

    /// Gives back what a large unit took.
    pub(crate) fn release(&mut self) {
        self.record.clear();
        self.record.shrink_to(KEPT_BYTES);
    }
}

/// The records of a unit.
///
/// # Errors
/// [`Malformed`], before the first of them was used, when one does not fit.
pub(super) fn records(mut unit: Reader<'_>) -> Result<Vec<&[u8]>, Malformed> {
    let mut records = Vec::new();
    while !unit.is_empty() {
        let record = unit.bytes()?;
        // No unit within a unit: so reading one goes no deeper.
        if record.len() < 2 || record[1] == TAG_UNIT {
            return Err(Malformed(WHAT));
        }
        records.push(record);
    }
    Ok(records)
}
