//! The platforms of inbound webhooks as data: what each needs, allows and promises. How each one verifies and reads is
//! `inbound/platform/`'s.

use super::diagnostic::Code;
use super::value::Value;

/// What a platform's signature is checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// All of these fields are required.
    All(&'static [&'static str]),
    /// At least one of these fields is required.
    Any(&'static [&'static str]),
}

impl Keys {
    /// The fields.
    #[must_use]
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::All(fields) | Self::Any(fields) => fields,
        }
    }
}

/// One platform.
#[derive(Debug, PartialEq, Eq)]
pub struct Platform {
    /// Its name in the document.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What requests are verified with.
    pub keys: Keys,
    /// Fields that fit beside the keys and those that fit every platform.
    pub extra: &'static [&'static str],
    /// Its own default of `maxBodyBytes`.
    pub max_body_bytes: Option<u64>,
    /// Whether it signs a time, so that `tolerance` means something.
    pub signed_time: bool,
    /// Whether the owner of the webhook chooses the secret (else the platform gives it).
    pub owner_chooses: bool,
    /// Where its scheme proves little.
    pub weak: Option<Weakness>,
}

/// What a scheme does not prove. These are the only words for it: `validate`, `plan`, `show` and the docs have them from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weakness {
    /// How it is told.
    pub code: Code,
    /// What an attacker can do: one sentence, without a full stop.
    pub attack: &'static str,
    /// What the document can do against it.
    pub way_out: &'static str,
}

impl Weakness {
    /// A scheme that `allowFrom` makes up for.
    const fn of(attack: &'static str) -> Self {
        Self {
            code: Code::WeakPlatform,
            attack,
            way_out: "restrict the senders with `allowFrom`",
        }
    }
}

/// A token for this route that holds for about an hour, whatever the body is. The platform has no other scheme: a note, where
/// others get a warning.
const fn unsigned_body(attack: &'static str) -> Weakness {
    Weakness {
        code: Code::UnsignedBody,
        ..Weakness::of(attack)
    }
}

/// `verifySignature: false`, on whatever platform.
const UNVERIFIED: Weakness = Weakness {
    code: Code::Unverified,
    attack: "signatures are not checked: anybody who knows the URL can send events",
    way_out: "remove `verifySignature: false` before this is reachable from outside",
};

/// No weakness of the scheme, but told in the same places.
const POLLED: Weakness = Weakness {
    code: Code::TelegramPolling,
    attack: "an OpenClaw assistant that polls this bot deletes its webhook at every start, and this route goes silent",
    way_out: "set `channels.telegram.webhookUrl` on the OpenClaw that has this bot",
};

/// Fields that only some platforms have; every other field of `inbound` fits all of them.
pub const SPECIAL_FIELDS: [&str; 10] = [
    "secret",
    "publicKey",
    "verifyToken",
    "encryptKey",
    "corpId",
    "username",
    "audience",
    "jwks",
    "signature",
    "tolerance",
];

const SECRET: Keys = Keys::All(&["secret"]);

const TOKEN_IN_BODY: Weakness = Weakness::of(
    "nothing but the token inside the body proves the sender: whoever sees one request can send any other, until the token \
     is changed",
);

/// Feishu without an Encrypt Key: its own way out is better than `allowFrom`.
const UNSIGNED_FEISHU: Weakness = Weakness {
    way_out: "set `encryptKey`: then requests are signed and encrypted",
    ..TOKEN_IN_BODY
};

/// A platform that gives the secret itself.
const fn gives(name: &'static str, keys: Keys, signed_time: bool) -> Platform {
    Platform {
        name,
        aliases: &[],
        keys,
        extra: &[],
        max_body_bytes: None,
        signed_time,
        owner_chooses: false,
        weak: None,
    }
}

/// Platforms that an assistant has a channel for, under the same name: it can answer there.
pub const CHANNELS: [&str; 15] = [
    "telegram",
    "discord",
    "slack",
    "whatsapp",
    "line",
    "feishu",
    "twilio",
    "googlechat",
    "msteams",
    "mattermost",
    "synology-chat",
    "nextcloud-talk",
    "zalo",
    "qqbot",
    "bluebubbles",
];

/// A platform whose secret the owner of the webhook chooses.
const fn takes(name: &'static str, keys: Keys, signed_time: bool) -> Platform {
    Platform {
        owner_chooses: true,
        ..gives(name, keys, signed_time)
    }
}

