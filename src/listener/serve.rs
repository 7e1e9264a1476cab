//! The accept loop, and who owns the connections it made.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use socket2::Socket;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::bind::{BACKLOG, Bound, SocketFile};
use super::wind_down::wind_down;
use super::{Handler, Limits, PeerAddress, Tls, connection};
use crate::document::settings::Listen;

/// How long a listener that cannot accept (no file descriptors, no memory) waits: from the first to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How long connections that were cut may take to notice.
const CUT: Duration = Duration::from_secs(1);

impl Bound {
    /// Listens and accepts, in a task that the [`Serving`] owns. Must be called within a runtime.
    ///
    /// It cannot fail: should the kernel refuse to listen on the bound address after all (another program listens there since),
    /// the task says so in the log and tries again every second.
    pub fn serve(self, handler: Arc<dyn Handler>, limits: Limits) -> Serving {
        let Self {
            socket,
            listen,
            file,
            tls,
        } = self;
        let shared = Arc::new(Shared {
            handler,
            limits: ArcSwap::from_pointee(limits),
            tls: ArcSwapOption::new(tls.map(Arc::new)),
            open: AtomicUsize::new(0),
            changed: Notify::new(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            ending: AtomicBool::new(false),
        });
        let stop = CancellationToken::new();
        // Here and not in the task: when this returns, the address answers.
        let opened = Acceptor::open(&socket, &listen);
        let task = accept(Arc::clone(&shared), opened, socket, listen.clone(), file, stop.clone());
        Serving {
            owner: Owner(shared),
            listen,
            stop,
            task: tokio::spawn(task),
        }
    }
}

/// A listener that accepts. Dropping it closes its socket and cuts its connections; [`Serving::retire`] and
/// [`Serving::drain`] are the gentle ends.
pub struct Serving {
    owner: Owner,
    listen: Listen,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    /// What it listens on, with the real port.
    #[must_use]
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// The TCP address it listens on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.listen {
            Listen::Tcp(address) => Some(address),
            Listen::Unix(_) => None,
        }
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.owner.0.open.load(Ordering::Acquire)
    }

    /// Another certificate, or TLS on or off, for the connections that follow.
    pub fn set_tls(&self, tls: impl Into<Option<Tls>>) {
        self.owner.0.tls.store(tls.into().map(Arc::new));
    }

    /// Other limits, for the connections that follow.
    pub fn set_limits(&self, limits: Limits) {
        self.owner.0.limits.store(Arc::new(limits));
        self.owner.0.changed.notify_one();
    }

    /// Closes the listening socket for a rebind, without refusing or resetting a connection: to be called when the new
    /// listener serves. Open connections go on, keep-alive included, in what is returned. Takes some milliseconds, at most
    /// two seconds or so.
    pub async fn retire(mut self) -> Retired {
        self.stop.cancel();
        let _ = (&mut self.task).await;
        Retired(self.owner)
    }

    /// Stops accepting, lets requests in flight finish within `timeout`, then cuts what is left. Returns how many
    /// connections were cut.
    pub async fn drain(mut self, timeout: Duration) -> usize {
        let shared = Arc::clone(&self.owner.0);
        shared.end(&shared.draining);
        self.stop.cancel();
        let finished = async {
            let _ = (&mut self.task).await;
            shared.finished().await;
        };
        if tokio::time::timeout(timeout, finished).await.is_ok() {
            return 0;
        }
        self.task.abort();
        shared.cut().await
    }
}

/// What a rebind left: connections of a listener that accepts no more. Dropping it cuts them.
pub struct Retired(Owner);

impl Retired {
    /// How many connections are still open; at 0 it may be dropped.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.0.open.load(Ordering::Acquire)
    }

    /// As [`Serving::drain`].
    pub async fn drain(self, timeout: Duration) -> usize {
        let shared = &self.0.0;
        shared.end(&shared.draining);
        if tokio::time::timeout(timeout, shared.finished()).await.is_ok() {
            return 0;
        }
        shared.cut().await
    }
}

