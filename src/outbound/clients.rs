//! HTTP clients: one for each TLS identity (CA, client certificate) and egress policy, shared by the senders that have it.
//!
//! The egress check stands in the connector: an IP literal and every resolved address is checked there, and the connection
//! goes to exactly the addresses that passed. Proxies of the environment are not known here, redirects are not followed.
//!
//! Bounds: idle connections are closed after [`POOL_IDLE`], at most [`POOL_IDLE_PER_ORIGIN`] of one origin are kept, and
//! with more than [`OPEN_KEPT`] connections open new requests ask for `connection: close`, so that no more than that are
//! kept idle; [`LOOKUPS`] name lookups run at once.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Uri;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name as HostName;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tower::Service;

use super::SenderError;
use super::egress::{self, Policy, Refused};
use super::wire::{Io, Trace, Wire};
use crate::document::settings::ClientTls;

/// Below the 60 s after which common servers and load balancers close idle connections.
pub(super) const POOL_IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept for one scheme, host and port.
pub(super) const POOL_IDLE_PER_ORIGIN: usize = 64;
/// Connections open at once from which on none is kept for later.
pub(super) const OPEN_KEPT: usize = 2048;
/// Name lookups at once: each holds a thread of the runtime's blocking pool (512) until the system answers.
pub(super) const LOOKUPS: usize = 256;
/// How much of an answer's head is buffered.
const HEAD_BYTES: usize = 64 * 1024;

/// A pooled client.
pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

/// Asks for the addresses of a name, each time anew; may block.
pub(super) type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's resolver.
fn system_lookup(host: &str) -> io::Result<Vec<SocketAddr>> {
    (host, 0).to_socket_addrs().map(Iterator::collect)
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Egress(#[from] Refused),
    #[error("{host} does not resolve: {error}")]
    Dns { host: String, error: io::Error },
    #[error("{0}")]
    Connect(String),
    #[error("{0}")]
    Tls(String),
    /// Our own lack of sockets or ports: says nothing about the endpoint.
    #[error("{0}")]
    Local(io::Error),
}

/// Whether an error is our own lack of sockets, ports or memory.
pub(super) fn is_local(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM on Linux; the kinds for the rest.
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
        || matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory
        )
}

// ---- identities and clients ----

/// What a TLS handshake needs; senders with equal `tls` share it.
pub(super) struct Identity {
    /// `None`: plain HTTP.
    tls: Option<Arc<ClientConfig>>,
    /// The client of the policy that it was made for.
    client: Mutex<Option<(Arc<Policy>, HttpClient)>>,
}

/// All clients.
pub(super) struct Clients {
    identities: Mutex<HashMap<[u8; 32], Weak<Identity>>>,
    policy: ArcSwap<Policy>,
    open: Arc<AtomicUsize>,
    lookup: Lookup,
    lookups: Arc<Semaphore>,
    system_roots: OnceLock<RootCertStore>,
    #[cfg(test)]
    network: Option<Arc<dyn Network>>,
}

/// A network of a test's own, in the place of sockets.
#[cfg(test)]
pub(super) trait Network: Send + Sync + 'static {
    /// Opens a connection to a URL's host.
    fn connect(&self, uri: &Uri) -> BoxFuture<'static, Result<tokio::io::DuplexStream, ConnectError>>;
}

impl Clients {
    pub(super) fn new() -> Self {
        Self {
            identities: Mutex::default(),
            policy: ArcSwap::from_pointee(Policy::default()),
            open: Arc::default(),
            lookup: Arc::new(system_lookup),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            system_roots: OnceLock::new(),
            #[cfg(test)]
            network: None,
        }
    }

    #[cfg(test)]
    pub(super) fn on(network: Arc<dyn Network>) -> Self {
        Self {
            network: Some(network),
            ..Self::new()
        }
    }

    #[cfg(test)]
    pub(super) fn with_names(lookup: Lookup) -> Self {
        Self { lookup, ..Self::new() }
    }