/// Every platform, in the order of the documentation.
pub static PLATFORMS: [Platform; 27] = [
    Platform {
        // Telegram has no other scheme, and its networks are known: a note, where others get a warning.
        weak: Some(Weakness {
            code: Code::UnsignedBody,
            attack: "Telegram's secret token comes as it is with every request: whoever sees one can send any other",
            way_out: "restrict the senders to Telegram's networks: `allowFrom: [149.154.160.0/20, 91.108.4.0/22]`",
        }),
        ..takes("telegram", SECRET, false)
    },
    gives("discord", Keys::All(&["publicKey"]), true),
    gives("slack", SECRET, true),
    gives("whatsapp", Keys::All(&["secret", "verifyToken"]), false),
    gives("line", SECRET, false),
    Platform {
        aliases: &["lark"],
        ..gives("feishu", Keys::Any(&["encryptKey", "verifyToken"]), true)
    },
    Platform {
        weak: Some(Weakness::of(
            "DingTalk signs the time and not the body: whoever sees one request can send any other within `tolerance` (default: 1h)",
        )),
        ..gives("dingtalk", SECRET, true)
    },
    gives("wecom", Keys::All(&["verifyToken", "encryptKey", "corpId"]), false),
    Platform {
        max_body_bytes: Some(25 * 1024 * 1024),
        ..takes("github", SECRET, false)
    },
    Platform {
        weak: Some(Weakness {
            way_out: "use GitLab's signing token (`whsec_…`), which never leaves GitLab, or restrict the senders with `allowFrom`",
            ..Weakness::of(
                "GitLab's secret token comes as it is with every request: whoever sees one can send any other",
            )
        }),
        ..takes("gitlab", SECRET, true)
    },
    gives("stripe", SECRET, true),
    gives("shopify", SECRET, false),
    // The URL is what Twilio signs.
    gives("twilio", Keys::All(&["secret", "url"]), false),
    takes("standard", Keys::Any(&["secret", "publicKey"]), true),
    takes("openclaw", SECRET, true),
    Platform {
        extra: &["signature"],
        weak: Some(Weakness::of(
            "the token comes as it is with every request: whoever sees one can send any other",
        )),
        ..takes("token", SECRET, false)
    },
    Platform {
        extra: &["signature"],
        weak: Some(Weakness::of(
            "the password comes as it is with every request: whoever sees one can send any other",
        )),
        ..takes("basic", Keys::All(&["username", "secret"]), false)
    },
    Platform {
        extra: &["signature"],
        ..takes("generic", SECRET, true)
    },
    Platform {
        weak: Some(Weakness::of(
            "the assistant's token comes as it is with every request: whoever sees one can send any other",
        )),
        ..gives("openclaw-cron", SECRET, false)
    },
    Platform {
        extra: &["jwks"],
        weak: Some(unsigned_body(
            "Google's token does not sign the body: whoever sees one request can send any other until the token expires",
        )),
        ..gives("googlechat", Keys::All(&["audience"]), true)
    },
    Platform {
        extra: &["jwks"],
        weak: Some(unsigned_body(
            "Microsoft's token does not sign the body: whoever sees one request can send any other until the token expires",
        )),
        ..gives("msteams", Keys::All(&["audience"]), true)
    },
    Platform {
        weak: Some(TOKEN_IN_BODY),
        ..gives("mattermost", SECRET, false)
    },
    Platform {
        weak: Some(TOKEN_IN_BODY),
        ..gives("synology-chat", SECRET, false)
    },
    gives("nextcloud-talk", SECRET, false),
    Platform {
        weak: Some(Weakness::of(
            "Zalo's secret token comes as it is with every request: whoever sees one can send any other",
        )),
        ..gives("zalo", SECRET, false)
    },
    gives("qqbot", SECRET, true),
    Platform {
        weak: Some(Weakness::of(
            "the server's password is in the URL of every request: whoever reads it there, in a proxy's log too, can send \
             any event",
        )),
        ..gives("bluebubbles", SECRET, false)
    },
];

/// A platform by its name or an alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Platform> {
    all().find(|platform| platform.name == name || platform.aliases.contains(&name))
}

/// Every platform.
pub fn all() -> impl Iterator<Item = &'static Platform> {
    PLATFORMS.iter()
}

