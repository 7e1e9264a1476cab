//! What the API tells: every GET.

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::parts::{Named, Params};
use super::{Answer, Api, Failure, State, show};
use crate::admin::wire::{Listing, Status, WebhookDetail, WebhookRow};
use crate::clock::last_midnight;
use crate::document::Address;
use crate::event::Name;
use crate::reconcile::View;
use crate::store::{
    DeadLetter, DeadQuery, EventQuery, EventRow, Generation, LogEntry, LogQuery, Page, SenderKey, Story,
};

/// How many rows a listing has where nothing is said, and at most.
const LIMITS: (usize, usize) = (100, 1000);

/// How many resources `attention` names at most.
const ATTENTION: usize = 1000;

/// Which page of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PageQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

impl PageQuery {
    fn page(&self) -> Page {
        let limit = self.limit.unwrap_or(LIMITS.0).clamp(1, LIMITS.1);
        Page {
            limit,
            cursor: self.cursor.clone(),
        }
    }
}

pub(super) async fn status(api: State) -> Answer<Json<Status>> {
    let view = api.reconciler.view();
    let (inbound, outbound) = view.desired.counts();
    let attention = show::attention(&api, &view, ATTENTION);
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: Some(view.started.as_millisecond()),
        generation: Some(view.generation.clone()),
        document: show::document_status(&view),
        inbound: inbound as u64,
        outbound: outbound as u64,
        totals: api.store.totals().await?,
        conditions: view.conditions.to_vec().iter().map(show::condition).collect(),
        attention,
    }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DocumentQuery {
    generation: Option<u64>,
}

