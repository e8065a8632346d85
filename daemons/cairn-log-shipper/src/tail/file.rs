//! One open file as one target reads it: where reading stands, and what the next read gives.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::Labels;

use super::identity::{Head, MAX_TAIL_BYTES, TailCheck, read_up_to};
use super::lines::{self, Cut, LineLimit, Situation};
use crate::pipeline::run::Run;
use crate::positions::{Entry, OpenState};
use crate::receipt::Mark;
use crate::target::Target;

/// Bytes read at once. One such buffer serves every file.
pub const READ_BYTES: usize = 256 * 1024;
/// How long the unfinished last line of a file that was rotated away may stand still before it is sent: its writer may
/// be in the middle of it, but nobody will look at it for five seconds more.
const ROTATED_PARTIAL_WAIT: Duration = Duration::from_secs(1);

/// How far a run of NUL bytes is followed to learn whether it is reserved space (nothing comes after it) or a gap.
const MAX_LOOK_AHEAD_BYTES: u64 = 256 * 1024 * 1024;

/// Reads one file for one target.
#[derive(Debug)]
pub struct Reader {
    file: Arc<File>,
    /// Whose file it is.
    pub target: Arc<Target>,
    /// The labels of its lines, unless stages set them line by line.
    pub stream: Arc<Labels>,
    /// The state of such stages, and of those that hold lines back; `None` if the pipeline has none.
    pub run: Option<Run>,
    /// Where the position is kept.
    pub entry: Arc<Entry>,
    /// Where reading goes on.
    mark: Mark,
    head: Head,
    size: u64,
    has_looked: bool,
    changed_at: Instant,
    partial_bytes: usize,
    /// Lines that stages held when that was last counted.
    counted_held: usize,
    /// What was seen behind a buffer that ended with NUL bytes.
    ahead: Ahead,
}

