//! A client for plain HTTP: pooled connections, one deadline for the whole exchange, a cap on what comes back.

mod decode;
mod redirect;

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Idle connections kept per host.
const IDLE_PER_HOST: usize = 8;
/// An idle connection is dropped before most servers drop it.
const IDLE_TIME: Duration = Duration::from_secs(25);
/// A machine that does not answer at all is given up before the call's own deadline.
const CONNECT_TIME: Duration = Duration::from_secs(10);

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
    /// More redirects than allowed.
    #[error("{url}: more than {limit} redirects")]
    Redirects {
        /// The first URL.
        url: String,
        /// How many are followed.
        limit: usize,
    },
}

/// The client. Cloning it is cheap and shares the pool.
#[derive(Clone, Debug)]
pub struct Client {
    inner: PooledClient<HttpConnector, Full<Bytes>>,
    user_agent: HeaderValue,
}

impl Client {
    /// A client that calls itself `user_agent` (`cairn-log-shipper/0.1.0`) where a request does not say otherwise.
    pub fn new(user_agent: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIME));
        connector.set_nodelay(true);
        // Checked by the client itself, with a better message.
        connector.enforce_http(false);
        let inner = PooledClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let user_agent = HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("cairn"));
        Self { inner, user_agent }
    }

    /// Sends one request to an absolute `http://` URL and reads the whole answer; any status is an answer.
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
        let url = request.uri().to_string();
        match tokio::time::timeout(options.timeout, self.follow(request, options)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::Timeout { url, after: options.timeout }),
        }
    }

    async fn follow(
        &self,
        mut request: Request<Bytes>,
        options: &CallOptions,
    ) -> Result<Response<Bytes>, ClientError> {
        let first_url = request.uri().to_string();
        let is_redirectable = matches!(*request.method(), Method::GET | Method::HEAD);
        for _ in 0..=options.max_redirects {
            let again = request.clone();
            let response = self.exchange(request, options.max_body).await?;
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
            if target.authority() != request.uri().authority() {
                // Credentials are for the host that they were meant for.
                request.headers_mut().remove(AUTHORIZATION);
            }
            *request.uri_mut() = target;
        }
        Err(ClientError::Redirects { url: first_url, limit: options.max_redirects })
    }

    async fn exchange(
        &self,
        mut request: Request<Bytes>,
        max_body: usize,
    ) -> Result<Response<Bytes>, ClientError> {
        let url = request.uri().to_string();
        check_url(request.uri()).map_err(|reason| ClientError::BadUrl { url: url.clone(), reason })?;
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        let wants_decoding = !headers.contains_key(ACCEPT_ENCODING);
        if wants_decoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let response = self.inner.request(request.map(Full::new)).await.map_err(|error| {
            let is_connect = error.is_connect();
            ClientError::Transport { url: url.clone(), is_connect, source: Box::new(error) }
        })?;
        let (mut parts, body) = response.into_parts();
        let status = parts.status;
        let body = match Limited::new(body, max_body).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(ClientError::TooLarge { url, status, limit: max_body });
            }
            Err(source) => return Err(ClientError::Transport { url, is_connect: false, source }),
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
                    decode::DecodeError::TooLarge => ClientError::TooLarge { url, status, limit: max_body },
                    decode::DecodeError::Bad(reason) => ClientError::Decode { url, status, reason },
                })?
            }
        };
        Ok(Response::from_parts(parts, body))
    }
}

fn check_url(url: &Uri) -> Result<(), &'static str> {
    match url.scheme_str() {
        Some("http") if url.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        Some("http") => Err("the URL has no host"),
        Some("https") => Err("https is not supported yet"),
        _ => Err("expected a URL that starts with http://"),
    }
}
