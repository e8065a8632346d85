//! What has been read for a query: series, each with its samples.

use std::sync::Arc;

use cairn_model::{FloatHistogram, Labels, Matcher};

use crate::source::{Times, is_stale};
use crate::windows::Column;

/// The series of one read, or some of them.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    read: Arc<Vec<LoadedSeries>>,
    /// Which ones, ascending, if not all.
    picked: Option<Vec<usize>>,
}

impl Loaded {
    /// All series of a read, ascending by labels.
    pub(crate) fn all(read: Vec<LoadedSeries>) -> Self {
        Self { read: Arc::new(read), picked: None }
    }

    /// Those that match.
    pub(crate) fn pick(&self, matchers: &[Matcher]) -> Self {
        let is_match = |at: &usize| matchers.iter().all(|one| one.matches_labels(&self.read[*at].labels));
        let picked = match &self.picked {
            Some(picked) => picked.iter().copied().filter(is_match).collect(),
            None => (0..self.read.len()).filter(is_match).collect(),
        };
        Self { read: Arc::clone(&self.read), picked: Some(picked) }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.picked.as_ref().map_or(self.read.len(), Vec::len)
    }

    /// A series by its number.
    pub(crate) fn at(&self, number: usize) -> &LoadedSeries {
        &self.read[self.picked.as_ref().map_or(number, |picked| picked[number])]
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LoadedSeries> {
        (0..self.len()).map(|number| self.at(number))
    }

    /// The same as a list, for whoever takes it to pieces.
    pub(crate) fn list(&self) -> Vec<&LoadedSeries> {
        self.iter().collect()
    }
}

/// One series as read.
#[derive(Debug)]
pub(crate) struct LoadedSeries {
    pub(crate) labels: Arc<Labels>,
    pub(crate) floats: Samples<f64>,
    /// At none of their times is there a float.
    pub(crate) histograms: Samples<Arc<FloatHistogram>>,
}

/// Samples of one kind, ascending by time.
#[derive(Debug)]
pub(crate) struct Samples<T> {
    /// Milliseconds.
    pub(crate) times: Times,
    pub(crate) values: Vec<T>,
    /// Start timestamps, milliseconds, 0 where none is known; empty when they are not wanted.
    pub(crate) starts: Vec<i64>,
    /// Without staleness markers, only when there are any: windows never see markers.
    unmarked: Option<Box<Samples<T>>>,
}

/// A value that may stand for "the series is gone from here on".
pub(crate) trait MaybeMarker: Clone {
    fn is_marker(&self) -> bool;
}

impl MaybeMarker for f64 {
    fn is_marker(&self) -> bool {
        is_stale(*self)
    }
}

impl MaybeMarker for Arc<FloatHistogram> {
    fn is_marker(&self) -> bool {
        is_stale(self.sum)
    }
}

impl<T: MaybeMarker> Samples<T> {
    /// As they come; it is looked for staleness markers.
    pub(crate) fn new(times: Times, values: Vec<T>, starts: Vec<i64>) -> Self {
        Self::checked(times, values, starts, false)
    }

    /// With `has_no_markers` there is nothing to look for.
    pub(crate) fn checked(times: Times, values: Vec<T>, starts: Vec<i64>, has_no_markers: bool) -> Self {
        // Most series have none, and looking at some values at a time is done several values at once.
        let has_markers = !has_no_markers
            && values
                .chunks(64)
                .any(|some| some.iter().fold(false, |found, value| found | value.is_marker()));
        let unmarked = has_markers.then(|| {
            let kept = || (0..times.len()).filter(|at| !values[*at].is_marker());
            Box::new(Self {
                times: kept().map(|at| times[at]).collect(),
                values: kept().map(|at| values[at].clone()).collect(),
                starts: kept().filter_map(|at| starts.get(at).copied()).collect(),
                unmarked: None,
            })
        });
        Self { times, values, starts, unmarked }
    }

    /// Puts other values in the place of those there are, as `f` makes them.
    pub(crate) fn replace(&mut self, f: impl Fn(&Self) -> Vec<T>) {
        let values = f(self);
        let times = std::mem::take(&mut self.times);
        let starts = std::mem::take(&mut self.starts);
        *self = Self::new(times, values, starts);
    }

    /// The samples without staleness markers.
    pub(crate) fn column(&self) -> Column<'_, T> {
        let samples = self.unmarked.as_deref().unwrap_or(self);
        Column { times: &samples.times, values: &samples.values, starts: &samples.starts }
    }
}
