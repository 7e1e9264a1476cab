//! The document as a whole: its top level, the settings sections, and what webhooks have to do with each other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::place::Place;
use super::slots::Slots;
use super::{Check, Code, Fault};
use crate::document::assistant;
use crate::document::diagnostic::{nearest, plain};
use crate::document::fields::{self, Field, NOT_IN_DEFAULTS, Section};
use crate::document::text::{Data, Entry, Node};
use crate::document::value::Value;
use crate::document::{Address, Desired, Format, Resource};
use crate::document::{form, reference};
use crate::event::Name;

/// Keys of `webhooks`.
const PARTS: [&str; 8] = [
    "server",
    "admin",
    "store",
    "reconcile",
    "egress",
    "defaults",
    "inbound",
    "outbound",
];

/// What the walk of one side's webhooks needs to know and to remember.
pub(super) struct Webhooks<'d> {
    /// `defaults.inbound` or `defaults.outbound`.
    pub(super) defaults: Slots,
    /// `server.publicUrl`.
    pub(super) public_url: Option<String>,
    /// Paths of routes and who has them.
    pub(super) paths: HashMap<String, Name>,
    /// Names of the inbound webhooks.
    pub(super) inbound: HashSet<&'d str>,
}

impl Check<'_> {
    pub(super) fn document(&mut self, root: &Node<'_>, tags: &[(Range<u32>, String)]) -> (Desired, Range<u32>) {
        let mut desired = Desired::default();
        let top = Place::root("webhooks");
        let Some(members) = root.members() else {
            let fault = Fault::new(
                Code::WrongType,
                format!("the document is {}, not a mapping", root.kind()),
            );
            self.report(&Place::root(""), &root.span(), fault.hint("it begins with `webhooks:`"));
            return (desired, 0..0);
        };
        self.top_level(&members);
        let Some(entry) = members.iter().find(|entry| &*entry.key == "webhooks") else {
            let fault =
                Fault::new(Code::NoWebhooks, "the document has no `webhooks`").hint("write `webhooks: {}` for none");
            self.report(&Place::root(""), &(root.at..root.at), fault);
            return (desired, 0..0);
        };
        let known = entry.at..entry.value.end;
        for (span, tag) in tags {
            if span.start >= known.start && span.end <= known.end {
                let fault = Fault::new(Code::Tag, format!("the tag `{}` means nothing here", plain(tag)));
                self.report(
                    &top,
                    span,
                    fault.hint("leave it out; references are written `${NAME}` or `{env: NAME}`"),
                );
            }
        }
        if let Data::Null = entry.value.target().data {
            let fault = Fault::new(Code::NoWebhooks, "`webhooks` is empty").hint("write `webhooks: {}` for none");
            self.report(&top, &(entry.at..entry.end), fault);
            return (desired, known);
        }
        self.providers(root);
        self.webhooks(&entry.value, &top, &mut desired);
        desired.providers = std::mem::take(&mut self.providers);
        (desired, known)
    }

    fn top_level(&mut self, members: &[&Entry<'_>]) {
        let has_webhooks = members.iter().any(|entry| &*entry.key == "webhooks");
        for entry in members {
            let key = &*entry.key;
            let span = entry.at..entry.end;
            if key == "webhooks" || key == "$schema" || key == "secrets" {
                continue;
            }
            let near = nearest(key, ["webhooks"]).is_some() || matches!(key, "webhook" | "web-hooks" | "web_hooks");
            let part = PARTS.contains(&key) && !has_webhooks;
            if near {
                let fault = Fault::new(
                    Code::NearMiss,
                    format!("`{}` is not read: it resembles `webhooks`", plain(key)),
                );
                self.report(&Place::root(key), &span, fault.hint("did you mean `webhooks`?"));
            } else if part || matches!(key, "inbound" | "outbound") {
                let fault = Fault::new(
                    Code::NearMiss,
                    format!("`{key}` is not read: it stands one level too high"),
                );
                self.report(
                    &Place::root(key),
                    &span,
                    fault.hint(format!("put `{key}` under `webhooks`")),
                );
            }
        }
        if self.format == Format::Json5
            && let Some(entry) = members.iter().find(|entry| assistant::is_key(&entry.key))
        {
            let fault = Fault::new(
                Code::AssistantsFile,
                format!(
                    "`{}` is a key of the OpenClaw assistant, which refuses to start when it finds `webhooks` in its file \
                         (`Unrecognized key: \"webhooks\"`), and `openclaw doctor --fix` deletes the key",
                    &*entry.key
                ),
            );
            let fault = fault.hint("keep the webhooks in an `openclaw.yaml` beside it");
            self.report(&Place::root(&entry.key), &(entry.at..entry.end), fault);
        }
    }

    /// `secrets.providers`: read for references, otherwise another part's business.
    fn providers(&mut self, root: &Node<'_>) {
        let Some(providers) = root.get("secrets").and_then(|secrets| secrets.get("providers")) else {
            return;
        };
        for entry in providers.members().unwrap_or_default() {
            let definition = entry.value.to_json();
            if let Some(arguments) = entry.value.get("args") {
                self.hide(arguments); // a program may be given a secret there
            }
            if let (Some("exec"), Some(timeout)) = (definition["source"].as_str(), entry.value.get("timeoutMs")) {
                let place = Place::root("secrets");
                let place = place.key("providers");
                self.provider_timeout(timeout, &place.key(&entry.key));
            }
            self.providers.insert(entry.key.to_string(), definition);
        }
    }

    /// What another part of OpenClaw may keep to, and is not kept to here: a warning.
    fn provider_timeout(&mut self, timeout: &Node<'_>, place: &Place<'_>) {
        let [usual, longest] =
            [reference::PROVIDER_TIMEOUT, reference::LONGEST_PROVIDER_TIMEOUT].map(|t| t.as_millis());
        let message = match timeout.to_json().as_u64() {
            Some(ms) if u128::from(ms) <= longest => return,
            Some(ms) => format!("{ms} ms is longer than a provider may take: it is ended after {longest} ms"),
            None => format!("this is no whole number of milliseconds: {usual} ms counts instead"),
        };
        let fault = Fault::new(Code::ProviderTimeout, message);
        let fault = fault.hint(format!(
            "write a number from 1 to {longest}, or leave it out for {usual}"
        ));
        self.report(&place.key("timeoutMs"), &timeout.span(), fault);
    }

    fn webhooks(&mut self, node: &Node<'_>, place: &Place<'_>, desired: &mut Desired) {
        let Some(members) = node.members() else {
            let fault = Fault::new(Code::WrongType, format!("expected a mapping, found {}", node.kind()));
            self.report(place, &node.span(), fault);
            return;
        };
        let mut parts: BTreeMap<&str, &Node<'_>> = BTreeMap::new();
        for entry in &members {
            let key = &*entry.key;
            let inner = place.key(key);
            let span = entry.at..entry.end;
            if key == "include" {
                let fault = Fault::new(
                    Code::IncludeReserved,
                    "`include` is reserved: this version reads one file",
                );
                self.report(&inner, &span, fault.hint("put everything into one document"));
            } else if let Some(part) = PARTS.iter().find(|part| **part == key) {
                parts.insert(part, &entry.value);
            } else {
                self.unknown(PARTS.into_iter(), key, &entry.value, &span, &inner);
            }
        }

        let mut sections: HashMap<&str, Slots> = HashMap::new();
        for (name, address) in [
            ("server", Address::Server),
            ("admin", Address::Admin),
            ("store", Address::Store),
            ("reconcile", Address::Reconcile),
            ("egress", Address::Egress),
        ] {
            let section = fields::known_section(name);
            let slots = match parts.get(name) {
                Some(node) => self.slots(section.fields, node, &place.key(name)),
                None => None,
            };
            let slots = slots.unwrap_or_else(|| Slots::empty(section.fields));
            desired.resources.insert(
                address,
                resource(section, slots.values.iter().map(|slot| slot.as_ref().map(|s| &s.value))),
            );
            sections.insert(name, slots);
        }
        self.listeners(&sections, place);

        let public_url = sections["server"]
            .text("publicUrl")
            .map(|url| url.trim_end_matches('/').to_owned());
        let defaults = parts.get("defaults").copied();
        let members = parts.get("inbound").and_then(|node| node.members()).unwrap_or_default();
        let inbound = members.iter().map(|entry| &*entry.key).collect();
        let [for_inbound, for_outbound] = self.defaults(defaults, place);
        let mut inside = Webhooks {
            defaults: for_inbound,
            public_url,
            paths: HashMap::new(),
            inbound,
        };
        if let Some(node) = parts.get("inbound") {
            self.each("inbound", node, place, |check, name, entry, place| {
                let slots = check.inbound(name, entry, place, &mut inside)?;
                let resource = resource(fields::known_section("inbound"), slots).placed(extent(entry));
                desired.resources.insert(Address::Inbound(name.clone()), resource);
                Some(())
            });
        }
        inside.defaults = for_outbound;
        let mut senders = Vec::new();
        if let Some(node) = parts.get("outbound") {
            self.each("outbound", node, place, |check, name, entry, place| {
                let slots = check.outbound(entry, place, &inside, &desired.resources)?;
                let resource = resource(fields::known_section("outbound"), slots).placed(extent(entry));
                senders.push((Address::Outbound(name.clone()), resource));
                Some(())
            });
        }
        desired.resources.extend(senders);
    }

    /// `defaults.inbound` and `defaults.outbound`.
    fn defaults(&mut self, node: Option<&Node<'_>>, place: &Place<'_>) -> [Slots; 2] {
        let place = place.key("defaults");
        let mut found = ["inbound", "outbound"].map(|name| Slots::empty(fields::known_section(name).fields));
        let Some(node) = node else { return found };
        let Some(members) = node.members() else {
            self.report(
                &place,
                &node.span(),
                Fault::new(Code::WrongType, format!("expected a mapping, found {}", node.kind())),
            );
            return found;
        };
        for entry in members {
            let key = &*entry.key;
            let inner = place.key(key);
            let Some(index) = ["inbound", "outbound"].iter().position(|name| *name == key) else {
                self.unknown(
                    ["inbound", "outbound"].into_iter(),
                    key,
                    &entry.value,
                    &(entry.at..entry.end),
                    &inner,
                );
                continue;
            };
            let Some(mut slots) = self.slots(found[index].table, &entry.value, &inner) else {
                continue;
            };
            for name in NOT_IN_DEFAULTS {
                // `path` is a field of inbound webhooks alone.
                let known = slots.table.iter().any(|field| field.name == name);
                let Some(slot) = known.then(|| slots.get(name)).flatten() else {
                    continue;
                };
                let fault = Fault::new(
                    Code::DoesNotFit,
                    format!("`{name}` belongs to one webhook and cannot be a default"),
                );
                let span = slot.key.clone();
                self.report(&inner.key(name), &span, fault.hint("set it in the webhook itself"));
                let index = slots.index(name);
                slots.values[index] = None;
            }
            found[index] = slots;
        }
        found
    }

    /// Walks the webhooks of one side.
    fn each(
        &mut self,
        side: &'static str,
        node: &Node<'_>,
        place: &Place<'_>,
        mut one: impl FnMut(&mut Self, &Name, &Entry<'_>, &Place<'_>) -> Option<()>,
    ) {
        let place = place.key(side);
        let Some(members) = node.members() else {
            let fault = Fault::new(
                Code::WrongType,
                format!("expected a mapping of names, found {}", node.kind()),
            );
            self.report(&place, &node.span(), fault.hint("write `{}` for none"));
            return;
        };
        let names: HashSet<&str> = members.iter().map(|entry| &*entry.key).collect();
        let mut followed: HashMap<String, &str> = HashMap::new();
        for entry in &members {
            let inner = place.key(&entry.key);
            let Ok(name) = Name::parse(&entry.key) else {
                self.hide(&entry.value);
                self.report(&inner, &(entry.at..entry.end), form::webhook_name(&entry.key));
                continue;
            };
            one(self, &name, entry, &inner);
            if let Some(node) = entry.value.get("previousName") {
                self.previous_name(node, &entry.key, &names, &mut followed, &inner);
            }
        }
    }

    fn previous_name<'n>(
        &mut self,
        node: &'n Node<'_>,
        name: &'n str,
        names: &HashSet<&str>,
        followed: &mut HashMap<String, &'n str>,
        place: &Place<'_>,
    ) {
        let Data::Text(previous) = &node.target().data else {
            return;
        };
        let fault = if names.contains(&**previous) {
            let fault = Fault::new(
                Code::PreviousName,
                format!("`{}` is still in the document", plain(previous)),
            );
            fault.hint("remove the old entry, or `previousName` once the rename is applied")
        } else if let Some(other) = followed.get(&**previous) {
            Fault::new(
                Code::PreviousName,
                format!("`{other}` follows `{}` already", plain(previous)),
            )
        } else {
            followed.insert(previous.to_string(), name);
            return;
        };
        self.report(&place.key("previousName"), &node.span(), fault);
    }

    /// What `server` and `admin` have to do with each other and with the network.
    fn listeners(&mut self, sections: &HashMap<&str, Slots>, place: &Place<'_>) {
        for name in ["server", "admin"] {
            self.tls_pair(&sections[name], "tls", ["cert", "key"], &place.key(name));
        }
        let (server, admin) = (&sections["server"], &sections["admin"]);
        let listen = |slots: &Slots, default: &str| slots.text("listen").unwrap_or(default).to_owned();
        let (public, private) = (listen(server, "127.0.0.1:8790"), listen(admin, "127.0.0.1:8791"));
        let span = |slots: &Slots, other: &Slots| {
            slots
                .get("listen")
                .or(other.get("listen"))
                .map_or(0..0, |slot| slot.at.clone())
        };
        let place = place.key("admin");
        let ends_in_any_port = public.ends_with(":0");
        if public == private && !ends_in_any_port && !server.is_faulty("listen") && !admin.is_faulty("listen") {
            let fault = Fault::new(
                Code::AddressTaken,
                format!("server and admin both listen on `{private}`"),
            );
            self.report(
                &place.key("listen"),
                &span(admin, server),
                fault.hint("give `admin.listen` another port"),
            );
        }
        if reference::has_reference(&private) || form::parse_listen(&private).is_none_or(|address| address.is_local()) {
            return; // a reference is checked when it is resolved
        }
        if !admin.is_named("token") {
            let fault = Fault::new(
                Code::OpenAdmin,
                format!("`{private}` can be reached from other machines and there is no `token`"),
            );
            let fault =
                fault.hint("set `token: { env: OPENCLAW_ADMIN_TOKEN }`, or listen on 127.0.0.1 or a unix socket");
            self.report(&place.key("token"), &span(admin, server), fault);
        }
        if !admin.is_named("tls") {
            let fault = Fault::new(
                Code::AdminWithoutTls,
                format!("`{private}` can be reached from other machines, without TLS"),
            );
            self.report(
                &place.key("tls"),
                &span(admin, server),
                fault.hint("set `tls: { cert: …, key: … }`"),
            );
        }
    }

    /// A certificate needs its key, and a key its certificate.
    pub(super) fn tls_pair(&mut self, slots: &Slots, field: &str, pair: [&str; 2], place: &Place<'_>) {
        let Some(slot) = slots.get(field) else { return };
        let [first, second] = pair.map(|name| slot.value.get(name).is_some());
        let both = !matches!(slots.table[slots.index(field)].kind, fields::Kind::Object(list) if list.iter().any(|f| f.name == "ca"));
        if first == second && (first || !both) {
            return;
        }
        let missing = if first { pair[1] } else { pair[0] };
        let fault = Fault::new(Code::Missing, format!("`{field}.{missing}` is missing"));
        let (span, inner) = (slot.key.clone(), place.key(field));
        self.report(
            &inner,
            &span,
            fault.hint(format!(
                "a certificate needs its key: set `{}` and `{}`",
                pair[0], pair[1]
            )),
        );
    }
}

