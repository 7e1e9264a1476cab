//! `openclaw listen`

mod forward; // to a program on this machine

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use url::Url;

use super::{Context, Done, Error};
use crate::clock::SharedClock;
use crate::document::settings::Listen;
use crate::event::EventPattern;
use crate::inbound::DeliveryProof;
use crate::listener::{Body, Bound, Handler, Limits, Peer};
use crate::secret::Secret;

/// The largest body that is read.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// How far the signed time may be away: the Standard Webhooks' own.
const TOLERANCE: Duration = Duration::from_mins(5);

/// Lines that wait to be printed.
const LINES: usize = 1024;

/// Receive deliveries on this machine and check their signatures
///
/// An endpoint to try a gateway with: it prints what comes, and answers 401 where the signature does not hold. With --json,
/// one line a delivery. The gateway must be allowed to reach this machine: `webhooks.egress.allow: [127.0.0.0/8]`.
///
/// With --forward it listens to nothing: it follows the gateway's events as they are stored, signs each as a sender would
/// and posts it, once, to a program on this machine. No sender is needed, and the gateway need not reach this machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw listen --port 8792 --secret demo-secret
  openclaw listen --status 503          refuse everything, to see the retries
  openclaw listen --forward http://localhost:3000/in --secret demo-secret --events message.*")]
pub(crate) struct Arguments {
    /// The port, on 127.0.0.1; 0: any that is free
    #[arg(long, default_value_t = 8792, value_name = "PORT")]
    port: u16,
    /// The secret that signs, or (given again) another one that may; without it signatures are not checked
    #[arg(long, env = "OPENCLAW_LISTEN_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Vec<String>,
    /// What to answer a delivery whose signature holds
    #[arg(long, default_value_t = 200, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// Follow the gateway's events and post them to this URL instead
    #[arg(long, value_name = "URL", value_parser = forward::parse, conflicts_with_all = ["port", "status"])]
    forward: Option<Url>,
    /// Forward only these: names, or patterns such as message.*
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = pattern, requires = "forward")]
    events: Vec<EventPattern>,
}

fn pattern(text: &str) -> Result<EventPattern, String> {
    EventPattern::parse(text).ok_or_else(|| "write an event's name, message.* or *".to_owned())
}

/// What answers.
struct Endpoint {
    proof: Option<DeliveryProof>,
    status: StatusCode,
    lines: mpsc::Sender<String>,
    json: bool,
    clock: SharedClock,
}

impl Handler for Endpoint {
    fn handle(self: Arc<Self>, request: Request<Incoming>, _: Peer) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let status = match Limited::new(body, LARGEST_BODY).collect().await {
                Ok(body) => {
                    let body = body.to_bytes();
                    let (status, said) = self.judge(&parts.headers, &body);
                    let line = if self.json {
                        json(&parts.headers, &body, status, &said)
                    } else {
                        line(&parts.headers, &body, status, &said)
                    };
                    // Nobody reads any more: the process is ending.
                    let _ = self.lines.send(line).await;
                    status
                }
                Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
            };
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        })
    }
}

impl Endpoint {
    fn judge(&self, headers: &HeaderMap, body: &bytes::Bytes) -> (StatusCode, String) {
        match &self.proof {
            None => (self.status, "signature not checked".to_owned()),
            Some(proof) => match proof.check(headers, body, self.clock.now()) {
                Ok(()) => (self.status, "signature ok".to_owned()),
                Err(why) => (StatusCode::UNAUTHORIZED, format!("signature does not hold: {why}")),
            },
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn json(headers: &HeaderMap, body: &[u8], status: StatusCode, said: &str) -> String {
    let line = serde_json::json!({
        "event": header(headers, "x-openclaw-event"),
        "delivery": header(headers, "x-openclaw-delivery"),
        "attempt": header(headers, "x-openclaw-attempt").and_then(|number| number.parse::<u32>().ok()),
        "signature": said,
        "answered": status.as_u16(),
        "body": String::from_utf8_lossy(body),
    });
    format!("{line}\n")
}

fn line(headers: &HeaderMap, body: &[u8], status: StatusCode, said: &str) -> String {
    let body = String::from_utf8_lossy(body);
    // What comes from outside must not steer a terminal.
    let body: String = body
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let shown = |name| header(headers, name).unwrap_or("-");
    let (event, attempt) = (shown("x-openclaw-event"), shown("x-openclaw-attempt"));
    format!(
        "{event}  attempt {attempt}  {said}  answered {}\n  {body}\n",
        status.as_u16()
    )
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let secrets: Vec<Secret> = arguments
        .secret
        .iter()
        .filter_map(|secret| Secret::parse(secret))
        .collect();
    if let Some(to) = &arguments.forward {
        return forward::run(arguments, to, &secrets, context).await;
    }
    let proof = if secrets.is_empty() {
        None
    } else {
        let proof = DeliveryProof::new(&secrets, TOLERANCE);
        Some(proof.map_err(|why| Error::new(format!("--secret: {why}")))?)
    };
    let status = StatusCode::from_u16(arguments.status).map_err(|e| Error::new(format!("--status: {e}")))?;
    let (lines, mut printed) = mpsc::channel(LINES);
    let endpoint = Arc::new(Endpoint {
        proof,
        status,
        lines,
        json: context.terminal.json,
        clock: context.clock.clone(),
    });
    let listen = Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)));
    let bound = Bound::bind_first(&listen, None).map_err(|e| Error::new(e.to_string()))?;
    let serving = bound.serve(endpoint, Limits::default());
    if let Some(address) = serving.address() {
        let said = format!("Listening on http://{address}\n");
        if context.terminal.json {
            context.terminal.note(said.trim_end());
        } else {
            context.terminal.answer(said)?;
            context.terminal.flush()?;
        }
    }
    loop {
        tokio::select! {
            Some(line) = printed.recv() => {
                context.terminal.answer(line)?;
                context.terminal.flush()?;
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    serving.drain(Duration::from_secs(1)).await;
    Ok(Done::Well)
}
