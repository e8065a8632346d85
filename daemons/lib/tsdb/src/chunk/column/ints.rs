//! A column of whole numbers: differences, less what is common to them, as [`classes`](super::classes).
//!
//! What is tried: the numbers themselves or their differences, once or twice; all of them, or only those that are not zero with the
//! distances between them. A common divisor is taken out before, the typical one (a median of samples) is subtracted.

use std::ops::Range;

use super::bits::{BitReader, BitWriter};
use super::classes::{Census, ClassReader, ClassWriter, LANE, LANES, Plan};
use super::marks::{self, Mark};
use crate::codec::{Malformed, Reader, put_uvarint, put_varint, unzigzag, zigzag};

const BAD: Malformed = Malformed("column");

/// Bits 0 and 1 of the head: how often differences were taken.
const ORDER_MASK: u8 = 3;
/// All residuals are zero.
const LAYOUT_ZERO: u8 = 0 << 2;
/// Every residual is there.
const LAYOUT_DENSE: u8 = 1 << 2;
/// Residuals that are not zero, each after the number of zeros before it.
const LAYOUT_SPARSE: u8 = 2 << 2;
const LAYOUT_MASK: u8 = 3 << 2;
/// A divisor follows.
const HAS_SCALE: u8 = 1 << 4;
/// The typical residual follows.
const HAS_BIAS: u8 = 1 << 5;

/// The length of the codes and marks in them follow.
const HAS_MARKS: u8 = 1 << 6;

/// Nothing yet: a column that has it is one of a newer build.
const UNUSED: u8 = 1 << 7;

/// Fewer lanes than these are read one after the other.
const MIN_LANES: usize = 2;

/// So many residuals are looked at to find the typical one.
const N_SAMPLES: usize = 31;

/// Memory that encoding needs, kept from column to column.
#[derive(Debug, Default)]
pub struct IntEncoder {
    residuals: Vec<u64>,
    best: Vec<u64>,
    scaled: Vec<i64>,
    stream: Vec<u8>,
    marks: Vec<Mark>,
}

enum Layout {
    Zero,
    Dense(Plan),
    Sparse { n: u32, runs: Plan, values: Plan },
}

struct Candidate {
    order: u8,
    bias: i64,
    layout: Layout,
    bits: f32,
}

impl IntEncoder {
    /// Appends the encoded column to `out`. With marks, a part of it can be decoded without what comes before.
    pub fn encode(&mut self, values: &[i64], has_marks: bool, out: &mut Vec<u8>) {
        let Some(&first) = values.first() else { return };
        let scale = common_divisor(values);
        let mut scaled = std::mem::take(&mut self.scaled);
        scaled.clear();
        match scale {
            1 => scaled.extend_from_slice(values),
            _ if scale.cast_unsigned().is_power_of_two() => {
                let shift = scale.trailing_zeros();
                scaled.extend(values.iter().map(|value| value.wrapping_sub(first) >> shift));
            }
            _ => scaled.extend(values.iter().map(|value| value.wrapping_sub(first) / scale)),
        }
        let mut best: Option<Candidate> = None;
        for order in [1, 0] {
            let candidate = self.try_order(&scaled, order);
            let is_zero = matches!(candidate.layout, Layout::Zero);
            if best.as_ref().is_none_or(|best| candidate.bits < best.bits) {
                std::mem::swap(&mut self.best, &mut self.residuals);
                best = Some(candidate);
            }
            if is_zero {
                break;
            }
        }
        self.scaled = scaled;
        let Candidate { order, bias, layout, bits: _ } = best.expect("two candidates were tried");
        let mut head = order;
        head |= match layout {
            Layout::Zero => LAYOUT_ZERO,
            Layout::Dense(_) => LAYOUT_DENSE,
            Layout::Sparse { .. } => LAYOUT_SPARSE,
        };
        if scale != 1 {
            head |= HAS_SCALE;
        }
        if bias != 0 {
            head |= HAS_BIAS;
        }
        let head_at = out.len();
        out.push(head);
        put_varint(out, first);
        if scale != 1 {
            put_uvarint(out, scale.cast_unsigned());
        }
        if bias != 0 {
            put_varint(out, bias);
        }
        let n_codes = match &layout {
            Layout::Zero => return,
            Layout::Dense(_) => self.best.len(),
            Layout::Sparse { n, .. } => {
                put_uvarint(out, u64::from(*n));
                *n as usize
            }
        };
        if !has_marks || !marks::are_worth_it(n_codes) {
            self.put_codes(layout, out);
            return;
        }
        out[head_at] |= HAS_MARKS;
        self.stream.clear();
        let mut stream = std::mem::take(&mut self.stream);
        let has_runs = matches!(layout, Layout::Sparse { .. });
        self.put_codes(layout, &mut stream);
        marks::put(out, stream.len(), &self.marks, has_runs, order == 1);
        out.extend_from_slice(&stream);
        self.stream = stream;
    }

