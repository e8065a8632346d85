//! `| regexp`: named groups of a pattern as labels.

use std::borrow::Cow;

use cairn_model::goregex;

use crate::labelset::LabelSet;
use crate::pipeline::Hints;
use crate::stage_json::sanitize;

/// A compiled `| regexp`.
pub(crate) struct RegexpParser {
    regex: regex::bytes::Regex,
    /// Index of each named group with its label name.
    groups: Vec<(usize, String)>,
}

impl RegexpParser {
    /// Compiles the pattern.
    ///
    /// # Errors
    /// A text for the person who asked.
    pub(crate) fn compile(pattern: &str) -> Result<Self, String> {
        if let Some(name) = duplicate_group(pattern) {
            return Err(format!("duplicate extracted label name '{name}'"));
        }
        let regex = goregex::compile_search_bytes(&mask_digit_names(pattern)).map_err(|e| e.to_string())?;
        let groups: Vec<(usize, String)> = regex
            .capture_names()
            .enumerate()
            .filter_map(|(at, name)| Some((at, sanitize(name?, true).into_owned())))
            .collect();
        if groups.is_empty() {
            return Err("at least one named capture must be supplied".to_owned());
        }
        Ok(Self { regex, groups })
    }

    /// Sets the labels of a line that fits; an optional group that took no part is empty.
    pub(crate) fn run(&self, line: &[u8], labels: &mut LabelSet<'_>, hints: &Hints) {
        let Some(captures) = self.regex.captures(line) else { return };
        for (at, name) in &self.groups {
            let name = labels.parsed_name(Cow::Borrowed(name));
            if hints.wants(&name) {
                let value = captures.get(*at).map_or(&[][..], |m| m.as_bytes());
                labels.set(&name, &String::from_utf8_lossy(value));
            }
        }
    }
}

fn group_names(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.match_indices("(?").filter_map(|(at, _)| {
        let rest = &pattern[at + 2..];
        let rest = rest.strip_prefix('P').unwrap_or(rest).strip_prefix('<')?;
        let name = &rest[..rest.find('>')?];
        name.chars().all(|c| c.is_alphanumeric() || c == '_').then_some(name)
    })
}

fn duplicate_group(pattern: &str) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    group_names(pattern).find(|name| !seen.insert(*name))
}

/// Go allows a group's name to start with a digit, Rust does not. Such names get the `_` in front that the label
/// would get anyway.
fn mask_digit_names(pattern: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(pattern);
    for name in group_names(pattern) {
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            out = Cow::Owned(out.replace(&format!("<{name}>"), &format!("<_{name}>")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let fail = |pattern: &str| RegexpParser::compile(pattern).err().unwrap();
        assert_eq!(fail("abc"), "at least one named capture must be supplied");
        assert_eq!(fail("(?P<x>.)(?P<x>.)"), "duplicate extracted label name 'x'");
        assert!(RegexpParser::compile("(?P<1x>.)").is_ok());
    }
}
