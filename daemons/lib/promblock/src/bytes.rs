//! Numbers and strings in whole bytes: big-endian, LEB128, zig-zag; and a reader that believes no length.

use crate::error::Malformed;

/// For lengths that were held against a limit far below what memory can hold.
pub(crate) fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Reads from the front. Never panics, never allocates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` is being read, for the error.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    pub(crate) fn malformed(&self) -> Malformed {
        Malformed(self.what)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.bytes.split_first_chunk::<N>().ok_or(self.malformed())?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(crate) fn u32_be(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn u64_be(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed())
    }

    pub(crate) fn varint(&mut self) -> Result<i64, Malformed> {
        self.uvarint().map(unzigzag)
    }

    /// A number of things of which each takes at least one byte of what follows.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.uvarint()?).map_err(|_| self.malformed())?;
        if count > self.bytes.len() { Err(self.malformed()) } else { Ok(count) }
    }

    pub(crate) fn str_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count()?;
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_lengths_are_checked() {
        let mut bytes = Vec::new();
        let signed = [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN];
        for value in signed {
            put_varint(&mut bytes, value);
        }
        put_uvarint(&mut bytes, u64::MAX);
        put_str(&mut bytes, "é");
        let mut reader = Reader::new(&bytes, "test");
        for value in signed {
            assert_eq!(reader.varint(), Ok(value));
        }
        assert_eq!(reader.uvarint(), Ok(u64::MAX));
        assert_eq!(reader.str_bytes(), Ok("é".as_bytes()));
        assert!(reader.is_empty());
        assert!(Reader::new(&[3, b'a', b'b'], "x").str_bytes().is_err());
        assert!(Reader::new(&[0x80; 11], "x").uvarint().is_err());
    }
}
