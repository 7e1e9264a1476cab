//! From what the rooms know to what the API says.

use std::collections::BTreeMap;

use super::Api;
use crate::admin::wire::{
    Attention, Condition, ConditionStatus, DocumentState, DocumentStatus, Mode, RouteCounters, SenderLive, WebhookRow,
    WebhookState,
};
use crate::document::{Address, Resource, Value};
use crate::event::Name;
use crate::inbound::Figures;
use crate::outbound::{BreakerState, SenderState, SenderStatus};
use crate::reconcile::condition::{reasons, types};
use crate::reconcile::{self, View};

/// One condition, as the wire has it.
pub(super) fn condition(condition: &reconcile::Condition) -> Condition {
    Condition {
        kind: condition.r#type.clone(),
        status: if condition.status {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        },
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: condition.since.to_string(),
        observed_generation: Some(condition.observed_generation),
    }
}

/// Where the document's file stands.
pub(super) fn document_status(view: &View) -> DocumentStatus {
    let applied = view.conditions.get(types::APPLIED);
    let missing = view
        .conditions
        .get(types::WATCHING)
        .filter(|c| c.reason == reasons::DOCUMENT_MISSING);
    let state = match applied.map(|c| c.reason.as_str()) {
        _ if missing.is_some() => DocumentState::Missing,
        Some(reasons::PENDING) => DocumentState::Pending,
        Some(reasons::HELD) => DocumentState::Held,
        Some(reasons::PINNED) => DocumentState::Pinned,
        Some(reasons::DOCUMENT_INVALID | reasons::PREPARE_FAILED) => DocumentState::Rejected,
        Some(reasons::DOCUMENT_MISSING) => DocumentState::Missing,
        _ => DocumentState::Applied,
    };
    let told = missing
        .or(applied)
        .map(|c| c.message.lines().take(100).map(str::to_owned).collect())
        .unwrap_or_default();
    DocumentStatus {
        path: view.path.display().to_string(),
        sha256: view.waiting.clone().or_else(|| Some(view.generation.sha256.clone())),
        mode: if view.manual { Mode::Manual } else { Mode::Auto },
        state,
        reasons: if state == DocumentState::Applied {
            Vec::new()
        } else {
            told
        },
    }
}

/// One webhook of what runs, as a listing shows it.
pub(super) fn row(api: &Api, view: &View, address: &Address, resource: &Resource) -> Option<WebhookRow> {
    let mut row = WebhookRow::of(address, resource)?;
    (row.state, row.reason) = state(api, view, address, resource)?;
    Some(row)
}

/// What a webhook does, and why it is not active; `None`: the address is none of a webhook.
fn state(api: &Api, view: &View, address: &Address, resource: &Resource) -> Option<(WebhookState, Option<String>)> {
    match address {
        Address::Outbound(name) => Some(sender_state(view, address, api.dispatcher.status(name).as_ref())),
        Address::Inbound(_) => Some(route_state(view, address, resource)),
        _ => None,
    }
}

fn route_state(view: &View, address: &Address, resource: &Resource) -> (WebhookState, Option<String>) {
    if let Some(problem) = view.degraded.get(address) {
        return (WebhookState::Degraded, Some(problem.message.clone()));
    }
    if resource.effective("paused") == Some(Value::Bool(true)) {
        return (WebhookState::Paused, Some("the document pauses it".to_owned()));
    }
    (WebhookState::Active, None)
}

fn sender_state(view: &View, address: &Address, status: Option<&SenderStatus>) -> (WebhookState, Option<String>) {
    if let Some(problem) = view.degraded.get(address) {
        return (WebhookState::Degraded, Some(problem.message.clone()));
    }
    let Some(status) = status else {
        return (WebhookState::Active, None);
    };
    match &status.state {
        SenderState::Paused => (WebhookState::Paused, Some("the document pauses it".to_owned())),
        SenderState::Degraded(reason) => (WebhookState::Degraded, Some(reason.clone())),
        SenderState::Suspended(reason) => (WebhookState::Suspended, Some(reason.clone())),
        SenderState::Draining => (WebhookState::Draining, None),
        SenderState::Active if status.failing => {
            let class = status.last_error.unwrap_or("error");
            (
                WebhookState::Failing,
                Some(format!("its last attempts failed: {class}")),
            )
        }
        SenderState::Active => (WebhookState::Active, None),
    }
}

/// Why a webhook is ready, or is not.
fn reason(view: &View, address: &Address, state: WebhookState) -> &'static str {
    match state {
        WebhookState::Active | WebhookState::Draining => reasons::OK,
        WebhookState::Paused => reasons::PAUSED,
        WebhookState::Suspended => reasons::SUSPENDED,
        WebhookState::Failing => reasons::FAILING,
        WebhookState::Degraded => view
            .degraded
            .get(address)
            .map_or(reasons::PREPARE_FAILED, |problem| problem.reason),
    }
}

/// The condition of one webhook.
pub(super) fn ready(api: &Api, view: &View, address: &Address, row: &WebhookRow) -> Condition {
    let reason = reason(view, address, row.state);
    let since = crate::clock::from_ms(view.generation.at_ms)
        .max(view.started)
        .min(api.clock.now());
    Condition {
        kind: types::READY.to_owned(),
        status: if reason == reasons::OK {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        },
        reason: reason.to_owned(),
        message: row.reason.clone().unwrap_or_default(),
        since: since.to_string(),
        observed_generation: Some(view.generation.number),
    }
}

/// Everything that is not as it should be; paused ones are as the document says.
pub(super) fn attention(api: &Api, view: &View, most: usize) -> Vec<Attention> {
    view.desired
        .resources
        .iter()
        .filter_map(|(address, resource)| {
            let (state, message) = state(api, view, address, resource)?;
            if matches!(state, WebhookState::Active | WebhookState::Paused) {
                return None;
            }
            Some(Attention {
                address: address.to_string(),
                state,
                reason: reason(view, address, state).to_owned(),
                message: message.unwrap_or_default(),
            })
        })
        .take(most)
        .collect()
}

/// A route's counters since the process started.
pub(super) fn counters(figures: &Figures) -> RouteCounters {
    RouteCounters {
        accepted: figures.accepted,
        events: figures.events,
        duplicates: figures.duplicates,
        handshakes: figures.handshakes,
        refused: figures
            .refused
            .iter()
            .map(|(reason, count)| (reason.as_str().to_owned(), *count))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// What a sender does right now.
pub(super) fn live(status: &SenderStatus) -> SenderLive {
    SenderLive {
        in_flight: status.in_flight,
        breaker: match status.breaker {
            BreakerState::Closed => "closed",
            BreakerState::Open { .. } => "open",
            BreakerState::Probing => "half-open",
        }
        .to_owned(),
        parked_until_ms: status.parked_until_ms,
        last_error: status.last_error.map(str::to_owned),
        attempts: status.attempts,
        delivered: status.delivered,
        failed: status.failed,
    }
}

/// The address that a path of the API names.
pub(super) fn address(direction: &str, name: &str) -> Option<Address> {
    let name = Name::parse(name).ok()?;
    match direction {
        "inbound" => Some(Address::Inbound(name)),
        "outbound" => Some(Address::Outbound(name)),
        _ => None,
    }
}
