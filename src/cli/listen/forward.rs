//! `openclaw listen --forward`: the gateway's events, signed and delivered to a program on this machine.

use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use serde_json::json;
use url::{Host, Url};

use super::Arguments;
use crate::cli::events::follow::{Followed, Follower};
use crate::cli::source::Source;
use crate::cli::{Context, Done, Error, time};
use crate::event::Event;
use crate::outbound::StandIn;
use crate::secret::Secret;
use crate::store::{EventRow, SenderKey, delivery_id};

/// How long the program may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A URL of this machine: the gateway's egress check does not stand before it.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "http" | "https" if here => Ok(url),
        "http" | "https" => Err("forwards to this machine alone: http://localhost:PORT/…".to_owned()),
        _ => Err("write http://localhost:PORT/…".to_owned()),
    }
}

/// What came of a delivery.
struct Outcome {
    status: Option<u16>,
    error: Option<String>,
    latency_ms: f64,
}

/// Follows the gateway's events until it is told to stop. One attempt each, one after the other.
pub(super) async fn run(
    arguments: &Arguments,
    to: &Url,
    secrets: &[Secret],
    context: &mut Context,
) -> Result<Done, Error> {
    let sender = StandIn::new(secrets).map_err(|why| Error::new(format!("--secret: {why}")))?;
    let (_, client) = Source::of_gateway(context)?;
    let gateway = client.gateway().to_string();
    let mut follower = Follower::start(client, None).await?;
    let http = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| Error::new(error.to_string()))?;
    context
        .terminal
        .note(&format!("Forwarding the events of {gateway} to {to}"));
    loop {
        match follower.next().await? {
            Followed::Event(row) => {
                let Some(event) = row.event() else { continue };
                if !arguments.events.is_empty() && !arguments.events.iter().any(|p| p.matches(&event.name)) {
                    continue;
                }
                let outcome = deliver(&sender, &event, to, &http, context).await;
                let line = told(&row, &outcome, context.terminal.json);
                context.terminal.answer(line)?;
                context.terminal.flush()?;
            }
            Followed::Gap => context
                .terminal
                .note("more came than is forwarded: some events are skipped"),
            Followed::BrokenOff => context.terminal.detail("the stream broke off: asking again"),
            Followed::Ended => return Ok(Done::Well),
        }
    }
}

async fn deliver(sender: &StandIn, event: &Event, to: &Url, http: &reqwest::Client, context: &Context) -> Outcome {
    // No sender has the key 0.
    let delivery = delivery_id(event.id.as_str(), SenderKey(0));
    let (headers, body) = sender.delivery(event, &delivery, context.clock.now());
    let request = http.post(to.clone()).headers(headers).body(body);
    let began = Instant::now();
    let answer = request.send().await;
    let latency_ms = began.elapsed().as_secs_f64() * 1000.0;
    match answer {
        Ok(answer) => Outcome {
            status: Some(answer.status().as_u16()),
            error: None,
            latency_ms,
        },
        Err(error) => Outcome {
            status: None,
            error: Some(if error.is_timeout() {
                format!("no answer within {} s", TIMEOUT.as_secs())
            } else if error.is_connect() {
                "nothing answers there".to_owned()
            } else {
                "the connection broke".to_owned()
            }),
            latency_ms,
        },
    }
}

fn told(row: &EventRow, outcome: &Outcome, json: bool) -> String {
    if json {
        let line = json!({
            "event": row.event, "id": row.id, "status": outcome.status, "error": outcome.error,
            "latencyMs": outcome.latency_ms,
        });
        return format!("{line}\n");
    }
    let said = match (outcome.status, &outcome.error) {
        (Some(status), _) => format!("answered {status}"),
        (None, error) => error.clone().unwrap_or_default(),
    };
    format!(
        "{}  {}  {said}  {}\n",
        row.event,
        row.id,
        time::precise(outcome.latency_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_forwarded_to() {
        for here in [
            "http://localhost:3000/in",
            "http://127.0.0.1:1",
            "https://[::1]/x",
            "http://app.localhost/",
        ] {
            assert!(parse(here).is_ok(), "{here}");
        }
        for other in [
            "http://example.com/",
            "http://10.0.0.1/",
            "ftp://localhost/",
            "localhost:3000",
            "http://169.254.169.254/",
            "",
        ] {
            assert!(parse(other).is_err(), "{other}");
        }
    }
}
