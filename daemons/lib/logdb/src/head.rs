//! The mutable recent entries of one stream, sorted by time; entries of one time in the order of their arrival.
//!
//! A head is shared as `Arc<Head>`: a view takes the `Arc`, and the next push copies the head only while such a view
//! is still held. Text lies in one buffer in the order of arrival; only the small fixed part of an entry moves when
//! an older entry arrives late.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_disk::SegmentId;
use cairn_model::Labels;

/// From so many entries of one time on, repeats are found through a hash map instead of by looking at each.
const MANY_TIES: usize = 32;

/// An entry on its way into a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEntry<'a> {
    pub(crate) time: i64,
    pub(crate) line: &'a [u8],
    pub(crate) metadata: &'a Labels,
}

/// An entry of a head on its way into a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredEntry<'a> {
    pub(crate) time: i64,
    pub(crate) line: &'a [u8],
    pub(crate) metadata: &'a Arc<Labels>,
}

/// What came of applying entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) stored: u64,
    /// Left out: the head had the same time, line and metadata.
    pub(crate) repeated: u64,
    /// Memory taken by what was stored.
    pub(crate) bytes: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Ascending by (time, arrival).
    entries: Vec<HeadEntry>,
    text: Vec<u8>,
    metadata: Vec<Arc<Labels>>,
    metadata_ids: HashMap<Arc<Labels>, u32>,
    line_bytes: usize,
    metadata_bytes: usize,
    /// The oldest WAL segment that holds an entry of this head; `None` while there is none.
    oldest_segment: Option<SegmentId>,
}

#[derive(Clone, Copy, Debug)]
struct HeadEntry {
    time: i64,
    /// Sequence number of the record that brought it.
    arrival: u64,
    at: usize,
    len: u32,
    metadata: u32,
    hash: u32,
}

impl Head {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Line and metadata bytes: what a chunk of this head would hold before compression.
    pub(crate) fn raw_bytes(&self) -> usize {
        self.line_bytes + self.metadata_bytes
    }

    /// Approximate memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.line_bytes + self.metadata_bytes + self.entries.len() * size_of::<HeadEntry>()
    }

    pub(crate) fn oldest_segment(&self) -> Option<SegmentId> {
        self.oldest_segment
    }

    /// First and last time; `None` for an empty head.
    pub(crate) fn range(&self) -> Option<(i64, i64)> {
        Some((self.entries.first()?.time, self.entries.last()?.time))
    }

    /// Positions of the entries with `start <= time < end`.
    pub(crate) fn positions(&self, start: i64, end: i64) -> (usize, usize) {
        let from = self.entries.partition_point(|entry| entry.time < start);
        let to = self.entries.partition_point(|entry| entry.time < end);
        (from, to.max(from))
    }

    /// Entries and line bytes of `[start, end)`.
    pub(crate) fn volume(&self, start: i64, end: i64) -> (u64, u64) {
        let (from, to) = self.positions(start, end);
        let bytes = self.entries[from..to].iter().map(|entry| u64::from(entry.len)).sum();
        ((to - from) as u64, bytes)
    }

    pub(crate) fn time(&self, position: usize) -> i64 {
        self.entries[position].time
    }

    pub(crate) fn line(&self, position: usize) -> &[u8] {
        self.text_of(&self.entries[position])
    }

    pub(crate) fn metadata(&self, position: usize) -> &Arc<Labels> {
        &self.metadata[self.entries[position].metadata as usize]
    }

    /// All that a chunk keeps of an entry.
    pub(crate) fn stored(&self, position: usize) -> StoredEntry<'_> {
        let entry = &self.entries[position];
        // Where the text lies, its hash and the order of arrival are of use only in memory.
        let HeadEntry { time, arrival: _, at: _, len: _, metadata, hash: _ } = *entry;
        StoredEntry { time, line: self.text_of(entry), metadata: &self.metadata[metadata as usize] }
    }

    fn text_of(&self, entry: &HeadEntry) -> &[u8] {
        &self.text[entry.at..entry.at + entry.len as usize]
    }

    /// Adds the entries of one record, in any order of time. Amortised O(new + those of the head that are not older
    /// than the oldest new one).
    pub(crate) fn apply(&mut self, arrival: u64, segment: SegmentId, new: &[NewEntry<'_>]) -> Applied {
        let mut applied = Applied::default();
        if new.is_empty() {
            return applied;
        }
        let memory_before = self.memory_bytes();
        self.oldest_segment = Some(self.oldest_segment.map_or(segment, |oldest| oldest.min(segment)));
        let mut order: Vec<usize> = (0..new.len()).collect();
        order.sort_by_key(|&index| new[index].time);
        let first = new[order[0]].time;
        let later = match self.entries.last() {
            // The usual case: everything new is newer. No entry moves.
            Some(last) if last.time >= first => {
                self.entries.split_off(self.entries.partition_point(|entry| entry.time < first))
            }
            _ => Vec::new(),
        };
        let mut later = later.into_iter().peekable();
        let mut ties = Ties::default();
        for index in order {
            let entry = &new[index];
            while let Some(old) = later.next_if(|old| (old.time, old.arrival) <= (entry.time, arrival)) {
                if !self.keep(old, &mut ties) {
                    applied.repeated += 1;
                }
            }
            if self.insert(arrival, entry, &mut ties) {
                applied.stored += 1;
            } else {
                applied.repeated += 1;
            }
        }
        for old in later {
            if !self.keep(old, &mut ties) {
                applied.repeated += 1;
            }
        }
        applied.bytes = self.memory_bytes().saturating_sub(memory_before);
        applied
    }

    /// Appends an entry that was in the head before, unless one that arrived earlier, but was applied later, equals it.
    fn keep(&mut self, old: HeadEntry, ties: &mut Ties) -> bool {
        let is_repeat = {
            let line = &self.text[old.at..old.at + old.len as usize];
            ties.find(self, old.time, old.hash, line, old.metadata)
        };
        if is_repeat {
            self.line_bytes -= old.len as usize;
        } else {
            self.entries.push(old);
        }
        !is_repeat
    }

    fn insert(&mut self, arrival: u64, new: &NewEntry<'_>, ties: &mut Ties) -> bool {
        let NewEntry { time, line, metadata } = *new;
        let metadata = self.metadata_id(metadata);
        let hash = short_hash(line);
        if ties.find(self, time, hash, line, metadata) {
            return false;
        }
        let at = self.text.len();
        self.text.extend_from_slice(line);
        let len = u32::try_from(line.len()).expect("a line fits a WAL record, which is limited to 64 MiB");
        self.entries.push(HeadEntry { time, arrival, at, len, metadata, hash });
        self.line_bytes += line.len();
        true
    }

    fn metadata_id(&mut self, labels: &Labels) -> u32 {
        if let Some(&id) = self.metadata_ids.get(labels) {
            return id;
        }
        let id = u32::try_from(self.metadata.len()).expect("a head is cut long before it has 2^32 entries");
        let shared = Arc::new(labels.clone());
        self.metadata_bytes += shared.heap_bytes();
        self.metadata.push(Arc::clone(&shared));
        self.metadata_ids.insert(shared, id);
        id
    }
}

