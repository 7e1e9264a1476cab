//! References: `${NAME}`, `${NAME:-default}`, `{env}`, `{file}`, `{source, provider, id}`. Their form is checked with the
//! document; that they resolve is checked where they live, through a [`Lookup`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use super::value::Value;
use crate::secret::Secret;

/// Where references lead: brought by the caller, so that this room knows neither environment nor files.
pub trait Lookup {
    /// A variable of the process, then of the `.env` beside the document. Empty counts as unset.
    fn env(&self, name: &str) -> Option<Secret>;

    /// The text of a file; the path is as the document has it, relative to the document's directory.
    ///
    /// # Errors
    /// Why it cannot be read: `no such file`, `permission denied`, `not UTF-8`.
    fn file(&self, path: &str) -> Result<Secret, String>;

    /// Asks an exec provider for a value.
    ///
    /// # Errors
    /// Why it has none, without any value.
    fn exec(&self, provider: &str, definition: &Json, id: &str) -> Result<Secret, String>;

    /// Told before what is going to be asked for: an exec provider can then be asked for all of it in one call.
    fn expect(&self, _targets: &BTreeSet<Target>) {}

    /// A provider of the document's `secrets.providers` ([`super::Desired::providers`]).
    fn provider(&self, name: &str) -> Option<&Json>;

    /// The document's directory: what relative paths are from.
    fn directory(&self) -> &Path;
}

/// How long an exec provider may take where its `timeoutMs` says nothing.
pub const PROVIDER_TIMEOUT: Duration = Duration::from_secs(5);

/// However long its `timeoutMs` asks for: reconciles and stops wait for it.
pub const LONGEST_PROVIDER_TIMEOUT: Duration = Duration::from_mins(1);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text that stands for itself.
    Literal(Cow<'a, str>),
    /// `${NAME}` or `${NAME:-default}`.
    Env {
        /// The variable.
        name: &'a str,
        /// The literal text for an unset or empty variable.
        default: Option<&'a str>,
    },
}

/// Whether a text is the name of a variable: `[A-Z_][A-Z0-9_]*`.
#[must_use]
pub fn is_env_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_uppercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Cuts a text into literals and references. `$${NAME}` is a literal `${NAME}`; any other `$` stands for itself.
#[must_use]
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut literal = 0;
    let mut i = 0;
    while let Some(dollar) = text[i..].find("${").map(|n| i + n) {
        let Some((name, default, end)) = reference_at(text, dollar) else {
            i = dollar + 2;
            continue;
        };
        if dollar > literal && text.as_bytes()[dollar - 1] == b'$' {
            // The first `$` of `$${NAME}` goes; what follows it is literal.
            if dollar - 1 > literal {
                parts.push(Part::Literal(Cow::Borrowed(&text[literal..dollar - 1])));
            }
            parts.push(Part::Literal(Cow::Borrowed(&text[dollar..end])));
        } else {
            if dollar > literal {
                parts.push(Part::Literal(Cow::Borrowed(&text[literal..dollar])));
            }
            parts.push(Part::Env { name, default });
        }
        literal = end;
        i = end;
    }
    if literal < text.len() {
        parts.push(Part::Literal(Cow::Borrowed(&text[literal..])));
    }
    parts
}

fn reference_at(text: &str, dollar: usize) -> Option<(&str, Option<&str>, usize)> {
    let inside = dollar + 2;
    let close = inside + text[inside..].find('}')?;
    let body = &text[inside..close];
    let (name, default) = match body.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (body, None),
    };
    is_env_name(name).then_some((name, default, close + 1))
}

/// Whether a text holds a reference or an escaped one: then its form is only known when it is resolved.
#[must_use]
pub fn has_reference(text: &str) -> bool {
    text.contains("${")
        && parts(text)
            .iter()
            .any(|part| !matches!(part, Part::Literal(literal) if **literal == *text))
}

/// `${lower}`: something that was probably meant as a reference.
#[must_use]
pub fn suspicious(text: &str) -> Option<&str> {
    let mut i = 0;
    while let Some(dollar) = text[i..].find("${").map(|n| i + n) {
        match (reference_at(text, dollar), text[dollar..].find('}')) {
            (Some((_, _, end)), _) => i = end,
            (None, Some(n)) => {
                let name = &text[dollar + 2..dollar + n];
                let word = name.split(":-").next().unwrap_or_default();
                if !word.is_empty() && word.len() <= 64 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                {
                    return Some(word);
                }
                i = dollar + 2;
            }
            (None, None) => return None,
        }
    }
    None
}

