//! A document that was read before, with a few changes since: only what changed is read.
//!
//! All webhooks but the changed ones, their neighbours and the ends of each side are cut out ([`super::cut`]), the rest is
//! read and checked as always, with the names of the others at hand. What is left on both sides of the change must come
//! out as it was and where it was: then the reader was in the same state there as in the old text, and what follows, the
//! same text, means the same. Where that or anything else is not certain, the whole is read.

use std::collections::{BTreeMap, BTreeSet};

use super::check::MAX_DIAGNOSTICS;
use super::cut::{self, Difference, Reading, Rest};
use super::text::{self, Lines};
use super::{Address, Desired, Diagnostic, Loaded, Resource, Source, Value};

/// The webhooks of a document whose text is not read with the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Elsewhere<'a>(Option<(&'a Desired, &'a BTreeSet<&'a Address>)>);

impl<'a> Elsewhere<'a> {
    /// An inbound one.
    pub(super) fn inbound(self, name: &str) -> Option<&'a Resource> {
        let (desired, touched) = self.0?;
        let address = Address::Inbound(crate::event::Name::parse(name).ok()?);
        let resource = desired.resources.get(&address);
        resource.filter(|_| !touched.contains(&address))
    }

    /// The names of all inbound ones.
    pub(super) fn names(self) -> impl Iterator<Item = &'a str> {
        let all = self.0.into_iter();
        all.flat_map(|(desired, touched)| desired.resources.keys().filter(|address| !touched.contains(address)))
            .filter_map(|address| match address {
                Address::Inbound(name) => Some(name.as_str()),
                _ => None,
            })
    }
}

/// [`super::load`] after another text was read: the same result, sooner where the two differ in little.
///
/// `before` is that text and what came of it.
#[must_use]
pub fn load_after(before: Option<(&[u8], &Desired)>, source: &Source<'_>) -> Loaded {
    let short = before.and_then(|(text, desired)| short(text, desired, source, cut::FEWEST));
    short.unwrap_or_else(|| super::load(source))
}

