//! Flags for the fields of the table: `--retry-delay` is `retryDelay`, `--tls-cert` is `tls.cert`.

use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::cli::Error;
use crate::document::edit::FieldPath;
use crate::document::{Field, Kind, Value, fields};

/// One flag.
struct Flag {
    name: String,
    path: FieldPath,
    inbound: Option<&'static Field>,
    outbound: Option<&'static Field>,
}

impl Flag {
    /// The field, as a command of these sides knows it; `None`: it has no such flag.
    fn field<F: Fields>(&self) -> Option<&'static Field> {
        let inbound = self.inbound.filter(|_| F::INBOUND);
        inbound.or_else(|| self.outbound.filter(|_| F::OUTBOUND))
    }

    fn help<F: Fields>(&self) -> String {
        let bare = |field: &'static Field| field.help.trim_end_matches('.');
        match (
            self.inbound.filter(|_| F::INBOUND),
            self.outbound.filter(|_| F::OUTBOUND),
        ) {
            (Some(inbound), Some(outbound)) if inbound.help != outbound.help => {
                format!("Inbound: {}. Outbound: {}", bare(inbound), bare(outbound))
            }
            (Some(field), _) | (None, Some(field)) => bare(field).to_owned(),
            (None, None) => String::new(),
        }
    }
}

/// Every flag of both sides; a field that both have is one flag.
static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
    let mut flags: Vec<Flag> = Vec::new();
    for side in ["inbound", "outbound"] {
        let section = fields::section(side).expect("the table has both sides");
        for (path, field) in fields::walk(section.fields) {
            let top = path.split('.').next().and_then(|top| section.field(top));
            if matches!(field.kind, Kind::Object(_)) || top.is_some_and(|top| !top.is_supported()) {
                continue;
            }
            let name = flag_name(&path);
            match flags.iter_mut().find(|flag| flag.name == name) {
                Some(flag) => flag.outbound = Some(field),
                None => flags.push(Flag {
                    name,
                    path: path.split('.').map(str::to_owned).collect(),
                    inbound: (side == "inbound").then_some(field),
                    outbound: (side == "outbound").then_some(field),
                }),
            }
        }
    }
    flags
});

/// `retryDelay` -> `retry-delay`; maps are given one member at a time: `labels` -> `label`.
fn flag_name(path: &str) -> String {
    if let "labels" | "headers" = path {
        return path[..path.len() - 1].to_owned();
    }
    let mut name = String::new();
    for c in path.chars() {
        match c {
            '.' => name.push('-'),
            c if c.is_ascii_uppercase() => name.extend(['-', c.to_ascii_lowercase()]),
            c => name.push(c),
        }
    }
    name
}

/// The flag of a field, as it is typed.
pub(crate) fn shown(field: &str) -> String {
    format!("--{}", flag_name(field))
}

/// Which fields a command has flags for.
pub(crate) trait Fields {
    const INBOUND: bool;
    const OUTBOUND: bool;
}

/// Of inbound webhooks.
#[derive(Debug, Clone)]
pub(crate) struct Inbound;
/// Of outbound webhooks.
#[derive(Debug, Clone)]
pub(crate) struct Outbound;
/// Of both.
#[derive(Debug, Clone)]
pub(crate) struct Both;

impl Fields for Inbound {
    const INBOUND: bool = true;
    const OUTBOUND: bool = false;
}

impl Fields for Outbound {
    const INBOUND: bool = false;
    const OUTBOUND: bool = true;
}

impl Fields for Both {
    const INBOUND: bool = true;
    const OUTBOUND: bool = true;
}

/// Values that were given for fields.
#[derive(Clone)]
pub(crate) struct FieldFlags<F> {
    given: Vec<(FieldPath, Value)>,
    unset: Vec<FieldPath>,
    /// Fields whose literal secrets are now in the document.
    literals: Vec<&'static str>,
    fields: std::marker::PhantomData<F>,
}