    /// Appends the codes of `best`, and notes marks.
    fn put_codes(&mut self, layout: Layout, out: &mut Vec<u8>) {
        self.marks.clear();
        let start = out.len() * 8;
        let mut bits = BitWriter::new(out);
        let mut mark = Mark::default();
        match layout {
            Layout::Zero => {}
            Layout::Dense(plan) => {
                let writer = ClassWriter::new(plan, &mut bits);
                for (code, &value) in self.best.iter().enumerate() {
                    if marks::is_before(code) {
                        self.marks.push(Mark { bit: bits.position() - start, at: code, code, ..mark });
                    }
                    writer.put(value, &mut bits);
                    mark.sum = mark.sum.wrapping_add(unzigzag(value));
                }
            }
            Layout::Sparse { n: _, runs, values } => {
                let runs = ClassWriter::new(runs, &mut bits);
                let values = ClassWriter::new(values, &mut bits);
                for (code, (run, value)) in non_zero(&self.best).enumerate() {
                    if marks::is_before(code) {
                        self.marks.push(Mark { bit: bits.position() - start, code, ..mark });
                    }
                    runs.put(run, &mut bits);
                    values.put(value - 1, &mut bits);
                    mark.at += usize::try_from(run).expect("a run is within the column") + 1;
                    mark.sum = mark.sum.wrapping_add(unzigzag(value));
                }
            }
        }
        bits.finish();
    }

    /// Fills `residuals` and says what writing them costs.
    fn try_order(&mut self, scaled: &[i64], order: u8) -> Candidate {
        let first = scaled[0];
        let bias;
        self.residuals.clear();
        if order == 0 {
            bias = typical(scaled.len(), |at| scaled[at].wrapping_sub(first));
            self.residuals
                .extend(scaled.iter().map(|value| zigzag(value.wrapping_sub(first).wrapping_sub(bias))));
        } else {
            let delta = |at: usize| scaled[at + 1].wrapping_sub(scaled[at]);
            bias = typical(scaled.len() - 1, delta);
            self.residuals.extend(
                scaled.windows(2).map(|pair| zigzag(pair[1].wrapping_sub(pair[0]).wrapping_sub(bias))),
            );
        }
        let census = Census::of(self.residuals.iter().copied());
        let n = self.residuals.len();
        let n_zeros = census.n_zeros() as usize;
        if n_zeros == n {
            return Candidate { order, bias, layout: Layout::Zero, bits: 0.0 };
        }
        let (plan, bits) = census.plan();
        let mut candidate = Candidate { order, bias, layout: Layout::Dense(plan), bits };
        if n_zeros * 5 > n * 2 {
            let (runs, runs_bits) = Census::of(non_zero(&self.residuals).map(|(run, _)| run)).plan();
            let (values, values_bits) =
                Census::of(non_zero(&self.residuals).map(|(_, value)| value - 1)).plan();
            let bits = 8.0 + runs_bits + values_bits;
            if bits < candidate.bits {
                let n = u32::try_from(n - n_zeros).expect("a chunk has at most 2^16 samples");
                candidate.layout = Layout::Sparse { n, runs, values };
                candidate.bits = bits;
            }
        }
        candidate
    }
}

/// Values that are not zero, each with the number of zeros before it.
fn non_zero(values: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    let mut run = 0;
    values.iter().filter_map(move |&value| {
        if value == 0 {
            run += 1;
            return None;
        }
        Some((std::mem::take(&mut run), value))
    })
}

