//! Tests of webhooks. The gateway sends them itself: what is signed for a platform may carry the platform's secret, which
//! has no reason to leave the process for the caller's.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::Full;

use super::change::read;
use super::parts::Named;
use super::probe::{At, Way, probe};
use super::read::sender;
use super::{Answer, Api, Failure, State};
use crate::admin::wire::{RouteTest, RouteTestRequest, SenderTest, TestStep, WebhookRow};
use crate::document::reference::{Part, parts};
use crate::document::{Address, Code, Lookup as _, Resource, mask};
use crate::environment::Environment;
use crate::event::Name;
use crate::inbound::Sample;
use crate::reconcile::View;
use crate::store::{EventQuery, Page};

/// The header that marks test traffic, with a token that counts once.
const MARK: &str = "x-openclaw-test";

/// `POST /v1/webhooks/outbound/{name}/test`
pub(super) async fn outbound(api: State, Named(name): Named<String>) -> Answer<Json<SenderTest>> {
    let view = api.reconciler.view();
    let Some(key) = sender(&view, Some(&name))? else {
        return Err(Failure::not_found(format!("there is no outbound webhook `{name}`")));
    };
    let Some(attempt) = api.dispatcher.test(key).await else {
        return Err(degraded(&view, "outbound", &name));
    };
    #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
    let latency_ms = attempt.latency_us as f64 / 1000.0;
    Ok(Json(SenderTest {
        delivered: attempt.error.is_none(),
        status: attempt.status,
        error: attempt.error.map(str::to_owned),
        detail: attempt.detail,
        response: attempt.response,
        latency_ms,
    }))
}

/// What cannot be prepared cannot be tested.
fn degraded(view: &View, direction: &str, name: &str) -> Failure {
    let why = super::show::address(direction, name)
        .and_then(|address| view.degraded.get(&address).map(|problem| problem.message.clone()))
        .unwrap_or_else(|| "it is not prepared".to_owned());
    Failure::new(
        http::StatusCode::CONFLICT,
        "degraded",
        format!("`{name}` is degraded: {why}"),
    )
}

/// `POST /v1/webhooks/inbound/{name}/test`
pub(super) async fn inbound(
    api: State,
    Named(given): Named<String>,
    body: Result<Json<RouteTestRequest>, JsonRejection>,
) -> Answer<Json<RouteTest>> {
    let request = read(body)?;
    let view = api.reconciler.view();
    let missing = || Failure::not_found(format!("there is no inbound webhook `{given}` in what runs"));
    let name = Name::parse(&given).map_err(|_| missing())?;
    let address = Address::Inbound(name.clone());
    let resource = view.desired.resources.get(&address).ok_or_else(missing)?;
    if view.degraded.contains_key(&address) {
        return Err(degraded(&view, "inbound", &given));
    }
    let (url, at) = destination(&view, resource, request.local)?;
    let nonce = uuid::Uuid::now_v7().simple().to_string();
    let sample = api.routes.sample(&name, &format!("a test of this webhook ({nonce})"));
    let signed = sample.is_some();
    let token = api.routes.expect_test(&name);
    let way = Way {
        host: url.host_str().unwrap_or_default().to_owned(),
        port: url.port_or_known_default().unwrap_or(80),
        tls: url.scheme() == "https",
        at,
    };
    let sent = compose(&url, sample, &token)?;
    let (began_ms, before) = (api.clock.now_ms(), handshakes_and_refusals(&api, &name));
    let (status, steps) = probe(&way, sent).await;
    let mut test = RouteTest {
        url: mask::url(url.as_str()).into_owned(),
        signed,
        steps,
        status,
        seen: false,
        event: None,
        notes: Vec::new(),
    };
    let row = WebhookRow::of(&address, resource);
    let mut warnings = row.iter().flat_map(|row| &row.warnings);
    let unusable = warnings.find(|found| found.code == Code::UnusableKey.as_str());
    if let Some(found) = unusable {
        test.steps.push(TestStep {
            name: "key".to_owned(),
            ok: false,
            detail: found.message.clone(),
            latency_ms: 0.0,
        });
    } else if !signed {
        let platform = row.and_then(|row| row.platform);
        test.notes.push(format!(
            "only {} has the key that signs: an unsigned request was sent, and 401 is the right answer",
            platform.as_deref().unwrap_or("the platform")
        ));
    }
    if test.status.is_none() && !request.local {
        test.notes
            .push("the full URL does not lead here yet; --local tests the gateway's own listener".to_owned());
    }
    look(&api, &name, &nonce, began_ms, before, &mut test).await?;
    Ok(Json(test))
}