/// Who answers for the connections: without it they end.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.end(&self.0.cut);
    }
}

/// What the accept loop and its connections share.
pub(super) struct Shared {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) limits: ArcSwap<Limits>,
    pub(super) tls: ArcSwapOption<Tls>,
    open: AtomicUsize,
    changed: Notify,
    /// Every connection, and every request of HTTP/2.
    pub(super) tasks: TaskTracker,
    /// Connections finish what they have and close.
    pub(super) draining: CancellationToken,
    /// Connections end now.
    pub(super) cut: CancellationToken,
    /// Set before either of the two: a look at them takes locks that all connections share.
    pub(super) ending: AtomicBool,
}

impl Shared {
    // Waits until one more connection may be open. Only the accept loop opens connections, so it stays true.
    async fn room(&self) {
        while self.open.load(Ordering::Acquire) >= self.limits.load().max_connections {
            self.changed.notified().await;
        }
    }

    fn take(self: &Arc<Self>, stream: Stream, peer: PeerAddress) {
        self.open.fetch_add(1, Ordering::AcqRel);
        let open = Open(Arc::clone(self));
        self.tasks.spawn(async move {
            connection::run(&open.0, stream, peer).await;
        });
    }

    fn end(&self, token: &CancellationToken) {
        self.ending.store(true, Ordering::Release);
        token.cancel();
    }

    async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn cut(&self) -> usize {
        let left = self.open.load(Ordering::Acquire);
        self.end(&self.cut);
        // A handler that blocks its thread is not waited for any longer.
        let _ = tokio::time::timeout(CUT, self.finished()).await;
        left
    }
}

/// One open connection.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// A connection as it was accepted.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A listening socket.
pub(super) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn open(socket: &Socket, listen: &Listen) -> io::Result<Self> {
        // A copy, so that a failure leaves the address bound.
        let socket = socket.try_clone()?;
        socket.listen(BACKLOG)?;
        // Only now: a runtime that has seen a socket before it listens takes it for one that hung up.
        match listen {
            Listen::Tcp(_) => TcpListener::from_std(socket.into()).map(Self::Tcp),
            Listen::Unix(_) => UnixListener::from_std(socket.into()).map(Self::Unix),
        }
    }

    async fn accept(&self) -> io::Result<(Stream, PeerAddress)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((Stream::Tcp(stream), PeerAddress::Tcp(from)))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), PeerAddress::Unix)),
        }
    }
}

async fn accept(
    shared: Arc<Shared>,
    mut opened: io::Result<Acceptor>,
    socket: Socket,
    listen: Listen,
    file: Option<SocketFile>,
    stop: CancellationToken,
) {
    // Also when the owner is dropped without a word.
    let mut ended = pin!(async {
        tokio::select! { () = stop.cancelled() => {} () = shared.cut.cancelled() => {} }
    });
    let acceptor = loop {
        match opened {
            Ok(acceptor) => break acceptor,
            Err(error) => error!(?listen, %error, "cannot listen; trying again in a second"),
        }
        tokio::select! {
            () = &mut ended => return,
            () = tokio::time::sleep(BACK_OFF.1) => opened = Acceptor::open(&socket, &listen),
        }
    };
    // The copy inside `acceptor` is the last one now: dropping it closes the socket.
    drop(socket);
    let mut pause = BACK_OFF.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut ended => break,
            accepted = async { shared.room().await; acceptor.accept().await } => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = BACK_OFF.0;
                shared.take(stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Mostly EMFILE: at once would be a busy loop, since the connection stays in the queue.
                warn!(?listen, %error, "cannot accept; trying again");
                tokio::select! { () = &mut ended => break, () = tokio::time::sleep(pause) => {} }
                pause = (pause * 2).min(BACK_OFF.1);
            }
        }
    }
    // Of a unix socket the name goes first: who connects after this meets the successor, or nobody.
    drop(file);
    // Above `max_connections` for once: the queue's bound is the backlog's, 1,024.
    wind_down(acceptor, |stream, peer| shared.take(stream, peer)).await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
