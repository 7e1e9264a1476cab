//! `openclaw run`

use clap::Args;

use super::{Context, Done, Error};
use crate::document::diagnostic;
use crate::reconcile::{Broken, StartError};
use crate::{document, gateway, telemetry};

/// Start the gateway
///
/// Serves the document's routes, delivers to its senders, and reconciles when the document changes. SIGTERM drains and
/// ends it, SIGHUP reads the document again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw run
  openclaw run --config /etc/openclaw/openclaw.yaml
  OPENCLAW_STATE_DIR=/var/lib/openclaw openclaw run -v")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let path = context.surroundings.find(context.global.config.as_deref())?;
    context.terminal.detail(&format!("document: {}", path.display()));
    telemetry::init(context.global.verbose > 1);
    let format = document::Format::of_path(&path).unwrap_or(document::Format::Yaml);
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Error::new(format!("no runtime: {e}")))?;
    let ended = runtime.block_on(gateway::run(gateway::Options { path, format }, |line| {
        // Nobody reads: the gateway runs all the same.
        let _ = context
            .terminal
            .answer(format!("{line}\n"))
            .and_then(|()| context.terminal.flush());
    }));
    // The gateway has ended what it waits for. What still blocks a thread (a program that is asked for a secret) ends with the
    // process.
    runtime.shutdown_background();
    ended.map(|()| Done::Well).map_err(|e| failed(&e))
}

/// What kept the gateway from running; a broken document is shown as `openclaw validate` shows it.
fn failed(error: &gateway::GatewayError) -> Error {
    let gateway::GatewayError::Start(start) = error else {
        return Error::new(error.to_string());
    };
    match start {
        StartError::Broken(Broken::Invalid { found, .. }) | StartError::LastGood(_, found) => {
            Error::new(format!("{start}\n{}", diagnostic::text(found, false).trim_end()))
        }
        StartError::Broken(Broken::Unreadable(why)) => Error::new(format!("{start}: {why}")),
        _ => Error::new(start.to_string()),
    }
}
