//! Rows of `outbound`.

use super::settings::DRAIN;
use super::{DAY, Field, Form, HOUR, Kind, SECOND, field};

static BASIC: [Field; 2] = [
    field("username", Kind::Text, "", "gateway", "The user's name."),
    field(
        "password",
        Kind::Secret,
        "",
        "{ env: RECEIVER_PASSWORD }",
        "The password.",
    )
    .sensitive(),
];

static AUTH: [Field; 2] = [
    field(
        "bearer",
        Kind::Secret,
        "",
        "{ env: RECEIVER_TOKEN }",
        "Sent as `authorization: Bearer`.",
    )
    .sensitive(),
    field(
        "basic",
        Kind::Object(&BASIC),
        "",
        "{ username: gateway, password: { env: RECEIVER_PASSWORD } }",
        "Sent as `authorization: Basic`.",
    ),
];

static TLS: [Field; 3] = [
    field(
        "ca",
        Kind::Form(Form::File),
        "",
        "./ca.crt",
        "PEM file of certificates to trust beside the system's; watched.",
    ),
    field(
        "clientCert",
        Kind::Form(Form::File),
        "",
        "./client.crt",
        "PEM file of the client certificate; watched.",
    ),
    field(
        "clientKey",
        Kind::Form(Form::File),
        "",
        "./client.key",
        "PEM file of its private key; watched.",
    ),
];

static BREAKER: [Field; 2] = [
    field(
        "failures",
        Kind::Integer { min: 1, max: 1_000_000 },
        "10",
        "5",
        "Opens after so many failed attempts in a row.",
    ),
    field(
        "cooldown",
        Kind::Duration { min: 1, max: DAY },
        "30s",
        "1m",
        "While open, one probe is sent after each of these.",
    ),
];

static AGENT_HOOK: [Field; 11] = [
    field(
        "agentId",
        Kind::Text,
        "",
        "main",
        "Which agent runs. Default: the assistant's own.",
    ),
    field(
        "session",
        Kind::Choice {
            now: &["isolated", "conversation"],
            later: &[],
        },
        "isolated",
        "conversation",
        "isolated: a session for each run; conversation: that of data.sessionId (the assistant needs hooks.allowRequestSessionKey and `hook:` in hooks.allowedSessionKeyPrefixes).",
    ),
    field(
        "reply",
        Kind::Choice {
            now: &["none", "channel"],
            later: &[],
        },
        "none",
        "channel",
        "Where the answer goes: nowhere, or to the chat that the message came from.",
    ),
    field(
        "channel",
        Kind::Text,
        "",
        "telegram",
        "The assistant's channel that the answer goes to. Default with `reply: channel`: data.platform.",
    ),
    field(
        "to",
        Kind::Text,
        "",
        "\"-100123:topic:7\"",
        "Who gets the answer there, as the assistant writes it. Default with `reply: channel`: made of data.chatId and data.threadId.",
    ),
    field(
        "accountId",
        Kind::Text,
        "",
        "default",
        "The assistant's account on that channel.",
    ),
    field(
        "model",
        Kind::Text,
        "",
        "sonnet",
        "Model of the run. Default: the agent's.",
    ),
    field(
        "thinking",
        Kind::Text,
        "",
        "low",
        "How much the model thinks. Default: the agent's.",
    ),
    field(
        "timeoutSeconds",
        Kind::Integer { min: 1, max: 86_400 },
        "",
        "120",
        "Longest time of the run, in seconds. Default: the assistant's.",
    ),
    field(
        "wait",
        Kind::Bool,
        "false",
        "true",
        "Waits for the run's end: a run that fails is a dead letter.",
    ),
    field(
        "message",
        Kind::Form(Form::Template),
        "",
        "\"{{data.platform}}: {{data.message}}\"",
        "Template of the message, cut at 200 KiB. Default: who wrote where, and the text; of other events platform, type and data.body.",
    ),
];

