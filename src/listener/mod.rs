//! Bind, TLS, limits, accept, drain: what the inbound and the admin listener both stand on. HTTP/1.1 and HTTP/2 on one
//! port, over TCP or a unix socket.
//!
//! A listener lives in three steps: [`Bound`] (has its address, takes no connection), [`Serving`] (accepts), [`Retired`]
//! (accepts no more, its open connections go on).

mod bind;
mod body;
mod connection;
mod serve;
#[cfg(test)]
mod tests;
mod tls;
mod wind_down;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

pub use bind::{BindError, Bound};
pub use body::{Body, BoxError};
pub use serve::{Retired, Serving};
pub use tls::{Tls, TlsError};

/// What answers the requests of a listener.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. A panic in here is a 500 to this client and nothing else. The future is dropped when the client
    /// goes away: what must be finished all the same belongs to a task of its own.
    fn handle(
        self: Arc<Self>,
        request: http::Request<hyper::body::Incoming>,
        peer: Peer,
    ) -> BoxFuture<'static, http::Response<Body>>;

    /// Whether a request of HTTP/1 is answered to its end, though the client has closed its side of the connection. Without
    /// this, the connection is looked at for its end beside each request: what answers for long wants that.
    fn finishes(&self) -> bool {
        false
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where it connected from.
    pub address: PeerAddress,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddress {
    /// Over TCP; an IPv4 address is never written as IPv6 (`::ffff:...`).
    Tcp(SocketAddr),
    /// Over our unix socket: a process of our own user.
    Unix,
}

impl Peer {
    /// Its IP address; none for a unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.address {
            PeerAddress::Tcp(address) => Some(address.ip()),
            PeerAddress::Unix => None,
        }
    }
}

/// What a listener bears. A change counts for the connections that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. Above it nothing is accepted: up to 1,024 more wait in the kernel's backlog, which a client sees as
    /// a slow connect, where a closed connection would be a lost webhook. Connections that a rebind left behind on the old
    /// listener do not count.
    pub max_connections: usize,
    /// From the connection (or the first byte of a later request) to the end of the request's headers.
    pub header_timeout: Duration,
    /// How long a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Bytes of a request's headers, at least 8,192; also the read buffer of a connection. HTTP/1.1: 431 above it. The number
    /// of headers is at most 100.
    pub max_header_bytes: usize,
    /// Requests at once on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            handshake_timeout: Duration::from_secs(10),
            max_header_bytes: 64 * 1024,
            max_concurrent_streams: 100,
        }
    }
}
