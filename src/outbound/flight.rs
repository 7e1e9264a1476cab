//! One delivery on its way: what ends it before an attempt (its filter too), the attempt itself, and its line in the log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tracing::{info, warn};

use super::attempt::{self, Answer, Class, Delivery};
use super::backoff::millis;
use super::dispatcher::Shared;
use super::limits::Permit;
use super::payload;
use super::prepared::PreparedSender;
use super::slot::Landed;
use crate::clock::{from_ms, rfc3339_seconds};
use crate::expression;
use crate::store::{DeadReason, Outcome, Owed, Settlement};

/// What ends without an attempt: too old, (its schedule was shortened) tried often enough, or not what the sender's filter
/// lets pass. A delivery that passed remembers it.
pub(super) fn unsent(owed: &mut Owed, sender: &PreparedSender, now_ms: i64) -> Option<Settlement> {
    let age_ms = now_ms.saturating_sub(owed.owed_since_ms);
    let dead = |reason, detail| Outcome::Dead { reason, detail };
    let outcome = if age_ms > millis(sender.settings.max_age) {
        dead(
            DeadReason::Expired,
            format!("older than maxAge after {} attempts", owed.attempts),
        )
    } else if owed.attempts >= sender.attempts() {
        let made = format!(
            "{} attempts were made, {} are allowed",
            owed.attempts,
            sender.attempts()
        );
        dead(DeadReason::Exhausted, made)
    } else {
        match filtered(owed, sender) {
            Ok(true) => {
                owed.filter_passed = true;
                return None;
            }
            Ok(false) => Outcome::Filtered,
            Err(error) => dead(DeadReason::Template, format!("filter: {error}")),
        }
    };
    Some(Settlement {
        sender: owed.sender,
        seq: owed.seq,
        attempt: None,
        outcome,
    })
}

/// Whether the delivery passes the sender's filter, which is asked until the first attempt only.
fn filtered(owed: &Owed, sender: &PreparedSender) -> Result<bool, expression::Error> {
    match &sender.settings.filter {
        Some(filter) if !owed.filter_passed && owed.attempts == 0 => {
            let timestamp = rfc3339_seconds(owed.event.timestamp);
            filter.passes(&payload::seen(&owed.event, &timestamp))
        }
        _ => Ok(true),
    }
}

/// One attempt, with the permit that it holds until it ends. A panic in it ends the delivery, not the sender.
pub(super) fn begin(
    shared: Arc<Shared>,
    sender: Arc<PreparedSender>,
    owed: Owed,
    probe: bool,
    permit: Permit,
) -> BoxFuture<'static, Landed> {
    async move {
        let _permit = permit;
        let now = shared.clock.now();
        let id = owed.delivery_id();
        let number = owed.attempts.saturating_add(1);
        let delivery = Delivery {
            event: &owed.event,
            id: &id,
            number,
            now,
        };
        let answer = AssertUnwindSafe(attempt::send(&shared, &sender, delivery))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Answer::internal());
        Landed {
            owed,
            sender,
            answer,
            started_ms: now.as_millisecond(),
            probe,
        }
    }
    .boxed()
}

pub(super) fn log(landed: &Landed, settlement: &Settlement) {
    let sender = landed.sender.name();
    let delivery = landed.owed.delivery_id();
    let attempt = landed.owed.attempts.saturating_add(1);
    let status = landed.answer.status;
    let latency_ms = u64::try_from(landed.answer.latency.as_millis()).unwrap_or(u64::MAX);
    match &landed.answer.failure {
        None => info!(%sender, delivery, attempt, status, latency_ms, note = landed.answer.note, "delivered"),
        // Its dead letter has a line of its own.
        Some(failure) if failure.class == Class::Template => {}
        Some(failure) => {
            let next = match settlement.outcome {
                Outcome::Retry { due_ms } | Outcome::Postpone { due_ms } => Some(from_ms(due_ms).to_string()),
                _ => None,
            };
            warn!(
                %sender, delivery, attempt, status, latency_ms, error = failure.class.as_str(), detail = failure.detail,
                next, "attempt failed"
            );
        }
    }
}
