//! Numbers, texts and label sets as bytes; shared by the WAL record, the chunk and the catalogue.
//!
//! Fixed numbers are little-endian. `uvarint` is LEB128 of at most ten bytes; a text is its length as uvarint, then
//! its bytes; a label set is the number of labels, then name and value of each, ascending by name.

use cairn_model::Labels;

/// Labels in one set, names and values. The daemons allow far fewer; this bounds what a damaged length can allocate.
pub(crate) const MAX_LABELS: u64 = 4096;
/// One name or value.
pub(crate) const MAX_LABEL_TEXT_BYTES: u64 = 1 << 20;
/// A tenant's name.
pub(crate) const MAX_TENANT_BYTES: u64 = 256;

/// Bytes that do not mean what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} is not readable")]
pub struct DecodeError {
    /// What was expected.
    pub what: &'static str,
    /// Where, from the start of the record or block.
    pub at: usize,
}

pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Zigzag, so that small negative numbers are short too.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_uvarint(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

/// Reads what the `put_` functions wrote; every length is checked before anything is allocated.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Bytes not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { what, at: self.at }
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some(taken) = self.bytes.get(self.at..).and_then(|rest| rest.get(..len)) else {
            return Err(self.error(what));
        };
        self.at += len;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.take(1, what)?[0])
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.fixed(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.fixed(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.fixed(what).map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.fixed(what).map(i64::from_le_bytes)
    }

    fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(crate) fn uvarint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.error(what));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error(what))
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let raw = self.uvarint(what)?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// A count of things that take at least `unit` bytes each in what remains.
    pub(crate) fn count(&mut self, unit: usize, what: &'static str) -> Result<usize, DecodeError> {
        let count = self.uvarint(what)?;
        match usize::try_from(count) {
            Ok(count) if count <= self.remaining() / unit => Ok(count),
            _ => Err(self.error(what)),
        }
    }

    pub(crate) fn bytes(&mut self, max: u64, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.uvarint(what)?;
        match usize::try_from(len) {
            Ok(length) if len <= max => self.take(length, what),
            _ => Err(self.error(what)),
        }
    }

    pub(crate) fn text(&mut self, max: u64, what: &'static str) -> Result<&'a str, DecodeError> {
        let at = self.at;
        std::str::from_utf8(self.bytes(max, what)?).map_err(|_| DecodeError { what, at })
    }

    pub(crate) fn labels(&mut self, what: &'static str) -> Result<Labels, DecodeError> {
        let count = self.uvarint(what)?;
        if count > MAX_LABELS {
            return Err(self.error(what));
        }
        let mut pairs = Vec::new();
        for _ in 0..count {
            let name = self.text(MAX_LABEL_TEXT_BYTES, what)?;
            pairs.push((name, self.text(MAX_LABEL_TEXT_BYTES, what)?));
        }
        Ok(Labels::from_pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_labels_come_back(numbers: Vec<u64>, signed: Vec<i64>, pairs: Vec<(String, String)>) {
            let labels = Labels::from_pairs(pairs);
            let mut bytes = Vec::new();
            numbers.iter().for_each(|n| put_uvarint(&mut bytes, *n));
            signed.iter().for_each(|n| put_varint(&mut bytes, *n));
            put_labels(&mut bytes, &labels);
            let mut reader = Reader::new(&bytes);
            for number in &numbers {
                prop_assert_eq!(reader.uvarint("n").unwrap(), *number);
            }
            for number in &signed {
                prop_assert_eq!(reader.varint("s").unwrap(), *number);
            }
            prop_assert_eq!(reader.labels("l").unwrap(), labels);
            prop_assert_eq!(reader.remaining(), 0);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Reader::new(&bytes).labels("l");
            let _ = Reader::new(&bytes).varint("l");
            let _ = Reader::new(&bytes).bytes(10, "l");
        }
    }

    #[test]
    fn too_long_numbers_and_lengths_are_refused() {
        assert!(Reader::new(&[0xff; 10]).uvarint("n").is_err());
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).uvarint("n").unwrap(),
            u64::MAX
        );
        assert!(Reader::new(&[5, 1, 2]).bytes(10, "b").is_err());
        assert!(Reader::new(&[3, 1, 2, 3]).bytes(2, "b").is_err());
        assert!(Reader::new(&[200, 1]).count(1, "c").is_err());
    }
}
