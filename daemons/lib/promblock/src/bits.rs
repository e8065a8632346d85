//! A stream of bits, filled from the most significant end of each byte, and the numbers of variable width in it.

use crate::bytes::{unzigzag, zigzag};
use crate::error::Malformed;

const END: Malformed = Malformed("chunk: it ends too early");

/// Widths that follow the prefixes `10`, `110` and so on, up to seven ones and a zero; eight ones precede 64 bits.
const VARBIT_WIDTHS: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

/// Appends bits to bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are still free.
    free: u32,
}

impl BitWriter {
    pub(crate) fn with_bytes(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), free: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends the low `width` bits (at most 64) of `value`.
    pub(crate) fn write(&mut self, value: u64, mut width: u32) {
        while width > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = width.min(self.free);
            let part = (value >> (width - take)) & ((1 << take) - 1);
            let last = self.bytes.last_mut().expect("a byte was pushed above");
            *last |= u8::try_from(part << (self.free - take)).expect("at most 8 bits, shifted within a byte");
            self.free -= take;
            width -= take;
        }
    }

    pub(crate) fn write_f64(&mut self, value: f64) {
        self.write(value.to_bits(), 64);
    }

    /// LEB128, byte by byte into the stream of bits.
    pub(crate) fn write_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write((value & 0x7f) | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    pub(crate) fn write_varint(&mut self, value: i64) {
        self.write_uvarint(zigzag(value));
    }

    /// A signed number: `0`, or a prefix and as many bits as it needs.
    pub(crate) fn write_varbit_int(&mut self, value: i64) {
        if value == 0 {
            return self.write(0, 1);
        }
        let fits = |width: u32| value > -(1 << (width - 1)) && value <= 1 << (width - 1);
        self.write_varbit(value.cast_unsigned(), fits);
    }

    /// The same for a number without sign.
    pub(crate) fn write_varbit_uint(&mut self, value: u64) {
        if value == 0 {
            return self.write(0, 1);
        }
        self.write_varbit(value, |width| value >> width == 0);
    }

    fn write_varbit(&mut self, value: u64, fits: impl Fn(u32) -> bool) {
        for (ones, width) in (1..).zip(VARBIT_WIDTHS) {
            if fits(width) {
                // `ones` ones and a zero.
                self.write((1 << (ones + 1)) - 2, ones + 1);
                return self.write(value, width);
            }
        }
        self.write(0xff, 8);
        self.write(value, 64);
    }
}

/// A field of `width` bits that holds -(2^(width-1) - 1) ..= 2^(width-1).
pub(crate) fn sign_extend(raw: u64, width: u32) -> i64 {
    let raw = raw.cast_signed();
    if raw > 1 << (width - 1) { raw - (1 << width) } else { raw }
}

/// Takes bits from bytes.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bits, from the most significant end.
    window: u64,
    /// How many of them are valid.
    valid: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, window: 0, valid: 0 }
    }

    /// Bits that are left: a bound for what can still follow, before memory is taken for it.
    pub(crate) fn bits_left(&self) -> usize {
        self.bytes.len() * 8 + self.valid as usize
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

    /// The next `width` bits (1 to 64).
    pub(crate) fn read(&mut self, width: u32) -> Result<u64, Malformed> {
        if width > 32 {
            let high = self.read(width - 32)?;
            return Ok((high << 32) | self.read(32)?);
        }
        if self.valid < width {
            self.refill();
            if self.valid < width {
                return Err(END);
            }
        }
        let value = self.window >> (64 - width);
        self.window <<= width;
        self.valid -= width;
        Ok(value)
    }

    pub(crate) fn read_f64(&mut self) -> Result<f64, Malformed> {
        self.read(64).map(f64::from_bits)
    }

    /// How many ones come before a zero, at most `most`; the zero is taken, too.
    pub(crate) fn ones(&mut self, most: u32) -> Result<u32, Malformed> {
        let mut ones = 0;
        while ones < most && self.read(1)? == 1 {
            ones += 1;
        }
        Ok(ones)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.read(8)?;
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("chunk: a number of more than 64 bits"))
    }

    pub(crate) fn varint(&mut self) -> Result<i64, Malformed> {
        self.uvarint().map(unzigzag)
    }

    pub(crate) fn varbit_int(&mut self) -> Result<i64, Malformed> {
        match self.ones(8)? {
            0 => Ok(0),
            8 => self.read(64).map(u64::cast_signed),
            ones => {
                let width = VARBIT_WIDTHS[ones as usize - 1];
                self.read(width).map(|raw| sign_extend(raw, width))
            }
        }
    }

    pub(crate) fn varbit_uint(&mut self) -> Result<u64, Malformed> {
        match self.ones(8)? {
            0 => Ok(0),
            8 => self.read(64),
            ones => self.read(VARBIT_WIDTHS[ones as usize - 1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varbit_numbers_round_trip_at_every_border() {
        let mut signed = vec![0, i64::MAX, i64::MIN, 1 - (1 << 62)];
        let mut unsigned = vec![0, u64::MAX];
        for width in VARBIT_WIDTHS {
            let half = 1i64 << (width - 1);
            signed.extend([half, half + 1, half - 1, -half, 1 - half, -half - 1]);
            unsigned.extend([(1u64 << width) - 1, 1 << width, 1]);
        }
        let mut writer = BitWriter::default();
        signed.iter().for_each(|&value| writer.write_varbit_int(value));
        unsigned.iter().for_each(|&value| writer.write_varbit_uint(value));
        writer.write_varint(-5);
        writer.write_uvarint(u64::MAX);
        let mut reader = BitReader::new(writer.bytes());
        for value in signed {
            assert_eq!(reader.varbit_int(), Ok(value));
        }
        for value in unsigned {
            assert_eq!(reader.varbit_uint(), Ok(value));
        }
        assert_eq!((reader.varint(), reader.uvarint()), (Ok(-5), Ok(u64::MAX)));
        assert!(reader.bits_left() < 8 && reader.read(8).is_err());
    }

    #[test]
    fn the_widths_are_those_of_the_format() {
        // From the format page: one bit for 0, 2 + 3 for small ones.
        let width = |value: i64| {
            let mut writer = BitWriter::default();
            writer.write_varbit_int(value);
            writer.bytes().len() * 8 - writer.free as usize
        };
        assert_eq!([0, 4, -3, 5, -4].map(width), [1, 5, 5, 9, 9]);
        assert_eq!([32, 33, 256, 2048, 2049].map(width), [9, 13, 13, 17, 24]);
        assert_eq!([i64::MAX, 1 << 55, 1 << 24].map(width), [72, 64, 32]);
    }
}
