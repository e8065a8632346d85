//! What the engine asks of a store of logs.
//!
//! The engine knows nothing of files or tenants. It names streams by matchers and a time range, and reads each one
//! as a cursor in time order; the store decodes lazily, so that a query with a limit touches only what it returns.

use std::error::Error;
use std::sync::Arc;

use cairn_model::{Labels, Matcher, TimeNs};

/// In which order entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Which entries a query needs.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// All of them must pass.
    pub matchers: &'a [Matcher],
    /// First instant wanted.
    pub start: TimeNs,
    /// First instant no longer wanted.
    pub end: TimeNs,
    /// Order of the entries of each stream.
    pub direction: Direction,
    /// Texts that every line must contain to be of any use. The store may skip whatever it knows to lack one of them
    /// (a chunk by its filter), and may as well return lines without them: the pipeline tests every line again.
    pub needles: &'a [&'a [u8]],
}

/// One entry, borrowed from the cursor's decoded chunk.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    /// When it was logged.
    pub time: TimeNs,
    /// The line as pushed; usually UTF-8, but not promised.
    pub line: &'a [u8],
    /// Structured metadata, sorted by name.
    pub metadata: &'a Labels,
}

/// The store failed while reading (I/O, damage). The query ends with it.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// Reads one stream's entries of the selection, in the selection's direction. Entries of one timestamp come in the
/// order of their arrival when reading forward, and in reverse when reading backward. Exact repeats (same time, line
/// and metadata) come once.
pub trait StreamCursor: Send {
    /// The stream's labels.
    fn labels(&self) -> &Arc<Labels>;

    /// Moves to the next entry; false at the end. Before the first call there is no current entry.
    ///
    /// # Errors
    /// [`SourceError`] when a chunk cannot be read.
    fn advance(&mut self) -> Result<bool, SourceError>;

    /// The current entry.
    ///
    /// # Panics
    /// May panic when the last [`advance`](Self::advance) did not return `Ok(true)`.
    fn entry(&self) -> EntryRef<'_>;
}

/// A consistent view of one tenant's logs.
pub trait LogSource: Send + Sync {
    /// One cursor for each stream that may have entries in the selection, in any order.
    ///
    /// # Errors
    /// [`SourceError`] when the catalogue cannot be read.
    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Vec<Box<dyn StreamCursor + 'a>>, SourceError>;
}