/// The short way; `None`: it is not certain that it leads to the same.
pub(super) fn short(text: &[u8], desired: &Desired, source: &Source<'_>, fewest: usize) -> Option<Loaded> {
    let reading = desired.reading.as_ref()?;
    let (old, new) = (text::decode(text).ok()?, text::decode(source.text).ok()?);
    if reading.length != old.len() || reading.format != source.format {
        return None;
    }
    if old == new {
        let diagnostics = placed(reading.diagnostics.to_vec(), new, source.path);
        return Some(Loaded {
            desired: Some(desired.clone()),
            sketch: None,
            diagnostics,
        });
    }
    let difference = Difference::between(old.as_bytes(), new.as_bytes());
    let webhooks = cut::webhooks(desired);
    let (touched, keep) = around(&difference, &webhooks, &reading.outline, old)?;
    let runs = cut::runs(old, source.format, &webhooks, &keep);
    if runs.iter().map(ExactSizeIterator::len).sum::<usize>() < fewest {
        return None;
    }
    let shift = |place| difference.shift(place);
    let gap = |run: &std::ops::Range<usize>| {
        let [start, end] = [run.start, run.end].map(|i| shift(webhooks[i].1.place()));
        Some(start? as usize..end? as usize)
    };
    let rest = Rest::of(new, runs.iter().map(gap).collect::<Option<_>>()?)?;
    let found = super::read(
        &Source {
            text: rest.text.as_bytes(),
            ..*source
        },
        Elsewhere(Some((desired, &touched))),
    );
    let left = found.desired?;
    let outline = reading
        .outline
        .iter()
        .map(|key| shift(*key))
        .collect::<Option<Vec<_>>>()?;
    let outline_left = outline.iter().map(|key| rest.to_rest(*key));
    let is_cut = |i: usize| runs.iter().any(|run| run.contains(&i));
    let as_it_was = |(i, (address, resource)): (usize, &(&Address, &Resource))| {
        let place = |place| Some(rest.to_rest(shift(place)?));
        is_cut(i)
            || touched.contains(address)
            || left.resources.get(address).is_some_and(|found| {
                found == *resource
                    && place(resource.place()) == Some(found.place())
                    && place(resource.end()) == Some(found.end())
            })
    };
    let settings = |desired: &Desired| {
        let settings = desired
            .resources
            .iter()
            .filter(|(address, _)| !cut::is_webhook(address));
        settings.map(|(_, resource)| resource.clone()).collect::<Vec<_>>()
    };
    if !left.reading.as_ref()?.outline.iter().copied().eq(outline_left)
        || !webhooks.iter().enumerate().all(as_it_was)
        || left.providers != desired.providers
        || settings(&left) != settings(desired)
    {
        return None;
    }
    let stays = |address: &Address| !touched.contains(address);
    let changed = left.resources.iter().filter(|(address, _)| cut::is_webhook(address));
    let changed: BTreeMap<&Address, &Resource> = changed
        .filter(|(address, _)| !(desired.resources.contains_key(*address) && stays(address)))
        .collect();
    // Each one that was kept came out: what came out beside them must not have the name of one that was cut out.
    let kept = webhooks
        .iter()
        .enumerate()
        .filter(|(i, (address, _))| !is_cut(*i) && stays(address));
    let came_out = left.resources.keys().filter(|address| cut::is_webhook(address)).count();
    if came_out != kept.count() + changed.len() || !agree(desired, &touched, &changed) {
        return None;
    }
    let diagnostics = diagnostics(&reading.diagnostics, &found.diagnostics, &rest, &difference, |place| {
        let i = webhooks
            .partition_point(|(_, resource)| resource.place() <= place)
            .checked_sub(1)?;
        Some((webhooks[i].0, webhooks[i].1, is_cut(i)))
    })?;
    let diagnostics = placed(diagnostics, new, source.path);

    let unchanged = desired.resources.iter().filter(|(address, _)| stays(address));
    let mut resources = unchanged
        .map(|(address, resource)| {
            let extent = if cut::is_webhook(address) {
                shift(resource.place())?..shift(resource.end())?
            } else {
                resource.extent()
            };
            Some((address.clone(), resource.clone().placed(extent)))
        })
        .collect::<Option<BTreeMap<_, _>>>()?;
    for (address, resource) in changed {
        let extent = rest.to_whole(resource.place())..rest.to_whole(resource.end());
        resources.insert(address.clone(), resource.clone().placed(extent));
    }
    Some(Loaded {
        desired: Some(Desired {
            resources,
            providers: left.providers,
            reading: Some(Reading {
                format: source.format,
                length: new.len(),
                outline: outline.into(),
                diagnostics: diagnostics.as_slice().into(),
            }),
        }),
        sketch: None,
        diagnostics,
    })
}

/// The webhooks that a change touches, and which ones are to be read with them; `None`: it touches something else.
fn around<'d>(
    difference: &Difference,
    webhooks: &[(&'d Address, &'d Resource)],
    outline: &[u32],
    old: &str,
) -> Option<(BTreeSet<&'d Address>, Vec<bool>)> {
    let (start, end) = (difference.old.start, difference.old.end);
    let places: Vec<usize> = webhooks.iter().map(|(_, resource)| resource.place() as usize).collect();
    // Between the key of a side and the next key of a section stand webhooks of that side alone.
    let keys = || outline.iter().map(|key| *key as usize);
    let key = keys().filter(|key| *key < start).max()?;
    let next = keys().filter(|next| *next > key).min().unwrap_or(old.len() + 1);
    let side = places.partition_point(|place| *place < key)..places.partition_point(|place| *place < next);
    if end >= next || side.is_empty() {
        return None;
    }
    // A webhook reaches to the key of the one behind it.
    let first = places[side.clone()]
        .partition_point(|place| *place < start)
        .saturating_sub(1);
    let last = places[side.clone()].partition_point(|place| *place <= end);
    let touched = side.start + first..side.start + last.max(first);
    let mut keep = vec![false; webhooks.len()];
    cut::keep_ends(old, webhooks, &mut keep);
    keep[touched.start.saturating_sub(1)..(touched.end + 1).min(webhooks.len())].fill(true);
    Some((webhooks[touched].iter().map(|(address, _)| *address).collect(), keep))
}

