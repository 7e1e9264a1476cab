//! What the API's requests and answers hold. Server, client and dashboard share these types.
//!
//! Members are camelCase; times are RFC 3339 where the name says nothing (`since`), milliseconds since the Unix epoch where
//! it ends in `Ms`. Members may be added: ignore what you do not know.

mod test;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::test::{
    PurgeRequest, Purged, ReplayRequest, Replayed, RouteTest, RouteTestRequest, SenderTest, TestStep,
};
use crate::plan::Summary;
pub use crate::plan::render::{DiagnosticRow, PlanDocument};
pub use crate::reconcile::condition::types as condition_types;
pub use crate::store::{Generation, Listing, RouteFigures, SenderFigures, Totals};

// ---- conditions ----

/// Whether something holds: as in Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It is not known yet.
    Unknown,
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One statement about the gateway or a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Held`, `StorePressure`, ...: a closed list.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word for programs: `SecretMissing`, `ListenFailed`, ...: a closed list.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// When the status became what it is.
    pub since: String,
    /// The generation that it is about.
    #[serde(default)]
    pub observed_generation: Option<u64>,
}

// ---- GET /v1/status ----

/// Is anything owed, dead, held or degraded, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The gateway's version.
    pub version: String,
    /// When it started; `None`: it does not run.
    #[serde(default)]
    pub started_ms: Option<i64>,
    /// The generation that runs; `None`: none yet.
    #[serde(default)]
    pub generation: Option<Generation>,
    /// The document's file against what runs.
    pub document: DocumentStatus,
    /// Inbound webhooks of the generation that runs.
    pub inbound: u64,
    /// Outbound webhooks of the generation that runs.
    pub outbound: u64,
    /// Sums over the store.
    pub totals: Totals,
    /// The gateway's own conditions; `Ready` is always there.
    pub conditions: Vec<Condition>,
    /// Resources that are not as they should be, by address; at most 1,000.
    #[serde(default)]
    pub attention: Vec<Attention>,
}

impl Status {
    /// Whether a condition of that type holds.
    #[must_use]
    pub fn holds(&self, kind: &str) -> bool {
        self.conditions
            .iter()
            .any(|c| c.kind.eq_ignore_ascii_case(kind) && c.status == ConditionStatus::True)
    }
}

/// The document's file against what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentStatus {
    /// Its path, as the gateway was given it.
    pub path: String,
    /// The SHA-256 of its bytes in hex; `None`: it is not there.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Whether it is applied by itself (`auto`) or waits (`manual`).
    pub mode: Mode,
    /// Where it stands.
    pub state: DocumentState,
    /// Why it stands there: what holds it, what is wrong with it. At most 100.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// `reconcile.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A saved file is applied at once.
    Auto,
    /// It waits for `openclaw apply`.
    Manual,
}

/// Where the document's file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentState {
    /// It is what runs.
    Applied,
    /// It waits for `openclaw apply` (manual mode).
    Pending,
    /// It waits for `openclaw apply --allow-deletes`.
    Held,
    /// It is broken, or *prepare* failed: the last good generation runs.
    Rejected,
    /// The file is gone: the last good generation runs.
    Missing,
    /// A rollback runs until the file changes to other bytes.
    Pinned,
}

/// A resource that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attention {
    /// Which.
    pub address: String,
    /// What it is.
    pub state: WebhookState,
    /// A condition's reason.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

// ---- GET /v1/webhooks, /v1/webhooks/{inbound|outbound}/{name} ----

/// Which side a webhook is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Platforms post to it.
    Inbound,
    /// The gateway posts to it.
    Outbound,
}

/// What a webhook does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookState {
    /// It works.
    Active,
    /// The document pauses it.
    Paused,
    /// It could not be prepared at the start.
    Degraded,
    /// Its endpoint said 410 (an assistant 401 or 403): no attempts until its entry changes or `webhooks resume`.
    Suspended,
    /// Its last five attempts failed, or its breaker is open.
    Failing,
    /// It was deleted and delivers what it is still owed.
    Draining,
}

/// A webhook in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookRow {
    /// Its side.
    pub direction: Direction,
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: WebhookState,
    /// Why it does that, where it is not `active`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A route's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A route's public URL, a sender's endpoint (userinfo and query masked).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A route's channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// A route's platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Whether a route checks signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_signature: Option<bool>,
    /// What an attacker could do on a route whose scheme proves little, or why nothing can come in: what `validate` says of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<DiagnosticRow>,
    /// What a sender subscribes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// A sender's retries after the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Where the document has it: what is smaller comes first.
    #[serde(default)]
    pub place: u32,
}

/// One webhook with its conditions and figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDetail {
    /// What the listing says.
    pub webhook: WebhookRow,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// A route's figures: messages since midnight, local time of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteFigures>,
    /// A route's counters since the gateway started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<RouteCounters>,
    /// A sender's figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<SenderFigures>,
    /// What a sender does right now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<SenderLive>,
}

/// A route's counters since the gateway started; test traffic is not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteCounters {
    /// Requests that stored at least one event.
    pub accepted: u64,
    /// Events stored.
    pub events: u64,
    /// Events that repeated one.
    pub duplicates: u64,
    /// Requests answered 2xx that hold no event.
    pub handshakes: u64,
    /// Requests refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// A sender at this moment, and its counters since the gateway started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderLive {
    /// Attempts in flight.
    pub in_flight: usize,
    /// `closed`, `open` or `half-open`.
    pub breaker: String,
    /// Until when it begins nothing (an open breaker, `Retry-After`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_until_ms: Option<i64>,
    /// The class of its last failure since it last delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Attempts made.
    pub attempts: u64,
    /// Of those, delivered.
    pub delivered: u64,
    /// Of those, failed.
    pub failed: u64,
}

