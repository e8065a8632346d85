//! A stream of bits, filled from the most significant end of each byte.

/// Buffers grow by this much. Doubling would leave a third of all open chunks' memory unused, and there is one for each
/// series; a chunk is short enough for the copies not to matter.
const GROWTH_BYTES: usize = 48;

/// Appends bits to bytes.
#[derive(Clone, Debug)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are still free.
    free: u32,
}

impl BitWriter {
    pub(super) fn with_bytes(bytes: &[u8]) -> Self {
        let mut buffer = Vec::with_capacity(GROWTH_BYTES);
        buffer.extend_from_slice(bytes);
        Self { bytes: buffer, free: 0 }
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// For writing whole bytes; the stream must be at a byte's border, or the write must not append.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends the low `width` bits (at most 64) of `value`.
    pub(super) fn write(&mut self, value: u64, width: u32) {
        debug_assert!(width <= 64);
        // The bits at the top, none above them: so both parts are one shift each.
        let Some(mut top) = value.checked_shl(64 - width) else { return };
        let mut left = width;
        if self.free > 0 {
            let last = self.bytes.last_mut().expect("bits are free in it");
            *last |= top.wrapping_shr(64 - self.free).to_le_bytes()[0];
            if left <= self.free {
                self.free -= left;
                return;
            }
            top <<= self.free;
            left -= self.free;
        }
        let n_bytes = left.div_ceil(8) as usize;
        if self.bytes.capacity() - self.bytes.len() < n_bytes {
            self.bytes.reserve_exact(GROWTH_BYTES);
        }
        self.bytes.extend_from_slice(&top.to_be_bytes()[..n_bytes]);
        self.free = left.wrapping_neg() % 8;
    }

    pub(super) fn write_prefixed(&mut self, prefix: u64, prefix_width: u32, value: u64, width: u32) {
        self.write(prefix, prefix_width);
        self.write(value, width);
    }
}

/// Takes bits from bytes.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bits, from the most significant end.
    window: u64,
    /// How many of them are valid.
    valid: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, window: 0, valid: 0 }
    }

    fn refill(&mut self) {
        while self.valid <= 56
            && let Some((&next, rest)) = self.bytes.split_first()
        {
            self.window |= u64::from(next) << (56 - self.valid);
            self.valid += 8;
            self.bytes = rest;
        }
    }

    /// The next `width` bits (1 to 64); `None` at the end.
    pub(super) fn read(&mut self, width: u32) -> Option<u64> {
        if width > 32 {
            let high = self.read(width - 32)?;
            return Some((high << 32) | self.read(32)?);
        }
        if self.valid < width {
            self.refill();
            if self.valid < width {
                return None;
            }
        }
        let value = self.window >> (64 - width);
        self.window <<= width;
        self.valid -= width;
        Some(value)
    }

    pub(super) fn read_u32(&mut self, width: u32) -> Option<u32> {
        debug_assert!(width <= 32, "the caller asks for small fields");
        self.read(width).and_then(|value| u32::try_from(value).ok())
    }

    pub(super) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.read(8)?;
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}