/// The applied document, byte for byte; its ETag is the generation.
pub(super) async fn document(api: State, Params(query): Params<DocumentQuery>) -> Answer<Response> {
    let view = api.reconciler.view();
    let (number, bytes) = match query.generation {
        Some(number) if number != view.generation.number => {
            let (generation, bytes) = api.store.generation(number).await?.ok_or_else(|| {
                Failure::not_found(format!(
                    "generation {number} is not kept: `openclaw history` lists those that are"
                ))
            })?;
            (generation.number, bytes)
        }
        _ => (view.generation.number, view.document.to_vec()),
    };
    let mut headers = HeaderMap::new();
    let etag =
        http::HeaderValue::from_str(&format!("\"{number}\"")).map_err(|e| Failure::bad_request(e.to_string()))?;
    headers.insert("etag", etag);
    headers.insert(
        "content-type",
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok((headers, bytes).into_response())
}

pub(super) async fn webhooks(api: State, Params(query): Params<PageQuery>) -> Answer<Json<Listing<WebhookRow>>> {
    let view = api.reconciler.view();
    let page = query.page();
    let after = match &page.cursor {
        Some(cursor) => {
            Some(Address::parse(cursor).ok_or_else(|| Failure::bad_request("the cursor is not one of ours"))?)
        }
        None => None,
    };
    let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
    let mut rows = view
        .desired
        .resources
        .range((from, std::ops::Bound::Unbounded))
        .filter_map(|(address, resource)| Some((address, show::row(&api, &view, address, resource)?)));
    let mut last = None;
    let mut items = Vec::new();
    for (address, row) in rows.by_ref().take(page.limit) {
        last = Some(address.to_string());
        items.push(row);
    }
    let next = rows.next().and(last);
    Ok(Json(Listing { items, next }))
}

pub(super) async fn webhook(
    api: State,
    Named((direction, name)): Named<(String, String)>,
) -> Answer<Json<WebhookDetail>> {
    let view = api.reconciler.view();
    let missing = || Failure::not_found(format!("there is no {direction} webhook `{name}` in what runs"));
    let address = show::address(&direction, &name).ok_or_else(missing)?;
    let resource = view.desired.resources.get(&address).ok_or_else(missing)?;
    let row = show::row(&api, &view, &address, resource).ok_or_else(missing)?;
    let conditions = vec![show::ready(&api, &view, &address, &row)];
    let mut detail = WebhookDetail {
        webhook: row,
        conditions,
        route: None,
        counters: None,
        sender: None,
        live: None,
    };
    match &address {
        Address::Inbound(name) => {
            let midnight = last_midnight(api.clock.now()).as_millisecond();
            detail.route = Some(api.store.route_figures(name.as_str(), midnight).await?);
            detail.counters = api.routes.figures(name).map(|figures| show::counters(&figures));
        }
        Address::Outbound(name) => {
            if let Some(key) = view.keys.get(name) {
                detail.sender = Some(api.store.sender_figures(*key).await?);
            }
            detail.live = api.dispatcher.status(name).map(|status| show::live(&status));
        }
        _ => {}
    }
    Ok(Json(detail))
}

pub(super) async fn generations(api: State, Params(query): Params<PageQuery>) -> Answer<Json<Listing<Generation>>> {
    Ok(Json(api.store.generations(query.page()).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogsQuery {
    sender: Option<String>,
    route: Option<String>,
    failed: bool,
    status: Option<u16>,
    since: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) async fn logs(api: State, Params(query): Params<LogsQuery>) -> Answer<Json<Listing<LogEntry>>> {
    let view = api.reconciler.view();
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    }
    .page();
    let log = LogQuery {
        sender: sender(&view, query.sender.as_deref())?,
        route: query.route,
        failed: query.failed,
        status: query.status,
        since_ms: since(&api, "since", query.since.as_deref())?,
        page,
    };
    Ok(Json(api.store.logs(log).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeadLettersQuery {
    sender: Option<String>,
    event: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) async fn dead(api: State, Params(query): Params<DeadLettersQuery>) -> Answer<Json<Listing<DeadLetter>>> {
    let view = api.reconciler.view();
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    }
    .page();
    let dead = DeadQuery {
        sender: sender(&view, query.sender.as_deref())?,
        event_id: query.event,
        since_ms: since(&api, "since", query.since.as_deref())?,
        before_ms: None,
        page,
    };
    Ok(Json(api.store.dead(dead).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventsQuery {
    undelivered: bool,
    event: Option<String>,
    source: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) async fn events(api: State, Params(query): Params<EventsQuery>) -> Answer<Json<Listing<EventRow>>> {
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    }
    .page();
    let events = EventQuery {
        undelivered: query.undelivered,
        name: query.event,
        source: query.source,
        since_ms: since(&api, "since", query.since.as_deref())?,
        page,
    };
    Ok(Json(api.store.events(events).await?))
}

pub(super) async fn story(api: State, Named(id): Named<String>) -> Answer<Json<Story>> {
    let story = api.store.story(&id).await?;
    story.map(Json).ok_or_else(|| no_event(&id))
}

pub(super) fn no_event(id: &str) -> Failure {
    Failure::not_found(format!("there is no event `{id}`: it may be older than the retention"))
}

/// A sender that runs, by its name.
pub(super) fn sender(view: &View, name: Option<&str>) -> Answer<Option<SenderKey>> {
    let Some(text) = name else { return Ok(None) };
    let key = Name::parse(text).ok().and_then(|name| view.keys.get(&name).copied());
    key.map(Some)
        .ok_or_else(|| Failure::not_found(format!("there is no outbound webhook `{text}` in what runs")))
}

/// A time: RFC 3339, or how long ago (`15m`, `24h`, `7d`).
pub(super) fn since(api: &Api, what: &str, text: Option<&str>) -> Answer<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Some(at.as_millisecond()));
    }
    match crate::document::parse_duration(text) {
        Some(ago_ms) => Ok(Some(
            api.clock
                .now_ms()
                .saturating_sub(i64::try_from(ago_ms).unwrap_or(i64::MAX)),
        )),
        None => Err(Failure::bad_request(format!(
            "{what}: `{text}` is neither a time (RFC 3339) nor a duration such as 24h"
        ))),
    }
}
