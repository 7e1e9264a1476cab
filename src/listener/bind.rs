//! An address of our own, before the first connection: what can fail about a listener fails here.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

use super::Tls;
use crate::document::settings::Listen;

/// Connections that the kernel keeps for us until they are accepted.
pub(super) const BACKLOG: i32 = 1024;

/// Why an address cannot be had.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another program has it.
    #[error(
        "cannot listen on {address}: it is in use{}; stop what listens there, or set another `listen`",
        owner(address)
    )]
    InUse {
        /// The address, or the socket's path.
        address: String,
    },
    /// We may not have it.
    #[error("cannot listen on {address}: permission denied{}", low_port(address))]
    Denied {
        /// The address, or the socket's path.
        address: String,
    },
    /// It is another machine's.
    #[error(
        "cannot listen on {address}: no network interface of this machine has this address; 0.0.0.0 means all of them"
    )]
    NotOurs {
        /// The address.
        address: String,
    },
    /// There is a file where the socket must go.
    #[error("cannot listen on unix:{path}: a file that is no socket is there; move it away, or set another path")]
    NotASocket {
        /// The socket's path.
        path: PathBuf,
    },
    /// Anything else, in the system's words.
    #[error("cannot listen on {address}: {source}")]
    System {
        /// The address, or the socket's path.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

// The ports that an OpenClaw assistant listens on by default.
fn owner(address: &str) -> String {
    let port = address.parse().map_or(0, |address: SocketAddr| address.port());
    let listener = match port {
        18789 => "gateway",
        8787 => "Telegram webhook listener",
        8788 => "Nextcloud Talk webhook listener",
        3000 => "Feishu webhook listener",
        3978 => "Microsoft Teams webhook listener",
        3334 => "voice call listener",
        8790 | 8791 => return ", probably by another openclaw gateway".to_owned(),
        _ => return String::new(),
    };
    format!(", probably by the OpenClaw assistant's {listener}")
}

fn low_port(address: &str) -> &'static str {
    match address.parse() {
        Ok(address) if SocketAddr::port(&address) < 1024 => {
            "; ports under 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=), or a proxy in front"
        }
        _ => "",
    }
}

/// An address that is ours. [`Bound::bind`] leaves it without a queue of connections, so it can be dropped without a trace.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: Socket,
    pub(super) listen: Listen,
    pub(super) file: Option<SocketFile>,
    pub(super) tls: Option<Tls>,
}

impl Bound {
    /// Binds at the start of a process, and lets nobody share the address: a second gateway there is an error. The kernel
    /// queues connections from now on (at most 1,024), which is what makes the claim exclusive; [`Bound::serve`] takes them.
    pub fn bind_first(listen: &Listen, tls: Option<Tls>) -> Result<Self, BindError> {
        let bound = Self::claim(listen, tls, false)?;
        if let Listen::Tcp(address) = listen {
            // Two sockets with SO_REUSEADDR may be bound to one address; only `listen` tells them apart.
            bound.socket.listen(BACKLOG).map_err(|error| fault(listen, error))?;
            share(&bound.socket).map_err(|error| fault(&Listen::Tcp(*address), error))?;
        }
        Ok(bound)
    }

    /// Binds while the gateway runs, without listening: a second listening socket would take connections, and reset them when
    /// the reconcile fails. `ours` are the addresses that this process serves now: with those a port may be shared for the
    /// moment of the change, with another program never.
    pub fn bind(listen: &Listen, tls: Option<Tls>, ours: &[Listen]) -> Result<Self, BindError> {
        let port = |listen: &Listen| match listen {
            Listen::Tcp(address) => Some(address.port()).filter(|port| *port != 0),
            Listen::Unix(_) => None,
        };
        let shared = port(listen).is_some_and(|wanted| ours.iter().any(|ours| port(ours) == Some(wanted)));
        let bound = Self::claim(listen, tls, shared)?;
        if matches!(listen, Listen::Tcp(_)) {
            share(&bound.socket).map_err(|error| fault(listen, error))?;
        }
        Ok(bound)
    }

    /// What it is bound to: the port is the real one where the settings say 0.
    #[must_use]
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// The TCP address it is bound to.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self.listen {
            Listen::Tcp(address) => Some(address),
            Listen::Unix(_) => None,
        }
    }

    fn claim(listen: &Listen, tls: Option<Tls>, shared: bool) -> Result<Self, BindError> {
        let fault = |error| fault(listen, error);
        match listen {
            Listen::Tcp(address) => {
                let socket = bind_tcp(*address, shared).map_err(fault)?;
                let address = socket.local_addr().map_err(fault)?.as_socket().unwrap_or(*address);
                Ok(Self {
                    socket,
                    listen: Listen::Tcp(address),
                    file: None,
                    tls,
                })
            }
            Listen::Unix(path) => {
                clear(path)?;
                let socket = bind_unix(path).map_err(fault)?;
                let file = SocketFile::at(path).map_err(fault)?;
                Ok(Self {
                    socket,
                    listen: listen.clone(),
                    file: Some(file),
                    tls,
                })
            }
        }
    }
}

