//! One series of a selection, from what each block and the head have of it.
//!
//! Nearly always that follows each other in time: then all is decoded into one place, and nothing has to be joined. Where it is
//! all in columns of blocks, other series of the target have the same times, and one list is all theirs.

use std::sync::Arc;

use cairn_promql::source::{SeriesData, Times};

use super::super::join::{Part, join_parts};
use super::gather::{BlockPart, BlockSeries, Group};
use super::select::Budget;
use super::shared_times::{JoinedTimes, SharedTimes, TimeColumn};
use super::{HeadPart, SelectError, decode_chunks, empty};
use crate::block::{BlockError, Deleted, SampleReader};
use crate::damage::DamageLog;

/// Room for more samples than this is not made before they are there: the index may be damaged.
const MAX_RESERVED: usize = 1 << 16;

/// Reads series, one after the other and ascending.
pub(super) struct Assembler<'a> {
    blocks: &'a [BlockPart],
    readers: Vec<SampleReader<'a>>,
    damage: &'a DamageLog,
    /// First and last instant that is wanted.
    range: (i64, i64),
    times: &'a SharedTimes,
    pieces: Vec<Piece<'a>>,
    columns: Vec<TimeColumn>,
}

/// What one place has of a series.
struct Piece<'a> {
    first: i64,
    last: i64,
    at: At<'a>,
}

#[derive(Clone, Copy)]
enum At<'a> {
    Block(usize, &'a BlockSeries),
    Head(&'a HeadPart),
}

impl<'a> Assembler<'a> {
    pub(super) fn new(
        blocks: &'a [BlockPart],
        damage: &'a DamageLog,
        times: &'a SharedTimes,
        range: (i64, i64),
    ) -> Self {
        let readers = blocks.iter().map(|part| part.block.samples_with(Arc::clone(&part.times))).collect();
        Self { blocks, readers, damage, range, times, pieces: Vec::new(), columns: Vec::new() }
    }

    /// The series, without what `budget` trims; `None` when there is no sample.
    pub(super) fn read(
        &mut self,
        group: &Group<'a>,
        budget: &Budget<'_>,
    ) -> Result<Option<SeriesData>, SelectError> {
        if !self.follow_each_other(group) {
            return self.read_apart(group, budget);
        }
        // What is damaged is read once more, and then noted and left out.
        if self.all_are_columns()
            && let Ok(Some(all)) = self.read_columns(group)
        {
            return budget.take(all);
        }
        let mut all = empty(Arc::clone(&group.labels));
        let n: usize = self.pieces.iter().map(|piece| piece.n_about(self.range)).sum();
        let n = n.min(MAX_RESERVED);
        all.times.reserve_exact(n);
        all.values.reserve_exact(n);
        for at in 0..self.pieces.len() {
            match self.pieces[at].at {
                At::Block(number, series) => self.read_block(number, series, &mut all)?,
                At::Head(part) => decode_chunks(&part.chunks, self.damage, self.range, &mut all),
            }
        }
        Ok(budget.part(all)?.map(Part::alone))
    }

    /// Fills `pieces`, ascending in time. Answers false when two of them overlap, or something in them was deleted.
    fn follow_each_other(&mut self, group: &Group<'a>) -> bool {
        self.pieces.clear();
        for &(number, series) in &group.blocks {
            if self.deleted(number, series) != Deleted::In(&[]) {
                return false;
            }
            let spans = series.chunks.iter().map(|place| (place.min_time, place.max_time));
            self.pieces.extend(Piece::new(At::Block(number, series), spans));
        }
        for part in &group.head {
            if !part.late.is_empty() {
                return false;
            }
            let spans = part.chunks.iter().map(|chunk| (chunk.min_time, chunk.max_time));
            self.pieces.extend(Piece::new(At::Head(part), spans));
        }
        self.pieces.sort_by_key(|piece| piece.first);
        self.pieces.is_sorted_by(|before, after| before.last < after.first)
    }

    /// Fills `columns`. Answers false when some chunks have their times for themselves.
    fn all_are_columns(&mut self) -> bool {
        self.columns.clear();
        for piece in &self.pieces {
            let At::Block(block, series) = piece.at else { return false };
            for place in &series.chunks {
                let Some(id) = place.time_column() else { return false };
                self.columns.push(TimeColumn { block, id, n: place.n_samples });
            }
        }
        true
    }

    /// `None` when the chunks do not follow each other in time after all.
    fn read_columns(&mut self, group: &Group<'a>) -> Result<Option<SeriesData>, BlockError> {
        let Some(joined) = self.joined_times()? else { return Ok(None) };
        let mut all = empty(Arc::clone(&group.labels));
        all.values.reserve_exact(joined.times.len());
        let mut parts = joined.parts.iter();
        for piece in &self.pieces {
            let At::Block(block, series) = piece.at else { return Ok(None) };
            for (place, part) in series.chunks.iter().zip(&mut parts) {
                self.readers[block].read_values(place, part.clone(), &mut all)?;
            }
        }
        all.times = Times::shared(Arc::clone(&joined.times));
        Ok(Some(all))
    }

    fn joined_times(&mut self) -> Result<Option<Arc<JoinedTimes>>, BlockError> {
        if let Some(joined) = self.times.get(&self.columns) {
            return Ok(Some(joined));
        }
        let columns: Vec<Arc<[i64]>> = self
            .columns
            .iter()
            .map(|column| self.readers[column.block].times(column.id, usize::from(column.n)))
            .collect::<Result<_, _>>()?;
        let joined = JoinedTimes::new(&columns, self.range);
        Ok(joined.map(|joined| self.times.keep(&self.columns, joined)))
    }

    fn deleted(&self, number: usize, series: &BlockSeries) -> Deleted<'a> {
        self.blocks[number].tombstones.of(series.number)
    }

    fn read_block(
        &mut self,
        number: usize,
        series: &BlockSeries,
        into: &mut SeriesData,
    ) -> Result<(), SelectError> {
        let (start, end) = self.range;
        for place in &series.chunks {
            self.readers[number].read(place, start, end, into)?;
        }
        Ok(())
    }

    /// Decodes what each place has by itself, and joins it.
    fn read_apart(
        &mut self,
        group: &Group<'a>,
        budget: &Budget<'_>,
    ) -> Result<Option<SeriesData>, SelectError> {
        let mut parts = Vec::new();
        for &(number, series) in &group.blocks {
            let mut part = empty(Arc::clone(&group.labels));
            self.read_block(number, series, &mut part)?;
            self.deleted(number, series).cut(&mut part);
            parts.extend(budget.part(part)?);
        }
        for head in &group.head {
            for part in head.decode(self.damage, self.range.0, self.range.1) {
                parts.extend(budget.part(part)?);
            }
        }
        Ok((!parts.is_empty()).then(|| join_parts(parts)))
    }
}

