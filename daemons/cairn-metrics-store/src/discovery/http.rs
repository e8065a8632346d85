//! A list of targets behind a URL (`http_sd_configs`).

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ACCEPT, CONTENT_TYPE};
use ::http::{HeaderValue, Request, StatusCode};
use bytes::Bytes;
use cairn_http::client::config::ClientConfig;
use cairn_http::client::{CallOptions, Client};
use cairn_model::gotext::quote;

use crate::config::file::StaticConfig;
use crate::config::resolve::check_group;
use crate::metrics::Metrics;
use crate::version;

/// Largest list: a hundred thousand targets with their labels.
const MAX_BODY: usize = 64 << 20;
const MAX_REDIRECTS: usize = 10;

/// Where a list is.
#[derive(Clone, Debug)]
pub struct HttpSd {
    /// The URL.
    pub url: String,
    /// How it is asked.
    pub client: ClientConfig,
    /// Time between two askings, and the longest that one may take.
    pub refresh: Duration,
}

pub(super) struct HttpProvider {
    config: HttpSd,
    client: Client,
    metrics: Arc<Metrics>,
}

impl HttpProvider {
    pub(super) fn new(config: HttpSd, metrics: Arc<Metrics>) -> Self {
        Self { client: Client::with_config(version::USER_AGENT, config.client.clone()), config, metrics }
    }

    pub(super) fn interval(&self) -> Duration {
        self.config.refresh
    }

    /// The list as it is now.
    ///
    /// # Errors
    /// No answer, or none that is a list.
    pub(super) async fn refresh(&self) -> Result<Vec<StaticConfig>, String> {
        let list = self.ask().await;
        if list.is_err() {
            self.metrics.discovery.http_failures.inc();
        }
        list
    }

    async fn ask(&self) -> Result<Vec<StaticConfig>, String> {
        let url = &self.config.url;
        let interval = cairn_model::number::plain_float(self.config.refresh.as_secs_f64());
        let request = Request::get(url)
            .header(ACCEPT, "application/json")
            .header("X-Prometheus-Refresh-Interval-Seconds", interval)
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let max_redirects = if self.config.client.follows_redirects { MAX_REDIRECTS } else { 0 };
        let options = CallOptions { timeout: self.config.refresh, max_body: MAX_BODY, max_redirects };
        let response = self.client.send_with(request, &options).await.map_err(|error| with_cause(&error))?;
        if response.status() != StatusCode::OK {
            let (status, reason) = (response.status(), response.status().canonical_reason().unwrap_or(""));
            return Err(format!("{url}: server returned HTTP status {} {reason}", status.as_u16()));
        }
        let kind = response.headers().get(CONTENT_TYPE).map_or(Ok(""), HeaderValue::to_str).unwrap_or("");
        if !kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json") {
            return Err(format!("{url}: unsupported content type {}", quote(kind)));
        }
        let mut groups: Vec<StaticConfig> =
            serde_json::from_slice(response.body()).map_err(|error| format!("{url}: {error}"))?;
        for (index, group) in groups.iter_mut().enumerate() {
            check_group(group, &format!("{url}: [{index}]")).map_err(|error| error.to_string())?;
            group.labels.insert("__meta_url".to_owned(), url.clone());
        }
        Ok(groups)
    }
}

/// A message with what is at the bottom of it.
pub(super) fn with_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let (own, cause) = (error.to_string(), cause.to_string());
    if own == cause { own } else { format!("{own}: {cause}") }
}
