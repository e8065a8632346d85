//! Asking a store.

use std::time::Duration;

use anyhow::{Context, Result, bail};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// A client of one store; each has connections of its own.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
}

/// Longest answer: a count over everything after a restart.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Longest answer in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// Headers of remote write 1.0.
const WRITE_HEADERS: [(&str, &str); 3] = [
    ("Content-Type", "application/x-protobuf"),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "0.1.0"),
];

impl Client {
    /// A client of the store at `base`, such as `http://127.0.0.1:9090`.
    pub fn new(base: String) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .proxy(None)
            .build();
        Self { agent: config.into(), base }
    }

    /// A client of the same store with a connection of its own.
    pub fn another(&self) -> Self {
        Self::new(self.base.clone())
    }

    /// GET.
    ///
    /// # Errors
    /// No answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        read(self.agent.get(format!("{}{path}", self.base)).call()?)
    }

    /// POST.
    ///
    /// # Errors
    /// No answer.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body.as_ref())?)
    }

    /// Sends a compressed write request.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn write(&self, body: &[u8]) -> Result<()> {
        let answer = self.post("/api/v1/write", body, &WRITE_HEADERS)?;
        if answer.status / 100 != 2 {
            bail!("write refused with {}: {}", answer.status, answer.body);
        }
        Ok(())
    }

    /// The one number that a query answers at a time in milliseconds; 0 for an empty answer.
    ///
    /// # Errors
    /// The query fails.
    pub fn number(&self, query: &str, time_ms: i64) -> Result<f64> {
        let (seconds, rest) = (time_ms.div_euclid(1000), time_ms.rem_euclid(1000));
        let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?nocache=1&query={query}&time={seconds}.{rest:03}"))?;
        if answer.status != 200 {
            bail!("query refused with {}: {}", answer.status, answer.body);
        }
        let json: serde_json::Value = serde_json::from_str(&answer.body)?;
        let Some(value) = json["data"]["result"].get(0) else { return Ok(0.0) };
        value["value"][1].as_str().context("no number in the answer")?.parse().context("number")
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string()?;
    Ok(Answer { status, body })
}
