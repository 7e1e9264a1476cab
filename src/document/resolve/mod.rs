//! One resource -> its typed settings: references filled in, and what they lead to checked.
//!
//! Every function answers all problems of its resource at once, and no message holds a secret's value.

mod inbound;
mod outbound;
mod settings;

use std::time::Duration;

use zeroize::Zeroize as _;

use super::desired::{Desired, Resource};
use super::diagnostic::plain;
use super::fields::{Field, Form, Kind};
use super::form::{self, Scalar, Stage};
use super::mask;
use super::reference::{self, Lookup, Problem, Reason, Reference, Target};
use super::value::Value;
use crate::secret::Secret;

pub use inbound::resolve_inbound;
pub use outbound::resolve_outbound;
pub use settings::{resolve_admin, resolve_egress, resolve_reconcile, resolve_server, resolve_store};

/// Reads a resource's fields, collecting problems.
struct Reader<'r> {
    resource: &'r Resource,
    lookup: &'r dyn Lookup,
    problems: Vec<Problem>,
}

impl<'r> Reader<'r> {
    fn new(resource: &'r Resource, lookup: &'r dyn Lookup) -> Self {
        Self {
            resource,
            lookup,
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, field: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.problems.push(Problem {
            field: field.into(),
            reason,
            message: message.into(),
        });
    }

    /// Ends the reading: the settings, or everything that is wrong.
    fn finish<T>(self, settings: Option<T>) -> Result<T, Vec<Problem>> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(self.problems),
        }
    }

    /// A field's value with references filled in; secrets are left alone.
    fn value(&mut self, name: &str) -> Option<Value> {
        let value = self.resource.effective_ref(name)?;
        let field = self.resource.section()?.field(name)?;
        self.filled(&field.kind, value, name)
    }

    fn filled(&mut self, kind: &'static Kind, value: &Value, path: &str) -> Option<Value> {
        match (kind, value) {
            (Kind::Secret | Kind::Headers | Kind::Jwks, _) => Some(value.clone()),
            (Kind::NotYet(kind), _) => self.filled(kind, value, path),
            (Kind::List(kind) | Kind::Set(kind), Value::List(items)) => {
                let items: Vec<_> = (items.iter().enumerate())
                    .map(|(i, item)| self.filled(kind, item, &format!("{path}[{i}]")))
                    .collect();
                items
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .map(|items| Value::List(items.into()))
            }
            (Kind::Object(fields) | Kind::ObjectOrFalse(fields), Value::Map(members)) => {
                let members: Vec<_> = (members.iter())
                    .map(|(name, value)| {
                        let field = fields.iter().find(|field| field.name == &**name)?;
                        Some((
                            name.clone(),
                            self.filled(&field.kind, value, &format!("{path}.{name}"))?,
                        ))
                    })
                    .collect();
                members
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .map(|members| Value::Map(members.into()))
            }
            (_, Value::Text(text)) if reference::has_reference(text) => self.checked(kind, text, path),
            _ => Some(value.clone()),
        }
    }

    /// A text with references, filled in and held to its kind.
    fn checked(&mut self, kind: &'static Kind, text: &str, path: &str) -> Option<Value> {
        let filled = match reference::expand(text, self.lookup) {
            Ok(filled) => filled,
            Err((reason, message)) => {
                self.problem(path, reason, message);
                return None;
            }
        };
        match form::scalar(kind, Scalar::Text(filled.expose()), Stage::Resolved) {
            Ok(value) => Some(value),
            Err(mut fault) => {
                // The check's own message may hold what the reference led to.
                fault.message.zeroize();
                let takes = match kind {
                    Kind::Form(form) => form_name(*form),
                    kind => form::expected(kind),
                };
                let text = mask::url(text);
                self.problem(
                    path,
                    Reason::Invalid,
                    format!("what `{}` leads to does not fit: the field takes {takes}", plain(&text)),
                );
                None
            }
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.value(name)?.as_text().map(str::to_owned)
    }

    fn bool(&mut self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    fn number<N: TryFrom<i64>>(&mut self, name: &str) -> Option<N> {
        match self.value(name)? {
            Value::Integer(n) => N::try_from(n).ok(),
            _ => None,
        }
    }

    fn duration(&mut self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            Value::Duration(ms) => Some(Duration::from_millis(ms)),
            _ => None,
        }
    }

    /// The texts of a list, each read by `parse`. What a check has let pass, parses.
    fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        match self.value(name)? {
            Value::List(items) => items.iter().map(|item| item.as_text().and_then(&parse)).collect(),
            _ => None,
        }
    }

    fn networks(&mut self, name: &str) -> Option<Vec<ipnet::IpNet>> {
        self.list(name, form::parse_network)
    }

    fn rate(&mut self, name: &str) -> Option<super::settings::Rate> {
        self.text(name).as_deref().and_then(form::parse_rate)
    }

    /// Secrets of a field: none where it is absent.
    fn secrets(&mut self, name: &str) -> Vec<Secret> {
        let Some(value) = self.resource.get(name) else {
            return Vec::new();
        };
        match value {
            Value::List(items) => (items.iter().enumerate())
                .filter_map(|(i, item)| self.secret(item, &format!("{name}[{i}]")))
                .collect(),
            one => self.secret(one, name).into_iter().collect(),
        }
    }

    fn secret(&mut self, value: &Value, path: &str) -> Option<Secret> {
        reference::secret(value, self.lookup)
            .map_err(|(reason, message)| self.problem(path, reason, message))
            .ok()
    }

    /// Reads a file that must hold PEM.
    fn pem(&mut self, path: &str, field: &str) -> Option<Secret> {
        match reference::read(path, self.lookup) {
            Ok(text) if text.expose().contains("-----BEGIN ") => Some(text),
            Ok(_) => {
                self.problem(field, Reason::Invalid, format!("the file `{path}` is not PEM"));
                None
            }
            Err((reason, message)) => {
                self.problem(field, reason, message);
                None
            }
        }
    }

    /// Two files of a `tls` object that belong together.
    fn pem_pair(&mut self, cert: &str, key: &str) -> Option<(String, Secret)> {
        let tls = self.value("tls")?;
        let path = |name| tls.get(name).and_then(Value::as_text).map(str::to_owned);
        let (cert_path, key_path) = (path(cert)?, path(key)?);
        let cert = self.pem(&cert_path, &format!("tls.{cert}"));
        let key = self.pem(&key_path, &format!("tls.{key}"));
        Some((cert?.expose().to_owned(), key?))
    }
}