/// What divides the difference of any two values; 1 when it might not fit.
fn common_divisor(values: &[i64]) -> i64 {
    let first = values[0];
    let mut divisor = 0u64;
    for &value in values {
        let Some(difference) = value.checked_sub(first) else { return 1 };
        let difference = difference.unsigned_abs();
        if divisor == 0 || difference % divisor != 0 {
            divisor = gcd(divisor, difference);
            if divisor == 1 {
                break;
            }
        }
    }
    i64::try_from(divisor).unwrap_or(1).max(1)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The median of a few values spread over all.
fn typical(n: usize, value: impl Fn(usize) -> i64) -> i64 {
    if n == 0 {
        return 0;
    }
    let n_samples = n.min(N_SAMPLES);
    let mut samples = [0; N_SAMPLES];
    for (index, sample) in samples[..n_samples].iter_mut().enumerate() {
        *sample = value(index * n / n_samples);
    }
    *samples[..n_samples].select_nth_unstable(n_samples / 2).1
}

/// What decoding tells beside the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes that the column took.
    pub n_bytes: usize,
    /// Whether most numbers are the one before plus the same step.
    pub has_runs: bool,
}

/// Reads columns, with memory that is kept from one to the next.
#[derive(Debug)]
pub struct IntDecoder {
    runs: ClassReader,
    values: ClassReader,
    marks: Vec<Mark>,
    /// What was read from several marks, each with the number behind.
    lanes: Box<[[i64; LANE + 1]; LANES]>,
}

impl Default for IntDecoder {
    fn default() -> Self {
        Self {
            runs: ClassReader::default(),
            values: ClassReader::default(),
            marks: Vec::new(),
            lanes: Box::new([[0; LANE + 1]; LANES]),
        }
    }
}

