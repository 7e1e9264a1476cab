//! `openclaw webhooks set-inbound`

use std::path::Path;

use clap::Args;

use super::change;
use super::flags::{self, FieldFlags, Fields, Inbound};
use crate::admin::wire::Direction;
use crate::cli::edit::{self, Wanted, Writing};
use crate::cli::made::Made;
use crate::cli::{Context, Done, Error};
use crate::document::edit::{Change, Edit};
use crate::document::platforms::{self, Keys, Platform};
use crate::document::{Resource, Value};
use crate::event::Name;

/// Make or change an inbound webhook
///
/// Edits the document. Where the owner chooses the secret and none is given or there, one is made: 32 random bytes as text
/// in `secrets/NAME` beside the document.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks set-inbound telegram --url https://gateway.example.com/webhook/telegram --verify-signature
  openclaw webhooks set-inbound discord --public-key DISCORD_PUBLIC_KEY
  openclaw webhooks set-inbound alerts --platform github --secret env:GITHUB_WEBHOOK_SECRET")]
pub(crate) struct Arguments {
    /// The webhook's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    fields: FieldFlags<Inbound>,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let name = change::name(&arguments.name)?;
    let address = change::address(Direction::Inbound, name.clone());
    change::warn(&arguments.fields, context);
    let mut made = None;
    let mut dry = None;
    let done = edit::carry_out_beside(&arguments.writing, context, |file, desired| {
        let there = desired.resources.get(&address);
        let platform = platform(&name, &arguments.fields, there)?;
        fit(platform, &arguments.fields)?;
        let mut changes = arguments.fields.changes("inbound")?;
        if lacks_secret(platform, &arguments.fields, there)? {
            let path = file
                .path
                .parent()
                .unwrap_or(Path::new(""))
                .join("secrets")
                .join(name.as_str());
            if arguments.writing.dry_run() {
                dry = Some(path);
            } else if made.is_none() && !path.exists() {
                made = Some(Made::secret(&path)?);
            }
            let reference = Value::Map([("file".into(), Value::text(&format!("./secrets/{name}")))].into());
            changes.push((vec!["secret".to_owned()], Some(reference)));
        }
        Ok(Wanted::Edits(vec![Edit {
            address: address.clone(),
            change: Change::Fields(changes),
        }]))
    })
    .await;
    if let Some(path) = dry {
        context
            .terminal
            .note(&format!("a secret would be made in {}", path.display()));
    }
    if done.is_ok()
        && let Some(made) = made
    {
        let path = made.keep();
        context.terminal.note(&format!("made a secret: {}", path.display()));
        context.terminal.note(&format!("next: {}", next_step(arguments, &path)));
    }
    done
}

/// The platform of an inbound webhook after the edit.
pub(super) fn platform<F: Fields>(
    name: &Name,
    flags: &FieldFlags<F>,
    there: Option<&Resource>,
) -> Result<&'static Platform, Error> {
    let given = flags.value("platform").and_then(Value::as_text);
    let known = there
        .and_then(|resource| resource.get("platform"))
        .and_then(Value::as_text);
    let text = given
        .or(known)
        .unwrap_or_else(|| platforms::find(name.as_str()).map_or("generic", |platform| platform.name));
    platforms::find(text).ok_or_else(|| {
        let error = Error::new(format!("there is no platform `{text}`"));
        match crate::document::diagnostic::nearest(text, platforms::all().map(|platform| platform.name)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("docs/platforms.md lists them"),
        }
    })
}

/// Whether every flag means something for the platform.
pub(super) fn fit<F: Fields>(platform: &Platform, flags: &FieldFlags<F>) -> Result<(), Error> {
    let Some(field) = flags.names().find(|field| !platform.fits(field)) else {
        return Ok(());
    };
    let fitting: Vec<_> = platforms::all()
        .filter(|platform| platform.fits(field))
        .map(|p| p.name)
        .collect();
    let own: Vec<_> = platform
        .keys
        .fields()
        .iter()
        .chain(platform.extra)
        .map(|field| flags::shown(field))
        .collect();
    let error = Error::new(format!(
        "{} does not fit the platform {}",
        flags::shown(field),
        platform.name
    ));
    Err(error
        .hint(format!("{} takes {}", platform.name, own.join(", ")))
        .hint(format!("{} fits {}", flags::shown(field), fitting.join(", "))))
}

/// Whether a secret has to be made.
///
/// # Errors
/// The platform gives it, and it was not given here.
fn lacks_secret(platform: &Platform, flags: &FieldFlags<Inbound>, there: Option<&Resource>) -> Result<bool, Error> {
    let has = |field: &str| flags.gives(field) || there.is_some_and(|resource| resource.get(field).is_some());
    let unverified = match flags.value("verifySignature") {
        Some(value) => *value == Value::Bool(false),
        None => there.is_some_and(|resource| resource.effective("verifySignature") == Some(Value::Bool(false))),
    };
    let missing: Vec<&str> = match platform.keys {
        Keys::All(fields) => fields.iter().copied().filter(|field| !has(field)).collect(),
        Keys::Any(fields) if fields.iter().any(|field| has(field)) => Vec::new(),
        Keys::Any(fields) => fields.to_vec(),
    };
    if unverified || missing.is_empty() {
        return Ok(false);
    }
    if platform.owner_chooses && missing.contains(&"secret") {
        return Ok(true);
    }
    let shown: Vec<_> = missing.iter().map(|field| flags::shown(field)).collect();
    Err(Error::new(format!("{} needs {}", platform.name, shown.join(" and "))).hint(source(platform.name)))
}

/// Where a platform shows what it gives.
fn source(platform: &str) -> &'static str {
    match platform {
        "discord" => {
            "the public key stands in Discord's developer portal: your application, General Information, Public Key"
        }
        "slack" => "the signing secret stands at api.slack.com/apps: your app, Basic Information, Signing Secret",
        "line" => {
            "the channel secret stands in LINE's developers console: your channel, Basic settings, Channel secret"
        }
        "basic" => "--username is the user name that the sender logs in with",
        _ => "docs/platforms.md says where the platform shows it",
    }
}

/// What is to be done with the new secret.
fn next_step(arguments: &Arguments, path: &Path) -> String {
    let path = path.display();
    let name = arguments
        .fields
        .value("platform")
        .and_then(Value::as_text)
        .unwrap_or(&arguments.name);
    match name {
        "telegram" => format!("call Telegram's setWebhook with the webhook's URL and secret_token=\"$(cat {path})\""),
        "github" => format!("put it into the repository's Settings, Webhooks, Secret: cat {path}"),
        "gitlab" => format!("put it into the project's Settings, Webhooks, Secret token: cat {path}"),
        _ => format!("give it to the sender: cat {path}"),
    }
}