fn form_name(form: Form) -> &'static str {
    match form {
        Form::Url | Form::BaseUrl => "an http:// or https:// URL",
        Form::Listen => "an address to listen on",
        Form::RoutePath => "the path of a route",
        Form::HeaderName | Form::RequiredHeader => "a header",
        Form::Host => "a host's name",
        Form::Event => "an event's name",
        Form::Network | Form::NetworkOrHost => "a network",
        Form::Rate => "a rate such as `50/s`",
        Form::StatusCode => "a status code",
        Form::Percent => "a share such as `30%`",
        Form::Filter => "an expression",
        Form::Template => "a template",
        _ => "a text",
    }
}

/// What a resource names outside of the document, with the fields that name it: environment variables, files (secrets,
/// certificates, keys, key sets) and exec providers. A path with a variable in it is filled in where that is possible.
#[must_use]
pub fn references(resource: &Resource, lookup: &dyn Lookup) -> Vec<Reference> {
    let mut found = Vec::new();
    for (field, value) in resource.fields() {
        visit(&field.kind, value, field.name, &mut |leaf| {
            let mut targets = Vec::new();
            match leaf.role {
                Role::Secret => reference::targets(leaf.value, lookup, &mut targets),
                Role::File => {
                    let text = leaf.value.as_text().unwrap_or_default();
                    reference::text_targets(text, &mut targets);
                    let path =
                        reference::expand(text, lookup).map_or_else(|_| text.to_owned(), |p| p.expose().to_owned());
                    targets.push(Target::File(path));
                }
                Role::Plain => {
                    if let Value::Text(text) = leaf.value {
                        reference::text_targets(text, &mut targets);
                    }
                }
            }
            found.extend(targets.into_iter().map(|target| Reference {
                field: leaf.path.to_owned(),
                target,
            }));
        });
    }
    found
}