/// What a resource names outside of the document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The field, with what lies inside it: `secret`, `secret[1]`, `tls.cert`.
    pub field: String,
    /// What it names.
    pub target: Target,
}

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An environment variable.
    Env(String),
    /// A file, as the document has its path.
    File(String),
    /// An exec provider's value.
    Exec {
        /// The provider.
        provider: String,
        /// The value's id.
        id: String,
    },
}

/// Why a reference did not resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The variable is not set, the file is blank, the provider has no such id.
    SecretMissing,
    /// A file cannot be read.
    FileUnreadable,
    /// An exec provider failed.
    ProviderFailed,
    /// What it resolved to does not fit the field.
    Invalid,
}

impl Reason {
    /// The reason of a condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SecretMissing => "SecretMissing",
            Self::FileUnreadable => "FileUnreadable",
            Self::ProviderFailed => "ProviderFailed",
            Self::Invalid => "Invalid",
        }
    }
}

/// One thing that keeps a resource from being resolved. Holds no secret's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Problem {
    /// The field, with what lies inside it.
    pub field: String,
    /// Why.
    pub reason: Reason,
    /// What is wrong, for a person.
    pub message: String,
}

/// Fills in the references of a text.
pub(super) fn expand(text: &str, lookup: &dyn Lookup) -> Result<Secret, (Reason, String)> {
    let mut out = zeroize::Zeroizing::new(String::with_capacity(text.len()));
    for part in parts(text) {
        match part {
            Part::Literal(literal) => out.push_str(&literal),
            Part::Env { name, default } => match (lookup.env(name).filter(|v| !v.expose().is_empty()), default) {
                (Some(value), _) => out.push_str(value.expose()),
                (None, Some(default)) => out.push_str(default),
                (None, None) => return Err(unset(name)),
            },
        }
    }
    Ok(Secret::new(out.as_str()))
}

fn unset(name: &str) -> (Reason, String) {
    (
        Reason::SecretMissing,
        format!("the environment variable `{name}` is not set (nor in the `.env` beside the document)"),
    )
}

/// Resolves one secret in any of its forms (not a list).
pub(super) fn secret(value: &Value, lookup: &dyn Lookup) -> Result<Secret, (Reason, String)> {
    let found = match value {
        Value::Text(text) => expand(text, lookup)?,
        Value::Map(_) => {
            let member = |name| value.get(name).and_then(Value::as_text);
            if let Some(name) = member("env") {
                lookup.env(name).ok_or_else(|| unset(name))?
            } else if let Some(path) = member("file") {
                file_secret(path, lookup)?
            } else {
                let (provider, id) = (member("provider").unwrap_or_default(), member("id").unwrap_or_default());
                provided(provider, id, lookup)?
            }
        }
        _ => return Err((Reason::Invalid, "not a secret".to_owned())),
    };
    if found.expose().trim().is_empty() {
        return Err((Reason::SecretMissing, format!("{} is blank", describe(value))));
    }
    Ok(found)
}

fn file_secret(path: &str, lookup: &dyn Lookup) -> Result<Secret, (Reason, String)> {
    let text = read(path, lookup)?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    Ok(Secret::new(text.expose().trim_end_matches(['\n', '\r'])))
}

/// Reads a file, or says which one could not be read.
pub(super) fn read(path: &str, lookup: &dyn Lookup) -> Result<Secret, (Reason, String)> {
    lookup.file(path).map_err(|why| {
        (
            Reason::FileUnreadable,
            format!("the file `{path}` cannot be read: {why}"),
        )
    })
}

