//! The event's JSON as values: read level by level, when an expression looks, and printed as it came.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use minijinja::Value;
use minijinja::value::{DynObject, Enumerator, Object, ObjectExt as _, ObjectRepr};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Error, MAX_READ_BYTES, MAX_VALUES, Seen};

/// Objects with more members than this are looked up through an index.
const SCANNED: usize = 8;

/// What one evaluation has read and made so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    read: AtomicUsize,
    values: AtomicUsize,
    exceeded: AtomicBool,
}

impl Ledger {
    /// Whether that much may still be read and made.
    fn pay(&self, bytes: usize, values: usize) -> bool {
        let read = self.read.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let made = self.values.fetch_add(values, Relaxed).saturating_add(values);
        if read > MAX_READ_BYTES || made > MAX_VALUES {
            self.exceeded.store(true, Relaxed);
        }
        !self.exceeded.load(Relaxed)
    }

    /// The bound, where it was reached: what an expression made after that means nothing.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.exceeded.load(Relaxed) {
            return Err(Error::Exceeded(
                "it reads more of the event than 64 MiB or 250,000 values",
            ));
        }
        Ok(())
    }
}

/// What an expression sees, and the ledger of this evaluation.
pub(super) fn context(seen: &Seen<'_>) -> (Value, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let text: Arc<str> = seen.data.into();
    let context = minijinja::context! {
        event => seen.event,
        id => seen.id,
        timestamp => seen.timestamp,
        source => seen.source.map_or(Value::UNDEFINED, Value::from),
        data => value(&text, 0..text.len(), &ledger),
    };
    (context, ledger)
}

/// A list or object of the event's JSON.
pub(super) struct Node {
    /// The whole JSON.
    whole: Arc<str>,
    /// The part of it.
    range: Range<usize>,
    ledger: Arc<Ledger>,
    /// One level, read at the first look.
    level: OnceLock<Level>,
}

enum Level {
    Map {
        members: Vec<(Value, Value)>,
        index: HashMap<Box<str>, usize>,
    },
    List(Vec<Value>),
    /// The ledger has no room for it.
    Closed,
}

/// A value of JSON, by its text. Whole numbers up to 38 digits are exact, others are 64-bit floating-point numbers.
fn value(whole: &Arc<str>, range: Range<usize>, ledger: &Arc<Ledger>) -> Value {
    let text = &whole[range.clone()];
    match text.as_bytes().first() {
        Some(b'{' | b'[') => Value::from_object(Node {
            whole: Arc::clone(whole),
            range,
            ledger: Arc::clone(ledger),
            level: OnceLock::new(),
        }),
        Some(b'"') => serde_json::from_str::<String>(text).map_or(Value::UNDEFINED, Value::from),
        Some(b't') => Value::from(true),
        Some(b'f') => Value::from(false),
        Some(b'-' | b'0'..=b'9') => number(text),
        _ => Value::from(()),
    }
}

fn number(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    if let Ok(number) = text.parse::<i128>() {
        return Value::from(number);
    }
    text.parse::<f64>().map_or(Value::UNDEFINED, Value::from)
}

impl Node {
    /// As it came.
    pub(super) fn text(&self) -> &str {
        &self.whole[self.range.clone()]
    }

    fn level(&self) -> &Level {
        self.level.get_or_init(|| {
            let text = self.text();
            if !self.ledger.pay(text.len(), 0) {
                return Level::Closed;
            }
            let Ok(parts) = serde_json::Deserializer::from_str(text).deserialize_any(Parts { ledger: &self.ledger })
            else {
                return Level::Closed;
            };
            let start = self.whole.as_ptr().addr();
            let child = |raw: &RawValue| {
                let at = raw.get().as_ptr().addr() - start;
                value(&self.whole, at..at + raw.get().len(), &self.ledger)
            };
            match parts {
                Read::List(items) => Level::List(items.into_iter().map(child).collect()),
                Read::Map(found) => {
                    let mut index = HashMap::new();
                    if found.len() > SCANNED {
                        index = (found.iter().enumerate())
                            .map(|(i, (name, _))| (name.as_str().into(), i))
                            .collect();
                    }
                    let members = found
                        .into_iter()
                        .map(|(name, raw)| (Value::from(name), child(raw)))
                        .collect();
                    Level::Map { members, index }
                }
            }
        })
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.text().starts_with('{') {
            ObjectRepr::Map
        } else {
            ObjectRepr::Seq
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (self.level(), key.as_str()) {
            (Level::Map { .. }, Some(name)) => self.get_value_by_str(name),
            (Level::List(items), None) => items.get(usize::try_from(key.clone()).ok()?).cloned(),
            _ => None,
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let Level::Map { members, index } = self.level() else {
            return None;
        };
        let at = if members.len() > SCANNED {
            *index.get(key)?
        } else {
            // As everywhere: of a name that is there twice, the last.
            members.iter().rposition(|(name, _)| name.as_str() == Some(key))?
        };
        members.get(at).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.level() {
            Level::Map { .. } => self.mapped_enumerator(|node| match node.level() {
                Level::Map { members, .. } => Box::new(members.iter().map(|(name, _)| name.clone())),
                _ => Box::new(std::iter::empty()),
            }),
            Level::List(items) => Enumerator::Seq(items.len()),
            Level::Closed => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(match self.level() {
            Level::Map { members, .. } => members.len(),
            Level::List(items) => items.len(),
            Level::Closed => 0,
        })
    }

    /// Equal where the text is: comparing member by member has no bound.
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        if !self.ledger.pay(self.range.len().min(other.range.len()), 0) {
            return Some(Ordering::Less);
        }
        Some(self.text().cmp(other.text()))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An error here would be a panic of `to_string`; the ledger ends the evaluation.
        if self.ledger.pay(self.range.len(), 0) {
            f.write_str(self.text())?;
        }
        Ok(())
    }
}

/// One level of JSON.
enum Read<'a> {
    Map(Vec<(String, &'a RawValue)>),
    List(Vec<&'a RawValue>),
}

struct Parts<'l> {
    ledger: &'l Ledger,
}

impl<'a> Visitor<'a> for Parts<'_> {
    type Value = Read<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.ledger.pay(0, 1) {
                members.push((name, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Read::Map(members))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<&'a RawValue>()? {
            if self.ledger.pay(0, 1) {
                items.push(item);
            }
        }
        Ok(Read::List(items))
    }
}