/// Where the request goes: the URL, and for `--local` the listener's own address under the URL's name.
fn destination(view: &View, resource: &Resource, local: bool) -> Answer<(url::Url, Option<At>)> {
    let full = resource
        .effective("url")
        .and_then(|value| value.as_text().map(str::to_owned));
    let full = full.map(|text| resolved(&text, &Environment::beside(&view.path)));
    let unusable = |text: &str| Failure::bad_request(format!("`{}` is no URL", mask::url(text)));
    if !local {
        let text = full.ok_or_else(|| {
            Failure::bad_request(
                "its full URL is not known: set webhooks.server.publicUrl or the webhook's `url`, or test it with --local",
            )
        })?;
        return Ok((text.parse().map_err(|_| unusable(&text))?, None));
    }
    let path = resource.effective("path");
    let path = path.as_ref().and_then(|path| path.as_text()).unwrap_or("/");
    let tls = view.public.starts_with("https:");
    let scheme = if tls { "https" } else { "http" };
    let authority = view
        .public
        .split_once("://")
        .map_or("localhost", |(_, authority)| authority);
    let at = match view.public.strip_prefix("unix:") {
        Some(path) => At::Unix(path.into()),
        None => At::Tcp(reachable(authority).ok_or_else(|| unusable(&view.public))?),
    };
    // The certificate is for the public name, not for the address.
    let named = full.and_then(|text| text.parse::<url::Url>().ok()).filter(|_| tls);
    let host = named.as_ref().and_then(|url| url.host_str()).unwrap_or(match at {
        At::Unix(_) => "localhost",
        At::Tcp(_) => authority,
    });
    let text = format!("{scheme}://{host}{path}");
    Ok((text.parse().map_err(|_| unusable(&text))?, Some(at)))
}

/// A listener's address as it is reached from this machine: listening everywhere includes it.
fn reachable(authority: &str) -> Option<std::net::SocketAddr> {
    let mut address: std::net::SocketAddr = authority.trim_end_matches('/').parse().ok()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(address)
}

/// A text with its `${NAME}` filled in; a variable that is not set is nothing, and what is left is no URL.
fn resolved(text: &str, environment: &Environment) -> String {
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::Literal(text) => out.push_str(&text),
            Part::Env { name, default } => match environment.env(name) {
                Some(value) => out.push_str(value.expose()),
                None => out.push_str(default.unwrap_or_default()),
            },
        }
    }
    out
}

/// The request as the platform would send it, with the mark; without a sample, an unsigned one.
fn compose(url: &url::Url, sample: Option<Sample>, token: &str) -> Answer<http::Request<Full<Bytes>>> {
    let unusable = |what: &str| Failure::bad_request(format!("{what} cannot be sent"));
    let mut query = url.query().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    let mut body = "{}".to_owned();
    if let Some(sample) = sample {
        if let Some(own) = sample.query {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(own.expose());
        }
        headers = sample.headers;
        body = sample.body;
    }
    let target = if query.is_empty() {
        url.path().to_owned()
    } else {
        format!("{}?{query}", url.path())
    };
    let authority = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let mut request = http::Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.parse().map_err(|_| unusable("the path"))?;
    let map = request.headers_mut();
    map.insert(
        "host",
        HeaderValue::from_str(&authority).map_err(|_| unusable("the host"))?,
    );
    map.insert("content-type", HeaderValue::from_static("application/json"));
    map.insert(
        "user-agent",
        HeaderValue::from_static(concat!("openclaw-test/", env!("CARGO_PKG_VERSION"))),
    );
    map.insert(MARK, HeaderValue::from_str(token).map_err(|_| unusable("the mark"))?);
    for (name, value) in headers {
        let name: HeaderName = name.parse().map_err(|_| unusable("a header"))?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| unusable("a header's value"))?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(request)
}

fn handshakes_and_refusals(api: &Api, name: &Name) -> (u64, u64) {
    let figures = api.routes.figures(name).unwrap_or_default();
    (figures.handshakes, figures.refused.iter().map(|(_, count)| count).sum())
}

/// Whether the request came through to this gateway: its event, else the route's counters say so.
async fn look(
    api: &Api,
    name: &Name,
    nonce: &str,
    began_ms: i64,
    before: (u64, u64),
    test: &mut RouteTest,
) -> Answer<()> {
    let query = EventQuery {
        source: Some(name.to_string()),
        since_ms: Some(began_ms),
        page: Page {
            limit: 100,
            cursor: None,
        },
        ..EventQuery::default()
    };
    let rows = api.store.events(query).await?.items;
    let ours = rows.iter().find(|row| row.data.as_str().contains(nonce));
    if let Some(row) = ours.or_else(|| rows.iter().find(|row| row.test)) {
        test.seen = true;
        test.event = Some(row.id.clone());
        if !row.test {
            test.notes.push(format!(
                "something on the way took the header {MARK} off: the event counts as real traffic"
            ));
        }
        return Ok(());
    }
    let after = handshakes_and_refusals(api, name);
    let Some(status) = test.status else { return Ok(()) };
    if (200..300).contains(&status) {
        test.seen = after.0 > before.0;
        if test.seen {
            test.notes
                .push("the route answered it as a handshake: it holds no event".to_owned());
        } else {
            test.notes
                .push("what answers at this URL is not this gateway: no event was seen".to_owned());
        }
    } else {
        test.seen = after.1 > before.1;
        let note = match (test.seen, status) {
            (true, 401) if !test.signed => return Ok(()),
            (true, _) => "this gateway refused it: `openclaw webhooks logs` says why",
            (false, _) => "it did not come to this gateway: what is in between answered",
        };
        test.notes.push(note.to_owned());
    }
    Ok(())
}
