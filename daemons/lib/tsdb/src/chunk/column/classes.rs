//! How a number becomes a symbol: small numbers are symbols of their own, larger ones share one with their neighbours
//! and add the bits that tell them apart. The symbols of a column get Huffman codes, or codes of one length.
//!
//! A *precision* of `p` keeps the `p` bits after the leading one in the symbol: more symbols follow the distribution
//! closer and make the table longer. The same split of numbers into a modelled and a plain part is in JPEG (precision
//! 0), in HDR histograms and in pcodec's bins.

use std::sync::LazyLock;

use super::bits::{BitReader, BitWriter, PEEKED_BITS};
use super::huffman;
use crate::codec::Malformed;

/// Precision at which a column is counted; the coarser ones follow from it.
const MAX_PRECISION: u32 = 3;

/// Symbols at the highest precision: `((63 - 3) << 3) + 16`.
const MAX_SYMBOLS: usize = n_symbols(MAX_PRECISION);

/// Width of a symbol in a table's head.
const SYMBOL_BITS: u32 = 9;

/// Width of a code's length in a table's head.
const LEN_BITS: u32 = 4;

const BAD: Malformed = Malformed("table of symbols");

const fn n_symbols(precision: u32) -> usize {
    ((63 - precision as usize) << precision) + (2 << precision)
}

/// The symbol of a number, and how many bits of the number it leaves out.
#[inline]
fn symbol_of(value: u64, precision: u32) -> (usize, u32) {
    let n_extra = (63 - (value | 1).leading_zeros()).saturating_sub(precision);
    #[expect(clippy::cast_possible_truncation, reason = "what is left has at most five bits")]
    let top = (value >> n_extra) as usize;
    (((n_extra as usize) << precision) + top, n_extra)
}

/// `log2(n)` for counts, which are small.
static LOG2: LazyLock<Vec<f32>> =
    LazyLock::new(|| (0..=4096u16).map(|n| if n == 0 { 0.0 } else { f32::from(n).log2() }).collect());

fn log2(n: u32) -> f32 {
    match LOG2.get(n as usize) {
        Some(&log) => log,
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        None => (n as f32).log2(),
    }
}

/// Counts the numbers of a column, to choose how to write them.
#[derive(Debug)]
pub(super) struct Census {
    /// The symbols that there are, ascending, each with how often it comes. A column has far fewer than there could be.
    counts: Vec<(usize, u32)>,
    n: u32,
}

impl Census {
    pub(super) fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut all = [0u32; MAX_SYMBOLS];
        let mut is_there = [0u64; MAX_SYMBOLS.div_ceil(64)];
        let mut n = 0;
        for value in values {
            let (symbol, _) = symbol_of(value, MAX_PRECISION);
            all[symbol] += 1;
            is_there[symbol / 64] |= 1 << (symbol % 64);
            n += 1;
        }
        let n_there: u32 = is_there.iter().map(|word| word.count_ones()).sum();
        let mut counts = Vec::with_capacity(n_there as usize);
        for (index, mut word) in is_there.into_iter().enumerate() {
            while word != 0 {
                let symbol = index * 64 + word.trailing_zeros() as usize;
                counts.push((symbol, all[symbol]));
                word &= word - 1;
            }
        }
        Self { counts, n }
    }

    pub(super) fn n_zeros(&self) -> u32 {
        self.counts.first().filter(|(symbol, _)| *symbol == 0).map_or(0, |(_, count)| *count)
    }

    /// The cheapest way to write these numbers, and about how many bits it takes.
    pub(super) fn plan(self) -> (Plan, f32) {
        let mut best: Option<(u32, bool, f32)> = None;
        let mut counts = self.counts.clone();
        for precision in (0..=MAX_PRECISION).rev() {
            if precision < MAX_PRECISION {
                coarsen(&mut counts, precision);
            }
            let n_symbols = span(&counts);
            let (mut plain, mut coded) = (0.0, log2(self.n) * f(self.n));
            for &(symbol, count) in &counts {
                plain += f(count) * f(extra_bits(symbol, precision));
                coded -= f(count) * log2(count);
            }
            let head = f(2 + 1 + 2 * SYMBOL_BITS);
            let fixed = head + plain + f(self.n * u32::from(fixed_width(n_symbols)));
            #[expect(clippy::cast_possible_truncation, reason = "at most MAX_SYMBOLS")]
            // A Huffman code is a little longer than the entropy, and each symbol takes a bit at least.
            let huffman = head + plain + (coded * 1.01).max(f(self.n)) + f(n_symbols as u32 * LEN_BITS);
            let (is_huffman, bits) = if huffman < fixed { (true, huffman) } else { (false, fixed) };
            if best.is_none_or(|(.., least)| bits < least) {
                best = Some((precision, is_huffman, bits));
            }
        }
        let (precision, is_huffman, bits) = best.expect("there are precisions to try");
        (Plan { precision, is_huffman, counts: self.counts }, bits)
    }
}

