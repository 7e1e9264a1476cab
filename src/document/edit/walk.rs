//! From the changes of a tree to splices of its text.

use super::lines;
use super::patch::Patch;
use super::write::Style;
use crate::document::text::{Data, Entry, Node};
use crate::document::{Format, Value};

/// A part of the text and what takes its place.
#[derive(Debug)]
pub(super) struct Splice {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) text: String,
}

/// Why an edit cannot be made here, and where.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) at: usize,
    /// A second place that the edit would change.
    pub(super) second: Option<usize>,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>, at: usize) -> Self {
        Self {
            reason: reason.into(),
            at,
            second: None,
        }
    }
}

pub(super) type Step<T = ()> = Result<T, Refusal>;

/// How to try: the first is the neatest, the others are for texts in which it changes a neighbour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// A deleted entry takes one of the two blank lines around it along.
    pub(super) tidy: bool,
    /// New members stand first, not last: the last one may own the text's end.
    pub(super) front: bool,
}

/// Where a value hangs in a map of block style.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    /// The key's first byte.
    pub(super) key: usize,
    /// Behind the colon, and anchor and tag where they are.
    pub(super) after: usize,
    /// Neighbours are written on one line.
    flat: bool,
}

/// One member of a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    /// Where its text begins: the key, the dash, the item.
    pub(super) at: usize,
    /// Where its value ends.
    pub(super) end: usize,
}

/// The changes of a container's members.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) removed: Vec<bool>,
    /// New members: behind which child (`None`: first), as they stand in this container's style without commas.
    pub(super) added: Vec<(Option<usize>, String)>,
}

pub(super) struct Walk<'t> {
    pub(super) text: &'t str,
    pub(super) style: &'t Style,
    pub(super) manner: Manner,
    pub(super) splices: Vec<Splice>,
}

