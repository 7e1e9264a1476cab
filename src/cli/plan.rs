//! `openclaw plan`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{Context, Done, Error, document, local, surroundings::DocumentFile, target::Target, time};
use crate::admin::wire::{ImpactRequest, PlanDocument, PlanRequest};
use crate::document::Desired;
use crate::plan::render::{Base, DocumentRow, json, markdown, text};
use crate::plan::{Fingerprints, Observed, diff, saved};

/// Show what a document would change
///
/// Compares it with the running gateway, which also prepares everything that could fail, and throws it away. With no
/// gateway running: with the last applied generation.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw plan
  openclaw plan -f staging.yaml --gateway https://gateway.example.com:8791
  openclaw plan --out plan.json && openclaw apply plan.json
  openclaw plan --format markdown --write json=plan.json
  openclaw plan --against 6
  openclaw plan --impact --since 7d

Exit codes: 0 done, 1 error; with --detailed-exitcode 0 no changes, 1 error, 2 changes.")]
pub(crate) struct Arguments {
    /// The document, instead of --config
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Exit with 2 where there are changes
    #[arg(long)]
    detailed_exitcode: bool,
    /// How to print the plan
    #[arg(long, value_name = "FORM", value_enum)]
    format: Option<Form>,
    /// Write the plan to a file as well, such as json=plan.json; may be given more than once
    #[arg(long, value_name = "FORM=FILE", value_parser = parse_write)]
    write: Vec<(Form, PathBuf)>,
    /// Save the plan, for `openclaw apply PLAN` and `openclaw show PLAN`; it holds neither the document nor a secret
    #[arg(long, value_name = "PLAN")]
    out: Option<PathBuf>,
    /// Compare with a generation, or with another document, instead of what runs
    #[arg(long, value_name = "GENERATION|FILE")]
    against: Option<String>,
    /// Replay stored events through both documents: who got them, and who would
    #[arg(long)]
    impact: bool,
    /// Since when: 15m, 24h, 7d, or a time; at most 100,000 events, the newest
    #[arg(long, value_name = "WHEN", value_parser = time::Since::parse, default_value = "24h", requires = "impact")]
    since: time::Since,
}

/// A form in which a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Text,
    /// For programs: schema/plan.schema.json
    Json,
    /// For a comment on a pull request
    Markdown,
}

impl Form {
    /// The form that was asked for, or the one that the global flags mean.
    pub(crate) fn or_global(form: Option<Self>, context: &Context) -> Self {
        form.unwrap_or(if context.terminal.json { Self::Json } else { Self::Text })
    }

    /// The plan in this form.
    pub(crate) fn render(self, plan: &PlanDocument, colour: bool) -> String {
        match self {
            Self::Text => text::render(plan, colour),
            Self::Json => json::render(plan),
            Self::Markdown => markdown::render(plan),
        }
    }
}

fn parse_write(text: &str) -> Result<(Form, PathBuf), String> {
    let wrong = || "write text=FILE, json=FILE or markdown=FILE".to_owned();
    let (form, path) = text
        .split_once('=')
        .filter(|(_, path)| !path.is_empty())
        .ok_or_else(wrong)?;
    Ok((Form::from_str(form, false).map_err(|_| wrong())?, path.into()))
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let named = arguments.file.as_deref().or(context.global.config.as_deref());
    let file = context.surroundings.read(named)?;
    context.terminal.detail(&format!("document: {}", file.name()));
    let since_ms = arguments.impact.then(|| arguments.since.ms(context.clock.now_ms()));
    let plan = match arguments.against.as_deref() {
        Some(against) if against.parse::<u64>().is_err() => {
            let other = DocumentFile::read(context.surroundings.directory.join(against))?;
            let mut plan = compare(&other, &file, context)?;
            if let Some(since_ms) = since_ms {
                let store = local::open(&file)?.ok_or_else(|| local::no_store(&file))?;
                plan.impact = Some(local::impact(store.as_ref(), [meaning(&other)?, meaning(&file)?], since_ms).await?);
            }
            plan
        }
        against => {
            let against = against.and_then(|number| number.parse().ok());
            of_gateway(&file, against, since_ms, context).await?
        }
    };
    for (form, path) in &arguments.write {
        write(path, form.render(&plan, false).as_bytes())?;
    }
    if let Some(path) = &arguments.out {
        write(path, &saved::write(&plan))?;
        context.terminal.note(&format!(
            "saved the plan: `openclaw apply {}` carries it out",
            path.display()
        ));
    }
    let form = Form::or_global(arguments.format, context);
    let shown = form.render(&plan, context.terminal.colour);
    context.terminal.answer(shown)?;
    if let (true, Some(number), true) = (
        plan.is_empty(),
        plan.base.generation,
        plan.base.sha256 == Some(plan.document.sha256.clone()),
    ) {
        context
            .terminal
            .note(&format!("{} is already applied as generation {number}", file.name()));
    }
    let broken = plan.diagnostics.iter().any(|d| d.severity == "error");
    Ok(match (arguments.detailed_exitcode, plan.is_empty()) {
        _ if broken => Done::No,
        (true, false) => Done::Changes,
        _ => Done::Well,
    })
}

