//! `| line_format`: the line from a template.

use std::borrow::Cow;

use cairn_model::TimeNs;

use crate::labelset::LabelSet;
use crate::template::{Input, Template};

/// The error label of a template that fails on an entry.
pub(crate) const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// A compiled `| line_format`.
pub(crate) struct LineFormatter(Template);

impl LineFormatter {
    /// Compiles the template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(template: &str) -> Result<Self, String> {
        let template = Template::compile("line", template);
        template.map(Self).map_err(|message| format!("invalid line template: {message}"))
    }

    /// Renders the line; on a failure the line stays and the error labels are set.
    pub(crate) fn run<'l>(
        &self,
        time: TimeNs,
        line: Cow<'l, [u8]>,
        labels: &mut LabelSet<'_>,
    ) -> Cow<'l, [u8]> {
        if let Some(text) = self.0.constant() {
            return Cow::Owned(text.as_bytes().to_vec());
        }
        match self.0.render(&Input::new(labels, time, &line)) {
            Ok(rendered) => Cow::Owned(rendered.into_bytes()),
            Err(details) => {
                labels.set_error(TEMPLATE_ERROR, &details);
                line
            }
        }
    }
}