impl Slots {
    /// Named in the document, with a value that was wrong.
    pub(super) fn is_faulty(&self, name: &str) -> bool {
        self.is_named(name) && self.get(name).is_none()
    }
}

/// From the key to the end of the value.
fn extent(entry: &Entry<'_>) -> Range<u32> {
    entry.at..entry.end.max(entry.value.end)
}

/// A resource of the values that are not the table's defaults.
fn resource<V: AsValue>(section: &'static Section, values: impl IntoIterator<Item = Option<V>>) -> Resource {
    let values: Vec<(&'static Field, Value)> = (section.fields.iter().zip(values))
        .filter_map(|(field, value)| value.map(|value| (field, value)))
        .filter(|(field, value)| field.default_value() != Some(value.as_value()))
        .map(|(field, value)| (field, value.into_value()))
        .collect();
    Resource::of(section, values)
}

/// A value, owned or not: a value that is left out need not be copied.
trait AsValue {
    fn as_value(&self) -> &Value;
    fn into_value(self) -> Value;
}

impl AsValue for Value {
    fn as_value(&self) -> &Value {
        self
    }

    fn into_value(self) -> Value {
        self
    }
}

impl AsValue for &Value {
    fn as_value(&self) -> &Value {
        self
    }

    fn into_value(self) -> Value {
        self.clone()
    }
}
