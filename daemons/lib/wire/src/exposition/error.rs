//! Errors of the exposition parser, worded as Prometheus words them.

use std::fmt::Write;

/// Longest piece of a body that an error repeats, in bytes. A hostile line must not become a hostile error text.
const MAX_QUOTED_BYTES: usize = 512;

/// A body that is not exposition text. Nothing of such a body is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpositionError {
    /// Number of the line, from 1. Not part of the text, which is Prometheus's.
    pub line: usize,
    /// What is wrong, in Prometheus's words.
    pub message: String,
}

/// Names of what stood in the wrong place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Invalid,
    LineBreak,
    Equal,
    Comma,
    BraceClose,
    LabelName,
}

impl Token {
    fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::LineBreak => "LINEBREAK",
            Self::Equal => "EQUAL",
            Self::Comma => "COMMA",
            Self::BraceClose => "BCLOSE",
            Self::LabelName => "LNAME",
        }
    }
}

/// `expected label name, got "=" ("EQUAL") while parsing: "a{="`: `expected`, the offending byte at `at`, and the
/// line from `start` up to it. A place past the end is the line break that ended the line.
pub(super) fn unexpected(expected: &str, line: &[u8], start: usize, at: usize, token: Token) -> String {
    let (got, so_far) = match line.get(at) {
        Some(_) => (quote_bytes(&line[at..=at]), quote_bytes(&line[start..=at])),
        None => {
            let mut text = line[start..].to_vec();
            text.push(b'\n');
            (String::from("\"\\n\""), quote_bytes(&text))
        }
    };
    format!("{expected}, got {got} (\"{}\") while parsing: {so_far}", token.as_str())
}

/// Bytes in double quotes as Go's `%q` prints them; a long text is cut.
pub(super) fn quote_bytes(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(MAX_QUOTED_BYTES)];
    let mut out = String::with_capacity(kept.len() + 2);
    out.push('"');
    for chunk in kept.utf8_chunks() {
        let quoted = cairn_model::gotext::quote(chunk.valid());
        out.push_str(&quoted[1..quoted.len() - 1]);
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    if kept.len() < bytes.len() {
        out.push_str("...");
    }
    out.push('"');
    out
}
