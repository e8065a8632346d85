//! Relabelling: rules that rewrite label sets before a target is scraped and before a sample is stored.
//!
//! Pure functions on a [`LabelsBuilder`]; the rules run in order and any of them can drop the whole set.

use cairn_model::LabelsBuilder;
use cairn_model::goregex::{PatternError, compile_anchored};
use md5::{Digest, Md5};
use regex::Regex;

use crate::config::file::RelabelConfig;

/// What a rule does. See the table in Prometheus's documentation of `relabel_config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REPLACEMENT: &str = "$1";

/// A rule that cannot be used, in Prometheus's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The action is none of the eleven.
    #[error("unknown relabel action {0:?}")]
    UnknownAction(String),
    /// A key that the action needs or forbids.
    #[error("{0}")]
    Keys(String),
    /// The pattern does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// One rule, checked and compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    action: Action,
    source_labels: Vec<String>,
    separator: String,
    /// The pattern as it was written.
    pattern: String,
    regex: Regex,
    modulus: u64,
    target_label: String,
    replacement: String,
}

impl Rule {
    /// Checks and compiles one rule of the file.
    ///
    /// # Errors
    /// [`RuleError`]
    pub fn new(raw: &RelabelConfig) -> Result<Self, RuleError> {
        let word = raw.action.as_deref().unwrap_or("replace").to_lowercase();
        let action = ACTIONS
            .iter()
            .find(|(name, _)| *name == word)
            .ok_or_else(|| RuleError::UnknownAction(raw.action.clone().unwrap_or_default()))?
            .1;
        check_keys(raw, action, &word)?;
        Ok(Self {
            action,
            source_labels: raw.source_labels.clone().unwrap_or_default(),
            separator: raw.separator.clone().unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned()),
            pattern: raw.regex.clone().unwrap_or_else(|| DEFAULT_REGEX.to_owned()),
            regex: compile_anchored(raw.regex.as_deref().unwrap_or(DEFAULT_REGEX))?,
            modulus: raw.modulus.unwrap_or(0),
            target_label: raw.target_label.clone().unwrap_or_default(),
            replacement: raw.replacement.clone().unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
        })
    }

    /// The rule with its defaults, as Prometheus's API names its keys.
    pub fn shown(&self) -> serde_json::Value {
        let action = ACTIONS.iter().find(|(_, action)| *action == self.action).map_or("", |(name, _)| name);
        let mut shown = serde_json::Map::new();
        let mut set = |key: &str, value: serde_json::Value, is_set: bool| {
            if is_set {
                shown.insert(key.to_owned(), value);
            }
        };
        set("sourceLabels", self.source_labels.clone().into(), !self.source_labels.is_empty());
        set("separator", self.separator.clone().into(), !self.separator.is_empty());
        set("regex", self.pattern.clone().into(), true);
        set("modulus", self.modulus.into(), self.modulus != 0);
        set("targetLabel", self.target_label.clone().into(), !self.target_label.is_empty());
        set("replacement", self.replacement.clone().into(), !self.replacement.is_empty());
        set("action", action.into(), true);
        shown.into()
    }

    /// Applies the rule. False: the set is dropped.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        match self.action {
            Action::Keep => return self.regex.is_match(&self.joined(labels)),
            Action::Drop => return !self.regex.is_match(&self.joined(labels)),
            Action::KeepEqual => return labels.get(&self.target_label).unwrap_or("") == self.joined(labels),
            Action::DropEqual => return labels.get(&self.target_label).unwrap_or("") != self.joined(labels),
            Action::Replace => self.replace(labels),
            Action::HashMod => {
                let digest = Md5::digest(self.joined(labels).as_bytes());
                let low: [u8; 8] = digest[8..].try_into().expect("an MD5 digest has 16 bytes");
                let value = u64::from_be_bytes(low) % self.modulus;
                labels.set(&self.target_label, &value.to_string());
            }
            Action::Lowercase => {
                let value = self.joined(labels).to_lowercase();
                labels.set(&self.target_label, &value);
            }
            Action::Uppercase => {
                let value = self.joined(labels).to_uppercase();
                labels.set(&self.target_label, &value);
            }
            Action::LabelMap => {
                let mut copies = Vec::new();
                for (name, value) in labels.iter() {
                    if let Some(captures) = self.regex.captures(name) {
                        let mut target = String::new();
                        captures.expand(&self.replacement, &mut target);
                        copies.push((target, value.to_owned()));
                    }
                }
                for (name, value) in copies {
                    labels.set(&name, &value);
                }
            }
            Action::LabelDrop => {
                labels.retain(|name, _| !self.regex.is_match(name));
            }
            Action::LabelKeep => {
                labels.retain(|name, _| self.regex.is_match(name));
            }
        }
        true
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let joined = self.joined(labels);
        let Some(captures) = self.regex.captures(&joined) else { return };
        let mut target = String::new();
        captures.expand(&self.target_label, &mut target);
        if target.is_empty() {
            return;
        }
        let mut value = String::new();
        captures.expand(&self.replacement, &mut value);
        labels.set(&target, &value);
    }

    fn joined(&self, labels: &LabelsBuilder) -> String {
        let values = self.source_labels.iter().map(|name| labels.get(name).unwrap_or(""));
        values.collect::<Vec<_>>().join(&self.separator)
    }
}

