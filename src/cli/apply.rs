//! `openclaw apply`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Context, Done, Error, guard, plan::Form, show, surroundings::DocumentFile, target::Target, time};
use crate::admin::client::Client;
use crate::admin::wire::{ApplyOutcome, ApplyRequest, DocumentFormat, Generation, PlanDocument};
use crate::plan::{render::text, saved};

/// Make the gateway converge to a document
///
/// Shows the plan, asks, makes the gateway converge to exactly what was shown, and waits for it. A document that is not
/// the gateway's own file is pushed: the gateway checks it, writes it to its own file and applies it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw apply
  openclaw apply --yes
  openclaw apply --yes --guard 2m          back to the generation before when what changed fails
  openclaw apply plan.json                 exactly the plan that was saved, or nothing
  openclaw apply -f staging.yaml --gateway unix:/run/openclaw.sock --yes

--guard counts failed attempts of changed senders and rejected requests of changed routes since the apply. More of them than
in as long a time before are a failure: the generation before is applied again, and the exit code is 1.")]
pub(crate) struct Arguments {
    /// A saved plan to carry out
    #[arg(value_name = "PLAN", conflicts_with = "file")]
    plan: Option<PathBuf>,
    /// The document, instead of --config
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Watch what changed for so long, and roll back when a changed sender fails or a changed route rejects more than before
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration)]
    guard: Option<Duration>,
    #[command(flatten)]
    consent: Consent,
}

/// What the person agrees to in advance.
#[derive(Debug, Clone, Args)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How long to wait for the gateway
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = time::parse_duration)]
    wait: Duration,
    /// Carry out what is held because it deletes much, all, or what is protected
    #[arg(long)]
    allow_deletes: bool,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    if let Some(path) = &arguments.plan {
        let plan = show::read(&context.surroundings.directory.join(path))?;
        let document = context.surroundings.directory.join(&plan.document.path);
        let target = Target::find(DocumentFile::read(document.clone()).ok().as_ref(), context)?;
        let file = fresh(&plan, document, &target.client, context).await?;
        return carry_out(
            Proposal {
                file,
                plan,
                rollback_to: None,
                guard: arguments.guard,
            },
            &arguments.consent,
            &target.client,
            context,
        )
        .await;
    }
    let named = arguments.file.as_deref().or(context.global.config.as_deref());
    let file = context.surroundings.read(named)?;
    context.terminal.detail(&format!("document: {}", file.name()));
    let target = Target::find(Some(&file), context)?;
    let plan = target.client.plan(&super::plan::request(&file, None, context)?).await?;
    carry_out(
        Proposal {
            file,
            plan,
            rollback_to: None,
            guard: arguments.guard,
        },
        &arguments.consent,
        &target.client,
        context,
    )
    .await
}

/// The document of a saved plan, where plan, gateway and document still are what they were.
async fn fresh(plan: &PlanDocument, path: PathBuf, client: &Client, context: &Context) -> Result<DocumentFile, Error> {
    let running = client.status().await?.generation;
    let file = if path.exists() {
        Some(DocumentFile::read(path)?)
    } else {
        None
    };
    let now = saved::Now {
        generation: running.as_ref().map(|generation| generation.number),
        sha256: running.as_ref().map(|generation| generation.sha256.clone()),
        moved_by: running
            .as_ref()
            .map(|generation| provenance(generation, context.clock.now_ms())),
        document_sha256: file.as_ref().map(DocumentFile::sha256),
    };
    let moved = saved::moved(plan, &now);
    match file {
        Some(file) if moved.is_empty() => Ok(file),
        _ => {
            let lines: Vec<_> = std::iter::once("the saved plan is stale:".to_owned())
                .chain(moved.iter().map(|m| format!("  {m}")))
                .collect();
            Err(Error::new(lines.join("\n")).hint("plan again, look at it, and apply that"))
        }
    }
}

/// `apply by mia, 2 minutes ago`
pub(crate) fn provenance(generation: &Generation, now_ms: i64) -> String {
    let by = generation
        .who
        .as_ref()
        .map_or(String::new(), |who| format!(" by {who}"));
    format!(
        "{}{by}, {}",
        generation.cause.as_str(),
        time::ago(now_ms, generation.at_ms)
    )
}

