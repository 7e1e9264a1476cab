//! A map with fields of the table: one slot for each.

use std::ops::Range;

use super::place::Place;
use super::{Check, Code, Fault};
use crate::document::diagnostic::{nearest, plain};
use crate::document::fields::{Field, Kind};
use crate::document::mask;
use crate::document::text::Node;
use crate::document::value::Value;

/// A value that is there and right.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) value: Value,
    pub(super) key: Range<u32>,
    pub(super) at: Range<u32>,
}

/// The values of a map, in the order of the table.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) table: &'static [Field],
    pub(super) values: Vec<Option<Slot>>,
    /// Fields that are there, right or wrong: a wrong value is no missing one.
    pub(super) named: u64,
    /// Something inside was wrong.
    pub(super) faulty: bool,
}

impl Slots {
    pub(super) fn empty(table: &'static [Field]) -> Self {
        Self {
            table,
            values: table.iter().map(|_| None).collect(),
            named: 0,
            faulty: false,
        }
    }

    pub(super) fn index(&self, name: &str) -> usize {
        self.table
            .iter()
            .position(|field| field.name == name)
            .expect("a name of the table")
    }

    pub(super) fn get(&self, name: &str) -> Option<&Slot> {
        self.values[self.index(name)].as_ref()
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.get(name).map(|slot| &slot.value)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_text)
    }

    /// Whether the document names the field, with a right value or a wrong one.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.named & (1 << self.index(name)) != 0
    }

    /// Sets a derived value where the document has none, right or wrong.
    pub(super) fn set_default(&mut self, name: &str, value: Value) {
        if self.get(name).is_none() && !self.is_named(name) {
            self.set(name, value);
        }
    }

    /// Sets a derived value.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        let index = self.index(name);
        self.values[index] = Some(Slot {
            value,
            key: 0..0,
            at: 0..0,
        });
    }
}

impl Check<'_> {
    /// Reads a map along a table; `None`: it is no map.
    pub(super) fn slots(&mut self, table: &'static [Field], node: &Node<'_>, place: &Place<'_>) -> Option<Slots> {
        let Some(members) = node.members() else {
            self.hide(node);
            let fault = Fault::new(Code::WrongType, format!("expected a mapping, found {}", node.kind()));
            let fault = if node.kind() == "nothing" {
                fault.hint("write `{}` for an empty mapping")
            } else {
                fault
            };
            self.report(place, &node.span(), fault);
            return None;
        };
        let mut slots = Slots::empty(table);
        let before = self.diagnostics.len() + self.more;
        for entry in members {
            let place = place.key(&entry.key);
            let span = entry.at..entry.end;
            let Some(index) = table.iter().position(|field| field.name == &*entry.key) else {
                let near = self.unknown(
                    table.iter().map(|field| field.name),
                    &entry.key,
                    &entry.value,
                    &span,
                    &place,
                );
                // What is mistyped is not missing too.
                slots.named |= near.map_or(0, |near| 1 << slots.index(near));
                slots.faulty = true;
                continue;
            };
            let field = &table[index];
            slots.named |= 1 << index;
            if let Kind::NotYet(_) = field.kind {
                self.hide(&entry.value);
                let fault = Fault::new(
                    Code::NotYet,
                    format!("`{}` is not supported by this version yet", field.name),
                );
                self.report(&place, &span, fault.hint("leave it out"));
                slots.faulty = true;
                continue;
            }
            match self.value(&field.kind, field.sensitive, &entry.value, &place) {
                Some(value) => {
                    slots.values[index] = Some(Slot {
                        value,
                        key: span,
                        at: entry.value.span(),
                    });
                }
                None => slots.faulty = true,
            }
        }
        debug_assert!(
            !slots.faulty || self.diagnostics.len() + self.more > before,
            "a fault is always reported"
        );
        Some(slots)
    }

    /// Reports an unknown key with the nearest known one, which it returns.
    pub(super) fn unknown<'k>(
        &mut self,
        known: impl Iterator<Item = &'k str> + Clone,
        key: &str,
        value: &Node<'_>,
        span: &Range<u32>,
        place: &Place<'_>,
    ) -> Option<&'k str> {
        let near = nearest(key, known.clone());
        // What is mistyped may be a secret. A number or a boolean is none, unless the name says so.
        let harmless = matches!(value.kind(), "a number" | "a boolean") && !mask::is_secret_name(near.unwrap_or(key));
        if !harmless {
            self.hide(value);
        }
        let fault = Fault::new(Code::UnknownField, format!("unknown field `{}`", plain(key)));
        let fault = fault.hint(match near {
            Some(right) => format!("did you mean `{right}`?"),
            None => format!("the fields here are {}", known.collect::<Vec<_>>().join(", ")),
        });
        self.report(place, span, fault);
        near
    }
}
