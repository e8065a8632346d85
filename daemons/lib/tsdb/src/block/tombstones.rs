//! What was deleted from a block: the samples stay in its files until it is rewritten, and nobody is shown them.
//!
//! A block is immutable, so a sample that is appended later at a deleted time lies in another one and is seen.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use cairn_disk::{CheckedError, Format, Fs, read_checked, write_atomically};
use cairn_promql::source::SeriesData;
use roaring::RoaringBitmap;

use super::BlockError;
use crate::codec::{Malformed, Reader, put_len, put_uvarint, put_varint};

/// Kind and version of the file `tombstones`.
pub const TOMBSTONES_FORMAT: Format = Format::new(*b"CAIRNMTS", 1);

/// Name of the file that says what was deleted; there is none where nothing was.
pub const TOMBSTONES_FILE: &str = "tombstones";

/// A run of deleted time: first and last millisecond.
type Interval = (i64, i64);

/// Deletions by the number of the series in its block.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tombstones {
    /// Series of which nothing is left.
    whole: RoaringBitmap,
    /// The others: intervals that ascend and do not touch each other.
    parts: BTreeMap<u32, Vec<Interval>>,
}

/// What was deleted of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deleted<'a> {
    /// All of it.
    Whole,
    /// What lies in these intervals; often there are none.
    In(&'a [Interval]),
}

impl Deleted<'_> {
    /// Whether the sample at `time` is hidden.
    pub(crate) fn hides(self, time: i64) -> bool {
        self.covers(time, time)
    }

    /// Whether every sample in `first..=last` is hidden.
    pub(crate) fn covers(self, first: i64, last: i64) -> bool {
        match self {
            Self::Whole => true,
            Self::In(intervals) => {
                let after = intervals.partition_point(|&(start, _)| start <= first);
                after > 0 && intervals[after - 1].1 >= last
            }
        }
    }

    /// Takes hidden samples out.
    pub(crate) fn cut(self, part: &mut SeriesData) {
        if self == Deleted::In(&[]) {
            return;
        }
        let keep: Vec<bool> = part.times.iter().map(|&time| !self.hides(time)).collect();
        retain(&mut part.times, &keep);
        retain(&mut part.values, &keep);
        retain(&mut part.starts, &keep);
        part.histograms.retain(|point| !self.hides(point.time));
    }
}

/// Keeps what `keep` says; an empty column has nothing to lose.
fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| keep.next().is_some_and(|keep| *keep));
}

