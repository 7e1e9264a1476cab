//! The difference itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Change, FieldChange, Fingerprints, Observed, Plan};
use crate::document::mask::MASK;
use crate::document::{Address, Desired, Field, Kind, Resource, Value};
use crate::event::Name;

/// Says how a resource comes to be, not what it is: it is compared with nothing.
const PREVIOUS_NAME: &str = "previousName";

/// Compares what is wanted with what runs.
///
/// `fingerprints` are those of the document's secrets. One that is missing on either side was not looked at and says
/// nothing. The settings resources always exist: one that is left out is one that holds its defaults.
#[must_use]
pub fn diff(observed: &Observed, desired: &Desired, fingerprints: &Fingerprints) -> Plan {
    let running = &observed.desired.resources;
    let secrets = (observed.fingerprints != *fingerprints).then_some(Secrets {
        before: &observed.fingerprints,
        after: fingerprints,
    });
    let mut renamed: BTreeSet<Address> = BTreeSet::new();
    let mut changes = Vec::new();

    for (address, after) in &desired.resources {
        let previous = match running.get(address) {
            Some(_) => None,
            None => previous_name(address, after).filter(|(_, old)| {
                running.contains_key(old) && !desired.resources.contains_key(old) && !renamed.contains(old)
            }),
        };
        let change = if let Some(before) = running.get(address) {
            update(address, None, before, after, secrets)
        } else if let Some((name, old)) = previous {
            let change = update(address, Some((name, &old)), &running[&old], after, secrets);
            renamed.insert(old);
            change
        } else if is_setting(address) {
            update(address, None, &defaults(after), after, secrets)
        } else {
            Some(whole(address, Action::Create, after))
        };
        changes.extend(change);
    }
    for (address, before) in running {
        if desired.resources.contains_key(address) || renamed.contains(address) {
            continue;
        }
        if is_setting(address) {
            changes.extend(update(address, None, before, &defaults(before), secrets));
            continue;
        }
        let mut change = whole(address, Action::Delete, before);
        if let Address::Outbound(name) = address {
            change.undelivered = Some(observed.owed.get(name.as_str()).copied().unwrap_or(0));
        }
        changes.push(change);
    }
    changes.sort_by(|a, b| (a.action, &a.address).cmp(&(b.action, &b.address)));
    Plan { changes }
}

fn is_setting(address: &Address) -> bool {
    !matches!(address, Address::Inbound(_) | Address::Outbound(_))
}

/// A resource of the same section that says nothing.
fn defaults(like: &Resource) -> Resource {
    like.section()
        .map_or_else(Resource::default, |section| Resource::of(section, Vec::new()))
}

/// The address that a resource says it had.
fn previous_name(address: &Address, resource: &Resource) -> Option<(Name, Address)> {
    let (_, value) = resource.fields().find(|(field, _)| field.name == PREVIOUS_NAME)?;
    let name = Name::parse(value.as_text()?).ok()?;
    let old = match address {
        Address::Inbound(_) => Address::Inbound(name.clone()),
        Address::Outbound(_) => Address::Outbound(name.clone()),
        _ => return None,
    };
    Some((name, old))
}

/// A resource that comes or goes as a whole.
fn whole(address: &Address, action: Action, resource: &Resource) -> Change {
    let fields = resource
        .fields()
        .filter(|(field, _)| field.name != PREVIOUS_NAME)
        .map(|(field, value)| {
            let value = Some(resource.mask(field, value));
            let (before, after) = if action == Action::Create {
                (None, value)
            } else {
                (value, None)
            };
            let sensitive = field.sensitive || hides(field, resource);
            FieldChange {
                path: field.name.to_owned(),
                before,
                after,
                sensitive,
                forces_replace: false,
            }
        });
    let fields = fields.collect();
    Change {
        address: address.clone(),
        previous: None,
        action,
        reason: None,
        fields,
        undelivered: None,
    }
}

fn hides(field: &'static Field, resource: &Resource) -> bool {
    resource
        .fields()
        .any(|(f, value)| f == field && resource.mask(f, value) != *value)
}

/// A resource that stays; `None`: as it is.
fn update(
    address: &Address,
    renamed: Option<(Name, &Address)>,
    before: &Resource,
    after: &Resource,
    secrets: Option<Secrets<'_>>,
) -> Option<Change> {
    let mut fields = if before == after {
        Vec::new()
    } else {
        compare(before, after)
    };
    let old = renamed.as_ref().map_or(address, |(_, old)| old);
    let behind = secrets.map_or_else(Vec::new, |secrets| secrets.behind(old, address, after, &fields));
    if fields.is_empty() && behind.is_empty() && renamed.is_none() {
        return None;
    }
    let mut reasons = Vec::new();
    if let Some((name, _)) = &renamed {
        reasons.push(format!("renamed from {name}"));
    }
    if !behind.is_empty() {
        let paths: Vec<_> = behind.iter().map(|(_, change)| change.path.as_str()).collect();
        reasons.push(format!("the file or variable behind {} changed", paths.join(", ")));
    }
    fields.extend(behind);
    // Stable: within one field of the table the order of the walk stays.
    fields.sort_by_key(|(place, _)| *place);
    let fields: Vec<_> = fields.into_iter().map(|(_, change)| change).collect();
    let action = if fields.iter().any(|f| f.forces_replace) {
        Action::Replace
    } else {
        Action::Update
    };
    Some(Change {
        address: address.clone(),
        previous: renamed.map(|(name, _)| name),
        action,
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        fields,
        undelivered: None,
    })
}

/// A field's place in the table: fields are rows of one static table, so their addresses are in its order.
type Place = *const Field;

