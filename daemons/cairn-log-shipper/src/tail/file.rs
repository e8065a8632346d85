//! One open file as one target reads it: where reading stands, and what the next read gives.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::Labels;

use super::identity::{Head, MAX_TAIL_BYTES, TailCheck, read_up_to};
use super::lines::{Cut, LineLimit, Situation, cut};
use crate::positions::{Entry, OpenState};
use crate::receipt::Mark;
use crate::target::Target;

/// Bytes read at once. One such buffer serves every file.
pub const READ_BYTES: usize = 256 * 1024;
/// How long the unfinished last line of a file that was rotated away may stand still before it is sent: its writer may
/// be in the middle of it, but nobody will look at it for five seconds more.
const ROTATED_PARTIAL_WAIT: Duration = Duration::from_secs(1);

/// Reads one file for one target.
#[derive(Debug)]
pub struct Reader {
    file: Arc<File>,
    /// Whose file it is.
    pub target: Arc<Target>,
    /// The labels of its lines.
    pub stream: Arc<Labels>,
    /// Where the position is kept.
    pub entry: Arc<Entry>,
    /// Where reading goes on.
    mark: Mark,
    head: Head,
    size: u64,
    changed_at: Instant,
    partial_bytes: usize,
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRules {
    /// Long lines.
    pub limit: LineLimit,
    /// How long a last line without newline may stand still in a file that has its name.
    pub partial_flush: Option<Duration>,
    /// The file has lost its name.
    pub is_rotated: bool,
    /// The file is about to be closed: what stands without a newline is a line.
    pub is_last: bool,
}

/// What a read gave.
#[derive(Debug, Default)]
pub struct Read {
    /// The bytes of the lines, newlines included; empty if there is no line.
    pub data: Vec<u8>,
    /// Lines in it, and what was counted.
    pub cut: Cut,
    /// There is more to be had at once.
    pub has_more: bool,
    /// The file was found emptied and was begun anew.
    pub is_restarted: bool,
}

/// A buffer for [`Reader::read`]: room for a whole line, and for the bytes before it that are checked.
pub fn buffer(limit: LineLimit) -> Vec<u8> {
    vec![0; MAX_TAIL_BYTES + READ_BYTES.max(limit.max_bytes + 1)]
}

impl Reader {
    /// A reader that goes on where its entry says that reading stands.
    pub fn new(
        file: Arc<File>,
        target: Arc<Target>,
        stream: Arc<Labels>,
        entry: Arc<Entry>,
        now: Instant,
    ) -> Self {
        let about = entry.about();
        Self {
            file,
            target,
            stream,
            mark: about.read,
            head: about.head,
            entry,
            size: 0,
            changed_at: now,
            partial_bytes: 0,
        }
    }

    /// Where reading stands.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Since when the file has had its present size.
    pub fn quiet_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.changed_at)
    }

    /// Whether something stands at the end without a newline.
    pub fn has_partial(&self) -> bool {
        self.partial_bytes > 0
    }

    /// Reads on: at most one buffer. The caller issues the receipt for [`mark`](Self::mark) afterwards.
    ///
    /// # Errors
    /// What the system says; nothing has moved then.
    pub fn read(&mut self, buffer: &mut [u8], rules: &ReadRules, now: Instant) -> io::Result<Read> {
        let size = self.file.metadata()?.len();
        if size != self.size {
            self.size = size;
            self.changed_at = now;
        }
        let mut read = Read::default();
        let mut before = usize::from(self.mark.tail.len);
        let mut filled = 0;
        let mut is_same = size >= self.mark.offset;
        if is_same {
            filled = read_up_to(&self.file, buffer, self.mark.offset - before as u64)?;
            is_same = filled >= before && self.mark.tail.fits(&buffer[..before]);
        }
        if !is_same {
            self.restart(size, now)?;
            read.is_restarted = true;
            before = 0;
            filled = read_up_to(&self.file, buffer, 0)?;
        }
        if self.head.is_outgrown(size) {
            self.head = Head::read(&self.file, size)?;
        }
        let at_end = filled < buffer.len();
        let wait = if rules.is_rotated { Some(ROTATED_PARTIAL_WAIT) } else { rules.partial_flush };
        let flush_partial = rules.is_last || wait.is_some_and(|wait| self.quiet_for(now) >= wait);
        let situation = Situation { at_end, in_long_line: self.mark.is_in_long_line, flush_partial };
        let cut = cut(&buffer[before..filled], situation, rules.limit);
        let end = before + cut.consumed;
        if cut.consumed > 0 {
            self.mark.offset += cut.consumed as u64;
            self.mark.tail = TailCheck::of(&buffer[..end]);
        }
        self.mark.is_in_long_line = cut.in_long_line || (self.mark.is_in_long_line && cut.consumed == 0);
        self.partial_bytes = cut.partial_bytes;
        if !cut.lines.is_empty() {
            read.data = buffer[before..end].to_vec();
        }
        read.has_more = !at_end;
        read.cut = cut;
        self.tell_entry(rules.is_rotated);
        Ok(read)
    }

    /// Remembers the newest timestamp given to a line of this file.
    pub fn set_last_time(&mut self, time: cairn_model::TimeNs) {
        self.mark.last_time = time;
        let mark = self.mark;
        self.entry.update(|about| about.read = mark);
    }

    /// The same file and place for a target of a new configuration.
    pub fn renewed(&self, target: Arc<Target>, stream: Arc<Labels>, now: Instant) -> Self {
        let mut reader = Self::new(Arc::clone(&self.file), target, stream, Arc::clone(&self.entry), now);
        reader.size = self.size;
        reader.partial_bytes = self.partial_bytes;
        reader.changed_at = self.changed_at;
        reader
    }

    /// Says that the file is not read any more.
    pub fn close(&self) {
        self.entry.update(|about| about.open = None);
    }

    fn restart(&mut self, size: u64, now: Instant) -> io::Result<()> {
        self.mark = Mark { last_time: self.mark.last_time, ..Mark::default() };
        self.head = Head::read(&self.file, size)?;
        self.changed_at = now;
        self.partial_bytes = 0;
        Ok(())
    }

    fn tell_entry(&self, is_rotated: bool) {
        self.entry.update(|about| {
            about.read = self.mark;
            about.head = self.head;
            about.open = Some(OpenState { size: self.size, is_rotated });
        });
    }
}
