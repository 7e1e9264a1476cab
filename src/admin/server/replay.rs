//! `POST /v1/replay`: stored events once more.

use std::collections::HashSet;

use axum::Json;

use super::change::{Body, read};
use super::read::{no_event, sender, since};
use super::{Answer, Api, Failure, State};
use crate::admin::wire::{ReplayRequest, Replayed};
use crate::document::Address;
use crate::event::{Event, EventId, EventName, Name};
use crate::plan::impact::Taste;
use crate::store::{Append, DeadQuery, EventQuery, EventRow, NewEvent, Page, Replay, SenderKey, StoredRequest};

/// The most events that one request may send under new ids.
const MOST_NEW: usize = 10_000;

/// The most bytes of data that they may have together: 64 MiB.
const MOST_NEW_BYTES: usize = 64 << 20;

/// The most requests that are named because they failed.
const MOST_FAILED: usize = 100;

/// Events of one page, and of one append.
const PAGE: usize = 1_000;

pub(super) async fn replay(api: State, body: Body<ReplayRequest>) -> Answer<Json<Replayed>> {
    let request = read(body)?;
    if let Some(id) = &request.event
        && api.store.story(id).await?.is_none()
    {
        return Err(no_event(id));
    }
    let since_ms = since(&api, "since", request.since.as_deref())?;
    let name = match (&request.sender, &request.route) {
        (Some(sender), None) => sender,
        (None, Some(route)) => return again(&api, route, &request, since_ms).await.map(Json),
        _ => return Err(Failure::bad_request("say `sender` or `route`")),
    };
    let replay = Replay {
        sender: sender(&api.reconciler.view(), Some(name))?,
        failed: request.failed,
        event_id: request.event.clone(),
        since_ms,
        now_ms: api.clock.now_ms(),
    };
    let owed = if request.new_id {
        under_new_ids(&api, name, replay).await?
    } else {
        api.store.replay(replay).await?
    };
    Ok(Json(Replayed {
        owed: Some(owed),
        ..Replayed::default()
    }))
}

/// Runs the stored requests of a route through today's normaliser. The new events hold no request: it is there already, and
/// is not read once more by the next replay.
async fn again(api: &Api, route: &str, request: &ReplayRequest, since_ms: Option<i64>) -> Answer<Replayed> {
    let name = Name::parse(route)
        .ok()
        .filter(|name| api.routes.figures(name).is_some());
    if name.is_none() {
        let detail = format!("there is no inbound webhook `{route}` in what runs");
        return Err(Failure::not_found(detail));
    }
    let stored = stored_requests(api, route, request.event.as_deref(), since_ms).await?;
    let (mut events, mut failed) = (0, Vec::new());
    let requests = stored.len() as u64;
    for (id, stored) in stored.into_iter().rev() {
        match api.routes.read_again(&stored.request, stored.at_ms) {
            Ok(new) if new.is_empty() => failed.push(format!("{id}: it makes no event any more")),
            Ok(new) => {
                events += new.len() as u64;
                let append = Append {
                    request: None,
                    events: new,
                    to: None,
                    now_ms: api.clock.now_ms(),
                };
                api.store.append(append).await?;
            }
            Err(why) => failed.push(format!("{id}: {why}")),
        }
    }
    failed.truncate(MOST_FAILED);
    Ok(Replayed {
        requests: Some(requests),
        events: Some(events),
        failed,
        ..Replayed::default()
    })
}

