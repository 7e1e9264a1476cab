//! The one table of fields: schema, checks, masking, command-line flags, replace reasons, docs and the diff's walk are
//! derived from it. A new field is two places: this table and what uses it.

mod inbound;
mod outbound;
mod settings;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::value::Value;
pub(super) use outbound::MAX_SCHEDULE;

/// One field of a resource (or of a map inside it).
#[derive(Debug)]
pub struct Field {
    /// Its name in the document.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Its default, written as in YAML; `None`: absent, or derived (then `help` says how).
    pub default: Option<&'static str>,
    /// One sentence for schema, `--help` and the reference.
    pub help: &'static str,
    /// An example, written as in YAML.
    pub example: &'static str,
    /// Whether its value is a secret (literals are masked, resolved values are compared by fingerprint).
    pub sensitive: bool,
    /// Whether a change cannot be made in place.
    pub forces_replace: bool,
}

impl PartialEq for Field {
    /// Fields are rows of one static table: the same row is the same field.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Field {}

/// A row: name, kind, default (`""`: none), example, help.
const fn field(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    help: &'static str,
) -> Field {
    Field {
        name,
        kind,
        default: if default.is_empty() { None } else { Some(default) },
        help,
        example,
        sensitive: false,
        forces_replace: false,
    }
}

impl Field {
    const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    const fn forces_replace(mut self) -> Self {
        self.forces_replace = true;
        self
    }