fn short_hash(line: &[u8]) -> u32 {
    (xxhash_rust::xxh3::xxh3_64(line) & 0xffff_ffff) as u32
}

/// Finds repeats among the entries at the end of a head that share one time.
#[derive(Default)]
struct Ties {
    /// Positions by hash, for the run of `time` that starts at `start`; filled once the run is long.
    by_hash: HashMap<u32, Vec<usize>>,
    time: i64,
    indexed_to: usize,
}

impl Ties {
    fn find(&mut self, head: &Head, time: i64, hash: u32, line: &[u8], metadata: u32) -> bool {
        let same = |entry: &HeadEntry| {
            entry.hash == hash && entry.metadata == metadata && head.text_of(entry) == line
        };
        let run = head.entries.iter().rev().take_while(|entry| entry.time == time);
        if run.clone().nth(MANY_TIES).is_none() {
            return run.into_iter().any(same);
        }
        if self.time != time || self.indexed_to == 0 {
            let start = head.entries.partition_point(|entry| entry.time < time);
            self.by_hash.clear();
            self.time = time;
            self.indexed_to = start;
        }
        for position in self.indexed_to..head.entries.len() {
            self.by_hash.entry(head.entries[position].hash).or_default().push(position);
        }
        self.indexed_to = head.entries.len();
        self.by_hash.get(&hash).is_some_and(|found| found.iter().any(|&at| same(&head.entries[at])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(head: &Head) -> Vec<(i64, String)> {
        (0..head.len())
            .map(|at| (head.time(at), String::from_utf8_lossy(head.line(at)).into_owned()))
            .collect()
    }

    fn entry<'a>(time: i64, line: &'a str, metadata: &'a Labels) -> NewEntry<'a> {
        NewEntry { time, line: line.as_bytes(), metadata }
    }

    #[test]
    fn late_entries_find_their_place_and_repeats_are_left_out() {
        let (none, level) = (Labels::empty(), Labels::from_pairs([("level", "info")]));
        let mut head = Head::default();
        let segment = SegmentId(1);
        head.apply(1, segment, &[entry(10, "a", &none), entry(30, "c", &none)]);
        let applied = head.apply(
            2,
            segment,
            &[entry(30, "c", &none), entry(20, "b", &none), entry(30, "c", &level), entry(10, "a2", &none)],
        );
        assert_eq!((applied.stored, applied.repeated), (3, 1));
        let want = [(10, "a"), (10, "a2"), (20, "b"), (30, "c"), (30, "c")].map(|(t, l)| (t, l.to_owned()));
        assert_eq!(lines(&head), want);
        assert_eq!(head.positions(10, 30), (0, 3));
        assert_eq!(head.volume(20, 31), (3, 3));
    }

    #[test]
    fn records_applied_out_of_turn_end_up_in_the_order_of_arrival() {
        let none = Labels::empty();
        let mut head = Head::default();
        head.apply(2, SegmentId(4), &[entry(10, "second", &none), entry(10, "both", &none)]);
        head.apply(1, SegmentId(3), &[entry(10, "first", &none), entry(10, "both", &none)]);
        let want = [(10, "first"), (10, "both"), (10, "second")].map(|(t, l)| (t, l.to_owned()));
        assert_eq!(lines(&head), want);
        assert_eq!(head.oldest_segment(), Some(SegmentId(3)));
    }

    proptest! {
        #[test]
        fn like_a_plain_list(pushes in proptest::collection::vec(proptest::collection::vec((0i64..4, 0u8..60), 0..90), 0..6)) {
            let none = Labels::empty();
            let mut head = Head::default();
            let mut want: Vec<(i64, String)> = Vec::new();
            for (arrival, push) in pushes.iter().enumerate() {
                let texts: Vec<(i64, String)> = push.iter().map(|(t, l)| (*t, format!("line {l}"))).collect();
                let new: Vec<NewEntry<'_>> = texts.iter().map(|(t, l)| entry(*t, l, &none)).collect();
                head.apply(arrival as u64, SegmentId(0), &new);
                for text in texts {
                    if !want.contains(&text) {
                        want.push(text);
                    }
                }
                want.sort_by_key(|(time, _)| *time);
                prop_assert_eq!(&lines(&head), &want);
            }
        }
    }
}
