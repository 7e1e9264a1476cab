//! The platforms of inbound webhooks as data: what each needs, allows and promises. How each one verifies and reads is
//! `inbound/platform/`'s.

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
    /// What an attacker can do, where its scheme proves little.
    pub weak: Option<&'static str>,
}

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

/// What whoever learns a token can do that comes with every request.
const TOKEN_IN_BODY: &str = "nothing but the token inside the body proves the sender: whoever sees one request can send any other, until the token is changed";

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
    takes("telegram", SECRET, false),
    gives("discord", Keys::All(&["publicKey"]), true),
    gives("slack", SECRET, true),
    gives("whatsapp", Keys::All(&["secret", "verifyToken"]), false),
    gives("line", SECRET, false),
    Platform {
        aliases: &["lark"],
        ..gives("feishu", Keys::Any(&["encryptKey", "verifyToken"]), true)
    },
    Platform {
        weak: Some("DingTalk signs the time and not the body: whoever sees one request can send any other for an hour"),
        ..gives("dingtalk", SECRET, true)
    },
    gives("wecom", Keys::All(&["verifyToken", "encryptKey", "corpId"]), false),
    Platform {
        max_body_bytes: Some(25 * 1024 * 1024),
        ..takes("github", SECRET, false)
    },
    Platform {
        weak: Some(
            "GitLab's secret token comes as it is with every request: whoever sees one can send any other; its signing \
             token (`whsec_`) never leaves GitLab",
        ),
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
        weak: Some("the token comes as it is with every request: whoever sees one can send any other"),
        ..takes("token", SECRET, false)
    },
    Platform {
        extra: &["signature"],
        weak: Some("the password comes as it is with every request: whoever sees one can send any other"),
        ..takes("basic", Keys::All(&["username", "secret"]), false)
    },
    Platform {
        extra: &["signature"],
        ..takes("generic", SECRET, true)
    },
    gives("openclaw-cron", SECRET, false),
    Platform {
        extra: &["jwks"],
        ..gives("googlechat", Keys::All(&["audience"]), true)
    },
    Platform {
        extra: &["jwks"],
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
        weak: Some("Zalo's secret token comes as it is with every request: whoever sees one can send any other"),
        ..gives("zalo", SECRET, false)
    },
    gives("qqbot", SECRET, true),
    Platform {
        weak: Some(
            "the server's password is in the URL of every request: whoever reads it there, in a proxy's log too, can \
             send any event",
        ),
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
    fn platforms_are_found_by_name_and_alias() {
        assert_eq!(find("lark").map(|p| p.name), Some("feishu"));
        assert_eq!(find("Telegram"), None);
    }
}
