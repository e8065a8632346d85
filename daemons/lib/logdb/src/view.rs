//! A tenant's logs as the query engine reads them.

use std::sync::Arc;

use cairn_logql::source::{LogSource, Selection, SourceError, StreamCursor};

use crate::cursor::MergeCursor;
use crate::damage::ReadContext;
use crate::run::Window;
use crate::tenant::Tenant;

/// One tenant's logs. Each [`select`](LogSource::select) takes every stream as it is at one moment, so that an entry
/// is seen once while its head is being written to a chunk; the cursors keep that state until they are dropped.
#[derive(Debug)]
pub struct View {
    tenant: Option<Arc<Tenant>>,
    context: ReadContext,
}

impl View {
    pub(crate) fn new(tenant: Option<Arc<Tenant>>, context: ReadContext) -> Self {
        Self { tenant, context }
    }

    /// What this view has skipped because it is damaged or gone, a text for each place; for the warnings of an answer.
    pub fn damage(&self) -> Vec<String> {
        self.context.texts()
    }
}

impl LogSource for View {
    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Vec<Box<dyn StreamCursor + 'a>>, SourceError> {
        let Some(tenant) = &self.tenant else { return Ok(Vec::new()) };
        let window = Window {
            start: selection.start.0,
            end: selection.end.0,
            direction: selection.direction,
            needles: selection.needles.iter().map(|needle| Box::from(*needle)).collect(),
        };
        let mut cursors: Vec<Box<dyn StreamCursor + 'a>> = Vec::new();
        for stream in tenant.resolve(selection.matchers) {
            let snapshot = stream.snapshot(window.start, window.end);
            if !snapshot.is_empty() {
                cursors.push(Box::new(MergeCursor::new(snapshot, window.clone(), self.context.clone())));
            }
        }
        Ok(cursors)
    }
}
