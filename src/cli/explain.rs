//! `openclaw explain`

use clap::Args;
use serde_json::json;

use super::{Context, Done, Error, document, table::Table};

/// Explain the code of a diagnostic
///
/// Tells what it means and how to mend it. Without a code: lists them all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw explain OC102
  openclaw explain")]
pub(crate) struct Arguments {
    /// The code, as it stands before the message
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let terminal = &mut context.terminal;
    let Some(code) = &arguments.code else {
        let codes = document::codes();
        if terminal.json {
            let codes: Vec<_> = codes
                .iter()
                .map(|(code, title)| json!({"code": code, "title": title}))
                .collect();
            terminal.answer_json(&codes)?;
        } else {
            let mut table = Table::default();
            for (code, title) in &codes {
                table.row([code, title]);
            }
            terminal.answer(table.render())?;
        }
        return Ok(Done::Well);
    };
    let code = code.to_ascii_uppercase();
    let (title, explanation) = document::explain(&code)
        .ok_or_else(|| Error::new(format!("there is no code {code}")).hint("`openclaw explain` lists them all"))?;
    if terminal.json {
        terminal.answer_json(&json!({"code": code, "title": title, "explanation": explanation}))?;
    } else {
        terminal.answer(format!("{code}: {title}\n\n{explanation}\n"))?;
    }
    Ok(Done::Well)
}
