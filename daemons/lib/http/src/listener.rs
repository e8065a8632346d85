//! A bound port.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that may wait to be accepted; the system caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 1024;

/// A port that is bound but not yet served.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    local: SocketAddr,
}

/// Why an address cannot be bound. The message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host's name has no address.
    #[error("listen on {addr}: cannot resolve the host")]
    Resolve {
        /// The address as configured.
        addr: String,
        /// The resolver's answer.
        #[source]
        source: io::Error,
    },
    /// Another process has the port.
    #[error("listen on {addr}: the port is in use; stop the other process or choose another port (--listen)")]
    InUse {
        /// The address as configured.
        addr: String,
    },
    /// The port is one of those that only root may bind.
    #[error(
        "listen on {addr}: not allowed; ports below 1024 need CAP_NET_BIND_SERVICE, choose another (--listen)"
    )]
    Denied {
        /// The address as configured.
        addr: String,
    },
    /// No interface of this machine has the address.
    #[error("listen on {addr}: no interface of this machine has this address")]
    NotLocal {
        /// The address as configured.
        addr: String,
    },
    /// Anything else.
    #[error("listen on {addr}")]
    Io {
        /// The address as configured.
        addr: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Listener {
    /// Binds `addr` (`host:port`; port 0 takes a free one). The first address of the host that can be bound is taken.
    ///
    /// # Errors
    /// [`BindError`], naming the address.
    pub async fn bind(addr: impl AsRef<str>) -> Result<Self, BindError> {
        let addr = addr.as_ref();
        let candidates = tokio::net::lookup_host(addr)
            .await
            .map_err(|source| BindError::Resolve { addr: addr.to_owned(), source })?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for candidate in candidates {
            match Self::bind_one(candidate) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        let addr = addr.to_owned();
        Err(match last.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { addr },
            io::ErrorKind::PermissionDenied => BindError::Denied { addr },
            io::ErrorKind::AddrNotAvailable => BindError::NotLocal { addr },
            _ => BindError::Io { addr, source: last },
        })
    }

    fn bind_one(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for the old connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let inner = socket.listen(BACKLOG)?;
        let local = inner.local_addr()?;
        Ok(Self { inner, local })
    }

    /// The address with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.inner.accept().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = Listener::bind("127.0.0.1:0").await.unwrap();
        let addr = first.local_addr().to_string();
        let error = Listener::bind(&addr).await.unwrap_err();
        assert!(matches!(&error, BindError::InUse { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("listen on {addr}: the port is in use")), "{error}");
    }

    #[tokio::test]
    async fn a_foreign_address_is_named() {
        let error = Listener::bind("192.0.2.1:0").await.unwrap_err();
        assert!(matches!(error, BindError::NotLocal { .. }), "{error}");
    }
}