/// Applies the rules in order. False: one of them dropped the set.
pub fn apply_all(rules: &[Rule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

fn check_keys(raw: &RelabelConfig, action: Action, word: &str) -> Result<(), RuleError> {
    let refuse = |message: String| Err(RuleError::Keys(message));
    let target = raw.target_label.as_deref().unwrap_or("");
    let writes = matches!(
        action,
        Action::Replace
            | Action::KeepEqual
            | Action::DropEqual
            | Action::HashMod
            | Action::Lowercase
            | Action::Uppercase
    );
    if action == Action::HashMod && raw.modulus.unwrap_or(0) == 0 {
        return refuse("relabel configuration for hashmod requires non-zero modulus".to_owned());
    }
    if writes && target.is_empty() {
        return refuse(format!("relabel configuration for {word} action requires 'target_label' value"));
    }
    if matches!(action, Action::Lowercase | Action::Uppercase)
        && raw.replacement.as_deref().is_some_and(|text| text != DEFAULT_REPLACEMENT)
    {
        return refuse(format!("'replacement' can not be set for {word} action"));
    }
    let differs =
        |value: &Option<String>, default: &str| value.as_deref().is_some_and(|text| text != default);
    let has_other_keys = differs(&raw.separator, DEFAULT_SEPARATOR)
        || differs(&raw.replacement, DEFAULT_REPLACEMENT)
        || raw.modulus.is_some_and(|modulus| modulus != 0);
    if matches!(action, Action::KeepEqual | Action::DropEqual)
        && (has_other_keys || differs(&raw.regex, DEFAULT_REGEX))
    {
        return refuse(format!(
            "{word} action requires only 'source_labels' and `target_label`, and no other fields"
        ));
    }
    if matches!(action, Action::LabelDrop | Action::LabelKeep)
        && (has_other_keys
            || !target.is_empty()
            || raw.source_labels.as_ref().is_some_and(|names| !names.is_empty()))
    {
        return refuse(format!("{word} action requires only 'regex', and no other fields"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::Labels;

    fn rule(keys: &[(&str, &str)]) -> RelabelConfig {
        let mut raw = RelabelConfig::default();
        for (key, value) in keys {
            let value = (*value).to_owned();
            match *key {
                "source_labels" => raw.source_labels = Some(value.split(',').map(str::to_owned).collect()),
                "separator" => raw.separator = Some(value),
                "regex" => raw.regex = Some(value),
                "modulus" => raw.modulus = value.parse().ok(),
                "target_label" => raw.target_label = Some(value),
                "replacement" => raw.replacement = Some(value),
                "action" => raw.action = Some(value),
                other => panic!("{other}"),
            }
        }
        raw
    }

    /// What becomes of `{a="foo", b="bar", c="baz"}`; "dropped" when nothing does.
    fn after(keys: &[(&str, &str)]) -> String {
        let mut labels = Labels::from_pairs([("a", "foo"), ("b", "bar"), ("c", "baz")]).to_builder();
        if apply_all(&[Rule::new(&rule(keys)).unwrap()], &mut labels) {
            labels.build().to_string()
        } else {
            "dropped".to_owned()
        }
    }

    #[test]
    fn every_action() {
        let same = r#"{a="foo", b="bar", c="baz"}"#;
        for (keys, want) in [
            (
                &[
                    ("source_labels", "a"),
                    ("regex", "f(.*)"),
                    ("target_label", "d"),
                    ("replacement", "ch${1}-${1}"),
                ][..],
                r#"{a="foo", b="bar", c="baz", d="choo-oo"}"#,
            ),
            (
                &[
                    ("source_labels", "a,b"),
                    ("regex", "f(.*);(.*)r"),
                    ("target_label", "a"),
                    ("replacement", "b$1$2"),
                ],
                r#"{a="booba", b="bar", c="baz"}"#,
            ),
            (&[("source_labels", "a"), ("regex", "no"), ("target_label", "a"), ("replacement", "x")], same),
            (&[("source_labels", "a"), ("target_label", "a"), ("replacement", "")], r#"{b="bar", c="baz"}"#),
            (
                &[("target_label", "${1}x"), ("regex", "(.*)"), ("replacement", "$$1")],
                r#"{a="foo", b="bar", c="baz", x="$1"}"#,
            ),
            (&[("source_labels", "a"), ("regex", ".*o.*"), ("action", "drop")], "dropped"),
            (&[("source_labels", "a"), ("regex", "o"), ("action", "drop")], same),
            (&[("source_labels", "a"), ("regex", "f.*"), ("action", "KEEP")], same),
            (&[("source_labels", "zz"), ("regex", "x"), ("action", "keep")], "dropped"),
            (&[("source_labels", "a"), ("target_label", "b"), ("action", "keepequal")], "dropped"),
            (&[("source_labels", "a"), ("target_label", "a"), ("action", "dropequal")], "dropped"),
            (&[("source_labels", "a"), ("target_label", "b"), ("action", "dropequal")], same),
            (
                &[("source_labels", "c"), ("target_label", "d"), ("action", "hashmod"), ("modulus", "1000")],
                r#"{a="foo", b="bar", c="baz", d="976"}"#,
            ),
            (
                &[("regex", "(b)"), ("replacement", "x_${1}"), ("action", "labelmap")],
                r#"{a="foo", b="bar", c="baz", x_b="bar"}"#,
            ),
            (&[("regex", "[ab]"), ("action", "labeldrop")], r#"{c="baz"}"#),
            (&[("regex", "[ab]"), ("action", "labelkeep")], r#"{a="foo", b="bar"}"#),
            (
                &[("source_labels", "a"), ("target_label", "a"), ("action", "uppercase")],
                r#"{a="FOO", b="bar", c="baz"}"#,
            ),
            (&[("source_labels", "a"), ("target_label", "a"), ("action", "lowercase")], same),
        ] {
            assert_eq!(after(keys), want, "{keys:?}");
        }
    }

    #[test]
    fn bad_rules_in_the_words_of_prometheus() {
        for (keys, want) in [
            (&[("action", "explode")][..], r#"unknown relabel action "explode""#),
            (&[], "relabel configuration for replace action requires 'target_label' value"),
            (
                &[("action", "hashmod"), ("target_label", "x")],
                "relabel configuration for hashmod requires non-zero modulus",
            ),
            (
                &[("action", "keepequal"), ("target_label", "x"), ("regex", "y")],
                "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
            ),
            (
                &[("action", "labeldrop"), ("source_labels", "x")],
                "labeldrop action requires only 'regex', and no other fields",
            ),
            (
                &[("action", "lowercase"), ("target_label", "x"), ("replacement", "y")],
                "'replacement' can not be set for lowercase action",
            ),
            (&[("target_label", "x"), ("regex", "(")], "error parsing regexp: missing closing ): `(`"),
        ] {
            assert_eq!(Rule::new(&rule(keys)).unwrap_err().to_string(), want, "{keys:?}");
        }
    }
}
