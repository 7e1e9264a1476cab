//! One connection, from accept to close: handshake, requests, time-outs.
//!
//! Hyper's own header time-out also runs between two requests, so a connection could not idle for longer than its headers
//! may take. The time-outs are kept here instead: [`Activity`] notes what happens, [`Pace`] says what follows from it.

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error};

use super::body::BoxError;
use super::serve::{Shared, Stream};
use super::{Body, Limits, Peer, PeerAddress};

/// HTTP/2: a peer that answers no PING for [`PING_ANSWER`] is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(20);
/// HTTP/2: bytes that a request, and all requests of a connection, may send ahead of the handler.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// At a drain, a connection just accepted has this long to send the request that it was opened for.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// How long a connection that is being closed may take to send what is left.
const CLOSE: Duration = Duration::from_secs(10);

pub(super) async fn run(shared: &Arc<Shared>, stream: Stream, address: PeerAddress) {
    match stream {
        Stream::Tcp(stream) => {
            // Answers are small: waiting for more to send would only delay them.
            let _ = stream.set_nodelay(true);
            let PeerAddress::Tcp(mut from) = address else { return };
            from.set_ip(from.ip().to_canonical());
            secure(shared, stream, PeerAddress::Tcp(from)).await;
        }
        Stream::Unix(stream) => secure(shared, stream, address).await,
    }
}

async fn secure<S>(shared: &Arc<Shared>, stream: S, address: PeerAddress)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(tls) = shared.tls.load_full() else {
        return serve(shared, stream, Peer { address, tls: false }).await;
    };
    let limit = shared.limits.load().handshake_timeout;
    let handshake = tokio::time::timeout(limit, tls.acceptor().accept(stream));
    let handshake = tokio::select! {
        () = shared.cut.cancelled() => return,
        handshake = handshake => handshake,
    };
    match handshake {
        Ok(Ok(stream)) => serve(shared, stream, Peer { address, tls: true }).await,
        Ok(Err(error)) => debug!(?address, %error, "TLS handshake failed"),
        Err(_) => debug!(?address, "TLS handshake timed out"),
    }
}

async fn serve<S>(shared: &Arc<Shared>, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = shared.limits.load_full();
    let activity = Arc::new(Activity::new());
    let service = service_fn(|request: Request<Incoming>| {
        // Here and not in the future: a request counts from the end of its headers.
        let in_flight = InFlight::new(&activity);
        let handler = Arc::clone(&shared.handler);
        // A message framed twice (chunks and a length) may hide another's request behind it: nothing may follow (RFC 9112, 6.3).
        // Hyper has taken the length away by now, so this is any request in chunks; it costs the connection alone.
        let ends = request.version() == Version::HTTP_11 && request.headers().contains_key(header::TRANSFER_ENCODING);
        async move {
            // `handle` itself runs inside, so that a panic before its first await is caught too.
            let answer = AssertUnwindSafe(async move { handler.handle(request, peer).await })
                .catch_unwind()
                .await;
            let mut answer = answer.unwrap_or_else(|_| {
                error!("a handler panicked; answered 500");
                let mut answer = Response::new(Body::full("internal error\n"));
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                answer
            });
            if ends {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(answer.map(|body| Tracked {
                body,
                _in_flight: in_flight,
            }))
        }
    });
    let builder = builder(shared, &limits);
    let io = TokioIo::new(Watched {
        io: stream,
        activity: Arc::clone(&activity),
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut cut = pin!(shared.cut.cancelled());
    let mut draining = pin!(shared.draining.cancelled());
    let mut alarm = pin!(tokio::time::sleep(limits.header_timeout));
    let mut pace = Pace {
        limits: &limits,
        drained: None,
        closing: None,
    };
    let mut asked = false;
    std::future::poll_fn(|cx| {
        // The first look leaves our waker there; another one is worth its locks only when something ends.
        let ask = !asked || shared.ending.load(Ordering::Acquire);
        asked = true;
        if ask && cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            if let Err(error) = result {
                debug!(%error, "connection ended");
            }
            return Poll::Ready(());
        }
        if ask && pace.drained.is_none() && draining.as_mut().poll(cx).is_ready() {
            pace.drained = Some(activity.now());
        }
        loop {
            match pace.next(&activity) {
                Step::Cut => return Poll::Ready(()),
                Step::Close => {
                    pace.closing = Some(activity.now());
                    connection.as_mut().graceful_shutdown();
                    if connection.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Step::Wait(until) => {
                    let until = activity.begun + until;
                    // An alarm that is too early is left: it only looks again. So most requests touch no timer.
                    if until < alarm.deadline() || alarm.is_elapsed() {
                        alarm.as_mut().reset(until);
                    }
                    ready!(alarm.as_mut().poll(cx));
                }
            }
        }
    })
    .await;
}

fn builder(shared: &Shared, limits: &Limits) -> auto::Builder<Executor> {
    let mut builder = auto::Builder::new(Executor {
        tasks: shared.tasks.clone(),
        cut: shared.cut.clone(),
    });
    builder
        .http1()
        // At most 100 headers: hyper's default, and faster when not set.
        .header_read_timeout(None)
        .half_close(shared.handler.finishes())
        .max_buf_size(limits.max_header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX));
    builder
}

/// Runs the requests of HTTP/2 connections: owned by the listener, and cut with it.
#[derive(Clone)]
struct Executor {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            tokio::select! { () = cut.cancelled() => {} _ = future => {} }
        });
    }
}

