//! A selection: what blocks and head hold of the series that match, with their samples or without, read on all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_model::{Labels, Matcher};
use cairn_promql::source::SeriesData;
use rayon::prelude::*;

use super::super::Inner;
use super::super::join::Part;
use super::SelectError;
use super::assemble::Assembler;
use super::gather::{Found, Group};
use super::shared_times::SharedTimes;

/// Series that one thread reads in a row, if there are not many. Neighbours in a block lie in one page and share times, and handing
/// over work takes as long as decoding one or two of them.
const SERIES_IN_A_ROW: usize = 32;

/// Of many series, each thread gets so many runs: finding where a run begins takes longer than decoding a short series.
const RUNS_PER_THREAD: usize = 32;

/// No run is longer, so that none is waited for.
const MAX_SERIES_IN_A_ROW: usize = 1024;

impl Inner {
    /// The series that match and have samples in the range, ascending by labels.
    pub(super) fn select(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
        budget: &Budget<'_>,
    ) -> Result<Vec<SeriesData>, SelectError> {
        if start > end {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshot(matchers, start, end);
        let range = (snapshot.start, snapshot.end);
        let found = Found::read(&snapshot.blocks, snapshot.head, matchers, range)?;
        let n_in_a_row = (found.n_about() / (RUNS_PER_THREAD * rayon::current_num_threads()))
            .clamp(SERIES_IN_A_ROW, MAX_SERIES_IN_A_ROW);
        let borders = found.borders(n_in_a_row);
        let times = SharedTimes::default();
        let read: Vec<Vec<SeriesData>> = (0..=borders.len())
            .into_par_iter()
            .map(|number| {
                let border = |number: usize| borders.get(number).map(|labels| &**labels);
                let (from, until) = (number.checked_sub(1).and_then(border), border(number));
                let mut assembler = Assembler::new(&found.blocks, &self.damage, &times, range);
                let mut rest = found.between(from, until);
                let mut group = Group { labels: Arc::default(), blocks: Vec::new(), head: Vec::new() };
                let mut read = Vec::with_capacity(n_in_a_row);
                while rest.next_into(&mut group) {
                    read.extend(assembler.read(&group, budget)?);
                }
                Ok(read)
            })
            .collect::<Result<_, SelectError>>()?;
        Ok(read.into_iter().flatten().collect())
    }
}

impl Inner {
    /// The labels of the series that match and have a chunk in the range, ascending.
    pub(in crate::db) fn series(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<Vec<Arc<Labels>>, SelectError> {
        let snapshot = self.snapshot(matchers, start, end);
        let range = (snapshot.start, snapshot.end);
        let found = Found::read(&snapshot.blocks, snapshot.head, matchers, range)?;
        let mut rest = found.between(None, None);
        let mut group = Group { labels: Arc::default(), blocks: Vec::new(), head: Vec::new() };
        let mut all = Vec::with_capacity(found.n_about());
        while rest.next_into(&mut group) {
            all.push(Arc::clone(&group.labels));
        }
        Ok(all)
    }
}

/// Samples that the selection may still load.
pub(super) struct Budget<'a> {
    left: AtomicUsize,
    limit: usize,
    trim: &'a (dyn Fn(&mut SeriesData) + Sync),
}

impl<'a> Budget<'a> {
    /// `trim` leaves out what nobody wants of the part of a series that a block, or the head, has in the range.
    pub(super) fn new(limit: usize, trim: &'a (dyn Fn(&mut SeriesData) + Sync)) -> Self {
        Self { left: AtomicUsize::new(limit), limit, trim }
    }

    /// Trims samples and counts them; `None` when there are none.
    pub(super) fn take(&self, mut data: SeriesData) -> Result<Option<SeriesData>, SelectError> {
        (self.trim)(&mut data);
        let of_histograms = data.histograms.iter().map(|point| point.histogram.n_samples());
        let n = data.times.len() + of_histograms.sum::<usize>();
        let take = |left: usize| left.checked_sub(n);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok((n > 0).then_some(data)),
            Err(_) => Err(SelectError::TooManySamples { limit: self.limit }),
        }
    }

    /// As [`take`](Self::take), of what is to be joined with others, or may not ascend.
    pub(super) fn part(&self, data: SeriesData) -> Result<Option<Part>, SelectError> {
        Ok(self.take(data)?.map(Part::new))
    }
}
