//! What an answer says inside of its body: of chats and assistants a 200 can be a failure.

use std::time::Duration;

use super::{agent_hook, chat};
use crate::document::settings::Format;

/// What a body adds to the status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Inside {
    /// A 2xx that is a failed attempt all the same.
    pub(super) refused: Option<String>,
    /// A 2xx that no other attempt can make better.
    pub(super) failed: Option<String>,
    /// What the endpoint says of a status that is none of 2xx.
    pub(super) said: Option<String>,
    /// For how long it wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// What the log keeps of a delivery.
    pub(super) note: Option<String>,
}

/// Whether the body is looked into.
pub(super) fn is_looked_into(format: Format) -> bool {
    matches!(format, Format::Chat(_) | Format::AgentHook)
}

/// Looks.
pub(super) fn inside(format: Format, status: u16, body: &[u8]) -> Inside {
    match format {
        Format::Chat(kind) => chat::inside(kind, status, body),
        Format::AgentHook => agent_hook::inside(status, body),
        Format::Openclaw | Format::Standard | Format::Raw | Format::Forward => Inside::default(),
    }
}

/// A text as JSON.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
