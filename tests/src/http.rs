//! Asking a daemon something.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// No answer of these tests takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Largest answer read, in bytes.
const ANSWER_LIMIT: u64 = 256 << 20;

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The `Content-Type` header, or the empty string.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none; the message holds the status and the body.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("read as JSON: {} {}", self.status, self.text()))
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .build()
        .into()
}

fn read(response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let content_type =
        response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = response
        .into_body()
        .into_with_config()
        .limit(ANSWER_LIMIT)
        .read_to_vec()
        .context("read the answer")?;
    Ok(Answer { status, content_type, body })
}

/// GET.
///
/// # Errors
/// When no answer came.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    read(agent().get(format!("http://{address}{path}")).call().with_context(|| format!("GET {path}"))?)
}

/// GET with parameters, which are encoded here.
///
/// # Errors
/// When no answer came.
pub fn get_with(address: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> Result<Answer> {
    let request = agent().get(format!("http://{address}{path}")).query_pairs(parameters.iter().copied());
    read(request.call().with_context(|| format!("GET {path} {parameters:?}"))?)
}

/// [`get_with`] and `admin:admin` as credentials, which a daemon without authentication has to ignore.
///
/// # Errors
/// When no answer came.
pub fn get_as_admin(address: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> Result<Answer> {
    let request = agent().get(format!("http://{address}{path}")).query_pairs(parameters.iter().copied());
    read(
        request
            .header("Authorization", "Basic YWRtaW46YWRtaW4=")
            .call()
            .with_context(|| format!("GET {path}"))?,
    )
}

/// POST of a body.
///
/// # Errors
/// When no answer came.
pub fn post(address: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
    let request = agent().post(format!("http://{address}{path}")).header("Content-Type", content_type);
    read(request.send(body).with_context(|| format!("POST {path}"))?)
}

/// A connection that is kept: for loads, where a connection for each request would measure the kernel.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    /// A client of one address.
    pub fn new(address: SocketAddr) -> Self {
        Self { agent: agent(), base: format!("http://{address}") }
    }

    /// POST of a body.
    ///
    /// # Errors
    /// When no answer came.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Content-Type", content_type);
        read(request.send(body).with_context(|| format!("POST {path}"))?)
    }
}