fn bind_tcp(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for the last connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` means IPv4 as well, whatever this machine's sysctl says.
        socket.set_only_v6(false)?;
    }
    if shared {
        share(&socket)?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

// After a bind without it, SO_REUSEPORT lets our own later sockets in: the kernel looks at the flag when they bind.
fn share(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

fn bind_unix(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Linux makes the file with the socket's own mode: there is no moment in which others may connect.
    let owner_only = Permissions::from_mode(0o600);
    File::from(OwnedFd::from(socket.try_clone()?))
        .set_permissions(owner_only.clone())
        .or_else(unsupported)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, owner_only)?;
    Ok(socket)
}

fn unsupported(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::InvalidInput {
        Ok(())
    } else {
        Err(error)
    }
}

// Takes away the socket file that a killed gateway left. One that answers is in use.
fn clear(path: &Path) -> Result<(), BindError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(&Listen::Unix(path.to_owned()), error)),
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| fault(&Listen::Unix(path.to_owned()), error))
        }
        // A full backlog (WouldBlock) answers as well.
        _ => Err(fault(&Listen::Unix(path.to_owned()), ErrorKind::AddrInUse.into())),
    }
}

fn fault(listen: &Listen, source: io::Error) -> BindError {
    let address = match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    };
    match source.kind() {
        ErrorKind::AddrInUse => BindError::InUse { address },
        ErrorKind::PermissionDenied => BindError::Denied { address },
        ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        _ => BindError::System { address, source },
    }
}

/// The file of a unix socket: removed with the listener, unless another one has taken its place by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let made = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: made.dev(),
            inode: made.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |found: fs::Metadata| found.dev() == self.device && found.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> Listen {
        Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn a_second_gateway_on_the_same_address_is_an_error_that_names_it() {
        let first = Bound::bind_first(&local(0), None).unwrap();
        for second in [
            Bound::bind_first(first.listen(), None),
            Bound::bind(first.listen(), None, &[]),
        ] {
            let error = second.unwrap_err().to_string();
            let address = first.local_address().unwrap();
            assert!(
                error.starts_with(&format!("cannot listen on {address}: it is in use")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_rebind_shares_the_port_with_our_own_listener_only() {
        let first = Bound::bind_first(&local(0), None).unwrap();
        let port = first.local_address().unwrap().port();
        let all = Listen::Tcp(SocketAddr::from(([0, 0, 0, 0], port)));
        let shared = Bound::bind(&all, None, std::slice::from_ref(first.listen())).unwrap();
        assert_eq!(shared.listen(), &all);
        drop(shared);
        assert!(matches!(
            Bound::bind(&all, None, &[local(0)]),
            Err(BindError::InUse { .. })
        ));
    }

    #[test]
    fn an_address_of_a_later_bind_takes_no_connection_until_it_serves() {
        let bound = Bound::bind(&local(0), None, &[]).unwrap();
        let error = std::net::TcpStream::connect(bound.local_address().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_failed_bind_on_a_port_of_the_assistant_names_its_listener() {
        let error = BindError::InUse {
            address: "127.0.0.1:8787".to_owned(),
        }
        .to_string();
        assert!(
            error.contains("probably by the OpenClaw assistant's Telegram webhook listener"),
            "{error}"
        );
        let error = BindError::InUse {
            address: "[::1]:18789".to_owned(),
        }
        .to_string();
        assert!(
            error.contains("probably by the OpenClaw assistant's gateway"),
            "{error}"
        );
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let listen = Listen::Tcp("192.0.2.1:0".parse().unwrap());
        assert!(matches!(
            Bound::bind(&listen, None, &[]),
            Err(BindError::NotOurs { .. })
        ));
    }

    #[test]
    fn a_socket_file_is_for_its_owner_alone_and_goes_with_the_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("openclaw.sock");
        let bound = Bound::bind_first(&Listen::Unix(path.clone()), None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_file_is_replaced_one_that_answers_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("openclaw.sock");
        let listen = Listen::Unix(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Bound::bind_first(&listen, None).unwrap());
        let _alive = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(Bound::bind_first(&listen, None), Err(BindError::InUse { .. })));
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(
            Bound::bind_first(&Listen::Unix(path.clone()), None),
            Err(BindError::NotASocket { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_listener_leaves_the_socket_file_of_its_successor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("openclaw.sock");
        let first = Bound::bind_first(&Listen::Unix(path.clone()), None).unwrap();
        fs::remove_file(&path).unwrap();
        // Held open, the old socket keeps its inode number: a new file cannot be given the same.
        let _second = Bound::bind_first(&Listen::Unix(path.clone()), None).unwrap();
        drop(first);
        assert!(path.exists());
    }
}
