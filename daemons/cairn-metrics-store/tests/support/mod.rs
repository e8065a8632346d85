//! A store inside of the test process, targets that it scrapes, and a client.

#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_http::client::{Client, ClientError};
use cairn_http::{Body, Handler, Listener, ServeOptions, serve_handler};
use cairn_metrics_store::cli::Args;
use cairn_metrics_store::daemon;
use cairn_runtime::{Failure, Lifecycle};
use clap::Parser;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method, Request, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest wait for anything in these tests; a busy machine needs a fraction of it.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running store.
pub struct Store {
    pub address: SocketAddr,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<Result<(), Failure>>>,
    client: Client,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// As text; what is no UTF-8 is only in `bytes`.
    pub body: String,
    pub bytes: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Store {
    /// Starts on a data folder with a `prometheus.yml` of this text, and waits until it is ready.
    pub async fn start(dir: &Path, yaml: &str) -> Self {
        Self::start_with(dir, yaml, &[]).await
    }

    pub async fn start_with(dir: &Path, yaml: &str, flags: &[&str]) -> Self {
        let file = dir.join("prometheus.yml");
        std::fs::write(&file, yaml).unwrap();
        let (file, data) = (file.display().to_string(), dir.join("data").display().to_string());
        let mut words =
            vec!["store", "--config.file", &file, "--storage.tsdb.path", &data, "--listen", "127.0.0.1:0"];
        words.extend(flags);
        let args = Args::try_parse_from(words).unwrap();
        let config = daemon::load(&args).unwrap();
        let lifecycle = Lifecycle::detached();
        let stop = lifecycle.stop.clone();
        let (sender, address) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(daemon::run_telling(lifecycle, args, config, |address| {
            sender.send(address).unwrap();
        }));
        let address = match address.await {
            Ok(address) => address,
            Err(_) => panic!("{:?}", task.await),
        };
        let store = Self { address, stop, task: Some(task), client: Client::new("test") };
        store.until("ready", async || (store.get("/-/ready").await.status == 200).then_some(())).await;
        store
    }

    /// Stops in order.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, form: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send(Method::POST, path, &headers, form).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// As `send`, for requests that the store may cut off.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::copy_from_slice(body.as_ref())).unwrap();
        let response = self.client.send(request, DEADLINE, 64 << 20).await?;
        let (parts, body) = response.into_parts();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            bytes: body,
        })
    }

    /// `data.result` of an instant query.
    pub async fn query(&self, query: &str) -> Vec<Value> {
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        let answer = self.post("/api/v1/query", &form).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.json()["data"]["result"].as_array().unwrap().clone()
    }

    /// The value of the only series of an instant query, or `None` when there is none.
    pub async fn value(&self, query: &str) -> Option<f64> {
        let result = self.query(query).await;
        assert!(result.len() <= 1, "{query}: {result:?}");
        result.first().map(|one| one["value"][1].as_str().unwrap().parse().unwrap())
    }

    /// Stored samples of the only series of a selector over the last hour, as texts.
    pub async fn samples(&self, selector: &str) -> Vec<(f64, String)> {
        let result = self.query(&format!("{selector}[1h]")).await;
        assert!(result.len() <= 1, "{selector}: {result:?}");
        let values = result.first().map(|one| one["values"].as_array().unwrap().clone()).unwrap_or_default();
        values.iter().map(|pair| (pair[0].as_f64().unwrap(), pair[1].as_str().unwrap().to_owned())).collect()
    }

    /// Asks again until there is an answer.
    pub async fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(start.elapsed() < DEADLINE, "waited too long for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until an instant query gives this value.
    pub async fn until_value(&self, query: &str, want: f64) {
        self.until(&format!("{query} == {want}"), async || {
            (self.value(query).await == Some(want)).then_some(())
        })
        .await;
    }
}

/// What a target answers.
#[derive(Clone, Debug)]
pub struct Page {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// The answer never comes.
    pub hangs: bool,
}

impl Page {
    pub fn text(body: impl Into<String>) -> Self {
        Self::bytes(body.into().into_bytes())
    }

    /// As text, of bytes that are something else.
    pub fn bytes(body: Vec<u8>) -> Self {
        Self { status: 200, content_type: "text/plain; version=0.0.4", body, hangs: false }
    }
}

/// A target whose page the test sets.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    page: Arc<Mutex<Page>>,
    requests: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    at_once: Arc<Mutex<AtOnce>>,
    _stop: Arc<DropGuard>,
}

/// Requests that are being answered.
#[derive(Default)]
struct AtOnce {
    now: usize,
    most: usize,
}

/// One of them. A client that gives up ends it, too.
struct Answering(Arc<Mutex<AtOnce>>);

impl Answering {
    fn begin(all: &Arc<Mutex<AtOnce>>) -> Self {
        let mut at_once = all.lock().unwrap();
        at_once.now += 1;
        at_once.most = at_once.most.max(at_once.now);
        drop(at_once);
        Self(Arc::clone(all))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.lock().unwrap().now -= 1;
    }
}

#[derive(Clone)]
struct Server {
    page: Arc<Mutex<Page>>,
    requests: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    at_once: Arc<Mutex<AtOnce>>,
}

impl Handler for Server {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let _answering = Answering::begin(&self.at_once);
        self.requests.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
        let page = self.page.lock().unwrap().clone();
        if page.hangs {
            std::future::pending::<()>().await;
        }
        let mut response = Response::builder().status(page.status);
        if !page.content_type.is_empty() {
            response = response.header(CONTENT_TYPE, page.content_type);
        }
        response.body(Body::from(page.body)).unwrap()
    }
}

impl Target {
    pub async fn serve(page: Page) -> Self {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr();
        let server =
            Server { page: Arc::new(Mutex::new(page)), requests: Arc::default(), at_once: Arc::default() };
        let stop = CancellationToken::new();
        let target = Self {
            address,
            page: Arc::clone(&server.page),
            requests: Arc::clone(&server.requests),
            at_once: Arc::clone(&server.at_once),
            _stop: Arc::new(stop.clone().drop_guard()),
        };
        tokio::spawn(serve_handler(listener, server, ServeOptions::default(), stop));
        target
    }

    pub fn set(&self, page: Page) {
        *self.page.lock().unwrap() = page;
    }

    /// Most requests that were being answered at the same time.
    pub fn most_at_once(&self) -> usize {
        self.at_once.lock().unwrap().most
    }

    /// Path and headers of every request so far.
    pub fn requests(&self) -> Vec<(String, HeaderMap)> {
        self.requests.lock().unwrap().clone()
    }
}

/// A `prometheus.yml` with one job for one target; `keys` are further lines of the job.
pub fn one_job(target: &Target, keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "global:\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\nscrape_configs:\n  - job_name: app\n{keys}    static_configs:\n      - targets: ['{}']\n",
        target.address
    )
}

/// A target over TLS that is named `inside.example` and always answers the same page.
pub struct TlsTarget {
    pub address: SocketAddr,
    /// Who signed its certificate, as PEM.
    pub authority: String,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::AbortHandle,
}

impl Drop for TlsTarget {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsTarget {
    pub async fn serve(body: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["inside.example".to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &authority).unwrap().der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let log = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log, answer) = (acceptor.clone(), Arc::clone(&log), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    log.lock().unwrap().push(String::from_utf8(head).unwrap());
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, authority: authority.pem(), heads, task: task.abort_handle() }
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}