    /// Takes a new policy; an equal one leaves every connection alone.
    pub(super) fn set_policy(&self, policy: Policy) {
        if **self.policy.load() != policy {
            self.policy.store(Arc::new(policy));
        }
    }

    /// Whether connections should not be kept: see [`OPEN_KEPT`].
    pub(super) fn crowded(&self) -> bool {
        self.open.load(Relaxed) > OPEN_KEPT
    }

    /// The identity of a sender's `tls`.
    pub(super) fn identity(&self, tls: &ClientTls, https: bool) -> Result<Arc<Identity>, SenderError> {
        let key = fingerprint(tls, https);
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = identities.get(&key).and_then(Weak::upgrade) {
            return Ok(identity);
        }
        let tls = if https {
            Some(Arc::new(self.tls_config(tls)?))
        } else {
            None
        };
        let identity = Arc::new(Identity {
            tls,
            client: Mutex::new(None),
        });
        // Now and then, so that many identities do not cost their square.
        if identities.len().is_power_of_two() {
            identities.retain(|_, identity| identity.strong_count() > 0);
        }
        identities.insert(key, Arc::downgrade(&identity));
        Ok(identity)
    }

    /// The client of an identity under today's policy.
    pub(super) fn client(&self, identity: &Identity) -> HttpClient {
        let policy = self.policy.load_full();
        let mut client = identity.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_for, client)) = &*client
            && Arc::ptr_eq(made_for, &policy)
        {
            return client.clone();
        }
        let mut http = HttpConnector::new_with_resolver(Resolver {
            policy: Arc::clone(&policy),
            lookup: Arc::clone(&self.lookup),
            lookups: Arc::clone(&self.lookups),
        });
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector = Connector {
            http,
            tls: identity.tls.clone(),
            policy: Arc::clone(&policy),
            open: Arc::clone(&self.open),
            #[cfg(test)]
            network: self.network.clone(),
        };
        let made = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_ORIGIN)
            .http1_max_buf_size(HEAD_BYTES)
            // A dead HTTP/2 connection is noticed, not used again and again.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(connector);
        *client = Some((policy, made.clone()));
        made
    }

    fn tls_config(&self, tls: &ClientTls) -> Result<ClientConfig, SenderError> {
        let mut roots = self.system_roots.get_or_init(system_roots).clone();
        if let Some(pem) = &tls.ca {
            for certificate in certificates(pem, "tls.ca")? {
                roots.add(certificate).map_err(|error| SenderError::Tls {
                    field: "tls.ca",
                    what: error.to_string(),
                })?;
            }
        }
        if roots.is_empty() {
            return Err(SenderError::Tls {
                field: "tls.ca",
                what: "this machine has no root certificates: install them (ca-certificates) or name the endpoint's CA"
                    .to_owned(),
            });
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions")
            .with_root_certificates(roots);
        let mut config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates(chain, "tls.clientCert")?;
                // The parser's error could quote the key: it is left out.
                let key = PrivateKeyDer::from_pem_slice(key.expose_bytes()).map_err(|_| SenderError::Tls {
                    field: "tls.clientKey",
                    what: "this is no private key in PEM".to_owned(),
                })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| SenderError::Tls {
                        field: "tls.clientKey",
                        what: error.to_string(),
                    })?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "system root certificates");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

fn certificates(pem: &str, field: &'static str) -> Result<Vec<CertificateDer<'static>>, SenderError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| SenderError::Tls {
            field,
            what: error.to_string(),
        })?;
    if found.is_empty() {
        return Err(SenderError::Tls {
            field,
            what: "there is no certificate in it".to_owned(),
        });
    }
    Ok(found)
}