fn compare(before: &Resource, after: &Resource) -> Vec<(Place, FieldChange)> {
    // Every field of the section, not only those that one side holds: a default can depend on another field.
    let section = before.section().or(after.section());
    let rows = section.into_iter().flat_map(|section| section.fields);
    let rows = rows.chain(before.fields().chain(after.fields()).map(|(field, _)| field));
    let rows: BTreeMap<Place, &'static Field> = rows.map(|field| (std::ptr::from_ref(field), field)).collect();
    let mut changes = Vec::new();
    for (place, field) in rows {
        let (left, right) = (before.effective_ref(field.name), after.effective_ref(field.name));
        if field.name == PREVIOUS_NAME || left == right {
            continue;
        }
        let (shown_left, shown_right) = (
            left.map(|value| before.mask(field, value)),
            right.map(|value| after.mask(field, value)),
        );
        let left = Side {
            value: left,
            shown: shown_left.as_ref(),
        };
        let right = Side {
            value: right,
            shown: shown_right.as_ref(),
        };
        let mut walked = Vec::new();
        walk(field, Some(field), field.name.to_owned(), left, right, &mut walked);
        changes.extend(walked.into_iter().map(|change| (place, change)));
    }
    changes
}

/// One side of a comparison: a value, and what of it may be shown.
#[derive(Clone, Copy)]
struct Side<'a> {
    value: Option<&'a Value>,
    shown: Option<&'a Value>,
}

impl Side<'_> {
    fn member(self, name: &str) -> Self {
        Self {
            value: self.value.and_then(|v| v.get(name)),
            shown: self.shown.and_then(|v| v.get(name)),
        }
    }

    fn hides(self) -> bool {
        self.value != self.shown
    }

    /// What may be shown. A mask that changed the shape hides what is inside.
    fn show(self) -> Option<Value> {
        self.value
            .map(|_| self.shown.cloned().unwrap_or_else(|| Value::text(MASK)))
    }
}

/// `inner` is the row of what lies at `path`: `field`'s own, or one inside of it. `None`: a member whose name is the user's.
fn walk(
    field: &'static Field,
    inner: Option<&'static Field>,
    path: String,
    before: Side<'_>,
    after: Side<'_>,
    changes: &mut Vec<FieldChange>,
) {
    if before.value == after.value {
        return;
    }
    if let (Some(Value::Map(left)), Some(Value::Map(right))) = (before.value, after.value)
        && let Some(members) = inner.and_then(|inner| members(&inner.kind))
    {
        let names: BTreeSet<&str> = left.iter().chain(right).map(|(name, _)| &**name).collect();
        for name in names {
            let row = members.iter().find(|row| row.name == name);
            walk(
                field,
                row,
                inside(&path, name),
                before.member(name),
                after.member(name),
                changes,
            );
        }
        return;
    }
    changes.push(FieldChange {
        path,
        before: before.show(),
        after: after.show(),
        sensitive: inner.is_some_and(|inner| inner.sensitive) || before.hides() || after.hides(),
        forces_replace: field.forces_replace || inner.is_some_and(|inner| inner.forces_replace),
    });
}

/// The rows of a kind that is compared member by member (none: their names are the user's); `None`: it is compared as a
/// whole.
fn members(kind: &'static Kind) -> Option<&'static [Field]> {
    match kind {
        Kind::Object(fields) | Kind::ObjectOrFalse(fields) => Some(fields),
        Kind::Headers | Kind::Labels => Some(&[]),
        Kind::NotYet(kind) => members(kind),
        _ => None,
    }
}

/// The path of a member: `headers.X-Team`, `labels["app.kubernetes.io/name"]`.
fn inside(path: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain {
        format!("{path}.{name}")
    } else {
        format!("{path}[{name:?}]")
    }
}

/// The fingerprints of both sides, where they are not all equal.
#[derive(Clone, Copy)]
struct Secrets<'a> {
    before: &'a Fingerprints,
    after: &'a Fingerprints,
}

impl Secrets<'_> {
    /// Secrets of one resource that changed behind references that did not.
    fn behind(
        self,
        old: &Address,
        address: &Address,
        resource: &Resource,
        fields: &[(Place, FieldChange)],
    ) -> Vec<(Place, FieldChange)> {
        let prefix = format!("{address} ");
        let of_resource = self
            .after
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix));
        let mut changes = Vec::new();
        for (key, after) in of_resource {
            let path = &key[prefix.len()..];
            if self
                .before
                .get(&format!("{old} {path}"))
                .is_none_or(|before| before == after)
                || fields
                    .iter()
                    .any(|(_, change)| covers(&change.path, path) || covers(path, &change.path))
            {
                continue;
            }
            let top = path.split(['.', '[']).next().unwrap_or(path);
            let found = resource.fields().find(|(field, _)| field.name == top);
            let place = found.map_or(std::ptr::null(), |(field, _)| std::ptr::from_ref(field));
            let value = found.map(|(field, value)| {
                let value = resource.mask(field, value);
                at(&value, &path[top.len()..]).cloned().unwrap_or(value)
            });
            changes.push((
                place,
                FieldChange {
                    path: path.to_owned(),
                    before: value.clone(),
                    after: value,
                    sensitive: true,
                    forces_replace: false,
                },
            ));
        }
        changes
    }
}

/// Whether `inner` is `outer` or lies in it.
fn covers(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What lies at `.member` or `[index]` paths inside a value.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        return at(value.get(&rest[..end])?, &rest[end..]);
    }
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    match value {
        Value::List(items) => at(items.get(index.parse::<usize>().ok()?)?, rest),
        _ => None,
    }
}
