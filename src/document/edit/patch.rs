//! What an edit means, as a tree of changes.

use super::{Change, Edit};
use crate::document::{Address, Value};

/// What becomes of a value.
#[derive(Debug, Clone)]
pub(super) enum Patch {
    /// It is this, whatever it was.
    Put(Value),
    /// It goes.
    Remove,
    /// Some members of a map change, which is made where there is none.
    Inside(Vec<(String, Patch)>),
}

impl Patch {
    /// The changes of a whole document.
    pub(super) fn of(edit: &Edit) -> Vec<(String, Self)> {
        let mut patch = match &edit.change {
            Change::Delete => Self::Remove,
            Change::Fields(fields) => {
                let mut changes = Vec::new();
                for (path, value) in fields {
                    insert(&mut changes, path, value.as_ref());
                }
                Self::Inside(changes)
            }
        };
        for key in keys(&edit.address).into_iter().rev() {
            patch = Self::Inside(vec![(key, patch)]);
        }
        match patch {
            Self::Inside(changes) => changes,
            _ => unreachable!("every address has a path"),
        }
    }

    /// The value that is made where there was none; `None`: nothing is made.
    pub(super) fn made(&self) -> Option<Value> {
        match self {
            Self::Put(value) => Some(value.clone()),
            Self::Remove => None,
            Self::Inside(changes) => {
                let members: Vec<_> = (changes.iter())
                    .filter_map(|(key, patch)| Some((key.as_str().into(), patch.made()?)))
                    .collect();
                // Without a field there is nothing to make, except a webhook of defaults alone.
                (changes.is_empty() || !members.is_empty()).then(|| Value::Map(members.into()))
            }
        }
    }
}

/// The keys that lead to a resource.
pub(super) fn keys(address: &Address) -> Vec<String> {
    let mut keys = vec!["webhooks".to_owned()];
    match address {
        Address::Inbound(name) => keys.extend(["inbound".to_owned(), name.to_string()]),
        Address::Outbound(name) => keys.extend(["outbound".to_owned(), name.to_string()]),
        section => keys.extend(section.to_string().split('.').nth(1).map(str::to_owned)),
    }
    keys
}

/// Adds one field's change; of two for the same place the last counts.
fn insert(changes: &mut Vec<(String, Patch)>, path: &[String], value: Option<&Value>) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    let index = changes.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
        changes.push((key.clone(), Patch::Inside(Vec::new())));
        changes.len() - 1
    });
    let place = &mut changes[index].1;
    if rest.is_empty() {
        *place = value.map_or(Patch::Remove, |value| Patch::Put(value.clone()));
        return;
    }
    if !matches!(place, Patch::Inside(_)) {
        *place = Patch::Inside(Vec::new());
    }
    if let Patch::Inside(changes) = place {
        insert(changes, rest, value);
    }
}
