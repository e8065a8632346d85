//! Warnings and infos that accompany an answer, in Prometheus's words.

use std::collections::BTreeSet;

use crate::ast::Span;

/// Most different annotations kept of one kind. The HTTP API shows ten and counts the rest.
const MAX_KEPT: usize = 1000;

/// Collected while evaluating; identical texts are kept once.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    pub(crate) warnings: BTreeSet<String>,
    pub(crate) infos: BTreeSet<String>,
}

impl Annotations {
    /// Adds `PromQL warning: MESSAGE (line:col)`.
    pub(crate) fn warn(&mut self, message: &str, span: Span) {
        if self.warnings.len() < MAX_KEPT {
            self.warnings.insert(format!("PromQL warning: {message} ({}:{})", span.line, span.column));
        }
    }

    /// Adds `PromQL info: MESSAGE (line:col)`.
    pub(crate) fn info(&mut self, message: &str, span: Span) {
        if self.infos.len() < MAX_KEPT {
            self.infos.insert(format!("PromQL info: {message} ({}:{})", span.line, span.column));
        }
    }
}