/// Tells the lookup all that a document is going to ask it for.
pub fn expect(desired: &Desired, lookup: &dyn Lookup) {
    let found = (desired.resources.values()).flat_map(|resource| references(resource, lookup));
    lookup.expect(&found.map(|reference| reference.target).collect());
}

/// Every value of a resource that a plan must not print, for keyed fingerprints: what secrets and references lead to, and
/// the files that are named. What cannot be resolved is left out.
#[must_use]
pub fn sensitive_values(resource: &Resource, lookup: &dyn Lookup) -> Vec<(String, Secret)> {
    let mut found = Vec::new();
    for (field, value) in resource.fields() {
        visit(&field.kind, value, field.name, &mut |leaf| {
            let secret = match (leaf.role, leaf.value) {
                (Role::Secret, value) => reference::secret(value, lookup).ok(),
                (Role::File, Value::Text(text)) => reference::expand(text, lookup)
                    .and_then(|path| reference::read(path.expose(), lookup))
                    .ok(),
                (Role::Plain, Value::Text(text)) if reference::has_reference(text) || mask::url(text) != **text => {
                    reference::expand(text, lookup).ok()
                }
                _ => None,
            };
            found.extend(secret.map(|secret| (leaf.path.to_owned(), secret)));
        });
    }
    found
}

/// What a value means outside of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A secret in one of its forms.
    Secret,
    /// The path of a file that is read.
    File,
    /// Anything else.
    Plain,
}

struct Leaf<'v> {
    role: Role,
    value: &'v Value,
    path: &'v str,
}

/// Walks the leaves of a value.
fn visit(kind: &'static Kind, value: &Value, path: &str, each: &mut dyn FnMut(Leaf<'_>)) {
    match (kind, value) {
        (Kind::NotYet(kind), _) => visit(kind, value, path, each),
        (Kind::Secret, Value::List(items)) => {
            for (i, value) in items.iter().enumerate() {
                each(Leaf {
                    role: Role::Secret,
                    value,
                    path: &format!("{path}[{i}]"),
                });
            }
        }
        (Kind::List(kind) | Kind::Set(kind), Value::List(items)) => {
            for (i, item) in items.iter().enumerate() {
                visit(kind, item, &format!("{path}[{i}]"), each);
            }
        }
        (Kind::Object(fields) | Kind::ObjectOrFalse(fields), Value::Map(members)) => {
            for (name, value) in members {
                let field: Option<&'static Field> = fields.iter().find(|field| field.name == &**name);
                if let Some(field) = field {
                    visit(&field.kind, value, &format!("{path}.{name}"), each);
                }
            }
        }
        (Kind::Headers, Value::Map(members)) => {
            for (name, value) in members {
                let role = if mask::is_secret_name(name) || matches!(value, Value::Map(_)) {
                    Role::Secret
                } else {
                    Role::Plain
                };
                each(Leaf {
                    role,
                    value,
                    path: &format!("{path}.{name}"),
                });
            }
        }
        (Kind::Labels, Value::Map(members)) => {
            for (name, value) in members {
                each(Leaf {
                    role: Role::Plain,
                    value,
                    path: &format!("{path}.{name}"),
                });
            }
        }
        (Kind::Jwks, value) => {
            if let Some(file) = value.get("file") {
                each(Leaf {
                    role: Role::File,
                    value: file,
                    path: &format!("{path}.file"),
                });
            }
        }
        (Kind::Form(Form::File), _) => each(Leaf {
            role: Role::File,
            value,
            path,
        }),
        (Kind::Secret, _) => each(Leaf {
            role: Role::Secret,
            value,
            path,
        }),
        _ => each(Leaf {
            role: Role::Plain,
            value,
            path,
        }),
    }
}

#[cfg(test)]
mod tests;
