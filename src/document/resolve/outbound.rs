//! `outbound.NAME`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::check::key_form;
use super::super::desired::Resource;
use super::super::form;
use super::super::reference::{self, Lookup, Problem, Reason};
use super::super::settings::{AgentHook, Auth, Breaker, ClientTls, Format, OnDelete, Outbound, Schedule};
use super::super::value::Value;
use super::Reader;
use crate::event::{EventPattern, Name, Ordering};
use crate::expression::{Filter, Template};
use crate::secret::Secret;

/// `webhooks.outbound.NAME`.
pub fn resolve_outbound(name: &Name, resource: &Resource, lookup: &dyn Lookup) -> Result<Outbound, Vec<Problem>> {
    let mut reader = Reader::new(resource, lookup);
    let url = reader.text("url").and_then(|text| url::Url::parse(&text).ok());
    let events = reader.list("events", EventPattern::parse);
    let from = reader.list("from", |text| Name::parse(text).ok());
    let secrets = reader.secrets("secret");
    for secret in &secrets {
        if let Err(why) = key_form("openclaw", "secret", secret.expose()) {
            reader.problem("secret", Reason::Invalid, why);
        }
    }
    let schedule = reader.schedule();
    let jitter = match reader.value("jitter") {
        Some(Value::Decimal(text)) => text.parse().ok(),
        _ => None,
    };
    let max_retry_delay = reader.duration("maxRetryDelay");
    let max_age = reader.duration("maxAge");
    let timeout = reader.duration("timeout");
    let retry_status_codes = reader.status_codes();
    let paused = reader.bool("paused");
    let headers = reader.headers();
    let format = reader.text("format").and_then(|word| Format::parse(&word));
    let filter = reader.text("filter").and_then(|text| Filter::parse(&text).ok());
    let body = reader.text("body").and_then(|text| Template::parse(&text).ok());
    let text = reader.text("text").and_then(|text| Template::parse(&text).ok());
    let chat_id = reader.text("chatId");
    let agent_hook = reader.value("agentHook").map(|value| Box::new(agent_hook(&value)));
    let require_header = reader.text("requireHeader").map(|text| match text.split_once(':') {
        Some((name, value)) => (name.trim().to_owned(), Some(value.trim().to_owned())),
        None => (text.trim().to_owned(), None),
    });
    let concurrency = reader.number("concurrency");
    let rate_limit = reader.rate("rateLimit");
    let ordering = reader.text("ordering").map(|ordering| match ordering.as_str() {
        "fifo" => Ordering::Fifo,
        "session" => Ordering::Session,
        _ => Ordering::None,
    });
    let auth = reader.auth();
    let tls = reader.client_tls();
    let breaker = match reader.value("circuitBreaker") {
        Some(value @ Value::Map(_)) => breaker(&value),
        _ => None,
    };
    let on_delete = reader.text("onDelete").map(|word| match word.as_str() {
        "discard" => OnDelete::Discard,
        _ => OnDelete::Drain,
    });
    let drain_timeout = reader.duration("drainTimeout");
    let outbound = (|| {
        Some(Outbound {
            name: name.clone(),
            url: url?,
            events: events?,
            from,
            secrets,
            schedule: schedule?,
            jitter: jitter?,
            max_retry_delay: max_retry_delay?,
            max_age: max_age?,
            timeout: timeout?,
            retry_status_codes: retry_status_codes?,
            paused: paused?,
            headers,
            format: format?,
            filter,
            body,
            text,
            chat_id,
            agent_hook,
            require_header,
            concurrency: concurrency?,
            rate_limit,
            ordering: ordering?,
            auth,
            tls,
            breaker,
            on_delete: on_delete?,
            drain_timeout: drain_timeout?,
        })
    })();
    reader.finish(outbound)
}

