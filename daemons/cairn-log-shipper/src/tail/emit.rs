//! From lines to a chunk: each line gets its time, the pipeline has its say, a receipt is issued, and every destination
//! gets the chunk.

use std::sync::Arc;

use cairn_model::TimeNs;

use super::Loop;
use super::file::{Read, Reader};
use crate::chunk::{Chunk, Line};
use crate::metrics::DropReason;
use crate::time::now_ns;

impl Loop {
    /// Hands on what a read gave, and has the position follow once it is acknowledged.
    pub(super) fn emit(&mut self, reader: &mut Reader, read: Read) {
        let Read { data, cut, is_restarted, has_more: _ } = read;
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
        if cut.lines.is_empty() {
            reader.entry.ledger.issue(reader.mark(), 0);
            return;
        }

        let clock = self.clocks.entry(Arc::clone(&reader.stream)).or_default();
        // The reader's clock; one nanosecond more than the last line where that would not be later.
        let first = now_ns().max(TimeNs(clock.0.saturating_add(1)));
        let lines: Vec<Line> = cut
            .lines
            .iter()
            .zip(first.0..)
            .map(|(&(start, len), time)| Line { start, len, time: TimeNs(time) })
            .collect();
        let last = lines.last().map_or(first, |line| line.time);
        *clock = last;
        reader.set_last_time(last);

        let permit = self.queue.take(data.len() + lines.len() * size_of::<Line>());
        let mark = reader.mark();
        let ledger = &reader.entry.ledger;
        let metrics = &self.metrics;
        let mut dropped =
            |reason: &str| metrics.dropped_before_queue(&DropReason::Stage(reason.to_owned()), 1);
        // The receipt depends on how many lines are left, so the pipeline runs before it is issued.
        let mut lines = lines;
        reader.target.pipeline.run(&data, &mut lines, &mut dropped);
        if lines.is_empty() {
            ledger.issue(mark, 0);
            return;
        }
        let receipt = ledger.issue(mark, self.config.outlets.len());
        let chunk = Arc::new(Chunk { stream: Arc::clone(&reader.stream), data, lines, receipt, permit });
        for outlet in &self.config.outlets {
            outlet.send(Arc::clone(&chunk));
        }
    }
}
