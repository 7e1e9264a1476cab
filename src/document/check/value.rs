//! One value against its kind.

use super::place::Place;
use super::{Check, Code, Fault};
use crate::document::diagnostic::plain;
use crate::document::fields::{Field, Form, Kind};
use crate::document::form::{self, Scalar, Stage};
use crate::document::mask;
use crate::document::text::{Data, Entry, Node};
use crate::document::value::Value;

impl Check<'_> {
    /// Checks a value; `None`: something was wrong, and was reported.
    pub(super) fn value(
        &mut self,
        kind: &'static Kind,
        sensitive: bool,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<Value> {
        let target = node.target();
        if matches!(target.data, Data::Null) {
            let fault = Fault::new(Code::Blank, "there is no value here");
            let hint = match kind {
                Kind::List(_) | Kind::Set(_) => "write `[]` for an empty list, or leave the line out",
                Kind::Object(_) | Kind::Headers | Kind::Labels => {
                    "write `{}` for an empty mapping, or leave the line out"
                }
                _ => "give it a value, or leave the line out",
            };
            self.report(place, &node.span(), fault.hint(hint));
            return None;
        }
        match kind {
            Kind::Secret => self.secrets(sensitive, node, place),
            Kind::List(item) => self.list(item, node, place).map(|items| Value::List(items.into())),
            Kind::Set(item) => self
                .list(item, node, place)
                .map(|items| Value::List(in_order(item, items).into())),
            Kind::Headers => self.headers(node, place),
            Kind::Labels => self.labels(node, place),
            Kind::ObjectOrFalse(_) if matches!(target.data, Data::Bool(false)) => Some(Value::Bool(false)),
            Kind::Object(fields) | Kind::ObjectOrFalse(fields) => self.object(fields, node, place),
            Kind::Jwks => self.jwks(node, place),
            Kind::NotYet(kind) => self.value(kind, sensitive, node, place),
            _ => self.scalar(kind, sensitive, node, place),
        }
    }

    fn scalar(&mut self, kind: &'static Kind, sensitive: bool, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let Some(scalar) = as_scalar(node) else {
            self.wrong_type(kind, node, place);
            return None;
        };
        if sensitive {
            self.hide(node);
        }
        if let Scalar::Text(text) = scalar {
            let mut hidden = sensitive;
            if matches!(kind, Kind::Form(Form::Url | Form::BaseUrl)) {
                hidden |= self.notice_url(text, node, place);
            }
            if matches!(kind, Kind::Form(Form::File)) && form::is_content(text) {
                self.hide(node);
                hidden = true;
            }
            self.notice(text, hidden, node, place);
            if let Kind::Form(form @ (Form::Filter | Form::Template)) = kind
                && !self.expression(*form, text, node, place)
            {
                return None;
            }
        }
        match form::scalar(kind, scalar, Stage::Written) {
            Ok(value) => Some(value),
            Err(mut fault) => {
                if self.hides_url
                    && let (Kind::Form(Form::Url), Scalar::Text(text)) = (kind, scalar)
                {
                    let (shown, origin) = (plain(&mask::url(text)), mask::origin(text));
                    fault.message = fault.message.replace(&shown, &plain(&origin));
                }
                self.report(place, &node.span(), fault);
                None
            }
        }
    }

    /// Warns of a password in a URL; whether anything of the URL is a secret.
    fn notice_url(&mut self, text: &str, node: &Node<'_>, place: &Place<'_>) -> bool {
        let masked = mask::url(text);
        let hidden = masked != text || self.hides_url;
        if hidden {
            self.hide(node);
        }
        if masked.contains("://***@") {
            let fault = Fault::new(Code::UserInfo, "the URL holds a user name or password");
            self.report(
                place,
                &node.span(),
                fault.hint("use `auth` with a reference: `auth: { basic: { username: …, password: { env: … } } }`"),
            );
        }
        hidden
    }

    fn wrong_type(&mut self, kind: &'static Kind, node: &Node<'_>, place: &Place<'_>) {
        let found = node.kind();
        let mut fault = Fault::new(
            Code::WrongType,
            format!("expected {}, found {found}", form::expected(kind)),
        );
        if matches!(kind, Kind::List(_) | Kind::Set(_)) && matches!(node.target().data, Data::Text(_)) {
            fault = fault.hint("put it in brackets: `[…]`");
        }
        self.report(place, &node.span(), fault);
    }

    fn list(&mut self, kind: &'static Kind, node: &Node<'_>, place: &Place<'_>) -> Option<Vec<Value>> {
        let Data::List(items) = &node.target().data else {
            if let Kind::Form(Form::Url | Form::BaseUrl) = kind {
                self.hide(node);
            }
            let fault = Fault::new(Code::WrongType, format!("expected a list, found {}", node.kind()));
            self.report(place, &node.span(), fault.hint("put it in brackets: `[…]`"));
            return None;
        };
        let values: Vec<Option<Value>> = items
            .iter()
            .enumerate()
            .map(|(i, item)| self.value(kind, false, item, &place.index(i)))
            .collect();
        values.into_iter().collect()
    }

    fn object(&mut self, fields: &'static [Field], node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let slots = self.slots(fields, node, place)?;
        if slots.faulty {
            return None;
        }
        let members = slots.values.into_iter().zip(fields).filter_map(|(slot, field)| {
            let value = slot.map(|slot| slot.value).or_else(|| field.default_value().cloned())?;
            Some((field.name.into(), value))
        });
        Some(Value::Map(members.collect()))
    }

    /// The members of a map of the user's own names, sorted.
    fn members<'n, 'a>(
        &mut self,
        kind: &'static Kind,
        node: &'n Node<'a>,
        place: &Place<'_>,
    ) -> Option<Vec<&'n Entry<'a>>> {
        let Some(mut members) = node.members() else {
            self.wrong_type(kind, node, place);
            return None;
        };
        members.sort_by(|a, b| a.key.cmp(&b.key));
        Some(members)
    }

    fn labels(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let members = self.members(&Kind::Labels, node, place)?;
        let count = members.len();
        let labels: Vec<_> = members
            .into_iter()
            .filter_map(|entry| {
                let value = self.value(&Kind::Text, false, &entry.value, &place.key(&entry.key))?;
                Some((entry.key.to_string().into(), value))
            })
            .collect();
        (labels.len() == count).then(|| Value::Map(labels.into()))
    }

    fn headers(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let members = self.members(&Kind::Headers, node, place)?;
        let count = members.len();
        let mut seen = std::collections::HashSet::new();
        let mut headers: Vec<(Box<str>, Value)> = Vec::with_capacity(count);
        for entry in members {
            let place = place.key(&entry.key);
            let span = entry.at..entry.end;
            let name = &*entry.key;
            if mask::is_secret_name(name) {
                self.hide(&entry.value);
            }
            if !form::is_token(name) {
                let fault = Fault::new(Code::Header, format!("`{}` is not a header's name", plain(name)));
                self.report(&place, &span, fault);
                continue;
            }
            if let Some(why) = form::reserved_header(name) {
                self.report(
                    &place,
                    &span,
                    Fault::new(Code::Header, format!("the header `{name}` cannot be set: {why}")),
                );
                continue;
            }
            if !seen.insert(name.to_ascii_lowercase()) {
                let fault = Fault::new(
                    Code::DuplicateKey,
                    format!("the header `{name}` is there twice, in another case"),
                );
                self.report(&place, &span, fault);
                continue;
            }
            let value = if node_is_map(&entry.value) {
                self.one_secret(mask::is_secret_name(name), &entry.value, &place)
            } else {
                self.value(&Kind::Text, false, &entry.value, &place)
            };
            let Some(value) = value else { continue };
            if value.as_text().is_some_and(|text| !form::is_header_value(text)) {
                self.report(
                    &place,
                    &entry.value.span(),
                    Fault::new(Code::Header, "a header's value holds no line breaks"),
                );
                continue;
            }
            headers.push((name.into(), value));
        }
        (headers.len() == count).then(|| Value::Map(headers.into()))
    }

    fn jwks(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let members = self.members(&Kind::Jwks, node, place)?;
        let [entry] = members.as_slice() else {
            self.wrong_type(&Kind::Jwks, node, place);
            return None;
        };
        let inner = place.key(&entry.key);
        let value = match &*entry.key {
            "keys" => Value::text(&entry.value.to_json().to_string()),
            "file" => self.value(&Kind::Form(Form::File), false, &entry.value, &inner)?,
            "url" => self.value(&Kind::Form(Form::Url), false, &entry.value, &inner)?,
            _ => {
                self.wrong_type(&Kind::Jwks, node, place);
                return None;
            }
        };
        Some(Value::Map([(entry.key.to_string().into(), value)].into()))
    }
}

fn node_is_map(node: &Node<'_>) -> bool {
    matches!(node.target().data, Data::Map(_) | Data::Merged(_))
}

pub(super) fn as_scalar<'n>(node: &'n Node<'_>) -> Option<Scalar<'n>> {
    match &node.target().data {
        Data::Bool(b) => Some(Scalar::Bool(*b)),
        Data::Integer(n) => Some(Scalar::Integer(*n)),
        Data::Number(text) => Some(Scalar::Number(text)),
        Data::Text(text) => Some(Scalar::Text(text)),
        _ => None,
    }
}

/// A set's normal form: sorted, without repeats.
fn in_order(kind: &Kind, mut items: Vec<Value>) -> Vec<Value> {
    let text = |value: &Value| match value {
        Value::Text(text) => text.to_string(),
        other => other.to_string(),
    };
    items.sort_by_cached_key(|value| {
        let text = text(value);
        (
            if matches!(kind, Kind::Form(Form::Event)) {
                form::event_rank(&text)
            } else {
                0
            },
            text,
        )
    });
    items.dedup();
    items
}