/// Each request once, the newest first, with an event that it made.
async fn stored_requests(
    api: &Api,
    route: &str,
    event: Option<&str>,
    since_ms: Option<i64>,
) -> Answer<Vec<(String, StoredRequest)>> {
    let (mut found, mut seen, mut bytes, mut cursor) = (Vec::new(), HashSet::new(), 0, None);
    loop {
        let query = EventQuery {
            source: Some(route.to_owned()),
            since_ms,
            page: Page { limit: PAGE, cursor },
            ..EventQuery::default()
        };
        let (ids, next): (Vec<String>, _) = if let Some(id) = event {
            (vec![id.to_owned()], None)
        } else {
            let listing = api.store.events(query).await?;
            let real = listing.items.into_iter().filter(|row| !row.test);
            (real.map(|row| row.id).collect(), listing.next)
        };
        for id in ids {
            let Some(stored) = api.store.raw_request(&id).await? else {
                continue;
            };
            if stored.request.route.as_str() == route && seen.insert(stored.first) {
                bytes += stored.request.body.len();
                found.push((id, stored));
            }
            if found.len() > MOST_NEW || bytes > MOST_NEW_BYTES {
                return Err(too_much());
            }
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    match event.filter(|_| found.is_empty()) {
        Some(id) => Err(Failure::not_found(format!(
            "no request of `{route}` is stored for `{id}`"
        ))),
        None => Ok(found),
    }
}

fn too_much() -> Failure {
    let detail = format!("more than {MOST_NEW} events, or 64 MiB: name a later `since`, or replay without new ids");
    Failure::new(http::StatusCode::PAYLOAD_TOO_LARGE, "too much at once", detail)
}

/// Makes new events of stored ones, owed to one sender alone. Every receiver takes them for new.
async fn under_new_ids(api: &Api, name: &str, replay: Replay) -> Answer<u64> {
    let key = replay
        .sender
        .ok_or_else(|| Failure::bad_request("`sender` is missing"))?;
    let mut rows = if replay.failed || replay.event_id.is_some() {
        named(api, key, &replay).await?
    } else {
        subscribed(api, name, &replay).await?
    };
    let mut owed = 0;
    while !rows.is_empty() {
        // The oldest first, as they were stored.
        let rest = rows.len().saturating_sub(PAGE);
        let events: Vec<_> = rows.drain(rest..).rev().filter_map(|row| renewed(&row)).collect();
        owed += events.len() as u64;
        let append = Append {
            request: None,
            events,
            to: Some(key),
            now_ms: replay.now_ms,
        };
        api.store.append(append).await?;
    }
    Ok(owed)
}

/// The newest first.
#[derive(Default)]
struct Gathered {
    rows: Vec<EventRow>,
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, row: EventRow) -> Answer<()> {
        self.bytes += row.data.as_str().len();
        self.rows.push(row);
        if self.rows.len() > MOST_NEW || self.bytes > MOST_NEW_BYTES {
            return Err(too_much());
        }
        Ok(())
    }
}

/// The event that was named, or the sender's dead letters.
async fn named(api: &Api, key: SenderKey, replay: &Replay) -> Answer<Vec<EventRow>> {
    let mut gathered = Gathered::default();
    if !replay.failed {
        let story = api.store.story(replay.event_id.as_deref().unwrap_or_default()).await?;
        return Ok(story.into_iter().map(|story| story.event).collect());
    }
    let mut cursor = None;
    loop {
        let query = DeadQuery {
            sender: Some(key),
            event_id: replay.event_id.clone(),
            page: Page { limit: PAGE, cursor },
            ..DeadQuery::default()
        };
        let listing = api.store.dead(query).await?;
        for letter in listing.items {
            let story = api.store.story(&letter.event_id).await?;
            let event = story.map(|story| story.event);
            let event = event.filter(|event| replay.since_ms.is_none_or(|since_ms| event.at_ms >= since_ms));
            event.map_or(Ok(()), |event| gathered.add(event))?;
        }
        cursor = listing.next;
        if cursor.is_none() {
            return Ok(gathered.rows);
        }
    }
}

/// What the sender subscribes to.
async fn subscribed(api: &Api, name: &str, replay: &Replay) -> Answer<Vec<EventRow>> {
    let view = api.reconciler.view();
    let resource = Name::parse(name)
        .ok()
        .and_then(|name| view.desired.resources.get(&Address::Outbound(name)));
    let Some(taste) = resource.map(|resource| Taste::of(resource, &|_| None)) else {
        return Ok(Vec::new());
    };
    let mut gathered = Gathered::default();
    let mut cursor = None;
    loop {
        let query = EventQuery {
            since_ms: replay.since_ms,
            page: Page { limit: PAGE, cursor },
            ..EventQuery::default()
        };
        let listing = api.store.events(query).await?;
        for row in listing.items {
            let source = row.source.as_deref().and_then(|source| Name::parse(source).ok());
            let wanted = EventName::parse(&row.event).is_some_and(|event| taste.subscribes(&event, source.as_ref()));
            if wanted {
                gathered.add(row)?;
            }
        }
        cursor = listing.next;
        if cursor.is_none() {
            return Ok(gathered.rows);
        }
    }
}

/// The same event under a new id; `None`: one that this release cannot read.
fn renewed(row: &EventRow) -> Option<NewEvent> {
    let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(row.data.as_str()).ok()?;
    let session = data.get("sessionId").and_then(|session| session.as_str());
    let event = Event {
        id: EventId::new(),
        session: session.map(Into::into),
        ..row.event()?
    };
    Some(NewEvent { event, key: None })
}
