//! Times that several series of a selection have: joined once, whichever blocks they lie in, and in memory once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

/// Beyond so many times in all (8 MiB), further series have theirs for themselves. Those that are here are of use to the answer,
/// but who has the last of their series is not known before the end.
const MAX_TIMES: usize = 1 << 20;

/// A column of times in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TimeColumn {
    /// Number of the block in the selection.
    pub(super) block: usize,
    /// Number of the column in the block.
    pub(super) id: u32,
    /// How many times there are.
    pub(super) n: u16,
}

/// What is wanted of some columns, one after the other.
#[derive(Debug)]
pub(super) struct JoinedTimes {
    /// Ascending.
    pub(super) times: Arc<Vec<i64>>,
    /// What is wanted of each column.
    pub(super) parts: Vec<Range<usize>>,
}

/// Joined times by their columns.
#[derive(Debug, Default)]
pub(super) struct SharedTimes(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_columns: HashMap<Box<[TimeColumn]>, Arc<JoinedTimes>>,
    n_times: usize,
}

impl JoinedTimes {
    /// Takes what lies in `start..=end`. `None` when it does not ascend.
    pub(super) fn new(columns: &[Arc<[i64]>], (start, end): (i64, i64)) -> Option<Self> {
        let (mut times, mut parts) = (Vec::new(), Vec::new());
        for column in columns {
            let from = column.partition_point(|time| *time < start);
            let until = column.partition_point(|time| *time <= end);
            times.extend_from_slice(column.get(from..until)?);
            parts.push(from..until);
        }
        times.is_sorted_by(|a, b| a < b).then(|| Self { times: Arc::new(times), parts })
    }
}

impl SharedTimes {
    pub(super) fn get(&self, columns: &[TimeColumn]) -> Option<Arc<JoinedTimes>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_columns.get(columns).cloned()
    }

    /// Keeps joined times; answers those that another thread has kept meanwhile.
    pub(super) fn keep(&self, columns: &[TimeColumn], joined: JoinedTimes) -> Arc<JoinedTimes> {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(joined) = kept.by_columns.get(columns) {
            return Arc::clone(joined);
        }
        let joined = Arc::new(joined);
        if kept.n_times + joined.times.len() <= MAX_TIMES {
            kept.n_times += joined.times.len();
            kept.by_columns.insert(columns.into(), Arc::clone(&joined));
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_cut_and_joined_once() {
        let columns: [Arc<[i64]>; 3] = [[1, 2, 3].into(), [4, 5].into(), [6, 7, 8].into()];
        let joined = JoinedTimes::new(&columns, (3, 6)).unwrap();
        assert_eq!((&**joined.times, &joined.parts), (&[3, 4, 5, 6][..], &vec![2..3, 0..2, 0..1]));
        let turned: Vec<Arc<[i64]>> = columns.iter().rev().cloned().collect();
        assert!(JoinedTimes::new(&turned, (3, 6)).is_none());

        let shared = SharedTimes::default();
        let key = [TimeColumn { block: 0, id: 3, n: 3 }];
        assert!(shared.get(&key).is_none());
        let first = shared.keep(&key, joined);
        let second = shared.keep(&key, JoinedTimes::new(&columns, (3, 6)).unwrap());
        assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &shared.get(&key).unwrap()));
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let shared = SharedTimes::default();
        let column: Arc<[i64]> = (0..60_000).collect();
        for id in 0..40 {
            let joined = JoinedTimes::new(&[Arc::clone(&column)], (0, i64::MAX)).unwrap();
            let key = [TimeColumn { block: 0, id, n: 60_000 }];
            assert_eq!(shared.keep(&key, joined).times.len(), 60_000);
            assert_eq!(shared.get(&key).is_some(), id < 17, "{id}");
        }
    }
}
