//! What the outbound room is told, and what it tells.

use std::time::Duration;

use super::prepared::PreparedSender;
use crate::document::settings::OnDelete;
use crate::event::{EventName, Name};
use crate::store::{DeadReason, SenderKey};

/// What happened to a sender, for the gateway's own events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Its last five attempts failed, or its breaker opened.
    Failing {
        /// Which.
        sender: Name,
        /// Why its last attempt failed.
        detail: String,
    },
    /// It delivers again.
    Recovered {
        /// Which.
        sender: Name,
    },
    /// Its endpoint answered 410.
    Suspended {
        /// Which.
        sender: Name,
        /// Why.
        reason: String,
    },
    /// It gave a delivery up.
    Dead {
        /// Which.
        sender: Name,
        /// The event.
        event_id: String,
        /// Its name.
        event: EventName,
        /// Why.
        reason: DeadReason,
        /// One line about it.
        detail: String,
    },
}

/// A change to what runs. Nothing of it can fail.
#[derive(Debug)]
pub enum SenderChange {
    /// The sender runs with these settings from its next attempt on: made anew, updated, or taken back while it drains.
    /// Queue, attempts, breaker and counters stay. A suspension is lifted, unless `suspended` says otherwise.
    Put {
        /// Its identity in the store.
        key: SenderKey,
        /// Its settings.
        sender: Box<PreparedSender>,
        /// The reason of a suspension that is to stay: at a start, and of a degraded one that is mended, where the entry is
        /// as it was. Where the entry
        /// changed while no gateway ran, `Store::set_suspended` is the caller's to call.
        suspended: Option<String>,
        /// Whether the store may owe it something already; `false` saves a look at each of 100,000 idle senders.
        owed: bool,
    },
    /// The sender could not be prepared (at a start): it keeps its backlog and attempts nothing.
    Degraded {
        /// Its identity in the store.
        key: SenderKey,
        /// Its name.
        name: Name,
        /// Why, without secrets.
        reason: String,
        /// The reason of a suspension, which stays until the entry changes.
        suspended: Option<String>,
    },
    /// The sender is gone from the document. Ends with `Store::close_sender`.
    Remove {
        /// Its identity in the store.
        key: SenderKey,
        /// Whether it delivers what it owes until then.
        on_delete: OnDelete,
        /// For how long at most.
        drain_timeout: Duration,
    },
}