impl IntDecoder {
    /// Reads a column of `n` values and appends those at `wanted` to `out`.
    ///
    /// # Errors
    /// [`Malformed`] when these are not `n` values, as far as that was looked at; what was appended is of no use then.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        n: usize,
        wanted: Range<usize>,
        out: &mut Vec<i64>,
    ) -> Result<Decoded, Malformed> {
        if wanted.start > wanted.end || wanted.end > n {
            return Err(BAD);
        }
        if n == 0 {
            return Ok(Decoded { n_bytes: 0, has_runs: true });
        }
        let mut reader = Reader::new(bytes, "column");
        let head = reader.byte()?;
        let first = reader.varint()?;
        let scale = if head & HAS_SCALE != 0 { reader.uvarint()?.cast_signed() } else { 1 };
        let bias = if head & HAS_BIAS != 0 { reader.varint()? } else { 0 };
        let layout = head & LAYOUT_MASK;
        let is_delta = match head & (ORDER_MASK | UNUSED) {
            0 => false,
            1 => true,
            _ => return Err(BAD),
        };
        let n_residuals = n - usize::from(is_delta);
        let n_codes = match layout {
            LAYOUT_ZERO => 0,
            LAYOUT_DENSE => n_residuals,
            LAYOUT_SPARSE => reader.count_up_to(n_residuals)?,
            _ => return Err(BAD),
        };
        let is_sparse = layout == LAYOUT_SPARSE;
        let n_stream = if head & HAS_MARKS != 0 {
            Some(marks::read(&mut reader, n_codes, is_sparse, is_delta, &mut self.marks)?)
        } else {
            self.marks.clear();
            self.marks.push(Mark::default());
            None
        };
        let rest = reader.rest();
        let start = out.len();
        out.reserve(wanted.len());
        let mut bits = BitReader::new(rest);
        let column = Column {
            numbers: Numbers { first, scale, step: bias.wrapping_mul(scale) },
            is_delta,
            n,
            n_codes,
            has_marks: n_stream.is_some(),
        };
        match layout {
            LAYOUT_ZERO => {
                let Column { numbers, .. } = column;
                let value = numbers.at(is_delta, wanted.start, 0)?;
                push_run(out, value, numbers.in_run(is_delta), wanted.len());
            }
            LAYOUT_DENSE => self.decode_dense(&column, &mut bits, wanted.clone(), out)?,
            _ => self.decode_sparse(&column, &mut bits, wanted.clone(), out)?,
        }
        let n_bytes = match n_stream {
            Some(n_stream) if bits.n_bytes() <= n_stream && n_stream <= rest.len() => n_stream,
            None if bits.is_within() => bits.n_bytes(),
            _ => return Err(BAD),
        };
        if out.len() != start + wanted.len() {
            return Err(BAD);
        }
        let n_bytes = bytes.len() - rest.len() + n_bytes;
        Ok(Decoded { n_bytes, has_runs: layout != LAYOUT_DENSE })
    }

    fn decode_dense(
        &mut self,
        column: &Column,
        bits: &mut BitReader<'_>,
        wanted: Range<usize>,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        self.values.read_table(bits)?;
        let mut from = wanted.start;
        if column.has_marks {
            // A mark stands before each number that is divisible; the last one may have none, since it has no code.
            let mut lane = (from / LANE).min(self.marks.len() - 1);
            let until = wanted.end.div_ceil(LANE).min(self.marks.len());
            while until.saturating_sub(lane) >= MIN_LANES {
                let lanes = lane..until.min(lane + LANES);
                lane = lanes.end;
                from = self.decode_lanes(column, bits, lanes, from..wanted.end, out)?;
            }
        }
        if from == wanted.end && column.has_marks {
            return Ok(());
        }
        let mark = self.marks[(from / LANE).min(self.marks.len() - 1)];
        marks::go_to(mark, bits);
        let codes = &self.values;
        let numbers = column.numbers;
        // Whatever is not wanted is read as well, from the mark on and, without marks, to the end: what follows begins where
        // the codes end.
        let until = if column.has_marks { wanted.end } else { column.n };
        let n_wanted = wanted.end - from;
        if column.is_delta {
            let mut value = numbers.at(true, mark.at, mark.sum)?;
            // The last number has no code behind it.
            let last = column.n - 1;
            let n_with_code = wanted.end.min(last).saturating_sub(from);
            let n_before = from.min(last).saturating_sub(mark.at);
            let n_behind = until.min(last).saturating_sub(from.max(mark.at) + n_with_code);
            codes.take_each(n_before, bits, |code| value = numbers.next(value, unzigzag(code)));
            codes.take_each(n_with_code, bits, |code| {
                out.push(value);
                value = numbers.next(value, unzigzag(code));
            });
            codes.take_each(n_behind, bits, drop);
            out.extend((n_with_code < n_wanted).then_some(value));
        } else {
            codes.take_each(from - mark.at, bits, drop);
            codes.take_each(n_wanted, bits, |code| out.push(numbers.alone(unzigzag(code))));
            codes.take_each(until - wanted.end, bits, drop);
        }
        Ok(())
    }

    /// Reads from several marks at the same time, and appends what is wanted of it. Answers the number behind that.
    fn decode_lanes(
        &mut self,
        column: &Column,
        bits: &mut BitReader<'_>,
        lanes: Range<usize>,
        wanted: Range<usize>,
        out: &mut Vec<i64>,
    ) -> Result<usize, Malformed> {
        let marks = &self.marks[lanes.clone()];
        let numbers = column.numbers;
        // Where there are fewer marks than lanes, some read the same.
        let mark = |lane: usize| marks[lane.min(marks.len() - 1)];
        let mut readers: [BitReader<'_>; LANES] = std::array::from_fn(|lane| {
            let mut reader = bits.clone();
            marks::go_to(mark(lane), &mut reader);
            reader
        });
        let read = &mut *self.lanes;
        if column.is_delta {
            let mut values = [0; LANES];
            for (lane, value) in values.iter_mut().enumerate() {
                *value = numbers.at(true, mark(lane).at, mark(lane).sum)?;
            }
            self.values.take_lanes(&mut readers, |at, codes| {
                for lane in 0..LANES {
                    read[lane][at] = values[lane];
                    values[lane] = numbers.next(values[lane], unzigzag(codes[lane]));
                }
            });
            for lane in 0..LANES {
                read[lane][LANE] = values[lane];
            }
        } else {
            self.values.take_lanes(&mut readers, |at, codes| {
                for lane in 0..LANES {
                    read[lane][at] = numbers.alone(unzigzag(codes[lane]));
                }
            });
        }
        let mut from = wanted.start;
        for (lane, number) in lanes.enumerate() {
            let start = number * LANE;
            let next = self.marks.get(number + 1);
            if let Some(next) = next {
                let is_end = numbers.at(column.is_delta, next.at, next.sum)? == read[lane][LANE];
                if readers[lane].position() != next.bit || (column.is_delta && !is_end) {
                    return Err(BAD);
                }
            }
            // Behind the last code there is the last number, which may be the first one of a lane that there is not.
            let until = match next {
                Some(_) => (start + LANE).min(wanted.end),
                None => wanted.end,
            };
            let part = read[lane].get(from - start..until - start).ok_or(BAD)?;
            out.extend_from_slice(part);
            from = until;
        }
        Ok(from)
    }

    fn decode_sparse(
        &mut self,
        column: &Column,
        bits: &mut BitReader<'_>,
        wanted: Range<usize>,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        self.runs.read_table(bits)?;
        self.values.read_table(bits)?;
        let &Column { numbers, is_delta, n, n_codes, has_marks } = column;
        // The last one that does not stand behind what is wanted.
        let mark = self.marks[self.marks.partition_point(|mark| mark.at <= wanted.start).max(1) - 1];
        marks::go_to(mark, bits);
        let in_run = numbers.in_run(is_delta);
        // The run that is being read: where it begins, and with what. A residual ends it, and is the first of the next
        // one where it counts from the one before; where it counts from the first it stands alone.
        let mut at = mark.at;
        let mut value = numbers.at(is_delta, mark.at, mark.sum)?;
        for _ in mark.code..n_codes {
            let run = usize::try_from(self.runs.take(bits)).map_err(|_| BAD)?;
            let len = if is_delta { run.saturating_add(1) } else { run };
            if len >= n - at {
                return Err(BAD);
            }
            push_part(out, (at, value, in_run), len, &wanted);
            at += len;
            if has_marks && at >= wanted.end {
                break;
            }
            let residual = unzigzag(self.values.take(bits).wrapping_add(1));
            if is_delta {
                let run = i64::try_from(run).map_err(|_| BAD)?;
                value = numbers.next(value.wrapping_add(in_run.wrapping_mul(run)), residual);
            } else {
                push_part(out, (at, numbers.alone(residual), 0), 1, &wanted);
                at += 1;
            }
        }
        push_part(out, (at, value, in_run), n - at, &wanted);
        Ok(())
    }
}

