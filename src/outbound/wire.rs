//! A connection to an endpoint, and what was seen on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What was seen on a connection: is it one that the endpoint closed while it was idle?
#[derive(Debug)]
pub(super) struct Trace {
    /// A request was written after an answer was read.
    reused: AtomicBool,
    /// Something was read after the last write.
    answered: AtomicBool,
    open: Arc<AtomicUsize>,
}

impl Trace {
    /// Of a connection that is open from now on.
    pub(super) fn begin(open: Arc<AtomicUsize>) -> Arc<Self> {
        open.fetch_add(1, Relaxed);
        Arc::new(Self {
            reused: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            open,
        })
    }

    /// Whether a request that failed on this connection failed before any byte of an answer, on a kept connection.
    pub(super) fn is_stale(&self) -> bool {
        self.reused.load(Relaxed) && !self.answered.load(Relaxed)
    }

    fn wrote(&self) {
        if self.answered.swap(false, Relaxed) {
            self.reused.store(true, Relaxed);
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
    }
}

/// A connection.
pub(super) struct Wire {
    pub(super) io: Io,
    pub(super) trace: Arc<Trace>,
    pub(super) http2: bool,
}

pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Of a simulated network.
    #[cfg(test)]
    Simulated(tokio::io::DuplexStream),
}

/// Calls a method of whichever it is.
macro_rules! io {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match &mut $self.get_mut().io {
            Io::Plain(io) => Pin::new(io).$method($($argument),*),
            Io::Tls(io) => Pin::new(&mut **io).$method($($argument),*),
            #[cfg(test)]
            Io::Simulated(io) => Pin::new(io).$method($($argument),*),
        }
    };
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(Arc::clone(&self.trace));
        if self.http2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = match &mut this.io {
            Io::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Io::Tls(io) => Pin::new(&mut **io).poll_read(cx, buffer),
            #[cfg(test)]
            Io::Simulated(io) => Pin::new(io).poll_read(cx, buffer),
        };
        if buffer.filled().len() > before {
            this.trace.answered.store(true, Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.trace.wrote();
        io!(self.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io!(self.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
            #[cfg(test)]
            Io::Simulated(io) => io.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.trace.wrote();
        io!(self.poll_write_vectored(cx, slices))
    }
}
