//! One stream's entries in time order: chunks and heads merged, exact repeats left out, chunks decoded only when the
//! reading reaches them.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_logql::source::{Direction, EntryRef, SourceError, StreamCursor};
use cairn_model::{Labels, TimeNs};

use crate::chunk_file::ChunkRef;
use crate::damage::ReadContext;
use crate::head::Head;
use crate::run::{Run, Window};
use crate::stream::StreamSnapshot;

/// Merges the runs of one stream. A run is opened when the reading reaches its first time, so that a query with a
/// limit decodes only what it returns, and only overlapping chunks are decoded side by side.
#[derive(Debug)]
pub(crate) struct MergeCursor {
    context: ReadContext,
    labels: Arc<Labels>,
    window: Window,
    /// Not opened yet; the one to be reached next is the last.
    pending: Vec<Pending>,
    open: Vec<Run>,
    current: Current,
}

#[derive(Debug)]
enum Current {
    None,
    /// The entry at which this open run stands.
    Run(usize),
    /// An entry of a time that several runs have.
    Tie {
        entries: Vec<TieEntry>,
        at: usize,
        time: i64,
    },
}

#[derive(Debug)]
struct TieEntry {
    line: Box<[u8]>,
    metadata: Arc<Labels>,
}

#[derive(Debug)]
struct Pending {
    /// The time at which it is reached: its first when reading forward, its last when reading backward.
    reached_at: i64,
    rank: usize,
    source: PendingSource,
}

#[derive(Debug)]
enum PendingSource {
    Chunk(ChunkRef),
    Head(Arc<Head>),
}

impl MergeCursor {
    pub(crate) fn new(snapshot: StreamSnapshot, window: Window, context: ReadContext) -> Self {
        let is_forward = window.direction == Direction::Forward;
        let reached = |first: i64, last: i64| if is_forward { first } else { last };
        let chunks = snapshot
            .chunks
            .into_iter()
            .map(|chunk| (reached(chunk.place.min_time, chunk.place.max_time), PendingSource::Chunk(chunk)));
        let heads = snapshot.heads.into_iter().map(|head| {
            let (first, last) = head.range().unwrap_or_default();
            (reached(first, last), PendingSource::Head(head))
        });
        // The rank is the order of arrival: chunks in the order of cutting, then heads.
        let mut pending: Vec<Pending> = chunks
            .chain(heads)
            .enumerate()
            .map(|(rank, (reached_at, source))| Pending { reached_at, rank, source })
            .collect();
        pending.sort_by_key(|pending| pending.reached_at);
        if is_forward {
            pending.reverse();
        }
        Self { context, labels: snapshot.labels, window, pending, open: Vec::new(), current: Current::None }
    }

    /// The time that comes next among the open runs.
    fn next_time(&self) -> Option<i64> {
        let times = self.open.iter().map(Run::time);
        match self.window.direction {
            Direction::Forward => times.min(),
            Direction::Backward => times.max(),
        }
    }

    /// Opens what may have entries at the next time or before it, in reading order.
    fn open_reached(&mut self) -> Result<Option<i64>, SourceError> {
        loop {
            let next = self.next_time();
            let is_reached = |pending: &mut Pending| match (next, self.window.direction) {
                (None, _) => true,
                (Some(next), Direction::Forward) => pending.reached_at <= next,
                (Some(next), Direction::Backward) => pending.reached_at >= next,
            };
            let Some(reached) = self.pending.pop_if(is_reached) else { return Ok(next) };
            let run = match reached.source {
                PendingSource::Head(head) => Run::of_head(head, reached.rank, &self.window),
                PendingSource::Chunk(chunk) => {
                    Run::of_chunk(&chunk, reached.rank, &self.window, &self.context)?
                }
            };
            self.open.extend(run);
        }
    }

    /// Takes all entries of one time out of all open runs, in the order of arrival and each once.
    fn collect_tie(&mut self, time: i64) -> Result<Vec<TieEntry>, SourceError> {
        self.open.sort_by_key(|run| run.rank);
        let mut entries: Vec<TieEntry> = Vec::new();
        let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut index = 0;
        while index < self.open.len() {
            let run = &mut self.open[index];
            let mut of_run = Vec::new();
            let mut is_open = true;
            while is_open && run.time() == time {
                of_run.push(TieEntry { line: run.line().into(), metadata: Arc::clone(run.metadata()) });
                is_open = run.advance(&self.window, &self.context)?;
            }
            if self.window.direction == Direction::Backward {
                of_run.reverse();
            }
            for entry in of_run {
                let hash = xxhash_rust::xxh3::xxh3_64(&entry.line);
                let same_hash = by_hash.entry(hash).or_default();
                let is_repeat = same_hash
                    .iter()
                    .any(|&at| entries[at].line == entry.line && *entries[at].metadata == *entry.metadata);
                if !is_repeat {
                    same_hash.push(entries.len());
                    entries.push(entry);
                }
            }
            if is_open {
                index += 1;
            } else {
                self.open.remove(index);
            }
        }
        if self.window.direction == Direction::Backward {
            entries.reverse();
        }
        Ok(entries)
    }
}

impl StreamCursor for MergeCursor {
    fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }

    fn advance(&mut self) -> Result<bool, SourceError> {
        match &mut self.current {
            Current::Run(index) => {
                let index = *index;
                self.current = Current::None;
                if !self.open[index].advance(&self.window, &self.context)? {
                    self.open.swap_remove(index);
                }
            }
            Current::Tie { entries, at, .. } if *at + 1 < entries.len() => {
                *at += 1;
                return Ok(true);
            }
            Current::Tie { .. } | Current::None => self.current = Current::None,
        }
        let Some(time) = self.open_reached()? else { return Ok(false) };
        let mut at_time = self.open.iter().enumerate().filter(|(_, run)| run.time() == time);
        let first = at_time.next().map(|(index, _)| index);
        self.current = match (first, at_time.next()) {
            // Within one run there are no repeats.
            (Some(index), None) => Current::Run(index),
            _ => Current::Tie { entries: self.collect_tie(time)?, at: 0, time },
        };
        Ok(true)
    }

    fn entry(&self) -> EntryRef<'_> {
        match &self.current {
            Current::Run(index) => {
                let run = &self.open[*index];
                EntryRef { time: TimeNs(run.time()), line: run.line(), metadata: run.metadata() }
            }
            Current::Tie { entries, at, time } => {
                let entry = &entries[*at];
                EntryRef { time: TimeNs(*time), line: &entry.line, metadata: &entry.metadata }
            }
            Current::None => panic!("entry() is called only after advance() returned true"),
        }
    }
}