/// Whether the rules between webhooks hold for those that were not read again too.
fn agree(desired: &Desired, touched: &BTreeSet<&Address>, changed: &BTreeMap<&Address, &Resource>) -> bool {
    let stay = || {
        desired
            .resources
            .iter()
            .filter(|(address, _)| !touched.contains(address))
    };
    let has = |resource: &Resource, fields: &[&str]| fields.iter().any(|field| resource.get(field).is_some());
    if stay().any(|(_, resource)| has(resource, &["previousName"]))
        || changed.values().any(|resource| has(resource, &["previousName"]))
    {
        return false;
    }
    let field = |address: &Address, resource: &Resource, name: &str| {
        let value = resource.get(name).and_then(Value::as_text).map(str::to_owned);
        matches!(address, Address::Inbound(_)).then_some((address.clone(), value))
    };
    // Senders name routes, and say what they do with a platform's messages.
    let before = touched
        .iter()
        .filter_map(|address| field(address, &desired.resources[*address], "platform"));
    let after = changed
        .iter()
        .filter_map(|(address, resource)| field(address, resource, "platform"));
    if !before.eq(after) && stay().any(|(_, resource)| has(resource, &["from", "agentHook"])) {
        return false;
    }
    let paths = changed
        .iter()
        .filter_map(|(address, resource)| field(address, resource, "path"));
    let paths: BTreeSet<Option<String>> = paths.map(|(_, path)| path).collect();
    paths.is_empty()
        || !stay()
            .any(|(address, resource)| field(address, resource, "path").is_some_and(|(_, path)| paths.contains(&path)))
}

/// What was found in the rest, and before in the webhooks that were cut out; `None`: something cannot be told apart.
fn diagnostics<'d>(
    before: &[Diagnostic],
    found: &[Diagnostic],
    rest: &Rest,
    difference: &Difference,
    owner: impl Fn(u32) -> Option<(&'d Address, &'d Resource, bool)>,
) -> Option<Vec<Diagnostic>> {
    let is_of_webhook = |path: &str| ["inbound", "outbound"].iter().any(|side| path[9..].starts_with(side));
    let mut all = Vec::new();
    for diagnostic in before.iter().chain(found) {
        diagnostic.path.strip_prefix("webhooks.")?;
    }
    for diagnostic in before.iter().filter(|diagnostic| is_of_webhook(&diagnostic.path)) {
        let (address, resource, is_cut) = owner(diagnostic.span.start)?;
        // It may stand in `defaults`: then it is not known whose it is.
        let inside = diagnostic.path.strip_prefix(&address.to_string())?;
        let own = inside.is_empty() || inside.starts_with(['.', '[']);
        if !own || diagnostic.span.end > resource.end() {
            return None;
        }
        if is_cut {
            let span = difference.shift(diagnostic.span.start)?..difference.shift(diagnostic.span.end)?;
            all.push(Diagnostic {
                span,
                ..diagnostic.clone()
            });
        }
    }
    all.extend(found.iter().map(|diagnostic| Diagnostic {
        span: rest.to_whole(diagnostic.span.start)..rest.to_whole(diagnostic.span.end),
        ..diagnostic.clone()
    }));
    // Of very many only the first are shown.
    (all.len() < MAX_DIAGNOSTICS / 2).then_some(all)
}

/// In the order of the text, with their places in it.
fn placed(mut diagnostics: Vec<Diagnostic>, text: &str, path: &str) -> Vec<Diagnostic> {
    if diagnostics.is_empty() {
        return diagnostics;
    }
    let (lines, file) = (Lines::new(text), std::sync::Arc::from(path));
    for diagnostic in &mut diagnostics {
        (diagnostic.line, diagnostic.column) = lines.position(text, diagnostic.span.start);
        diagnostic.file = std::sync::Arc::clone(&file);
    }
    diagnostics.sort_by_key(|d| (d.span.start, d.span.end, d.severity));
    diagnostics
}

#[cfg(test)]
pub(super) mod tests;
