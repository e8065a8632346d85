//! Tokens by OAuth 2.0's client credentials (RFC 6749, section 4.4): asked for once, used until shortly before they end.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::auth::basic;
use super::config::{ClientConfig, TlsConfig};
use super::proxy::ProxyConfig;
use super::secret::SecretSource;
use super::{Client, ClientError};

/// A token is renewed so long before its end.
const RENEWED_BEFORE: Duration = Duration::from_secs(10);
/// Longest wait for a token; the call that needs it has a deadline of its own.
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ANSWER: usize = 1 << 20;

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth2Config {
    /// Who asks.
    pub client_id: String,
    /// And with what.
    pub client_secret: SecretSource,
    /// Where.
    pub token_url: String,
    /// What for.
    pub scopes: Vec<String>,
    /// Further parameters.
    pub endpoint_params: Vec<(String, String)>,
    /// TLS towards the token's server.
    pub tls: TlsConfig,
    /// Through whom it is asked.
    pub proxy: ProxyConfig,
}

type Asked = Result<Response<Bytes>, ClientError>;

#[derive(Debug)]
pub(super) struct TokenSource {
    config: OAuth2Config,
    client: Client,
    /// Held while one is asked for: all who need it wait for the same answer.
    token: Mutex<Option<Token>>,
}

#[derive(Clone, Debug)]
struct Token {
    header: String,
    secret: String,
    ends: Option<Instant>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl TokenSource {
    pub(super) fn new(config: OAuth2Config, user_agent: &str) -> Self {
        let asking =
            ClientConfig { tls: config.tls.clone(), proxy: config.proxy.clone(), ..ClientConfig::default() };
        Self { client: Client::with_config(user_agent, asking), config, token: Mutex::default() }
    }

    /// `Bearer ...`, with a token that still holds for a while.
    pub(super) async fn header(&self) -> Result<String, String> {
        let secret = self.config.client_secret.read().await?.expose().to_owned();
        let mut token = self.token.lock().await;
        if let Some(token) = &*token
            && token.secret == secret
            && token.ends.is_none_or(|ends| Instant::now() + RENEWED_BEFORE < ends)
        {
            return Ok(token.header.clone());
        }
        let fresh = self.ask(secret).await.map_err(|error| format!("oauth2: {error}"))?;
        let header = fresh.header.clone();
        *token = Some(fresh);
        Ok(header)
    }

    /// Boxed: a client may have a token source, which has a client.
    fn send(&self, request: Request<Bytes>) -> Pin<Box<dyn Future<Output = Asked> + Send + '_>> {
        Box::pin(self.client.send(request, TIMEOUT, MAX_ANSWER))
    }

    fn form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.config.scopes.is_empty() {
            form.append_pair("scope", &self.config.scopes.join(" "));
        }
        for (name, value) in &self.config.endpoint_params {
            form.append_pair(name, value);
        }
        form.finish()
    }

    async fn ask(&self, secret: String) -> Result<Token, String> {
        let quoted = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let request = Request::post(&self.config.token_url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, basic(&quoted(&self.config.client_id), &quoted(&secret)))
            .body(Bytes::from(self.form()))
            .map_err(|error| format!("token_url: {error}"))?;
        let response = self.send(request).await.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("{} answered {}", self.config.token_url, response.status()));
        }
        let answer: Answer = serde_json::from_slice(response.body())
            .map_err(|error| format!("{} gave no token: {error}", self.config.token_url))?;
        let kind = if answer.token_type.is_empty() || answer.token_type.eq_ignore_ascii_case("bearer") {
            "Bearer"
        } else {
            &answer.token_type
        };
        let lasts = answer.expires_in.filter(|seconds| *seconds > 0.0);
        let lasts = lasts.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let ends = lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        Ok(Token { header: format!("{kind} {}", answer.access_token), secret, ends })
    }
}
