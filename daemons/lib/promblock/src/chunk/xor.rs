//! Floats as the XOR with the float before them.

use crate::bits::{BitReader, BitWriter};
use crate::error::Malformed;

const BAD: Malformed = Malformed("chunk: significant bits beyond 64");

/// One column of floats: the last value, and the window of bits that its last change lay in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct XorColumn {
    pub(super) bits: u64,
    /// Width of the window; 0 as long as there is none.
    width: u32,
    leading: u32,
}

impl XorColumn {
    pub(super) fn starting_with(value: f64) -> Self {
        Self { bits: value.to_bits(), ..Self::default() }
    }

    pub(super) fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }

    pub(super) fn write(&mut self, out: &mut BitWriter, value: f64) {
        let xor = value.to_bits() ^ self.bits;
        self.bits = value.to_bits();
        if xor == 0 {
            return out.write(0, 1);
        }
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        let window_end = 64 - self.leading - self.width;
        if self.width > 0 && leading >= self.leading && trailing >= window_end {
            out.write(0b10, 2);
            return out.write(xor >> window_end, self.width);
        }
        (self.leading, self.width) = (leading, 64 - leading - trailing);
        out.write(0b11, 2);
        out.write(u64::from(leading), 5);
        // 64 significant bits are written as 0: none is impossible, since the XOR is not 0.
        out.write(u64::from(self.width % 64), 6);
        out.write(xor >> trailing, self.width);
    }

    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<(), Malformed> {
        if bits.read(1)? == 0 {
            return Ok(());
        }
        if bits.read(1)? == 1 {
            let field = |value: u64| u32::try_from(value).map_err(|_| BAD);
            self.leading = field(bits.read(5)?)?;
            self.width = match field(bits.read(6)?)? {
                0 => 64,
                width => width,
            };
        }
        if self.width == 0 || self.leading + self.width > 64 {
            return Err(BAD);
        }
        self.bits ^= bits.read(self.width)? << (64 - self.leading - self.width);
        Ok(())
    }
}