    /// The default in normal form.
    #[must_use]
    pub fn default_value(&'static self) -> Option<&'static Value> {
        self.default?;
        DEFAULTS.get(&std::ptr::from_ref(self).addr())
    }

    /// Whether this version carries it out.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        !matches!(self.kind, Kind::NotYet(_))
    }
}

/// What a field may hold. Any text may hold references, except where said otherwise.
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number within bounds.
    Decimal {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// Milliseconds, or `5s`, `1m30s`, `7d`; within bounds in milliseconds.
    Duration {
        /// The shortest.
        min: u64,
        /// The longest.
        max: u64,
    },
    /// Any text.
    Text,
    /// Text of a certain form.
    Form(Form),
    /// One of some words.
    Choice {
        /// What this version knows.
        now: &'static [&'static str],
        /// What the language has, and this version not yet.
        later: &'static [&'static str],
    },
    /// A literal, a reference in any form, or a list of these.
    Secret,
    /// A list, in the document's order.
    List(&'static Kind),
    /// A list whose order means nothing: kept sorted, without repeats.
    Set(&'static Kind),
    /// Names of HTTP headers to texts.
    Headers,
    /// Names to texts.
    Labels,
    /// A map with fields of its own.
    Object(&'static [Field]),
    /// Such a map, or `false`.
    ObjectOrFalse(&'static [Field]),
    /// JSON Web Keys: `{keys: […]}`, `{file: path}` or `{url: …}`.
    Jwks,
    /// Part of the language; using it is an error in this version.
    NotYet(&'static Kind),
}

/// The forms of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `http://` or `https://`, without fragment.
    Url,
    /// A URL that paths are put behind: no query either.
    BaseUrl,
    /// `127.0.0.1:8790`, `unix:path`.
    Listen,
    /// A path of a file that is read, from the document's directory.
    File,
    /// A path of a file or directory that is made.
    Path,
    /// `/webhook/telegram`.
    RoutePath,
    /// A header's name.
    HeaderName,
    /// `name` or `name: value`.
    RequiredHeader,
    /// A host's name.
    Host,
    /// A webhook's name. No references.
    WebhookName,
    /// `message.received`, `message.*`, `*`.
    Event,
    /// An address or CIDR.
    Network,
    /// An address, CIDR or host.
    NetworkOrHost,
    /// `50/s`.
    Rate,
    /// `503`, `5xx`, `520-530`.
    StatusCode,
    /// `30%`.
    Percent,
    /// A platform's name. No references.
    Platform,
    /// `{id}.{timestamp}.{body}`.
    SignatureTemplate,
    /// An expression over an event: [`crate::expression::Filter`].
    Filter,
    /// A text with expressions in it: [`crate::expression::Template`].
    Template,
}

impl Form {
    /// Whether `${NAME}` may stand in it.
    #[must_use]
    pub fn allows_references(self) -> bool {
        !matches!(self, Self::WebhookName | Self::Platform)
    }
}

/// One part of `webhooks`.
#[derive(Debug)]
pub struct Section {
    /// Its key under `webhooks` (for `defaults.inbound` and `inbound` the fields are the same).
    pub name: &'static str,
    /// Its fields, in the order of every listing.
    pub fields: &'static [Field],
    /// One sentence.
    pub help: &'static str,
}

impl Section {
    /// A field by its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The table: every section with its fields.
pub static SECTIONS: [Section; 7] = [
    Section {
        name: "server",
        fields: &settings::SERVER,
        help: "The public listener, where platforms post to.",
    },
    Section {
        name: "admin",
        fields: &settings::ADMIN,
        help: "The admin listener: API, metrics, health. Never on the public listener.",
    },
    Section {
        name: "store",
        fields: &settings::STORE,
        help: "Where events, attempts and generations are kept.",
    },
    Section {
        name: "reconcile",
        fields: &settings::RECONCILE,
        help: "How a changed document is applied.",
    },
    Section {
        name: "egress",
        fields: &settings::EGRESS,
        help: "What outbound URLs may reach, and how many attempts run at once.",
    },
    Section {
        name: "inbound",
        fields: &inbound::INBOUND,
        help: "Inbound webhooks by name: platforms push messages to the gateway.",
    },
    Section {
        name: "outbound",
        fields: &outbound::OUTBOUND,
        help: "Outbound webhooks by name: the gateway pushes events to other systems.",
    },
];

/// A section by its name: `server`, `admin`, `store`, `reconcile`, `egress`, `inbound`, `outbound`.
#[must_use]
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// The index of a section whose name is known at compile time.
pub(super) fn known_section(name: &'static str) -> &'static Section {
    section(name).expect("a name of the table")
}

/// Fields that `defaults` cannot set: they belong to one webhook alone.
pub const NOT_IN_DEFAULTS: [&str; 3] = ["path", "url", "previousName"];

/// Walks every field of a section, nested ones too, with dotted paths (`tls.cert`).
pub fn walk(fields: &'static [Field]) -> impl Iterator<Item = (String, &'static Field)> {
    let mut found = Vec::new();
    collect(fields, "", &mut found);
    found.into_iter()
}

fn collect(fields: &'static [Field], prefix: &str, found: &mut Vec<(String, &'static Field)>) {
    for field in fields {
        let path = format!("{prefix}{}", field.name);
        found.push((path.clone(), field));
        if let Some(nested) = nested(&field.kind) {
            collect(nested, &format!("{path}."), found);
        }
    }
}

/// The fields inside of a kind.
#[must_use]
pub fn nested(kind: &'static Kind) -> Option<&'static [Field]> {
    match kind {
        Kind::Object(fields) | Kind::ObjectOrFalse(fields) => Some(fields),
        Kind::NotYet(kind) => nested(kind),
        _ => None,
    }
}

/// The defaults in normal form, by the address of their row.
static DEFAULTS: LazyLock<HashMap<usize, Value>> = LazyLock::new(|| {
    let mut defaults = HashMap::new();
    for section in &SECTIONS {
        for (_, field) in walk(section.fields) {
            if let Some(text) = field.default {
                let value = super::check::written(&field.kind, text);
                defaults.insert(std::ptr::from_ref(field).addr(), value);
            }
        }
    }
    defaults
});

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The longest time that is kept: ten years.
const LONGEST: u64 = 3650 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_complete_and_its_default_and_example_are_valid() {
        for section in &SECTIONS {
            for (path, field) in walk(section.fields) {
                let place = format!("{}.{path}", section.name);
                assert!(field.help.len() > 10 && field.help.ends_with('.'), "{place}: help");
                assert!(!field.example.is_empty(), "{place}: example");
                let kind = if let Kind::NotYet(kind) = &field.kind {
                    kind
                } else {
                    &field.kind
                };
                let _ = super::super::check::written(kind, field.example);
                assert_eq!(field.default.is_some(), field.default_value().is_some(), "{place}");
            }
        }
    }

    #[test]
    fn names_are_unique_within_a_section() {
        for section in &SECTIONS {
            let mut names: Vec<String> = walk(section.fields).map(|(path, _)| path).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{}", section.name);
        }
    }
}
