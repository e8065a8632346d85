//! `multiline`: lines that belong together, such as a stack trace, become one entry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::{Labels, goregex};
use cairn_runtime::HumanDuration;
use serde::Deserialize;
use serde_json::Value;

use super::entry::Entry;
use super::stage::{Holder, HoldingStage, Stage, When};

/// Promtail's.
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(3);
/// Promtail's.
const DEFAULT_MAX_LINES: usize = 128;
/// Longest block: Loki's own limit for a line. What goes beyond is an entry of its own.
const MAX_BLOCK_BYTES: usize = 256 * 1024;
/// Most label sets of one file that have a block: those before the stage are usually the same for the whole file.
const MAX_BLOCKS: usize = 16;

/// Joins each line that matches `firstline` and those after it, with `\n` between them, up to the next such line, to
/// `max_lines`, or until no line has come for `max_wait_time`. Lines before the first such line pass as they are. Blocks
/// are kept apart by labels; a block has the labels, time, metadata and values of its first line.
#[derive(Clone, Debug)]
struct Multiline {
    firstline: regex::bytes::Regex,
    max_wait: Duration,
    max_lines: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    firstline: String,
    max_wait_time: Option<HumanDuration>,
    max_lines: Option<usize>,
}

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    let Options { firstline, max_wait_time, max_lines } =
        serde_json::from_value(options.clone()).map_err(|error| error.to_string())?;
    let firstline =
        goregex::compile_search_bytes(&firstline).map_err(|error| format!("firstline: {error}"))?;
    let max_wait = max_wait_time.map_or(DEFAULT_MAX_WAIT, HumanDuration::get);
    // As in Promtail 0 is no limit; the bytes are still bounded.
    let max_lines = max_lines.map_or(DEFAULT_MAX_LINES, |n| if n == 0 { usize::MAX } else { n });
    Ok(Stage::Holding(Box::new(Multiline { firstline, max_wait, max_lines })))
}

impl HoldingStage for Multiline {
    fn start(&self) -> Box<dyn Holder> {
        Box::new(Blocks { rules: self.clone(), blocks: Vec::new() })
    }
}

#[derive(Debug)]
struct Blocks {
    rules: Multiline,
    /// The label sets that have had a first line; the one that was longest without a line is first.
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    labels: Arc<Labels>,
    /// `None` between two blocks: a line that comes then begins one, whether it looks like a first line or not.
    entry: Option<Entry<'static>>,
    n_lines: usize,
    grown_at: Instant,
}

impl Holder for Blocks {
    fn take<'a>(&mut self, entry: Entry<'a>, now: Instant, released: &mut Vec<Entry<'a>>) {
        let is_first = self.rules.firstline.is_match(&entry.line);
        let labels = entry.labels.build();
        let mut block = match self.blocks.iter().position(|block| block.labels == labels) {
            Some(at) => self.blocks.remove(at),
            None if is_first => Block { labels, entry: None, n_lines: 0, grown_at: now },
            None => {
                released.push(entry);
                return;
            }
        };
        let is_full = |held: &Entry<'_>| held.line.len() + 1 + entry.line.len() > MAX_BLOCK_BYTES;
        if is_first || block.entry.as_ref().is_some_and(is_full) {
            released.extend(block.entry.take());
        }
        match &mut block.entry {
            Some(held) => {
                held.join(b"\n", &entry);
                block.n_lines += 1;
            }
            none => {
                *none = Some(entry.into_owned());
                block.n_lines = 1;
            }
        }
        if block.n_lines >= self.rules.max_lines {
            released.extend(block.entry.take());
        }
        block.grown_at = now;
        self.blocks.push(block);
        if self.blocks.len() > MAX_BLOCKS {
            released.extend(self.blocks.remove(0).entry);
        }
    }

    fn release(&mut self, when: When, released: &mut Vec<Entry<'static>>) {
        for block in &mut self.blocks {
            let is_due = match when {
                When::Due(now) => now.saturating_duration_since(block.grown_at) >= self.rules.max_wait,
                When::All => true,
            };
            if is_due {
                released.extend(block.entry.take());
            }
        }
    }

    fn see_held(&self, see: &mut dyn FnMut(&Entry<'static>)) {
        self.blocks.iter().filter_map(|block| block.entry.as_ref()).for_each(see);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::run::harness::Harness;
    use super::*;

    const STREAM: &str = r#"{filename="/a", job="x"}"#;

    fn of(line: &str) -> String {
        format!("{STREAM} {line}")
    }

    #[test]
    fn a_block_ends_with_the_next_first_line() {
        let mut file = Harness::new(json!([{"multiline": {"firstline": "^[0-9]"}}]));
        assert_eq!(file.feed(&["before", "1 a", " b"]), [of("before")]);
        assert_eq!(file.held_from(), Some(7), "where the first line of the block begins");
        assert_eq!(file.run.n_held(), 2);
        assert_eq!(file.feed(&[" c", "2 d"]), [of("1 a\n b\n c")]);
        assert_eq!(file.held_from(), Some(17));
        assert_eq!(file.release(When::Due(file.now + DEFAULT_MAX_WAIT - Duration::from_millis(1))), [""; 0]);
        assert_eq!(file.release(When::Due(file.now + DEFAULT_MAX_WAIT)), [of("2 d")]);
        assert_eq!((file.held_from(), file.run.n_held()), (None, 0));
        assert_eq!(file.feed(&[" late"]), [""; 0]);
        assert_eq!(file.release(When::All), [of(" late")]);
    }

    #[test]
    fn blocks_are_bounded_in_lines_and_bytes() {
        let mut file = Harness::new(json!([{"multiline": {"firstline": "^[0-9]", "max_lines": 3}}]));
        assert_eq!(file.feed(&["1", "a", "b", "c", "d"]), [of("1\na\nb")]);
        assert_eq!(file.feed(&["2"]), [of("c\nd")]);
        let mut file = Harness::new(json!([{"multiline": {"firstline": "^[0-9]", "max_lines": 0}}]));
        let long = "x".repeat(MAX_BLOCK_BYTES / 2);
        assert_eq!(file.feed(&["1", &long, &long]), [of(&format!("1\n{long}"))]);
    }

    #[test]
    fn streams_do_not_mix_and_the_oldest_one_goes_when_there_are_too_many() {
        let mut file = Harness::new(json!([
            {"regex": {"expression": "^(?P<who>\\w+):"}},
            {"labels": {"who": null}},
            {"multiline": {"firstline": ": [A-Z]"}},
        ]));
        assert_eq!(file.feed(&["a: One", "b: Two", "a: one", "b: two"]), [""; 0]);
        let got = file.feed(&["a: Next"]);
        assert_eq!(got, [r#"{filename="/a", job="x", who="a"} a: One"#.to_owned() + "\na: one"]);
        assert_eq!(file.held_from(), Some(7), "the block of b is the oldest now");
        let others: Vec<String> = (0..MAX_BLOCKS).map(|n| format!("n{n}: Begin")).collect();
        let got = file.feed(&others.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(got.len(), 2);
        assert!(got[0].ends_with("b: Two\nb: two"), "{got:?}");
    }

    #[test]
    fn later_stages_see_the_block_and_a_dropped_one_counts_all_its_lines() {
        let mut file = Harness::new(json!([
            {"multiline": {"firstline": "^[0-9]"}},
            {"drop": {"expression": "boring\\n"}},
        ]));
        assert_eq!(file.feed(&["1 boring", "a", "b", "2"]), ["dropped 3: drop_stage"]);
    }
}
