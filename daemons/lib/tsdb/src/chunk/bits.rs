//! A stream of bits, filled from the most significant end of each byte.

/// So many bytes lie beside the builder's other fields: the first samples of a chunk need no buffer of their own, and where
/// there are very many series, few chunks ever get one. With them an open chunk fits a piece of the allocator (104 bytes and
/// its own eight).
const INLINE_BYTES: usize = 32;

/// A buffer begins with this many bytes...
const FIRST_HEAP_BYTES: usize = 88;

/// ... and grows by this much. Doubling would leave a third of all open chunks' memory unused, and there is one for each
/// series; a chunk is short enough for the copies not to matter. All are multiples of [`WORD_BYTES`], and those of buffers
/// are eight less than a piece of the allocator.
const GROWTH_BYTES: usize = 48;

const WORD_BYTES: usize = 8;
const WORD_BITS: u32 = 64;

/// With fewer free bits in the word than this the next sample is likely to fill it.
const NEARLY_FULL_BITS: u32 = 24;

/// Appends bits to bytes.
///
/// The last word lies beside the builder's other fields and is moved to the others when it is full: most samples are a few
/// bits, and so do not touch the buffer, which is another place in memory for each series.
#[derive(Clone, Debug)]
pub(super) struct BitWriter {
    words: Words,
    /// The bits behind those, from the most significant end.
    word: u64,
    /// All bits.
    n_bits: u32,
}

/// Whole words, most significant byte first, and room for more. No `Vec`, whose length the number of bits tells already.
#[derive(Clone, Debug)]
enum Words {
    Inline([u8; INLINE_BYTES]),
    Heap(Box<[u8]>),
}

impl Words {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Heap(bytes) => bytes,
        }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Heap(bytes) => bytes,
        }
    }

    fn grow(&mut self) {
        let n_bytes = match self {
            Self::Inline(_) => FIRST_HEAP_BYTES,
            Self::Heap(bytes) => bytes.len() + GROWTH_BYTES,
        };
        let mut grown = Vec::with_capacity(n_bytes);
        grown.extend_from_slice(self.bytes());
        grown.resize(n_bytes, 0);
        *self = Self::Heap(grown.into_boxed_slice());
    }
}

impl BitWriter {
    pub(super) fn with_bytes(bytes: &[u8]) -> Self {
        let mut writer = Self { words: Words::Inline([0; INLINE_BYTES]), word: 0, n_bits: 0 };
        bytes.iter().for_each(|byte| writer.write(u64::from(*byte), 8));
        writer
    }

    /// What it takes in memory besides itself.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.words {
            Words::Inline(_) => 0,
            Words::Heap(bytes) => bytes.len(),
        }
    }

    /// Bytes of whole words.
    fn n_word_bytes(&self) -> usize {
        (self.n_bits / WORD_BITS) as usize * WORD_BYTES
    }

    /// Bytes that were begun.
    pub(super) fn n_bytes(&self) -> usize {
        self.n_bits.div_ceil(8) as usize
    }

    /// Appends all bytes to `out`, the last one filled with zeros.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        let in_words = self.n_word_bytes();
        out.extend_from_slice(&self.words.bytes()[..in_words]);
        out.extend_from_slice(&self.word.to_be_bytes()[..self.n_bytes() - in_words]);
    }

    /// As [`append_to`](Self::append_to), with other bytes in place of the first two.
    pub(super) fn with_head(&self, head: [u8; 2]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.n_bytes());
        self.append_to(&mut bytes);
        bytes[..2].copy_from_slice(&head);
        bytes
    }

    /// Where the word will be put when it is full, if that is likely to be soon and elsewhere than in the writer; else 0.
    pub(super) fn end_address(&self) -> usize {
        match &self.words {
            Words::Heap(bytes) if self.n_bits % WORD_BITS > WORD_BITS - NEARLY_FULL_BITS => {
                bytes.get(self.n_word_bytes()).map_or(0, crate::prefetch::address_of)
            }
            Words::Heap(_) | Words::Inline(_) => 0,
        }
    }

    /// Appends the low `width` bits (at most 64) of `value`.
    #[inline]
    pub(super) fn write(&mut self, value: u64, width: u32) {
        debug_assert!(width <= WORD_BITS);
        // The bits at the top, none above them: so both parts are one shift each.
        let Some(top) = value.checked_shl(WORD_BITS - width) else { return };
        let n_before = self.n_bits % WORD_BITS;
        self.word |= top >> n_before;
        if n_before + width >= WORD_BITS {
            self.put_word();
            self.word = top.checked_shl(WORD_BITS - n_before).unwrap_or(0);
        }
        self.n_bits += width;
    }

    /// Moves the full word to the others.
    fn put_word(&mut self) {
        let at = self.n_word_bytes();
        if at == self.words.bytes().len() {
            self.words.grow();
        }
        self.words.bytes_mut()[at..at + WORD_BYTES].copy_from_slice(&self.word.to_be_bytes());
    }

    pub(super) fn write_prefixed(&mut self, prefix: u64, prefix_width: u32, value: u64, width: u32) {
        self.write(prefix, prefix_width);
        self.write(value, width);
    }

    /// Appends a number in groups of seven bits, which [`BitReader::uvarint`] reads.
    pub(super) fn write_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write((value & 0x7f) | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
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
