//! Telling whoever maintains the database that the head is full, before the next round would come.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

type Hook = Box<dyn Fn() + Send + Sync>;

/// Calls a hook once each time the head becomes full.
#[derive(Default)]
pub(super) struct Pressure {
    hook: OnceLock<Hook>,
    is_asked: AtomicBool,
}

impl Pressure {
    /// Sets the hook; the first one stays.
    pub(super) fn set_hook(&self, hook: Hook) {
        let _ = self.hook.set(hook);
    }

    pub(super) fn ask(&self) {
        if !self.is_asked.swap(true, Ordering::AcqRel)
            && let Some(hook) = self.hook.get()
        {
            hook();
        }
    }

    /// Whether somebody was asked and has not answered yet.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Acquire)
    }

    pub(super) fn answered(&self) {
        self.is_asked.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressure").field("is_asked", &self.is_asked).finish_non_exhaustive()
    }
}
