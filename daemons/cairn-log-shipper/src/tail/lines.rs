//! Cutting a buffer into lines. Pure: no file, no clock.

use memchr::memchr;

/// What to do with lines that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineLimit {
    /// Longest line in bytes.
    pub max_bytes: usize,
    /// Whether a longer one is sent up to there (else it is dropped).
    pub truncate: bool,
}

/// Where the buffer stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The buffer reaches the end of the file.
    pub at_end: bool,
    /// The buffer begins inside an over-long line, whose rest is to be skipped.
    pub in_long_line: bool,
    /// What stands at the end of the file without a newline is a line too.
    pub flush_partial: bool,
    /// What stands right before the buffer was sent as a line without its newline, which may come now.
    pub after_partial: bool,
}

/// The lines of a buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// First byte and length of each line, without its newline.
    pub lines: Vec<(u32, u32)>,
    /// Bytes that are done with; the rest is to be read again when there is more.
    pub consumed: usize,
    /// The rest of an over-long line is still to come.
    pub in_long_line: bool,
    /// Lines that were cut at the limit.
    pub n_truncated: usize,
    /// Lines that were dropped for their length, and the bytes of them that were seen.
    pub n_too_long: usize,
    /// NUL bytes that were skipped at the beginning of lines, or between a line that was sent and its newline.
    pub nul_bytes: usize,
    /// Bytes that stand at the end without a newline and were left alone.
    pub partial_bytes: usize,
}

/// Cuts `buffer` into lines at `\n`. A `\r` stays part of its line, as with Promtail on Linux.
///
/// NUL bytes at the beginning of a line are skipped: they are what a crash of the file system leaves, or a writer that
/// goes on at its old offset after the file was emptied. At the very end of the file they are left alone, since a
/// writer that reserves its space in advance will put lines there, or the rest of the line that stands before them. So
/// are those that a buffer in the middle of the file ends with, while there are lines before them. Where a buffer ends
/// with NUL bytes the caller looks ahead, and says by `at_end` whether anything else follows.
///
/// A buffer shorter than `limit.max_bytes` + 1 that does not reach the end of the file may be left whole.
pub fn cut(buffer: &[u8], situation: Situation, limit: LineLimit) -> Cut {
    let mut cut = Cut::default();
    let mut at = 0;
    if situation.in_long_line {
        match memchr(b'\n', buffer) {
            Some(newline) => at = newline + 1,
            None => {
                cut.in_long_line = true;
                cut.consumed = text_len(buffer, situation);
                return cut;
            }
        }
    }
    if situation.after_partial {
        let n_nul = n_leading_nul(buffer);
        if buffer.get(n_nul) == Some(&b'\n') {
            cut.nul_bytes += n_nul;
            at = n_nul + 1;
        }
    }
    while at < buffer.len() {
        let n_nul = n_leading_nul(&buffer[at..]);
        if n_nul > 0 {
            if at + n_nul == buffer.len() && (situation.at_end || at > 0) {
                break;
            }
            cut.nul_bytes += n_nul;
            at += n_nul;
            continue;
        }
        let rest = &buffer[at..];
        if let Some(len) = memchr(b'\n', rest) {
            cut.push(at, len, limit);
            at += len + 1;
            continue;
        }
        let len = text_len(rest, situation);
        if len > limit.max_bytes {
            cut.push(at, len, limit);
            cut.in_long_line = true;
        } else if !(situation.at_end && situation.flush_partial) {
            cut.partial_bytes = len;
            break;
        } else {
            cut.push(at, len, limit);
        }
        at += len;
    }
    cut.consumed = at;
    cut
}

fn n_leading_nul(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte == 0).count()
}

/// Length of a line that has no newline yet: the NUL bytes after it at the end of the file are no part of it.
fn text_len(rest: &[u8], situation: Situation) -> usize {
    if situation.at_end {
        rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    } else {
        rest.len()
    }
}

