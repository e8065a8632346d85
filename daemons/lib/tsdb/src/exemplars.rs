//! Exemplars: the newest ones of all series together, in a ring of a fixed size.
//!
//! The ring is for looking at, not for computing: what falls out is gone. Its rules are the peer's: of one series
//! exemplars come in ascending order of time, value and labels, the newest one again is a duplicate, anything else behind
//! it is out of order. `db/exemplars.rs` logs and saves it.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use cairn_model::exemplar::MAX_EXEMPLAR_LABEL_CHARS;
use cairn_model::{Exemplar, Labels, Matcher};

use crate::codec::{Malformed, Reader, put_labels, put_len, put_varint};
use crate::series::SeriesRef;

/// More are never kept, whatever the options say: so many still fit into one file.
pub const MAX_RING: usize = 1 << 20;

/// An exemplar for a series that was resolved before.
#[derive(Clone, Debug)]
pub struct ExemplarSample {
    /// The series, from [`Db::series_ref`](crate::Db::series_ref).
    pub series: SeriesRef,
    /// What leads to the example, mostly a trace id.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When, in milliseconds; the time of the scrape where the source gave none.
    pub time_ms: i64,
}

/// What became of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExemplarOutcome {
    /// It is in the log (durable after the next sync) and in every answer from now on.
    Stored,
    /// The newest one of its series again; nothing to do, nothing wrong.
    Duplicate,
    /// Not after the newest one of its series.
    OutOfOrder,
    /// More than [`MAX_EXEMPLAR_LABEL_CHARS`] characters in its labels.
    LabelsTooLong,
    /// The ring has no place at all.
    Disabled,
    /// The series left the head since its reference was resolved; resolve it again and repeat.
    SeriesDropped,
}

impl ExemplarOutcome {
    /// Whether the caller may tell its client that the exemplar is kept.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Stored | Self::Duplicate)
    }
}

/// In the words of the peer.
impl fmt::Display for ExemplarOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("stored"),
            Self::Duplicate => f.write_str("duplicate exemplar"),
            Self::OutOfOrder => f.write_str("out of order exemplar"),
            Self::LabelsTooLong => write!(
                f,
                "label length for exemplar exceeds maximum of {MAX_EXEMPLAR_LABEL_CHARS} UTF-8 characters"
            ),
            Self::Disabled => {
                f.write_str("exemplar storage is disabled or max exemplars is less than or equal to 0")
            }
            Self::SeriesDropped => f.write_str("series left the head"),
        }
    }
}

/// An exemplar in the ring.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    pub(crate) time_ms: i64,
}

impl Stored {
    /// The order in which exemplars of one series have to come. NaN has a place in it, too.
    fn order(&self, other: &Self) -> Ordering {
        self.time_ms
            .cmp(&other.time_ms)
            .then_with(|| self.value.total_cmp(&other.value))
            .then_with(|| self.labels.cmp(&other.labels))
    }

    /// What becomes of it when `newest` is the newest one of its series.
    pub(crate) fn judge(&self, newest: Option<&Self>) -> ExemplarOutcome {
        let chars = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
        if self.labels.iter().map(chars).sum::<usize>() > MAX_EXEMPLAR_LABEL_CHARS {
            return ExemplarOutcome::LabelsTooLong;
        }
        match newest.map(|newest| self.order(newest)) {
            None | Some(Ordering::Greater) => ExemplarOutcome::Stored,
            Some(Ordering::Equal) => ExemplarOutcome::Duplicate,
            Some(Ordering::Less) => ExemplarOutcome::OutOfOrder,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { labels, value, time_ms } = self;
        put_varint(out, *time_ms);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
        put_labels(out, labels);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let time_ms = reader.varint()?;
        let value = f64::from_bits(reader.u64_le()?);
        Ok(Self { labels: reader.labels()?, value, time_ms })
    }
}

/// The newest exemplars of all series.
#[derive(Debug)]
pub(crate) struct ExemplarRing {
    capacity: usize,
    /// Whose exemplar is the oldest, the next one, and so on.
    arrivals: VecDeque<Arc<Labels>>,
    /// Each ascending, none empty.
    by_series: HashMap<Arc<Labels>, VecDeque<Stored>>,
    /// Whether it differs from what was saved last.
    is_changed: bool,
}

impl ExemplarRing {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(MAX_RING);
        Self { capacity, arrivals: VecDeque::new(), by_series: HashMap::new(), is_changed: false }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes the ring larger or smaller; the newest ones stay.
    pub(crate) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity.min(MAX_RING);
        while self.arrivals.len() > self.capacity {
            self.drop_oldest();
            self.is_changed = true;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.arrivals.len()
    }