/// Something to converge to, and the plan that was made of it.
pub(crate) struct Proposal {
    pub(crate) file: DocumentFile,
    pub(crate) plan: PlanDocument,
    pub(crate) rollback_to: Option<u64>,
    pub(crate) guard: Option<Duration>,
}

/// Shows the plan, asks, applies, tells the outcome.
pub(crate) async fn carry_out(
    proposal: Proposal,
    consent: &Consent,
    client: &Client,
    context: &mut Context,
) -> Result<Done, Error> {
    let Proposal {
        file,
        plan,
        rollback_to,
        guard,
    } = proposal;
    let json = context.terminal.json;
    if json {
        // Stdout is for the outcome; a person who is asked has to see the plan all the same.
        if !consent.yes && context.terminal.interactive {
            let shown = Form::Text.render(&plan, context.terminal.colour_notes);
            context.terminal.note(&shown);
        }
    } else {
        let shown = Form::Text.render(&plan, context.terminal.colour);
        context.terminal.answer(shown)?;
    }
    if plan.diagnostics.iter().any(|d| d.severity == "error") {
        return Err(
            Error::new("nothing was changed: the document has errors").hint("`openclaw validate` shows them all")
        );
    }
    let same_bytes = plan.base.sha256.as_ref() == Some(&plan.document.sha256);
    if plan.is_empty() && same_bytes && rollback_to.is_none() {
        if json {
            context.terminal.answer_json(&json!({"plan": plan, "outcome": null}))?;
        }
        return Ok(Done::Well);
    }
    if plan.held.is_some() && !consent.allow_deletes {
        return Err(Error::new("nothing was changed: the plan is held").hint("--allow-deletes carries it out"));
    }
    // Without changes only the bytes differ: a new generation, and nothing that anyone could notice.
    if !consent.yes && !plan.is_empty() {
        context
            .terminal
            .confirm(&format!("Carry out this plan at {}?", client.gateway()))?;
    }
    let guarded = match guard.filter(|_| !plan.is_empty()) {
        Some(guard) => Some((guard, guard::before(&plan, guard, client, context).await?)),
        None => None,
    };
    let request = ApplyRequest {
        document: file.text()?.to_owned(),
        format: Some(DocumentFormat::from(file.format)),
        base_generation: Some(plan.base.generation.unwrap_or(0)),
        allow_deletes: consent.allow_deletes,
        who: context.surroundings.who.clone(),
        git_commit: context.surroundings.git_commit.clone(),
        rollback_to,
    };
    let outcome = client.apply(&request, consent.wait).await?;
    for note in &outcome.notes {
        context.terminal.note(&text::visible(note));
    }
    let mut answer = json!({"plan": plan, "outcome": outcome});
    if !json {
        context.terminal.answer(format!("\n{}\n", told(&outcome)))?;
        context.terminal.flush()?;
    }
    let mut done = Done::Well;
    if let Some((guard, guarded)) = guarded {
        let base = plan.base.generation.unwrap_or(0);
        let ended = guard::watch(&guarded, guard, base, &outcome, client, context).await?;
        if !ended.reasons.is_empty() {
            done = Done::No;
        }
        if json {
            answer["guard"] = json!(ended);
        } else {
            context.terminal.answer(guard_told(&ended))?;
        }
    }
    if json {
        context.terminal.answer_json(&answer)?;
    }
    Ok(done)
}

fn guard_told(ended: &guard::Ended) -> String {
    let (Some(base), Some(generation)) = (ended.rolled_back_to, ended.generation) else {
        return "Guard: nothing that changed has failed.\n".to_owned();
    };
    let reasons = ended
        .reasons
        .iter()
        .map(|reason| format!("  {}\n", text::visible(reason)));
    format!(
        "Rolled back: generation {base} runs again, as generation {generation}.\n{}",
        reasons.collect::<String>()
    )
}

/// `Apply complete! Generation 7: 1 added, 2 changed, 0 replaced, 1 deleted.`
fn told(outcome: &ApplyOutcome) -> String {
    match (&outcome.generation, outcome.made) {
        (Some(generation), true) => format!(
            "Apply complete! Generation {}: {}.",
            generation.number,
            outcome.summary.done()
        ),
        (Some(generation), false) => format!(
            "Nothing was to be done: generation {} runs this document.",
            generation.number
        ),
        (None, _) => "Nothing was to be done.".to_owned(),
    }
}