impl<F> std::fmt::Debug for FieldFlags<F> {
    /// Without the values: some are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.given.iter().map(|(path, _)| path)).finish()
    }
}

impl<F: Fields> FieldFlags<F> {
    /// Whether no field is to change.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.unset.is_empty()
    }

    /// Whether a field is given a value.
    pub(crate) fn gives(&self, field: &str) -> bool {
        self.given.iter().any(|(path, _)| path[0] == field)
    }

    /// The value that is given for a field.
    pub(crate) fn value(&self, field: &str) -> Option<&Value> {
        self.given
            .iter()
            .find(|(path, _)| path.len() == 1 && path[0] == field)
            .map(|(_, value)| value)
    }

    /// The fields that are given a value.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.given.iter().map(|(path, _)| &*path[0])
    }

    /// Fields whose literal secrets are now in the document.
    pub(crate) fn literals(&self) -> &[&'static str] {
        &self.literals
    }

    /// The changes for one side.
    ///
    /// # Errors
    /// A field that the side does not have.
    pub(crate) fn changes(&self, side: &str) -> Result<Vec<(FieldPath, Option<Value>)>, Error> {
        let section = fields::section(side).expect("inbound or outbound");
        let all = (self
            .given
            .iter()
            .map(|(path, value)| (path.clone(), Some(value.clone()))))
        .chain(self.unset.iter().map(|path| (path.clone(), None)));
        let mut changes: Vec<_> = all.collect();
        // New fields are written in the order of the table.
        changes.sort_by_key(|(path, _)| section.fields.iter().position(|field| field.name == path[0]));
        for (path, _) in &changes {
            if section.field(&path[0]).is_none() {
                let other = if side == "inbound" { "outbound" } else { "inbound" };
                return Err(
                    Error::new(format!("{} does not fit an {side} webhook", shown(&path[0])))
                        .hint(format!("only {other} webhooks have `{}`", path[0])),
                );
            }
        }
        Ok(changes)
    }
}

