//! Secrets and references. What has not the form of a name is shown nowhere: it may be the secret itself, in the wrong place.

use super::place::Place;
use super::value::as_scalar;
use super::{Check, Code, Fault};
use crate::document::diagnostic::plain;
use crate::document::fields::Kind;
use crate::document::form;
use crate::document::reference;
use crate::document::text::{Data, Entry, Node};
use crate::document::value::Value;
use crate::event::Name;

/// The members of a reference.
const MEMBERS: [&str; 5] = ["env", "file", "source", "provider", "id"];

const FORMS: &str = "a reference is `{env: NAME}`, `{file: path}` or `{source: env|file|exec, provider: …, id: …}`";

impl Check<'_> {
    /// One secret, or a list for rotation.
    pub(super) fn secrets(&mut self, sensitive: bool, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
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

    pub(super) fn one_secret(&mut self, sensitive: bool, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
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
                self.notice(text, sensitive, node, place);
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

    /// Warns of what looks like a reference. Of a text that no line may show nothing is told.
    pub(super) fn notice(&mut self, text: &str, hidden: bool, node: &Node<'_>, place: &Place<'_>) {
        let Some(word) = text.contains("${").then(|| reference::suspicious(text)).flatten() else {
            return;
        };
        let fault = |what: &str| {
            let message =
                format!("{what} is no reference and stays as it is: names are upper case, `[A-Z_][A-Z0-9_]*`");
            Fault::new(Code::LooksLikeReference, message)
        };
        let fault = if hidden {
            fault("a `${…}` in this text")
        } else {
            fault(&format!("`${{{word}}}`")).hint(format!("did you mean `${{{}}}`?", word.to_uppercase()))
        };
        self.report(place, &node.span(), fault);
    }

    /// `{env}`, `{file}` or `{source, provider, id}`.
    fn reference(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let members = node.members()?;
        self.hide_what_names_nothing(&members);
        let mut texts: Vec<(&str, &str, &Node<'_>)> = Vec::new();
        for entry in members {
            let key = &*entry.key;
            if !MEMBERS.contains(&key) {
                self.no_member(entry, place);
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
        let keys: Vec<&str> = MEMBERS.into_iter().filter(|key| get(key).is_some()).collect();
        match keys.as_slice() {
            ["env"] => {
                let (name, node) = get("env")?;
                self.env_name(name, node, place).then(|| map(&[("env", name)]))?
            }
            ["file"] => {
                let (path, node) = get("file")?;
                self.leads(path, node, place).then(|| map(&[("file", path)]))?
            }
            ["source", rest @ ..] if rest.contains(&"id") => {
                let (source, source_node) = get("source")?;
                let (id, id_node) = get("id")?;
                match (source, get("provider")) {
                    // A variable needs no provider: `{env: NAME}` says the same.
                    ("env", _) => self.env_name(id, id_node, place).then(|| map(&[("env", id)]))?,
                    ("file" | "exec", Some((provider, provider_node))) => {
                        (self.provider(source, provider, provider_node, place) && self.leads(id, id_node, place))
                            .then(|| map(&[("source", source), ("provider", provider), ("id", id)]))?
                    }
                    ("file" | "exec", None) => {
                        let fault =
                            Fault::new(Code::Reference, format!("source `{source}` needs a `provider`")).hint(FORMS);
                        self.report(place, &node.span(), fault);
                        None
                    }
                    _ => {
                        let fault = Fault::new(Code::Reference, "this is none of the sources `env`, `file`, `exec`");
                        self.report(&place.key("source"), &source_node.span(), fault);
                        None
                    }
                }
            }
            _ => {
                self.report(
                    place,
                    &node.span(),
                    Fault::new(Code::Reference, "a reference of no known form").hint(FORMS),
                );
                None
            }
        }
    }

    /// Keeps out of every shown line what is no name, no path and no id.
    fn hide_what_names_nothing(&mut self, members: &[&Entry<'_>]) {
        let text = |entry: &Entry<'_>| match &entry.value.target().data {
            Data::Text(text) => Some(text.to_string()),
            _ => None,
        };
        let source = members.iter().find(|entry| &*entry.key == "source");
        let source = source.and_then(|entry| text(entry));
        for entry in members {
            let names = text(entry).is_some_and(|text| match &*entry.key {
                "source" => matches!(&*text, "env" | "file" | "exec" | "store"),
                "provider" => self.is_provider_name(&text),
                "id" if !matches!(source.as_deref(), Some("file" | "exec")) => is_variable(&text),
                "file" | "id" => !form::is_content(&text),
                "env" => is_variable(&text),
                _ => false,
            });
            if !names {
                self.hide(&entry.value);
            }
        }
    }

    fn is_provider_name(&self, text: &str) -> bool {
        self.providers.contains_key(text) || Name::parse(text).is_ok()
    }

    /// A reference has no such member. A key without a value is what stands in braces by itself: `{hunter2}`.
    fn no_member(&mut self, entry: &Entry<'_>, place: &Place<'_>) {
        let key = &*entry.key;
        let fault = if matches!(entry.value.target().data, Data::Null) {
            self.masked.push(entry.at..entry.end);
            Fault::new(Code::Reference, "a reference has no such member")
        } else {
            Fault::new(Code::Reference, format!("a reference has no `{}`", plain(key))).nearest(key, MEMBERS)
        };
        self.report(place, &(entry.at..entry.end), fault.hint(FORMS));
    }

    fn env_name(&mut self, name: &str, node: &Node<'_>, place: &Place<'_>) -> bool {
        let ok = is_variable(name);
        if !ok {
            let fault = Fault::new(Code::Reference, "this is not the name of a variable");
            let fault = fault
                .hint("names are upper case: `[A-Z_][A-Z0-9_]*`, at most 128 characters")
                .hint("it is not shown: where it is the secret itself, put it into a variable or a file");
            self.report(place, &node.span(), fault);
        }
        ok
    }

    /// Refuses what is no path or id, but what lies there.
    fn leads(&mut self, text: &str, node: &Node<'_>, place: &Place<'_>) -> bool {
        let ok = !form::is_content(text);
        if !ok {
            let fault = Fault::new(Code::Reference, "a path or an id is wanted here, not the secret itself");
            let fault = fault.hint("put it into a file of its own, and write `{file: ./path}`");
            self.report(place, &node.span(), fault);
        }
        ok
    }

    fn provider(&mut self, source: &str, name: &str, node: &Node<'_>, place: &Place<'_>) -> bool {
        let shown = if self.is_provider_name(name) {
            format!("the provider `{}`", plain(name))
        } else {
            "this provider".to_owned()
        };
        let fault = match self.providers.get(name) {
            None => Fault::new(Code::Reference, format!("{shown} is not in `secrets.providers`"))
                .nearest(name, self.providers.keys().map(String::as_str)),
            Some(definition) if definition["source"] != source => {
                Fault::new(Code::Reference, format!("{shown} is not of source `{source}`"))
            }
            Some(_) => return true,
        };
        self.report(&place.key("provider"), &node.span(), fault);
        false
    }
}

/// Whether a text can be the name of a variable in `{env}`.
fn is_variable(text: &str) -> bool {
    reference::is_env_name(text) && text.len() <= 128
}

fn is_reference_alone(text: &str) -> bool {
    matches!(
        reference::parts(text).as_slice(),
        [reference::Part::Env { default: None, .. }]
    )
}
