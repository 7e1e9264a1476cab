//! `POST /v1/webhooks/{inbound|outbound}/{name}/test`, `/v1/replay`, `/v1/dead/purge`.

use serde::{Deserialize, Serialize};

/// What a test of a sender brought: one signed `webhook.test` event, sent once, neither stored nor counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderTest {
    /// Whether the endpoint took it.
    pub delivered: bool,
    /// What it answered; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// One line about the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// At most 2 KiB of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// How long it took, in milliseconds.
    pub latency_ms: f64,
}

/// Asks for a test of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTestRequest {
    /// To the gateway's own listener instead of the full URL.
    pub local: bool,
}

/// What a test of a route brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTest {
    /// Where it was sent to; userinfo and query masked.
    pub url: String,
    /// Whether it was signed; false: only the platform has the key, and 401 is the right answer.
    pub signed: bool,
    /// The steps on the way, as far as it got: `dns`, `connect`, `tls`, `request`; `key` where none can verify a request.
    pub steps: Vec<TestStep>,
    /// What came back; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Whether this gateway saw the request: stored its event, answered its handshake, or refused an unsigned one.
    pub seen: bool,
    /// The event that was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What else there is to know, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl RouteTest {
    /// Whether all is well.
    #[must_use]
    pub fn passed(&self) -> bool {
        let answered = self.status.is_some_and(|status| {
            if self.signed {
                (200..300).contains(&status)
            } else {
                status == 401
            }
        });
        answered && self.seen && self.steps.iter().all(|step| step.ok)
    }
}

/// One step on the way to a URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestStep {
    /// `dns`, `connect`, `tls`, `request` or `key`.
    pub name: String,
    /// Whether it went well.
    pub ok: bool,
    /// What it found, or why it failed.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub latency_ms: f64,
}

/// Asks that events be delivered (again).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayRequest {
    /// To this sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Instead: the stored requests of this route, read again by today's normaliser, as new events for all that subscribe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Only its dead letters.
    #[serde(default)]
    pub failed: bool,
    /// Only events stored since: RFC 3339, or how long ago (`24h`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only this event, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// As new events with ids of their own, at most 10,000: receivers do not take them for repeats.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_id: bool,
}

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// How many deliveries are owed anew; of a route: left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<u64>,
    /// Of a route: how many requests were read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Of a route: how many events they made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// Requests that make no event any more, by an event that they made, and why; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// Asks that dead letters be dropped for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PurgeRequest {
    /// Only this sender's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Only of this event, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Only those that died before: RFC 3339, or how long ago (`24h`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// How many dead letters went.
    pub purged: u64,
}
