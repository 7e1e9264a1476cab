//! Lossless edits: a document's text with some values changed, and everything else byte for byte as it was.
//!
//! `patch` says what an edit means, `walk` turns it into splices along the located tree (`block` and `flow` know where
//! members begin and end, `write` how values are written), and `oracle` reads the result again: an edit that does not mean
//! exactly what was asked for, or touches a neighbour, is refused with the patch to make by hand. `rest` makes an edit of a
//! large document in what is left of it without the other webhooks.

mod block;
mod flow;
mod lines;
mod oracle;
mod patch;
mod rest;
mod walk;
mod write;

use patch::Patch;
use walk::{Manner, Refusal, Splice, Walk};
use write::Style;

use super::diagnostic::plain;
use super::text::{self, Node};
use super::{Address, Desired, Format, Source, Value, cut, fields, mask};

/// The keys from a resource to one of its fields: `["tls", "cert"]`.
pub type FieldPath = Vec<String>;

/// A change of one resource.
#[derive(Debug, Clone)]
pub struct Edit {
    /// Which resource.
    pub address: Address,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a resource.
#[derive(Debug, Clone)]
pub enum Change {
    /// Fields get a value or (`None`) go. What is not there is made, and the maps around it too.
    Fields(Vec<(FieldPath, Option<Value>)>),
    /// It goes, with the comment block directly above it.
    Delete,
}

/// An edited document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole text.
    pub text: String,
    /// Whether it differs from the old one.
    pub changed: bool,
}

/// Why a document is not edited. Nothing of it shows the value of a sensitive field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text cannot be read as it is.
    #[error("{path}:{line}: the document cannot be read: {reason}")]
    Broken {
        /// The document.
        path: String,
        /// The line of the first fault.
        line: usize,
        /// The fault.
        reason: String,
    },
    /// What is to be deleted is not there.
    #[error("{path}: there is no `{address}`")]
    Missing {
        /// The document.
        path: String,
        /// The resource.
        address: String,
    },
    /// The edit would change a second place too: an anchor, an alias or a merge key joins them.
    #[error(
        "{path}:{line}: `{address}` cannot be edited by itself: {reason} (line {second})\nmake this change by hand:\n{by_hand}"
    )]
    SecondPlace {
        /// The document.
        path: String,
        /// The resource.
        address: String,
        /// The line of the place that was to be changed.
        line: usize,
        /// The line of the other place.
        second: usize,
        /// What joins them.
        reason: String,
        /// The patch.
        by_hand: String,
    },
    /// The text is written in a way in which the edit cannot be made without touching something else.
    #[error("{path}:{line}: `{address}` is not edited here: {reason}\nmake this change by hand:\n{by_hand}")]
    Refused {
        /// The document.
        path: String,
        /// The resource.
        address: String,
        /// The line where it fails.
        line: usize,
        /// Why.
        reason: String,
        /// The patch.
        by_hand: String,
    },
}

/// Edits a document.
pub fn apply(source: &Source<'_>, edit: &Edit) -> Result<Edited, EditError> {
    made(source, None, edit)
}

/// Edits a document which means `desired`: the same edit, sooner where the document is large.
pub fn apply_to(desired: &Desired, source: &Source<'_>, edit: &Edit) -> Result<Edited, EditError> {
    rest::short(desired, source, edit, cut::FEWEST).map_or_else(|| apply(source, edit), Ok)
}

/// Edits a document, or the rest of the `whole` one.
fn made(source: &Source<'_>, whole: Option<&str>, edit: &Edit) -> Result<Edited, EditError> {
    let broken = |line, reason| EditError::Broken {
        path: source.path.to_owned(),
        line,
        reason,
    };
    let text = text::decode(source.text).map_err(|located| broken(1, located.fault.message))?;
    let tree = text::read(text, source.format);
    let root = match (&tree.root, tree.faults.first()) {
        (Some(root), None) => root,
        (_, fault) => {
            let (at, reason) = fault.map_or((0, String::new()), |l| (l.span.start as usize, l.fault.message.clone()));
            return Err(broken(lines::number(text, at), reason));
        }
    };
    let patches = Patch::of(edit);
    let keys = patch::keys(&edit.address);
    if matches!(edit.change, Change::Delete) && find(root, &keys).is_none() {
        return Err(EditError::Missing {
            path: source.path.to_owned(),
            address: edit.address.to_string(),
        });
    }
    let style = Style::of(text, whole.unwrap_or(text), root, source.format);
    let mut refusal = None;
    for (tidy, front) in [(true, false), (false, false), (false, true)] {
        let manner = Manner { tidy, front };
        match attempt(text, root, &patches, &keys, &style, manner) {
            Ok(edited) => {
                let mark = if source.text.starts_with(b"\xef\xbb\xbf") {
                    "\u{feff}"
                } else {
                    ""
                };
                return Ok(Edited {
                    changed: edited != text,
                    text: format!("{mark}{edited}"),
                });
            }
            Err(other) => _ = refusal.get_or_insert(other),
        }
    }
    let refusal = refusal.expect("every attempt failed");
    let (path, address) = (source.path.to_owned(), edit.address.to_string());
    let (line, by_hand) = (lines::number(text, refusal.at), by_hand(edit, source.format));
    Err(match refusal.second {
        Some(second) => EditError::SecondPlace {
            path,
            address,
            line,
            second: lines::number(text, second),
            reason: refusal.reason,
            by_hand,
        },
        None => EditError::Refused {
            path,
            address,
            line,
            reason: refusal.reason,
            by_hand,
        },
    })
}

