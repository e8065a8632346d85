//! The client for HTTP and HTTPS: pooled connections, one deadline for the whole exchange, a cap on what comes back.
//!
//! | file | holds |
//! |---|---|
//! | [`config`] | what holds for all requests of a client: credentials, TLS, proxy |
//! | [`keys`] | the keys of Prometheus's and Promtail's files for that |
//! | [`secret`] | credentials that are not shown, and read again when they are used |
//! | `auth.rs`, [`oauth2`] | the header `Authorization` |
//! | [`proxy`], `connect.rs` | which requests go through which proxy, and how |
//! | `tls.rs` | certificates, read again when their files change |
//! | `redirect.rs`, `decode.rs` | where a `Location` leads, gzip under a cap |

mod auth;
pub mod config;
mod connect;
mod decode;
pub mod keys;
pub mod oauth2;
pub mod proxy;
mod redirect;
pub mod secret;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, LOCATION, PROXY_AUTHORIZATION,
    USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Mutex;

use auth::Credentials;
use config::ClientConfig;
use connect::Connector;
use proxy::ProxyRules;
use tls::Stamps;

/// Idle connections kept per host.
const IDLE_PER_HOST: usize = 8;
/// How often certificates' files are looked at, at most.
const FILES_CHECKED: Duration = Duration::from_secs(1);

/// What one call allows.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// Deadline for everything: connecting, sending, redirects, reading the answer.
    pub timeout: Duration,
    /// Largest answer in bytes, before and after decompression.
    pub max_body: usize,
    /// Redirects that are followed, for GET and HEAD only.
    pub max_redirects: usize,
}

/// Why a call got no answer. Every message names the URL; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be asked.
    #[error("{url}: {reason}")]
    BadUrl {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No connection, or the connection broke.
    #[error("{url}: {}", if *.is_connect { "cannot connect" } else { "connection broke" })]
    Transport {
        /// The URL.
        url: String,
        /// Whether it failed before anything was sent, so that the server has seen nothing of the request.
        is_connect: bool,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The deadline passed.
    #[error("{url}: no answer within {after:?}")]
    Timeout {
        /// The URL.
        url: String,
        /// The deadline.
        after: Duration,
    },
    /// The answer is larger than the cap.
    #[error("{url}: the answer ({status}) is larger than {limit} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// Its status, which came before what was too much.
        status: StatusCode,
        /// The cap.
        limit: usize,
    },
    /// The answer's compression is broken or of an unknown kind.
    #[error("{url}: cannot decode the answer ({status}): {reason}")]
    Decode {
        /// The URL.
        url: String,
        /// Its status.
        status: StatusCode,
        /// What is wrong.
        reason: String,
    },
    /// The credentials, certificates or proxy of the client cannot be used; nothing was sent.
    #[error("{url}: {reason}")]
    Setup {
        /// The URL.
        url: String,
        /// What is wrong, naming the file where it is one.
        reason: String,
    },
    /// More redirects than allowed.
    #[error("{url}: more than {limit} redirects")]
    Redirects {
        /// The first URL.
        url: String,
        /// How many are followed.
        limit: usize,
    },
}

type Plain = PooledClient<Connector, Full<Bytes>>;
type Encrypted = PooledClient<HttpsConnector<Connector>, Full<Bytes>>;

/// The client. Cloning it is cheap and shares the pool.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    user_agent: HeaderValue,
    credentials: Credentials,
    /// An error here is every request's error: the environment names a proxy that cannot be one.
    rules: Result<Arc<ProxyRules>, String>,
    plain: Plain,
    /// Made when `https` is first asked for: whoever only speaks plain HTTP needs no certificates.
    encrypted: Mutex<Option<CurrentTls>>,
}

/// The pool under the certificates as they were when it was made.
#[derive(Debug)]
struct CurrentTls {
    pool: Encrypted,
    stamps: Stamps,
    checked: Instant,
}

impl Client {
    /// A client that calls itself `user_agent` (`cairn-log-shipper/0.1.0`) where a request does not say otherwise.
    pub fn new(user_agent: &str) -> Self {
        Self::with_config(user_agent, ClientConfig::default())
    }

