//! `openclaw validate`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Context, Done, Error, document, document::Loaded, surroundings::DocumentFile};

/// Check a document
///
/// Lists everything that is wrong with it, without a gateway. The form of references to secrets is checked; with
/// --resolve also that each of them resolves here.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw validate
  openclaw validate -f staging.yaml --deny-warnings
  openclaw validate --format github      annotations of a pull request
  openclaw validate --resolve            where the secrets are

Exit codes: 0 valid, 1 not valid (with --deny-warnings: or a warning).")]
pub(crate) struct Arguments {
    /// The document, instead of --config
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to print what is found
    #[arg(long, value_name = "FORM", value_enum)]
    format: Option<Form>,
    /// A warning makes the document invalid
    #[arg(long)]
    deny_warnings: bool,
    /// Check that every reference to a secret or file resolves here
    #[arg(long)]
    resolve: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// GitHub's annotations
    Github,
    /// SARIF 2.1.0
    Sarif,
}

pub(crate) fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let named = arguments.file.as_deref().or(context.global.config.as_deref());
    let file = context.surroundings.read(named)?;
    let mut loaded = document::load(&file);
    if let (true, Some(desired)) = (arguments.resolve, &loaded.desired) {
        loaded.diagnostics.extend(document::unresolved(desired, &file));
    }
    let (errors, warnings) = loaded.count();
    let valid = loaded.desired.is_some() && errors == 0 && !(arguments.deny_warnings && warnings > 0);
    let form = arguments
        .format
        .unwrap_or(if context.terminal.json { Form::Json } else { Form::Text });
    let terminal = &mut context.terminal;
    match form {
        Form::Text => {
            // What is wrong is the answer; that it is wrong is the exit code.
            let text = text(&loaded, &file, valid, terminal.colour);
            terminal.answer(text)?;
        }
        Form::Json => {
            let (path, found) = (file.name(), loaded.rows());
            terminal.answer_json(
                &json!({"path": path, "valid": valid, "errors": errors, "warnings": warnings, "diagnostics": found}),
            )?;
        }
        Form::Github | Form::Sarif => {
            terminal.answer(document::annotations(&loaded.diagnostics, form == Form::Sarif))?;
        }
    }
    Ok(if valid { Done::Well } else { Done::No })
}

fn text(loaded: &Loaded, file: &DocumentFile, valid: bool, colour: bool) -> String {
    let mut out = document::shown(&loaded.diagnostics, colour);
    let (errors, warnings) = loaded.count();
    let say = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let verdict = match (valid, errors + warnings) {
        (true, 0) => "valid".to_owned(),
        (true, _) => format!("valid, {}", say(warnings, "warning")),
        (false, _) => format!("not valid: {}, {}", say(errors, "error"), say(warnings, "warning")),
    };
    out.extend([&file.name(), ": ", &verdict, "\n"]);
    out
}
