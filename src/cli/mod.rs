//! The commands: one file each. Answers go to stdout, everything else to stderr.
//!
//! A command gets a [`Context`] and returns what the process ends with, or an [`Error`] that is printed here, once.

mod apply;
mod completions;
mod dead;
mod document;
mod edit;
mod error;
mod events;
mod explain;
mod export;
mod foreign;
mod guard;
mod history;
mod init;
mod listen;
mod local;
mod made;
mod plan;
mod replay;
mod rollback;
mod run;
mod schema;
mod show;
mod signature;
mod source;
mod status;
mod store;
mod surroundings;
mod table;
mod target;
mod terminal;
mod time;
mod validate;
mod webhooks;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::clock::{SharedClock, SystemClock};
use error::Error;
use surroundings::Surroundings;
use terminal::Terminal;

/// How a process ends that did what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// 0.
    Well,
    /// 1: the command ran, and its answer is no (an invalid document, a condition that does not hold).
    No,
    /// 2: there are changes (`plan --detailed-exitcode`).
    Changes,
}

/// What a command needs of the world around it.
struct Context {
    global: Global,
    terminal: Terminal,
    surroundings: Surroundings,
    clock: SharedClock,
}

/// The webhook gateway of an OpenClaw assistant: one document in, signed deliveries out.
#[derive(Debug, Parser)]
#[command(
    name = "openclaw",
    version,
    disable_help_subcommand = true,
    after_help = "Examples:
  openclaw init                 write a first document
  openclaw run                  start the gateway with ./openclaw.yaml
  openclaw validate             check the document
  openclaw plan                 show what the document would change
  openclaw apply                make the gateway converge to the document

The document: --config, or the first of ./openclaw.{yaml,yml,json,json5},
$OPENCLAW_STATE_DIR/openclaw.yaml and ~/.openclaw/openclaw.yaml.

Exit codes: 0 done, 1 error, 2 only as `openclaw plan --help` says."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The document
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "OPENCLAW_CONFIG",
        hide_env_values = true,
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    config: Option<PathBuf>,
    /// The gateway's API: http://HOST:PORT, https://HOST:PORT or unix:PATH. Default: the document's `admin.listen`, and
    /// where nothing answers there, document and local store. The token is read from OPENCLAW_ADMIN_TOKEN
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "OPENCLAW_GATEWAY",
        hide_env_values = true
    )]
    gateway: Option<String>,
    /// How to answer
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t)]
    output: OutputForm,
    /// The same as --output json
    #[arg(long, global = true)]
    json: bool,
    /// No colours (also: NO_COLOR, or when stdout is no terminal)
    #[arg(long, global = true)]
    no_color: bool,
    /// Say more: which document, which gateway; -vv for the gateway's debug log
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

impl Global {
    /// A variable that is empty counts as unset, as in documents; what was typed is taken as it is.
    fn forget_empty_variables(&mut self, matches: &ArgMatches) {
        let of_variable = |flag| matches.value_source(flag) == Some(ValueSource::EnvVariable);
        if of_variable("config") {
            self.config.take_if(|path| path.as_os_str().is_empty());
        }
        if of_variable("gateway") {
            self.gateway.take_if(|url| url.trim().is_empty());
        }
    }

    fn json(&self) -> bool {
        self.json || self.output == OutputForm::Json
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum OutputForm {
    /// For people
    #[default]
    Text,
    /// One JSON document on stdout
    Json,
}

/// The help of each command stands at its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Arguments),
    Run(run::Arguments),
    Validate(validate::Arguments),
    Explain(explain::Arguments),
    Schema(schema::Arguments),
    Plan(plan::Arguments),
    Show(show::Arguments),
    Apply(apply::Arguments),
    Status(status::Arguments),
    History(history::Arguments),
    Export(export::Arguments),
    Rollback(rollback::Arguments),
    Webhooks(webhooks::Arguments),
    Events(events::Arguments),
    Dead(dead::Arguments),
    Replay(replay::Arguments),
    Listen(listen::Arguments),
    Signature(signature::Arguments),
    Store(store::Arguments),
    Completions(completions::Arguments),
    Man(completions::Man),
}

impl Cli {
    fn parsed() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let cli = Self::from_arg_matches(&matches);
        let mut cli = cli.map_err(|error| error.format(&mut Self::command()))?;
        cli.global.forget_empty_variables(&matches);
        Ok(cli)
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Err(error) = foreign::hand_over(&arguments) {
        Terminal::of_process(&Global::default()).error(&error);
        return ExitCode::FAILURE;
    }
    let cli = match Cli::parsed() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads: a broken pipe is no error.
            let _ = error.print();
            if error.use_stderr() && wants_json(&arguments) {
                say_in_json(&error);
            }
            return ExitCode::from(usage_code(&error));
        }
    };
    let terminal = Terminal::of_process(&cli.global);
    let surroundings = Surroundings::of_process();
    let mut context = Context {
        global: cli.global,
        terminal,
        surroundings,
        clock: std::sync::Arc::new(SystemClock),
    };
    ExitCode::from(conclude(&cli.command, &mut context))
}

