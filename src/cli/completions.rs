//! `openclaw completions`, `openclaw man`: of the same definitions as the help.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, ValueEnum};

use super::{Cli, Context, Done, Error};

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw completions bash > /etc/bash_completion.d/openclaw
  openclaw completions zsh > \"${fpath[1]}/_openclaw\"
  openclaw completions fish > ~/.config/fish/completions/openclaw.fish")]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let shell = match arguments.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "openclaw", &mut text);
    context.terminal.answer(text)?;
    Ok(Done::Well)
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