    /// A client with credentials, certificates, a proxy. Nothing is read or connected yet: what is wrong with a file is
    /// the error of each request until the file is right.
    pub fn with_config(user_agent: &str, config: ClientConfig) -> Self {
        let rules = ProxyRules::new(&config.proxy, &|name| std::env::var(name).ok()).map(Arc::new);
        let connector = Connector::new(rules.clone().unwrap_or_default());
        let shared = Shared {
            plain: pool_builder(&config).build(connector),
            credentials: Credentials::new(&config.auth, user_agent),
            user_agent: HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("cairn")),
            encrypted: Mutex::default(),
            rules,
            config,
        };
        Self { shared: Arc::new(shared) }
    }

    /// What it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Sends one request to an absolute `http://` or `https://` URL and reads the whole answer; any status is an answer.
    ///
    /// gzip is asked for and decoded unless the request has an `Accept-Encoding` of its own. Redirects are not followed.
    ///
    /// # Errors
    /// [`ClientError`], naming the URL.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        max_body: usize,
    ) -> Result<Response<Bytes>, ClientError> {
        self.send_with(request, &CallOptions { timeout, max_body, max_redirects: 0 }).await
    }

    /// [`Client::send`] with all options.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_with(
        &self,
        request: Request<Bytes>,
        options: &CallOptions,
    ) -> Result<Response<Bytes>, ClientError> {
        let uri = request.uri().clone();
        match tokio::time::timeout(options.timeout, self.follow(request, options)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::Timeout { url: uri.to_string(), after: options.timeout }),
        }
    }

    async fn follow(
        &self,
        mut request: Request<Bytes>,
        options: &CallOptions,
    ) -> Result<Response<Bytes>, ClientError> {
        let first = request.uri().clone();
        let is_redirectable = matches!(*request.method(), Method::GET | Method::HEAD);
        for _ in 0..=options.max_redirects {
            let again = request.clone();
            let is_trusted = has_same_trust(&first, request.uri());
            let response = self.exchange(request, options.max_body, is_trusted).await?;
            let is_redirect = matches!(
                response.status(),
                StatusCode::MOVED_PERMANENTLY
                    | StatusCode::FOUND
                    | StatusCode::SEE_OTHER
                    | StatusCode::TEMPORARY_REDIRECT
                    | StatusCode::PERMANENT_REDIRECT
            );
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) =
                location.filter(|_| is_redirect && is_redirectable && options.max_redirects > 0)
            else {
                return Ok(response);
            };
            let target = redirect::resolve(again.uri(), location).ok_or_else(|| ClientError::BadUrl {
                url: location.to_owned(),
                reason: "cannot follow this redirect",
            })?;
            request = again;
            if !has_same_trust(&first, &target) {
                request.headers_mut().remove(AUTHORIZATION);
            }
            *request.uri_mut() = target;
        }
        Err(ClientError::Redirects { url: first.to_string(), limit: options.max_redirects })
    }

    async fn exchange(
        &self,
        mut request: Request<Bytes>,
        max_body: usize,
        is_trusted: bool,
    ) -> Result<Response<Bytes>, ClientError> {
        let uri = request.uri().clone();
        let url = || uri.to_string();
        check_url(&uri).map_err(|reason| ClientError::BadUrl { url: url(), reason })?;
        let setup = |reason: String| ClientError::Setup { url: url(), reason };
        let rules = self.shared.rules.as_ref().map_err(|reason| setup(reason.clone()))?;
        let is_https = request.uri().scheme_str() == Some("https");
        let proxy = rules.for_uri(request.uri()).filter(|proxy| !is_https && !proxy.is_socks);
        let proxy_auth = proxy.and_then(proxy::ProxyUrl::auth);
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert_with(|| self.shared.user_agent.clone());
        if is_trusted {
            self.add_own_headers(headers).await.map_err(setup)?;
        }
        if let Some(auth) = proxy_auth {
            headers.insert(PROXY_AUTHORIZATION, auth);
        }
        let wants_decoding = !headers.contains_key(ACCEPT_ENCODING);
        if wants_decoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let request = request.map(Full::new);
        let asked = if is_https {
            self.encrypted().await.map_err(setup)?.request(request).await
        } else {
            self.shared.plain.request(request).await
        };
        let response = asked.map_err(|error| {
            let is_connect = error.is_connect();
            ClientError::Transport { url: url(), is_connect, source: Box::new(error) }
        })?;
        let (mut parts, body) = response.into_parts();
        let status = parts.status;
        let body = match Limited::new(body, max_body).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(ClientError::TooLarge { url: url(), status, limit: max_body });
            }
            Err(source) => return Err(ClientError::Transport { url: url(), is_connect: false, source }),
        };
        let encoding =
            parts.headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").to_owned());
        let body = match encoding.filter(|_| wants_decoding && !body.is_empty()) {
            None => body,
            Some(encoding) => {
                let decoded = decode::decode(&encoding, body, max_body).await;
                parts.headers.remove(CONTENT_ENCODING);
                parts.headers.remove(CONTENT_LENGTH);
                decoded.map_err(|error| match error {
                    decode::DecodeError::TooLarge => {
                        ClientError::TooLarge { url: url(), status, limit: max_body }
                    }
                    decode::DecodeError::Bad(reason) => ClientError::Decode { url: url(), status, reason },
                })?
            }
        };
        Ok(Response::from_parts(parts, body))
    }

    /// Credentials and configured headers. What the request has itself stays.
    async fn add_own_headers(&self, headers: &mut HeaderMap) -> Result<(), String> {
        if !headers.contains_key(AUTHORIZATION)
            && let Some(value) = self.shared.credentials.header().await?
        {
            headers.insert(AUTHORIZATION, value);
        }
        for (name, source) in &self.shared.config.headers {
            let text = source.read().await?;
            let mut value = HeaderValue::from_str(text.expose())
                .map_err(|_| format!("header {name}: its value holds characters that no header may hold"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(())
    }

    /// The pool for `https`, made anew when a file of a certificate or key has changed.
    async fn encrypted(&self) -> Result<Encrypted, String> {
        let mut current = self.shared.encrypted.lock().await;
        if let Some(current) = &*current
            && current.checked.elapsed() < FILES_CHECKED
        {
            return Ok(current.pool.clone());
        }
        let shared = Arc::clone(&self.shared);
        let before = current.as_ref().map(|current| current.stamps.clone());
        let checked = tokio::task::spawn_blocking(move || {
            // Before the files are read: a change in between is seen the next time.
            let stamps = shared.config.tls.stamps();
            if before.as_ref() == Some(&stamps) {
                return Ok(None);
            }
            shared.config.tls.build().map(|tls| Some((stamps, tls)))
        });
        match (checked.await.map_err(|error| error.to_string())?, &mut *current) {
            (Ok(None), Some(current)) => {
                current.checked = Instant::now();
                Ok(current.pool.clone())
            }
            (Ok(Some((stamps, tls))), current) => {
                let pool = self.encrypted_pool(tls)?;
                *current = Some(CurrentTls { pool: pool.clone(), stamps, checked: Instant::now() });
                Ok(pool)
            }
            (Err(error), Some(current)) => {
                // Half-way through a rotation. What was good is, until the new files are.
                tracing::warn!(error, "changed TLS files not taken, the old ones stay in use");
                current.checked = Instant::now();
                Ok(current.pool.clone())
            }
            (Err(error), None) => Err(error),
            (Ok(None), None) => Err("no TLS configuration".to_owned()),
        }
    }

    fn encrypted_pool(&self, tls: rustls::ClientConfig) -> Result<Encrypted, String> {
        let config = &self.shared.config;
        let connector = Connector::new(self.shared.rules.clone()?);
        let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
        if let Some(name) = &config.tls.server_name {
            let name = rustls::pki_types::ServerName::try_from(name.clone())
                .map_err(|error| format!("tls_config.server_name: {error}"))?;
            builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        let connector = if config.has_http2 {
            builder.enable_all_versions().wrap_connector(connector)
        } else {
            builder.enable_http1().wrap_connector(connector)
        };
        Ok(pool_builder(config).build(connector))
    }
}

/// Whether `to` may see what is meant for the host of `first`: the same host, and not in the clear after `https`.
fn has_same_trust(first: &Uri, to: &Uri) -> bool {
    first.authority() == to.authority() && first.scheme() == to.scheme()
}

fn pool_builder(config: &ClientConfig) -> hyper_util::client::legacy::Builder {
    let mut builder = PooledClient::builder(TokioExecutor::new());
    builder
        .pool_idle_timeout(config.idle_time)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_timer(TokioTimer::new());
    builder
}

fn check_url(url: &Uri) -> Result<(), &'static str> {
    match url.scheme_str() {
        Some("http" | "https") if url.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        Some("http" | "https") => Err("the URL has no host"),
        _ => Err("expected a URL that starts with http:// or https://"),
    }
}