/// Every part was checked already: what is not there is absent.
fn agent_hook(value: &Value) -> AgentHook {
    let text = |name: &str| value.get(name).and_then(Value::as_text).map(str::to_owned);
    let is = |name: &str, word: &str| value.get(name).and_then(Value::as_text) == Some(word);
    AgentHook {
        agent_id: text("agentId"),
        conversation: is("session", "conversation"),
        reply: is("reply", "channel"),
        channel: text("channel"),
        to: text("to"),
        account_id: text("accountId"),
        model: text("model"),
        thinking: text("thinking"),
        timeout_seconds: match value.get("timeoutSeconds") {
            Some(Value::Integer(seconds)) => u32::try_from(*seconds).ok(),
            _ => None,
        },
        wait: value.get("wait") == Some(&Value::Bool(true)),
        message: text("message").and_then(|text| Template::parse(&text).ok()),
    }
}

fn breaker(value: &Value) -> Option<Breaker> {
    match (value.get("failures")?, value.get("cooldown")?) {
        (Value::Integer(failures), Value::Duration(ms)) => Some(Breaker {
            failures: u32::try_from(*failures).ok()?,
            cooldown: Duration::from_millis(*ms),
        }),
        _ => None,
    }
}

impl Reader<'_> {
    fn schedule(&mut self) -> Option<Schedule> {
        if self.resource.get("retries").is_some() {
            return Some(Schedule::Law {
                retries: self.number("retries")?,
                delay: self.duration("retryDelay")?,
                exponential: self.text("backoff")? == "exponential",
            });
        }
        let Value::List(delays) = self.value("retrySchedule")? else {
            return None;
        };
        let delays = delays.iter().map(|delay| match delay {
            Value::Duration(ms) => Some(Duration::from_millis(*ms)),
            _ => None,
        });
        delays.collect::<Option<_>>().map(Schedule::List)
    }

    fn status_codes(&mut self) -> Option<Vec<RangeInclusive<u16>>> {
        let Value::List(codes) = self.value("retryStatusCodes")? else {
            return None;
        };
        let codes = codes.iter().map(|code| match code {
            Value::Integer(n) => u16::try_from(*n).ok().map(|n| n..=n),
            Value::Text(text) => form::parse_status(text),
            _ => None,
        });
        codes.collect()
    }

    fn headers(&mut self) -> Vec<(String, Secret)> {
        let Some(Value::Map(members)) = self.resource.get("headers") else {
            return Vec::new();
        };
        let mut headers = Vec::with_capacity(members.len());
        for (name, value) in members {
            let path = format!("headers.{name}");
            let found = match value {
                Value::Text(text) => reference::expand(text, self.lookup),
                other => reference::secret(other, self.lookup),
            };
            match found {
                Ok(value) if form::is_header_value(value.expose()) => headers.push((name.to_string(), value)),
                Ok(_) => self.problem(path, Reason::Invalid, "a header's value holds no line breaks"),
                Err((reason, message)) => self.problem(path, reason, message),
            }
        }
        headers
    }

    fn auth(&mut self) -> Option<Auth> {
        let value = self.resource.get("auth")?;
        if let Some(bearer) = value.get("bearer") {
            let bearer = self.secret(bearer, "auth.bearer")?;
            if !form::is_header_value(bearer.expose()) {
                self.problem("auth.bearer", Reason::Invalid, "a header's value holds no line breaks");
            }
            return Some(Auth::Bearer(bearer));
        }
        let basic = value.get("basic")?;
        let username = basic.get("username").and_then(Value::as_text)?;
        let username = reference::expand(username, self.lookup)
            .map_err(|(reason, message)| self.problem("auth.basic.username", reason, message));
        let password = self.secret(basic.get("password")?, "auth.basic.password");
        Some(Auth::Basic {
            username: username.ok()?.expose().to_owned(),
            password: password?,
        })
    }

    fn client_tls(&mut self) -> ClientTls {
        let Some(tls) = self.value("tls") else {
            return ClientTls::default();
        };
        let ca = tls.get("ca").and_then(Value::as_text).map(str::to_owned);
        ClientTls {
            ca: ca
                .and_then(|path| self.pem(&path, "tls.ca"))
                .map(|pem| pem.expose().to_owned()),
            identity: self.pem_pair("clientCert", "clientKey"),
        }
    }
}
