//! What the API does: every POST.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::parts::Named;
use super::read::{sender, since};
use super::{Answer, Api, Failure, State};
use crate::admin::impact;
use crate::admin::wire::{
    ApplyOutcome, ApplyRequest, DiagnosticRow, ImpactRequest, PlanDocument, PlanRequest, Problem, PurgeRequest, Purged,
};
use crate::document;
use crate::event::{Data, Event, EventId, EventName, Name};
use crate::inbound::PublishedData;
use crate::plan::impact::Impact;
use crate::plan::render::{Base, DocumentRow, Drift};
use crate::plan::{self};
use crate::reconcile::{Outcome, Planned, Proposal, Rejected, Rollback, View};
use crate::store::{Append, Cause, DeadQuery, DedupeKey, Generation, NewEvent};

/// The scope of the API's own delivery keys: no webhook can have that name.
const API_SCOPE: &str = "api:";

/// How long the API remembers an event's id.
const API_DEDUPE_MS: i64 = 7 * 86_400_000;

/// How many events one request may publish.
const MOST_EVENTS: usize = 1000;

pub(super) type Body<T> = Result<Json<T>, JsonRejection>;

pub(super) fn read<T>(body: Body<T>) -> Answer<T> {
    body.map(|Json(value)| value).map_err(|e| {
        let status = if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
            e.status()
        } else {
            StatusCode::BAD_REQUEST
        };
        Failure::new(status, "the request cannot be read", e.body_text())
    })
}

// ---- documents ----

pub(super) async fn plan(api: State, body: Body<PlanRequest>) -> Answer<Json<PlanDocument>> {
    let request = read(body)?;
    same_format(&api, request.format)?;
    if let Some(number) = request.against {
        return against(&api, &request, number).await.map(Json);
    }
    let document = request.document.map(String::into_bytes);
    let planned = api.reconciler.plan(document, request.candidate).await?;
    let impact = impact(&api, request.impact.as_ref(), &planned).await?;
    let path = request
        .path
        .unwrap_or_else(|| api.reconciler.path().display().to_string());
    let mut document = plan_document(planned, path, request.git_commit);
    document.impact = impact;
    Ok(Json(document))
}

async fn impact(api: &Api, request: Option<&ImpactRequest>, planned: &Planned) -> Answer<Option<Impact>> {
    let Some(request) = request else { return Ok(None) };
    let since_ms = since(api, "impact.since", request.since.as_deref())?;
    let since_ms = since_ms.unwrap_or_else(|| api.clock.now_ms().saturating_sub(impact::DEFAULT_SINCE_MS));
    let documents = planned.desired.clone();
    Ok(Some(impact::weigh(api.store.as_ref(), documents, since_ms).await?))
}

fn plan_document(planned: Planned, path: String, git_commit: Option<String>) -> PlanDocument {
    let base = Base {
        generation: Some(planned.base.number),
        sha256: Some(planned.base.sha256),
    };
    let mut document = PlanDocument::new(
        &planned.plan,
        base,
        DocumentRow {
            path,
            sha256: planned.sha256,
            git_commit,
        },
    )
    .with_diagnostics(&planned.diagnostics);
    document.held = planned.held;
    document.not_checked = planned.not_checked;
    let drift = |problem: crate::reconcile::Problem| Drift {
        address: problem.address.to_string(),
        reason: problem.reason.to_owned(),
        message: problem.message,
    };
    document.drift = planned.drift.into_iter().map(drift).collect();
    document
}

/// The difference to an earlier generation: pure, nothing is prepared.
async fn against(api: &Api, request: &PlanRequest, number: u64) -> Answer<PlanDocument> {
    let missing = || Failure::from(Rejected::NoGeneration(number));
    let (generation, bytes) = api.store.generation(number).await?.ok_or_else(missing)?;
    let view = api.reconciler.view();
    let wanted = match &request.document {
        Some(text) => text.clone().into_bytes(),
        None => api.reconciler.read_file().await?,
    };
    let path = request.path.clone().unwrap_or_else(|| view.path.display().to_string());
    let shown = path.clone();
    let comparing = tokio::task::spawn_blocking(move || compared(&view, generation, &bytes, &shown, &wanted));
    let cut = |e: tokio::task::JoinError| {
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the plan was cut short",
            e.to_string(),
        )
    };
    let planned = comparing.await.map_err(cut)??;
    let impact = impact(api, request.impact.as_ref(), &planned).await?;
    let mut document = plan_document(planned, path, request.git_commit.clone());
    document.impact = impact;
    Ok(document)
}

