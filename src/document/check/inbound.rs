//! The rules of one inbound webhook: what its platform needs, and what is derived.

use std::ops::Range;

use base64::Engine as _;

use super::document::Webhooks;
use super::place::Place;
use super::slots::{Slot, Slots};
use super::{Check, Code, Fault};
use crate::document::Resource;
use crate::document::fields::known_section;
use crate::document::platforms::{self, Keys, Platform, Weakness};
use crate::document::reference;
use crate::document::text::Entry;
use crate::document::value::Value;
use crate::event::Name;
use crate::secret::Secret;

impl Check<'_> {
    /// One inbound webhook: its values in the order of the table.
    pub(super) fn inbound(
        &mut self,
        name: &Name,
        entry: &Entry<'_>,
        place: &Place<'_>,
        around: &mut Webhooks<'_>,
    ) -> Option<Vec<Option<Value>>> {
        let span = entry.at..entry.end;
        let mut slots = self.slots(known_section("inbound").fields, &entry.value, place)?;
        let platform = platform_of(name, &slots, &around.defaults)?;

        for special in platforms::SPECIAL_FIELDS {
            if let Some(slot) = slots.get(special).filter(|_| !platform.fits(special)) {
                let fault = Fault::new(
                    Code::DoesNotFit,
                    format!("`{special}` does not fit the platform `{}`", platform.name),
                );
                let fault = fault.hint(needs(platform));
                let fault = if slots.is_named("platform") {
                    fault
                } else {
                    fault.hint("the platform follows from the name; set `platform` to say another")
                };
                let key = slot.key.clone();
                self.report(&place.key(special), &key, fault);
            }
        }
        for (index, default) in around.defaults.values.iter().enumerate() {
            let field = &slots.table[index];
            if slots.named & (1 << index) == 0 && platform.fits(field.name) {
                slots.values[index].clone_from(default);
            }
        }
        self.derive(name, platform, &mut slots, &span, place, around);
        self.key_material(platform, &slots, &span, place);
        Some(
            slots
                .values
                .into_iter()
                .map(|slot| slot.map(|slot| slot.value))
                .collect(),
        )
    }

    fn key_material(&mut self, platform: &'static Platform, slots: &Slots, span: &Range<u32>, place: &Place<'_>) {
        let weakness = platform.weakness(|field| slots.value(field));
        let unverified = slots
            .get("verifySignature")
            .filter(|slot| slot.value == Value::Bool(false));
        if let Some(slot) = unverified {
            let at = slot.key.clone();
            self.weak_scheme(weakness, &at, &place.key("verifySignature"));
        } else {
            let missing: Vec<&str> = match platform.keys {
                // Without a right path nothing can be said of the URL that follows from it.
                Keys::All(fields) => fields
                    .iter()
                    .copied()
                    .filter(|f| !(has(slots, f) || *f == "url" && slots.is_faulty("path")))
                    .collect(),
                Keys::Any(fields) if fields.iter().any(|f| has(slots, f)) => Vec::new(),
                Keys::Any(fields) => fields[..1].to_vec(),
            };
            for field in missing {
                let fault = Fault::new(Code::Missing, format!("`{field}` is missing: {}", needs(platform)))
                    .hint(find_it(platform.name, field));
                let fault = if slots.is_named("platform") || platform.name != "generic" {
                    fault
                } else {
                    fault.hint("the platform is `generic`, because the name is no known platform; set `platform` to say another")
                };
                self.report(&place.key(field), span, fault);
            }
            self.generic_header(platform, slots, span, place);
            self.weak_scheme(weakness, span, place);
        }
        self.weak_scheme(platform.rival(), span, place);
        self.literals(platform, slots, place);
    }

    fn weak_scheme(&mut self, weakness: Option<Weakness>, span: &Range<u32>, place: &Place<'_>) {
        if let Some(weakness) = weakness {
            let fault = Fault::new(weakness.code, weakness.attack).hint(weakness.way_out);
            self.report(place, span, fault);
        }
    }

    /// `signature.header` of a generic source has no default.
    fn generic_header(&mut self, platform: &Platform, slots: &Slots, span: &Range<u32>, place: &Place<'_>) {
        if platform.name != "generic" || slots.is_faulty("signature") {
            return;
        }
        let scheme = slots.get("signature");
        let member = |name| scheme.and_then(|slot| slot.value.get(name));
        let place = place.key("signature");
        if member("header").is_none() {
            let fault = Fault::new(
                Code::Missing,
                "`signature.header` is missing: which header carries the signature?",
            );
            let at = scheme.map_or(span.clone(), |slot| slot.key.clone());
            let fault = fault.hint("write `signature: { header: X-Signature }`");
            let fault = if slots.is_named("platform") {
                fault
            } else {
                fault.hint(
                    "the platform is `generic`, because the name is no known platform; set `platform` to say another",
                )
            };
            self.report(&place.key("header"), &at, fault);
            return;
        }
        let signs_time = member("template")
            .and_then(Value::as_text)
            .is_some_and(|text| text.contains("{timestamp}"));
        if signs_time != member("timestampHeader").is_some() {
            let at = scheme.map_or(span.clone(), |slot| slot.key.clone());
            let fault = if signs_time {
                Fault::new(
                    Code::Missing,
                    "`signature.timestampHeader` is missing: the template signs a time",
                )
            } else {
                // A time that is not signed proves nothing: it would only look like replay protection.
                Fault::new(
                    Code::DoesNotFit,
                    "`signature.timestampHeader` is there, and the template does not sign `{timestamp}`",
                )
            };
            self.report(&place, &at, fault);
        }
    }

    /// What can be said of literals; what a reference leads to is checked when it is resolved.
    fn literals(&mut self, platform: &Platform, slots: &Slots, place: &Place<'_>) {
        for field in KEY_FORMS {
            let Some(Slot { at, .. }) = slots.get(field) else {
                continue;
            };
            for literal in texts(slots, field) {
                if reference::has_reference(literal) {
                    continue;
                }
                if let Err(why) = key_form(platform.name, field, literal) {
                    let at = at.clone();
                    let fault = match field {
                        // Nothing passes for it, so it does no harm: a document may wait for the platform's key.
                        "publicKey" => Fault::new(Code::UnusableKey, format!("this key verifies nothing: {why}"))
                            .hint("without another key every request to this route is answered 401"),
                        _ => Fault::new(Code::InvalidText, why),
                    };
                    self.report(&place.key(field), &at, fault);
                }
            }
        }
    }

    fn derive(
        &mut self,
        name: &Name,
        platform: &'static Platform,
        slots: &mut Slots,
        span: &Range<u32>,
        place: &Place<'_>,
        around: &mut Webhooks<'_>,
    ) {
        for field in ["channel", "audience"] {
            let blank = |slot: &&Slot| slot.value.as_text().is_some_and(|text| text.trim().is_empty());
            if let Some(slot) = slots.get(field).filter(blank) {
                let fault = Fault::new(Code::Blank, format!("the {field} is blank"));
                let at = slot.at.clone();
                self.report(&place.key(field), &at, fault);
            }
        }
        if slots.get("channel").is_none() {
            slots.set("channel", Value::text(name.as_str()));
        }
        slots.set("platform", Value::text(platform.name));
        if slots.is_faulty("path") {
            return;
        }
        let at = slots.get("path").map_or(span.clone(), |slot| slot.at.clone());
        let path = slots
            .text("path")
            .map_or_else(|| format!("/webhook/{name}"), str::to_owned);
        // The same name twice is the same fault, said by the reader.
        if let Some(other) = around.paths.get(&path).filter(|other| *other != name) {
            let fault = Fault::new(
                Code::PathTaken,
                format!("`{name}` and `{other}` both have the path `{path}`"),
            );
            self.report(
                &place.key("path"),
                &at,
                fault.hint("give one of the two another `path`"),
            );
        } else {
            around.paths.insert(path.clone(), name.clone());
        }
        if slots.get("url").is_none()
            && let Some(public_url) = &around.public_url
        {
            slots.set("url", Value::text(&format!("{public_url}{path}")));
        }
        slots.set("path", Value::text(&path));
    }
}

