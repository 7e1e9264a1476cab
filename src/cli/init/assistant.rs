//! `openclaw init --assistant`: a document that stands in front of an assistant, and the hook that brings its events back.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use url::Url;

use super::channel::{Account, Listener, Way};
use super::{ignore, kept, wrote};
use crate::cli::made::Made;
use crate::cli::{Context, Done, Error};
use crate::document::assistant;

const HOOK: &str = include_str!("HOOK.md");
const HANDLER: &str = include_str!("handler.js");

/// The port of an assistant's gateway that says nothing else.
const PORT: u64 = 18789;

/// The variable with the token of the assistant's `/hooks`.
const HOOKS_TOKEN: &str = "OPENCLAW_HOOKS_TOKEN";

/// What comes of an assistant's file.
#[derive(Default)]
struct Front {
    public_url: Option<String>,
    inbound: String,
    outbound: String,
    /// Variables that the document names, and what they hold.
    variables: Vec<(String, String)>,
    /// What to set on the assistant's side.
    set: Vec<String>,
    /// The assistant's channels that the gateway receives, and its names for them.
    received: Map<String, Json>,
    paths: HashSet<String>,
    names: HashSet<String>,
}

pub(super) fn run(directory: &Path, path: &Path, context: &mut Context) -> Result<Done, Error> {
    let file = directory.join("openclaw.json");
    let text = std::fs::read(&file)
        .map_err(|error| Error::file("read", &file, &error).hint("--assistant is its directory"))?;
    let config = assistant::read(&text).map_err(|why| Error::new(format!("cannot read {}: {why}", file.display())))?;
    let front = Front::of(&config);
    let bridge = directory.join("hooks/webhook-bridge");
    std::fs::create_dir_all(&bridge).map_err(|error| Error::file("write", &bridge, &error))?;
    let handler = HANDLER.replace(
        "const INBOUND = {};",
        &format!("const INBOUND = {};", Json::Object(front.received.clone())),
    );
    let made = vec![
        Made::file(path, &front.document())?,
        Made::file(&bridge.join("HOOK.md"), HOOK)?,
        Made::file(&bridge.join("handler.js"), &handler)?,
    ];
    let ignored = ignore(&path.parent().unwrap_or(Path::new("")).join(".gitignore"))?;
    let files = kept(made, ignored);
    if config.get("$include").is_some() {
        context
            .terminal
            .note(&format!("what {} includes was not read", file.display()));
    }
    told(&front, &file, path, &files, context)
}

fn told(front: &Front, file: &Path, path: &Path, files: &[PathBuf], context: &mut Context) -> Result<Done, Error> {
    let next = [
        "openclaw validate --resolve",
        "openclaw hooks enable webhook-bridge",
        "openclaw run",
    ];
    if context.terminal.json {
        let variables: Map<String, Json> = front
            .variables
            .iter()
            .map(|(name, what)| (name.clone(), what.as_str().into()))
            .collect();
        let answer =
            json!({"document": path, "files": files, "environment": variables, "assistant": front.set, "next": next});
        context.terminal.answer_json(&answer)?;
        return Ok(Done::Well);
    }
    let mut out = wrote(files);
    let _ = writeln!(out, "{} was read, and stays as it is.", file.display());
    if !front.variables.is_empty() {
        out.push_str("\nPut into the gateway's environment, or into .env beside the document:\n");
        for (name, what) in &front.variables {
            let _ = writeln!(out, "  {name}=…  # {what}");
        }
    }
    if !front.set.is_empty() {
        let _ = writeln!(out, "\nSet in {}:", file.display());
        for line in &front.set {
            let _ = writeln!(out, "  {line}");
        }
    }
    out.push_str("\nPlatforms, or the proxy before them, post to the gateway (port 8790) from now on. Then:\n");
    for (number, command) in next.iter().enumerate() {
        let _ = writeln!(out, "  {}. {command}", number + 1);
    }
    context.terminal.answer(out)?;
    Ok(Done::Well)
}

impl Front {
    fn of(config: &Json) -> Self {
        let mut front = Self::default();
        let mut hooked = false;
        for account in Account::all(config) {
            front.add(&account, config);
            hooked |= account.kind.way == Way::AgentHook;
        }
        if hooked {
            front
                .variables
                .push((HOOKS_TOKEN.to_owned(), "what hooks.token holds".to_owned()));
            if config["hooks"]["enabled"] != Json::Bool(true) {
                front.set.push("hooks.enabled: true".to_owned());
            }
            if !config["hooks"]["token"].is_string() {
                front.set.push(format!(
                    "hooks.token: \"…\"  # long and random, the same as {HOOKS_TOKEN}"
                ));
            }
        }
        front
    }

