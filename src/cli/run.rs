//! `openclaw run`

use clap::Args;

use super::{Context, Done, Error};

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

/// The joint to `gateway::run`, which this tree does not have yet.
pub(crate) fn run(_: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let path = context.surroundings.find(context.global.config.as_deref())?;
    context.terminal.detail(&format!("document: {}", path.display()));
    Err(Error::new("this build has no gateway"))
}