/// What happens on a connection. Times are milliseconds since it began.
struct Activity {
    begun: Instant,
    /// Requests whose answer has not been handed over whole.
    in_flight: AtomicU32,
    /// Whether there was any.
    any: AtomicBool,
    /// When the last one ended.
    ended: AtomicU64,
    /// When the first byte of the next HTTP/1 request came, plus one; 0: none came yet.
    head: AtomicU64,
    http2: AtomicBool,
}

impl Activity {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            in_flight: AtomicU32::new(0),
            any: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            head: AtomicU64::new(0),
            http2: AtomicBool::new(false),
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }

    fn received(&self, bytes: &[u8], first: bool) {
        if first && bytes.starts_with(b"PRI ") {
            self.http2.store(true, Ordering::Release);
        }
        // HTTP/2 sends frames that begin no request (PING): there the idle time-out alone counts.
        if self.in_flight.load(Ordering::Acquire) == 0 && !self.http2.load(Ordering::Acquire) {
            let _ = self
                .head
                .compare_exchange(0, self.now_ms() + 1, Ordering::AcqRel, Ordering::Acquire);
        }
    }
}

/// A request, from the end of its headers to the end of its answer.
struct InFlight(Arc<Activity>);

impl InFlight {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.in_flight.fetch_add(1, Ordering::AcqRel);
        activity.any.store(true, Ordering::Release);
        activity.head.store(0, Ordering::Release);
        Self(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ended.store(self.0.now_ms(), Ordering::Release);
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing before this time.
    Wait(Duration),
    /// Finish what there is and close.
    Close,
    /// Close as it is.
    Cut,
}

/// When a connection ends.
struct Pace<'a> {
    limits: &'a Limits,
    /// When the listener began to drain.
    drained: Option<Duration>,
    /// When the connection was told to close.
    closing: Option<Duration>,
}

impl Pace<'_> {
    fn next(&self, activity: &Activity) -> Step {
        let now = activity.now();
        let busy = activity.in_flight.load(Ordering::Acquire) > 0;
        let any = activity.any.load(Ordering::Acquire);
        let ended = Duration::from_millis(activity.ended.load(Ordering::Acquire));
        let due = |at: Duration, step: Step| if now >= at { step } else { Step::Wait(at) };
        if let Some(closing) = self.closing {
            // What is in flight has the handler's time-outs, and a drain's.
            return if busy {
                Step::Wait(now + CLOSE)
            } else {
                due(ended.max(closing) + CLOSE, Step::Cut)
            };
        }
        if let Some(drained) = self.drained {
            return if any {
                Step::Close
            } else {
                due(drained + FIRST_REQUEST, Step::Close)
            };
        }
        if busy {
            return Step::Wait(now + self.limits.idle_timeout);
        }
        match activity.head.load(Ordering::Acquire) {
            0 if any => due(ended + self.limits.idle_timeout, Step::Close),
            0 => due(self.limits.header_timeout, Step::Cut),
            head if any => due(Duration::from_millis(head - 1) + self.limits.header_timeout, Step::Cut),
            _ => due(self.limits.header_timeout, Step::Cut),
        }
    }
}

/// A connection's bytes, with a note of when they come.
struct Watched<S> {
    io: S,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let received = &buf.filled()[before..];
        if !received.is_empty() {
            let first = !self.activity.any.load(Ordering::Acquire) && self.activity.head.load(Ordering::Acquire) == 0;
            self.activity.received(received, first);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// An answer's body; the request is in flight until it is handed over.
struct Tracked {
    body: Body,
    _in_flight: InFlight,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
