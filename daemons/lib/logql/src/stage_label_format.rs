//! `| label_format`: renames labels and sets them from templates.

use cairn_model::TimeNs;

use crate::ast::{LabelFormat, LabelFormatValue};
use crate::labelset::LabelSet;

/// A compiled `| label_format`.
pub(crate) struct LabelFormatter {
    renames: Vec<(String, String)>,
}

impl LabelFormatter {
    /// Compiles the assignments.
    ///
    /// # Errors
    /// What is wrong with a template.
    pub(crate) fn compile(formats: &[LabelFormat]) -> Result<Self, String> {
        let rename = |format: &LabelFormat| match &format.value {
            LabelFormatValue::Rename(from) => Ok((format.name.clone(), from.clone())),
            LabelFormatValue::Template(_) => {
                Err("templates in label_format are not supported yet".to_owned())
            }
        };
        Ok(Self { renames: formats.iter().map(rename).collect::<Result<_, _>>()? })
    }

    /// Sets the labels.
    pub(crate) fn run(&self, time: TimeNs, line: &[u8], labels: &mut LabelSet<'_>) {
        let _ = (time, line);
        for (to, from) in &self.renames {
            if let Some(value) = labels.get(from).map(str::to_owned) {
                labels.remove(from);
                labels.set(to, &value);
            }
        }
    }
}
