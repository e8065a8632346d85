//! Log queries: lines of many streams in the order of time.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use cairn_model::{Labels, TimeNs};

use crate::answer::{EntryLabels, EvalError, LogAnswer, LogEntry, LogQuery, Options, Stats};
use crate::ast::LogExpr;
use crate::labelset::{LabelSet, Scratch, hash_labels, visible_metadata};
use crate::pipeline::{Hints, Pipeline};
use crate::source::{Direction, EntryRef, LogSource, Selection};

/// Lines between two looks at [`Options::is_cancelled`].
const CANCEL_EVERY: u64 = 4096;

/// Counts the work and asks now and then whether to go on.
pub(crate) struct Meter<'a> {
    pub(crate) stats: Stats,
    options: &'a Options<'a>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(options: &'a Options<'a>) -> Self {
        Self { stats: Stats::default(), options }
    }

    /// Counts an entry.
    ///
    /// # Errors
    /// [`EvalError::Cancelled`].
    pub(crate) fn count(&mut self, entry: &EntryRef<'_>) -> Result<(), EvalError> {
        self.stats.lines += 1;
        self.stats.bytes += entry.line.len() as u64;
        self.stats.metadata_bytes +=
            entry.metadata.iter().map(|(n, v)| (n.len() + v.len()) as u64).sum::<u64>();
        if self.stats.lines.is_multiple_of(CANCEL_EVERY) && self.options.is_cancelled.is_some_and(|ask| ask())
        {
            return Err(EvalError::Cancelled);
        }
        Ok(())
    }
}

/// A stream's next entry in the merge.
#[derive(PartialEq, Eq)]
struct Head {
    time: TimeNs,
    cursor: usize,
    direction: Direction,
}

impl Ord for Head {
    /// The greatest is the one to read next.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_time = match self.direction {
            Direction::Forward => other.time.cmp(&self.time),
            Direction::Backward => self.time.cmp(&other.time),
        };
        // Of one instant the same stream goes on first, so that the merge does not alternate needlessly.
        by_time.then_with(|| other.cursor.cmp(&self.cursor))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Runs a log query: a merge over the streams in time order that stops at the limit, so that no stream is read
/// further than the answer reaches.
///
/// # Errors
/// [`EvalError`].
pub fn query_logs(
    source: &dyn LogSource,
    expr: &LogExpr,
    query: &LogQuery,
    options: &Options<'_>,
) -> Result<LogAnswer, EvalError> {
    let pipeline = Pipeline::compile(&expr.stages).map_err(|e| EvalError::Query(e.to_string()))?;
    let needles = pipeline.needles();
    let selection = Selection {
        matchers: &expr.matchers,
        start: query.start,
        end: query.end,
        direction: query.direction,
        needles: &needles,
    };
    let mut cursors = source.select(&selection)?;
    let mut meter = Meter::new(options);
    meter.stats.streams = cursors.len() as u64;
    let mut heap = BinaryHeap::with_capacity(cursors.len());
    for (cursor, stream) in cursors.iter_mut().enumerate() {
        if stream.advance()? {
            heap.push(Head { time: stream.entry().time, cursor, direction: query.direction });
        }
    }
    let mut scratch = Scratch::default();
    let mut cache = LabelCache::default();
    let mut entries: Vec<LogEntry> = Vec::new();
    let hints = Hints::default();
    while let Some(mut head) = heap.peek_mut() {
        let at = head.cursor;
        let labels = Arc::clone(cursors[at].labels());
        let entry = cursors[at].entry();
        meter.count(&entry)?;
        if is_far_enough(entries.last(), entry.time, query.interval) {
            let kept = keep(&pipeline, &labels, at, &entry, &mut scratch, &mut cache, &hints);
            if let Some(kept) = kept {
                meter.stats.lines_kept += 1;
                entries.push(kept);
                if entries.len() == query.limit {
                    break;
                }
            }
        }
        if cursors[at].advance()? {
            head.time = cursors[at].entry().time;
        } else {
            std::collections::binary_heap::PeekMut::pop(head);
        }
    }
    Ok(LogAnswer { entries, stats: meter.stats })
}

fn is_far_enough(last: Option<&LogEntry>, time: TimeNs, interval: i64) -> bool {
    interval == 0 || last.is_none_or(|last| last.time.0.abs_diff(time.0) >= interval.unsigned_abs())
}

fn keep(
    pipeline: &Pipeline,
    stream: &Labels,
    cursor: usize,
    entry: &EntryRef<'_>,
    scratch: &mut Scratch,
    cache: &mut LabelCache,
    hints: &Hints,
) -> Option<LogEntry> {
    let renamed = visible_metadata(stream, entry.metadata);
    let mut labels = LabelSet::new(stream, renamed.as_ref().unwrap_or(entry.metadata), scratch);
    let line = pipeline.run(entry.time, entry.line, &mut labels, hints)?;
    Some(LogEntry { time: entry.time, line: line.into_owned(), labels: cache.get(cursor, &labels) })
}

/// Label sets of kept entries, made once each.
#[derive(Default)]
struct LabelCache {
    by_hash: HashMap<(usize, u64), Vec<Arc<EntryLabels>>>,
}

impl LabelCache {
    fn get(&mut self, cursor: usize, labels: &LabelSet<'_>) -> Arc<EntryLabels> {
        let known = self.by_hash.entry((cursor, hash_labels(labels.all()))).or_default();
        if let Some(found) = known.iter().find(|l| is_same(l, labels)) {
            return Arc::clone(found);
        }
        let made = Arc::new(labels.to_entry_labels());
        known.push(Arc::clone(&made));
        made
    }
}

fn is_same(known: &EntryLabels, labels: &LabelSet<'_>) -> bool {
    let find = |name: &str| known.parsed.binary_search_by(|(n, _)| n.as_str().cmp(name));
    known.stream.iter().eq(labels.stream())
        && known.metadata.iter().eq(labels.metadata())
        && labels.parsed().count() == known.parsed.len()
        && labels.parsed().all(|(n, v)| find(n).is_ok_and(|at| known.parsed[at].1 == v))
}