impl Platform {
    /// Whether a field of `inbound` means something for it.
    #[must_use]
    pub fn fits(&self, field: &str) -> bool {
        !SPECIAL_FIELDS.contains(&field)
            || self.keys.fields().contains(&field)
            || self.extra.contains(&field)
            || (field == "tolerance" && self.signed_time)
    }

    /// What an attacker can do on a route with these values of fields, unless the document does what can be done against it.
    pub fn weakness<'v>(&self, value: impl Fn(&str) -> Option<&'v Value>) -> Option<Weakness> {
        if value("verifySignature") == Some(&Value::Bool(false)) {
            return Some(UNVERIFIED);
        }
        let restricted = match value("allowFrom") {
            Some(Value::List(networks)) => !networks.is_empty(),
            other => other.is_some(),
        };
        let weak = match self.name {
            "feishu" => {
                Some(UNSIGNED_FEISHU).filter(|_| value("encryptKey").is_none() && value("verifyToken").is_some())
            }
            "gitlab" if value("secret").is_some_and(all_sign) => None,
            _ => self.weak,
        };
        weak.filter(|_| !restricted)
    }

    /// What an assistant that has the same bot can do to a route.
    #[must_use]
    pub fn rival(&self) -> Option<Weakness> {
        (self.name == "telegram").then_some(POLLED)
    }
}

/// Whether each of GitLab's secrets is a signing token. Where a reference leads is not known here: it is none.
fn all_sign(secrets: &Value) -> bool {
    let secrets = match secrets {
        Value::List(items) => items,
        one => std::slice::from_ref(one),
    };
    secrets
        .iter()
        .all(|secret| secret.as_text().is_some_and(|text| text.starts_with("whsec_")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::fields;

    #[test]
    fn the_table_names_only_fields_that_exist() {
        let inbound = fields::section("inbound").unwrap();
        for platform in all() {
            for field in platform
                .keys
                .fields()
                .iter()
                .chain(platform.extra)
                .chain(&SPECIAL_FIELDS)
            {
                assert!(inbound.field(field).is_some(), "{}: {field}", platform.name);
            }
        }
    }

    #[test]
    fn a_weakness_is_one_sentence_that_names_what_an_attacker_can_do() {
        let told = all().filter_map(|p| p.weak).chain([UNVERIFIED, UNSIGNED_FEISHU]);
        for weakness in told {
            assert!(weakness.attack.contains("can send"), "{}", weakness.attack);
            assert!(!weakness.attack.ends_with('.') && !weakness.attack.contains(". "));
            assert!(weakness.code.severity() != crate::document::Severity::Error);
        }
    }

    #[test]
    fn a_weakness_is_told_until_the_document_makes_up_for_it() {
        let told = |platform: &str, fields: &[(&str, Value)]| {
            let value = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value);
            find(platform).unwrap().weakness(value).map(|w| w.code.as_str())
        };
        let list = |items: &[&str]| Value::List(items.iter().map(|item| Value::text(item)).collect());
        let near = ("allowFrom", list(&["10.0.0.0/8"]));
        assert_eq!(told("slack", &[]), None);
        assert_eq!(told("slack", &[("verifySignature", Value::Bool(false))]), Some("OC150"));
        assert_eq!(
            told("slack", &[("verifySignature", Value::Bool(false)), near.clone()]),
            Some("OC150")
        );
        assert_eq!(told("telegram", &[]), Some("OC158"));
        assert_eq!(told("dingtalk", &[]), Some("OC151"));
        assert_eq!(told("dingtalk", &[("allowFrom", list(&[]))]), Some("OC151"));
        assert_eq!(told("dingtalk", &[near]), None);
        assert_eq!(told("feishu", &[("verifyToken", Value::text("x"))]), Some("OC151"));
        assert_eq!(told("feishu", &[("encryptKey", Value::text("x"))]), None);
        assert_eq!(told("gitlab", &[("secret", Value::text("whsec_eA=="))]), None);
        assert_eq!(told("gitlab", &[("secret", list(&["whsec_eA==", "x"]))]), Some("OC151"));
        assert_eq!(told("gitlab", &[("secret", Value::text("${TOKEN}"))]), Some("OC151"));
    }

    #[test]
    fn platforms_are_found_by_name_and_alias() {
        assert_eq!(find("lark").map(|p| p.name), Some("feishu"));
        assert_eq!(find("Telegram"), None);
    }
}
