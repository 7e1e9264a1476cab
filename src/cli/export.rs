//! `openclaw export`

use clap::Args;
use serde_json::json;

use super::{Context, Done, Error, local, target::Target};

/// Print an applied document byte for byte
///
/// It holds literal secrets as they were written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw export > running.yaml
  openclaw export --generation 6 | diff - openclaw.yaml")]
pub(crate) struct Arguments {
    /// Which generation's; the one that runs where none is given
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let target = Target::find(None, context)?;
    let answer = target.client.document(arguments.generation).await;
    let (number, bytes) = if let Some(found) = target.or_local(answer, context)? {
        found
    } else {
        let store = local::open_described(context)?;
        let (generation, bytes) = local::generation(store.as_ref(), arguments.generation).await?;
        (generation.number, bytes)
    };
    if context.terminal.json {
        let text = String::from_utf8_lossy(&bytes);
        context
            .terminal
            .answer_json(&json!({"generation": number, "document": text}))?;
    } else {
        context.terminal.answer(bytes)?;
    }
    Ok(Done::Well)
}