pub(super) static OUTBOUND: [Field; 34] = [
    field(
        "url",
        Kind::Form(Form::Url),
        "",
        "https://log.example.com/events",
        "Where events are posted to. Required.",
    ),
    field(
        "events",
        Kind::Set(&Kind::Form(Form::Event)),
        "[\"*\"]",
        "[message.received, message.sent, message.error]",
        "What it subscribes to; `message.*` and `*` are wildcards.",
    ),
    field(
        "from",
        Kind::Set(&Kind::Form(Form::WebhookName)),
        "",
        "[telegram]",
        "Names of inbound webhooks: only their events. Default: all. Required by forward.",
    ),
    field(
        "format",
        Kind::Choice {
            now: &[
                "openclaw",
                "standard",
                "raw",
                "forward",
                "agent-hook",
                "slack",
                "discord",
                "telegram",
                "feishu",
                "dingtalk",
                "wecom",
                "teams",
            ],
            later: &[],
        },
        "openclaw",
        "standard",
        "Shape of the request: openclaw is {event, timestamp, data, signature}, standard is {type, timestamp, data}, raw is data itself, forward is the request as it was received, agent-hook starts an assistant's agent, the chats post one text. Chats hide the whole URL.",
    ),
    field(
        "filter",
        Kind::Form(Form::Filter),
        "",
        "data.chatId == \"42\" and \"urgent\" in data.message",
        "Expression over event, id, timestamp, source and data: only events for which it is true are delivered; asked once, before the first attempt.",
    ),
    field(
        "body",
        Kind::Form(Form::Template),
        "",
        "\"{ \\\"text\\\": {{data.message|tojson}} }\"",
        "Template of the whole request body, at most 4 MiB; signatures are over what it makes. Sent as application/json.",
    ),
    field(
        "text",
        Kind::Form(Form::Template),
        "",
        "\"{{data.userName or data.user}}: {{data.message}}\"",
        "Template of the text of a chat format, cut at the platform's limit. Default: channel, user and message; of other events the name and one line.",
    ),
    field(
        "chatId",
        Kind::Text,
        "",
        "\"-100123:topic:7\"",
        "Chat of format telegram, required there; `:topic:` and a number name a topic in it.",
    ),
    field(
        "agentHook",
        Kind::Object(&AGENT_HOOK),
        "",
        "{ session: conversation, reply: channel }",
        "How format agent-hook starts the agent.",
    ),
    field(
        "secret",
        Kind::Secret,
        "",
        "{ env: EVENT_LOGGER_SECRET }",
        "Signs deliveries; a list: the first signs, all sign `webhook-signature` (rotation). Without one: unsigned.",
    )
    .sensitive(),
    field(
        "headers",
        Kind::Headers,
        "{}",
        "{ X-Source: openclaw }",
        "Headers to add.",
    ),
    field(
        "requireHeader",
        Kind::Form(Form::RequiredHeader),
        "",
        "\"x-openclaw-delivery-accepted: durable\"",
        "Header that a 2xx must carry, with its value or without.",
    ),
    field(
        "auth",
        Kind::Object(&AUTH),
        "",
        "{ bearer: { env: RECEIVER_TOKEN } }",
        "The `authorization` header: bearer or basic.",
    ),
    field(
        "tls",
        Kind::Object(&TLS),
        "",
        "{ ca: ./ca.crt }",
        "The endpoint's CA and the client certificate.",
    ),
    field(
        "timeout",
        Kind::Duration { min: 1, max: HOUR },
        "10s",
        "5s",
        "Bound of a whole attempt: DNS, connect, TLS, request, response. Default of forward: 15s, of agent-hook: 20s, with wait 10m.",
    ),
    field(
        "retries",
        Kind::Integer { min: 0, max: 100 },
        "",
        "3",
        "Retries after the first attempt. Default: 3 where retryDelay, backoff or maxRetryDelay is set; else the schedule's. Default of forward and agent-hook: 12.",
    ),
    field(
        "retryDelay",
        Kind::Duration { min: 0, max: 7 * DAY },
        "",
        "5000",
        "Delay before the first retry. Default: 5s where one of the four is set.",
    ),
    field(
        "backoff",
        Kind::Choice {
            now: &["exponential", "fixed"],
            later: &[],
        },
        "",
        "exponential",
        "exponential: each delay is twice the one before; fixed. Default: exponential where one of the four is set.",
    ),
    field(
        "maxRetryDelay",
        Kind::Duration { min: 0, max: 7 * DAY },
        "1h",
        "10m",
        "Longest delay, and the longest Retry-After that is honoured. Default of forward and agent-hook: 1m.",
    ),
    field(
        "retrySchedule",
        Kind::List(&Kind::Duration { min: 0, max: 7 * DAY }),
        "[5s, 30s, 2m, 10m, 30m, 2h, 5h, 10h, 10h]",
        "[1s, 10s, 1m]",
        "The delays one by one; excludes retries, retryDelay, backoff and maxRetryDelay. At most 100.",
    ),
    field(
        "jitter",
        Kind::Decimal { min: 0.0, max: 1.0 },
        "0.2",
        "0.1",
        "Share by which a delay is varied either way.",
    ),
    field(
        "maxAge",
        Kind::Duration {
            min: SECOND,
            max: 90 * DAY,
        },
        "72h",
        "24h",
        "Oldest delivery that is still tried; older ones are dead letters.",
    ),
    field(
        "retryStatusCodes",
        Kind::Set(&Kind::Form(Form::StatusCode)),
        "[5xx]",
        "[500, 502, 503, 504]",
        "Statuses that are retried beside 408, 425 and 429: numbers, \"5xx\", \"520-530\".",
    ),
    field(
        "concurrency",
        Kind::Integer { min: 1, max: 1024 },
        "16",
        "4",
        "Most attempts in flight to this endpoint.",
    ),
    field(
        "rateLimit",
        Kind::Form(Form::Rate),
        "",
        "50/s",
        "Most attempts per time.",
    ),
    field(
        "ordering",
        Kind::Choice {
            now: &["none", "fifo", "session"],
            later: &[],
        },
        "none",
        "session",
        "fifo: none may overtake; session: none of one session may. Default of forward: session.",
    ),
    field(
        "circuitBreaker",
        Kind::ObjectOrFalse(&BREAKER),
        "{ failures: 10, cooldown: 30s }",
        "{ failures: 5, cooldown: 1m }",
        "Stops trying for a while after so many failures in a row; false: never.",
    ),
    field(
        "onDelete",
        Kind::Choice {
            now: &["drain", "discard"],
            later: &[],
        },
        "drain",
        "discard",
        "What becomes of the backlog: delivered within drainTimeout, or dead letters at once.",
    ),
    field(
        "drainTimeout",
        DRAIN,
        "30s",
        "5m",
        "How long a deleted sender may go on delivering.",
    ),
    field(
        "paused",
        Kind::Bool,
        "false",
        "true",
        "Makes no attempts and keeps the backlog.",
    ),
    field(
        "protect",
        Kind::Bool,
        "false",
        "true",
        "Never deleted by an automatic reconcile.",
    ),
    field(
        "previousName",
        Kind::Form(Form::WebhookName),
        "",
        "old-name",
        "The name it had before: a rename keeps backlog and history.",
    ),
    field(
        "description",
        Kind::Text,
        "",
        "Audit log of the team",
        "A note for people.",
    ),
    field(
        "labels",
        Kind::Labels,
        "{}",
        "{ team: support }",
        "Names and texts for people and tools.",
    ),
];

/// The longest `retrySchedule`.
pub(in crate::document) const MAX_SCHEDULE: usize = 100;