impl Tombstones {
    /// Whether nothing was deleted.
    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.parts.is_empty()
    }

    /// Series of which something was deleted.
    pub(crate) fn n_series(&self) -> u64 {
        self.whole.len() + self.parts.len() as u64
    }

    /// Intervals, where a whole series counts as one.
    pub(crate) fn n_intervals(&self) -> u64 {
        self.whole.len() + self.parts.values().map(|intervals| intervals.len() as u64).sum::<u64>()
    }

    /// The series of which nothing is left.
    pub(crate) fn whole(&self) -> &RoaringBitmap {
        &self.whole
    }

    /// What was deleted of a series.
    pub(crate) fn of(&self, series: u32) -> Deleted<'_> {
        if self.whole.contains(series) {
            return Deleted::Whole;
        }
        Deleted::In(self.parts.get(&series).map_or(&[], Vec::as_slice))
    }

    /// Deletes all of a series.
    pub(crate) fn add_whole(&mut self, series: u32) {
        self.whole.insert(series);
        self.parts.remove(&series);
    }

    /// Deletes a part of a series, both ends included.
    pub(crate) fn add(&mut self, series: u32, start: i64, end: i64) {
        if start > end || self.whole.contains(series) {
            return;
        }
        let intervals = self.parts.entry(series).or_default();
        // What overlaps or touches the new one becomes one with it.
        let from = intervals.partition_point(|&(_, other_end)| other_end.saturating_add(1) < start);
        let to = intervals.partition_point(|&(other_start, _)| other_start <= end.saturating_add(1));
        let joined =
            intervals[from..to].iter().fold((start, end), |(start, end), &(other_start, other_end)| {
                (start.min(other_start), end.max(other_end))
            });
        intervals.splice(from..to, [joined]);
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        put_len(&mut out, self.whole.serialized_size());
        self.whole.serialize_into(&mut out)?;
        put_len(&mut out, self.parts.len());
        let mut last_series = 0;
        for (&series, intervals) in &self.parts {
            put_uvarint(&mut out, u64::from(series - last_series));
            put_len(&mut out, intervals.len());
            for &(start, end) in intervals {
                put_varint(&mut out, start);
                put_uvarint(&mut out, end.wrapping_sub(start).cast_unsigned());
            }
            last_series = series;
        }
        Ok(out)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "list of deletions");
        let bitmap = reader.bytes()?;
        let mut tombstones = Self {
            whole: RoaringBitmap::deserialize_from(bitmap).map_err(|_| reader.malformed())?,
            ..Self::default()
        };
        let n_series = reader.count()?;
        let mut series = 0u32;
        for _ in 0..n_series {
            series = series.checked_add(reader.u32()?).ok_or(reader.malformed())?;
            let n_intervals = reader.count()?;
            for _ in 0..n_intervals {
                let start = reader.varint()?;
                let end = start.checked_add_unsigned(reader.uvarint()?).ok_or(reader.malformed())?;
                tombstones.add(series, start, end);
            }
        }
        if reader.is_empty() { Ok(tombstones) } else { Err(reader.malformed()) }
    }

    /// Writes the file of a block. Durable afterwards; after an error the old content is there, whole, or the new one.
    pub(crate) fn write(&self, fs: &dyn Fs, block_dir: &Path) -> io::Result<()> {
        write_atomically(fs, &block_dir.join(TOMBSTONES_FILE), TOMBSTONES_FORMAT, &self.encode()?)
    }

    /// Reads the file of a block.
    pub(super) fn read(fs: &dyn Fs, block_dir: &Path) -> Result<Self, BlockError> {
        let path = block_dir.join(TOMBSTONES_FILE);
        match read_checked(fs, &path, TOMBSTONES_FORMAT) {
            Ok(body) => {
                Self::decode(&body).map_err(|source| BlockError::Malformed { path, offset: 0, source })
            }
            Err(CheckedError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::codec::frozen;

    fn some_tombstones() -> Tombstones {
        let mut tombstones = Tombstones::default();
        tombstones.add_whole(5);
        tombstones.add(3, -1000, 200);
        tombstones.add(3, 5000, 5000);
        tombstones.add(70_000, i64::MIN, i64::MAX);
        tombstones
    }

    #[test]
    fn files_of_every_version_are_read_for_ever() {
        let tombstones = some_tombstones();
        let bytes = frozen("tombstones-v1.hex", &tombstones.encode().unwrap(), true);
        assert_eq!(Tombstones::decode(&bytes), Ok(tombstones));
        for len in 0..bytes.len() {
            assert!(Tombstones::decode(&bytes[..len]).is_err(), "cut to {len} bytes");
        }
    }

    #[test]
    fn whole_series_and_counts() {
        let tombstones = some_tombstones();
        assert_eq!((tombstones.n_series(), tombstones.n_intervals(), tombstones.is_empty()), (3, 4, false));
        assert_eq!(tombstones.of(5), Deleted::Whole);
        assert_eq!(tombstones.of(3), Deleted::In(&[(-1000, 200), (5000, 5000)]));
        assert_eq!(tombstones.of(4), Deleted::In(&[]));
        assert!(tombstones.of(3).covers(-1000, 200) && !tombstones.of(3).covers(-1000, 201));
    }

    proptest! {
        #[test]
        fn hides_what_a_set_of_instants_has(
            deletions in prop::collection::vec((0u32..3, -20i64..20, -2i64..12), 0..12),
            whole in prop::option::of(0u32..3),
        ) {
            let mut tombstones = Tombstones::default();
            let mut model: BTreeMap<u32, BTreeSet<i64>> = BTreeMap::new();
            for &(series, start, len) in &deletions {
                tombstones.add(series, start, start + len);
                model.entry(series).or_default().extend(start..=start + len);
            }
            if let Some(series) = whole {
                tombstones.add_whole(series);
                model.entry(series).or_default().extend(-40..50);
            }
            let read_back = Tombstones::decode(&tombstones.encode().unwrap()).unwrap();
            prop_assert_eq!(&read_back, &tombstones);
            for series in 0..3 {
                let hidden = |time| model.get(&series).is_some_and(|times| times.contains(&time));
                let times: Vec<i64> = (-40..40).collect();
                let values = times.iter().map(|&time| f64::from(i32::try_from(time).unwrap())).collect();
                let mut part = SeriesData { times: times.clone().into(), values, ..SeriesData::default() };
                let deleted = read_back.of(series);
                deleted.cut(&mut part);
                let want: Vec<i64> = times.iter().copied().filter(|&time| !hidden(time)).collect();
                prop_assert_eq!(&part.times, &want);
                prop_assert_eq!(part.values.len(), want.len());
                for first in -40..40 {
                    prop_assert_eq!(deleted.covers(first, first + 3), (first..=first + 3).all(hidden));
                }
                if let Deleted::In(intervals) = deleted {
                    prop_assert!(intervals.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "apart: {:?}", intervals);
                }
            }
        }
    }
}
