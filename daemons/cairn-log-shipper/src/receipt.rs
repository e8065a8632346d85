//! Receipts: how an acknowledgement finds its way back to the position of the file that the lines came from.
//!
//! Each read of a file issues one receipt, in order, for the place from which reading would have to go on after it: the
//! end of what was read, or the beginning of the oldest line that a pipeline stage still holds. A file's position is the end of the longest run of receipts, from
//! the front, with which every destination is done: a later one that is done early moves nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_model::TimeNs;

use crate::tail::identity::TailCheck;

/// A place in a file from which reading can go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Bytes before it.
    pub offset: u64,
    /// What stands right before it, to notice a file that was emptied and written anew.
    pub tail: TailCheck,
    /// Whether the place lies inside an over-long line, whose rest is to be skipped.
    pub is_in_long_line: bool,
    /// The newest timestamp given to a line before it: later ones must be larger.
    pub last_time: TimeNs,
}

/// Whether any position has moved since the positions were last written.
#[derive(Clone, Debug, Default)]
pub struct Moved(Arc<AtomicBool>);

impl Moved {
    /// Says that one has.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether one has; resets.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// The receipts of one file, and the place up to which all is acknowledged.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<State>,
    moved: Moved,
}

#[derive(Debug)]
struct State {
    committed: Mark,
    /// Receipts not yet passed by `committed`; the first has number `first`.
    pending: VecDeque<Pending>,
    first: u64,
}

#[derive(Debug)]
struct Pending {
    mark: Mark,
    /// Destinations that are not done.
    open: usize,
}

impl Ledger {
    /// A file that is acknowledged up to `start`.
    pub fn new(start: Mark, moved: Moved) -> Arc<Self> {
        let state = State { committed: start, pending: VecDeque::new(), first: 0 };
        Arc::new(Self { state: Mutex::new(state), moved })
    }

    /// Issues the receipt for what was read up to `mark`; `destinations` have to be done with it. With none the
    /// position moves there as soon as everything before is acknowledged.
    pub fn issue(self: &Arc<Self>, mark: Mark, destinations: usize) -> Receipt {
        let mut state = self.lock();
        let number = state.first + state.pending.len() as u64;
        state.pending.push_back(Pending { mark, open: destinations });
        self.commit(state);
        Receipt { ledger: Arc::clone(self), number }
    }

    /// The place up to which every destination is done.
    pub fn committed(&self) -> Mark {
        self.lock().committed
    }

    /// Whether everything that was read is acknowledged.
    pub fn is_settled(&self) -> bool {
        self.lock().pending.is_empty()
    }

    fn done(&self, number: u64) {
        let mut state = self.lock();
        let index = usize::try_from(number.saturating_sub(state.first)).unwrap_or(usize::MAX);
        if let Some(pending) = state.pending.get_mut(index) {
            pending.open = pending.open.saturating_sub(1);
        }
        self.commit(state);
    }

    fn commit(&self, mut state: MutexGuard<'_, State>) {
        while state.pending.front().is_some_and(|pending| pending.open == 0) {
            if let Some(pending) = state.pending.pop_front() {
                state.committed = pending.mark;
                state.first += 1;
                self.moved.set();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; a poisoned one still holds a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One read that is to be acknowledged. Dropping it acknowledges nothing.
#[derive(Debug)]
pub struct Receipt {
    ledger: Arc<Ledger>,
    number: u64,
}

impl Receipt {
    /// One destination is done: it has stored the lines, or has given them up and counted them. Once per destination.
    pub fn done(&self) {
        self.ledger.done(self.number);
    }

    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Ledger::new(Mark::default(), Moved::default()).issue(Mark::default(), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Mark {
        Mark { offset, ..Mark::default() }
    }

    #[test]
    fn position_follows_the_longest_run_of_acknowledged_receipts() {
        let moved = Moved::default();
        let ledger = Ledger::new(at(0), moved.clone());
        let receipts: Vec<Receipt> = (1..=4).map(|n| ledger.issue(at(n * 10), 2)).collect();
        receipts[1].done();
        receipts[1].done();
        receipts[3].done();
        assert_eq!(ledger.committed(), at(0));
        assert!(!moved.take());
        receipts[0].done();
        assert_eq!(ledger.committed(), at(0), "the second destination is not done");
        receipts[0].done();
        assert_eq!(ledger.committed(), at(20));
        assert!(moved.take());
        receipts[2].done();
        receipts[2].done();
        assert_eq!(ledger.committed(), at(30));
        assert!(!ledger.is_settled());
        receipts[3].done();
        assert_eq!(ledger.committed(), at(40));
        assert!(ledger.is_settled());
    }

    #[test]
    fn a_receipt_for_nobody_waits_for_those_before_it() {
        let ledger = Ledger::new(at(0), Moved::default());
        let first = ledger.issue(at(10), 1);
        // The file was emptied: reading goes on at 0 once the old lines are acknowledged.
        ledger.issue(at(0), 0);
        assert_eq!(ledger.committed(), at(0));
        assert!(!ledger.is_settled());
        first.done();
        assert!(ledger.is_settled());
    }
}
