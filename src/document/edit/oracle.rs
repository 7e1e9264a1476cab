//! The judge of every edit: the new text, read again, means the old one with exactly the changes that were asked for, and
//! every byte outside of the edited entry is what it was.

use std::collections::HashMap;
use std::ops::Range;

use super::lines;
use super::patch::Patch;
use super::walk::{Child, Manner, Members, Walk, is_alias, is_flow};
use super::write::Style;
use crate::document::Value;
use crate::document::text::{Data, Entry, Node};
use crate::document::value::duration_text;

/// A value that is not what it should be.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// Its keys, from the document's top.
    pub(super) path: Vec<String>,
    /// Where it stands in the old text, before any alias is followed.
    pub(super) at: usize,
}

/// Compares two trees.
pub(super) struct Judge<'t> {
    pub(super) old_text: &'t str,
    path: Vec<String>,
    at: usize,
    aliased: bool,
}

impl<'t> Judge<'t> {
    pub(super) fn new(old_text: &'t str) -> Self {
        Self {
            old_text,
            path: Vec::new(),
            at: 0,
            aliased: false,
        }
    }

    /// Whether `new` is `old` with the changes.
    pub(super) fn document(
        mut self,
        old: &Node<'_>,
        new: &Node<'_>,
        patches: &[(String, Patch)],
    ) -> Result<(), Mismatch> {
        if self.map(old, new, patches) {
            Ok(())
        } else {
            Err(Mismatch {
                path: self.path,
                at: self.at,
            })
        }
    }

    /// On `false` path and place stay at what differs.
    fn map(&mut self, old: &Node<'_>, new: &Node<'_>, patches: &[(String, Patch)]) -> bool {
        let aliased = self.aliased;
        if !self.aliased {
            self.at = self.at.max(old.at as usize);
            self.aliased = is_alias(self.old_text, old);
        }
        let (Some(before), Some(after)) = (old.members(), new.members()) else {
            let changes = patches.iter().any(|(_, patch)| patch.made().is_some());
            return match new.members() {
                None => !changes && same(old, new),
                Some(members) => {
                    let made: Vec<_> = patches
                        .iter()
                        .filter_map(|(key, patch)| Some((key, patch.made()?)))
                        .collect();
                    (changes || patches.is_empty())
                        && members.len() == made.len()
                        && made
                            .iter()
                            .all(|(key, value)| new.get(key).is_some_and(|node| means(node, value)))
                }
            };
        };
        let index = Index::new(&after);
        let mut expected = 0;
        let own: &[Entry<'_>] = Members::of(old.target()).map_or(&[], |map| map.own);
        for (i, entry) in before.iter().enumerate() {
            let (at, through) = (self.at, self.aliased);
            self.path.push(entry.key.to_string());
            if own.as_ptr_range().contains(&std::ptr::from_ref(*entry)) {
                if !self.aliased {
                    self.at = entry.at as usize;
                }
            } else {
                self.aliased = true;
            }
            let found = index.get(&after, &entry.key, i);
            let patch = patches
                .iter()
                .find(|(key, _)| **key == *entry.key)
                .map(|(_, patch)| patch);
            let right = match (patch, found) {
                (Some(Patch::Remove), found) => found.is_none(),
                (_, None) => false,
                (None, Some(new)) => same(&entry.value, &new.value) || self.descend(&entry.value, &new.value),
                (Some(Patch::Put(value)), Some(new)) => means(&new.value, value),
                (Some(Patch::Inside(inner)), Some(new)) => self.map(&entry.value, &new.value, inner),
            };
            if !right {
                return false;
            }
            expected += usize::from(found.is_some());
            self.path.pop();
            (self.at, self.aliased) = (at, through);
        }
        for (key, patch) in patches {
            if before.iter().any(|entry| *entry.key == **key) {
                continue;
            }
            if let Some(value) = patch.made() {
                self.path.push(key.clone());
                if !new.get(key).is_some_and(|node| means(node, &value)) {
                    return false;
                }
                self.path.pop();
                expected += 1;
            }
        }
        self.aliased = aliased;
        after.len() == expected
    }

    /// Two values differ: the place inside of them that does.
    fn descend(&mut self, old: &Node<'_>, new: &Node<'_>) -> bool {
        if old.members().is_some() && new.members().is_some() {
            let _ = self.map(old, new, &[]);
        }
        false
    }
}

/// The members of a map by key: they mostly stand where they stood.
struct Index<'n>(Option<HashMap<&'n str, usize>>);

impl<'n> Index<'n> {
    fn new(members: &[&'n Entry<'_>]) -> Self {
        Self((members.len() > 16).then(|| members.iter().enumerate().map(|(i, entry)| (&*entry.key, i)).collect()))
    }

    fn get<'m, 'a>(&self, members: &[&'m Entry<'a>], key: &str, near: usize) -> Option<&'m Entry<'a>> {
        if let Some(entry) = members.get(near).filter(|entry| *entry.key == *key) {
            return Some(entry);
        }
        match &self.0 {
            Some(index) => index.get(key).map(|i| members[*i]),
            None => members.iter().find(|entry| *entry.key == *key).copied(),
        }
    }
}

