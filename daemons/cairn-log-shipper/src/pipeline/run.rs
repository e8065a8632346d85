//! The stages behind the first that sees entries, at work on one file: entry by entry through the stages, then sorted
//! by stream into what a chunk is made of.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use cairn_model::Labels;

use super::entry::Entry;
use super::stage::{Holder, Stage, When};
use super::{Drops, Pipeline};
use crate::chunk::{Content, Line, StreamLines};
use crate::receipt::Mark;
use crate::tail::identity::TailCheck;

/// Most bytes of lines that the stages may make of one read: a read is far smaller, but a stage may put something long
/// in the place of each of a hundred thousand empty lines. What is beyond is dropped, and counted by this reason.
const MAX_OUTPUT_BYTES: usize = 64 << 20;
const TOO_MUCH_OUTPUT: &str = "pipeline_output_too_large";

/// The state of a pipeline for one file.
#[derive(Debug)]
pub struct Run {
    pipeline: Arc<Pipeline>,
    /// The labels before the first stage.
    initial: Arc<Labels>,
    /// The labels after the stages that run once per stream.
    stream: Arc<Labels>,
    /// One place for each stage of the tail; those that hold have something there.
    holders: Vec<Option<Box<dyn Holder>>>,
}

/// Where the lines of a read lie in the file.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The bytes read, with the up to 64 before them.
    pub data: &'a [u8],
    /// The place at which `data` ends.
    pub end: Mark,
}

impl Place<'_> {
    /// The place at which a line begins.
    fn of(&self, line: &Line) -> Mark {
        let start = line.start as usize;
        Mark {
            offset: self.end.offset - (self.data.len() - start) as u64,
            tail: TailCheck::of(&self.data[..start]),
            is_in_long_line: false,
            last_time: self.end.last_time,
        }
    }
}

/// What came out.
#[derive(Debug, Default)]
pub struct Output {
    /// What was dropped.
    pub drops: Drops,
    /// Lines that became part of another line's entry.
    pub n_joined: usize,
    data: Vec<u8>,
    streams: Vec<OutStream>,
    by_labels: HashMap<Arc<Labels>, usize>,
    /// The stream of the last entry: often that of the next as well.
    last: usize,
    has_metadata: bool,
}

#[derive(Debug)]
struct OutStream {
    labels: Arc<Labels>,
    lines: Vec<Line>,
    metadata: Vec<Vec<(String, String)>>,
}

impl Run {
    pub(super) fn new(pipeline: Arc<Pipeline>, initial: Arc<Labels>, stream: Arc<Labels>) -> Self {
        let holders = pipeline.tail.iter().map(|stage| match stage {
            Stage::Holding(stage) => Some(stage.start()),
            Stage::Stream(_) | Stage::Line(_) | Stage::Entry(_) => None,
        });
        let holders = holders.collect();
        Self { pipeline, initial, stream, holders }
    }

    /// Sends lines through the stages.
    pub fn lines(&mut self, place: Place<'_>, lines: &[Line], now: Instant, out: &mut Output) {
        let holds = self.holders.iter().any(Option::is_some);
        for line in lines {
            // Hashing where each line begins is for those that may be held.
            let from = if holds { place.of(line) } else { Mark::default() };
            let entry = Entry::new(&place.data[line.range()], line.time, from, &self.stream, &self.initial);
            self.pass(0, entry, now, out);
        }
    }

    /// Sends what stages hold through the stages behind them. Answers whether there was anything.
    pub fn release(&mut self, when: When, now: Instant, out: &mut Output) -> bool {
        let mut has_released = false;
        for index in 0..self.holders.len() {
            let mut released = Vec::new();
            if let Some(holder) = &mut self.holders[index] {
                holder.release(when, &mut released);
            }
            has_released |= !released.is_empty();
            for entry in released {
                self.pass(index + 1, entry, now, out);
            }
        }
        has_released
    }