/// The difference between a generation's document and another one. Takes as long as reading both.
fn compared(view: &View, generation: Generation, bytes: &[u8], path: &str, wanted: &[u8]) -> Result<Planned, Rejected> {
    let load = |shown: &str, bytes: &[u8]| {
        let source = document::Source {
            path: shown,
            format: view.format,
            text: bytes,
        };
        let loaded = document::load_after(Some((&view.document, &view.desired)), &source);
        match loaded.desired {
            Some(desired) => Ok((desired, loaded.diagnostics)),
            None => Err(Rejected::Document(loaded.diagnostics)),
        }
    };
    let (before, _) = load(&format!("generation {}", generation.number), bytes)?;
    let (after, diagnostics) = load(path, wanted)?;
    let observed = plan::Observed {
        generation: Some(generation.number),
        sha256: Some(generation.sha256.clone()),
        desired: before.into(),
        fingerprints: plan::Fingerprints::default(),
        owed: std::collections::BTreeMap::default(),
    };
    Ok(Planned {
        plan: plan::diff(&observed, &after, &plan::Fingerprints::default()),
        base: generation,
        desired: [observed.desired, after.into()],
        sha256: crate::reconcile::sha256(wanted),
        diagnostics,
        held: None,
        not_checked: Vec::new(),
        drift: Vec::new(),
    })
}

pub(super) async fn apply(api: State, body: Body<ApplyRequest>) -> Answer<Json<ApplyOutcome>> {
    let request = read(body)?;
    same_format(&api, request.format)?;
    let Some(base) = request.base_generation else {
        let detail = "`baseGeneration` is missing: the generation that the change was made from (/v1/status has it)";
        return Err(Problem::new(428, Problem::BASE_MISSING, "base generation missing", detail).into());
    };
    let outcome = if let Some(number) = request.rollback_to {
        let to = Rollback {
            number,
            base: Some(base),
            allow_deletes: request.allow_deletes,
            who: request.who,
        };
        api.reconciler.rollback(to).await?
    } else {
        let proposal = Proposal {
            document: request.document.into_bytes(),
            base: Some(base),
            allow_deletes: request.allow_deletes,
            who: request.who,
            git_commit: request.git_commit,
            cause: Cause::Push,
        };
        api.reconciler.apply(proposal).await?
    };
    Ok(Json(applied(outcome)))
}

pub(super) async fn reload(api: State) -> Answer<Json<ApplyOutcome>> {
    Ok(Json(applied(api.reconciler.reload().await?)))
}

fn applied(outcome: Outcome) -> ApplyOutcome {
    ApplyOutcome {
        generation: Some(outcome.generation),
        made: outcome.applied,
        summary: outcome.plan.summary(),
        notes: outcome.notes,
    }
}

/// The gateway's file keeps its format: its name says which it is.
fn same_format(api: &Api, format: Option<crate::admin::wire::DocumentFormat>) -> Answer<()> {
    let view = api.reconciler.view();
    match format {
        Some(format) if document::Format::from(format) != view.format => Err(Problem::new(
            422,
            Problem::DOCUMENT,
            "another format",
            format!(
                "the gateway's document is {}: send one in its format",
                view.path.display()
            ),
        )
        .into()),
        _ => Ok(()),
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        let detail = rejected.to_string();
        match rejected {
            Rejected::Document(found) => {
                let mut problem = Problem::new(422, Problem::DOCUMENT, "the document has errors", detail);
                problem.diagnostics = found.iter().map(DiagnosticRow::from).collect();
                problem.into()
            }
            Rejected::Prepare(found) => {
                let mut problem = Problem::new(
                    422,
                    Problem::PREPARE,
                    "the document cannot be prepared",
                    "nothing was changed",
                );
                problem.reasons = found.iter().map(ToString::to_string).collect();
                problem.into()
            }
            Rejected::Held(held) => {
                let mut problem = Problem::new(
                    409,
                    Problem::HELD,
                    "held",
                    "it deletes more than it may without being told to",
                );
                problem.reasons = held.reasons;
                problem.hints = vec!["`openclaw apply --allow-deletes` carries it out".to_owned()];
                problem.into()
            }
            Rejected::Empty(_) => Problem::new(422, Problem::DOCUMENT, "the document is empty", detail).into(),
            Rejected::ExecProvider(_) => Self::new(StatusCode::FORBIDDEN, "a new exec provider", detail),
            Rejected::Stale { .. } => Problem::new(409, Problem::STALE, "stale", detail).into(),
            Rejected::File(_) | Rejected::Edited { .. } => {
                Self::new(StatusCode::CONFLICT, "the document's file", detail)
            }
            Rejected::Store(e) => e.into(),
            Rejected::Busy | Rejected::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not now", detail),
            Rejected::NoGeneration(_) => Self::not_found(detail),
        }
    }
}