/// Whether two values are the same.
pub(super) fn same(old: &Node<'_>, new: &Node<'_>) -> bool {
    match (&old.target().data, &new.target().data) {
        (Data::Null, Data::Null) => true,
        (Data::Bool(a), Data::Bool(b)) => a == b,
        (Data::Integer(a), Data::Integer(b)) => a == b,
        (Data::Number(a), Data::Number(b)) | (Data::Text(a), Data::Text(b)) => **a == **b,
        (Data::List(a), Data::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Data::Map(_) | Data::Merged(_), Data::Map(_) | Data::Merged(_)) => {
            let (a, b) = (old.members().unwrap_or_default(), new.members().unwrap_or_default());
            let index = Index::new(&b);
            a.len() == b.len()
                && (a.iter().enumerate()).all(|(i, entry)| {
                    index
                        .get(&b, &entry.key, i)
                        .is_some_and(|other| same(&entry.value, &other.value))
                })
        }
        _ => false,
    }
}

/// Whether a node is read as a value.
pub(super) fn means(node: &Node<'_>, value: &Value) -> bool {
    match (&node.target().data, value) {
        (Data::Bool(a), Value::Bool(b)) => a == b,
        (Data::Integer(a), Value::Integer(b)) => a == b,
        (Data::Integer(a), Value::Decimal(b)) => a.to_string() == **b,
        (Data::Number(a), Value::Decimal(b)) | (Data::Text(a), Value::Text(b)) => **a == **b,
        (Data::Text(a), Value::Duration(ms)) => **a == *duration_text(*ms),
        (Data::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| means(a, b)),
        (Data::Map(_) | Data::Merged(_), Value::Map(b)) => {
            let members = node.members().unwrap_or_default();
            members.len() == b.len()
                && b.iter()
                    .all(|(key, value)| node.get(key).is_some_and(|node| means(node, value)))
        }
        _ => false,
    }
}

/// Lists longer than this are written anew where they differ.
const MAX_COMPARED: usize = 500;

/// What two lists have in common, in order: pairs of indices, as many as there can be.
pub(super) fn common(old: &[Node<'_>], new: &[Value]) -> Vec<(usize, usize)> {
    if old.len() > MAX_COMPARED || new.len() > MAX_COMPARED {
        return Vec::new();
    }
    let width = new.len() + 1;
    let mut longest = vec![0_u16; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if means(&old[i], &new[j]) {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if means(&old[i], &new[j]) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// The part of the old text that an edit of this place may touch; `None`: nothing like it is there.
pub(super) fn territory(
    text: &str,
    root: &Node<'_>,
    keys: &[String],
    style: &Style,
    manner: Manner,
) -> Option<Range<usize>> {
    let walk = Walk {
        text,
        style,
        manner,
        splices: Vec::new(),
    };
    // The deepest map on the way, and the key that it hangs on.
    let mut node = root;
    let mut key = None;
    for (i, name) in keys.iter().enumerate() {
        let target = node.target();
        let Some(map) = Members::of(target) else {
            break;
        };
        let flow = is_flow(text, target);
        let children = if flow {
            walk.flow_children(&map)
        } else {
            walk.block_children(&map)
        };
        let Some(entry) = map.own.iter().find(|entry| *entry.key == **name) else {
            return added(&walk, target, &children, key, flow);
        };
        if i + 1 == keys.len() {
            let index = children.iter().position(|child| child.at == entry.at as usize)?;
            return Some(if flow {
                let start = index.checked_sub(1).map_or(target.at as usize + 1, |i| children[i].end);
                let end = children.get(index + 1).map_or(target.end as usize - 1, |next| next.at);
                start..end
            } else {
                entry_lines(&walk, &children, index, key)
            });
        }
        key = Some(entry);
        node = &entry.value;
    }
    let key = key?;
    Some(key.end as usize..lines::next(text, (node.end as usize).max(key.end as usize)))
}

/// Where a new member of a container may come.
fn added(
    walk: &Walk<'_>,
    node: &Node<'_>,
    children: &[Child],
    key: Option<&Entry<'_>>,
    flow: bool,
) -> Option<Range<usize>> {
    let text = walk.text;
    let Some(last) = children.last() else {
        let start = key.map_or(node.at, |key| key.end) as usize;
        return Some(start..lines::next(text, node.end as usize));
    };
    if flow {
        return Some(node.at as usize + 1..node.end as usize - 1);
    }
    if walk.manner.front {
        let start = lines::start(text, children[0].at);
        return Some(walk.lead_start(children[0].at, children[0].at - start, 0)..start);
    }
    Some(last.end..walk.extent_end(last).ok()?)
}

/// The lines of a member of a block map: its comments, itself, and a blank line on either side.
fn entry_lines(walk: &Walk<'_>, children: &[Child], index: usize, key: Option<&Entry<'_>>) -> Range<usize> {
    let text = walk.text;
    let child = &children[index];
    let start = lines::start(text, child.at);
    let bound = match index.checked_sub(1) {
        Some(before) => lines::next(text, children[before].end),
        // The only one: `{}` comes behind the key that it hangs on.
        None if children.len() == 1 => {
            let end = walk.extent_end(child).unwrap_or(child.end);
            return key.map_or(start, |key| key.end as usize)..end;
        }
        None => 0,
    };
    let mut lead = walk.lead_start(child.at, child.at - start, bound);
    let mut end = walk.extent_end(child).unwrap_or(child.end);
    if end < text.len() && super::block::is_blank(lines::at(text, end)) {
        end = lines::next(text, end);
    } else if let Some(above) = lines::previous(text, lead).filter(|above| *above >= bound && end == text.len())
        && super::block::is_blank(lines::at(text, above))
    {
        lead = above;
    }
    lead..end
}