/// The platform that the document names, or the name is, else `generic`.
fn platform_of(name: &Name, slots: &Slots, defaults: &Slots) -> Option<&'static Platform> {
    if slots.is_faulty("platform") {
        return None; // without a platform nothing else can be said
    }
    match slots.text("platform").or(defaults.text("platform")) {
        Some(written) => platforms::find(written),
        None => platforms::find(name.as_str()).or_else(|| platforms::find("generic")),
    }
}

/// Right or wrong: a wrong value was reported already.
fn has(slots: &Slots, field: &str) -> bool {
    slots.is_named(field) || slots.get(field).is_some()
}

/// The literals and references of a field of keys.
fn texts<'s>(slots: &'s Slots, field: &str) -> impl Iterator<Item = &'s str> {
    let values = match slots.get(field).map(|slot| &slot.value) {
        Some(Value::List(items)) => &**items,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    values.iter().filter_map(Value::as_text)
}

/// What a platform is verified with, in words.
fn needs(platform: &Platform) -> String {
    let list = |fields: &[&str], word: &str| {
        fields
            .iter()
            .map(|field| format!("`{field}`"))
            .collect::<Vec<_>>()
            .join(word)
    };
    match platform.keys {
        Keys::All(fields) => format!(
            "the platform `{}` is verified with {}",
            platform.name,
            list(fields, " and ")
        ),
        Keys::Any(fields) => format!(
            "the platform `{}` is verified with {}",
            platform.name,
            list(fields, " or ")
        ),
    }
}