fn attempt(
    text: &str,
    root: &Node<'_>,
    patches: &[(String, Patch)],
    keys: &[String],
    style: &Style,
    manner: Manner,
) -> Result<String, Refusal> {
    let mut walk = Walk {
        text,
        style,
        manner,
        splices: Vec::new(),
    };
    walk.map(root, None, patches, 1)?;
    let at_the_end = walk
        .splices
        .iter()
        .any(|splice| splice.at == text.len() && !splice.text.is_empty());
    if at_the_end && !text.ends_with(['\n', '\r']) && walk.ends_in_block_scalar(root) {
        // Readers disagree on whether its last line has an end; with lines behind it, it has one.
        return Err(Refusal::new(
            "the block scalar at the end of the text would get a line end",
            text.len(),
        ));
    }
    let edited = spliced(text, walk.splices)?;
    if edited == text {
        return judge(text, root, root, patches, keys).map(|()| edited);
    }
    let territory = oracle::territory(text, root, keys, style, manner);
    let untouched = territory.is_some_and(|range| {
        let (head, tail) = (&text[..range.start], &text[range.end.max(range.start)..]);
        edited.len() >= head.len() + tail.len() && edited.starts_with(head) && edited.ends_with(tail)
    });
    if !untouched {
        let at = find(root, keys).map_or(root.at, |node| node.at) as usize;
        return Err(Refusal::new("the lines around it would change too", at));
    }
    let tree = text::read(&edited, style.format);
    match (&tree.root, tree.faults.first()) {
        (Some(new), None) => judge(text, root, new, patches, keys)?,
        (_, fault) => {
            let at = find(root, keys).map_or(root.at, |node| node.at) as usize;
            return Err(shared(text, root, keys).unwrap_or_else(|| {
                let reason = fault.map_or_else(String::new, |located| located.fault.message.clone());
                Refusal::new(format!("the result could not be read: {reason}"), at)
            }));
        }
    }
    Ok(edited)
}

/// Asks the oracle.
fn judge(
    text: &str,
    old: &Node<'_>,
    new: &Node<'_>,
    patches: &[(String, Patch)],
    keys: &[String],
) -> Result<(), Refusal> {
    let Err(mismatch) = oracle::Judge::new(text).document(old, new, patches) else {
        return Ok(());
    };
    let at = find(old, keys).map_or(old.at, |node| node.at) as usize;
    if mismatch.path.starts_with(keys) || keys.starts_with(&mismatch.path) {
        return Err(Refusal::new(
            "the result would not mean what was asked for",
            mismatch.at,
        ));
    }
    Err(Refusal {
        reason: format!("`{}` would change with it", plain(&mismatch.path.join("."))),
        at,
        second: Some(mismatch.at),
    })
}

/// The place that uses an anchor which stands inside of an entry.
fn shared(text: &str, root: &Node<'_>, keys: &[String]) -> Option<Refusal> {
    let (name, above) = keys.split_last()?;
    let parent = find(root, above)?;
    let entry = parent.members()?.into_iter().find(|entry| *entry.key == **name)?;
    let end = (entry.value.end as usize).max(entry.end as usize);
    let inside = &text[entry.at as usize..end];
    let anchors = inside.match_indices('&').map(|(i, _)| entry.at as usize + i);
    for at in anchors {
        let name = text[at + 1..]
            .split([' ', '\n', '\r', '\t', ',', '}', ']'])
            .next()
            .unwrap_or_default();
        let alias = format!("*{name}");
        let mut uses = text[end..].match_indices(&alias).map(|(i, _)| end + i);
        if let Some(second) = uses.find(|_| !name.is_empty()) {
            return Some(Refusal {
                reason: format!("its anchor `&{name}` is used elsewhere"),
                at,
                second: Some(second),
            });
        }
    }
    None
}

fn spliced(text: &str, mut splices: Vec<Splice>) -> Result<String, Refusal> {
    // What is inserted at a place comes before what is removed from there on.
    splices.sort_by_key(|splice| (splice.at, splice.end));
    let mut out = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for splice in splices {
        if splice.at < at || splice.end < splice.at {
            return Err(Refusal::new("two changes meet at one place", splice.at));
        }
        out.push_str(&text[at..splice.at]);
        out.push_str(&splice.text);
        at = splice.end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// The value at the end of some keys.
fn find<'n, 'a>(root: &'n Node<'a>, keys: &[String]) -> Option<&'n Node<'a>> {
    keys.iter().try_fold(root, |node, key| node.get(key))
}

/// The change as a person would make it.
fn by_hand(edit: &Edit, format: Format) -> String {
    let keys = patch::keys(&edit.address);
    let Change::Fields(changes) = &edit.change else {
        return format!("  remove `{}` and all that it holds", edit.address);
    };
    let section = fields::section(keys.get(1).map_or("", String::as_str));
    let style = Style::plain(format);
    let lines = changes.iter().map(|(path, value)| {
        let place = path.join(".");
        let field = section.and_then(|section| fields::walk(section.fields).find(|(p, _)| *p == place).map(|(_, f)| f));
        match value {
            None => format!("  remove `{}.{place}`", edit.address),
            Some(value) => {
                let shown = field.map_or_else(|| value.clone(), |field| mask::shown(field, value));
                format!("  set `{}.{place}` to `{}`", edit.address, style.flow(&shown))
            }
        }
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return format!("  set `{}` to `{{}}`", edit.address);
    }
    lines.join("\n")
}

#[cfg(test)]
pub(super) mod properties;
#[cfg(test)]
mod tests;