fn fingerprint(tls: &ClientTls, https: bool) -> [u8; 32] {
    if !https {
        return [0; 32];
    }
    let mut hash = Sha256::new();
    let (chain, key) = match &tls.identity {
        Some((chain, key)) => (chain.as_bytes(), key.expose_bytes()),
        None => (&b""[..], &b""[..]),
    };
    for part in [tls.ca.as_deref().unwrap_or_default().as_bytes(), chain, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

// ---- names ----

/// Resolves names and leaves out what the policy refuses.
#[derive(Clone)]
pub(super) struct Resolver {
    policy: Arc<Policy>,
    lookup: Lookup,
    lookups: Arc<Semaphore>,
}

impl Service<HostName> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: HostName) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let place = Arc::clone(&this.lookups)
                .acquire_owned()
                .await
                .expect("it is never closed");
            let (asked, lookup) = (host.clone(), this.lookup);
            let found = tokio::task::spawn_blocking(move || {
                // Held until the system answers, not until the attempt's timeout.
                let _place = place;
                lookup(&asked)
            })
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the lookup was cancelled")));
            let found = found.map_err(|error| {
                if is_local(&error) {
                    ConnectError::Local(error)
                } else {
                    ConnectError::Dns {
                        host: host.clone(),
                        error,
                    }
                }
            })?;
            let (mut allowed, mut refused) = (Vec::new(), None);
            for address in found {
                match this.policy.check(&host, address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(refusal) => {
                        refused.get_or_insert(refusal);
                    }
                }
            }
            match refused {
                Some(refusal) if allowed.is_empty() => Err(refusal.into()),
                None if allowed.is_empty() => Err(ConnectError::Dns {
                    host,
                    error: io::Error::other("there is no address"),
                }),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

// ---- connections ----

/// Opens connections: policy, TCP (both address families in turn), TLS.
#[derive(Clone)]
pub(super) struct Connector {
    http: HttpConnector<Resolver>,
    tls: Option<Arc<ClientConfig>>,
    policy: Arc<Policy>,
    open: Arc<AtomicUsize>,
    #[cfg(test)]
    network: Option<Arc<dyn Network>>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<TokioIo<Wire>, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut this = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().to_owned();
            if let Some(address) = egress::literal(&host) {
                this.policy.check(&host, address)?;
            }
            #[cfg(test)]
            if let Some(network) = &this.network {
                let io = Io::Simulated(network.connect(&uri).await?);
                return Ok(TokioIo::new(Wire {
                    io,
                    trace: Trace::begin(this.open),
                    http2: false,
                }));
            }
            let tcp = this.http.call(uri).await.map_err(|error| unwrapped(&error))?;
            let trace = Trace::begin(this.open);
            let Some(config) = this.tls else {
                let io = Io::Plain(tcp.into_inner());
                return Ok(TokioIo::new(Wire {
                    io,
                    trace,
                    http2: false,
                }));
            };
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(bare).map_err(|error| ConnectError::Tls(error.to_string()))?;
            let stream = tokio_rustls::TlsConnector::from(config)
                .connect(name, tcp.into_inner())
                .await
                .map_err(|error| {
                    if is_local(&error) {
                        ConnectError::Local(error)
                    } else {
                        ConnectError::Tls(error.to_string())
                    }
                })?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(TokioIo::new(Wire {
                io: Io::Tls(Box::new(stream)),
                trace,
                http2,
            }))
        })
    }
}

/// The error below the TCP connector's own.
fn unwrapped(error: &(dyn std::error::Error + 'static)) -> ConnectError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<ConnectError>() {
            Some(ConnectError::Egress(refused)) => return ConnectError::Egress(refused.clone()),
            Some(ConnectError::Dns { host, error }) => {
                let error = io::Error::other(error.to_string());
                return ConnectError::Dns {
                    host: host.clone(),
                    error,
                };
            }
            Some(ConnectError::Local(error)) => return ConnectError::Local(io::Error::other(error.to_string())),
            Some(other) => return ConnectError::Connect(other.to_string()),
            None => {}
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return if is_local(error) {
                ConnectError::Local(io::Error::other(error.to_string()))
            } else {
                ConnectError::Connect(error.to_string())
            };
        }
        cause = error.source();
    }
    ConnectError::Connect(error.to_string())
}