    pub(crate) fn n_series(&self) -> usize {
        self.by_series.len()
    }

    /// The newest one of a series.
    pub(crate) fn newest(&self, series: &Labels) -> Option<&Stored> {
        self.by_series.get(series)?.back()
    }

    /// Adds one if its series accepts it.
    pub(crate) fn offer(&mut self, series: &Arc<Labels>, exemplar: Stored) -> ExemplarOutcome {
        if self.capacity == 0 {
            return ExemplarOutcome::Disabled;
        }
        let outcome = exemplar.judge(self.newest(series));
        if outcome != ExemplarOutcome::Stored {
            return outcome;
        }
        if self.arrivals.len() >= self.capacity {
            self.drop_oldest();
        }
        // The key that is there is shared by all arrivals of its series.
        let key = self.by_series.get_key_value(&**series).map_or(series, |(key, _)| key);
        let key = Arc::clone(key);
        self.arrivals.push_back(Arc::clone(&key));
        self.by_series.entry(key).or_default().push_back(exemplar);
        self.is_changed = true;
        outcome
    }

    fn drop_oldest(&mut self) {
        let Some(series) = self.arrivals.pop_front() else { return };
        if let Some(list) = self.by_series.get_mut(&series) {
            list.pop_front();
            if list.is_empty() {
                self.by_series.remove(&series);
            }
        }
    }

    /// Exemplars in `start..=end` of series that pass all matchers of one of the sets; ascending by labels, then by time.
    pub(crate) fn select(
        &self,
        sets: &[Vec<Matcher>],
        start: i64,
        end: i64,
    ) -> Vec<(Arc<Labels>, Vec<Exemplar>)> {
        let passes = |series: &Labels| {
            sets.iter().any(|matchers| matchers.iter().all(|matcher| matcher.matches_labels(series)))
        };
        let mut found: Vec<(Arc<Labels>, Vec<Exemplar>)> = self
            .by_series
            .iter()
            .filter(|(series, _)| passes(series))
            .map(|(series, list)| {
                let in_range = list.iter().filter(|stored| stored.time_ms >= start && stored.time_ms <= end);
                let exemplars = in_range.map(|Stored { labels, value, time_ms }| Exemplar {
                    labels: labels.clone(),
                    value: *value,
                    time_ms: Some(*time_ms),
                });
                (Arc::clone(series), exemplars.collect::<Vec<_>>())
            })
            .filter(|(_, exemplars)| !exemplars.is_empty())
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// All of it, in the order of arrival, if it changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let mut numbers: HashMap<&Labels, (usize, usize)> = HashMap::new();
        let mut out = Vec::new();
        put_len(&mut out, self.by_series.len());
        for (number, series) in self.by_series.keys().enumerate() {
            put_labels(&mut out, series);
            numbers.insert(series, (number, 0));
        }
        put_len(&mut out, self.arrivals.len());
        for series in &self.arrivals {
            let place = numbers.get_mut(&**series).and_then(|(number, next)| {
                let stored = self.by_series.get(series)?.get(*next)?;
                *next += 1;
                Some((*number, stored))
            });
            let Some((number, stored)) = place else { continue };
            put_len(&mut out, number);
            stored.write(&mut out);
        }
        Some(out)
    }

    /// It could not be saved: the next attempt must not be left out.
    pub(crate) fn mark_changed(&mut self) {
        self.is_changed = true;
    }

    /// Puts back what [`take_changed`](Self::take_changed) gave; the newest ones when there are too many by now.
    ///
    /// # Errors
    /// [`Malformed`] when no writer of ours produced it; what was read before is there.
    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(bytes, "exemplars");
        let n_series = reader.count()?;
        let mut series = Vec::with_capacity(n_series);
        for _ in 0..n_series {
            series.push(Arc::new(reader.labels()?));
        }
        for _ in 0..reader.count()? {
            let number = usize::try_from(reader.uvarint()?).map_err(|_| reader.malformed())?;
            let exemplar = Stored::read(&mut reader)?;
            self.offer(series.get(number).ok_or(reader.malformed())?, exemplar);
        }
        self.is_changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::MatchOp;
    use proptest::prelude::*;

    use super::*;