    /// Where the oldest line begins that a stage holds.
    pub fn oldest_held(&self) -> Option<Mark> {
        let mut oldest: Option<Mark> = None;
        self.see_held(&mut |entry| {
            if oldest.is_none_or(|oldest| entry.from().offset < oldest.offset) {
                oldest = Some(entry.from());
            }
        });
        oldest
    }

    /// How many lines of the file are held.
    pub fn n_held(&self) -> usize {
        let mut n = 0;
        self.see_held(&mut |entry| n += entry.n_lines());
        n
    }

    fn see_held(&self, see: &mut dyn FnMut(&Entry<'static>)) {
        for holder in self.holders.iter().flatten() {
            holder.see_held(see);
        }
    }

    fn pass(&mut self, from: usize, mut entry: Entry<'_>, now: Instant, out: &mut Output) {
        for (index, stage) in self.pipeline.tail.iter().enumerate().skip(from) {
            let verdict = match stage {
                Stage::Stream(stage) => {
                    stage.edit_labels(entry.labels.edit());
                    Ok(())
                }
                Stage::Line(stage) => stage.keep(&entry.line),
                Stage::Entry(stage) => stage.process(&mut entry),
                Stage::Holding(_) => {
                    let mut released = Vec::new();
                    if let Some(holder) = &mut self.holders[index] {
                        holder.take(entry, now, &mut released);
                    }
                    for entry in released {
                        self.pass(index + 1, entry, now, out);
                    }
                    return;
                }
            };
            if let Err(reason) = verdict {
                out.drops.count(reason, entry.n_lines());
                return;
            }
        }
        out.push(entry);
    }
}

impl Output {
    /// Nothing yet but these drops.
    pub fn after(drops: Drops) -> Self {
        Self { drops, ..Self::default() }
    }

    fn push(&mut self, entry: Entry<'_>) {
        let n_lines = entry.n_lines();
        let Entry { labels, line, time, metadata, .. } = entry;
        let bounds = (u32::try_from(self.data.len()), u32::try_from(line.len()));
        let (Ok(start), Ok(len), true) =
            (bounds.0, bounds.1, self.data.len() + line.len() <= MAX_OUTPUT_BYTES)
        else {
            self.drops.count(TOO_MUCH_OUTPUT, n_lines);
            return;
        };
        self.n_joined += n_lines - 1;
        self.data.extend_from_slice(&line);
        self.has_metadata |= !metadata.is_empty();
        let stream = self.stream(labels.build());
        stream.lines.push(Line { start, len, time });
        stream.metadata.push(metadata);
    }

    fn stream(&mut self, labels: Arc<Labels>) -> &mut OutStream {
        if self.streams.get(self.last).is_none_or(|last| last.labels != labels) {
            let next = self.streams.len();
            self.last = *self.by_labels.entry(Arc::clone(&labels)).or_insert(next);
            if self.last == next {
                self.streams.push(OutStream { labels, lines: Vec::new(), metadata: Vec::new() });
            }
        }
        &mut self.streams[self.last]
    }

    /// The lines, stream by stream.
    pub fn into_content(self) -> Content {
        let mut content = Content { data: self.data, ..Content::default() };
        for OutStream { labels, lines, metadata } in self.streams {
            let start = content.lines.len();
            content.lines.extend(lines);
            if self.has_metadata {
                content.metadata.extend(metadata);
            }
            content.streams.push(StreamLines { labels, lines: start..content.lines.len() });
        }
        content
    }
}

/// For tests of stages: what a pipeline makes of lines at 1, 2, 3 ... nanoseconds, and what is still held.
#[cfg(test)]
pub(super) mod harness {
    use cairn_model::TimeNs;

    use super::*;

    /// A pipeline on a file with the labels `job="x"` and `filename="/a"`.
    pub(in super::super) struct Harness {
        pub(in super::super) run: Run,
        pub(in super::super) now: Instant,
        file: Vec<u8>,
    }

    impl Harness {
        pub(in super::super) fn new(stages: serde_json::Value) -> Self {
            let list: Vec<std::collections::BTreeMap<String, serde_json::Value>> =
                serde_json::from_value(stages).unwrap();
            let pipeline = Arc::new(Pipeline::build(&list).unwrap());
            let initial = Labels::from_pairs([("job", "x"), ("filename", "/a")]);
            let run = Pipeline::start(&pipeline, initial).expect("a stage of the list sees entries");
            Self { run, now: Instant::now(), file: Vec::new() }
        }

