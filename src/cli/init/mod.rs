//! `openclaw init`

mod assistant;
mod channel;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::made::Made;
use super::surroundings::{assistants, format_of};
use super::{Context, Done, Error};
use crate::document::Format;

/// The document of a gateway that works at once.
const DOCUMENT: &str = include_str!("openclaw.yaml");

/// What git must not see, beside `secrets/`, which says so itself.
const IGNORED: [&str; 3] = ["/secrets/", "/.openclaw-webhooks/", "/.env"];

/// Write a first document
///
/// A small openclaw.yaml with comments, two secrets in secrets/ and a .gitignore, never over what is there; prints the three
/// steps that follow `openclaw run`. With --assistant, a document that stands in front of an OpenClaw assistant: its
/// openclaw.json is read and never changed, each of its webhook channels gets an inbound webhook and a sender that forwards to it, and a
/// hook that publishes what the assistant does is written to DIR/hooks/webhook-bridge.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw init && openclaw run
  openclaw init --assistant ~/.openclaw
  openclaw --config /etc/openclaw/openclaw.yaml init")]
pub(crate) struct Arguments {
    /// The directory of an OpenClaw assistant, with its openclaw.json
    #[arg(long, value_name = "DIR")]
    assistant: Option<PathBuf>,
}

/// Something to do next.
struct Step {
    what: &'static str,
    command: String,
}

pub(crate) fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let path = place(context)?;
    match &arguments.assistant {
        Some(directory) => assistant::run(&context.surroundings.directory.join(directory), &path, context),
        None => first(&path, context),
    }
}

/// Where the document goes: nothing that is there is written over.
fn place(context: &mut Context) -> Result<PathBuf, Error> {
    let named = context.global.config.as_ref();
    let path = match named {
        Some(path) => context.surroundings.directory.join(path),
        None => context.surroundings.directory.join("openclaw.yaml"),
    };
    let mut places = vec![path.clone()];
    if named.is_none() {
        places.extend(context.surroundings.here());
    }
    for place in places.into_iter().filter(|place| place.exists()) {
        // `init` is how an assistant's file gets its neighbour.
        if place != path && assistants(&place).is_some() {
            context.terminal.note(&format!(
                "{} is the OpenClaw assistant's own file: {} is written beside it",
                place.display(),
                path.display()
            ));
            continue;
        }
        return Err(
            Error::new(format!("{} is there already, and stays as it is", place.display()))
                .hint("`openclaw webhooks create` and `set-inbound` add to it; --config FILE names another"),
        );
    }
    if format_of(&path)? != Format::Yaml {
        return Err(Error::new(format!("{}: what is written is YAML", path.display())).hint("name it .yaml"));
    }
    Ok(path)
}

fn first(path: &Path, context: &mut Context) -> Result<Done, Error> {
    let beside = |name: &str| path.parent().unwrap_or(Path::new("")).join(name);
    let mut made = Vec::new();
    for secret in ["secrets/telegram", "secrets/event-logger"].map(beside) {
        if !secret.exists() {
            made.push(Made::secret(&secret)?);
        }
    }
    made.insert(0, Made::file(path, DOCUMENT)?);
    let ignored = ignore(&beside(".gitignore"))?;
    let files = kept(made, ignored);
    let command = |words: &str| match &context.global.config {
        Some(config) => format!("openclaw --config {} {words}", config.display()),
        None => format!("openclaw {words}"),
    };
    let steps = [
        Step {
            what: "a message comes in, signed as Telegram signs it",
            command: command("webhooks test telegram --inbound --local"),
        },
        Step {
            what: "something receives what the gateway sends (Ctrl-C ends it)",
            command: format!(
                "OPENCLAW_LISTEN_SECRET=\"$(cat {})\" openclaw listen --port 8792",
                beside("secrets/event-logger").display()
            ),
        },
        Step {
            what: "an event goes out, signed, and arrives there",
            command: command("webhooks test event-logger"),
        },
    ];
    let start = command("run");
    if context.terminal.json {
        let next: Vec<_> = steps
            .iter()
            .map(|step| json!({"what": step.what, "command": step.command}))
            .collect();
        let answer = json!({"document": path, "files": files, "start": start, "next": next});
        context.terminal.answer_json(&answer)?;
        return Ok(Done::Well);
    }
    let mut out = format!(
        "{}\nStart the gateway:\n  {start}\n\nThen, in other terminals:\n",
        wrote(&files)
    );
    for (number, step) in steps.iter().enumerate() {
        let _ = writeln!(out, "  {}. {}\n     {}", number + 1, step.what, step.command);
    }
    context.terminal.answer(out)?;
    Ok(Done::Well)
}

/// What was made stays; all that was written.
fn kept(made: Vec<Made>, ignored: Option<PathBuf>) -> Vec<PathBuf> {
    made.into_iter().map(Made::keep).chain(ignored).collect()
}

fn wrote(files: &[PathBuf]) -> String {
    let mut out = "Wrote:\n".to_owned();
    for file in files {
        let _ = writeln!(out, "  {}", file.display());
    }
    out
}

/// Adds what is missing to a `.gitignore`; `None`: all of it is there.
fn ignore(path: &Path) -> Result<Option<PathBuf>, Error> {
    let failed = |error: io::Error| Error::file("write", path, &error);
    let there = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let has = |line: &str| {
        let bare = |line: &str| line.trim().trim_matches('/').to_owned();
        there.lines().any(|other| bare(other) == bare(line))
    };
    let missing: Vec<_> = IGNORED.into_iter().filter(|line| !has(line)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let end = if there.is_empty() || there.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let mut file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(format!("{end}{}\n", missing.join("\n")).as_bytes())
        .map_err(failed)?;
    Ok(Some(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gitignore_gets_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".gitignore");
        let text = || std::fs::read_to_string(&path).unwrap();
        assert_eq!(ignore(&path).unwrap(), Some(path.clone()));
        assert_eq!(text(), "/secrets/\n/.openclaw-webhooks/\n/.env\n");
        assert_eq!(ignore(&path).unwrap(), None);
        std::fs::write(&path, "target\nsecrets/").unwrap();
        ignore(&path).unwrap();
        assert_eq!(text(), "target\nsecrets/\n/.openclaw-webhooks/\n/.env\n");
    }
}
