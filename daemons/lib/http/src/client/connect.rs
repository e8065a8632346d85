//! Connections: direct, or through a proxy. TLS, where there is any, lies on top.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use super::proxy::{ProxyRules, ProxyUrl};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A machine that does not answer at all is given up before the call's own deadline.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Opens connections by the rules for proxies.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector,
    rules: Arc<ProxyRules>,
}

impl Connector {
    pub(super) fn new(rules: Arc<ProxyRules>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIME));
        tcp.set_nodelay(true);
        // Checked by the client itself, with a better message.
        tcp.enforce_http(false);
        Self { tcp, rules }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        let Some(proxy) = self.rules.for_uri(&uri).cloned() else {
            let opening = tcp.call(uri);
            return Box::pin(async move { Ok(Stream { tcp: opening.await?, asks_whole_url: false }) });
        };
        let is_https = uri.scheme_str() == Some("https");
        let headers = self.rules.connect_headers.clone();
        Box::pin(async move {
            let opened = if proxy.is_socks {
                through_socks(tcp, &proxy, uri).await
            } else if is_https {
                let mut tunnel = Tunnel::new(proxy.uri.clone(), tcp).with_headers(headers);
                if let Some(auth) = proxy.auth() {
                    tunnel = tunnel.with_auth(auth);
                }
                tunnel.call(uri).await.map_err(BoxError::from)
            } else {
                tcp.call(proxy.uri.clone()).await.map_err(BoxError::from)
            };
            // The innermost cause is what people are shown, and it does not tell who refused.
            let tcp = opened.map_err(|error| format!("proxy {}: {}", proxy.uri, innermost(&*error)))?;
            Ok(Stream { tcp, asks_whole_url: !is_https && !proxy.is_socks })
        })
    }
}

async fn through_socks(
    tcp: HttpConnector,
    proxy: &ProxyUrl,
    uri: Uri,
) -> Result<TokioIo<TcpStream>, BoxError> {
    let mut socks = SocksV5::new(proxy.uri.clone(), tcp);
    if proxy.auth().is_some() {
        socks = socks.with_auth(proxy.username.clone(), proxy.password.expose().to_owned());
    }
    // The port is what the scheme says where the URL names none.
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let asked: Uri = format!("http://{}:{port}", uri.host().unwrap_or_default()).parse()?;
    Ok(socks.call(asked).await?)
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A connection to the server, or to a proxy that passes on.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TokioIo<TcpStream>,
    /// The proxy learns from the request's first line whom to ask.
    asks_whole_url: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.tcp.connected().proxy(self.asks_whole_url)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }
}