// ---- POST /v1/plan, /v1/apply, /v1/reload ----

/// How a document's text is written, where it is not as the gateway's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentFormat {
    /// YAML.
    Yaml,
    /// JSON, read as JSON5.
    Json5,
}

impl From<crate::document::Format> for DocumentFormat {
    fn from(format: crate::document::Format) -> Self {
        match format {
            crate::document::Format::Yaml => Self::Yaml,
            crate::document::Format::Json5 => Self::Json5,
        }
    }
}

impl From<DocumentFormat> for crate::document::Format {
    fn from(format: DocumentFormat) -> Self {
        match format {
            DocumentFormat::Yaml => Self::Yaml,
            DocumentFormat::Json5 => Self::Json5,
        }
    }
}

/// Asks what a document would change; answered with a [`PlanDocument`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRequest {
    /// The document's text; `None`: the gateway's own file, as it is on its disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// How it is written; `None`: as the gateway's own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DocumentFormat>,
    /// Its path at the caller's, to show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The git commit that it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// A file beside the gateway's own that holds this text: a command is about to put it into its place. It is planned as
    /// the gateway's own file is, with every secret resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// Replay stored events through both documents; `None`: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<ImpactRequest>,
    /// Compare with this generation instead of the one that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<u64>,
}

/// Asks what a plan would have meant for stored events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImpactRequest {
    /// Since when: RFC 3339, or how long ago (`24h`, the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Asks the gateway to converge to a document; answered with an [`ApplyOutcome`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyRequest {
    /// The document's text. Where its bytes are not those of the gateway's own file, the gateway writes them there.
    pub document: String,
    /// How it is written; `None`: as the gateway's own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DocumentFormat>,
    /// The generation that the caller's plan was made against; 0: an empty gateway. Answers 428 without, 409 where it is
    /// not the newest any more.
    #[serde(default)]
    pub base_generation: Option<u64>,
    /// Carry out what is held.
    #[serde(default)]
    pub allow_deletes: bool,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The git commit that the document is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// The document is this generation's: the cause is `rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
}

/// What an apply or a reload did. Answered when the gateway has converged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyOutcome {
    /// The generation that runs now; `None`: nothing was ever applied.
    #[serde(default)]
    pub generation: Option<Generation>,
    /// Whether it was made by this request.
    pub made: bool,
    /// What was done to resources.
    pub summary: Summary,
    /// What else the caller should know, a sentence each: a file that could not be written and is pinned instead.
    #[serde(default)]
    pub notes: Vec<String>,
}

// ---- errors ----

/// RFC 9457 `application/problem+json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Which kind: one of the constants of this type, or `about:blank`.
    #[serde(rename = "type", default = "blank")]
    pub kind: String,
    /// The kind in a few words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status again.
    #[serde(default)]
    pub status: u16,
    /// What is wrong this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The ways out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Everything that is wrong with the document, for [`Problem::DOCUMENT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<DiagnosticRow>,
    /// Why it is held, for [`Problem::HELD`]; which checks of *prepare* failed, for [`Problem::PREPARE`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

fn blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    /// 409: another generation than `baseGeneration` runs.
    pub const STALE: &str = "urn:openclaw:stale";
    /// 409: it needs `allowDeletes`.
    pub const HELD: &str = "urn:openclaw:held";
    /// 422: the document is wrong.
    pub const DOCUMENT: &str = "urn:openclaw:document";
    /// 422: the document is right, and could not be prepared.
    pub const PREPARE: &str = "urn:openclaw:prepare";
    /// 428: `baseGeneration` is missing.
    pub const BASE_MISSING: &str = "urn:openclaw:base-missing";

    /// A problem without further members.
    #[must_use]
    pub fn new(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            title: title.to_owned(),
            status,
            detail: Some(detail.into()),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_documented_requests_are_read() {
        let request: ApplyRequest =
            serde_json::from_value(json!({"document": "webhooks: {}", "baseGeneration": 7})).unwrap();
        assert_eq!((request.base_generation, request.allow_deletes), (Some(7), false));
        let without: ApplyRequest = serde_json::from_value(json!({"document": "webhooks: {}"})).unwrap();
        assert_eq!(without.base_generation, None, "428, not 400");
        let plan: PlanRequest = serde_json::from_value(json!({"document": "webhooks: {}"})).unwrap();
        assert_eq!(plan.document.as_deref(), Some("webhooks: {}"));
    }

    #[test]
    fn conditions_are_written_as_kubernetes_writes_them() {
        let condition = Condition {
            kind: "Ready".to_owned(),
            status: ConditionStatus::False,
            reason: "SecretMissing".to_owned(),
            message: "TELEGRAM_WEBHOOK_SECRET is not set".to_owned(),
            since: "2026-03-15T10:30:00Z".to_owned(),
            observed_generation: Some(7),
        };
        let expected = json!({
            "type": "Ready", "status": "False", "reason": "SecretMissing",
            "message": "TELEGRAM_WEBHOOK_SECRET is not set", "since": "2026-03-15T10:30:00Z", "observedGeneration": 7,
        });
        assert_eq!(serde_json::to_value(condition).unwrap(), expected);
    }

    #[test]
    fn a_foreign_problem_is_read_as_far_as_it_goes() {
        let problem: Problem = serde_json::from_value(json!({"status": 400, "instance": "/x"})).unwrap();
        assert_eq!((problem.kind.as_str(), problem.status), ("about:blank", 400));
    }
}
