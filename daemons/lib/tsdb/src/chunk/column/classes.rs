//! How a number becomes a symbol: small numbers are symbols of their own, larger ones share one with their neighbours
//! and add the bits that tell them apart. The symbols of a column get Huffman codes, or codes of one length.
//!
//! A *precision* of `p` keeps the `p` bits after the leading one in the symbol: more symbols follow the distribution
//! closer and make the table longer. The same split of numbers into a modelled and a plain part is in JPEG (precision
//! 0), in HDR histograms and in pcodec's bins.

use std::fmt;
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

/// So many lengths are taken from what was read at once.
const LENS_AT_ONCE: usize = (PEEKED_BITS / LEN_BITS) as usize;

/// Places from which numbers are read at the same time: while one waits for its table, there is something to do for the others.
pub(super) const LANES: usize = 4;

/// So many numbers are read from each of them: what lies between two marks.
pub(super) const LANE: usize = super::marks::EVERY;

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

/// Reads numbers. It is made once and reads table after table.
pub(super) struct ClassReader {
    /// By the next bits, of which there are as many as `mask` has; what is behind is of other columns.
    table: Box<[Entry; huffman::TABLE_ENTRIES]>,
    mask: u64,
    /// Bits of the longest number, its code included.
    longest: u32,
}

impl Default for ClassReader {
    fn default() -> Self {
        Self { table: Box::new([0; huffman::TABLE_ENTRIES]), mask: 0, longest: 0 }
    }
}

impl fmt::Debug for ClassReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClassReader").finish_non_exhaustive()
    }
}

/// What a code says: bits of the whole number (at 0), of its code ([`LEN_AT`]) and behind that ([`EXTRA_AT`]), and the number
/// without those ([`TOP_AT`]). The first of them is what the next number has to wait for.
type Entry = u32;

const LEN_AT: u32 = 8;
const EXTRA_AT: u32 = 12;
const TOP_AT: u32 = 18;

#[expect(clippy::cast_possible_truncation, reason = "a symbol has nine bits, what is made of it has fewer")]
fn entry(symbol: usize, precision: u32, len: u8) -> Entry {
    let n_extra = extra_bits(symbol, precision);
    let low = symbol & ((1 << precision) - 1);
    let top = if symbol >> precision == 0 { symbol } else { low | 1 << precision };
    let len = u32::from(len);
    (len + n_extra) | len << LEN_AT | n_extra << EXTRA_AT | (top as u32) << TOP_AT
}

/// Bits of a number, of its code, and behind that; and the number without those.
#[inline]
fn fields(entry: Entry) -> (u32, u32, u32, u64) {
    (entry & 0xff, entry >> LEN_AT & 0xf, entry >> EXTRA_AT & 0x3f, u64::from(entry >> TOP_AT))
}

/// A number whose bits are all in the window.
#[inline]
fn number(window: u64, entry: Entry) -> u64 {
    let (_, len, n_extra, top) = fields(entry);
    (top << n_extra) | ((window >> len) & ((1 << n_extra) - 1))
}

impl ClassReader {
    /// Reads the table.
    pub(super) fn read_table(&mut self, bits: &mut BitReader<'_>) -> Result<(), Malformed> {
        let mut field = |width| usize::try_from(bits.take(width)).expect("a few bits");
        #[expect(clippy::cast_possible_truncation, reason = "two bits")]
        let precision = field(2) as u32;
        let is_huffman = field(1) == 1;
        let (first, n) = (field(SYMBOL_BITS), field(SYMBOL_BITS) + 1);
        if first + n > n_symbols(precision) {
            return Err(BAD);
        }
        let mut longest = 0;
        let mut entry = |symbol, len| {
            let entry = entry(first + symbol, precision, len);
            longest = longest.max(fields(entry).0);
            entry
        };
        let n_bits = if is_huffman {
            let mut lens = [0; huffman::MAX_SYMBOLS];
            let lens = &mut lens[..n];
            for some in lens.chunks_mut(LENS_AT_ONCE) {
                let mut window = bits.peek();
                for len in &mut *some {
                    *len = u8::try_from(window & 0xf).expect("four bits");
                    window >>= LEN_BITS;
                    bits.skip(LEN_BITS);
                }
            }
            huffman::fill_table(lens, &mut self.table, entry).ok_or(BAD)?
        } else {
            let width = fixed_width(n);
            // A code that no symbol has is damage that the checksum let through; any symbol will do.
            for (code, slot) in self.table[..1 << width].iter_mut().enumerate() {
                *slot = entry(code.min(n - 1), width);
            }
            u32::from(width)
        };
        self.mask = (1 << n_bits) - 1;
        self.longest = longest;
        Ok(())
    }

