//! A tenant's logs as the query engine reads them.

use cairn_logql::source::{LogSource, Selection, SourceError, StreamCursor};

/// A consistent view of one tenant.
#[derive(Debug)]
pub struct View {}

impl View {
    /// What was skipped in this view because it is damaged, one text per chunk; for the warnings of an answer.
    pub fn damage(&self) -> Vec<String> {
        Vec::new()
    }
}

impl LogSource for View {
    fn select<'a>(
        &'a self,
        _selection: &Selection<'_>,
    ) -> Result<Vec<Box<dyn StreamCursor + 'a>>, SourceError> {
        Ok(Vec::new())
    }
}
