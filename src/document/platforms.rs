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
    /// Why its scheme proves little, where it does.
    pub weak: Option<&'static str>,
    /// Whether this version has it.
    pub implemented: bool,
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

/// A platform that is not implemented yet, with a secret that the platform gives.
const fn later(name: &'static str, keys: Keys, signed_time: bool) -> Platform {
    Platform {
        name,
        aliases: &[],
        keys,
        extra: &[],
        max_body_bytes: None,
        signed_time,
        owner_chooses: false,
        weak: None,
        implemented: false,
    }
}

const fn now(name: &'static str, keys: Keys, signed_time: bool, owner_chooses: bool) -> Platform {
    Platform {
        owner_chooses,
        implemented: true,
        ..later(name, keys, signed_time)
    }
}

/// Every platform, in the order of the documentation.
pub static PLATFORMS: [Platform; 27] = [
    now("telegram", SECRET, false, true),
    now("discord", Keys::All(&["publicKey"]), true, false),
    now("slack", SECRET, true, false),
    later("whatsapp", Keys::All(&["secret", "verifyToken"]), false),
    later("line", SECRET, false),
    Platform {
        aliases: &["lark"],
        ..later("feishu", Keys::Any(&["encryptKey", "verifyToken"]), true)
    },
    Platform {
        weak: Some(
            "DingTalk does not sign the body, only the time: whoever sees one request can send others for an hour",
        ),
        ..later("dingtalk", SECRET, true)
    },
    later("wecom", Keys::All(&["verifyToken", "encryptKey", "corpId"]), false),
    Platform {
        max_body_bytes: Some(25 * 1024 * 1024),
        ..now("github", SECRET, false, true)
    },
    Platform {
        owner_chooses: true,
        ..later("gitlab", SECRET, true)
    },
    later("stripe", SECRET, true),
    later("shopify", SECRET, false),
    later("twilio", SECRET, false),
    now("standard", Keys::Any(&["secret", "publicKey"]), true, true),
    now("openclaw", SECRET, true, true),
    Platform {
        extra: &["signature"],
        ..now("token", SECRET, false, true)
    },
    Platform {
        extra: &["signature"],
        ..now("basic", Keys::All(&["username", "secret"]), false, true)
    },
    Platform {
        extra: &["signature"],
        ..now("generic", SECRET, true, true)
    },
    later("openclaw-cron", SECRET, false),
    Platform {
        extra: &["jwks"],
        ..later("googlechat", Keys::All(&["audience"]), true)
    },
    Platform {
        extra: &["jwks"],
        ..later("msteams", Keys::All(&["audience"]), true)
    },
    Platform {
        weak: Some("nothing but a token inside the body proves the sender"),
        ..later("mattermost", SECRET, false)
    },
    Platform {
        weak: Some("nothing but a token inside the body proves the sender"),
        ..later("synology-chat", SECRET, false)
    },
    later("nextcloud-talk", SECRET, false),
    later("zalo", SECRET, false),
    later("qqbot", SECRET, true),
    Platform {
        weak: Some("nothing but a password in the URL proves the sender"),
        ..later("bluebubbles", SECRET, false)
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
        assert_eq!(find("bluebubbles").map(|p| p.implemented), Some(false));
        assert_eq!(find("Telegram"), None);
        let implemented: Vec<_> = all().filter(|p| p.implemented).map(|p| p.name).collect();
        assert_eq!(
            implemented,
            [
                "telegram", "discord", "slack", "github", "standard", "openclaw", "token", "basic", "generic"
            ]
        );
    }
}
