//! What all filters and templates share: the language without everything that reaches outside, and the bounds.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::LazyLock;

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior};

use super::json::Node;
use super::{Error, FUEL, MAX_RECURSION, MAX_TEXT_BYTES, NAMES, words};

/// Lenient: see the room's page.
pub(super) static FILTERS: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Chainable));
/// Strict: see the room's page.
pub(super) static TEMPLATES: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::SemiStrict));

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(print);
    // Ranges of bytes for errors.
    environment.set_debug(true);
    // It would print everything that is seen.
    environment.remove_global("debug");
    environment.add_filter("tojson", to_json);
    environment
}

pub(super) fn check_length(text: &str) -> Result<(), Error> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Error::TooLong(text.len()));
    }
    Ok(())
}

/// A name at the top that is not seen, a filter or test that there is not: slips, and errors before any event comes.
/// `tags`: the text is one with `{{…}}` and `{%…%}` in it, not one expression.
pub(super) fn check_names(names: &HashSet<String>, text: &str, tags: bool) -> Result<(), Error> {
    let known = |name: &str| NAMES.contains(&name) || TEMPLATES.globals().any(|(global, _)| global == name);
    let words = words::of(text, tags);
    let unknown = names.iter().filter(|name| !known(name));
    let misplaced = unknown.map(|name| {
        let word = words
            .iter()
            .find(|word| word.text == name && word.role == words::Role::Name);
        let start = word.map_or(0, |word| word.at);
        (start, name)
    });
    if let Some((start, name)) = misplaced.min() {
        return Err(Error::UnknownName {
            at: start..(start + name.len()).min(text.len()),
            name: name.clone(),
        });
    }
    for word in &words {
        let (kind, there) = match word.role {
            words::Role::Filter => ("filter", is_known("filter", word.text)),
            words::Role::Test => ("test", is_known("test", word.text)),
            words::Role::Name | words::Role::Other => continue,
        };
        if !there {
            return Err(Error::Syntax {
                what: format!("there is no {kind} `{}`", word.text),
                at: word.at..word.at + word.text.len(),
            });
        }
    }
    Ok(())
}

/// The members of `data` among dotted names.
pub(super) fn members(names: &HashSet<String>) -> BTreeSet<String> {
    let member = |name: &String| Some(name.strip_prefix("data.")?.split('.').next()?.to_owned());
    names.iter().filter_map(member).collect()
}

/// Whether the language has a filter or test of this name.
fn is_known(kind: &str, name: &str) -> bool {
    let asked = FILTERS
        .compile_expression(if kind == "filter" {
            "name is filter"
        } else {
            "name is test"
        })
        .and_then(|question| question.eval(minijinja::context! { name => name }));
    asked.is_ok_and(|answer| answer.is_true())
}

/// Texts print as they are, everything else as JSON.
fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    if let Some(text) = value.as_str() {
        out.write_str(text)?;
        return Ok(());
    }
    match value.kind() {
        ValueKind::None => out.write_str("null")?,
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" })?,
        ValueKind::Number | ValueKind::Undefined => minijinja::escape_formatter(out, state, value)?,
        _ => out.write_str(&to_json(state, value)?)?,
    }
    Ok(())
}

/// `tojson`: compact, members in their order, nothing escaped that JSON does not escape. What is still as the event has it
/// is printed as it came, to the digit.
fn to_json(state: &State<'_, '_>, value: &Value) -> Result<String, minijinja::Error> {
    let mut out = String::new();
    write_json(state, value, &mut out, 0)?;
    Ok(out)
}

fn write_json(state: &State<'_, '_>, value: &Value, out: &mut String, depth: usize) -> Result<(), minijinja::Error> {
    let wrong = |what: &'static str| minijinja::Error::new(ErrorKind::InvalidOperation, what);
    let before = out.len();
    if let Some(node) = value.downcast_object_ref::<Node>() {
        let text = node.text();
        pay(state, text.len())?;
        out.push_str(text);
        return Ok(());
    }
    if depth > 128 {
        return Err(wrong("cannot make JSON of more than 128 levels"));
    }
    match value.kind() {
        ValueKind::Undefined => {
            return Err(minijinja::Error::new(
                ErrorKind::UndefinedError,
                "cannot make JSON of an undefined value",
            ));
        }
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => {
            let number = value.to_string();
            // Infinity and NaN are no JSON.
            out.push_str(if number.contains(['i', 'N']) { "null" } else { &number });
        }
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            pay(state, text.len())?;
            out.push_str(&serde_json::Value::from(text).to_string());
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                if i > 0 {
                    out.push(',');
                }
                let name = key.as_str().map_or_else(|| key.to_string(), ToOwned::to_owned);
                out.push_str(&serde_json::Value::from(name).to_string());
                out.push(':');
                write_json(state, &value.get_item(&key)?, out, depth + 1)?;
            }
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (i, item) in value.try_iter()?.enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(state, &item, out, depth + 1)?;
            }
            out.push(']');
        }
        _ => return Err(wrong("cannot make JSON of this value")),
    }
    pay(state, out.len() - before)
}

/// Pays for bytes before they are made.
fn pay(state: &State<'_, '_>, bytes: usize) -> Result<(), minijinja::Error> {
    state.consume_fuel(bytes as u64 / 64 + 1)
}

/// Output up to a bound; beyond, the evaluation ends.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    at_most: usize,
    cut: bool,
}

impl Bounded {
    pub(super) fn new(at_most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            at_most,
            cut: false,
        }
    }

    /// The text, and whether there would have been more.
    pub(super) fn into_text(self) -> (String, bool) {
        let text = match String::from_utf8(self.bytes) {
            Ok(text) => text,
            // Cut within a character.
            Err(error) => {
                let whole = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(whole);
                String::from_utf8(bytes).unwrap_or_default()
            }
        };
        (text, self.cut)
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.at_most - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.cut = true;
            return Err(io::Error::other("the output is full"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
