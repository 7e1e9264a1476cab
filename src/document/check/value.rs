//! One value against its kind.

use super::place::Place;
use super::{Check, Code, Fault};
use crate::document::diagnostic::plain;
use crate::document::fields::{Field, Form, Kind};
use crate::document::form::{self, Scalar, Stage};
use crate::document::mask;
use crate::document::reference;
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
            self.notice(text, node, place);
            if matches!(kind, Kind::Form(Form::Url | Form::BaseUrl)) {
                self.notice_url(text, node, place);
            }
            if matches!(kind, Kind::Form(Form::File)) && form::is_pem(text) {
                self.hide(node);
            }
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

    /// Warns of what looks like a reference.
    fn notice(&mut self, text: &str, node: &Node<'_>, place: &Place<'_>) {
        if let Some(word) = text.contains("${").then(|| reference::suspicious(text)).flatten() {
            let fault = Fault::new(
                Code::LooksLikeReference,
                format!("`${{{word}}}` is no reference and stays as it is: names are upper case, `[A-Z_][A-Z0-9_]*`"),
            );
            self.report(
                place,
                &node.span(),
                fault.hint(format!("did you mean `${{{}}}`?", word.to_uppercase())),
            );
        }
    }

    fn notice_url(&mut self, text: &str, node: &Node<'_>, place: &Place<'_>) {
        let masked = mask::url(text);
        if masked != text || self.hides_url {
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

    /// One secret, or a list for rotation.
    fn secrets(&mut self, sensitive: bool, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let Data::List(items) = &node.target().data else {
            return self.one_secret(sensitive, node, place);
        };
        if items.is_empty() {
            let fault =
                Fault::new(Code::Blank, "the list holds no secret").hint("leave the field out, or list at least one");
            self.report(place, &node.span(), fault);
            return None;
        }
        let values: Vec<Option<Value>> = (items.iter().enumerate())
            .map(|(i, item)| self.one_secret(sensitive, item, &place.index(i)))
            .collect();
        let mut values: Vec<Value> = values.into_iter().collect::<Option<_>>()?;
        // A list of one means the same as the one.
        if values.len() == 1 {
            values.pop()
        } else {
            Some(Value::List(values.into()))
        }
    }

    fn one_secret(&mut self, sensitive: bool, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        match &node.target().data {
            Data::Text(text) => {
                if sensitive && !is_reference_alone(text) {
                    self.hide(node);
                }
                if text.trim().is_empty() {
                    let fault = Fault::new(Code::Blank, "the secret is blank: that counts as missing");
                    self.report(
                        place,
                        &node.span(),
                        fault.hint("give it a value, or leave the field out"),
                    );
                    return None;
                }
                self.notice(text, node, place);
                Some(Value::text(text))
            }
            Data::Map(_) | Data::Merged(_) => self.reference(node, place),
            _ => {
                if sensitive {
                    self.hide(node);
                }
                let mut fault = Fault::new(
                    Code::WrongType,
                    format!("expected {}, found {}", form::expected(&Kind::Secret), node.kind()),
                );
                if as_scalar(node).is_some() {
                    fault = fault.hint("put it in quotes to make it a text");
                }
                self.report(place, &node.span(), fault);
                None
            }
        }
    }

    /// `{env}`, `{file}` or `{source, provider, id}`.
    fn reference(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let forms = "a reference is `{env: NAME}`, `{file: path}` or `{source: env|file|exec, provider: …, id: …}`";
        let mut texts: Vec<(&str, &str, &Node<'_>)> = Vec::new();
        for entry in node.members()? {
            let key = &*entry.key;
            let known = ["env", "file", "source", "provider", "id"];
            if !known.contains(&key) {
                self.hide(&entry.value);
                let fault =
                    Fault::new(Code::Reference, format!("a reference has no `{}`", plain(key))).nearest(key, known);
                self.report(place, &(entry.at..entry.end), fault.hint(forms));
                return None;
            }
            match &entry.value.target().data {
                Data::Text(text) if !text.trim().is_empty() => texts.push((key, text, &entry.value)),
                _ => {
                    let fault = Fault::new(
                        Code::Reference,
                        format!("`{key}` of a reference is a text that is not blank"),
                    );
                    self.report(&place.key(key), &entry.value.span(), fault);
                    return None;
                }
            }
        }
        let get = |name: &str| {
            texts
                .iter()
                .find(|(key, ..)| *key == name)
                .map(|(_, text, node)| (*text, *node))
        };
        let map = |members: &[(&str, &str)]| {
            Some(Value::Map(
                members
                    .iter()
                    .map(|(name, text)| ((*name).into(), Value::text(text)))
                    .collect(),
            ))
        };
        let keys: Vec<&str> = ["env", "file", "source", "provider", "id"]
            .into_iter()
            .filter(|key| get(key).is_some())
            .collect();
        match keys.as_slice() {
            ["env"] => {
                let (name, node) = get("env")?;
                self.env_name(name, node, place).then(|| map(&[("env", name)]))?
            }
            ["file"] => map(&[("file", get("file")?.0)]),
            ["source", rest @ ..] if rest.contains(&"id") => {
                let (source, source_node) = get("source")?;
                let (id, id_node) = get("id")?;
                match (source, get("provider")) {
                    // A variable needs no provider: `{env: NAME}` says the same.
                    ("env", _) => self.env_name(id, id_node, place).then(|| map(&[("env", id)]))?,
                    ("file" | "exec", Some((provider, provider_node))) => self
                        .provider(source, provider, provider_node, place)
                        .then(|| map(&[("source", source), ("provider", provider), ("id", id)]))?,
                    ("file" | "exec", None) => {
                        let fault =
                            Fault::new(Code::Reference, format!("source `{source}` needs a `provider`")).hint(forms);
                        self.report(place, &node.span(), fault);
                        None
                    }
                    _ => {
                        let fault = Fault::new(
                            Code::Reference,
                            format!("`{}` is none of the sources `env`, `file`, `exec`", plain(source)),
                        );
                        self.report(&place.key("source"), &source_node.span(), fault);
                        None
                    }
                }
            }
            _ => {
                self.report(
                    place,
                    &node.span(),
                    Fault::new(Code::Reference, "a reference of no known form").hint(forms),
                );
                None
            }
        }
    }

    fn env_name(&mut self, name: &str, node: &Node<'_>, place: &Place<'_>) -> bool {
        let ok = reference::is_env_name(name) && name.len() <= 128;
        if !ok {
            let fault = Fault::new(
                Code::Reference,
                format!("`{}` is not the name of a variable", plain(name)),
            );
            let upper = name.to_uppercase().replace(['-', '.', ' '], "_");
            let fault = fault.hint("names are upper case: `[A-Z_][A-Z0-9_]*`");
            let better = reference::is_env_name(&upper) && upper.len() <= 64;
            let fault = if better {
                fault.hint(format!("did you mean `{upper}`?"))
            } else {
                fault
            };
            self.report(place, &node.span(), fault);
        }
        ok
    }

    fn provider(&mut self, source: &str, name: &str, node: &Node<'_>, place: &Place<'_>) -> bool {
        let fault = match self.providers.get(name) {
            None => Fault::new(
                Code::Reference,
                format!("the provider `{}` is not in `secrets.providers`", plain(name)),
            )
            .nearest(name, self.providers.keys().map(String::as_str)),
            Some(definition) if definition["source"] != source => Fault::new(
                Code::Reference,
                format!("the provider `{}` is not of source `{source}`", plain(name)),
            ),
            Some(_) => return true,
        };
        self.report(&place.key("provider"), &node.span(), fault);
        false
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

fn is_reference_alone(text: &str) -> bool {
    matches!(
        reference::parts(text).as_slice(),
        [reference::Part::Env { default: None, .. }]
    )
}

fn as_scalar<'n>(node: &'n Node<'_>) -> Option<Scalar<'n>> {
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