/// Where the value is to be found.
fn find_it(platform: &str, field: &str) -> String {
    let place = match (platform, field) {
        ("telegram", _) => "choose one, and give it to Telegram's `setWebhook` as `secret_token`",
        ("discord", _) => "it is in the Discord developer portal: General Information, Public Key",
        ("slack", _) => "it is on the app's page: Basic Information, Signing Secret",
        ("whatsapp", "verifyToken") => "choose one, and enter it beside the callback URL in Meta's app dashboard",
        ("whatsapp", _) => "it is in Meta's app dashboard: App settings, Basic, App secret",
        ("line", _) => "it is in the LINE Developers Console: the channel's Basic settings, Channel secret",
        ("feishu", _) => "it is in the developer console: Events & Callbacks, Encryption Strategy",
        ("dingtalk", _) => "it is in the developer console: the app's credentials, AppSecret",
        ("wecom", "corpId") => "it is in the admin console: My Company, Company ID; for an AI bot write `corpId: \"\"`",
        ("wecom", "encryptKey") => "it is the EncodingAESKey beside the callback URL in WeCom's admin console",
        ("wecom", _) => "it is the Token beside the callback URL in WeCom's admin console",
        ("github", _) => "choose one, and enter it at GitHub: Settings, Webhooks, Secret",
        ("gitlab", _) => "choose one, and enter it at GitLab: Settings, Webhooks",
        ("stripe", _) => "it is in Stripe's Workbench: Webhooks, the endpoint, Signing secret",
        ("shopify", _) => "it is the app's client secret",
        ("twilio", "url") => {
            "write the URL as Twilio's console has it, or set `server.publicUrl`: it is part of what is signed"
        }
        ("twilio", _) => "it is in Twilio's console: Account Info, Auth Token",
        ("openclaw-cron", _) => "it is the assistant's `cron.webhookToken`",
        ("googlechat", _) => {
            "it is the authentication audience of the Chat app in the Google Cloud console: the endpoint's URL or the project's number"
        }
        ("msteams", _) => "it is the bot's Microsoft App ID",
        ("mattermost", _) => "Mattermost shows the token where the outgoing webhook or slash command is made",
        ("synology-chat", _) => "Synology Chat shows the token where the outgoing webhook is made",
        ("nextcloud-talk", _) => "it is the secret that `occ talk:bot:install` was given",
        ("zalo", _) => "choose one of 8 to 256 characters, and give it to Zalo's `setWebhook` as `secret_token`",
        ("qqbot", _) => "it is the bot's AppSecret on QQ's open platform",
        ("bluebubbles", _) => "it is the password of the BlueBubbles server",
        (_, "username") => "write `username: …`",
        _ => return format!("write `{field}: {{ env: NAME }}`, or `verifySignature: false` for a first try"),
    };
    place.to_owned()
}