fn provided(provider: &str, id: &str, lookup: &dyn Lookup) -> Result<Secret, (Reason, String)> {
    let definition = lookup.provider(provider).ok_or_else(|| {
        (
            Reason::Invalid,
            format!("the provider `{provider}` is not in `secrets.providers`"),
        )
    })?;
    match definition["source"].as_str() {
        Some("exec") => lookup.exec(provider, definition, id).map_err(|why| {
            (
                Reason::ProviderFailed,
                format!("the provider `{provider}` has no `{id}`: {why}"),
            )
        }),
        Some("env") => lookup.env(id).ok_or_else(|| unset(id)),
        _ => {
            let path = definition["path"].as_str().unwrap_or_default();
            let text = read(path, lookup)?;
            if id == "value" || definition["mode"].as_str() == Some("singleValue") {
                return Ok(Secret::new(text.expose().trim_end_matches(['\n', '\r'])));
            }
            let missing = || {
                (
                    Reason::SecretMissing,
                    format!("the file `{path}` of the provider `{provider}` has no text at `{id}`"),
                )
            };
            let json: Json = serde_json::from_str(text.expose()).map_err(|_| {
                (
                    Reason::Invalid,
                    format!("the file `{path}` of the provider `{provider}` is no JSON"),
                )
            })?;
            json.pointer(id)
                .and_then(Json::as_str)
                .map(Secret::new)
                .ok_or_else(missing)
        }
    }
}

/// What a reference names, for messages: never a value.
fn describe(value: &Value) -> String {
    let member = |name| value.get(name).and_then(Value::as_text);
    match (member("env"), member("file"), member("id")) {
        (Some(name), ..) => format!("the environment variable `{name}`"),
        (_, Some(path), _) => format!("the file `{path}`"),
        (.., Some(id)) => format!("the provided value `{id}`"),
        _ => "the secret".to_owned(),
    }
}

/// What a secret value names.
pub(super) fn targets(value: &Value, lookup: &dyn Lookup, found: &mut Vec<Target>) {
    match value {
        Value::Text(text) => text_targets(text, found),
        Value::Map(_) => {
            let member = |name| value.get(name).and_then(Value::as_text);
            match (member("env"), member("file"), member("provider"), member("id")) {
                (Some(name), ..) => found.push(Target::Env(name.to_owned())),
                (_, Some(path), ..) => found.push(Target::File(path.to_owned())),
                (.., Some(provider), Some(id)) => match lookup.provider(provider) {
                    Some(definition) if definition["source"] == "file" => {
                        found.extend(definition["path"].as_str().map(|path| Target::File(path.to_owned())));
                    }
                    Some(definition) if definition["source"] == "env" => found.push(Target::Env(id.to_owned())),
                    _ => found.push(Target::Exec {
                        provider: provider.to_owned(),
                        id: id.to_owned(),
                    }),
                },
                _ => {}
            }
        }
        _ => {}
    }
}

/// The variables that a text names.
pub(super) fn text_targets(text: &str, found: &mut Vec<Target>) {
    if text.contains("${") {
        found.extend(parts(text).into_iter().filter_map(|part| match part {
            Part::Env { name, .. } => Some(Target::Env(name.to_owned())),
            Part::Literal(_) => None,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(text: &str) -> String {
        parts(text)
            .iter()
            .map(|part| match part {
                Part::Literal(text) => format!("[{text}]"),
                Part::Env { name, default } => format!("<{name}|{}>", default.unwrap_or("-")),
            })
            .collect()
    }

    #[test]
    fn texts_are_cut_by_the_assistants_rules() {
        for (text, cut) in [
            ("", ""),
            ("plain $5 $", "[plain $5 $]"),
            ("${A}", "<A|->"),
            ("a${A_1}b${B:-x y}c", "[a]<A_1|->[b]<B|x y>[c]"),
            ("${B:-}", "<B|>"),
            ("$${A}", "[${A}]"),
            ("x$${A}y", "[x][${A}][y]"),
            ("${lower} ${A", "[${lower} ${A]"),
            ("${1A}${A-B}", "[${1A}${A-B}]"),
            ("ü${A}ü", "[ü]<A|->[ü]"),
        ] {
            assert_eq!(say(text), cut, "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_reference_is_noticed() {
        assert_eq!(suspicious("x ${lower_case} y"), Some("lower_case"));
        assert_eq!(suspicious("${A} ${B:-c}"), None);
        assert_eq!(suspicious("${a b} $ ${"), None);
        assert!(has_reference("a${B}") && has_reference("$${B}") && !has_reference("${b}"));
    }
}
