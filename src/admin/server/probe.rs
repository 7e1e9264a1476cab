//! One request to a URL, step by step: DNS, connection, TLS, answer. For tests of routes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::admin::wire::TestStep;

/// How long each step may take.
const STEP: Duration = Duration::from_secs(10);

/// Where a request goes.
pub(super) struct Way {
    /// The host of the URL: looked up, and the name that the certificate must have.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Whether it is https.
    pub(super) tls: bool,
    /// Connect here instead of looking the host up.
    pub(super) at: Option<At>,
}

/// An address that needs no look-up.
pub(super) enum At {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a unix socket.
    Unix(PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Goes as far as it can. The status, where there was an answer, and each step that was made.
pub(super) async fn probe(way: &Way, request: http::Request<Full<Bytes>>) -> (Option<u16>, Vec<TestStep>) {
    let mut steps = Vec::new();
    let status = go(way, request, &mut steps).await;
    (status, steps)
}

async fn go(way: &Way, request: http::Request<Full<Bytes>>, steps: &mut Vec<TestStep>) -> Option<u16> {
    let stream = connect(way, steps).await?;
    let stream: Box<dyn Stream> = if way.tls {
        step(steps, "tls", secured(&way.host, stream), |(_, said)| said.clone())
            .await?
            .0
    } else {
        stream
    };
    let answered = step(steps, "request", exchange(stream, request), ToString::to_string);
    answered.await.map(|status| status.as_u16())
}

async fn connect(way: &Way, steps: &mut Vec<TestStep>) -> Option<Box<dyn Stream>> {
    let addresses = match &way.at {
        Some(At::Unix(path)) => {
            let connecting = UnixStream::connect(path);
            let stream = step(steps, "connect", told(connecting), |_| path.display().to_string()).await?;
            return Some(Box::new(stream));
        }
        Some(At::Tcp(address)) => vec![*address],
        None => {
            let resolving = async {
                let found: Vec<_> = lookup_host((way.host.as_str(), way.port)).await.map_err(say)?.collect();
                if found.is_empty() {
                    Err("the name has no address".to_owned())
                } else {
                    Ok(found)
                }
            };
            let shown = |found: &Vec<SocketAddr>| {
                let found: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
                found.join(", ")
            };
            step(steps, "dns", resolving, shown).await?
        }
    };
    let connecting = async {
        let mut refused = "the name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = format!("{address}: {error}"),
            }
        }
        Err(refused)
    };
    let shown = |stream: &TcpStream| {
        stream
            .peer_addr()
            .map_or_else(|_| "connected".to_owned(), |peer| peer.to_string())
    };
    let stream = step(steps, "connect", connecting, shown).await?;
    Some(Box::new(stream))
}

async fn secured(host: &str, stream: Box<dyn Stream>) -> Result<(Box<dyn Stream>, String), String> {
    // Reading the machine's certificates is a matter of files.
    let roots = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(say)?
        .with_root_certificates(roots.await.map_err(say)?)
        .with_no_client_auth();
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(say)?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(say)?;
    let version = stream.get_ref().1.protocol_version();
    let said = version.and_then(|version| version.as_str()).unwrap_or("TLS").to_owned();
    Ok((Box::new(stream), said))
}

async fn exchange(stream: Box<dyn Stream>, request: http::Request<Full<Bytes>>) -> Result<http::StatusCode, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(say)?;
    tokio::pin!(connection);
    let answered = sender.send_request(request);
    tokio::pin!(answered);
    let answer = tokio::select! {
        answer = &mut answered => answer,
        // It ends when the answer is there, or when it breaks; either way the answer says it.
        _ = &mut connection => answered.await,
    };
    answer.map(|response| response.status()).map_err(say)
}

/// Makes one step, bounded and timed.
async fn step<T>(
    steps: &mut Vec<TestStep>,
    name: &str,
    work: impl Future<Output = Result<T, String>>,
    shown: impl FnOnce(&T) -> String,
) -> Option<T> {
    let began = Instant::now();
    let result = tokio::time::timeout(STEP, work).await;
    let result = result.unwrap_or_else(|_| Err(format!("nothing within {} s", STEP.as_secs())));
    steps.push(TestStep {
        name: name.to_owned(),
        ok: result.is_ok(),
        detail: match &result {
            Ok(found) => shown(found),
            Err(why) => why.clone(),
        },
        latency_ms: (began.elapsed().as_secs_f64() * 10_000.0).round() / 10.0,
    });
    result.ok()
}

async fn told<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    work.await.map_err(say)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn say(error: impl ToString) -> String {
    error.to_string()
}
