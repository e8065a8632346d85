//! `drop`: lines that are not wanted, by length or by a regular expression on the line.

use cairn_model::goregex;
use cairn_runtime::ByteSize;
use cairn_runtime::config::lenient_bytes;
use serde::Deserialize;
use serde_json::Value;

use super::stage::{LineStage, Stage};

/// Promtail's.
const DEFAULT_REASON: &str = "drop_stage";

/// Drops a line for which every given condition holds.
#[derive(Debug)]
struct Drop {
    longer_than: Option<usize>,
    expression: Option<regex::bytes::Regex>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default, deserialize_with = "bytes")]
    longer_than: Option<ByteSize>,
    expression: Option<String>,
    drop_counter_reason: Option<String>,
    /// Conditions on extracted values and on times are not there yet.
    source: Option<Value>,
    value: Option<Value>,
    separator: Option<Value>,
    older_than: Option<Value>,
}

fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<ByteSize>, D::Error> {
    lenient_bytes::deserialize(deserializer).map(Some)
}

pub(super) fn build(options: &Value) -> Result<Stage, String> {
    let options: Options = serde_json::from_value(options.clone()).map_err(|error| error.to_string())?;
    let later = [
        (&options.source, "source"),
        (&options.value, "value"),
        (&options.separator, "separator"),
        (&options.older_than, "older_than"),
    ];
    if let Some((_, name)) = later.iter().find(|(option, _)| option.is_some()) {
        return Err(format!("{name}: cairn-log-shipper does not have this condition yet"));
    }
    let expression = options.expression.map(|text| compile(&text)).transpose()?;
    let longer_than = options.longer_than.map(ByteSize::as_usize);
    if expression.is_none() && longer_than.is_none() {
        return Err("needs longer_than or expression".to_owned());
    }
    let reason = options.drop_counter_reason.unwrap_or_else(|| DEFAULT_REASON.to_owned());
    Ok(Stage::Line(Box::new(Drop { longer_than, expression, reason })))
}

fn compile(text: &str) -> Result<regex::bytes::Regex, String> {
    goregex::compile_search_bytes(text).map_err(|error| format!("expression: {error}"))
}

impl LineStage for Drop {
    fn keep(&self, line: &[u8]) -> Result<(), &str> {
        let is_long = self.longer_than.is_none_or(|limit| line.len() > limit);
        let drops = is_long && self.expression.as_ref().is_none_or(|expression| expression.is_match(line));
        if drops { Err(&self.reason) } else { Ok(()) }
    }
}
