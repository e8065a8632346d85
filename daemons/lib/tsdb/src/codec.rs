//! Numbers and strings as the log, the checkpoint and the blocks write them: LEB128, zig-zag, length before text.

use cairn_model::{Labels, LabelsBuilder};

/// The bytes are not what a writer of ours produced, although their checksum holds: another format, or a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// More labels than any configured limit lets in; a larger number is damage, and nothing is allocated for it.
const MAX_LABELS: u64 = 10_000;

pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

pub(crate) fn put_len(out: &mut Vec<u8>, len: usize) {
    put_uvarint(out, len as u64);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(crate) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_len(out, labels.len());
    for (name, value) in labels.iter() {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Reads what the functions above wrote. Never panics, never allocates from a length it has not checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// What is being read, for the error.
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn malformed(&self) -> Malformed {
        Malformed(self.what)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.bytes.split_first().ok_or(self.malformed())?;
        self.bytes = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u64, Malformed> {
        // Most numbers are differences, and have one byte.
        match self.bytes {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.bytes = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_uvarint(),
        }
    }

    fn long_uvarint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed())
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i64, Malformed> {
        self.uvarint().map(unzigzag)
    }

    /// A number of things of which each takes at least one byte of what follows.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.uvarint()?).map_err(|_| self.malformed())?;
        if count > self.bytes.len() { Err(self.malformed()) } else { Ok(count) }
    }

    /// A number of at most `limit`.
    pub(crate) fn count_up_to(&mut self, limit: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.uvarint()?).map_err(|_| self.malformed())?;
        if count > limit { Err(self.malformed()) } else { Ok(count) }
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.uvarint()?).map_err(|_| self.malformed())
    }

    pub(crate) fn u64_le(&mut self) -> Result<u64, Malformed> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(self.malformed())?;
        self.bytes = rest;
        Ok(u64::from_le_bytes(*first))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count()?;
        self.take(len)
    }

    /// The next so many bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(self.malformed())?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.malformed())
    }

    pub(crate) fn labels(&mut self) -> Result<Labels, Malformed> {
        let count = self.uvarint()?;
        if count > MAX_LABELS {
            return Err(self.malformed());
        }
        let mut builder = LabelsBuilder::new();
        for _ in 0..count {
            let name = self.str()?;
            builder.set(name, self.str()?);
        }
        Ok(builder.build())
    }
}

/// Bytes that a build of some version wrote and that every later build must read: a file of hexadecimal digits in
/// `testdata`. What this build writes must be the same where the version is the current one.
#[cfg(test)]
pub(crate) fn frozen(name: &str, written: &[u8], is_current: bool) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let path = format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    let frozen = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}; this build writes {}", hex(written)));
    let digits: Vec<u8> = frozen.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16).expect("a byte");
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    if is_current {
        assert_eq!(hex(written), hex(&bytes), "{name}: what is written changed; raise the version");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        let mut bytes = Vec::new();
        let signed = [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN];
        for value in signed {
            put_varint(&mut bytes, value);
        }
        put_uvarint(&mut bytes, u64::MAX);
        let mut reader = Reader::new(&bytes, "test");
        for value in signed {
            assert_eq!(reader.varint(), Ok(value));
        }
        assert_eq!(reader.uvarint(), Ok(u64::MAX));
        assert!(reader.is_empty());
        assert_eq!(Reader::new(&[0x80; 11], "test").uvarint(), Err(Malformed("test")));
    }

    #[test]
    fn claimed_lengths_are_checked_before_use() {
        let mut bytes = Vec::new();
        put_uvarint(&mut bytes, u64::MAX);
        assert!(Reader::new(&bytes, "x").bytes().is_err());
        assert!(Reader::new(&bytes, "x").labels().is_err());
        assert!(Reader::new(&[3, b'a', b'b'], "x").bytes().is_err());
    }

    #[test]
    fn labels_round_trip() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "näme")]);
        let mut bytes = Vec::new();
        put_labels(&mut bytes, &labels);
        assert_eq!(Reader::new(&bytes, "x").labels(), Ok(labels));
    }
}