// ---- senders and events ----

pub(super) async fn resume(api: State, Named(name): Named<String>) -> Answer<Json<serde_json::Value>> {
    let view = api.reconciler.view();
    let key = Name::parse(&name).ok().and_then(|name| view.keys.get(&name).copied());
    let key = key.ok_or_else(|| Failure::not_found(format!("there is no outbound webhook `{name}` in what runs")))?;
    let was_suspended = api.dispatcher.resume(key);
    Ok(Json(serde_json::json!({ "resumed": was_suspended })))
}

pub(super) async fn purge(api: State, body: Body<PurgeRequest>) -> Answer<Json<Purged>> {
    let request = read(body)?;
    let query = DeadQuery {
        sender: sender(&api.reconciler.view(), request.sender.as_deref())?,
        event_id: request.event,
        before_ms: since(&api, "before", request.before.as_deref())?,
        ..DeadQuery::default()
    };
    let purged = api.store.purge_dead(query).await?;
    Ok(Json(Purged { purged }))
}

/// An event to publish.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish {
    event: String,
    data: Box<RawValue>,
    id: Option<String>,
    timestamp: Option<String>,
}

/// One of them, or several.
#[derive(Debug)]
pub(super) struct PublishAll(Vec<Publish>);

impl<'de> Deserialize<'de> for PublishAll {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        // Raw first: an untagged enum would lose the digits of numbers inside `data`.
        let raw = Box::<RawValue>::deserialize(from)?;
        let text = raw.get();
        let events = if text.starts_with('[') {
            serde_json::from_str(text).map_err(D::Error::custom)?
        } else {
            vec![serde_json::from_str(text).map_err(D::Error::custom)?]
        };
        Ok(Self(events))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Published {
    events: Vec<PublishedEvent>,
}

#[derive(Debug, Serialize)]
struct PublishedEvent {
    id: String,
    duplicate: bool,
}

pub(super) async fn publish(api: State, body: Body<PublishAll>) -> Answer<(StatusCode, Json<Published>)> {
    let PublishAll(events) = read(body)?;
    if events.len() > MOST_EVENTS {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too many events",
            format!("at most {MOST_EVENTS} in one request"),
        ));
    }
    let now = api.clock.now();
    let events = events
        .into_iter()
        .enumerate()
        .map(|(at, event)| new_event(at, event, now))
        .collect::<Answer<_>>()?;
    let append = Append {
        request: None,
        events,
        to: None,
        now_ms: now.as_millisecond(),
    };
    let appended = api.store.append(append).await?;
    let events = appended
        .into_iter()
        .map(|e| PublishedEvent {
            id: e.id,
            duplicate: e.duplicate,
        })
        .collect();
    Ok((StatusCode::ACCEPTED, Json(Published { events })))
}

fn new_event(at: usize, publish: Publish, now: Timestamp) -> Answer<NewEvent> {
    let bad = |detail: String| Failure::bad_request(format!("events[{at}]: {detail}"));
    let name = EventName::parse(&publish.event).ok_or_else(|| {
        bad(format!(
            "`{}` is no event name: lower-case words joined by dots, such as message.sent",
            publish.event
        ))
    })?;
    if name.is_gateways_own() {
        return Err(bad("`gateway.*` are the gateway's own events".to_owned()));
    }
    let timestamp = match &publish.timestamp {
        Some(text) => text
            .parse()
            .map_err(|_| bad(format!("timestamp: `{text}` is no RFC 3339 time")))?,
        None => now,
    };
    let PublishedData { text, session } = PublishedData::read(publish.data.get()).map_err(bad)?;
    let key = match publish.id {
        Some(id) if id.is_empty() => return Err(bad("id is empty".to_owned())),
        Some(id) => Some(DedupeKey {
            scope: API_SCOPE.into(),
            key: id,
            expires_ms: now.as_millisecond() + API_DEDUPE_MS,
        }),
        None => None,
    };
    let event = Event {
        id: EventId::new(),
        name,
        timestamp,
        data: Data::written(text),
        source: None,
        session: session.map(Into::into),
        traceparent: None,
        test: false,
    };
    Ok(NewEvent { event, key })
}
