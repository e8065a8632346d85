//! From an accepted TCP connection to the byte stream that HTTP is spoken on.
//!
//! Today that is the connection itself. TLS goes here and nowhere else: with a certificate configured, this function
//! runs rustls's handshake (under `header_time`) and returns its stream; `serve` only asks for `AsyncRead + AsyncWrite`.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Prepares one accepted connection.
#[expect(clippy::unused_async, reason = "a TLS handshake will wait here")]
pub(crate) async fn accept(
    stream: TcpStream,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    // Answers are written whole; waiting to fill a segment only delays them.
    stream.set_nodelay(true)?;
    Ok(stream)
}
