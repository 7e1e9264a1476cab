//! What a sender's format needs, what does not fit it, and the defaults that follow from it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::document::Webhooks;
use super::place::Place;
use super::slots::Slots;
use super::{Check, Code, Fault};
use crate::document::diagnostic::plain;
use crate::document::settings::{Chat, parse_chat_id};
use crate::document::text::{Data, Node};
use crate::document::value::Value;
use crate::document::{Address, Resource, platforms, reference};
use crate::event::Name;

/// Which defaults hold for the retry law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    /// The table's.
    Table,
    /// For an assistant that may drain for five minutes before it restarts.
    Assistant,
}

/// Chats that an assistant has no channel for: their messages cannot be answered through it.
const CHATS_WITHOUT_CHANNEL: [&str; 2] = ["dingtalk", "wecom"];

/// Whether the entry's format may be a chat's, before anything of it is checked.
pub(super) fn is_chat(entry: &Node<'_>, around: &Webhooks<'_>) -> bool {
    match entry.get("format").map(|node| &node.target().data) {
        Some(Data::Text(format)) => Chat::may_be_name(format),
        Some(_) => false,
        None => around.defaults.text("format").is_some_and(Chat::may_be_name),
    }
}

impl Check<'_> {
    /// Checks what belongs to formats, and sets the defaults that follow from the format.
    pub(super) fn format_rules(
        &mut self,
        slots: &mut Slots,
        place: &Place<'_>,
        around: &Webhooks<'_>,
        resources: &BTreeMap<Address, Resource>,
    ) -> Defaults {
        let format = slots.text("format").unwrap_or("openclaw").to_owned();
        if slots.is_faulty("format") || reference::has_reference(&format) {
            return Defaults::Table; // checked when it is resolved
        }
        let chat = Chat::is_name(&format);
        let agent = format == "agent-hook";
        let forward = format == "forward";
        for (field, fits, whose) in [
            ("text", chat, "the chat formats"),
            ("chatId", format == "telegram", "format telegram"),
            ("agentHook", agent, "format agent-hook"),
            ("body", !agent && !forward, "the other formats"),
        ] {
            self.fits(slots, field, fits, whose, &format, place);
        }
        if chat {
            self.chat(slots, &format, place);
        }
        if agent {
            self.agent_hook(slots, place, around, resources);
            return Defaults::Assistant;
        }
        if forward {
            if slots.get("from").is_none() && !slots.is_named("from") {
                let at = slots.get("format").map_or(0..0, |slot| slot.at.clone());
                let fault = Fault::new(Code::Missing, "`from` is missing: whose requests are forwarded?");
                self.report(&place.key("from"), &at, fault.hint("write `from: [telegram]`"));
            }
            slots.set_default("timeout", Value::Duration(15_000));
            slots.set_default("ordering", Value::text("session"));
            return Defaults::Assistant;
        }
        Defaults::Table
    }

    /// A field of another format is an error; one that `defaults` brings is left out.
    fn fits(&mut self, slots: &mut Slots, field: &str, fits: bool, whose: &str, format: &str, place: &Place<'_>) {
        let Some(slot) = slots.get(field).filter(|_| !fits) else {
            return;
        };
        let at = slot.key.clone();
        if slots.is_named(field) {
            let fault = Fault::new(
                Code::DoesNotFit,
                format!("`{field}` does not fit the format `{format}`: it belongs to {whose}"),
            );
            self.report(&place.key(field), &at, fault.hint("remove it, or set `format`"));
        }
        let index = slots.index(field);
        slots.values[index] = None;
    }

    fn chat(&mut self, slots: &Slots, format: &str, place: &Place<'_>) {
        let span = |field: &str| slots.get(field).map_or(0..0, |slot| slot.key.clone());
        if slots.get("text").is_some()
            && let Some(body) = slots.get("body")
        {
            let fault = Fault::new(Code::Exclusive, "`body` and `text` exclude each other");
            let fault = fault.hint("`text` is put into the chat's own body; `body` is all of it");
            let at = body.key.clone();
            self.report(&place.key("body"), &at, fault);
        }
        if format == "feishu" && slots.get("body").is_some() && slots.get("secret").is_some() {
            let fault = Fault::new(
                Code::Exclusive,
                "`body` and `secret` exclude each other: feishu's signature is inside of the body",
            );
            let fault = fault.hint("use `text`, or switch the bot's signature check off");
            self.report(&place.key("body"), &span("body"), fault);
        }
        if format != "telegram" {
            return;
        }
        match slots.text("chatId") {
            None if !slots.is_named("chatId") => {
                let fault = Fault::new(Code::Missing, "`chatId` is missing: which chat gets the text?");
                let fault = fault.hint("write `chatId: \"-100123\"`, or `\"-100123:topic:7\"` for a topic in it");
                self.report(&place.key("chatId"), &span("format"), fault);
            }
            Some(id) if !reference::has_reference(id) && parse_chat_id(id).is_none() => {
                let fault = Fault::new(Code::InvalidText, format!("`{}` is not a chat of Telegram", plain(id)));
                let fault =
                    fault.hint("it is an id such as `-100123`, a name such as `@channel`, and `:topic:7` behind it");
                self.report(
                    &place.key("chatId"),
                    &slots.get("chatId").map_or(0..0, |s| s.at.clone()),
                    fault,
                );
            }
            _ => {}
        }
    }

    fn agent_hook(
        &mut self,
        slots: &mut Slots,
        place: &Place<'_>,
        around: &Webhooks<'_>,
        resources: &BTreeMap<Address, Resource>,
    ) {
        let format_at = slots.get("format").map_or(0..0, |slot| slot.at.clone());
        if slots.value("auth").and_then(|auth| auth.get("bearer")).is_none() && !slots.is_faulty("auth") {
            let fault = Fault::new(Code::Missing, "`auth.bearer` is missing: the assistant's hooks.token");
            let fault = fault.hint("write `auth: { bearer: { env: OPENCLAW_HOOKS_TOKEN } }`");
            self.report(&place.key("auth"), &format_at, fault);
        }
        let hook = slots.get("agentHook");
        let word = |name: &str| hook.and_then(|slot| slot.value.get(name)).and_then(Value::as_text);
        let wait = hook.is_some_and(|slot| slot.value.get("wait") == Some(&Value::Bool(true)));
        if let Some(slot) = hook
            && word("reply") == Some("channel")
            && word("channel").is_none()
        {
            let at = slot.key.clone();
            self.channels(slots, &at, place, around, resources);
        }
        slots.set_default("timeout", Value::Duration(if wait { 600_000 } else { 20_000 }));
    }

    /// Whether the assistant has a channel for everything that is to be answered.
    fn channels(
        &mut self,
        slots: &Slots,
        at: &Range<u32>,
        place: &Place<'_>,
        around: &Webhooks<'_>,
        resources: &BTreeMap<Address, Resource>,
    ) {
        let platform = |name: &str| {
            let address = Address::Inbound(Name::parse(name).ok()?);
            let resource = resources.get(&address).or_else(|| self.elsewhere.inbound(name))?;
            platforms::find(resource.get("platform")?.as_text()?)
        };
        let lacking = match slots.value("from") {
            Some(Value::List(names)) => (names.iter().filter_map(Value::as_text))
                .filter_map(|name| Some((name, platform(name)?)))
                .find(|(_, platform)| !platforms::CHANNELS.contains(&platform.name)),
            // Events that are no messages have nobody to answer to, whatever made them.
            _ => (around.inbound.iter().copied().chain(self.elsewhere.names()))
                .filter_map(|name| Some((name, platform(name)?)))
                .filter(|(_, platform)| CHATS_WITHOUT_CHANNEL.contains(&platform.name))
                .min_by_key(|(name, _)| *name),
        };
        let Some((name, platform)) = lacking else { return };
        let fault = Fault::new(
            Code::DoesNotFit,
            format!(
                "the assistant has no channel for `{}` (webhooks.inbound.{name}): it cannot reply there",
                platform.name
            ),
        );
        let fault = fault.hint("leave `reply` out, set `channel` and `to`, or name other inbound webhooks in `from`");
        self.report(&place.key("agentHook").key("reply"), at, fault);
    }
}
