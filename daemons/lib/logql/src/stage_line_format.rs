//! `| line_format`: the line from a template.

use std::borrow::Cow;

use cairn_model::TimeNs;

use crate::labelset::LabelSet;

/// A compiled `| line_format`.
pub(crate) struct LineFormatter {}

impl LineFormatter {
    /// Compiles the template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(template: &str) -> Result<Self, String> {
        let _ = template;
        Err("line_format is not supported yet".to_owned())
    }

    /// Renders the line.
    pub(crate) fn run<'l>(
        &self,
        time: TimeNs,
        line: Cow<'l, [u8]>,
        labels: &mut LabelSet<'_>,
    ) -> Cow<'l, [u8]> {
        let _ = (time, labels);
        line
    }
}