impl<F: Fields> Args for FieldFlags<F> {
    fn augment_args(command: Command) -> Command {
        let mut command = command.next_help_heading("Fields");
        for flag in FLAGS.iter() {
            if let Some(field) = flag.field::<F>() {
                command = command.arg(argument(flag, field).help(flag.help::<F>()));
            }
        }
        command.arg(
            Arg::new("unset")
                .long("unset")
                .value_name("FIELD")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .help("Take a field out of the document, such as retries or tls.ca; may be given more than once"),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(flag: &'static Flag, field: &'static Field) -> Arg {
    let arg = Arg::new(&*flag.name).long(&*flag.name);
    match &field.kind {
        Kind::Bool => arg
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(["true", "false"]),
        Kind::ObjectOrFalse(_) => arg.value_name("false").require_equals(true).value_parser(["false"]),
        Kind::Integer { .. } => arg.value_name("NUMBER").allow_hyphen_values(true),
        Kind::Decimal { .. } => arg.value_name("DECIMAL"),
        Kind::Duration { .. } => arg.value_name("MS|DURATION"),
        Kind::Choice { now, .. } => arg
            .value_name("WORD")
            .value_parser(clap::builder::PossibleValuesParser::new(*now)),
        Kind::Secret => arg.value_name("env:NAME|file:PATH|TEXT").action(ArgAction::Append),
        Kind::List(_) | Kind::Set(_) => arg.value_name("A,B").value_delimiter(',').action(ArgAction::Append),
        Kind::Headers | Kind::Labels => arg.value_name("NAME=TEXT").action(ArgAction::Append),
        Kind::Jwks => arg.value_name("url:URL|file:PATH"),
        _ => arg.value_name("TEXT"),
    }
}

impl<F: Fields> FromArgMatches for FieldFlags<F> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self {
            given: Vec::new(),
            unset: Vec::new(),
            literals: Vec::new(),
            fields: std::marker::PhantomData,
        };
        for flag in FLAGS.iter() {
            let Some(field) = flag.field::<F>() else { continue };
            let Some(texts) = matches.get_many::<String>(&flag.name) else {
                continue;
            };
            let texts: Vec<&str> = texts.map(String::as_str).collect();
            if let Kind::Headers | Kind::Labels = field.kind {
                for text in texts {
                    let (name, value) = text
                        .split_once('=')
                        .filter(|(name, _)| !name.is_empty())
                        .ok_or_else(|| usage(format!("--{}: write NAME=TEXT\n", flag.name)))?;
                    let path = [flag.path.clone(), vec![name.to_owned()]].concat();
                    flags.given.push((path, Value::text(value)));
                }
                continue;
            }
            if let Kind::Secret = field.kind
                && field.sensitive
                && texts.iter().any(|text| is_literal(text))
            {
                flags.literals.push(field.name);
            }
            flags.given.push((flag.path.clone(), value(&field.kind, &texts)));
        }
        for field in matches.get_many::<String>("unset").into_iter().flatten() {
            flags.unset.push(unset::<F>(field)?);
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn usage(text: String) -> clap::Error {
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, text)
}

/// `retries`, `tls.ca`, `labels.team`, `retry-delay`.
fn unset<F: Fields>(text: &str) -> Result<FieldPath, clap::Error> {
    let known = |name: &str| {
        ["inbound", "outbound"].into_iter().find_map(|side| {
            let wanted = (side == "inbound" && F::INBOUND) || (side == "outbound" && F::OUTBOUND);
            fields::section(side)
                .filter(|_| wanted)
                .and_then(|section| section.field(name))
        })
    };
    let (top, rest) = text
        .split_once('.')
        .map_or((text, None), |(top, rest)| (top, Some(rest)));
    if known(top).is_some() {
        // What follows may be a label's name, dots and all.
        return Ok(std::iter::once(top).chain(rest).map(str::to_owned).collect());
    }
    let flag = FLAGS
        .iter()
        .find(|flag| flag.name == text && flag.field::<F>().is_some());
    flag.map(|flag| flag.path.clone())
        .ok_or_else(|| usage(format!("--unset: there is no field `{text}`\n")))
}

fn is_literal(text: &str) -> bool {
    !text.starts_with("env:") && !text.starts_with("file:") && !crate::document::reference::has_reference(text)
}

/// What was typed, as the document says it.
fn value(kind: &'static Kind, texts: &[&str]) -> Value {
    match kind {
        Kind::Secret if texts.len() > 1 => Value::List(texts.iter().map(|text| secret(text)).collect()),
        Kind::Secret => secret(texts[0]),
        Kind::List(inner) | Kind::Set(inner) => {
            let items = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
            Value::List(items.map(|text| scalar(inner, text)).collect())
        }
        Kind::Jwks => match texts[0].split_once(':') {
            Some((way @ ("file" | "url"), rest)) => Value::Map([(way.into(), Value::text(rest))].into()),
            _ => Value::Map([("url".into(), Value::text(texts[0]))].into()),
        },
        kind => scalar(kind, texts[0]),
    }
}

fn secret(text: &str) -> Value {
    match text.split_once(':') {
        Some((way @ ("env" | "file"), rest)) => Value::Map([(way.into(), Value::text(rest))].into()),
        _ => Value::text(text),
    }
}

/// What does not read as its kind stays text: the check of the document says what is wrong with it.
fn scalar(kind: &'static Kind, text: &str) -> Value {
    let whole = || text.parse().ok().map(Value::Integer);
    let read = match kind {
        Kind::Bool | Kind::ObjectOrFalse(_) => text.parse().ok().map(Value::Bool),
        Kind::Integer { .. } | Kind::Duration { .. } | Kind::Form(fields::Form::StatusCode) => whole(),
        Kind::Decimal { .. } => {
            let plain =
                text.parse::<f64>().is_ok_and(f64::is_finite) && !text.starts_with(['+', '.']) && !text.ends_with('.');
            plain.then(|| Value::Decimal(text.into()))
        }
        _ => None,
    };
    read.unwrap_or_else(|| Value::text(text))
}
