//! `openclaw apply --guard`: watches what was changed, and goes back by itself when it fails.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use url::form_urlencoded;

use super::{Context, Error, time};
use crate::admin::client::{Client, ClientError};
use crate::admin::wire::{ApplyOutcome, ApplyRequest, Direction, Generation, Listing, PlanDocument};
use crate::document::Address;
use crate::plan::Action;
use crate::store::{DeadLetter, LogEntry};

/// How often what was changed is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The most changed webhooks that are watched.
const MOST: usize = 1_000;

/// Failures of one webhook that are counted.
const COUNTED: usize = 1_000;

/// What was refused on purpose: a paused route says 503.
const INTENDED: &str = "paused";

/// A webhook that the plan changes, and how often it failed in the time before, as long as the guard's.
pub(crate) struct Guarded {
    direction: Direction,
    name: String,
    before: usize,
}

/// How a guard ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
    /// What failed; empty: nothing did.
    pub(crate) reasons: Vec<String>,
    /// The generation that runs again, and its new number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rolled_back_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
}

/// What a guard of this plan will watch, as it is before the plan is carried out.
///
/// # Errors
/// There is no generation to go back to, or more was changed than is watched.
pub(crate) async fn before(
    plan: &PlanDocument,
    guard: Duration,
    client: &Client,
    context: &Context,
) -> Result<Vec<Guarded>, Error> {
    if plan.base.generation.is_none_or(|number| number == 0) {
        return Err(Error::new("--guard: there is no generation to go back to").hint("apply without --guard"));
    }
    let changed: Vec<_> = plan
        .changes
        .iter()
        .filter(|change| change.action != Action::Delete)
        .filter_map(|change| match Address::parse(&change.address)? {
            Address::Inbound(name) => Some((Direction::Inbound, name.to_string())),
            Address::Outbound(name) => Some((Direction::Outbound, name.to_string())),
            _ => None,
        })
        .collect();
    if changed.len() > MOST {
        let message = format!(
            "--guard watches at most {MOST} changed webhooks: this plan has {}",
            changed.len()
        );
        return Err(Error::new(message).hint("apply it in parts, or without --guard"));
    }
    let since_ms = context.clock.now_ms().saturating_sub(millis(guard));
    let mut guarded = Vec::with_capacity(changed.len());
    for (direction, name) in changed {
        let before = failures(client, direction, &name, since_ms).await?.len();
        guarded.push(Guarded {
            direction,
            name,
            before,
        });
    }
    Ok(guarded)
}

/// Watches for as long as the guard says; at the first failure it goes back to the generation before.
pub(crate) async fn watch(
    guarded: &[Guarded],
    guard: Duration,
    base: u64,
    outcome: &ApplyOutcome,
    client: &Client,
    context: &mut Context,
) -> Result<Ended, Error> {
    let Some(applied) = outcome.generation.as_ref().filter(|_| outcome.made) else {
        return Ok(Ended {
            reasons: Vec::new(),
            rolled_back_to: None,
            generation: None,
        });
    };
    let length = time::length_of(guard);
    let what = match guarded.len() {
        1 => "1 changed webhook".to_owned(),
        n => format!("{n} changed webhooks"),
    };
    context.terminal.note(&format!("guarding {what} for {length}"));
    let end = Instant::now() + guard;
    loop {
        // What ran out meanwhile is looked at once more.
        let last = Instant::now() >= end;
        still_runs(applied, client).await?;
        let mut reasons = Vec::new();
        for webhook in guarded {
            reasons.extend(webhook.fault(client, applied.at_ms).await?);
        }
        if !reasons.is_empty() {
            return go_back(reasons, base, applied, client, context).await;
        }
        if last {
            return Ok(Ended {
                reasons,
                rolled_back_to: None,
                generation: None,
            });
        }
        tokio::time::sleep_until(end.min(Instant::now() + LOOK)).await;
    }
}

/// Another generation is another one's to guard.
async fn still_runs(applied: &Generation, client: &Client) -> Result<(), Error> {
    let running = client.status().await?.generation;
    match running {
        Some(running) if running.number != applied.number => Err(Error::new(format!(
            "--guard ended: generation {} took the place of generation {}",
            running.number, applied.number
        ))
        .hint("`openclaw history` shows who applied it")),
        _ => Ok(()),
    }
}

impl Guarded {
    /// Why it is worse than it was; `None`: it is not.
    async fn fault(&self, client: &Client, applied_ms: i64) -> Result<Option<String>, Error> {
        let found = failures(client, self.direction, &self.name, applied_ms).await?;
        if found.len() <= self.before {
            return Ok(None);
        }
        let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
        for class in &found {
            *classes.entry(class).or_default() += 1;
        }
        let classes: Vec<_> = classes
            .iter()
            .map(|(class, count)| format!("{class} {count}x"))
            .collect();
        let (direction, name, before) = (self.direction.as_str(), &self.name, self.before);
        let what = match self.direction {
            Direction::Inbound => "rejected",
            Direction::Outbound => "failed",
        };
        let (count, classes) = (found.len(), classes.join(", "));
        Ok(Some(format!(
            "webhooks.{direction}.{name}: {count} {what} ({classes}), {before} in as long a time before"
        )))
    }
}

/// What failed since then, by its class; at most [`COUNTED`] of each kind, the newest.
async fn failures(client: &Client, direction: Direction, name: &str, since_ms: i64) -> Result<Vec<String>, Error> {
    let side = match direction {
        Direction::Inbound => "route",
        Direction::Outbound => "sender",
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair(side, name)
        .append_pair("since", &time::exact(since_ms))
        .append_pair("limit", &COUNTED.to_string())
        .finish();
    let log: Vec<LogEntry> = listed(client, &format!("/v1/logs?{query}&failed=true")).await?;
    let mut found: Vec<String> = log.into_iter().map(class).filter(|class| class != INTENDED).collect();
    if direction == Direction::Outbound {
        // A filter or template that fails makes a dead letter without an attempt.
        let dead: Vec<DeadLetter> = listed(client, &format!("/v1/dead?{query}")).await?;
        let template = dead
            .into_iter()
            .map(|letter| letter.reason)
            .filter(|reason| reason == "template");
        found.extend(template);
    }
    Ok(found)
}

fn class(entry: LogEntry) -> String {
    match (entry.error, entry.status) {
        (Some(error), Some(status)) if error == "status" => format!("HTTP {status}"),
        (Some(error), _) => error,
        (None, Some(status)) => format!("HTTP {status}"),
        (None, None) => "failed".to_owned(),
    }
}

/// A page; a webhook that is not there yet has none.
async fn listed<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<Vec<T>, Error> {
    match client.get::<Listing<T>>(path).await {
        Ok(listing) => Ok(listing.items),
        Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

async fn go_back(
    reasons: Vec<String>,
    base: u64,
    applied: &Generation,
    client: &Client,
    context: &Context,
) -> Result<Ended, Error> {
    let (_, document) = client.document(Some(base)).await?;
    let request = ApplyRequest {
        document: String::from_utf8(document).map_err(|error| Error::new(error.to_string()))?,
        base_generation: Some(applied.number),
        // It takes away what this very apply has made.
        allow_deletes: true,
        who: context.surroundings.who.clone(),
        rollback_to: Some(base),
        ..ApplyRequest::default()
    };
    let outcome = client.apply(&request, Duration::from_mins(1)).await?;
    Ok(Ended {
        reasons,
        rolled_back_to: Some(base),
        generation: outcome.generation.map(|generation| generation.number),
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
