//! `openclaw completions`, `openclaw man`: of the same definitions as the help.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, ValueEnum};

use super::{Cli, Context, Done, Error, document};
use crate::document::Address;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw completions bash > /etc/bash_completion.d/openclaw
  openclaw completions zsh > \"${fpath[1]}/_openclaw\"
  openclaw completions fish > ~/.config/fish/completions/openclaw.fish

In bash the names of webhooks complete too: those of the document in the usual places.")]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL", required_unless_present = "names")]
    shell: Option<Shell>,
    /// The names of the document's webhooks, a line each: what the script in bash asks for
    #[arg(long, hide = true)]
    names: bool,
}

/// Completes a webhook's name where a command takes one first; everything else is as it was generated.
const NAMES_IN_BASH: &str = r#"
_openclaw_or_names() {
    _openclaw "$@"
    local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[*]:1:COMP_CWORD-1}"
    local takes_a_name='(webhooks (show|set-inbound|update|test|logs|pause|resume|delete)|replay|dead (list|purge))$'
    if [[ "${current}" != -* && "${before}" =~ ${takes_a_name} ]]; then
        COMPREPLY=( $(compgen -W "$("$1" completions --names 2>/dev/null)" -- "${current}") )
    fi
}
complete -F _openclaw_or_names -o bashdefault -o default openclaw
"#;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let mut text = Vec::new();
    let mut generate = |shell| clap_complete::generate(shell, &mut Cli::command(), "openclaw", &mut text);
    match arguments.shell {
        None => text = names(context).into_bytes(),
        Some(Shell::Zsh) => generate(clap_complete::Shell::Zsh),
        Some(Shell::Fish) => generate(clap_complete::Shell::Fish),
        Some(Shell::Bash) => {
            generate(clap_complete::Shell::Bash);
            text.extend_from_slice(NAMES_IN_BASH.as_bytes());
        }
    }
    context.terminal.answer(text)?;
    Ok(Done::Well)
}

/// A document that is not there, or broken, has no names: a shell that completes shows no errors.
fn names(context: &Context) -> String {
    let file = context.surroundings.read(context.global.config.as_deref());
    let desired = file.ok().and_then(|file| {
        let loaded = document::load(&file);
        loaded.desired.or(loaded.sketch)
    });
    let addresses = desired.iter().flat_map(|desired| desired.resources.keys());
    let names = addresses.filter_map(|address| match address {
        Address::Inbound(name) | Address::Outbound(name) => Some(format!("{name}\n")),
        _ => None,
    });
    names.collect()
}

/// Print the man page, or write one for each command
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw man | man -l -
  openclaw man --out /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn man(arguments: &Man, context: &mut Context) -> Result<Done, Error> {
    let root = Cli::command();
    match &arguments.out {
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(root).render(&mut page);
            rendered.map_err(|error| Error::new(error.to_string()))?;
            context.terminal.answer(page)?;
        }
        // openclaw.1, openclaw-webhooks.1, openclaw-webhooks-list.1, ...
        Some(directory) => {
            let directory = context.surroundings.directory.join(directory);
            clap_mangen::generate_to(root, &directory).map_err(|error| Error::file("write", &directory, &error))?;
        }
    }
    Ok(Done::Well)
}
