//! Walking all samples of a range, series by series: for whoever writes them out. However much that is, one series is in
//! memory at a time, and of each block a batch of its series.

use std::sync::Arc;

use cairn_model::{Labels, Matcher, TimeMs};
use cairn_promql::source::SeriesData;

use super::super::Db;
use super::super::join::{Part, join};
use super::{SelectError, Snapshot, empty};
use crate::block::{BlockError, SampleReader, SeriesEntry, Tombstones};
use crate::damage::DamageLog;

impl Db {
    /// Hands over the series that pass one of `selectors` (all, if there is none) and have samples in the range (both
    /// ends inclusive), ascending by labels, each once with its samples. Damage is left out and counted, as in a query;
    /// [`View::left_out`](super::View::left_out) of a view made before tells how much.
    ///
    /// # Errors
    /// [`SelectError::Block`] when the system failed; else what `visit` answers.
    pub fn walk<E: From<SelectError>>(
        &self,
        selectors: &[Vec<Matcher>],
        (start, end): (TimeMs, TimeMs),
        mut visit: impl FnMut(SeriesData) -> Result<(), E>,
    ) -> Result<(), E> {
        let matchers = match selectors {
            [only] => only.as_slice(),
            _ => &[],
        };
        let Snapshot { start, end, blocks, mut head, .. } = self.inner.snapshot(matchers, start.0, end.0);
        head.sort_by(|a, b| a.labels.cmp(&b.labels));
        let damage = &*self.inner.damage;
        let mut inputs: Vec<BlockInput<'_, _>> = blocks
            .iter()
            .map(|block| BlockInput {
                samples: block.samples(),
                tombstones: block.tombstones(),
                series: block.all_series(),
                next: None,
            })
            .collect();
        let mut head = head.into_iter().peekable();
        let is_wanted = |labels: &Labels| {
            selectors.is_empty()
                || selectors.iter().any(|all| all.iter().all(|matcher| matcher.matches_labels(labels)))
        };
        loop {
            for input in &mut inputs {
                input.fill(damage, &is_wanted)?;
            }
            while head.next_if(|part| !is_wanted(&part.labels)).is_some() {}
            let next_of_blocks =
                inputs.iter().filter_map(|input| input.next.as_ref()).map(|entry| &entry.labels);
            let next_of_head = head.peek().map(|part| &*part.labels);
            let Some(labels) = next_of_blocks.chain(next_of_head).min().cloned() else { return Ok(()) };
            let labels = Arc::new(labels);
            // In the order in which they were written, so that of two values at one time the first stays.
            let mut parts: Vec<SeriesData> = Vec::new();
            for input in &mut inputs {
                if let Some(entry) = input.next.take_if(|entry| entry.labels == *labels) {
                    parts.push(input.decode(&labels, &entry, start, end)?);
                }
            }
            if let Some(part) = head.next_if(|part| *part.labels == *labels) {
                parts.extend(part.decode(damage, start, end));
            }
            for series in join(parts.into_iter().map(Part::new).collect()) {
                if !series.times.is_empty() || !series.histograms.is_empty() {
                    visit(series)?;
                }
            }
        }
    }

    /// First and last time at which there may be a sample; `None` for an empty database.
    pub fn time_range(&self) -> Option<(TimeMs, TimeMs)> {
        let blocks = self.blocks();
        let first = blocks.iter().map(|block| block.min_time_ms).chain(self.inner.head.min_time()).min()?;
        let last = blocks
            .iter()
            .map(|block| block.max_time_ms.saturating_sub(1))
            .chain(self.inner.head.max_time())
            .max()?;
        Some((TimeMs(first), TimeMs(last)))
    }
}

/// A block whose series are walked.
struct BlockInput<'a, I> {
    samples: SampleReader<'a>,
    tombstones: Arc<Tombstones>,
    series: I,
    next: Option<SeriesEntry>,
}

impl<I: Iterator<Item = Result<SeriesEntry, BlockError>>> BlockInput<'_, I> {
    /// Looks for the next series that is wanted, unless there is one.
    fn fill(&mut self, damage: &DamageLog, is_wanted: &dyn Fn(&Labels) -> bool) -> Result<(), SelectError> {
        while self.next.is_none() {
            match self.series.next() {
                None => break,
                Some(Ok(entry)) => self.next = Some(entry).filter(|entry| is_wanted(&entry.labels)),
                Some(Err(error)) if error.is_io() => return Err(error.into()),
                Some(Err(error)) => damage.note(&error, 0),
            }
        }
        Ok(())
    }

    fn decode(
        &mut self,
        labels: &Arc<Labels>,
        entry: &SeriesEntry,
        start: i64,
        end: i64,
    ) -> Result<SeriesData, SelectError> {
        let mut part = empty(Arc::clone(labels));
        let deleted = self.tombstones.of(entry.number);
        for place in entry.chunks.iter().filter(|place| place.is_seen(start, end, deleted)) {
            self.samples.read(place, start, end, &mut part)?;
        }
        deleted.cut(&mut part);
        Ok(part)
    }
}
