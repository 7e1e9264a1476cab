//! The tree. Small on purpose: a document of 100,000 webhooks has millions of nodes.

use std::ops::{Deref, Range};
use std::rc::Rc;

/// A byte offset; texts are at most 64 MiB.
pub(super) fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("texts are at most 64 MiB")
}

/// Text that is in the document as it stands, or that had escapes in it.
#[derive(Debug, Clone)]
pub(in crate::document) enum Str<'a> {
    Borrowed(&'a str),
    Owned(Box<str>),
}

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// A value and where it stands.
#[derive(Debug)]
pub(in crate::document) struct Node<'a> {
    pub(in crate::document) at: u32,
    pub(in crate::document) end: u32,
    pub(in crate::document) data: Data<'a>,
}

/// A value.
#[derive(Debug)]
pub(in crate::document) enum Data<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// Any other number, as it was written.
    Number(Str<'a>),
    Text(Str<'a>),
    List(Box<[Node<'a>]>),
    Map(Box<[Entry<'a>]>),
    /// A map with `<<`.
    Merged(Box<Merged<'a>>),
    /// What an anchor names or an alias stands for: shared, never copied.
    Shared(Rc<Node<'a>>),
}

/// A member of a map and where its key stands.
#[derive(Debug)]
pub(in crate::document) struct Entry<'a> {
    pub(in crate::document) key: Str<'a>,
    pub(in crate::document) at: u32,
    pub(in crate::document) end: u32,
    pub(in crate::document) value: Node<'a>,
}

/// A map that takes in others: its own entries win, then the first of the others.
#[derive(Debug)]
pub(in crate::document) struct Merged<'a> {
    pub(in crate::document) own: Box<[Entry<'a>]>,
    pub(in crate::document) others: Vec<Rc<Node<'a>>>,
    /// Where each `<<` stands with its value.
    pub(in crate::document) merges: Box<[Range<u32>]>,
}

impl<'a> Node<'a> {
    pub(in crate::document) fn span(&self) -> Range<u32> {
        self.at..self.end
    }

    /// The node itself, anchors and aliases followed.
    pub(in crate::document) fn target(&self) -> &Node<'a> {
        let mut node = self;
        while let Data::Shared(shared) = &node.data {
            node = shared;
        }
        node
    }

    /// The members of a map, merge keys applied; `None`: it is no map.
    pub(in crate::document) fn members(&self) -> Option<Vec<&Entry<'a>>> {
        match &self.target().data {
            Data::Map(entries) => Some(entries.iter().collect()),
            Data::Merged(merged) => {
                let mut members: Vec<&Entry<'a>> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                let others = merged.others.iter().filter_map(|other| other.members());
                for entry in merged.own.iter().chain(others.flatten()) {
                    if seen.insert(&*entry.key) {
                        members.push(entry);
                    }
                }
                Some(members)
            }
            _ => None,
        }
    }

    /// The value of a member.
    pub(in crate::document) fn get(&self, key: &str) -> Option<&Node<'a>> {
        match &self.target().data {
            Data::Map(entries) => entries
                .iter()
                .find(|entry| &*entry.key == key)
                .map(|entry| &entry.value),
            Data::Merged(merged) => (merged
                .own
                .iter()
                .find(|entry| &*entry.key == key)
                .map(|entry| &entry.value))
            .or_else(|| merged.others.iter().find_map(|other| other.get(key))),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(in crate::document) fn kind(&self) -> &'static str {
        match &self.target().data {
            Data::Null => "nothing",
            Data::Bool(_) => "a boolean",
            Data::Integer(_) | Data::Number(_) => "a number",
            Data::Text(_) => "a text",
            Data::List(_) => "a list",
            Data::Map(_) | Data::Merged(_) => "a mapping",
            Data::Shared(_) => unreachable!("target() follows shared nodes"),
        }
    }

    /// As JSON: for what is kept as it was written.
    pub(in crate::document) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        let node = self.target();
        match &node.data {
            Data::Null => Json::Null,
            Data::Bool(b) => Json::Bool(*b),
            Data::Integer(n) => Json::from(*n),
            Data::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_string())),
            Data::Text(text) => Json::String(text.to_string()),
            Data::List(items) => items.iter().map(Node::to_json).collect(),
            _ => Json::Object(
                (node.members().unwrap_or_default().into_iter())
                    .map(|entry| (entry.key.to_string(), entry.value.to_json()))
                    .collect(),
            ),
        }
    }
}
