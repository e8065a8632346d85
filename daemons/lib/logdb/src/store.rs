//! The engine's front: open, push, ask, maintain.

use std::sync::Arc;

use cairn_model::{Labels, Matcher, TimeNs};

use crate::error::{MaintainError, OpenError};
use crate::options::Options;
use crate::push::{PushError, PushReport, StreamBatch};
use crate::retention::Retention;
use crate::stats::{Counters, MaintainReport, Progress, RecoveryReport, Stats, StreamVolume};
use crate::view::View;

/// A log store on one folder. Cheap to clone; all clones are the same store. Every call blocks.
#[derive(Clone, Debug)]
pub struct Store {}

#[allow(clippy::unimplemented, missing_docs)]
impl Store {
    /// Opens or creates the store.
    pub fn open(_options: Options, _progress: &dyn Fn(Progress)) -> Result<Self, OpenError> {
        unimplemented!()
    }

    /// What opening found and repaired.
    pub fn recovery(&self) -> &RecoveryReport {
        unimplemented!()
    }

    pub fn push(&self, _tenant: &str, _batches: Vec<StreamBatch>) -> Result<PushReport, PushError> {
        unimplemented!()
    }

    pub fn view(&self, _tenant: &str) -> View {
        unimplemented!()
    }

    /// `[start, end)`
    pub fn label_names(
        &self,
        _tenant: &str,
        _matchers: &[Matcher],
        _start: TimeNs,
        _end: TimeNs,
    ) -> Vec<String> {
        unimplemented!()
    }

    pub fn label_values(
        &self,
        _tenant: &str,
        _name: &str,
        _matchers: &[Matcher],
        _start: TimeNs,
        _end: TimeNs,
    ) -> Vec<String> {
        unimplemented!()
    }

    /// Streams that pass any of the selectors (all streams when there is none), ascending.
    pub fn series(
        &self,
        _tenant: &str,
        _selectors: &[Vec<Matcher>],
        _start: TimeNs,
        _end: TimeNs,
    ) -> Vec<Arc<Labels>> {
        unimplemented!()
    }

    pub fn stats(&self, _tenant: &str, _matchers: &[Matcher], _start: TimeNs, _end: TimeNs) -> Stats {
        unimplemented!()
    }

    /// Per stream, ascending by labels.
    pub fn volume(
        &self,
        _tenant: &str,
        _matchers: &[Matcher],
        _start: TimeNs,
        _end: TimeNs,
    ) -> Vec<StreamVolume> {
        unimplemented!()
    }

    /// One round: cut, flush, expire, drop WAL segments. Call it every few seconds and when a push asks for it.
    pub fn maintain(&self, _now: TimeNs) -> Result<MaintainReport, MaintainError> {
        unimplemented!()
    }

    /// Cuts every head; at a stop, so that the next start has little to replay.
    pub fn flush(&self) -> Result<MaintainReport, MaintainError> {
        unimplemented!()
    }

    /// A new retention, from the next maintenance on.
    pub fn set_retention(&self, _retention: Retention) {
        unimplemented!()
    }

    pub fn counters(&self) -> Counters {
        unimplemented!()
    }
}
