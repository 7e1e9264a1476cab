//! What a document means: resources by address, in normal form.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::cut::Reading;
use super::fields::{Field, Section};
use super::mask;
use super::value::Value;
use crate::event::Name;

/// How a document is written; the file's extension says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.yaml`, `.yml`.
    Yaml,
    /// `.json` (read as JSON5), `.json5`.
    Json5,
}

impl Format {
    /// The format that a path's extension says.
    #[must_use]
    pub fn of_path(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" | "json5" => Some(Self::Json5),
            _ => None,
        }
    }

    /// The format of [`Format::extension`]; anything else is YAML.
    #[must_use]
    pub fn of_extension(extension: &str) -> Self {
        if extension == Self::Json5.extension() {
            Self::Json5
        } else {
            Self::Yaml
        }
    }

    /// The extension of a file of this format, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json5 => "json5",
        }
    }
}

/// A document's text and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The path to show in diagnostics.
    pub path: &'a str,
    /// How it is written.
    pub format: Format,
    /// The text.
    pub text: &'a [u8],
}

/// Which resource: its order is the order of every listing and plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `webhooks.server`.
    Server,
    /// `webhooks.admin`.
    Admin,
    /// `webhooks.store`.
    Store,
    /// `webhooks.reconcile`.
    Reconcile,
    /// `webhooks.egress`.
    Egress,
    /// `webhooks.inbound.NAME`.
    Inbound(Name),
    /// `webhooks.outbound.NAME`.
    Outbound(Name),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("webhooks.server"),
            Self::Admin => f.write_str("webhooks.admin"),
            Self::Store => f.write_str("webhooks.store"),
            Self::Reconcile => f.write_str("webhooks.reconcile"),
            Self::Egress => f.write_str("webhooks.egress"),
            Self::Inbound(name) => write!(f, "webhooks.inbound.{name}"),
            Self::Outbound(name) => write!(f, "webhooks.outbound.{name}"),
        }
    }
}

impl Address {
    /// The inverse of `Display`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("webhooks.")? {
            "server" => Some(Self::Server),
            "admin" => Some(Self::Admin),
            "store" => Some(Self::Store),
            "reconcile" => Some(Self::Reconcile),
            "egress" => Some(Self::Egress),
            rest => {
                if let Some(name) = rest.strip_prefix("inbound.") {
                    return Name::parse(name).ok().map(Self::Inbound);
                }
                rest.strip_prefix("outbound.")
                    .and_then(|name| Name::parse(name).ok())
                    .map(Self::Outbound)
            }
        }
    }
}

/// One resource's effective values in normal form: two resources are equal exactly when they mean the same.
///
/// Holds, in the order of the table of fields, what the document says (or `defaults` says for it), plus the defaults that
/// are derived from other values (`channel`, `platform`, `path`, `url`, the retry law). A value that equals the table's
/// constant default is left out, so that 100,000 webhooks fit into memory; [`Resource::effective`] fills it in.
#[derive(Clone, Default)]
pub struct Resource {
    section: Option<&'static Section>,
    /// Shared with the same resource of a later document.
    fields: Arc<[(&'static Field, Value)]>,
    place: u32,
    end: u32,
}

impl PartialEq for Resource {
    /// The section is no part of the meaning (it follows from the address), nor is the place in the text.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.fields, &other.fields) || self.fields == other.fields
    }
}

impl Eq for Resource {}

impl fmt::Debug for Resource {
    /// Masked: a literal secret must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.fields()
                    .map(|(field, value)| (field.name, self.mask(field, value).to_string())),
            )
            .finish()
    }
}

impl Resource {
    /// Makes a resource of values in the order of the table, defaults left out.
    #[must_use]
    pub fn new(fields: Vec<(&'static Field, Value)>) -> Self {
        Self {
            section: None,
            fields: fields.into(),
            place: 0,
            end: 0,
        }
    }

    /// The same, of a section whose defaults [`Resource::effective`] fills in.
    #[must_use]
    pub fn of(section: &'static Section, fields: Vec<(&'static Field, Value)>) -> Self {
        Self {
            section: Some(section),
            fields: fields.into(),
            place: 0,
            end: 0,
        }
    }

    /// The same, written in these bytes of the document.
    #[must_use]
    pub fn placed(self, extent: Range<u32>) -> Self {
        Self {
            place: extent.start,
            end: extent.end,
            ..self
        }
    }

    /// The offset of its entry in the document, in bytes: listings for people keep the document's order.
    #[must_use]
    pub fn place(&self) -> u32 {
        self.place
    }

    /// Where its entry ends.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Its entry, from the key on.
    pub(super) fn extent(&self) -> Range<u32> {
        self.place..self.end
    }

    /// The section of the table that its fields are of.
    #[must_use]
    pub fn section(&self) -> Option<&'static Section> {
        self.section
    }

    /// The values that are not the table's constant default.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, &Value)> {
        self.fields.iter().map(|(field, value)| (*field, value))
    }

    /// The value of a field where it is not the table's constant default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(field, _)| field.name == name)
            .map(|(_, value)| value)
    }

    /// The value of a field, the default filled in, without a copy; `None`: the field is absent.
    #[must_use]
    pub fn effective_ref(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.get(name) {
            return Some(value);
        }
        // The retry law takes the place of the list of delays.
        if name == "retrySchedule" && self.get("retries").is_some() {
            return None;
        }
        self.section?.field(name)?.default_value()
    }

    /// The value of a field, the default filled in; `None`: the field is absent.
    #[must_use]
    pub fn effective(&self, name: &str) -> Option<Value> {
        self.effective_ref(name).cloned()
    }

    /// The value of a field as it may be shown: see [`mask::shown`].
    #[must_use]
    pub fn shown(&self, name: &str) -> Option<Value> {
        let value = self.effective_ref(name)?;
        let field = self.section.and_then(|section| section.field(name));
        Some(field.map_or_else(|| value.clone(), |field| self.mask(field, value)))
    }

    /// A value of one of its fields as it may be shown: see [`mask::shown`]. The URL of a chat's webhook is its token.
    #[must_use]
    pub fn mask(&self, field: &'static Field, value: &Value) -> Value {
        let chat = field.name == "url"
            && (self.get("format").and_then(Value::as_text)).is_some_and(super::settings::Chat::may_be_name);
        match value {
            Value::Text(text) if chat => Value::text(&mask::origin(text)),
            _ => mask::shown(field, value),
        }
    }
}

/// A checked document: what must exist.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// Every resource. The five settings resources are always there.
    pub resources: BTreeMap<Address, Resource>,
    /// `secrets.providers` of the document, by name: JSON as it was written.
    pub providers: BTreeMap<String, serde_json::Value>,
    /// How it was written; `None`: nothing that a later reading could begin from.
    pub reading: Option<Reading>,
}

impl PartialEq for Desired {
    /// How it was written is no part of the meaning.
    fn eq(&self, other: &Self) -> bool {
        self.resources == other.resources && self.providers == other.providers
    }
}

impl Eq for Desired {}

impl Desired {
    /// Whether `webhooks` says nothing at all: no webhook, and no setting that is not its default.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts() == (0, 0)
            && self
                .resources
                .values()
                .all(|resource| resource.fields().next().is_none())
    }

    /// How many inbound and outbound webhooks it has.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let inbound = self
            .resources
            .keys()
            .filter(|address| matches!(address, Address::Inbound(_)))
            .count();
        let outbound = self
            .resources
            .keys()
            .filter(|address| matches!(address, Address::Outbound(_)))
            .count();
        (inbound, outbound)
    }
}
