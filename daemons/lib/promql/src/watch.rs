//! Asking now and then whether a query must stop.

use crate::answer::{EvalError, Stop, StopCheck};

/// Values handled between two looks at the deadline.
const CHECK_EVERY: u64 = 1 << 16;

/// Counts the work of one thread.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    stop: Option<StopCheck<'a>>,
    since_check: u64,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(stop: Option<StopCheck<'a>>) -> Self {
        Self { stop, since_check: 0 }
    }

    /// Counts work, and now and then asks whether to stop.
    pub(crate) fn tick(&mut self, n: usize) -> Result<(), EvalError> {
        self.since_check += n as u64 + 1;
        if self.since_check < CHECK_EVERY {
            return Ok(());
        }
        self.since_check = 0;
        self.check_stop()
    }

    /// Asks whether to stop.
    pub(crate) fn check_stop(&self) -> Result<(), EvalError> {
        match self.stop.and_then(|stop| stop()) {
            None => Ok(()),
            Some(Stop::TimedOut) => Err(EvalError::TimedOut),
            Some(Stop::Canceled) => Err(EvalError::Canceled),
        }
    }
}
