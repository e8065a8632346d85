//! What a stage is: one of four kinds, by how much of a line it needs to see. A stage takes the least that it can do
//! with, since that decides what a line costs: see [`super::Pipeline`].

use std::fmt::Debug;
use std::time::Instant;

use cairn_model::LabelsBuilder;

use super::entry::Entry;

/// A stage, ready to run.
#[derive(Debug)]
pub enum Stage {
    /// Changes labels, whatever the lines say.
    Stream(Box<dyn StreamStage>),
    /// Drops lines by their text.
    Line(Box<dyn LineStage>),
    /// Changes or drops an entry.
    Entry(Box<dyn EntryStage>),
    /// Holds entries back, to make fewer or other ones of them.
    Holding(Box<dyn HoldingStage>),
}

/// See [`Stage::Stream`].
pub trait StreamStage: Debug + Send + Sync {
    /// Changes the labels. Called once for each stream, or for each entry behind a stage that sees entries.
    fn edit_labels(&self, labels: &mut LabelsBuilder);
}

/// See [`Stage::Line`].
pub trait LineStage: Debug + Send + Sync {
    /// Decides about one line (without its newline): `Err` drops it, and names the reason under which it is counted.
    ///
    /// # Errors
    /// The reason for dropping the line.
    fn keep(&self, line: &[u8]) -> Result<(), &str>;
}

/// See [`Stage::Entry`].
pub trait EntryStage: Debug + Send + Sync {
    /// Changes the entry, or drops it with `Err` and the reason under which its lines are counted. A stage that cannot
    /// do its work leaves the entry as it is.
    ///
    /// # Errors
    /// The reason for dropping the entry.
    fn process(&self, entry: &mut Entry<'_>) -> Result<(), &str>;
}

/// See [`Stage::Holding`]. The stage itself is what the configuration says; what is held is in a [`Holder`].
pub trait HoldingStage: Debug + Send + Sync {
    /// The memory for one file as one job reads it.
    fn start(&self) -> Box<dyn Holder>;
}

/// Entries of one file that wait for later lines.
///
/// The position of the file stays before the oldest line of whatever [`see_held`](Self::see_held) shows, so that a
/// crash loses nothing: those lines are read again. A holder keeps that right by doing two things: it shows every entry
/// that it has, and it makes one entry of several with [`Entry::join`]. It bounds what it holds, in entries and bytes.
pub trait Holder: Debug + Send {
    /// Takes one entry, and pushes to `released` what is complete: nothing, this entry, or others.
    fn take<'a>(&mut self, entry: Entry<'a>, now: Instant, released: &mut Vec<Entry<'a>>);

    /// Pushes to `released` what need not or cannot wait any longer. Called about four times a second while something
    /// is held, and with [`When::All`] when the file was emptied or is about to be closed.
    fn release(&mut self, when: When, released: &mut Vec<Entry<'static>>);

    /// Shows every entry that is held.
    fn see_held(&self, see: &mut dyn FnMut(&Entry<'static>));
}

/// What is to be released.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// What has waited long enough by now.
    Due(Instant),
    /// Everything.
    All,
}
