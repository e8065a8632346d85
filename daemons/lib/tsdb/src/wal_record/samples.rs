//! Records of float samples since record version 2: columns, each sample as a difference to the one before it in its
//! series, all of it compressed.
//!
//! A difference needs what it differs from. So each sample names the record that has the sample before it (as a distance,
//! which a whole request shares, so it costs next to nothing), and a reader that does not have the value of that very
//! record leaves the sample out instead of guessing. What a damaged record costs is then known exactly: the samples in it,
//! and later ones of the same series until the next one that stands alone. All do at the start of a *period*: when the log
//! is opened, when a flush cuts it, and after so many bytes.

use std::io;

use cairn_disk::compress::{Compressor, Decompressor};

use super::{RECORD_VERSION, TAG_SAMPLES, Visit, value};
use crate::codec::{Malformed, Reader, put_bytes, put_len, put_uvarint, put_varint};
use crate::series::Tip;

/// zstd's fastest: it takes what columns have in common, and the log is written at the speed of appending.
const LEVEL: i32 = 1;

/// A period ends after so many bytes, or after so many for each series, whichever is more: so damage is limited, and
/// values that stand alone stay a small part of the log.
const MIN_PERIOD_BYTES: u64 = 8 << 20;
const PERIOD_BYTES_PER_SERIES: u64 = 64;

/// In the column of distances: the sample stands alone, and no later one refers to it.
const LATE: i64 = -1;

/// A column of numbers of which neighbours are mostly equal: (number, how many of it)*.
#[derive(Debug, Default)]
struct Runs {
    bytes: Vec<u8>,
    value: i64,
    count: u64,
}

impl Runs {
    fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    fn push(&mut self, value: i64) {
        if value != self.value || self.count == 0 {
            self.flush();
            self.value = value;
        }
        self.count += 1;
    }

    fn flush(&mut self) {
        if self.count > 0 {
            put_varint(&mut self.bytes, self.value);
            put_uvarint(&mut self.bytes, self.count);
            self.count = 0;
        }
    }

    fn write(&mut self, body: &mut Vec<u8>) {
        self.flush();
        put_bytes(body, &self.bytes);
    }
}

/// Reads what [`Runs`] wrote.
struct RunReader<'a> {
    reader: Reader<'a>,
    value: i64,
    left: u64,
}

impl<'a> RunReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes, super::WHAT), value: 0, left: 0 }
    }

    fn next(&mut self) -> Result<i64, Malformed> {
        if self.left == 0 {
            self.value = self.reader.varint()?;
            self.left = self.reader.uvarint()?;
            if self.left == 0 {
                return Err(self.reader.malformed());
            }
        }
        self.left -= 1;
        Ok(self.value)
    }
}

/// Where the numbers of records stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    number: u64,
    period: u64,
    period_bytes: u64,
}

/// Writes records of samples.
#[derive(Debug)]
pub(crate) struct SamplesEncoder {
    /// Number of the record that is being written; the next one's is larger by one.
    number: u64,
    /// Number of the first record of this period.
    period: u64,
    period_bytes: u64,
    n_samples: usize,
    series: Runs,
    times: Runs,
    distances: Runs,
    starts: Runs,
    has_starts: bool,
    last_series: u64,
    last_time: i64,
    last_start: i64,
    classes: Vec<u8>,
    payload: Vec<u8>,
    body: Vec<u8>,
    record: Vec<u8>,
    compressor: Compressor,
}

impl SamplesEncoder {
    /// Its first record has this number, which must be larger than all in the log.
    pub(crate) fn new(number: u64) -> io::Result<Self> {
        Ok(Self {
            number: number.max(1),
            period: number.max(1),
            period_bytes: 0,
            n_samples: 0,
            series: Runs::default(),
            times: Runs::default(),
            distances: Runs::default(),
            starts: Runs::default(),
            has_starts: false,
            last_series: 0,
            last_time: 0,
            last_start: 0,
            classes: Vec::new(),
            payload: Vec::new(),
            body: Vec::new(),
            record: Vec::new(),
            compressor: Compressor::new(LEVEL)?,
        })
    }

    /// The next record is the first of a new period: nothing in it refers to anything before it.
    pub(crate) fn start_period(&mut self) {
        self.period = self.number;
        self.period_bytes = 0;
    }

    /// Starts a record. `n_series` are in the head.
    pub(crate) fn begin(&mut self, n_series: usize) {
        if self.period_bytes > MIN_PERIOD_BYTES.max(n_series as u64 * PERIOD_BYTES_PER_SERIES) {
            self.start_period();
        }
        self.n_samples = 0;
        self.has_starts = false;
        for column in [&mut self.series, &mut self.times, &mut self.distances, &mut self.starts] {
            column.clear();
        }
        (self.last_series, self.last_time, self.last_start) = (0, 0, 0);
        self.classes.clear();
        self.payload.clear();
    }

    /// Adds the next sample of the series whose newest one is `tip`, and makes it that. `start` is 0 when unknown.
    pub(crate) fn push(&mut self, tip: &mut Tip, time: i64, bits: u64, start: i64) {
        let refers = tip.record >= self.period;
        let (distance, previous) = if refers { (self.number - tip.record + 1, tip.bits) } else { (0, 0) };
        self.push_columns(tip.id, time, start, distance.cast_signed());
        let class = value::write(&mut self.payload, previous, bits);
        self.push_class(class);
        (tip.time, tip.bits, tip.record) = (time, bits, self.number);
    }

    /// Adds a sample that is not the newest of its series, and to which no later one refers.
    pub(crate) fn push_alone(&mut self, id: u64, time: i64, bits: u64, start: i64) {
        self.push_columns(id, time, start, LATE);
        let class = value::write(&mut self.payload, 0, bits);
        self.push_class(class);
    }

