//! `openclaw.yaml` -> [`Desired`]. Pure: no sockets, no tasks, no clock, no environment.
//!
//! The way of a document: [`text`] makes a located tree of YAML, JSON or JSON5; [`check`] walks it along the one table of
//! [`fields`], collects every [`Diagnostic`] and makes [`Desired`]; [`resolve`] makes one resource's [`settings`] with a
//! [`Lookup`] that the caller brings.

pub mod settings;
pub mod value;

use std::collections::BTreeMap;
use std::fmt;

use crate::event::Name;
pub use settings::{Admin, Egress, Inbound, Outbound, ReconcileSettings, Server, StoreSettings};
pub use value::Value;

/// How a document is written; the file's extension says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.yaml`, `.yml`.
    Yaml,
    /// `.json` (read as JSON5), `.json5`.
    Json5,
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    fields: Box<[(&'static Field, Value)]>,
}

impl Resource {
    /// Makes a resource of values in the order of the table, defaults left out.
    #[must_use]
    pub fn new(fields: Vec<(&'static Field, Value)>) -> Self {
        Self { fields: fields.into() }
    }

    /// The values that are not the table's constant default.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, &Value)> {
        self.fields.iter().map(|(field, value)| (*field, value))
    }

    /// The value of a field, the default filled in; `None`: the field is absent.
    #[must_use]
    pub fn effective(&self, name: &str) -> Option<Value> {
        match self.fields.iter().find(|(field, _)| field.name == name) {
            Some((_, value)) => Some(value.clone()),
            None => None, // the table's default: filled in by document::fields
        }
    }
}

/// A checked document: what must exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Every resource. The five settings resources are always there.
    pub resources: BTreeMap<Address, Resource>,
    /// `secrets.providers` of the document, by name: JSON as it was written.
    pub providers: BTreeMap<String, serde_json::Value>,
}

pub mod fields;
pub use fields::Field;