impl<'a> Piece<'a> {
    fn new(at: At<'a>, spans: impl Iterator<Item = (i64, i64)>) -> Option<Self> {
        let join = |(first, last): (i64, i64), more: (i64, i64)| (first.min(more.0), last.max(more.1));
        let (first, last) = spans.reduce(join)?;
        Some(Self { first, last, at })
    }

    /// About how many samples there are in a range; nearly always not fewer.
    fn n_about(&self, range: (i64, i64)) -> usize {
        match self.at {
            At::Block(_, series) => series
                .chunks
                .iter()
                .map(|place| n_within((place.min_time, place.max_time), place.n_samples, range))
                .sum(),
            At::Head(part) => part
                .chunks
                .iter()
                .map(|chunk| n_within((chunk.min_time, chunk.max_time), chunk.n_samples, range))
                .sum(),
        }
    }
}

/// So many samples more than their share are expected in a part of a chunk: their distances differ a little.
const SPARE_SAMPLES: usize = 2;

/// About how many of `n` samples between `first` and `last` lie in a range.
fn n_within((first, last): (i64, i64), n: u16, (start, end): (i64, i64)) -> usize {
    let (from, until) = (first.max(start), last.min(end));
    if (from, until) == (first, last) || from > until {
        return usize::from(n);
    }
    let share =
        i128::from(n) * (i128::from(until) - i128::from(from)) / (i128::from(last) - i128::from(first));
    usize::try_from(share).map_or(usize::from(n), |share| (share + SPARE_SAMPLES).min(usize::from(n)))
}