    /// Hands over the next `n` numbers. As many of them as surely can be are taken from eight bytes that were read at once: the
    /// next number begins where the one before ends, so what takes time is finding out where that is.
    #[inline]
    pub(super) fn take_each(&self, n: usize, bits: &mut BitReader<'_>, visit: impl FnMut(u64)) {
        match self.n_at_once() {
            0 => self.take_one_by_one(n, bits, visit),
            1 => self.take_some_at_once::<1>(n, bits, visit),
            2 => self.take_some_at_once::<2>(n, bits, visit),
            3 => self.take_some_at_once::<3>(n, bits, visit),
            _ => self.take_some_at_once::<4>(n, bits, visit),
        }
    }

    /// So many numbers are in a window, whichever they are.
    fn n_at_once(&self) -> u32 {
        PEEKED_BITS / self.longest.max(1)
    }

    fn take_one_by_one(&self, n: usize, bits: &mut BitReader<'_>, mut visit: impl FnMut(u64)) {
        for _ in 0..n {
            visit(self.take(bits));
        }
    }

    fn take_some_at_once<const N: usize>(
        &self,
        n: usize,
        bits: &mut BitReader<'_>,
        mut visit: impl FnMut(u64),
    ) {
        for _ in 0..n / N {
            let (mut window, mut width) = (bits.peek(), 0);
            for _ in 0..N {
                let entry = self.entry(window);
                visit(number(window, entry));
                window >>= fields(entry).0;
                width += fields(entry).0;
            }
            bits.skip(width);
        }
        self.take_one_by_one(n % N, bits, visit);
    }

    /// Reads `LANE` numbers from each of several places, and hands over at once the next one of each. That takes hardly longer
    /// than reading one: what one has to wait for does not hold up the others.
    #[inline]
    pub(super) fn take_lanes(
        &self,
        lanes: &mut [BitReader<'_>; LANES],
        visit: impl FnMut(usize, [u64; LANES]),
    ) {
        match self.n_at_once() {
            0 => self.take_lanes_slowly(lanes, visit),
            1 => self.take_some_of_lanes::<1>(lanes, visit),
            2 | 3 => self.take_some_of_lanes::<2>(lanes, visit),
            _ => self.take_some_of_lanes::<4>(lanes, visit),
        }
    }

    fn take_lanes_slowly(
        &self,
        lanes: &mut [BitReader<'_>; LANES],
        mut visit: impl FnMut(usize, [u64; LANES]),
    ) {
        for at in 0..LANE {
            visit(at, std::array::from_fn(|lane| self.take(&mut lanes[lane])));
        }
    }

    fn take_some_of_lanes<const N: usize>(
        &self,
        lanes: &mut [BitReader<'_>; LANES],
        mut visit: impl FnMut(usize, [u64; LANES]),
    ) {
        for at in 0..LANE / N {
            let mut windows: [u64; LANES] = std::array::from_fn(|lane| lanes[lane].peek());
            let mut widths = [0; LANES];
            for more in 0..N {
                let entries = windows.map(|window| self.entry(window));
                visit(at * N + more, std::array::from_fn(|lane| number(windows[lane], entries[lane])));
                for lane in 0..LANES {
                    windows[lane] >>= fields(entries[lane]).0;
                    widths[lane] += fields(entries[lane]).0;
                }
            }
            for lane in 0..LANES {
                lanes[lane].skip(widths[lane]);
            }
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    fn entry(&self, window: u64) -> Entry {
        self.table[(window & self.mask) as usize % huffman::TABLE_ENTRIES]
    }

    #[inline]
    pub(super) fn take(&self, bits: &mut BitReader<'_>) -> u64 {
        let window = bits.peek();
        let entry = self.entry(window);
        let (width, len, n_extra, top) = fields(entry);
        if width <= PEEKED_BITS {
            bits.skip(width);
            return number(window, entry);
        }
        bits.skip(len);
        (top << n_extra) | bits.take(n_extra)
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
        let mut reader = ClassReader::default();
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
                reader.read_table(&mut bits).unwrap();
                let start = bits.position();
                for &number in &numbers {
                    assert_eq!(reader.take(&mut bits), number, "precision {precision}, {is_huffman}");
                }
                assert!(bits.is_within());
                bits.go_to(start);
                let mut found = Vec::new();
                reader.take_each(numbers.len(), &mut bits, |number| found.push(number));
                assert_eq!(found, numbers);
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