/// From the smallest to the largest; one where there is none.
fn span(counts: &[(usize, u32)]) -> usize {
    match (counts.first(), counts.last()) {
        (Some((first, _)), Some((last, _))) => last - first + 1,
        _ => 1,
    }
}

/// Goes down to this precision from the next higher one: two symbols become one, but for those that are numbers of their
/// own.
fn coarsen(counts: &mut Vec<(usize, u32)>, precision: u32) {
    let kept = 2 << precision;
    let mut n = 0;
    for index in 0..counts.len() {
        let (symbol, count) = counts[index];
        let symbol = if symbol < kept { symbol } else { kept + ((symbol - kept) >> 1) };
        if n > 0 && counts[n - 1].0 == symbol {
            counts[n - 1].1 += count;
        } else {
            counts[n] = (symbol, count);
            n += 1;
        }
    }
    counts.truncate(n);
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn f(n: u32) -> f32 {
    n as f32
}

#[expect(clippy::cast_possible_truncation, reason = "below 64")]
fn extra_bits(symbol: usize, precision: u32) -> u32 {
    (symbol >> precision).saturating_sub(1) as u32
}

/// How the numbers of a column are written. Several are made for a column, and one is used: what only writing needs is left
/// to that.
#[derive(Debug)]
pub(super) struct Plan {
    precision: u32,
    is_huffman: bool,
    /// As in [`Census`], at the highest precision.
    counts: Vec<(usize, u32)>,
}

impl Plan {
    /// The smallest symbol, and how often each one comes, from it to the largest.
    fn table(self) -> (usize, Vec<u32>) {
        let mut counts = self.counts;
        for precision in (self.precision..MAX_PRECISION).rev() {
            coarsen(&mut counts, precision);
        }
        let first = counts.first().map_or(0, |(symbol, _)| *symbol);
        let mut dense = vec![0; span(&counts)];
        for (symbol, count) in counts {
            dense[symbol - first] = count;
        }
        (first, dense)
    }
}

/// Writes numbers as a plan says.
#[derive(Debug)]
pub(super) struct ClassWriter {
    precision: u32,
    first: usize,
    /// Code and length of each symbol.
    codes: Vec<(u16, u8)>,
}

impl ClassWriter {
    /// Writes the table.
    pub(super) fn new(plan: Plan, out: &mut BitWriter<'_>) -> Self {
        let Plan { precision, is_huffman, .. } = plan;
        let (first, counts) = plan.table();
        out.put(u64::from(precision), 2);
        out.put(u64::from(is_huffman), 1);
        out.put(first as u64, SYMBOL_BITS);
        out.put(counts.len() as u64 - 1, SYMBOL_BITS);
        let codes = if is_huffman {
            let lens = huffman::code_lengths(&counts);
            for &len in &lens {
                out.put(u64::from(len), LEN_BITS);
            }
            huffman::codes(&lens)
        } else {
            let width = fixed_width(counts.len());
            (0u16..).zip(&counts).map(|(code, _)| (code, width)).collect()
        };
        Self { precision, first, codes }
    }

    #[inline]
    pub(super) fn put(&self, value: u64, out: &mut BitWriter<'_>) {
        let (symbol, n_extra) = symbol_of(value, self.precision);
        let (code, len) = self.codes[symbol - self.first];
        out.put(u64::from(code), u32::from(len));
        out.put_wide(value & ((1 << n_extra) - 1), n_extra);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 9")]
fn fixed_width(n_symbols: usize) -> u8 {
    (usize::BITS - (n_symbols - 1).leading_zeros()) as u8
}

/// Reads numbers.
#[derive(Debug)]
pub(super) struct ClassReader {
    precision: u32,
    /// By the next bits: the symbol, shifted by `LEN_BITS`, and the length of its code.
    table: Vec<u16>,
    mask: u64,
}

impl ClassReader {
    /// Reads the table.
    pub(super) fn new(bits: &mut BitReader<'_>) -> Result<Self, Malformed> {
        let mut field = |width| usize::try_from(bits.take(width)).expect("a few bits");
        #[expect(clippy::cast_possible_truncation, reason = "two bits")]
        let precision = field(2) as u32;
        let is_huffman = field(1) == 1;
        let (first, n) = (field(SYMBOL_BITS), field(SYMBOL_BITS) + 1);
        if first + n > n_symbols(precision) {
            return Err(BAD);
        }
        let mut table;
        if is_huffman {
            let lens: Vec<u8> = (0..n).map(|_| u8::try_from(field(LEN_BITS)).expect("four bits")).collect();
            table = huffman::decode_table(&lens).ok_or(BAD)?;
        } else {
            let width = fixed_width(n);
            // A code that no symbol has is damage that the checksum let through; any symbol will do.
            table = (0..1usize << width).map(|code| huffman::entry(code.min(n - 1), width)).collect();
        }
        for entry in &mut table {
            *entry += huffman::entry(first, 0);
        }
        let mask = table.len() as u64 - 1;
        Ok(Self { precision, table, mask })
    }

    /// Hands over the next `n` numbers. As many of them as can be are taken from eight bytes that were read at once: the next
    /// number begins where the one before ends, so what takes time is finding out where that is.
    #[inline]
    pub(super) fn take_each(&self, n: usize, bits: &mut BitReader<'_>, mut visit: impl FnMut(u64)) {
        let (mut window, mut n_left) = (bits.peek(), PEEKED_BITS);
        for _ in 0..n {
            if n_left < u32::from(huffman::MAX_CODE_BITS) {
                bits.skip(PEEKED_BITS - n_left);
                (window, n_left) = (bits.peek(), PEEKED_BITS);
            }
            let (top, n_extra, len) = self.code(window);
            let width = len + n_extra;
            if width > n_left {
                bits.skip(PEEKED_BITS - n_left);
                visit(self.take(bits));
                (window, n_left) = (bits.peek(), PEEKED_BITS);
                continue;
            }
            visit((top << n_extra) | ((window >> len) & ((1 << n_extra) - 1)));
            window >>= width;
            n_left -= width;
        }
        bits.skip(PEEKED_BITS - n_left);
    }

    /// The number without its plain bits, how many of those there are, and the length of the code.
    #[inline]
    fn code(&self, window: u64) -> (u64, u32, u32) {
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        let entry = u32::from(self.table[(window & self.mask) as usize]);
        let (symbol, len) = (entry >> LEN_BITS, entry & ((1 << LEN_BITS) - 1));
        let p = self.precision;
        let n_extra = (symbol >> p).saturating_sub(1);
        let top = u64::from(symbol & ((1 << p) - 1)) | (u64::from(symbol >> p != 0) << p);
        (top, n_extra, len)
    }

    #[inline]
    pub(super) fn take(&self, bits: &mut BitReader<'_>) -> u64 {
        let window = bits.peek();
        let (top, n_extra, len) = self.code(window);
        let extra = if n_extra + len <= PEEKED_BITS {
            bits.skip(len + n_extra);
            (window >> len) & ((1 << n_extra) - 1)
        } else {
            bits.skip(len);
            bits.take(n_extra)
        };
        (top << n_extra) | extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_symbol_and_comes_back() {
        let mut numbers: Vec<u64> = (0..2000).collect();
        for shift in 0..64 {
            numbers.extend([1 << shift, (1 << shift) - 1, (1 << shift) | (1 << (shift / 2))]);
        }
        numbers.push(u64::MAX);
        for precision in 0..=MAX_PRECISION {
            for is_huffman in [false, true] {
                let counts = || Census::of(numbers.iter().copied()).counts;
                let (first, table) = Plan { precision, is_huffman, counts: counts() }.table();
                assert_eq!(
                    first + table.len(),
                    n_symbols(precision),
                    "the largest number has the largest symbol"
                );
                let plan = Plan { precision, is_huffman, counts: counts() };
                let mut bytes = Vec::new();
                let mut out = BitWriter::new(&mut bytes);
                let writer = ClassWriter::new(plan, &mut out);
                numbers.iter().for_each(|&number| writer.put(number, &mut out));
                out.finish();
                let mut bits = BitReader::new(&bytes);
                let reader = ClassReader::new(&mut bits).unwrap();
                for &number in &numbers {
                    assert_eq!(reader.take(&mut bits), number, "precision {precision}, {is_huffman}");
                }
                assert!(bits.is_within());
            }
        }
    }

    #[test]
    fn the_plan_follows_the_numbers() {
        let precision_of = |numbers: Vec<u64>| {
            let (plan, bits) = Census::of(numbers).plan();
            (plan.precision, plan.is_huffman, bits)
        };
        let (_, is_huffman, bits) = precision_of(vec![7; 1000]);
        assert!(!is_huffman && bits < 32.0, "one number needs no bits: {bits}");
        let skewed = (0..1000u64).map(|n| if n % 10 == 0 { n } else { 1 }).collect();
        assert!(precision_of(skewed).1);
    }
}