    fn add(&mut self, account: &Account<'_>, config: &Json) {
        let kind = account.kind;
        let name = account.name();
        if !self.names.insert(name.clone()) {
            return; // two accounts whose names differ in signs alone
        }
        let public = kind
            .public_url
            .and_then(|key| account.text(key))
            .and_then(|text| Url::parse(text).ok());
        if let (Some(url), None) = (&public, &self.public_url) {
            self.public_url = Some(url.origin().ascii_serialization());
        }
        let there = account.text(kind.path.0).unwrap_or(kind.path.1);

        let _ = writeln!(self.inbound, "    {name}:");
        if name != kind.platform {
            let _ = writeln!(self.inbound, "      platform: {}", kind.platform);
        }
        // The path that the platform knows, so that nothing is to be changed there.
        let path = public.as_ref().map_or(there, |url| url.path());
        if path.len() > 1 && self.paths.insert(path.to_owned()) {
            let _ = writeln!(self.inbound, "      path: {}", quoted(path));
        }
        if kind.platform == "twilio" {
            let url = public
                .as_ref()
                .map_or("https://gateway.example.com/webhooks/sms", Url::as_str);
            let _ = writeln!(self.inbound, "      url: {}  # what Twilio signs", quoted(url));
        }
        for (field, setting) in kind.keys {
            self.key(&name, field, setting, account);
        }

        let _ = writeln!(self.outbound, "    assistant-{name}:");
        match kind.way {
            Way::Forward { durable } => {
                let port = match kind.listener {
                    Listener::Gateway => port(config),
                    Listener::Own(setting, default) => account
                        .setting(setting)
                        .and_then(Json::as_u64)
                        .unwrap_or(default.into()),
                };
                let url = format!("http://127.0.0.1:{port}{there}");
                let _ = writeln!(
                    self.outbound,
                    "      url: {}\n      format: forward\n      from: [{name}]",
                    quoted(&url)
                );
                if durable {
                    self.outbound
                        .push_str("      requireHeader: \"x-openclaw-delivery-accepted: durable\"\n");
                }
            }
            Way::AgentHook => {
                let hooks = config["hooks"]["path"].as_str().unwrap_or("/hooks").trim_matches('/');
                let url = format!("http://127.0.0.1:{}/{hooks}/agent", port(config));
                let _ = writeln!(
                    self.outbound,
                    "      url: {}\n      format: agent-hook\n      from: [{name}]\n      auth: {{ bearer: {{ env: {HOOKS_TOKEN} }} }}",
                    quoted(&url)
                );
            }
        }
        self.assistants_side(account);
        let channel = match account.id {
            "default" => kind.key.to_owned(),
            id => format!("{}:{id}", kind.key),
        };
        self.received.insert(channel, name.into());
    }

    /// What a request is verified with: what is no secret as it is, a secret by the name of a variable.
    fn key(&mut self, name: &str, field: &str, setting: &str, account: &Account<'_>) {
        let value = account.setting(setting);
        let named = value.and_then(variable);
        if let ("audience" | "corpId", None, Some(text)) = (field, named, account.text(setting)) {
            let _ = writeln!(self.inbound, "      {field}: {}", quoted(text));
            return;
        }
        let variable = named.map_or_else(|| shouted(&format!("{name}_{setting}")), str::to_owned);
        let place = account.place(setting);
        let what = if value.is_some() {
            format!("what {place} holds")
        } else {
            let reference = format!("{{ source: \"env\", provider: \"default\", id: \"{variable}\" }}");
            self.set.push(format!("{place}: {reference}"));
            format!("the same as {place}")
        };
        let written = match field {
            "audience" | "corpId" => format!("\"${{{variable}}}\""),
            _ => format!("{{ env: {variable} }}"),
        };
        let _ = writeln!(self.inbound, "      {field}: {written}");
        self.variables.push((variable, what));
    }

    fn assistants_side(&mut self, account: &Account<'_>) {
        let kind = account.kind;
        if let Some((setting, value)) = kind.mode
            && account.text(setting) != Some(value)
        {
            self.set.push(format!("{}: \"{value}\"", account.place(setting)));
        }
        if let Some(setting) = kind.public_url
            && account.text(setting).is_none()
        {
            let url = format!("https://gateway.example.com{}", kind.path.1);
            self.set
                .push(format!("{}: \"{url}\"  # with your own name", account.place(setting)));
        }
    }

    fn document(&self) -> String {
        let public_url = self.public_url.as_ref().map_or_else(
            || "# publicUrl: https://gateway.example.com".to_owned(),
            |url| format!("publicUrl: {}", quoted(url)),
        );
        let part = |name: &str, entries: &str| match entries {
            "" => format!("  {name}: {{}}\n"),
            _ => format!("  {name}:\n{entries}"),
        };
        format!(
            "\
# The gateway in front of an OpenClaw assistant: platforms post here, and what they sent goes on to the assistant.
webhooks:
  server:
    listen: 127.0.0.1:8790 # platforms post here, through your proxy or tunnel
    {public_url} # how they reach it

  admin:
    listen: 127.0.0.1:8791 # API, metrics and health; the assistant's webhook-bridge posts its events here

  egress:
    allow: [127.0.0.1/32] # the assistant

  # A webhook for each of the assistant's channels, with the secret that the platform signs with.
{}
  # What came in goes on to the assistant, which answers through the bot itself.
{}",
            part("inbound", &self.inbound),
            part("outbound", &self.outbound)
        )
    }
}

fn port(config: &Json) -> u64 {
    config["gateway"]["port"].as_u64().unwrap_or(PORT)
}

/// The variable that a value refers to; `None`: the value is not a reference to one.
fn variable(value: &Json) -> Option<&str> {
    let name = match value {
        Json::String(text) => text.strip_prefix("${")?.strip_suffix('}')?,
        _ if value["source"] == "env" => value["id"].as_str()?,
        _ => return None,
    };
    let right = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    right.then_some(name)
}

/// `telegram_webhookSecret` -> `TELEGRAM_WEBHOOK_SECRET`
fn shouted(text: &str) -> String {
    let mut out = String::new();
    let mut small = false;
    for c in text.chars() {
        if c.is_ascii_uppercase() && small {
            out.push('_');
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        });
    }
    out
}

/// A text as YAML and JSON write it.
fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}
