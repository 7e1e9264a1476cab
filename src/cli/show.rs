//! `openclaw show`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Context, Done, Error, plan::Form};
use crate::admin::wire::PlanDocument;
use crate::plan::saved;

/// Show a saved plan
///
/// The one that `openclaw plan --out` saved, stale or not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw show plan.json
  openclaw show plan.json --format markdown")]
pub(crate) struct Arguments {
    /// The saved plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// How to print the plan
    #[arg(long, value_name = "FORM", value_enum)]
    format: Option<Form>,
}

pub(crate) fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let plan = read(&context.surroundings.directory.join(&arguments.plan))?;
    let shown = Form::or_global(arguments.format, context).render(&plan, context.terminal.colour);
    context.terminal.answer(shown)?;
    Ok(Done::Well)
}

/// Reads a saved plan.
pub(crate) fn read(path: &Path) -> Result<PlanDocument, Error> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(saved::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)
        .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, bound), &mut bytes))
        .map_err(|error| Error::file("read", path, &error))?;
    saved::read(&bytes).map_err(|error| {
        let failed = Error::new(format!("{}: {error}", path.display()));
        match super::surroundings::format_of(path) {
            Ok(_) => failed.hint(format!(
                "to apply a document, write `openclaw apply -f {}`",
                path.display()
            )),
            Err(_) => failed,
        }
    })
}
