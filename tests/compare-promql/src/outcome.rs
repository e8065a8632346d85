//! What a store answers, read back from its JSON.

use anyhow::{Context, Result, bail};
use cairn_bench_metrics::http::Answer;
use serde_json::Value as Json;

/// A value as it stands in the answer, and as a number.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// Its text.
    pub(crate) text: String,
    /// What it reads as.
    pub(crate) number: f64,
}

/// One series: labels and values with their times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Labels as JSON, sorted by name.
    pub(crate) labels: String,
    /// Values in the order of the answer.
    pub(crate) points: Vec<(i64, Value)>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A refusal.
    Error {
        /// HTTP's status.
        status: u16,
        /// `errorType`.
        kind: String,
        /// `error`.
        message: String,
    },
    /// `vector` or `matrix`, in the order of the answer.
    Series {
        /// `resultType`.
        kind: String,
        /// The series.
        rows: Vec<Row>,
    },
    /// `scalar` or `string`, with its time as it stands there.
    Single {
        /// `resultType`.
        kind: String,
        /// Time.
        time: String,
        /// Value.
        text: String,
    },
}

impl Outcome {
    /// Reads an answer.
    ///
    /// # Errors
    /// It is none of Prometheus's API.
    pub(crate) fn read(answer: &Answer) -> Result<Self> {
        let body = &answer.body;
        let json: Json = serde_json::from_str(body)
            .with_context(|| format!("answer {} is no JSON: {}", answer.status, shortened(body, 200)))?;
        if json["status"] == "error" {
            let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
            return Ok(Self::Error {
                status: answer.status,
                kind: text("errorType"),
                message: text("error"),
            });
        }
        if answer.status != 200 || json["status"] != "success" {
            bail!("answer {} is neither error nor success: {}", answer.status, shortened(body, 200));
        }
        let data = &json["data"];
        let kind = data["resultType"].as_str().context("no resultType in the answer")?.to_owned();
        let result = data["result"].as_array().context("no result in the answer")?;
        if kind == "scalar" || kind == "string" {
            let [time, text] = &result[..] else { bail!("{kind} is no pair: {}", shortened(body, 200)) };
            let text = text.as_str().context("value is no string")?.to_owned();
            return Ok(Self::Single { kind, time: time.to_string(), text });
        }
        let rows = result.iter().map(row).collect::<Result<_>>()?;
        Ok(Self::Series { kind, rows })
    }

    /// The answer in a line.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::Error { status, kind, message } => format!("{status} {kind}: {}", shortened(message, 300)),
            Self::Single { kind, time, text } => format!("{kind} {text} @ {time}"),
            Self::Series { kind, rows } => {
                let shown = rows.iter().take(4).map(Row::short).collect::<Vec<_>>().join("; ");
                let more = if rows.len() > 4 { "; ..." } else { "" };
                format!("{kind} of {}: {shown}{more}", rows.len())
            }
        }
    }
}

impl Row {
    fn short(&self) -> String {
        let point = |point: &(i64, Value)| format!("{}@{}", point.1.text, point.0);
        let shown = self.points.iter().take(3).map(point).collect::<Vec<_>>().join(" ");
        let more = self.points.len().saturating_sub(3);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{} {shown}{more}", self.labels)
    }
}

fn row(json: &Json) -> Result<Row> {
    let labels = json["metric"].as_object().context("series without labels")?;
    let sorted: std::collections::BTreeMap<_, _> = labels.iter().collect();
    let points = match (json.get("value"), json.get("values")) {
        (Some(one), None) => vec![point(one)?],
        (None, Some(many)) => {
            many.as_array().context("values are no list")?.iter().map(point).collect::<Result<_>>()?
        }
        _ => bail!("series has neither value nor values: {}", shortened(&json.to_string(), 200)),
    };
    Ok(Row { labels: serde_json::to_string(&sorted)?, points })
}

fn point(json: &Json) -> Result<(i64, Value)> {
    let time = json[0].as_f64().context("time is no number")?;
    let text = json[1].as_str().context("value is no string")?.to_owned();
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of our time")]
    let time = (time * 1000.0).round() as i64;
    let number = text.parse().with_context(|| format!("value {text} is no number"))?;
    Ok((time, Value { text, number }))
}

/// A text of at most about `max` bytes.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Outcome> {
        Outcome::read(&Answer { status, body: body.to_owned() })
    }

    #[test]
    fn answers_are_read_and_anything_else_is_an_error() {
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"b":"1","a":"x"},"value":[1.5,"+Inf"]}]}}"#;
        let outcome = read(200, vector).unwrap();
        assert_eq!(outcome.short(), r#"vector of 1: {"a":"x","b":"1"} +Inf@1500"#);
        let refusal = read(400, r#"{"status":"error","errorType":"bad_data","error":"no"}"#).unwrap();
        assert_eq!(refusal.short(), "400 bad_data: no");
        for body in ["", "{}", r#"{"status":"success","data":{"resultType":"scalar","result":[1]}}"#] {
            assert!(read(200, body).is_err(), "{body}");
        }
    }
}
