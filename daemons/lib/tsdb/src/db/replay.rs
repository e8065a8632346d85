//! Checkpoint and log back into a head, on several threads.
//!
//! Reading the log is one thread's work: each record is a difference to the ones before it. Encoding the samples into
//! chunks is not, since a series' samples only have to come in their order: each applying thread has its share of the
//! series.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use cairn_model::Labels;
use cairn_promql::source::HistogramPoint;

use super::histograms::NewestHistograms;
use crate::checkpoint::SavedSeries;
use crate::codec::Malformed;
use crate::exemplars::{ExemplarRing, Stored};
use crate::head::Head;
use crate::series::{HISTOGRAM_BITS, MemSeries, Place, Tip};
use crate::wal_record::{Visit, WalSeries};

/// Samples are handed over in batches of this size.
const BATCH: usize = 16_384;

/// So many samples ahead memory is asked for.
const LOOK_AHEAD: usize = 12;

/// Batches that wait for a thread: a few MiB.
const WAITING_BATCHES: usize = 8;

/// More threads would wait for the one that reads.
const MAX_THREADS: usize = 4;

/// Ids are kept in pages of so many, since neighbours were created together.
const PAGE: usize = 256;
const NO_SLOT: u32 = u32::MAX;

/// From id to slot.
#[derive(Default)]
struct Slots {
    numbers: HashMap<u64, usize>,
    pages: Vec<[u32; PAGE]>,
    /// The page of the id before, which mostly has the next one, too.
    last: Option<(u64, usize)>,
}

impl Slots {
    fn place(id: u64) -> (u64, usize) {
        let at = usize::try_from(id % PAGE as u64).expect("below PAGE");
        (id / PAGE as u64, at)
    }

    fn get(&mut self, id: u64) -> Option<u32> {
        let (page, at) = Self::place(id);
        let number = match self.last {
            Some((last, number)) if last == page => number,
            _ => {
                let number = *self.numbers.get(&page)?;
                self.last = Some((page, number));
                number
            }
        };
        Some(self.pages[number][at]).filter(|&slot| slot != NO_SLOT)
    }

    fn insert(&mut self, id: u64, slot: u32) {
        let (page, at) = Self::place(id);
        let number = *self.numbers.entry(page).or_insert_with(|| {
            self.pages.push([NO_SLOT; PAGE]);
            self.pages.len() - 1
        });
        self.pages[number][at] = slot;
    }
}

#[derive(Clone, Copy)]
/// A float, or with [`HISTOGRAM_BITS`] a histogram: then `start` is its place in the batch's list.
struct StoredSample {
    slot: u32,
    time: i64,
    bits: u64,
    start: i64,
}

/// What one thread gets: new series first, then samples.
#[derive(Default)]
struct Batch {
    series: Vec<Arc<MemSeries>>,
    samples: Vec<StoredSample>,
    histograms: Vec<HistogramPoint>,
}

/// Takes batches and fills the chunks of its series.
fn apply(batches: &Receiver<Batch>, n_threads: usize, head: &Head, block_ms: i64) {
    let mut series: Vec<Option<(Arc<MemSeries>, Place)>> = Vec::new();
    for batch in batches {
        for new in batch.series {
            let place = new.slot as usize / n_threads;
            if place >= series.len() {
                series.resize(place + 1, None);
            }
            series[place] = Some((new, Place::default()));
        }
        let (mut oldest, mut newest, mut grown) = (i64::MAX, i64::MIN, 0);
        for (index, &StoredSample { slot, time, bits, start }) in batch.samples.iter().enumerate() {
            if let Some(later) = batch.samples.get(index + LOOK_AHEAD)
                && let Some((series, place)) = &series[later.slot as usize / n_threads]
            {
                series.prefetch();
                place.prefetch();
            }
            let (series, place) =
                series[slot as usize / n_threads].as_mut().expect("it came before its samples");
            let mut chunks = series.lock();
            // Not by what the log says: a series that left the head and came back may begin before its end.
            let is_next = chunks.newest_in_order().is_none_or(|newest| time > newest);
            grown += if bits == HISTOGRAM_BITS {
                let index = usize::try_from(start).expect("a place in this batch");
                let point = &batch.histograms[index];
                if is_next {
                    chunks.push_histogram(point, 0, block_ms)
                } else if chunks.sample_at(time).is_none() {
                    chunks.insert_late_histogram(point, 0, block_ms)
                } else {
                    continue;
                }
            } else if is_next {
                chunks.push_float(time, bits, start, 0, block_ms)
            } else if chunks.sample_at(time).is_none() {
                chunks.insert_late_float(time, bits, start, 0, block_ms)
            } else {
                continue;
            };
            *place = chunks.place();
            (oldest, newest) = (oldest.min(time), newest.max(time));
        }
        if !batch.samples.is_empty() {
            head.stored(oldest, newest, batch.samples.len() as u64, grown);
        }
    }
}

