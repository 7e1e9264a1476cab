//! `openclaw status`

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use super::apply::provenance;
use super::{Context, Done, Error, document, local, table::Table, target::Target, time};
use crate::admin::client::ClientError;
use crate::admin::wire::{DocumentState, DocumentStatus, Mode, Status, Totals, condition_types};
use crate::document::{Address, Desired, Value};
use crate::plan::render::text::visible;

/// How often a condition is asked for while waiting for it.
const POLL: Duration = Duration::from_millis(200);

/// Tell whether anything is owed, dead, held or degraded, and why
///
/// Where no gateway runs, document and local store tell it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw status
  openclaw status --json
  openclaw status --wait Ready --timeout 30s

Exit codes: 0 done, 1 error, or what was waited for does not hold.")]
pub(crate) struct Arguments {
    /// Wait until this condition holds
    #[arg(long, value_name = "CONDITION", value_parser = conditions(), ignore_case = true)]
    wait: Option<String>,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = time::parse_duration, requires = "wait")]
    timeout: Duration,
}

/// Waiting for a condition that there is not would take all the time that was given.
fn conditions() -> PossibleValuesParser {
    let all = condition_types::ALL.iter();
    PossibleValuesParser::new(all.map(|(kind, meaning)| PossibleValue::new(*kind).help(meaning.trim())))
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let target = Target::find(None, context)?;
    let (status, done) = match &arguments.wait {
        None => {
            let answer = target.client.status().await;
            let status = match target.or_local(answer, context)? {
                Some(status) => status,
                None => without_gateway(context).await?,
            };
            (status, Done::Well)
        }
        Some(condition) => wait(condition, arguments.timeout, &target, context).await?,
    };
    if context.terminal.json {
        context.terminal.answer_json(&status)?;
    } else {
        let text = render(&status, context.clock.now_ms());
        context.terminal.answer(text)?;
    }
    Ok(done)
}

/// Asks until the condition holds. A gateway that does not answer yet is waited for.
async fn wait(
    condition: &str,
    timeout: Duration,
    target: &Target,
    context: &mut Context,
) -> Result<(Status, Done), Error> {
    let end = tokio::time::Instant::now() + timeout;
    loop {
        let answer = target.client.status().await;
        let late = tokio::time::Instant::now() >= end;
        match answer {
            Ok(status) if status.holds(condition) => return Ok((status, Done::Well)),
            Ok(status) if late => {
                let found = status
                    .conditions
                    .iter()
                    .find(|c| c.kind.eq_ignore_ascii_case(condition));
                let why = found.map_or_else(
                    || "the gateway has no such condition".to_owned(),
                    |c| format!("{} is {}: {}: {}", c.kind, c.status, c.reason, c.message),
                );
                context.terminal.note(&visible(&format!(
                    "waited {} for {condition}: {why}",
                    time::length_of(timeout)
                )));
                return Ok((status, Done::No));
            }
            Err(ClientError::NothingAnswers(_) | ClientError::Unreachable { .. }) if !late => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        tokio::time::sleep_until(end.min(tokio::time::Instant::now() + POLL)).await;
    }
}

/// What document and store tell where no gateway runs.
async fn without_gateway(context: &Context) -> Result<Status, Error> {
    let file = context.surroundings.read(context.global.config.as_deref())?;
    let loaded = document::load(&file);
    let desired = loaded.desired.as_deref().or(loaded.sketch.as_deref());
    let (inbound, outbound) = desired.map_or((0, 0), Desired::counts);
    let store = match document::store_path(&file) {
        Some(path) => local::open_at(&path)?,
        None => None,
    };
    let (generation, totals) = match &store {
        Some(store) => (
            store
                .last_generation()
                .await
                .map_err(local::failed)?
                .map(|(generation, _)| generation),
            store.totals().await.map_err(local::failed)?,
        ),
        None => (None, Totals::default()),
    };
    let sha256 = file.sha256();
    let (state, reasons) = if loaded.desired.is_none() {
        let errors = loaded.diagnostics.iter().filter(|found| found.is_error());
        (
            DocumentState::Rejected,
            errors.take(100).map(ToString::to_string).collect(),
        )
    } else if generation
        .as_ref()
        .is_some_and(|generation| generation.sha256 == sha256)
    {
        (DocumentState::Applied, Vec::new())
    } else {
        (DocumentState::Pending, Vec::new())
    };
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: None,
        generation,
        document: DocumentStatus {
            path: file.name(),
            sha256: Some(sha256),
            mode: desired.map_or(Mode::Auto, mode),
            state,
            reasons,
        },
        inbound: inbound as u64,
        outbound: outbound as u64,
        totals,
        conditions: Vec::new(),
        attention: Vec::new(),
    })
}

