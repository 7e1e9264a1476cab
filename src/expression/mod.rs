//! Filters and templates: parse, check, evaluate within a bound. A leaf: it knows neither events nor documents.
//!
//! The language is that of Jinja (the minijinja crate), without `include`, `import`, `extends` and macros: an expression
//! reaches nothing but what [`Seen`] gives it: no file, no variable of the environment, no clock, no randomness. The same
//! text over the same event always gives the same bytes.
//!
//! Bounds, each of which ends the evaluation with [`Error::Exceeded`] (`docs/formats.md` says them to users):
//!
//! | what | bound |
//! |---|---|
//! | text of an expression | [`MAX_TEXT_BYTES`] |
//! | steps, 64 bytes of text made or read counting as one ([`FUEL`]) | so also loops, repetition, `range`, `replace`, `tojson` |
//! | nesting of recursive loops | [`MAX_RECURSION`] |
//! | bytes of the event's JSON that are read, each level of nesting once | [`MAX_READ_BYTES`] |
//! | values that are made of them | [`MAX_VALUES`] |
//! | output | [`MAX_OUTPUT_BYTES`], or the caller's smaller one |
//!
//! A filter is lenient with what is missing (a chain through a missing member is undefined, and undefined equals nothing
//! and is false), since one filter sees events of many shapes. A template is strict: an undefined value may be tested
//! (`or`, `if`, `is defined`, `default`), but printing it, or looking into it, is an error that names it.

mod engine;
mod json;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use minijinja::{ErrorKind, Expression};

/// The longest text of a filter or template, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Steps of one evaluation. One instruction, or 64 bytes of text, is one step: about 20 ms at the most.
pub const FUEL: u64 = 300_000;
/// How deep loops may recurse.
pub const MAX_RECURSION: usize = 64;
/// Bytes of the event's JSON that one evaluation may read; every level of nesting that is looked into is read once.
pub const MAX_READ_BYTES: usize = 64 * 1024 * 1024;
/// Values that one evaluation may make of the event's JSON.
pub const MAX_VALUES: usize = 250_000;
/// The largest output of a template.
pub const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;

/// What a filter or template sees of an event.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// `event`: its name.
    pub event: &'a str,
    /// `id`: its id, the same in every delivery and attempt.
    pub id: &'a str,
    /// `timestamp`: RFC 3339, UTC, whole seconds.
    pub timestamp: &'a str,
    /// `source`: the inbound webhook that made it; undefined for events of the API and the gateway.
    pub source: Option<&'a str>,
    /// `data`: JSON, as it is stored.
    pub data: &'a str,
}

/// The names at the top of what is seen.
pub const NAMES: [&str; 5] = ["event", "id", "timestamp", "source", "data"];

/// Why a text is no expression, or why one could not be evaluated. Holds no value of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is longer than [`MAX_TEXT_BYTES`].
    #[error("it has {0} bytes; at most {MAX_TEXT_BYTES} are read")]
    TooLong(usize),
    /// The text cannot be read.
    #[error("{what}")]
    Syntax {
        /// What is wrong.
        what: String,
        /// Where, in bytes of the text.
        at: Range<usize>,
    },
    /// A name that is not seen.
    #[error("there is no `{name}`: an expression sees `event`, `id`, `timestamp`, `source` and `data`")]
    UnknownName {
        /// The name.
        name: String,
        /// Where, in bytes of the text.
        at: Range<usize>,
    },
    /// It failed on this event.
    #[error("line {line}: {what}")]
    Failed {
        /// From 1.
        line: usize,
        /// What went wrong.
        what: String,
    },
    /// A bound was reached.
    #[error("{0}")]
    Exceeded(&'static str),
}

impl Error {
    /// Where in the text, in bytes; `None`: as a whole.
    #[must_use]
    pub fn at(&self) -> Option<Range<usize>> {
        match self {
            Self::Syntax { at, .. } | Self::UnknownName { at, .. } => Some(at.clone()),
            _ => None,
        }
    }