/// What a replay leaves besides series and chunks.
pub(super) struct Replayed {
    /// The newest samples by slot.
    pub(super) tips: Vec<Tip>,
    pub(super) newest_histograms: NewestHistograms,
    pub(super) exemplars: ExemplarRing,
}

/// Puts what checkpoint and log say into a head.
pub(super) struct Replay<'scope> {
    head: &'scope Head,
    threads: Vec<(SyncSender<Batch>, Batch)>,
    handles: Vec<ScopedJoinHandle<'scope, ()>>,
    slots: Slots,
    tips: Vec<Tip>,
    newest_histograms: NewestHistograms,
    exemplars: ExemplarRing,
    /// What comes now lies in blocks: only the newest samples are noted.
    pub(super) is_in_blocks: bool,
    /// Samples that were put into chunks.
    pub(super) samples: u64,
    /// Samples that refer to a damaged record.
    pub(super) lost: u64,
    /// Samples whose series no record names: its record was damaged.
    pub(super) orphans: u64,
}

impl<'scope> Replay<'scope> {
    /// `exemplars`: those of the file, to which those of the log are added.
    pub(super) fn start(
        scope: &'scope Scope<'scope, '_>,
        head: &'scope Head,
        exemplars: ExemplarRing,
        block_ms: i64,
    ) -> Self {
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let (mut threads, mut handles) = (Vec::new(), Vec::new());
        for _ in 0..n_threads {
            let (sender, batches) = sync_channel(WAITING_BATCHES);
            threads.push((sender, Batch::default()));
            handles.push(scope.spawn(move || apply(&batches, n_threads, head, block_ms)));
        }
        Self {
            head,
            threads,
            handles,
            slots: Slots::default(),
            tips: Vec::new(),
            newest_histograms: NewestHistograms::new(),
            exemplars,
            is_in_blocks: false,
            samples: 0,
            lost: 0,
            orphans: 0,
        }
    }

