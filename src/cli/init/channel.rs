//! What an assistant's channels are: where it listens for their platforms, and with what it verifies them.

use serde_json::Value as Json;

/// How the gateway hands over what a channel's platform sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As the platform sent it, to the assistant's own listener; whether that says when it has it for good.
    Forward { durable: bool },
    /// As work for an agent: the assistant knows no such platform.
    AgentHook,
}

/// Where an assistant listens for a channel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Listener {
    /// On its gateway's port.
    Gateway,
    /// On a port of the channel's own: the setting, and its default.
    Own(&'static str, u16),
}

/// A channel that comes by webhook.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its key under `channels`.
    pub(super) key: &'static str,
    /// What the gateway calls its platform.
    pub(super) platform: &'static str,
    pub(super) way: Way,
    pub(super) listener: Listener,
    /// The setting of its path, and the default.
    pub(super) path: (&'static str, &'static str),
    /// The setting of its public URL.
    pub(super) public_url: Option<&'static str>,
    /// The setting that makes it come by webhook, where it could also come otherwise.
    pub(super) mode: Option<(&'static str, &'static str)>,
    /// The gateway's field, and the assistant's setting with the same value.
    pub(super) keys: &'static [(&'static str, &'static str)],
}

const fn forward(key: &'static str, path: &'static str, keys: &'static [(&'static str, &'static str)]) -> Kind {
    Kind {
        key,
        platform: key,
        way: Way::Forward { durable: true },
        listener: Listener::Gateway,
        path: ("webhookPath", path),
        public_url: None,
        mode: None,
        keys,
    }
}

const fn agent_hook(key: &'static str, keys: &'static [(&'static str, &'static str)]) -> Kind {
    Kind {
        way: Way::AgentHook,
        ..forward(key, "", keys)
    }
}

/// Every channel that can come by webhook, as OpenClaw 2026.9 has them.
pub(super) const KINDS: [Kind; 12] = [
    Kind {
        listener: Listener::Own("webhookPort", 8787),
        public_url: Some("webhookUrl"),
        ..forward("telegram", "/telegram-webhook", &[("secret", "webhookSecret")])
    },
    Kind {
        way: Way::Forward { durable: false },
        mode: Some(("mode", "http")),
        ..forward("slack", "/slack/events", &[("secret", "signingSecret")])
    },
    forward("line", "/line/webhook", &[("secret", "channelSecret")]),
    Kind {
        listener: Listener::Own("webhookPort", 3000),
        mode: Some(("connectionMode", "webhook")),
        ..forward(
            "feishu",
            "/feishu/events",
            &[("verifyToken", "verificationToken"), ("encryptKey", "encryptKey")],
        )
    },
    forward("googlechat", "/googlechat", &[("audience", "audience")]),
    Kind {
        way: Way::Forward { durable: false },
        listener: Listener::Own("webhook.port", 3978),
        path: ("webhook.path", "/api/messages"),
        ..forward("msteams", "", &[("audience", "appId")])
    },
    Kind {
        public_url: Some("webhookUrl"),
        ..forward("synology-chat", "/webhook/synology", &[("secret", "token")])
    },
    Kind {
        way: Way::Forward { durable: false },
        listener: Listener::Own("webhookPort", 8788),
        public_url: Some("webhookPublicUrl"),
        ..forward("nextcloud-talk", "/nextcloud-talk-webhook", &[("secret", "botSecret")])
    },
    Kind {
        way: Way::Forward { durable: false },
        public_url: Some("webhookUrl"),
        ..forward("zalo", "/zalo-webhook", &[("secret", "webhookSecret")])
    },
    Kind {
        way: Way::Forward { durable: false },
        platform: "twilio",
        public_url: Some("publicWebhookUrl"),
        ..forward("sms", "/webhooks/sms", &[("secret", "authToken")])
    },
    agent_hook(
        "wecom",
        &[
            ("verifyToken", "token"),
            ("encryptKey", "encodingAESKey"),
            ("corpId", "corpId"),
        ],
    ),
    agent_hook("dingtalk", &[("secret", "clientSecret")]),
];

/// One account of a channel.
pub(super) struct Account<'j> {
    pub(super) kind: &'static Kind,
    /// `default`, or its key under `accounts`.
    pub(super) id: &'j str,
    own: &'j Json,
    channel: &'j Json,
}

impl<'j> Account<'j> {
    /// The accounts of every channel by webhook, in the order of the table.
    pub(super) fn all(file: &'j Json) -> Vec<Self> {
        let mut found = Vec::new();
        for kind in &KINDS {
            let channel = &file["channels"][kind.key];
            if !channel.is_object() || channel["enabled"] == Json::Bool(false) {
                continue;
            }
            let account = |id, own| Self { kind, id, own, channel };
            match channel["accounts"].as_object().filter(|accounts| !accounts.is_empty()) {
                None => found.push(account("default", channel)),
                Some(accounts) => found.extend(
                    accounts
                        .iter()
                        .filter(|(_, own)| own["enabled"] != Json::Bool(false))
                        .map(|(id, own)| account(id, own)),
                ),
            }
        }
        found
    }

    /// A setting of the account, else of the channel; dots lead into objects.
    pub(super) fn setting(&self, name: &str) -> Option<&'j Json> {
        within(self.own, name).or_else(|| within(self.channel, name))
    }

    pub(super) fn text(&self, name: &str) -> Option<&'j str> {
        self.setting(name)
            .and_then(Json::as_str)
            .filter(|text| !text.trim().is_empty())
    }

    /// Where a setting stands in the assistant's file, or has to stand.
    pub(super) fn place(&self, name: &str) -> String {
        let key = self.kind.key;
        let inherited = within(self.own, name).is_none() && within(self.channel, name).is_some();
        if inherited || self.channel.get("accounts").is_none() {
            format!("channels.{key}.{name}")
        } else {
            format!("channels.{key}.accounts.{}.{name}", self.id)
        }
    }

    /// The name of its inbound webhook.
    pub(super) fn name(&self) -> String {
        let tail: String = self
            .id
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
            .collect();
        let mut name = match self.id {
            "default" => self.kind.key.to_owned(),
            _ => format!("{}-{tail}", self.kind.key),
        };
        name.truncate(50); // with `assistant-` before it, a name still has at most 63 characters
        name
    }
}

/// What lies within an object; dots lead into objects.
fn within<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    let found = name.split('.').try_fold(json, |json, key| json.get(key));
    found.filter(|value| !value.is_null())
}
