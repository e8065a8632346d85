//! Errors of the exposition parsers, worded as Prometheus words them.

use std::fmt::Write;

use super::lexer::{Lexer, Token};

/// Longest piece of a body that an error repeats, in bytes. A hostile line must not become a hostile error text.
const MAX_QUOTED_BYTES: usize = 512;

/// A body that is not exposition text or protobuf. Nothing of such a body is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpositionError {
    /// Where the line (text) or family (protobuf) begins, in bytes from the start of the body. Not part of the text,
    /// which is Prometheus's.
    pub offset: usize,
    /// What is wrong, in Prometheus's words.
    pub message: String,
}

/// `expected label name, got "=\"" ("EQUAL") while parsing: "a{=\""`: the last token and the entry that began at
/// `start`, both up to one byte past the token.
pub(super) fn unexpected(expected: &str, lexer: &Lexer<'_>, start: usize, token: Token) -> String {
    let end = (lexer.at + 1).min(lexer.end());
    let quote = |from: usize| {
        let mut bytes = lexer.slice(from, end.min(from + MAX_QUOTED_BYTES + 1)).to_vec();
        if end > lexer.text.len() {
            bytes.push(b'\n');
        }
        quote_bytes(&bytes)
    };
    format!("{expected}, got {} (\"{}\") while parsing: {}", quote(lexer.start), token.as_str(), quote(start))
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
