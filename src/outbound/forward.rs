//! The request itself, as the platform sent it: for an assistant that speaks the platform's language.
//!
//! Method, query, body and the platform's own headers are those of the stored request; what proves it is made anew at each
//! attempt, for signed times go stale and tokens are not stored.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::Uri;

use super::attempt::{Class, Delivery, Failure};
use super::payload::Payload;
use super::prepared::PreparedSender;
use crate::proof::{Proofs, Unprovable, Unproved};
use crate::store::Store;

/// Headers of the connection that the request came in by, and of proxies on its way: they say nothing about the next one.
/// OpenClaw answers the proxies' with 403.
const LEFT_OUT: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
    "x-openclaw-test",
];

pub(super) async fn payload(
    store: &dyn Store,
    proofs: Option<&dyn Proofs>,
    sender: &PreparedSender,
    delivery: &Delivery<'_>,
) -> Result<Payload, Failure> {
    if delivery.event.test {
        return Err(Failure::new(
            Class::Template,
            "there is no request to forward: only what a platform really sent is forwarded",
        ));
    }
    let stored = store.raw_request(delivery.event.id.as_str()).await;
    let request = match stored {
        Ok(Some(stored)) => stored.request,
        Ok(None) => return Err(Failure::new(Class::Template, "the event was not made by a request")),
        Err(error) => return Err(Failure::new(Class::Local, format_args!("the store failed: {error}"))),
    };
    let unproved = Unproved {
        method: &request.method,
        target: &request.target,
        headers: &request.headers,
        body: &request.body,
    };
    let proof = match proofs {
        Some(proofs) => proofs.proof(&request.route, &unproved, delivery.now),
        None => Err(Unprovable::NotNow),
    };
    let proof = proof.map_err(|why| {
        let class = match why {
            Unprovable::Gone => Class::Template,
            Unprovable::NotNow => Class::Local,
        };
        Failure::new(class, format_args!("webhooks.inbound.{} {why}", request.route))
    })?;

    let mut headers = HeaderMap::with_capacity(request.headers.len() + 4);
    for (name, value) in &request.headers {
        if !LEFT_OUT.contains(&name.as_str()) && !name.as_str().starts_with("x-forwarded-") {
            headers.append(name, value.clone());
        }
    }
    for (name, value) in proof.headers {
        let (Ok(name), Ok(mut value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.expose_bytes()),
        ) else {
            return Err(Failure::new(
                Class::Template,
                format_args!("the proof does not fit the header {name}"),
            ));
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let own = request.target.split_once('?').map(|(_, query)| query);
    let proving = proof.query.as_ref().map(crate::secret::Secret::expose);
    Ok(Payload {
        method: request.method,
        uri: uri(&sender.uri, [own, proving])?,
        headers,
        body: proof.body.unwrap_or(request.body),
    })
}

/// The endpoint with what the query holds beside its own; `None`: as it is.
fn uri(endpoint: &Uri, more: [Option<&str>; 2]) -> Result<Option<Uri>, Failure> {
    let more: Vec<&str> = more.into_iter().flatten().filter(|query| !query.is_empty()).collect();
    if more.is_empty() {
        return Ok(None);
    }
    let mark = if endpoint.query().is_some() { '&' } else { '?' };
    Uri::try_from(format!("{endpoint}{mark}{}", more.join("&")))
        .map(Some)
        .map_err(|_| Failure::new(Class::Template, "the request's query cannot be put behind the URL"))
}
