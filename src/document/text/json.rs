//! JSON and JSON5 on jsonc-parser.

use std::borrow::Cow;

use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::node::{Data, Entry, Node, Str, offset};
use super::{Code, Fault, Located, MAX_DEPTH, Tree};

pub(super) fn read(text: &str) -> Tree<'_> {
    let mut tree = Tree {
        root: None,
        faults: Vec::new(),
        tags: Vec::new(),
        plain: true,
    };
    let options = ParseOptions {
        allow_missing_commas: false,
        ..ParseOptions::default()
    };
    match parse_to_ast(text, &CollectOptions::default(), &options) {
        Ok(parsed) => match parsed.value {
            Some(value) => match node(value, 1, text, &mut tree.faults) {
                Ok(root) => tree.root = Some(root),
                Err(located) => tree.faults.push(located),
            },
            None => tree.faults.push(Located::new(
                Fault::new(Code::DocumentCount, "the document is empty").hint("write `{\"webhooks\": {}}` for none"),
                0..0,
            )),
        },
        Err(error) => {
            let range = error.range();
            let fault = match error.kind() {
                ParseErrorKind::NestingDepthExceeded => too_deep(),
                ParseErrorKind::MultipleRootJsonValues => {
                    Fault::new(Code::DocumentCount, "there is something after the end of the document")
                }
                kind => Fault::new(Code::Syntax, lower_first(&kind.to_string())),
            };
            let at = range.start.min(text.len());
            tree.faults
                .push(Located::new(fault, offset(at)..offset(range.end.clamp(at, text.len()))));
        }
    }
    tree
}

fn too_deep() -> Fault {
    Fault::new(Code::Limit, format!("nested more than {MAX_DEPTH} levels deep"))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn string(text: Cow<'_, str>) -> Str<'_> {
    match text {
        Cow::Borrowed(text) => Str::Borrowed(text),
        Cow::Owned(text) => Str::Owned(text.into()),
    }
}

/// The parser bounds the depth at 512, so the recursion is bounded too.
fn node<'a>(value: Value<'a>, depth: usize, text: &str, faults: &mut Vec<Located>) -> Result<Node<'a>, Located> {
    let range = value.range();
    let (at, end) = (offset(range.start), offset(range.end));
    if depth > MAX_DEPTH {
        return Err(Located::new(too_deep(), at..at + 1));
    }
    let data = match value {
        Value::NullKeyword(_) => Data::Null,
        Value::BooleanLit(literal) => Data::Bool(literal.value),
        Value::StringLit(literal) => Data::Text(string(literal.value)),
        Value::NumberLit(literal) => {
            integer(literal.value).map_or(Data::Number(Str::Borrowed(literal.value)), Data::Integer)
        }
        Value::Array(array) => Data::List(
            (array.elements.into_iter())
                .map(|element| node(element, depth + 1, text, faults))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(object) => {
            let mut entries = Vec::with_capacity(object.properties.len());
            for property in object.properties {
                let range = property.name.range();
                let key = match property.name {
                    ObjectPropName::String(literal) => string(literal.value),
                    ObjectPropName::Word(word) => Str::Borrowed(word.value),
                };
                entries.push(Entry {
                    key,
                    at: offset(range.start),
                    end: offset(range.end),
                    value: node(property.value, depth + 1, text, faults)?,
                });
            }
            super::duplicates(&entries, text, faults);
            Data::Map(entries.into())
        }
    };
    Ok(Node { at, end, data })
}

fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let magnitude = match hex {
        Some(hex) => i128::from_str_radix(hex, 16).ok()?,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}
