//! The one table of fields: schema, checks, masking, command-line flags, replace reasons, docs and the diff's walk are
//! derived from it. A new field is two places: this table and what uses it.

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

/// What a field may hold.
#[derive(Debug)]
pub enum Kind {
    /// To be completed.
    Text,
}
