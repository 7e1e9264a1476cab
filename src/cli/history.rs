//! `openclaw history`

use clap::Args;

use super::{Context, Done, Error, local, table::Table, target::Target, time};
use crate::admin::wire::{Generation, Listing};
use crate::plan::Summary;

/// List the generations that were applied
///
/// Newest first: when, why, by whom, what changed. The last 100 are kept.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw history
  openclaw history --last 3 --json
  openclaw export --generation 6 | diff - openclaw.yaml")]
pub(crate) struct Arguments {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    last: u32,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let target = Target::find(None, context)?;
    let answer = target.client.generations(arguments.last, None).await;
    let listing = if let Some(listing) = target.or_local(answer, context)? {
        listing
    } else {
        let file = context.surroundings.read(context.global.config.as_deref())?;
        let items = match local::open(&file)? {
            Some(store) => local::generations(store.as_ref(), arguments.last).await?,
            None => Vec::new(),
        };
        Listing { items, next: None }
    };
    if context.terminal.json {
        context.terminal.answer_json(&listing)?;
    } else {
        context
            .terminal
            .answer(render(&listing.items, context.clock.now_ms()))?;
    }
    Ok(Done::Well)
}

/// The table.
pub(crate) fn render(generations: &[Generation], now_ms: i64) -> String {
    if generations.is_empty() {
        return "Nothing was ever applied.\n".to_owned();
    }
    let mut table = Table::default();
    table.row(["GENERATION", "APPLIED", "CAUSE", "WHO", "COMMIT", "SHA256", "CHANGES"]);
    for generation in generations {
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let commit = dash(&generation.git_commit);
        table.row([
            generation.number.to_string(),
            time::ago(now_ms, generation.at_ms),
            generation.cause.as_str().to_owned(),
            dash(&generation.who),
            commit.get(..12).unwrap_or(&commit).to_owned(),
            generation.sha256.get(..12).unwrap_or(&generation.sha256).to_owned(),
            Summary::from(generation.summary).done(),
        ]);
    }
    table.render()
}