impl Cut {
    fn push(&mut self, start: usize, len: usize, limit: LineLimit) {
        let sent = if len <= limit.max_bytes {
            len
        } else if limit.truncate {
            self.n_truncated += 1;
            limit.max_bytes
        } else {
            self.n_too_long += 1;
            return;
        };
        let as_u32 = |n: usize| u32::try_from(n).expect("the read buffer is a few MiB");
        self.lines.push((as_u32(start), as_u32(sent)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIDDLE: Situation =
        Situation { at_end: false, in_long_line: false, flush_partial: false, after_partial: false };
    const END: Situation = Situation { at_end: true, ..MIDDLE };
    const FLUSH: Situation = Situation { flush_partial: true, ..END };
    const LIMIT: LineLimit = LineLimit { max_bytes: 8, truncate: true };

    fn texts<'a>(buffer: &'a [u8], cut: &Cut) -> Vec<&'a str> {
        let text = |(start, len): &(u32, u32)| &buffer[*start as usize..(*start + *len) as usize];
        cut.lines.iter().map(|line| std::str::from_utf8(text(line)).unwrap()).collect()
    }

    fn check(buffer: &[u8], situation: Situation, want: &[&str], consumed: usize) -> Cut {
        let cut = cut(buffer, situation, LIMIT);
        assert_eq!(texts(buffer, &cut), want, "{buffer:?}");
        assert_eq!(cut.consumed, consumed, "{buffer:?}");
        cut
    }

    #[test]
    fn whole_lines_go_partial_ones_wait() {
        check(b"a\n\nb\r\nc", MIDDLE, &["a", "", "b\r"], 6);
        assert_eq!(check(b"a\nc", END, &["a"], 2).partial_bytes, 1);
        check(b"a\nc", FLUSH, &["a", "c"], 3);
        check(b"", FLUSH, &[], 0);
    }

    #[test]
    fn the_newline_of_a_line_that_was_sent_is_no_empty_line() {
        let after = Situation { after_partial: true, ..END };
        check(b"\n\nb\n", after, &["", "b"], 4);
        check(b"\n", after, &[], 1);
        check(b"more\n", after, &["more"], 5);
        check(b"\n\nb\n", END, &["", "", "b"], 4);
    }

    #[test]
    fn long_lines_are_cut_and_their_rest_skipped() {
        let first = check(b"0123456789", MIDDLE, &["01234567"], 10);
        assert!(first.in_long_line);
        assert_eq!(first.n_truncated, 1);
        let inside = Situation { in_long_line: true, ..MIDDLE };
        assert!(check(b"more", inside, &[], 4).in_long_line);
        assert!(!check(b"end\nx\n", inside, &["x"], 6).in_long_line);
        check(b"0123456789\nx\n", END, &["01234567", "x"], 13);
        let dropping = LineLimit { truncate: false, ..LIMIT };
        let dropped = cut(b"0123456789\nx\n", END, dropping);
        assert_eq!((dropped.lines.len(), dropped.n_too_long), (1, 1));
    }

    #[test]
    fn nul_runs_are_skipped_once_something_follows() {
        assert_eq!(check(b"a\n\0\0\0b\n", END, &["a", "b"], 7).nul_bytes, 3);
        check(b"a\n\0\0\0", END, &["a"], 2);
        check(b"a\n\0\0\0", FLUSH, &["a"], 2);
        assert_eq!(check(b"\0\0\0", MIDDLE, &[], 3).nul_bytes, 3);
        check(b"a\0b\n", END, &["a\0b"], 4);
        // Reserved space that fills the buffer: not skipped before the caller has looked beyond it.
        check(b"a\n\0\0\0", MIDDLE, &["a"], 2);
    }

    #[test]
    fn space_reserved_after_an_unfinished_line_is_no_part_of_it() {
        assert_eq!(check(b"a\nhalf\0\0\0\0\0\0", END, &["a"], 2).partial_bytes, 4);
        check(b"a\nhalf\0\0\0\0\0\0", FLUSH, &["a", "half"], 6);
        let long = check(b"0123456789\0\0", END, &["01234567"], 10);
        assert!(long.in_long_line);
        let inside = Situation { in_long_line: true, ..END };
        assert!(check(b"more\0\0", inside, &[], 4).in_long_line);
        check(b"\0\0", inside, &[], 0);
        // Something follows: then it is a line with NUL bytes in it.
        assert!(check(b"half\0\0\0\0\0\0", MIDDLE, &["half\0\0\0\0"], 10).in_long_line);
        let after = Situation { after_partial: true, ..END };
        assert_eq!(check(b"\0\nb\n", after, &["b"], 4).nul_bytes, 1);
        check(b"\0\0", after, &[], 0);
    }

    proptest! {
        #[test]
        fn pieces_give_the_same_lines_as_the_whole(
            data in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(0u8), b'a'..b'd'], 0..60),
            window in 9usize..20,
        ) {
            let limit = LineLimit { max_bytes: 8, truncate: true };
            let collect = |window: usize| {
                let (mut at, mut in_long_line, mut lines) = (0, false, Vec::new());
                while at < data.len() {
                    let end = (at + window).min(data.len());
                    let buffer = &data[at..end];
                    // The caller looks ahead.
                    let is_reserved = buffer.ends_with(b"\0") && data[end..].iter().all(|byte| *byte == 0);
                    let situation = Situation { at_end: end == data.len() || is_reserved, in_long_line, ..FLUSH };
                    let cut = cut(buffer, situation, limit);
                    for (start, len) in &cut.lines {
                        lines.push(buffer[*start as usize..(*start + *len) as usize].to_vec());
                    }
                    in_long_line = cut.in_long_line;
                    if cut.consumed == 0 {
                        break;
                    }
                    at += cut.consumed;
                }
                lines
            };
            prop_assert_eq!(collect(window), collect(data.len().max(9)));
        }
    }
}