/// The gateway's plan; where none runs, the plan against the last applied generation.
async fn of_gateway(
    file: &DocumentFile,
    against: Option<u64>,
    since_ms: Option<i64>,
    context: &mut Context,
) -> Result<PlanDocument, Error> {
    let target = Target::find(Some(file), context)?;
    let request = PlanRequest {
        impact: since_ms.map(|since_ms| ImpactRequest {
            since: Some(time::exact(since_ms)),
        }),
        ..request(file, against, context)?
    };
    let answer = target.client.plan(&request).await;
    if let Some(plan) = target.or_local(answer, context)? {
        return Ok(plan);
    }
    let store = local::open(file)?;
    if against.is_some() {
        let store = store.ok_or_else(|| local::no_store(file))?;
        let (generation, bytes) = local::generation(store.as_ref(), against).await?;
        let other = DocumentFile { bytes, ..file.clone() };
        let mut plan = compare(&other, file, context)?;
        if let Some(since_ms) = since_ms {
            plan.impact = Some(local::impact(store.as_ref(), [meaning(&other)?, meaning(file)?], since_ms).await?);
        }
        plan.base = Base {
            generation: Some(generation.number),
            sha256: Some(generation.sha256),
        };
        return Ok(plan);
    }
    let plan = local::plan(store.as_deref(), file, row(file, context), since_ms).await?;
    context.terminal.note(&match plan.base.generation {
        Some(number) => format!("compared with generation {number}, the last that was applied"),
        None => "compared with nothing: no generation was ever applied".to_owned(),
    });
    Ok(plan)
}

/// What a gateway is asked: the document's bytes, unparsed.
pub(crate) fn request(file: &DocumentFile, against: Option<u64>, context: &Context) -> Result<PlanRequest, Error> {
    Ok(PlanRequest {
        document: Some(file.text()?.to_owned()),
        format: Some(file.format.into()),
        path: Some(file.name()),
        git_commit: context.surroundings.git_commit.clone(),
        candidate: None,
        impact: None,
        against,
    })
}

pub(crate) fn row(file: &DocumentFile, context: &Context) -> DocumentRow {
    DocumentRow {
        path: file.name(),
        sha256: file.sha256(),
        git_commit: context.surroundings.git_commit.clone(),
    }
}

/// Two documents against each other, without any gateway.
pub(crate) fn compare(before: &DocumentFile, after: &DocumentFile, context: &Context) -> Result<PlanDocument, Error> {
    let observed = Observed {
        desired: meaning(before)?,
        ..Observed::default()
    };
    let loaded = document::load(after);
    let Some(desired) = &loaded.desired else {
        return Err(local::broken(&loaded.rows()));
    };
    let plan = diff(&observed, desired, &Fingerprints::new());
    let base = Base {
        generation: None,
        sha256: Some(before.sha256()),
    };
    Ok(PlanDocument::new(&plan, base, row(after, context)).with_diagnostics(&loaded.diagnostics))
}

fn meaning(file: &DocumentFile) -> Result<Arc<Desired>, Error> {
    let loaded = document::load(file);
    let diagnostics = loaded.rows();
    loaded.desired.ok_or_else(|| local::broken(&diagnostics))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|error| Error::file("write", path, &error))
}