/// `reconcile.mode` as the document writes it.
fn mode(desired: &Desired) -> Mode {
    let written = desired
        .resources
        .get(&Address::Reconcile)
        .and_then(|reconcile| reconcile.effective("mode"));
    match written.as_ref().and_then(Value::as_text) {
        Some("manual") => Mode::Manual,
        _ => Mode::Auto,
    }
}

/// The status for people.
pub(crate) fn render(status: &Status, now_ms: i64) -> String {
    let mut table = Table::default();
    let gateway = status.started_ms.map_or_else(
        || "not running".to_owned(),
        |started_ms| {
            let ready = if status.holds("Ready") { "ready" } else { "not ready" };
            let up = time::length(u64::try_from(now_ms - started_ms).unwrap_or(0));
            format!("{ready} (version {}, up {up})", status.version)
        },
    );
    table.row(["Gateway:".to_owned(), gateway]);
    let runs = status.started_ms.is_some();
    table.row([
        if runs { "Running:" } else { "Ran last:" }.to_owned(),
        match &status.generation {
            Some(generation) => format!("generation {} ({})", generation.number, provenance(generation, now_ms)),
            None => "nothing: no document was ever applied".to_owned(),
        },
    ]);
    table.row(["Document:".to_owned(), stands(status)]);
    for reason in &status.document.reasons {
        table.row(["", reason.as_str()]);
    }
    table.row([
        "Webhooks:".to_owned(),
        format!("{} inbound, {} outbound", status.inbound, status.outbound),
    ]);
    let oldest = status.totals.oldest_owed_ms.map_or(String::new(), |then| {
        let waited = u64::try_from(now_ms - then).unwrap_or(0);
        format!(", the oldest for {}", time::length(waited))
    });
    table.row([
        "Owed:".to_owned(),
        format!("{}{oldest}", counted(status.totals.owed, "delivery", "deliveries")),
    ]);
    table.row([
        "Dead:".to_owned(),
        counted(status.totals.dead, "dead letter", "dead letters"),
    ]);
    let mut out = table.render();
    if !status.attention.is_empty() {
        out.push_str("\nNeeds attention:\n");
        let mut table = Table::indented(2);
        for row in &status.attention {
            table.row([row.address.as_str(), row.state.as_str(), &row.reason, &row.message]);
        }
        out.push_str(&table.render());
    }
    if status.conditions.is_empty() {
        return out;
    }
    out.push_str("\nConditions:\n");
    let mut table = Table::indented(2);
    table.row(["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in &status.conditions {
        let since = condition.since.parse::<jiff::Timestamp>().ok();
        let since = since.map_or_else(
            || condition.since.clone(),
            |then| time::ago(now_ms, then.as_millisecond()),
        );
        let row = [
            condition.kind.clone(),
            condition.status.to_string(),
            condition.reason.clone(),
            since,
            first_line(&condition.message),
        ];
        table.row(row);
    }
    out.push_str(&table.render());
    out
}

/// The rest stands with the document, a line each.
fn first_line(message: &str) -> String {
    match message.lines().count() {
        0 | 1 => message.to_owned(),
        more => format!("{} (and {} more)", message.lines().next().unwrap_or_default(), more - 1),
    }
}

/// Where the document stands.
fn stands(status: &Status) -> String {
    let document = &status.document;
    let says = match (document.state, document.mode) {
        (DocumentState::Rejected, _) if status.started_ms.is_none() => "is broken:",
        (DocumentState::Applied, _) if status.started_ms.is_none() => "is what ran last",
        (DocumentState::Pending, Mode::Auto) if status.started_ms.is_none() => "takes effect at the start",
        (DocumentState::Applied, Mode::Auto) => "is what runs",
        (DocumentState::Applied, Mode::Manual) => "is what runs; changes wait for `openclaw apply`",
        (DocumentState::Pending, _) => "waits for `openclaw apply`",
        (DocumentState::Held, _) => "is held until `openclaw apply --allow-deletes`:",
        (DocumentState::Rejected, _) => "is rejected, the last good generation runs:",
        (DocumentState::Missing, _) => "is gone, the last good generation runs",
        (DocumentState::Pinned, _) => "is not what runs: a rollback runs until it changes",
    };
    format!("{} {says}", document.path)
}

fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => "nothing".to_owned(),
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}