impl Walk<'_> {
    pub(super) fn splice(&mut self, at: usize, end: usize, text: impl Into<String>) {
        self.splices.push(Splice {
            at,
            end,
            text: text.into(),
        });
    }

    /// Changes members of a map. `level` is that of its keys: `webhooks` has 1, a webhook's name 3, its fields 4.
    pub(super) fn map(
        &mut self,
        node: &Node<'_>,
        spot: Option<Spot>,
        patches: &[(String, Patch)],
        level: usize,
    ) -> Step {
        if is_alias(self.text, node) {
            return Err(Refusal {
                reason: "it is an alias: the edit would change what it stands for too".to_owned(),
                at: node.at as usize,
                second: Some(node.target().at as usize),
            });
        }
        let target = node.target();
        let Some(map) = Members::of(target) else {
            return Err(Refusal::new(
                format!("it is {}, not a mapping", target.kind()),
                node.at as usize,
            ));
        };
        let flow = is_flow(self.text, target);
        let flat = level == 3 && self.is_flat(&map);
        let mut removed = Vec::new();
        let mut added = Vec::new();
        for (key, patch) in patches {
            match (map.own.iter().find(|entry| *entry.key == **key), patch) {
                (Some(entry), Patch::Remove) => {
                    if let Some(inherited) = map.others.iter().find_map(|other| other.get(key)) {
                        return Err(Refusal {
                            reason: format!("without its own, `{key}` would come in by the merge key `<<`"),
                            at: entry.at as usize,
                            second: Some(inherited.at as usize),
                        });
                    }
                    removed.push(entry.at as usize);
                }
                (Some(entry), Patch::Put(value)) => self.put(entry, value, flow, level)?,
                (Some(entry), Patch::Inside(inner)) => {
                    let is_map = Members::of(entry.value.target()).is_some();
                    if is_map {
                        let spot = if flow { None } else { Some(self.spot(entry, flat)?) };
                        self.map(&entry.value, spot, inner, level + 1)?;
                    } else if let Some(value) = patch.made() {
                        self.put(entry, &value, flow, level)?;
                    }
                }
                (None, patch) => {
                    let inherited = map.others.iter().find_map(|other| other.get(key));
                    match (inherited, patch) {
                        (Some(value), Patch::Remove | Patch::Inside(_)) => {
                            let merge = map.merges.first().map_or(target.at, |merge| merge.start);
                            return Err(Refusal {
                                reason: format!("`{key}` comes in by the merge key `<<`"),
                                at: merge as usize,
                                second: Some(value.at as usize),
                            });
                        }
                        _ => added.extend(patch.made().map(|value| (key.clone(), value))),
                    }
                }
            }
        }
        if removed.is_empty() && added.is_empty() {
            return Ok(());
        }
        self.members(target, &map, spot, (&removed, &added), (level, flat))
    }

    fn members(
        &mut self,
        node: &Node<'_>,
        map: &Members<'_>,
        spot: Option<Spot>,
        (removed, added): (&[usize], &[(String, Value)]),
        (level, flat): (usize, bool),
    ) -> Step {
        let flow = is_flow(self.text, node);
        let children = if flow {
            self.flow_children(map)
        } else {
            self.block_children(map)
        };
        let mut changes = Changes {
            removed: children.iter().map(|child| removed.contains(&child.at)).collect(),
            added: Vec::new(),
        };
        let last = if self.manner.front {
            None
        } else {
            changes.removed.iter().rposition(|gone| !gone)
        };
        if !flow {
            let indent = self.indent_of(children[0].at)?.to_owned();
            for (key, value) in added {
                let lines = self.style.block_member(key, value, level, &indent, flat);
                changes.added.push((last, lines));
            }
            return self.block(&children, changes, spot, "{}");
        }
        let inside = &self.text[node.at as usize + 1..node.end as usize - 1];
        // `outbound: {}` becomes block style where its surroundings are.
        if let Some(spot) = spot
            && children.is_empty()
            && inside.trim_matches([' ', '\t']).is_empty()
            && level <= 4
            && !(level == 4 && spot.flat)
            && !self.text[spot.after..node.at as usize].contains(['\n', '\r'])
        {
            return self.open(spot, node.end as usize, added, level);
        }
        let indent = self.flow_indent(node, &children);
        for (key, value) in added {
            changes
                .added
                .push((last, self.style.flow_member(key, value, level, &indent)));
        }
        self.flow(node, &children, changes, self.style.is_tall(level))
    }

    /// Puts members in block style where there was nothing, `{}` or null, which ends at `end`.
    fn open(&mut self, spot: Spot, end: usize, members: &[(String, Value)], level: usize) -> Step {
        self.splice(spot.after, end.max(spot.after), "");
        let indent = format!("{}{}", self.indent_of(spot.key)?, self.style.step);
        let lines: String = (members.iter())
            .map(|(key, value)| self.style.block_member(key, value, level, &indent, false))
            .collect();
        let at = lines::next(self.text, end.max(spot.after));
        self.insert_lines(at, lines);
        Ok(())
    }

    /// Gives a member another value.
    fn put(&mut self, entry: &Entry<'_>, value: &Value, flow: bool, level: usize) -> Step {
        let node = &entry.value;
        let alias = is_alias(self.text, node);
        let target = if alias { node } else { node.target() };
        let written = &self.text[target.at as usize..target.end as usize];
        if flow {
            if let (false, Data::List(old), Value::List(new)) = (alias, &target.data, value) {
                return self.list(target, old, new, None);
            }
            if matches!(target.data, Data::Null) && !written.starts_with(['n', 'N', '~']) {
                return Err(Refusal::new("the value is empty", entry.at as usize));
            }
            let text = self.style.flow_like(value, written);
            self.splice(target.at as usize, target.end as usize, text);
            return Ok(());
        }
        let spot = self.spot(entry, false)?;
        if let (false, Data::List(old), Value::List(new)) = (alias, &target.data, value) {
            return self.list(target, old, new, Some(spot));
        }
        let column = entry.at as usize - lines::start(self.text, entry.at as usize);
        let empty = matches!(target.data, Data::Null) && written.trim().is_empty();
        let same_line = empty || !self.text[spot.after..target.at as usize].contains(['\n', '\r']);
        if let (Data::Null, true, Value::Map(members)) = (&target.data, same_line && level <= 3, value)
            && !members.is_empty()
        {
            let members: Vec<_> = members
                .iter()
                .map(|(key, value)| (key.to_string(), value.clone()))
                .collect();
            let end = if empty { spot.after } else { target.end as usize };
            return self.open(spot, end, &members, level + 1);
        }
        if empty {
            let text = format!(" {}", self.style.flow(value));
            self.splice(spot.after, spot.after, text);
        } else if let Some(header) = self.block_scalar(spot.after) {
            // What follows the indicator on its line, a comment, stays.
            let indicator = &self.text[header..];
            let head = header + indicator.find([' ', '\t', '\r', '\n']).unwrap_or(indicator.len());
            let text = self.style.flow(value);
            self.splice(header, head, text);
            let end = self.block_scalar_end(header, column);
            self.splice(lines::end(self.text, head), end.max(lines::end(self.text, head)), "");
        } else if is_block(self.text, target) && !alias {
            let text = format!(" {}", self.style.flow(value));
            self.splice(spot.after, spot.after, text);
            let first = lines::next(self.text, spot.after);
            let end = self.end_of(spot.after, node, column);
            self.splice(first, lines::next(self.text, end), "");
        } else {
            let text = self.style.flow_like(value, written);
            self.splice(target.at as usize, target.end as usize, text);
        }
        Ok(())
    }

    /// Makes one list of another: what both have stays as it is written, with its comments.
    fn list(&mut self, node: &Node<'_>, old: &[Node<'_>], new: &[Value], spot: Option<Spot>) -> Step {
        let kept = super::oracle::common(old, new);
        let flow = is_flow(self.text, node);
        let mut children = Vec::with_capacity(old.len());
        for item in old {
            let mut at = self.before_properties(item.at as usize);
            if !flow {
                let start = lines::start(self.text, at);
                let dash = start + lines::indent(&self.text[start..]).len();
                if self.text.as_bytes()[dash] != b'-' || !self.text[dash + 1..at].trim().is_empty() {
                    return Err(Refusal::new("the list is written in a way that is not edited", at));
                }
                at = dash;
            }
            let column = at - lines::start(self.text, at);
            let end = if flow {
                item.end as usize
            } else {
                self.end_of(self.after_properties(at + 1), item, column)
            };
            children.push(Child { at, end });
        }
        let mut changes = Changes {
            removed: (0..old.len()).map(|i| !kept.iter().any(|(o, _)| *o == i)).collect(),
            added: Vec::new(),
        };
        let indent = match children.first() {
            Some(child) if !flow => self.indent_of(child.at)?.to_owned(),
            _ => String::new(),
        };
        let mut behind = None;
        for (i, value) in new.iter().enumerate() {
            if let Some((o, _)) = kept.iter().find(|(_, n)| *n == i) {
                behind = Some(*o);
                continue;
            }
            let text = self.style.flow(value);
            let text = if flow {
                text
            } else {
                format!("{indent}- {text}{}", self.style.eol)
            };
            changes.added.push((behind, text));
        }
        if flow {
            self.flow(node, &children, changes, false)
        } else {
            self.block(&children, changes, spot, "[]")
        }
    }

    /// Where the value of a member of a block map hangs.
    fn spot(&self, entry: &Entry<'_>, flat: bool) -> Step<Spot> {
        let key = entry.at as usize;
        self.indent_of(key)?;
        let after = self.after_colon(entry.end as usize);
        let after = after.ok_or_else(|| Refusal::new("the key is written in a way that is not edited", key))?;
        Ok(Spot { key, after, flat })
    }

    /// Whether the last webhook with something inside is written on one line.
    fn is_flat(&self, map: &Members<'_>) -> bool {
        let filled = map.own.iter().rev().map(|entry| entry.value.target());
        let mut filled =
            filled.filter(|node| Members::of(node).is_some_and(|map| !map.own.is_empty() || !map.merges.is_empty()));
        self.style.format == Format::Yaml && filled.next().is_some_and(|node| is_flow(self.text, node))
    }

    /// The start of a node with its anchor and tag.
    fn before_properties(&self, at: usize) -> usize {
        let mut at = at;
        loop {
            let head = self.text[..at].trim_end_matches([' ', '\t']);
            let token = head.rfind([' ', '\t', '\n', '\r', ',', '[', '{']).map_or(0, |i| i + 1);
            if token < head.len() && head[token..].starts_with(['&', '!']) {
                at = token;
            } else {
                return at;
            }
        }
    }
}

