//! Logs: one event, one line, fields not prose, to stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The variable that sets what is logged, in the syntax of `tracing_subscriber::EnvFilter`: `info` by default.
pub const LEVEL: &str = "OPENCLAW_LOG";

/// The variable that makes every line one JSON object: `json`.
pub const FORMAT: &str = "OPENCLAW_LOG_FORMAT";

/// Starts logging. `verbose` logs the gateway's own debug lines where the environment says nothing.
pub fn init(verbose: bool) {
    let default = if verbose { "openclaw=debug,info" } else { "info" };
    let filter = EnvFilter::try_from_env(LEVEL).unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start in one process (tests) keeps the first one's settings.
    let _ = if std::env::var(FORMAT).is_ok_and(|format| format == "json") {
        log.json().flatten_event(true).try_init()
    } else {
        log.with_ansi(colour).try_init()
    };
}