/// Help and version are answers. clap's own code for a usage error is 2, which here means "changes".
fn usage_code(error: &clap::Error) -> u8 {
    u8::from(error.use_stderr())
}

/// Of a command line that could not be read.
fn wants_json(arguments: &[OsString]) -> bool {
    let is = |at: usize, word: &str| arguments.get(at).is_some_and(|found| found == word);
    (0..arguments.len())
        .any(|at| is(at, "--json") || is(at, "--output=json") || (is(at, "--output") && is(at + 1, "json")))
}

/// A usage error as the others are told: clap's tips are its hints.
fn usage_error(error: &clap::Error) -> Error {
    let text = error.to_string();
    let mut lines = text.lines();
    let message = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let tips = lines.filter_map(|line| line.trim().strip_prefix("tip: "));
    tips.fold(Error::new(message), Error::hint)
}

/// A usage error, on stdout as on stderr.
fn say_in_json(error: &clap::Error) {
    let global = Global {
        json: true,
        ..Global::default()
    };
    let mut terminal = Terminal::of_process(&global);
    let _ = terminal
        .answer_json(&usage_error(error).json())
        .and_then(|()| terminal.flush());
}

/// Runs a command to its end and returns the exit code.
fn conclude(command: &Command, context: &mut Context) -> u8 {
    let ended = dispatch(command, context).and_then(|done| context.terminal.flush().map(|()| done));
    match ended {
        Ok(Done::Well) | Err(Error::BrokenPipe) => 0,
        Ok(Done::No) => 1,
        Ok(Done::Changes) => 2,
        Err(error) => {
            // What was answered so far comes first.
            let _ = context.terminal.flush();
            context.terminal.error(&error);
            1
        }
    }
}

fn dispatch(command: &Command, context: &mut Context) -> Result<Done, Error> {
    match command {
        Command::Init(arguments) => init::run(arguments, context),
        Command::Run(arguments) => run::run(arguments, context),
        Command::Validate(arguments) => validate::run(arguments, context),
        Command::Explain(arguments) => explain::run(arguments, context),
        Command::Schema(arguments) => schema::run(arguments, context),
        Command::Show(arguments) => show::run(arguments, context),
        Command::Plan(arguments) => block_on(plan::run(arguments, context)),
        Command::Apply(arguments) => block_on(apply::run(arguments, context)),
        Command::Status(arguments) => block_on(status::run(arguments, context)),
        Command::History(arguments) => block_on(history::run(arguments, context)),
        Command::Export(arguments) => block_on(export::run(arguments, context)),
        Command::Rollback(arguments) => block_on(rollback::run(arguments, context)),
        Command::Webhooks(arguments) => block_on(webhooks::run(arguments, context)),
        Command::Listen(arguments) => block_on(listen::run(arguments, context)),
        Command::Events(arguments) => block_on(events::run(arguments, context)),
        Command::Dead(arguments) => block_on(dead::run(arguments, context)),
        Command::Replay(arguments) => block_on(replay::run(arguments, context)),
        Command::Store(arguments) => block_on(store::run(arguments, context)),
        Command::Signature(arguments) => signature::run(arguments, context),
        Command::Completions(arguments) => completions::run(arguments, context),
        Command::Man(arguments) => completions::man(arguments, context),
    }
}

fn block_on(command: impl Future<Output = Result<Done, Error>>) -> Result<Done, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Error::new(format!("cannot start: {error}")))?
        .block_on(command)
}