/// What a map is made of.
pub(super) struct Members<'n> {
    pub(super) own: &'n [Entry<'n>],
    pub(super) others: &'n [std::rc::Rc<Node<'n>>],
    pub(super) merges: &'n [std::ops::Range<u32>],
}

impl<'n> Members<'n> {
    /// `None`: it is no map.
    pub(super) fn of(node: &'n Node<'_>) -> Option<Self> {
        match &node.data {
            Data::Map(own) => Some(Self {
                own,
                others: &[],
                merges: &[],
            }),
            Data::Merged(merged) => Some(Self {
                own: &merged.own,
                others: &merged.others,
                merges: &merged.merges,
            }),
            _ => None,
        }
    }
}

/// Whether a node is `*name`.
pub(super) fn is_alias(text: &str, node: &Node<'_>) -> bool {
    matches!(node.data, Data::Shared(_)) && text.as_bytes().get(node.at as usize) == Some(&b'*')
}

/// Whether a container stands in brackets.
pub(super) fn is_flow(text: &str, node: &Node<'_>) -> bool {
    matches!(text.as_bytes().get(node.at as usize), Some(b'{' | b'['))
}

/// Whether a node is a container of block style.
pub(super) fn is_block(text: &str, node: &Node<'_>) -> bool {
    matches!(node.data, Data::List(_) | Data::Map(_) | Data::Merged(_)) && !is_flow(text, node)
}