    fn series(name: &str) -> Arc<Labels> {
        Arc::new(Labels::from_pairs([("__name__", name)]))
    }

    fn exemplar(time_ms: i64, value: f64, trace: &str) -> Stored {
        Stored { labels: Labels::from_pairs([("trace_id", trace)]), value, time_ms }
    }

    fn all(ring: &ExemplarRing) -> Vec<(Arc<Labels>, Vec<Exemplar>)> {
        ring.select(&[vec![]], i64::MIN, i64::MAX)
    }

    #[test]
    fn the_peers_rules_in_the_peers_words() {
        let mut ring = ExemplarRing::new(10);
        let mut offer = |exemplar| ring.offer(&series("a"), exemplar).to_string();
        assert_eq!(offer(exemplar(10, 2.0, "x")), "stored");
        assert_eq!(offer(exemplar(10, 2.0, "x")), "duplicate exemplar");
        assert_eq!(offer(exemplar(9, 3.0, "x")), "out of order exemplar");
        assert_eq!(offer(exemplar(10, 1.0, "x")), "out of order exemplar");
        assert_eq!(offer(exemplar(10, 2.0, "y")), "stored", "a native histogram has several of one time");
        let too_long = "label length for exemplar exceeds maximum of 128 UTF-8 characters";
        assert_eq!(offer(exemplar(11, 2.0, &"ü".repeat(120))), "stored");
        assert_eq!(offer(exemplar(12, 2.0, &"ü".repeat(121))), too_long);
        let off = ExemplarRing::new(0).offer(&series("a"), exemplar(1, 1.0, "x"));
        assert_eq!(
            off.to_string(),
            "exemplar storage is disabled or max exemplars is less than or equal to 0"
        );
    }

    #[test]
    fn the_oldest_goes_whosever_it_is() {
        let mut ring = ExemplarRing::new(3);
        for (name, time) in [("a", 100), ("b", 1), ("a", 101), ("b", 2)] {
            assert_eq!(ring.offer(&series(name), exemplar(time, 0.0, "x")), ExemplarOutcome::Stored);
        }
        let times: Vec<Vec<_>> =
            all(&ring).into_iter().map(|(_, list)| list.iter().map(|one| one.time_ms).collect()).collect();
        assert_eq!(times, [vec![Some(101)], vec![Some(1), Some(2)]]);
        for time in 200..203 {
            ring.offer(&series("c"), exemplar(time, 0.0, "x"));
        }
        assert_eq!((ring.len(), ring.n_series()), (3, 1), "a series without any is forgotten");
        ring.resize(1);
        assert_eq!(all(&ring)[0].1[0].time_ms, Some(202), "the newest stays");
    }

    #[test]
    fn selects_by_any_set_of_matchers_and_by_time() {
        let mut ring = ExemplarRing::new(10);
        for (name, time) in [("b", 5), ("a", 5), ("a", 6), ("c", 5)] {
            ring.offer(&series(name), exemplar(time, 0.0, "x"));
        }
        let is = |name: &str| vec![Matcher::new("__name__", MatchOp::Equal, name).unwrap()];
        let found = ring.select(&[is("b"), is("a")], 5, 5);
        let names: Vec<_> = found.iter().map(|(labels, list)| (labels.to_string(), list.len())).collect();
        assert_eq!(names, [(series("a").to_string(), 1), (series("b").to_string(), 1)]);
        assert!(ring.select(&[], 0, 10).is_empty());
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was_saved(
            offers in prop::collection::vec((0u8..4, 0i64..50, any::<f64>()), 0..60),
            capacity in 0usize..20,
            cut in any::<prop::sample::Index>(),
        ) {
            let mut ring = ExemplarRing::new(capacity);
            for (name, time, value) in offers {
                ring.offer(&series(&name.to_string()), exemplar(time, value, "x"));
            }
            let Some(bytes) = ring.take_changed() else {
                prop_assert_eq!(ring.len(), 0);
                return Ok(());
            };
            prop_assert!(ring.take_changed().is_none(), "nothing changed since");
            let mut restored = ExemplarRing::new(capacity);
            restored.restore(&bytes).unwrap();
            prop_assert_eq!(format!("{:?}", all(&restored)), format!("{:?}", all(&ring)));
            prop_assert_eq!(&restored.arrivals, &ring.arrivals);
            let _ = ExemplarRing::new(capacity).restore(&bytes[..cut.index(bytes.len())]);
        }
    }
}
