//! The end of a listening socket, without a refused or a reset connection (docs/decisions/003-rebind.md).
//!
//! Closing a listening socket resets what is in its queue, and a handshake under way ends in nothing. So the old socket
//! first stops taking new handshakes: a filter drops bare SYNs, whose senders try again a second later and meet the new
//! listener. What it has begun it finishes: the handshakes become connections, the queue is accepted to the last. Then it is
//! closed.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tracing::warn;

use super::PeerAddress;
use super::serve::{Acceptor, Stream};

/// How long handshakes under way may take. A network's round trip is shorter; a SYN flood's never end.
const HANDSHAKES: Duration = Duration::from_secs(2);
/// Processors that were handling a SYN when the filter came are done with it by then; also the pause between two looks.
const SETTLE: Duration = Duration::from_millis(5);

/// Takes what is still in the socket's queue, then closes it.
pub(super) async fn wind_down(acceptor: Acceptor, mut take: impl FnMut(Stream, PeerAddress)) {
    let (listener, address) = match acceptor {
        // Unix sockets have no handshake: `connect` puts a connection into the queue or fails.
        Acceptor::Unix(listener) => {
            match listener.into_std() {
                Ok(listener) => {
                    while let Some((stream, peer)) = next(&Queue::Unix(&listener)) {
                        take(stream, peer);
                    }
                }
                Err(error) => warn!(%error, "the listener's queue is closed unread"),
            }
            return;
        }
        Acceptor::Tcp(listener) => {
            let address = listener.local_addr();
            match listener.into_std().and_then(|listener| Ok((listener, address?))) {
                Ok(listener) => listener,
                Err(error) => return warn!(%error, "the listener's queue is closed unread"),
            }
        }
    };
    if let Err(error) = refuse_handshakes(&SockRef::from(&listener)) {
        // Seen in containers that forbid socket filters: a connection that begins in these milliseconds may be reset.
        warn!(%error, "cannot hold back new connections while the listener closes");
    }
    let mut drain_queue = || {
        while let Some((stream, peer)) = next(&Queue::Tcp(&listener)) {
            take(stream, peer);
        }
    };
    drain_queue();
    tokio::time::sleep(SETTLE).await;
    // The new listener may have the same port: only those that are under way now can be ours.
    let mut begun = handshakes(address).await;
    let until = Instant::now() + HANDSHAKES;
    while !begun.is_empty() && Instant::now() < until {
        tokio::time::sleep(SETTLE).await;
        drain_queue();
        let now = handshakes(address).await;
        begun.retain(|handshake| now.contains(handshake));
    }
    drain_queue();
}

enum Queue<'a> {
    Tcp(&'a std::net::TcpListener),
    Unix(&'a std::os::unix::net::UnixListener),
}

// The next connection in the queue; none when it is empty. Not tokio's accept: it believes its own record of readiness,
// which may be older than the last connection.
fn next(queue: &Queue<'_>) -> Option<(Stream, PeerAddress)> {
    loop {
        let accepted = match queue {
            Queue::Tcp(listener) => listener.accept().and_then(|(stream, from)| {
                stream.set_nonblocking(true)?;
                Ok((
                    Stream::Tcp(tokio::net::TcpStream::from_std(stream)?),
                    PeerAddress::Tcp(from),
                ))
            }),
            Queue::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                Ok((
                    Stream::Unix(tokio::net::UnixStream::from_std(stream)?),
                    PeerAddress::Unix,
                ))
            }),
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                ) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => {
                warn!(%error, "the listener's queue is closed unread");
                return None;
            }
        }
    }
}

/// Drops segments with SYN and without ACK. Everything else passes: acknowledgements finish handshakes that have begun, and
/// the sockets accepted from here on inherit the filter, where it never matters.
#[cfg(target_os = "linux")]
fn refuse_handshakes(socket: &SockRef<'_>) -> io::Result<()> {
    use socket2::SockFilter;
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_OR_ACK: u32 = 0x12;
    socket.attach_filter(&[
        SockFilter::new(0x30, 0, 0, FLAGS_OFFSET), // load a byte: the TCP flags
        SockFilter::new(0x54, 0, 0, SYN_OR_ACK),   // and
        SockFilter::new(0x15, 0, 1, SYN),          // equal? go on : skip one
        SockFilter::new(0x06, 0, 0, 0),            // drop
        SockFilter::new(0x06, 0, 0, u32::MAX),     // keep all of it
    ])
}

/// Other systems have no such filter: a connection that begins in these milliseconds may be reset.
#[cfg(not(target_os = "linux"))]
fn refuse_handshakes(_: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// The handshakes under way at an address's port, as `local remote` of the kernel's table. Empty where there is no such
/// table. Reading it takes some 20 ms, most of all for its size in the kernel: not on a thread that serves.
async fn handshakes(address: SocketAddr) -> HashSet<String> {
    // A listener of `[::]` has its IPv4 connections in the second table as well.
    let table = if address.is_ipv4() {
        "/proc/net/tcp"
    } else {
        "/proc/net/tcp6"
    };
    let read = move || {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        text.lines()
            .filter_map(|line| half_open(line, address.port()))
            .map(str::to_owned)
            .collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

// A line: `  12: 0100007F:2256 0200007F:C350 03 ...`; 03 is SYN_RECV.
fn half_open(line: &str, port: u16) -> Option<&str> {
    let (_, rest) = line.split_once(": ")?;
    let (addresses, rest) = rest.match_indices(' ').nth(1).map(|(at, _)| rest.split_at(at))?;
    let (local, _) = addresses.split_once(' ')?;
    let local_port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (local_port == port && rest.trim_start().starts_with("03 ")).then_some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_half_open_connections_of_the_port_are_waited_for() {
        let line = "   3: 0100007F:2256 0100007F:C350 03 00000000:00000000 01:00000064 00000000     0        0 0 1";
        assert_eq!(half_open(line, 0x2256), Some("0100007F:2256 0100007F:C350"));
        assert_eq!(half_open(line, 0x2257), None);
        assert_eq!(half_open(&line.replace(" 03 ", " 01 "), 0x2256), None);
        assert_eq!(half_open("  sl  local_address rem_address   st", 0x2256), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_client_that_comes_while_the_old_listener_closes_meets_the_new_one() {
        use std::io::{Read, Write};
        use std::net::{TcpListener, TcpStream};

        let listener = |address: std::net::SocketAddr| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&address.into()).unwrap();
            socket.listen(8).unwrap();
            TcpListener::from(socket)
        };
        let old = listener(([127, 0, 0, 1], 0).into());
        let address = old.local_addr().unwrap();
        let mut queued = TcpStream::connect(address).unwrap();
        let new = listener(([0, 0, 0, 0], address.port()).into());

        refuse_handshakes(&SockRef::from(&old)).unwrap();
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "neither refused nor taken");
        // What came before is whole, and goes on after the old listener is closed.
        let (mut accepted, _) = old.accept().unwrap();
        let late = std::thread::spawn(move || TcpStream::connect(address));
        while !handshaking(address) {
            std::thread::yield_now();
        }
        drop(old);
        queued.write_all(b"x").unwrap();
        assert_eq!(accepted.read(&mut [0; 8]).unwrap(), 1);
        late.join().unwrap().expect("the repeated SYN meets the new listener");
        new.accept().unwrap();
    }

    // Whether a client of this machine has sent a SYN to it and has no answer: state 02.
    #[cfg(target_os = "linux")]
    fn handshaking(to: std::net::SocketAddr) -> bool {
        let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let sent = format!(":{:04X} 02 ", to.port());
        text.lines().any(|line| line.contains(&sent))
    }
}