/// What a look ahead has found, so that the same bytes are not looked at once per buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    /// From here on the file held nothing but NUL bytes when it had the second number of bytes.
    reserved: Option<(u64, u64)>,
    /// Up to here a run of NUL bytes is a gap: something follows it.
    gap_end: u64,
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
    /// The bytes of the lines, newlines included, after the [`lead`](Self::lead); empty if there is no line.
    pub data: Vec<u8>,
    /// How many bytes of `data` stand before what was read: they tell what stands before the first line.
    pub lead: u32,
    /// Lines, counted from after the lead, and what was counted.
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
    pub fn new(file: Arc<File>, target: Arc<Target>, path: &str, entry: Arc<Entry>, now: Instant) -> Self {
        let about = entry.about();
        Self {
            file,
            stream: target.stream(path),
            run: target.pipeline.start(target.labels(path)),
            target,
            mark: about.read,
            head: about.head,
            entry,
            size: 0,
            has_looked: false,
            changed_at: now,
            partial_bytes: 0,
            counted_held: 0,
            ahead: Ahead::default(),
        }
    }

    /// Where reading stands.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Where reading would have to go on if everything in memory were lost: where the oldest line begins that a stage
    /// holds, or where reading stands.
    pub fn resume_mark(&self) -> Mark {
        match self.run.as_ref().and_then(Run::oldest_held) {
            // Later lines may have been sent, with later times.
            Some(held) => Mark { last_time: self.mark.last_time, ..held },
            None => self.mark,
        }
    }

    /// Lines that stages hold now, and how many they held when this was last asked.
    pub fn count_held(&mut self) -> (usize, usize) {
        let held = self.run.as_ref().map_or(0, Run::n_held);
        (held, std::mem::replace(&mut self.counted_held, held))
    }

    /// The stream that tells its lines apart by their times: its own; or, if stages set labels line by line, one for
    /// all such files, since lines of any two of them may come to be in one stream.
    pub fn clock_key(&self) -> Arc<Labels> {
        if self.run.is_some() { Arc::default() } else { Arc::clone(&self.stream) }
    }

    /// Since when nothing has come: neither bytes at the end, nor any into reserved space.
    pub fn quiet_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.changed_at)
    }

    /// Whether time alone makes lines: something stands at the end without a newline, or is held by a stage.
    pub fn waits(&self) -> bool {
        self.partial_bytes > 0 || self.counted_held > 0
    }

    /// Whether everything in the file was read and acknowledged when it was last looked at.
    pub fn is_done(&self) -> bool {
        self.has_looked && self.mark.offset == self.size && self.entry.ledger.is_settled() && !self.waits()
    }

    /// Reads on: at most one buffer. The caller issues the receipt for [`resume_mark`](Self::resume_mark) once the
    /// stages have had the lines.
    ///
    /// # Errors
    /// What the system says; nothing has moved then.
    pub fn read(&mut self, buffer: &mut [u8], rules: &ReadRules, now: Instant) -> io::Result<Read> {
        let size = self.file.metadata()?.len();
        self.has_looked = true;
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
            // The tail alone does not tell a file that was emptied and got as many bytes with the same end.
            is_same =
                filled >= before && self.mark.tail.fits(&buffer[..before]) && self.head.fits(&self.file)?;
        }
        if !is_same {
            self.restart(now);
            read.is_restarted = true;
            before = 0;
            filled = read_up_to(&self.file, buffer, 0)?;
        }
        let mut at_end = filled < buffer.len();
        if !at_end && buffer[before..filled].ends_with(&[0]) {
            // Space that the writer has reserved counts as the end of the file: lines will come where it begins.
            at_end = self.is_reserved(self.mark.offset + (filled - before) as u64, size)?;
        }
        // A NUL before the mark is the end of a run that was skipped.
        let after_partial =
            before > 0 && !self.mark.is_in_long_line && !matches!(buffer[before - 1], b'\n' | 0);
        let wait = if rules.is_rotated { Some(ROTATED_PARTIAL_WAIT) } else { rules.partial_flush };
        let in_long_line = self.mark.is_in_long_line;
        let situation = Situation { at_end, in_long_line, flush_partial: rules.is_last, after_partial };
        let bytes = &buffer[before..filled];
        let mut cut = lines::cut(bytes, situation, rules.limit);
        if cut.consumed > 0 || cut.partial_bytes != self.partial_bytes {
            // In reserved space an unfinished line grows while the file's size stays.
            self.changed_at = now;
        } else if cut.partial_bytes > 0 && wait.is_some_and(|wait| self.quiet_for(now) >= wait) {
            cut = lines::cut(bytes, Situation { flush_partial: true, ..situation }, rules.limit);
        }
        let end = before + cut.consumed;
        if cut.consumed > 0 {
            self.mark.offset += cut.consumed as u64;
            self.mark.tail = TailCheck::of(&buffer[..end]);
        }
        if self.head.is_outgrown(self.mark.offset) {
            self.head = Head::read(&self.file, self.mark.offset)?;
        }
        self.mark.is_in_long_line = cut.in_long_line || (self.mark.is_in_long_line && cut.consumed == 0);
        self.partial_bytes = cut.partial_bytes;
        if !cut.lines.is_empty() {
            read.data = buffer[..end].to_vec();
            read.lead = u32::try_from(before).expect("MAX_TAIL_BYTES fits 32 bits");
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

    /// The same file and place for a target of a new configuration. Lines that a stage holds are read again.
    pub fn renewed(&self, target: Arc<Target>, path: &str, now: Instant) -> Self {
        let mut reader = Self::new(Arc::clone(&self.file), target, path, Arc::clone(&self.entry), now);
        reader.mark = self.resume_mark();
        reader.size = self.size;
        reader.partial_bytes = self.partial_bytes;
        reader.changed_at = self.changed_at;
        reader
    }

    /// Says that the file is not read any more. Lines that a stage holds are read again should it be.
    pub fn close(&self) {
        let read = self.resume_mark();
        self.entry.update(|about| {
            about.open = None;
            about.read = read;
        });
    }

    /// Whether nothing but NUL bytes follows from here up to the end of the file, which has `size` bytes.
    fn is_reserved(&mut self, from: u64, size: u64) -> io::Result<bool> {
        if self.ahead.reserved.is_some_and(|(start, then)| from >= start && size == then) {
            return Ok(true);
        }
        if from < self.ahead.gap_end {
            return Ok(false);
        }
        let mut at = from;
        let limit = at.saturating_add(MAX_LOOK_AHEAD_BYTES);
        let mut ahead = vec![0; READ_BYTES];
        while at < limit {
            let n_read = read_up_to(&self.file, &mut ahead, at)?;
            if let Some(other) = ahead[..n_read].iter().position(|byte| *byte != 0) {
                self.ahead.gap_end = at + other as u64;
                return Ok(false);
            }
            at += n_read as u64;
            if n_read < ahead.len() {
                self.ahead.reserved = Some((from, size));
                return Ok(true);
            }
        }
        self.ahead.gap_end = at;
        Ok(false)
    }

    fn restart(&mut self, now: Instant) {
        self.mark = Mark { last_time: self.mark.last_time, ..Mark::default() };
        self.head = Head::default();
        self.changed_at = now;
        self.partial_bytes = 0;
        self.ahead = Ahead::default();
    }

    fn tell_entry(&self, is_rotated: bool) {
        self.entry.update(|about| {
            about.read = self.mark;
            about.head = self.head;
            about.open = Some(OpenState { size: self.size, is_rotated });
        });
    }
}
