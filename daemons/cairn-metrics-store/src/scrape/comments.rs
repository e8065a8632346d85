//! Comment lines that are the same in every page.
//!
//! A third of a page says what its families mean. A steady scrape reads none of it again: the lines between two samples
//! are one *block*, known by the slot of the sample before it and by a hash, and what it said is still in the target's
//! table of metadata.

use cairn_model::MetricType;
use hashbrown::HashTable;

use super::cache::SlotId;

/// The comment lines between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommentBlock {
    /// Of its bytes.
    pub(crate) hash: u64,
    pub(crate) len: u32,
    /// The families that it names, by their places in the table of metadata.
    pub(crate) families: Families,
    /// The last type that it gives, and the family's place.
    pub(crate) last_type: Option<(u32, MetricType)>,
}

/// A run of places in a table of metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Families {
    pub(crate) first: u32,
    pub(crate) n: u32,
}

impl Families {
    /// With a further place. `None`: the places do not follow each other, so that a run cannot hold them.
    pub(crate) fn with(self, place: usize) -> Option<Self> {
        let place = u32::try_from(place).ok()?;
        if self.n == 0 {
            return Some(Self { first: place, n: 1 });
        }
        match place.checked_sub(self.first)? {
            at if at < self.n => Some(self),
            at if at == self.n => Some(Self { n: self.n + 1, ..self }),
            _ => None,
        }
    }

    pub(crate) fn places(self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + self.n as usize
    }
}

/// A block that is being read.
#[derive(Debug)]
pub(crate) struct OpenComments {
    /// Where it begins in the page.
    pub(crate) start: usize,
    /// The sample before it.
    pub(crate) after: SlotId,
    /// `None`: they are no run.
    families: Option<Families>,
    last_type: Option<(u32, MetricType)>,
    /// The sample behind it was read: it has ended.
    pub(crate) has_sample: bool,
}

impl OpenComments {
    pub(crate) fn new(start: usize, after: SlotId) -> Self {
        Self { start, after, families: Some(Families::default()), last_type: None, has_sample: false }
    }

    /// A line names a family at this place, and its type if it is a line for that; `None`: it found no place.
    pub(crate) fn note(&mut self, family: Option<(usize, Option<MetricType>)>) {
        let Some((place, metric_type)) = family else {
            self.families = None;
            return;
        };
        self.families = self.families.and_then(|families| families.with(place));
        if let (Some(metric_type), Ok(place)) = (metric_type, u32::try_from(place)) {
            self.last_type = Some((place, metric_type));
        }
    }

    /// The block as it is remembered, if it can be.
    pub(crate) fn block(&self, hash: u64, len: usize) -> Option<CommentBlock> {
        let len = u32::try_from(len).ok().filter(|len| *len > 0)?;
        Some(CommentBlock { hash, len, families: self.families?, last_type: self.last_type })
    }
}

/// The blocks of one target's pages.
#[derive(Debug, Default)]
pub(crate) struct CommentBlocks {
    /// With the slot of the sample before each.
    by_slot: HashTable<(SlotId, CommentBlock)>,
}

impl CommentBlocks {
    /// The block that came after this slot's sample when it was read last.
    pub(crate) fn after(&self, slot: SlotId) -> Option<&CommentBlock> {
        self.by_slot.find(spread(slot), |(after, _)| *after == slot).map(|(_, block)| block)
    }

    pub(crate) fn set(&mut self, slot: SlotId, block: CommentBlock) {
        match self.by_slot.find_mut(spread(slot), |(after, _)| *after == slot) {
            Some((_, known)) => *known = block,
            None => drop(self.by_slot.insert_unique(spread(slot), (slot, block), |(slot, _)| spread(*slot))),
        }
    }

    /// The slot is no longer that sample's.
    pub(crate) fn remove(&mut self, slot: SlotId) {
        if let Ok(entry) = self.by_slot.find_entry(spread(slot), |(after, _)| *after == slot) {
            entry.remove();
        }
    }
}

/// Numbers that follow each other, far apart (Fibonacci hashing).
fn spread(slot: SlotId) -> u64 {
    u64::from(slot).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_hold_what_follows_each_other() {
        let run = Families::default().with(5).unwrap();
        assert_eq!(run.with(5), Some(run));
        let longer = run.with(6).unwrap();
        assert_eq!((longer.places(), longer.with(5)), (5..7, Some(longer)));
        assert_eq!((longer.with(8), longer.with(4)), (None, None));
    }

    #[test]
    fn a_block_belongs_to_the_slot_before_it() {
        let block = CommentBlock { hash: 1, len: 2, families: Families::default(), last_type: None };
        let mut blocks = CommentBlocks::default();
        for slot in 0..100 {
            blocks.set(slot, CommentBlock { hash: slot.into(), ..block });
        }
        blocks.set(7, CommentBlock { hash: 700, ..block });
        blocks.remove(8);
        blocks.remove(8);
        let hashes = [6, 7, 8, 99].map(|slot| blocks.after(slot).map(|block| block.hash));
        assert_eq!(hashes, [Some(6), Some(700), None, Some(99)]);
    }
}
