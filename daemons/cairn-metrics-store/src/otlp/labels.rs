//! Labels out of attributes: those of the data point, of the resource, and of the library that measured.

use std::collections::BTreeMap;

use cairn_model::LabelsBuilder;
use cairn_model::number::json_float;
use cairn_wire::otlp_metrics::{AnyValue, KeyValue, Resource, ScopeMetrics};
use serde_json::Value;

use super::names;
use super::{OtlpSettings, TranslateError};

pub(super) const NAME: &str = "__name__";
const JOB: &str = "job";
const INSTANCE: &str = "instance";
/// Attributes that become `job` and `instance`.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// Most bytes of the names and values of one series: each data point has a copy of those of its resource.
pub(super) const MAX_SET_BYTES: usize = 1 << 20;

/// The refusal of more.
///
/// # Errors
/// [`TranslateError::TooLarge`] over [`MAX_SET_BYTES`].
pub(super) fn check_set(n_bytes: usize) -> Result<(), TranslateError> {
    if n_bytes <= MAX_SET_BYTES {
        return Ok(());
    }
    let text =
        format!("the labels of a series have more than {MAX_SET_BYTES} bytes; send shorter attributes");
    Err(TranslateError::TooLarge(text))
}

/// Bytes of names and values.
pub(super) fn text_bytes<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> usize {
    pairs.into_iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Labels that all metrics of a resource and of a library share.
#[derive(Default)]
pub(super) struct Shared {
    job: String,
    instance: String,
    promoted: Vec<(String, String)>,
    scope: Vec<(String, String)>,
}

impl Shared {
    /// Those of a resource.
    ///
    /// # Errors
    /// In the peer's words: an attribute without a usable name.
    pub(super) fn of(resource: &Resource, settings: &OtlpSettings) -> Result<Self, TranslateError> {
        let get = |name: &str| resource.attributes.iter().find(|one| one.key == name).map(text);
        let mut job = get("service.name").unwrap_or_default();
        if !job.is_empty()
            && let Some(namespace) = get("service.namespace")
        {
            job = format!("{namespace}/{job}");
        }
        let mut promoted = Vec::new();
        for attribute in resource.attributes.iter().filter(|one| settings.is_promoted(&one.key)) {
            promoted.push((settings.label(&attribute.key)?, text(attribute)));
        }
        let instance = get("service.instance.id").unwrap_or_default();
        check_set(job.len() + instance.len() + bytes_of(&promoted))?;
        Ok(Self { job, instance, promoted, scope: Vec::new() })
    }

    /// Adds those of a library, where they are wanted.
    ///
    /// # Errors
    /// In the peer's words: an attribute without a usable name.
    pub(super) fn set_scope(
        &mut self,
        metrics: &ScopeMetrics,
        settings: &OtlpSettings,
    ) -> Result<(), TranslateError> {
        self.scope.clear();
        let Some(scope) = metrics.scope.as_ref().filter(|scope| settings.has_scope && !scope.name.is_empty())
        else {
            return Ok(());
        };
        for attribute in &scope.attributes {
            let name = settings.label(&format!("otel_scope_{}", attribute.key))?;
            self.scope.push((name, text(attribute)));
        }
        for (name, value) in
            [("name", &scope.name), ("version", &scope.version), ("schema_url", &metrics.schema_url)]
        {
            self.scope.push((format!("otel_scope_{name}"), value.clone()));
        }
        check_set(bytes_of(&self.scope))
    }

    /// All labels of a data point but its name.
    ///
    /// # Errors
    /// In the peer's words: an attribute without a usable name.
    pub(super) fn labels(
        &self,
        attributes: &[KeyValue],
        settings: &OtlpSettings,
    ) -> Result<LabelsBuilder, TranslateError> {
        let mut labels = own(attributes, &[NAME], settings)?;
        for (name, value) in &self.promoted {
            if labels.get(name).is_none_or(str::is_empty) {
                labels.set(name, value);
            }
        }
        self.set_identity(&mut labels);
        for (name, value) in &self.scope {
            labels.set(name, value);
        }
        Ok(labels)
    }

    fn set_identity(&self, labels: &mut LabelsBuilder) {
        for (name, value) in [(JOB, &self.job), (INSTANCE, &self.instance)] {
            if !value.is_empty() {
                labels.set(name, value);
            }
        }
    }

    /// Labels of `target_info`; `None` where it would say nothing, or nothing could be joined with it.
    ///
    /// # Errors
    /// In the peer's words: an attribute without a usable name.
    pub(super) fn target_info(
        &self,
        resource: &Resource,
        settings: &OtlpSettings,
    ) -> Result<Option<LabelsBuilder>, TranslateError> {
        if resource.attributes.iter().all(|one| IDENTIFYING.contains(&one.key.as_str())) {
            return Ok(None);
        }
        let ignored: &[&str] = if settings.keeps_identifying { &[] } else { &IDENTIFYING };
        let mut labels = own(&resource.attributes, ignored, settings)?;
        self.set_identity(&mut labels);
        let is_found = [JOB, INSTANCE].iter().any(|name| labels.get(name).is_some());
        labels.set(NAME, "target_info");
        Ok(is_found.then_some(labels))
    }
}

fn bytes_of(pairs: &[(String, String)]) -> usize {
    text_bytes(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Attributes under the names of labels, in the order of their keys: values of those that become the same label are
/// joined.
fn own(
    attributes: &[KeyValue],
    ignored: &[&str],
    settings: &OtlpSettings,
) -> Result<LabelsBuilder, TranslateError> {
    let mut sorted: Vec<&KeyValue> =
        attributes.iter().filter(|one| !ignored.contains(&one.key.as_str())).collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut n_bytes = 0;
    for attribute in sorted {
        let name = settings.label(&attribute.key)?;
        let value = text(attribute);
        n_bytes += name.len() + value.len();
        check_set(n_bytes)?;
        match values.get_mut(&name) {
            Some(before) if settings.strategy.is_escaping => {
                before.push(';');
                before.push_str(&value);
            }
            _ if value.is_empty() => {
                // The same as no label.
                values.remove(&name);
            }
            _ => {
                values.insert(name, value);
            }
        }
    }
    let mut labels = LabelsBuilder::new();
    for (name, value) in &values {
        labels.set(name, value);
    }
    Ok(labels)
}

impl OtlpSettings {
    pub(super) fn label(&self, name: &str) -> Result<String, String> {
        names::label(name, self.strategy, self.label_names)
    }

    fn is_promoted(&self, name: &str) -> bool {
        if self.promotes_all {
            !self.unpromoted.iter().any(|other| other == name)
        } else {
            self.promoted.iter().any(|other| other == name)
        }
    }
}

/// The value of an attribute as the text of a label.
pub(super) fn text(attribute: &KeyValue) -> String {
    match &attribute.value {
        None => String::new(),
        Some(value) => match json(value) {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        },
    }
}

/// As JSON; numbers that JSON cannot say, and bytes, as text. The decoder bounds the depth.
fn json(value: &AnyValue) -> Value {
    if let Some(text) = &value.string_value {
        return Value::String(text.clone());
    }
    if let Some(truth) = value.bool_value {
        return Value::Bool(truth);
    }
    if let Some(number) = value.int_value {
        return Value::from(number);
    }
    if let Some(number) = value.double_value {
        // 1 and not 1.0, as the peer prints it.
        return Value::String(json_float(number));
    }
    if let Some(list) = &value.array_value {
        return list.values.iter().map(json).collect();
    }
    if let Some(map) = &value.kvlist_value {
        let null = AnyValue::default();
        let entries: BTreeMap<&str, Value> = map
            .values
            .iter()
            .map(|entry| (entry.key.as_str(), json(entry.value.as_ref().unwrap_or(&null))))
            .collect();
        return serde_json::json!(entries);
    }
    match &value.bytes_value {
        Some(bytes) => Value::String(base64(bytes)),
        None => Value::Null,
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let all = group.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_text() {
        let text_of = |value: AnyValue| text(&KeyValue { key: "k".to_owned(), value: Some(value) });
        let any = AnyValue::default;
        assert_eq!(text_of(AnyValue { bool_value: Some(true), ..any() }), "true");
        assert_eq!(text_of(AnyValue { int_value: Some(-7), ..any() }), "-7");
        assert_eq!(text_of(AnyValue { double_value: Some(1.0), ..any() }), "1");
        let list = cairn_wire::otlp_metrics::ArrayValue {
            values: vec![
                AnyValue { string_value: Some("a".to_owned()), ..any() },
                AnyValue { int_value: Some(1), ..any() },
            ],
        };
        assert_eq!(text_of(AnyValue { array_value: Some(list), ..any() }), "[\"a\",1]");
        for (bytes, want) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xff\xfe\xfd\xfc", "//79/A=="),
        ] {
            assert_eq!(text_of(AnyValue { bytes_value: Some(bytes.to_vec()), ..any() }), want);
        }
    }
}
