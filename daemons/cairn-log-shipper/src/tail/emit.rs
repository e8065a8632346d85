//! From lines to a chunk: each line gets its time, the pipeline has its say, a receipt is issued, and every destination
//! gets the chunk.

use std::sync::Arc;
use std::time::Instant;

use cairn_model::TimeNs;

use super::Loop;
use super::file::{Read, Reader};
use super::lines::Cut;
use crate::chunk::{Chunk, Content, Line};
use crate::metrics::DropReason;
use crate::pipeline::Drops;
use crate::pipeline::run::{Output, Place};
use crate::pipeline::stage::When;
use crate::queue::Slot;
use crate::time::now_ns;

/// How far ahead of the clock a line's time may be for the sake of order, after the clock was set back. Well below the
/// ten minutes beyond which Loki refuses a line as too new (`creation_grace_period`): out of order is better than lost.
const MAX_AHEAD_NS: i64 = 5 * 60 * 1_000_000_000;

impl Loop {
    /// Hands on what a read gave, and has the position follow once it is acknowledged.
    pub(super) fn emit(&mut self, reader: &mut Reader, read: Read, slot: Slot, now: Instant) {
        let Read { data, lead, cut, is_restarted, has_more: _ } = read;
        self.count(reader, &cut, is_restarted);
        let mut lines = self.stamp(reader, &cut, lead);
        let mut drops = Drops::default();
        reader.target.pipeline.filter(&data, &mut lines, &mut drops);
        let end = reader.mark();
        let content = match &mut reader.run {
            None => Content::of_stream(Arc::clone(&reader.stream), data, lines),
            Some(run) => {
                let mut out = Output::after(drops);
                if is_restarted {
                    // What comes now is not the rest of what was before.
                    run.release(When::All, now, &mut out);
                }
                run.lines(Place { data: &data, end }, &lines, now, &mut out);
                run.release(When::Due(now), now, &mut out);
                drops = std::mem::take(&mut out.drops);
                self.metrics.joined_lines.inc_by(out.n_joined as u64);
                out.into_content()
            }
        };
        self.hand_on(reader, content, &drops, slot);
    }

    /// Hands on what stages have held long enough. Answers whether there was anything.
    pub(super) fn emit_held(&mut self, reader: &mut Reader, when: When, slot: Slot, now: Instant) -> bool {
        let mut out = Output::default();
        if !reader.run.as_mut().is_some_and(|run| run.release(when, now, &mut out)) {
            return false;
        }
        let drops = std::mem::take(&mut out.drops);
        self.metrics.joined_lines.inc_by(out.n_joined as u64);
        self.hand_on(reader, out.into_content(), &drops, slot);
        true
    }

    /// What stages hold of a file that this reader will read no more.
    pub(super) fn give_back_held(&self, reader: &mut Reader) {
        let (held, counted) = reader.count_held();
        self.metrics.held_lines.dec_by(as_i64(counted));
        self.metrics.reread_lines.inc_by(held as u64);
    }

    fn count(&self, reader: &Reader, cut: &Cut, is_restarted: bool) {
        if is_restarted {
            self.metrics.truncations.inc();
        }
        self.metrics.nul_bytes.inc_by(cut.nul_bytes as u64);
        self.metrics.truncated_lines.inc_by(cut.n_truncated as u64);
        let n_lines = cut.lines.len() + cut.n_too_long;
        if n_lines > 0 {
            self.metrics.read_lines.inc_by(n_lines as u64);
            reader.entry.count_lines(n_lines);
        }
        if cut.n_too_long > 0 {
            self.metrics.dropped_before_queue(&DropReason::LineTooLong, cut.n_too_long);
        }
    }

    /// Gives each line its time; see [`next_time`].
    fn stamp(&mut self, reader: &mut Reader, cut: &Cut, lead: u32) -> Vec<Line> {
        if cut.lines.is_empty() {
            return Vec::new();
        }
        let clock = self.clocks.entry(reader.clock_key()).or_default();
        let first = next_time(now_ns(), *clock);
        let lines: Vec<Line> = cut
            .lines
            .iter()
            .zip(first.0..)
            .map(|(&(start, len), time)| Line { start: lead + start, len, time: TimeNs(time) })
            .collect();
        let last = lines.last().map_or(first, |line| line.time);
        *clock = last;
        reader.set_last_time(last);
        lines
    }

    /// Issues the receipt and gives the chunk to every destination.
    fn hand_on(&mut self, reader: &mut Reader, content: Content, drops: &Drops, slot: Slot) {
        for (reason, n_lines) in drops.iter() {
            self.metrics.dropped_before_queue(&DropReason::Stage(reason.to_owned()), n_lines);
        }
        let (held, counted) = reader.count_held();
        self.metrics.held_lines.inc_by(as_i64(held) - as_i64(counted));
        let mark = reader.resume_mark();
        let ledger = &reader.entry.ledger;
        if content.n_lines() == 0 {
            ledger.issue(mark, 0);
            return;
        }
        let receipt = ledger.issue(mark, self.config.outlets.len());
        let permit = slot.fill(content.heap_bytes());
        let chunk = Arc::new(Chunk { content, receipt, permit });
        for outlet in &self.config.outlets {
            outlet.send(Arc::clone(&chunk));
        }
    }
}

/// The time of a line that is read at `now`, after one that was given `last`: the clock, or one nanosecond more than
/// `last` where the clock is not later. A clock that was set back further than [`MAX_AHEAD_NS`] counts as it is.
fn next_time(now: TimeNs, last: TimeNs) -> TimeNs {
    if last.0.saturating_sub(now.0) > MAX_AHEAD_NS { now } else { now.max(TimeNs(last.0.saturating_add(1))) }
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_unless_the_clock_was_set_back_far() {
        let check = |now, last, want| assert_eq!(next_time(TimeNs(now), TimeNs(last)), TimeNs(want));
        check(10, 5, 10);
        check(10, 10, 11);
        check(10, 20, 21);
        check(10, 10 + MAX_AHEAD_NS, 11 + MAX_AHEAD_NS);
        check(10, 11 + MAX_AHEAD_NS, 10);
        check(10, i64::MAX, 10);
    }
}
