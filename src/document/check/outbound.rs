//! The rules of one outbound webhook.

use std::collections::BTreeMap;

use super::document::Webhooks;
use super::format::{Defaults, is_chat};
use super::place::Place;
use super::slots::{Slot, Slots};
use super::{Check, Code, Fault};
use crate::document::diagnostic::plain;
use crate::document::fields::{MAX_SCHEDULE, known_section};
use crate::document::text::Entry;
use crate::document::value::Value;
use crate::document::{Address, Resource, reference};

/// The fields of the retry law: without any of them the schedule is a list.
const LAW: [&str; 4] = ["retries", "retryDelay", "backoff", "maxRetryDelay"];

impl Check<'_> {
    /// One outbound webhook: its values in the order of the table.
    pub(super) fn outbound(
        &mut self,
        entry: &Entry<'_>,
        place: &Place<'_>,
        around: &Webhooks<'_>,
        resources: &BTreeMap<Address, Resource>,
    ) -> Option<Vec<Option<Value>>> {
        self.hides_url = is_chat(&entry.value, around);
        let slots = self.slots(known_section("outbound").fields, &entry.value, place);
        self.hides_url = false;
        let mut slots = slots?;
        let own_list = slots.is_named("retrySchedule");
        let own_law = LAW.iter().any(|field| slots.is_named(field));
        for (index, default) in around.defaults.values.iter().enumerate() {
            let name = slots.table[index].name;
            // The list and the law replace each other: the webhook's own choice wins as a whole.
            let replaced = (own_list && LAW.contains(&name)) || (own_law && name == "retrySchedule");
            if slots.named & (1 << index) == 0 && !replaced {
                slots.values[index].clone_from(default);
            }
        }
        if !slots.is_named("url") {
            let fault = Fault::new(Code::Missing, "`url` is missing: where are events posted to?");
            self.report(
                &place.key("url"),
                &(entry.at..entry.end),
                fault.hint("write `url: https://…`"),
            );
        }
        self.matches_any(&slots, place);
        self.from(&slots, place, around);
        self.auth(&slots, place);
        self.tls_pair(&slots, "tls", ["clientCert", "clientKey"], place);
        self.signing_keys(&slots, place);
        let format = self.format_rules(&mut slots, place, around, resources);
        self.schedule(&mut slots, place, format);
        Some(
            slots
                .values
                .into_iter()
                .map(|slot| slot.map(|slot| slot.value))
                .collect(),
        )
    }

    fn matches_any(&mut self, slots: &Slots, place: &Place<'_>) {
        for (field, named) in [("events", "events"), ("from", "inbound webhooks")] {
            let empty = |slot: &&Slot| slot.value == Value::List([].into());
            if let Some(at) = slots.get(field).filter(empty).map(|slot| slot.at.clone()) {
                let fault = Fault::new(Code::Blank, format!("`{field}` is empty: no event would ever match"));
                let hint = format!("name {named}, or leave it out for all");
                self.report(&place.key(field), &at, fault.hint(hint));
            }
        }
    }

    fn from(&mut self, slots: &Slots, place: &Place<'_>, around: &Webhooks<'_>) {
        let Some(slot) = slots.get("from") else { return };
        let Value::List(names) = &slot.value else { return };
        let at = slot.at.clone();
        for name in names.iter().filter_map(Value::as_text) {
            if !around.inbound.contains(name) && self.elsewhere.inbound(name).is_none() {
                let fault = Fault::new(
                    Code::UnknownInbound,
                    format!("there is no inbound webhook `{}`", plain(name)),
                );
                // Among very many names the nearest is not worth the time.
                let known = around.inbound.iter().copied().take(1000);
                self.report(&place.key("from"), &at, fault.nearest(name, known));
            }
        }
    }

    fn auth(&mut self, slots: &Slots, place: &Place<'_>) {
        let Some(slot) = slots.get("auth") else { return };
        let at = slot.key.clone();
        let inner = place.key("auth");
        match (slot.value.get("bearer"), slot.value.get("basic")) {
            (Some(_), Some(_)) => {
                self.report(
                    &inner,
                    &at,
                    Fault::new(Code::Exclusive, "`bearer` and `basic` exclude each other"),
                );
            }
            (None, None) => {
                self.report(
                    &inner,
                    &at,
                    Fault::new(Code::Missing, "`auth` needs `bearer` or `basic`"),
                );
            }
            (Some(bearer), None) => self.one_only(bearer, &inner.key("bearer"), &at),
            (None, Some(basic)) => {
                for field in ["username", "password"] {
                    if basic.get(field).is_none() {
                        self.report(
                            &inner.key("basic"),
                            &at,
                            Fault::new(Code::Missing, format!("`{field}` is missing")),
                        );
                    }
                }
                if let Some(password) = basic.get("password") {
                    self.one_only(password, &inner.key("basic").key("password"), &at);
                }
            }
        }
        let by_hand = slots.value("headers").is_some_and(|headers| {
            matches!(headers, Value::Map(members) if members.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")))
        });
        if by_hand {
            let fault = Fault::new(
                Code::Exclusive,
                "`auth` and an `authorization` header exclude each other",
            );
            self.report(&inner, &at, fault.hint("remove one of the two"));
        }
    }

    /// What is sent cannot be a list of alternatives.
    fn one_only(&mut self, value: &Value, place: &Place<'_>, at: &std::ops::Range<u32>) {
        if matches!(value, Value::List(_)) {
            self.report(
                place,
                at,
                Fault::new(Code::WrongType, "exactly one can be sent, not a list"),
            );
        }
    }

    fn signing_keys(&mut self, slots: &Slots, place: &Place<'_>) {
        let Some(slot) = slots.get("secret") else { return };
        let many = if let Value::List(items) = &slot.value {
            &**items
        } else {
            std::slice::from_ref(&slot.value)
        };
        for literal in many
            .iter()
            .filter_map(Value::as_text)
            .filter(|text| !reference::has_reference(text))
        {
            if let Err(why) = super::inbound::key_form("openclaw", "secret", literal) {
                let at = slot.at.clone();
                self.report(&place.key("secret"), &at, Fault::new(Code::InvalidText, why));
            }
        }
    }

    /// The list of delays, or the law with its defaults.
    fn schedule(&mut self, slots: &mut Slots, place: &Place<'_>, format: Defaults) {
        let law: Vec<&str> = LAW
            .into_iter()
            .filter(|field| slots.get(field).is_some() || slots.is_named(field))
            .collect();
        if let Some(slot) = slots.get("retrySchedule") {
            let at = slot.key.clone();
            if let Some(field) = law.first() {
                let fault = Fault::new(
                    Code::Exclusive,
                    format!("`retrySchedule` and `{field}` exclude each other"),
                );
                let fault = fault.hint("the schedule lists the delays; the other describes them: keep one of the two");
                self.report(&place.key("retrySchedule"), &at, fault);
            }
            if let Value::List(delays) = &slot.value
                && delays.len() > MAX_SCHEDULE
            {
                let fault = Fault::new(
                    Code::OutOfRange,
                    format!("{} delays are out of range: at most {MAX_SCHEDULE}", delays.len()),
                );
                self.report(&place.key("retrySchedule"), &at, fault);
            }
            return;
        }
        if law.is_empty() && format == Defaults::Table {
            return;
        }
        let assistants = format == Defaults::Assistant;
        for (field, value) in [
            ("retries", Value::Integer(if assistants { 12 } else { 3 })),
            ("retryDelay", Value::Duration(5000)),
            ("backoff", Value::text("exponential")),
        ] {
            slots.set_default(field, value);
        }
        if assistants {
            slots.set_default("maxRetryDelay", Value::Duration(60_000));
        }
    }
}