    fn push_columns(&mut self, id: u64, time: i64, start: i64, distance: i64) {
        self.series.push(id.wrapping_sub(self.last_series).cast_signed());
        self.times.push(time.wrapping_sub(self.last_time));
        self.distances.push(distance);
        self.starts.push(start.wrapping_sub(self.last_start));
        self.has_starts |= start != 0;
        (self.last_series, self.last_time, self.last_start) = (id, time, start);
    }

    fn push_class(&mut self, class: u8) {
        if self.n_samples.is_multiple_of(2) {
            self.classes.push(class);
        } else {
            *self.classes.last_mut().expect("pushed for the sample before") |= class << 4;
        }
        self.n_samples += 1;
    }

    /// Samples in the record so far.
    pub(crate) fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// For [`go_back`](Self::go_back).
    pub(crate) fn mark(&self) -> Mark {
        Mark { number: self.number, period: self.period, period_bytes: self.period_bytes }
    }

    /// The log refused the records since the mark: their numbers are given again. The tips must be put back to what they
    /// were then.
    pub(crate) fn go_back(&mut self, mark: Mark) {
        Mark { number: self.number, period: self.period, period_bytes: self.period_bytes } = mark;
    }

    /// The record. [`written`](Self::written) is to be called before the next one is begun that comes after it.
    pub(crate) fn finish(&mut self) -> io::Result<&[u8]> {
        self.body.clear();
        put_len(&mut self.body, self.n_samples);
        self.series.write(&mut self.body);
        self.times.write(&mut self.body);
        self.distances.write(&mut self.body);
        if !self.has_starts {
            self.starts.clear();
        }
        self.starts.write(&mut self.body);
        self.body.extend_from_slice(&self.classes);
        self.body.extend_from_slice(&self.payload);
        self.record.clear();
        self.record.extend_from_slice(&[RECORD_VERSION, TAG_SAMPLES]);
        put_uvarint(&mut self.record, self.number);
        put_uvarint(&mut self.record, self.number - self.period);
        super::put_body(&mut self.compressor, &self.body, &mut self.record)?;
        Ok(&self.record)
    }

    /// The log has the record, or will have it before the next one.
    pub(crate) fn written(&mut self) {
        self.period_bytes += self.record.len() as u64;
        self.number += 1;
    }
}

/// Reads records of samples, in the order of the log.
#[derive(Debug)]
pub(crate) struct SamplesDecoder {
    pub(super) decompressor: Decompressor,
    pub(super) body: Vec<u8>,
    /// Larger than every number seen.
    next_number: u64,
}

impl SamplesDecoder {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()?, body: Vec::new(), next_number: 1 })
    }

    /// A number for the next record, larger than all that were read.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    pub(super) fn read(&mut self, mut reader: Reader<'_>, visit: &mut impl Visit) -> Result<(), Malformed> {
        let malformed = reader.malformed();
        let number = reader.uvarint()?;
        let period = reader.uvarint().map(|distance| number.checked_sub(distance))?.ok_or(malformed)?;
        if number == 0 || number == u64::MAX {
            return Err(malformed);
        }
        self.next_number = self.next_number.max(number + 1);
        let mut body = super::body(&mut self.decompressor, reader, &mut self.body)?;
        let n_samples = usize::try_from(body.uvarint()?).map_err(|_| malformed)?;
        let mut series = RunReader::new(body.bytes()?);
        let mut times = RunReader::new(body.bytes()?);
        let mut distances = RunReader::new(body.bytes()?);
        let starts_column = body.bytes()?;
        let mut starts = (!starts_column.is_empty()).then(|| RunReader::new(starts_column));
        let classes = body.take(n_samples.div_ceil(2))?;
        let (mut id, mut time, mut start) = (0u64, 0i64, 0i64);
        for index in 0..n_samples {
            id = id.wrapping_add(series.next()?.cast_unsigned());
            time = time.wrapping_add(times.next()?);
            if let Some(starts) = &mut starts {
                start = start.wrapping_add(starts.next()?);
            }
            let distance = distances.next()?;
            let is_late = distance == LATE;
            let refers_to = match distance {
                LATE | 0 => None,
                _ => {
                    let back = u64::try_from(distance - 1).map_err(|_| malformed)?;
                    Some(number.checked_sub(back).filter(|&n| n >= period).ok_or(malformed)?)
                }
            };
            let class = (classes[index / 2] >> (4 * (index % 2))) & 15;
            let Some(tip) = visit.tip(id) else {
                value::read(class, &mut body, 0)?;
                continue;
            };
            let previous = match refers_to {
                None => Some(0),
                Some(record) => (tip.record == record).then_some(tip.bits),
            };
            let bits = value::read(class, &mut body, previous.unwrap_or(0))?;
            if previous.is_none() {
                // Nor can what refers to this one be known.
                tip.record = 0;
                visit.lost();
                continue;
            }
            if !is_late {
                (tip.bits, tip.record) = (bits, number);
            }
            visit.sample(id, time, bits, start, is_late);
        }
        if body.is_empty() { Ok(()) } else { Err(malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_numbers_come_back() {
        let mut runs = Runs::default();
        let numbers = [0, 0, 0, 5, -5, -5, i64::MAX, i64::MIN, i64::MIN, 0];
        for number in numbers {
            runs.push(number);
        }
        let mut bytes = Vec::new();
        runs.write(&mut bytes);
        let mut reader = RunReader::new(&bytes[1..]);
        for number in numbers {
            assert_eq!(reader.next(), Ok(number));
        }
        assert!(reader.next().is_err());
    }
}