/// The fields of keys that have a form.
pub(in crate::document) const KEY_FORMS: [&str; 3] = ["secret", "publicKey", "encryptKey"];

/// Whether a key has the form that its platform needs; the reason never holds the key.
pub(in crate::document) fn key_form(platform: &str, field: &str, key: &str) -> Result<(), String> {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.decode(text);
    match (platform, field) {
        ("telegram", "secret") => {
            let fits = (1..=256).contains(&key.len())
                && key
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            fits.then_some(())
                .ok_or_else(|| "Telegram's secret has 1 to 256 characters of A-Z a-z 0-9 _ -".to_owned())
        }
        ("discord", "publicKey") => match hex::decode(key) {
            Ok(bytes) if bytes.len() == 32 => ed25519_key(&bytes),
            _ => Err("Discord's public key has 64 hex digits".to_owned()),
        },
        ("standard", "publicKey") => match key.strip_prefix("whpk_").map(base64) {
            Some(Ok(bytes)) if bytes.len() == 32 => ed25519_key(&bytes),
            _ => Err("the public key is `whpk_` and the base64 of 32 bytes".to_owned()),
        },
        ("wecom", "encryptKey") => {
            let fits = key.len() == 43
                && key
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
            fits.then_some(())
                .ok_or_else(|| "WeCom's EncodingAESKey has 43 characters of A-Z a-z 0-9".to_owned())
        }
        ("zalo", "secret") => (8..=256)
            .contains(&key.chars().count())
            .then_some(())
            .ok_or_else(|| "Zalo's secret token has 8 to 256 characters".to_owned()),
        ("standard" | "openclaw" | "gitlab", "secret") => {
            let key = Secret::new(key).standard_key();
            key.map(drop)
                .ok_or_else(|| "what follows `whsec_` is not base64".to_owned())
        }
        _ => Ok(()),
    }
}

/// Why an inbound webhook lets nothing in, as far as its document says: none of its public keys is one. `None`: a right
/// request passes.
#[must_use]
pub fn no_key_verifies(resource: &Resource) -> Option<String> {
    let unverified = resource.effective("verifySignature") == Some(Value::Bool(false));
    if unverified || resource.get("secret").is_some() {
        return None;
    }
    let platform = resource.effective_ref("platform").and_then(Value::as_text)?;
    let keys = match resource.get("publicKey")? {
        Value::List(keys) => &**keys,
        one => std::slice::from_ref(one),
    };
    let mut reason = None;
    for key in keys {
        // A reference is checked where it leads to.
        let literal = key.as_text().filter(|text| !reference::has_reference(text))?;
        reason = Some(key_form(platform, "publicKey", literal).err()?);
    }
    reason.map(|why| format!("no key can verify its requests: {why}"))
}

/// Not every 32 bytes are a key, and some keys take any signature for right.
fn ed25519_key(bytes: &[u8]) -> Result<(), String> {
    let key = bytes.try_into().ok().map(ed25519_dalek::VerifyingKey::from_bytes);
    match key {
        Some(Ok(key)) if !key.is_weak() => Ok(()),
        _ => Err("the public key is no Ed25519 key".to_owned()),
    }
}