        /// Appends lines to the file, sends them through, and answers what came out as `{labels} line [metadata]`.
        pub(in super::super) fn feed(&mut self, texts: &[&str]) -> Vec<String> {
            let mut lines = Vec::new();
            for text in texts {
                let start = u32::try_from(self.file.len()).unwrap();
                let time = TimeNs(i64::from(start) + 1);
                lines.push(Line { start, len: u32::try_from(text.len()).unwrap(), time });
                self.file.extend_from_slice(text.as_bytes());
                self.file.push(b'\n');
            }
            let end = Mark { offset: self.file.len() as u64, ..Mark::default() };
            let mut out = Output::default();
            self.run.pipeline.filter(&self.file, &mut lines, &mut out.drops);
            self.run.lines(Place { data: &self.file, end }, &lines, self.now, &mut out);
            print(out)
        }

        pub(in super::super) fn release(&mut self, when: When) -> Vec<String> {
            let mut out = Output::default();
            self.run.release(when, self.now, &mut out);
            print(out)
        }

        /// The offset before which the position stays.
        pub(in super::super) fn held_from(&self) -> Option<u64> {
            let mark = self.run.oldest_held()?;
            let before = usize::try_from(mark.offset).unwrap();
            assert_eq!(mark.tail, TailCheck::of(&self.file[..before]));
            Some(mark.offset)
        }
    }

    fn print(out: Output) -> Vec<String> {
        let drops: Vec<String> =
            out.drops.iter().map(|(reason, n)| format!("dropped {n}: {reason}")).collect();
        let content = out.into_content();
        let mut printed = Vec::new();
        for (labels, indices) in content.streams_in(0..content.n_lines()) {
            for index in indices {
                let text = String::from_utf8_lossy(content.text(&content.lines[index]));
                let metadata: String =
                    content.metadata_of(index).iter().map(|(n, v)| format!(" [{n}={v}]")).collect();
                printed.push(format!("{labels} {text}{metadata}"));
            }
        }
        printed.into_iter().chain(drops).collect()
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::TimeNs;
    use serde_json::json;

    use super::harness::Harness;
    use super::*;

    #[test]
    fn stages_run_in_order_on_what_the_ones_before_made() {
        let mut file = Harness::new(json!([
            {"static_labels": {"team": "a"}},
            {"drop": {"expression": "^#"}},
            {"regex": {"expression": "^(?P<level>[A-Z]+) (?P<text>.*)$"}},
            {"labels": {"level": null, "origin": "filename"}},
            {"output": {"source": "text"}},
            {"drop": {"expression": "^noise", "drop_counter_reason": "noise"}},
            {"labeldrop": ["filename"]},
        ]));
        let got = file.feed(&["INFO one", "# no", "WARN two", "plain", "INFO noise", "INFO WARN x"]);
        assert_eq!(
            got,
            [
                r#"{job="x", level="INFO", origin="/a", team="a"} one"#,
                r#"{job="x", level="INFO", origin="/a", team="a"} WARN x"#,
                r#"{job="x", level="WARN", origin="/a", team="a"} two"#,
                r#"{job="x", origin="/a", team="a"} plain"#,
                "dropped 1: drop_stage",
                "dropped 1: noise",
            ]
        );
    }

    #[test]
    fn output_without_bound_is_dropped_and_counted() {
        let mut out = Output::default();
        let labels = Arc::new(Labels::empty());
        let long = vec![b'x'; MAX_OUTPUT_BYTES / 2];
        for _ in 0..3 {
            out.push(Entry::new(&long, TimeNs(1), Mark::default(), &labels, &labels));
        }
        assert_eq!(out.drops.iter().collect::<Vec<_>>(), [(TOO_MUCH_OUTPUT, 1)]);
        assert_eq!(out.into_content().n_lines(), 2);
    }
}
