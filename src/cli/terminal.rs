//! Where answers, notes and errors go, and where consent comes from.

use std::io::{BufRead, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::{Error, Global};
use crate::plan::render::text::visible;

/// The process's streams.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the streams"
)]
pub(crate) struct Terminal {
    pub(crate) stdout: Box<dyn Write>,
    pub(crate) stderr: Box<dyn Write>,
    pub(crate) stdin: Box<dyn BufRead>,
    /// A person can be asked: stdin and stderr are terminals.
    pub(crate) interactive: bool,
    /// Colours on stdout.
    pub(crate) colour: bool,
    /// Colours on stderr.
    pub(crate) colour_notes: bool,
    /// Stdout holds one JSON document.
    pub(crate) json: bool,
    /// How often -v was given.
    pub(crate) verbose: u8,
}

impl Terminal {
    pub(crate) fn of_process(global: &Global) -> Self {
        let (stdout, stderr, stdin) = (std::io::stdout(), std::io::stderr(), std::io::stdin());
        // NO_COLOR, CLICOLOR, TERM=dumb and pipes are anstream's to judge.
        let colour = !global.no_color && AutoStream::choice(&stdout) != ColorChoice::Never;
        let colour_notes = !global.no_color && AutoStream::choice(&stderr) != ColorChoice::Never;
        Self {
            interactive: stdin.is_terminal() && stderr.is_terminal(),
            stdout: Box::new(std::io::BufWriter::new(stdout)),
            stderr: Box::new(stderr),
            stdin: Box::new(stdin.lock()),
            colour,
            colour_notes,
            json: global.json(),
            verbose: global.verbose,
        }
    }

    /// Prints an answer.
    pub(crate) fn answer(&mut self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        self.stdout
            .write_all(text.as_ref())
            .map_err(|error| output_error(&error))
    }

    /// Prints an answer as indented JSON.
    pub(crate) fn answer_json(&mut self, answer: &impl Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(answer).map_err(|error| Error::new(error.to_string()))?;
        text.push('\n');
        self.answer(text)
    }

    /// Hands over what was printed.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.stdout.flush().map_err(|error| output_error(&error))
    }

    /// Tells the person something beside the answer. Notes that nobody can read are lost, and that is no failure.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.stderr, "{text}");
    }

    /// Tells it only with -v.
    pub(crate) fn detail(&mut self, text: &str) {
        if self.verbose > 0 {
            self.note(text);
        }
    }

    /// Tells why the command failed.
    pub(crate) fn error(&mut self, error: &Error) {
        let lines: Vec<String> = error.to_string().lines().map(visible).collect();
        let head = self.paint(AnsiColor::Red, "error:");
        self.note(&format!("{head} {}", lines.join("\n")));
        if let Error::Failed { hints, .. } = error {
            for hint in hints {
                let head = self.paint(AnsiColor::Cyan, "hint:");
                self.note(&format!("{head} {}", visible(hint)));
            }
        }
        if self.json {
            // The command failed already: that its error cannot be printed changes nothing.
            let _ = self.answer_json(&error.json()).and_then(|()| self.flush());
        }
    }

    fn paint(&self, colour: AnsiColor, text: &str) -> String {
        let style: Style = colour.on_default().bold();
        if self.colour_notes {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Asks for consent; only `yes` is one.
    ///
    /// # Errors
    /// There is no person to ask, or the person says no.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<(), Error> {
        if !self.interactive {
            return Err(Error::new("nobody can be asked here: stdin or stderr is no terminal")
                .hint("look at the plan, then add --yes"));
        }
        self.flush()?;
        let _ = write!(self.stderr, "\n{question}\n  Only `yes` is taken as a yes: ");
        let _ = self.stderr.flush();
        let mut line = String::new();
        // A person types a few bytes; whatever else is there is no yes.
        let read = std::io::Read::take(&mut self.stdin, 1024).read_line(&mut line);
        match read {
            Ok(_) if line.trim() == "yes" => Ok(()),
            Ok(_) => Err(Error::new("nothing was changed: the answer was not `yes`")),
            Err(error) => Err(Error::new(format!(
                "nothing was changed: the answer could not be read: {error}"
            ))),
        }
    }
}

fn output_error(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Error::BrokenPipe,
        _ => Error::new(format!("cannot write to stdout: {error}")),
    }
}