    /// The name that is not seen.
    #[must_use]
    pub fn unknown_name(&self) -> Option<&str> {
        match self {
            Self::UnknownName { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// A condition on an event, checked: `data.chatId == "42" and "urgent" in data.message`.
#[derive(Clone)]
pub struct Filter(Arc<Expression<'static, 'static>>);

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

impl Filter {
    /// Reads and checks a filter.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Self, Error> {
        engine::check_length(text)?;
        let expression = engine::FILTERS
            .compile_expression_owned(text.to_owned())
            .map_err(|error| syntax(&error, text))?;
        engine::check_names(&expression.undeclared_variables(false), text, false)?;
        Ok(Self(Arc::new(expression)))
    }

    /// The members of `data` that it looks at.
    #[must_use]
    pub fn members(&self) -> BTreeSet<String> {
        engine::members(&self.0.undeclared_variables(true))
    }

    /// Whether the event passes: `false`, nothing, 0, and what is empty or undefined do not.
    ///
    /// # Errors
    /// It failed on this event, or reached a bound.
    pub fn passes(&self, seen: &Seen<'_>) -> Result<bool, Error> {
        let (context, ledger) = json::context(seen);
        let result = self.0.eval(context).map_err(|error| failure(&error));
        ledger.check()?;
        result.map(|value| value.is_true())
    }
}

/// A text with values of an event in it, checked: `{{data.userName or data.user}}: {{data.message}}`.
///
/// Kept as its text, and compiled again for each evaluation: that takes microseconds, and 100,000 senders keep little.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Arc<str>);

impl fmt::Debug for Template {
    /// Not its text: a reference in it may have been filled in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template")
    }
}

impl Template {
    /// Reads and checks a template.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Self, Error> {
        engine::check_length(text)?;
        let template = engine::TEMPLATES
            .template_from_named_str("", text)
            .map_err(|error| syntax(&error, text))?;
        engine::check_names(&template.undeclared_variables(false), text, true)?;
        Ok(Self(text.into()))
    }

    /// The members of `data` that it looks at.
    #[must_use]
    pub fn members(&self) -> BTreeSet<String> {
        let template = engine::TEMPLATES.template_from_named_str("", &self.0);
        template.map_or_else(
            |_| BTreeSet::new(),
            |template| engine::members(&template.undeclared_variables(true)),
        )
    }

    /// The whole output.
    ///
    /// # Errors
    /// It failed on this event, or reached a bound: [`MAX_OUTPUT_BYTES`] among them.
    pub fn render(&self, seen: &Seen<'_>) -> Result<String, Error> {
        match self.written(seen, MAX_OUTPUT_BYTES)? {
            (text, false) => Ok(text),
            (_, true) => Err(Error::Exceeded("it makes more than 4 MiB")),
        }
    }

    /// The first `bytes` of the output, cut between characters.
    ///
    /// # Errors
    /// It failed on this event before that, or reached another bound.
    pub fn render_at_most(&self, seen: &Seen<'_>, bytes: usize) -> Result<String, Error> {
        self.written(seen, bytes.min(MAX_OUTPUT_BYTES)).map(|(text, _)| text)
    }

    /// The output up to a bound, and whether it went on.
    fn written(&self, seen: &Seen<'_>, bytes: usize) -> Result<(String, bool), Error> {
        let (context, ledger) = json::context(seen);
        let mut out = engine::Bounded::new(bytes);
        let result = engine::TEMPLATES
            .template_from_named_str("", &self.0)
            .and_then(|template| template.render_captured_to(context, &mut out).map(drop));
        ledger.check()?;
        let (text, cut) = out.into_text();
        match result {
            Err(_) if cut => Ok((text, true)),
            Err(error) => Err(failure(&error)),
            Ok(()) => Ok((text, cut)),
        }
    }
}

/// What the compiler says of a text.
fn syntax(error: &minijinja::Error, text: &str) -> Error {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    let at = error.range().unwrap_or(0..text.len());
    let (start, end) = (at.start.min(text.len()), at.end.min(text.len()));
    Error::Syntax { what, at: start..end }
}

/// What went wrong with an event: never a value of it.
fn failure(error: &minijinja::Error) -> Error {
    let detail = error.detail().unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::OutOfFuel => {
            return Error::Exceeded("it takes too long or makes too much: see the bounds in docs/formats.md");
        }
        ErrorKind::UndefinedError if detail.is_empty() => "a value is undefined".to_owned(),
        // It would show the numbers and texts themselves.
        ErrorKind::InvalidOperation if detail.starts_with("unable to calculate") => {
            "the calculation is not possible with these values".to_owned()
        }
        kind if detail.is_empty() => kind.to_string(),
        _ => detail.to_owned(),
    };
    let line = error.line().unwrap_or(1);
    Error::Failed { line, what }
}
