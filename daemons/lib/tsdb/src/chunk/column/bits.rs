//! A stream of bits, filled from the least significant end of each byte, so that a reader looks at 57 of them with one
//! load of eight bytes.

/// Appends bits to bytes.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits that are not in `out` yet, the next one at bit `n`.
    window: u64,
    /// Fewer than 32.
    n: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, window: 0, n: 0 }
    }

    /// Appends the low `width` bits (at most 32) of `value`, which has no others.
    #[inline]
    pub(super) fn put(&mut self, value: u64, width: u32) {
        debug_assert!(width <= 32 && value >> width == 0, "callers split wide fields and mask them");
        self.window |= value << self.n;
        self.n += width;
        if self.n >= 32 {
            self.out.extend_from_slice(&self.window.to_le_bytes()[..4]);
            self.window >>= 32;
            self.n -= 32;
        }
    }

    /// Appends the low `width` bits (at most 64) of `value`, which has no others.
    #[inline]
    pub(super) fn put_wide(&mut self, value: u64, width: u32) {
        if width > 32 {
            self.put(value & 0xffff_ffff, 32);
            self.put(value >> 32, width - 32);
        } else {
            self.put(value, width);
        }
    }

    /// Bits in the output, what was there before included.
    pub(super) fn position(&self) -> usize {
        self.out.len() * 8 + self.n as usize
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(self) {
        let n_bytes = self.n.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.window.to_le_bytes()[..n_bytes]);
    }
}

/// Bits that a [`peek`](BitReader::peek) shows at least.
pub(super) const PEEKED_BITS: u32 = 57;

/// Takes bits from bytes. Reads zeros behind the end; [`is_within`](Self::is_within) tells afterwards.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next 57 bits or more, from bit 0 on.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        let byte = self.at >> 3;
        let window = match self.bytes.get(byte..byte + 8) {
            Some(eight) => u64::from_le_bytes(eight.try_into().expect("eight bytes")),
            None => self.peek_at_end(byte),
        };
        window >> (self.at & 7)
    }

    #[cold]
    fn peek_at_end(&self, byte: usize) -> u64 {
        let mut eight = [0; 8];
        if let Some(rest) = self.bytes.get(byte..) {
            eight[..rest.len()].copy_from_slice(rest);
        }
        u64::from_le_bytes(eight)
    }

    /// Goes to a bit, counted from the start.
    pub(super) fn go_to(&mut self, bit: usize) {
        self.at = bit;
    }

    #[inline]
    pub(super) fn skip(&mut self, width: u32) {
        self.at += width as usize;
    }

    /// The next `width` bits, at most 64.
    #[inline]
    pub(super) fn take(&mut self, width: u32) -> u64 {
        if width > 56 {
            let low = self.take(32);
            return low | (self.take(width - 32) << 32);
        }
        let value = self.peek() & ((1 << width) - 1);
        self.skip(width);
        value
    }

    /// Whether all that was taken was there.
    pub(super) fn is_within(&self) -> bool {
        self.at <= self.bytes.len() * 8
    }

    /// Bits that were taken or skipped.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Bytes that were begun.
    pub(super) fn n_bytes(&self) -> usize {
        self.at.div_ceil(8)
    }
}
