//! `| drop` and `| keep`.

use crate::ast::LabelChoice;
use crate::labelset::{ERROR, ERROR_DETAILS, LabelSet};

/// Runs `| drop`.
pub(crate) fn drop(choices: &[LabelChoice], labels: &mut LabelSet<'_>) {
    for choice in choices {
        match choice {
            LabelChoice::Name(name) => labels.remove(name),
            LabelChoice::Matcher(matcher) => {
                if labels.get(matcher.name()).is_some_and(|value| matcher.matches(value)) {
                    labels.remove(matcher.name());
                }
            }
        }
    }
}

/// Runs `| keep`, which never removes the error labels.
pub(crate) fn keep(choices: &[LabelChoice], labels: &mut LabelSet<'_>) {
    labels.retain(|name, value| {
        let is_error = name == ERROR || name == ERROR_DETAILS;
        is_error
            || choices.iter().any(|choice| match choice {
                LabelChoice::Name(chosen) => chosen == name,
                LabelChoice::Matcher(matcher) => matcher.name() == name && matcher.matches(value),
            })
    });
}
