//! `inbound.NAME`.

use super::super::check::key_form;
use super::super::desired::Resource;
use super::super::platforms::{self, Keys, Platform};
use super::super::reference::{self, Lookup, Problem, Reason};
use super::super::settings::{Encoding, HashAlgorithm, Inbound, Jwks, SignatureScheme};
use super::super::value::Value;
use super::Reader;
use crate::event::Name;
use crate::secret::Secret;

/// `webhooks.inbound.NAME`.
pub fn resolve_inbound(name: &Name, resource: &Resource, lookup: &dyn Lookup) -> Result<Inbound, Vec<Problem>> {
    let mut reader = Reader::new(resource, lookup);
    let platform = reader.text("platform").as_deref().and_then(platforms::find);
    let channel = reader.text("channel");
    let path = reader.text("path");
    let url = reader.text("url");
    let verify_signature = reader.bool("verifySignature");
    let secrets = reader.secrets("secret");
    let public_keys = reader.secrets("publicKey");
    let verify_tokens = reader.secrets("verifyToken");
    let encrypt_keys = reader.secrets("encryptKey");
    let corp_id = reader.text("corpId");
    let username = reader.text("username");
    let audience = reader.text("audience");
    let jwks = reader.jwks();
    let scheme = reader.value("signature");
    let tolerance = reader
        .duration("tolerance")
        .or_else(|| match scheme.as_ref()?.get("tolerance")? {
            Value::Duration(ms) => Some(std::time::Duration::from_millis(*ms)),
            _ => None,
        });
    let max_body_bytes = reader.number("maxBodyBytes");
    let rate_limit = reader.rate("rateLimit");
    let allow_from = reader.networks("allowFrom");
    let dedupe_window = reader.duration("dedupeWindow");
    let paused = reader.bool("paused");
    if let Some(platform) = platform {
        reader.key_forms(platform, "secret", &secrets);
        reader.key_forms(platform, "publicKey", &public_keys);
        reader.key_forms(platform, "encryptKey", &encrypt_keys);
        // The document's check takes `verifySignature: ${X}` for true.
        if verify_signature == Some(true) {
            reader.keys_are_there(platform);
        }
    }
    let inbound = (|| {
        let platform = platform?;
        Some(Inbound {
            name: name.clone(),
            channel: channel?,
            platform: platform.name,
            path: path?,
            url,
            verify_signature: verify_signature?,
            secrets,
            public_keys: public_keys.iter().map(|key| key.expose().to_owned()).collect(),
            verify_tokens,
            encrypt_keys,
            corp_id,
            username,
            audience,
            jwks,
            signature: scheme.as_ref().map(signature_scheme).unwrap_or_default(),
            tolerance,
            max_body_bytes: max_body_bytes.or(platform.max_body_bytes),
            rate_limit,
            allow_from: allow_from?,
            dedupe_window: dedupe_window?,
            paused: paused?,
        })
    })();
    reader.finish(inbound)
}

impl Reader<'_> {
    fn jwks(&mut self) -> Option<Jwks> {
        let value = self.resource.get("jwks")?;
        let member = |name| value.get(name).and_then(Value::as_text);
        if let Some(keys) = member("keys") {
            return Some(Jwks::Inline(format!("{{\"keys\":{keys}}}")));
        }
        let written = member("file").or(member("url"))?;
        let result = reference::expand(written, self.lookup).and_then(|text| match member("file") {
            Some(_) => reference::read(text.expose(), self.lookup).map(|text| Jwks::Inline(text.expose().to_owned())),
            None => Ok(Jwks::Url(text.expose().to_owned())),
        });
        result
            .map_err(|(reason, message)| self.problem("jwks", reason, message))
            .ok()
    }

    fn key_forms(&mut self, platform: &Platform, field: &str, keys: &[Secret]) {
        for key in keys {
            // A literal public key of the wrong form is the check's to warn of: nothing passes for it. A reference that
            // leads to one has changed, or is wrong: what runs stays.
            if field == "publicKey" && self.is_literal(field, key) {
                continue;
            }
            if let Err(why) = key_form(platform.name, field, key.expose()) {
                self.problem(field, Reason::Invalid, why);
            }
        }
    }

    /// Whether the document holds this very text.
    fn is_literal(&self, field: &str, key: &Secret) -> bool {
        let written = match self.resource.get(field) {
            Some(Value::List(items)) => &**items,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        written.iter().any(|value| value.as_text() == Some(key.expose()))
    }

    fn keys_are_there(&mut self, platform: &Platform) {
        let has = |field: &&str| self.resource.get(field).is_some();
        let missing: Vec<&str> = match platform.keys {
            Keys::All(fields) => fields.iter().copied().filter(|field| !has(field)).collect(),
            Keys::Any(fields) if fields.iter().any(has) => Vec::new(),
            Keys::Any(fields) => fields[..1].to_vec(),
        };
        for field in missing {
            self.problem(
                field,
                Reason::SecretMissing,
                format!("`{field}` is missing, and signatures are to be checked"),
            );
        }
    }
}

fn signature_scheme(value: &Value) -> SignatureScheme {
    let member = |name| value.get(name).and_then(Value::as_text).map(str::to_owned);
    SignatureScheme {
        header: member("header"),
        algorithm: match member("algorithm").as_deref() {
            Some("sha1") => HashAlgorithm::Sha1,
            Some("sha512") => HashAlgorithm::Sha512,
            _ => HashAlgorithm::Sha256,
        },
        encoding: match member("encoding").as_deref() {
            Some("base64") => Encoding::Base64,
            _ => Encoding::Hex,
        },
        prefix: member("prefix").unwrap_or_default(),
        timestamp_header: member("timestampHeader"),
        template: member("template").filter(|template| template != "{body}"),
        id_header: member("idHeader"),
        type_header: member("typeHeader"),
        type_field: member("typeField"),
    }
}