/// What the head of a column says.
struct Column {
    numbers: Numbers,
    is_delta: bool,
    n: usize,
    n_codes: usize,
    has_marks: bool,
}

/// How residuals become numbers. All arithmetic wraps as it did when the column was written, so that any numbers come back.
#[derive(Clone, Copy)]
struct Numbers {
    first: i64,
    scale: i64,
    /// What a residual of zero adds.
    step: i64,
}

impl Numbers {
    /// Number `at`, before which residuals have this sum; where differences were not taken, one whose residual is zero.
    fn at(self, is_delta: bool, at: usize, sum: i64) -> Result<i64, Malformed> {
        if !is_delta {
            return Ok(self.first.wrapping_add(self.step));
        }
        let at = i64::try_from(at).map_err(|_| BAD)?;
        Ok(self.first.wrapping_add(sum.wrapping_mul(self.scale)).wrapping_add(at.wrapping_mul(self.step)))
    }

    /// What each number of a run of zeros adds to the one before.
    fn in_run(self, is_delta: bool) -> i64 {
        if is_delta { self.step } else { 0 }
    }

    #[inline]
    fn next(self, value: i64, residual: i64) -> i64 {
        value.wrapping_add(residual.wrapping_mul(self.scale).wrapping_add(self.step))
    }

    #[inline]
    fn alone(self, residual: i64) -> i64 {
        self.next(self.first, residual)
    }
}

/// Appends what is wanted of a run of `len` numbers that begins at number `at` with `value`.
#[inline]
fn push_part(out: &mut Vec<i64>, (at, value, step): (usize, i64, i64), len: usize, wanted: &Range<usize>) {
    let from = at.max(wanted.start);
    let until = (at + len).min(wanted.end);
    if from < until {
        #[expect(clippy::cast_possible_wrap, reason = "a chunk has at most 2^16 samples")]
        let skipped = step.wrapping_mul((from - at) as i64);
        push_run(out, value.wrapping_add(skipped), step, until - from);
    }
}

#[inline]
fn push_run(out: &mut Vec<i64>, mut value: i64, step: i64, len: usize) {
    if step == 0 {
        out.resize(out.len() + len, value);
        return;
    }
    out.extend((0..len).map(|_| {
        let here = value;
        value = value.wrapping_add(step);
        here
    }));
}
