//! `| label_format`: renames labels and sets them from templates.

use cairn_model::TimeNs;

use crate::ast::{LabelFormat, LabelFormatValue};
use crate::labelset::LabelSet;
use crate::stage_line_format::TEMPLATE_ERROR;
use crate::template::{Input, Template};

enum Source {
    Rename(String),
    Template(Template),
}

/// A compiled `| label_format`.
pub(crate) struct LabelFormatter(Vec<(String, Source)>);

impl LabelFormatter {
    /// Compiles the assignments.
    ///
    /// # Errors
    /// What is wrong with a template.
    pub(crate) fn compile(formats: &[LabelFormat]) -> Result<Self, String> {
        let compile = |format: &LabelFormat| {
            let source = match &format.value {
                LabelFormatValue::Rename(from) => Source::Rename(from.clone()),
                LabelFormatValue::Template(text) => {
                    Source::Template(Template::compile("label", text).map_err(|message| {
                        format!("invalid template for label '{}': {message}", format.name)
                    })?)
                }
            };
            Ok((format.name.clone(), source))
        };
        formats.iter().map(compile).collect::<Result<_, String>>().map(Self)
    }

    /// Sets the labels, left to right. Templates see the labels as the first of them found them.
    pub(crate) fn run(&self, time: TimeNs, line: &[u8], labels: &mut LabelSet<'_>) {
        let mut input = None;
        for (to, source) in &self.0 {
            match source {
                Source::Rename(from) => {
                    if let Some(value) = labels.get(from).map(str::to_owned) {
                        labels.remove(from);
                        labels.set(to, &value);
                    }
                }
                Source::Template(template) => {
                    let input = input.get_or_insert_with(|| Input::new(labels, time, line));
                    match template.render(input) {
                        Ok(value) => labels.set(to, &value),
                        Err(details) => labels.set_error(TEMPLATE_ERROR, &details),
                    }
                }
            }
        }
    }
}