    /// Waits until every sample is in its chunk.
    pub(super) fn finish(mut self) -> Replayed {
        for thread in 0..self.threads.len() {
            self.hand_over(thread);
        }
        drop(self.threads);
        for handle in self.handles {
            if let Err(panic) = handle.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Replayed { tips: self.tips, newest_histograms: self.newest_histograms, exemplars: self.exemplars }
    }

    fn hand_over(&mut self, thread: usize) {
        let (sender, batch) = &mut self.threads[thread];
        let next = Batch { samples: Vec::with_capacity(BATCH), ..Batch::default() };
        // It only fails if the thread panicked, which `finish` passes on.
        let _ = sender.send(std::mem::replace(batch, next));
    }

    pub(super) fn restore(&mut self, saved: SavedSeries) -> Result<(), Malformed> {
        let SavedSeries { id, labels, last, histogram, chunks } = saved;
        let slot = self.series_for(id, &labels);
        let mut samples = cairn_promql::source::SeriesData::default();
        for chunk in chunks {
            chunk.decode_range(i64::MIN, i64::MAX, &mut samples)?;
        }
        for (&time, value) in samples.times.iter().zip(&samples.values) {
            self.store(slot, time, value.to_bits(), 0, false);
        }
        let tip = &mut self.tips[slot as usize];
        if let Some((time, bits)) = last
            && time > tip.time
        {
            (tip.time, tip.bits) = (time, bits);
            self.head.saw_time(time);
            if let Some(histogram) = histogram {
                self.newest_histograms.insert(slot, (tip.id, histogram));
            }
        }
        Ok(())
    }

    /// A series that left the head and came back has two numbers in the log; both mean the same series here.
    fn series_for(&mut self, id: u64, labels: &Labels) -> u32 {
        let hash = labels.stable_hash();
        let slot = match self.head.find(hash, |other| other == labels) {
            Some(known) => {
                self.head.reserve_ids_below(id.saturating_add(1));
                known.slot
            }
            None => {
                let series = self.head.insert(id, hash, labels);
                let slot = series.slot;
                if slot as usize >= self.tips.len() {
                    self.tips.resize(slot as usize + 1, Tip::EMPTY);
                }
                self.tips[slot as usize] = Tip::of(id);
                let thread = slot as usize % self.threads.len();
                self.threads[thread].1.series.push(series);
                slot
            }
        };
        self.slots.insert(id, slot);
        slot
    }

    /// Stores a sample that comes next in its series, or is late.
    fn store(&mut self, slot: u32, time: i64, bits: u64, start: i64, is_late: bool) {
        let tip = &mut self.tips[slot as usize];
        if !is_late {
            (tip.time, tip.bits) = (time, bits);
        }
        if self.is_in_blocks {
            self.head.saw_time(time);
            return;
        }
        self.samples += 1;
        let thread = slot as usize % self.threads.len();
        let samples = &mut self.threads[thread].1.samples;
        samples.push(StoredSample { slot, time, bits, start });
        if samples.len() >= BATCH {
            self.hand_over(thread);
        }
    }
}

impl Visit for Replay<'_> {
    fn series(&mut self, series: WalSeries) {
        let WalSeries { id, labels } = series;
        self.series_for(id, &labels);
    }

    fn tip(&mut self, id: u64) -> Option<&mut Tip> {
        let Some(slot) = self.slots.get(id) else {
            self.orphans += 1;
            return None;
        };
        self.tips.get_mut(slot as usize)
    }

    fn sample(&mut self, id: u64, time: i64, bits: u64, start: i64, is_late: bool) {
        if let Some(slot) = self.slots.get(id) {
            self.store(slot, time, bits, start, is_late);
        }
    }

    fn exemplar(&mut self, id: u64, exemplar: Stored) {
        // One whose series left the head at the last flush is in the file; one whose series was in a damaged record is
        // not worth a word of its own.
        let series = self.slots.get(id).and_then(|slot| self.head.index().series_in(slot).cloned());
        let Some(series) = series else { return };
        // What the file has already is not after the newest one of its series.
        self.exemplars.offer(&series.to_labels(), exemplar);
    }

    fn histogram(&mut self, id: u64, point: HistogramPoint, is_late: bool) {
        let Some(slot) = self.slots.get(id) else {
            self.orphans += 1;
            return;
        };
        if !is_late {
            let tip = &mut self.tips[slot as usize];
            *tip = Tip::of_histogram(tip.id, point.time);
            self.newest_histograms.insert(slot, (tip.id, Arc::clone(&point.histogram)));
        }
        if self.is_in_blocks {
            self.head.saw_time(point.time);
            return;
        }
        self.samples += 1;
        let thread = slot as usize % self.threads.len();
        let batch = &mut self.threads[thread].1;
        let (time, start) = (point.time, i64::try_from(batch.histograms.len()).expect("a batch has few"));
        batch.histograms.push(point);
        batch.samples.push(StoredSample { slot, time, bits: HISTOGRAM_BITS, start });
        if batch.samples.len() >= BATCH {
            self.hand_over(thread);
        }
    }

    fn lost(&mut self) {
        self.lost += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_ids_far_apart() {
        let mut slots = Slots::default();
        for (id, slot) in [(1, 0), (2, 1), (255, 2), (256, 3), (u64::MAX, 4), (1 << 40, 5)] {
            slots.insert(id, slot);
        }
        let found: Vec<_> = [1, 2, 3, 255, 256, 1 << 40, u64::MAX, 1, 5000].map(|id| slots.get(id)).into();
        let want = [Some(0), Some(1), None, Some(2), Some(3), Some(5), Some(4), Some(0), None];
        assert_eq!(found, want);
        assert_eq!(slots.pages.len(), 4);
    }
}
