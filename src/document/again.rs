//! A document that was read before, with a few changes since: only what changed is read.
//!
//! All webhooks but the changed ones, their neighbours and the ends of each side are cut out ([`super::cut`]), the rest is
//! read and checked as always, with the names of the others at hand. What is left on both sides of the change must come
//! out as it was and where it was: then the reader was in the same state there as in the old text, and what follows, the
//! same text, means the same. Where that or anything else is not certain, the whole is read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::check::MAX_DIAGNOSTICS;
use super::cut::{self, Difference, Reading, Rest};
use super::text::{self, Lines};
use super::{Address, Desired, Diagnostic, Loaded, Resource, Source};
use crate::event::Name;

/// The webhooks of a document whose text is not read with the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Elsewhere<'a>(Option<(&'a Desired, &'a BTreeSet<&'a Address>)>);

impl<'a> Elsewhere<'a> {
    /// An inbound one.
    pub(super) fn inbound(self, name: &str) -> Option<&'a Resource> {
        let (desired, touched) = self.0?;
        let address = Address::Inbound(Name::parse(name).ok()?);
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
        return Some(Loaded {
            desired: Some(desired.clone()),
            sketch: None,
            diagnostics: placed(reading.diagnostics.to_vec(), new, source.path),
        });
    }
    let change = Change::between(old, new, desired, reading)?;
    if change.runs.iter().map(ExactSizeIterator::len).sum::<usize>() < fewest {
        return None;
    }
    let rest = change.rest(new)?;
    let rest_source = Source {
        text: rest.text.as_bytes(),
        ..*source
    };
    let found = super::read(&rest_source, Elsewhere(Some((desired, &change.touched))));
    let left = found.desired?;
    let outline = change.witnessed(&rest, &left)?;
    let changed = change.changed(&left)?;
    if !change.agrees(&changed) {
        return None;
    }
    let diagnostics = placed(change.diagnostics(&found.diagnostics, &rest)?, new, source.path);
    Some(Loaded {
        desired: Some(Desired {
            resources: change.resources(&changed, &rest)?,
            providers: left.providers,
            reading: Some(Reading {
                format: source.format,
                length: new.len(),
                outline,
                diagnostics: diagnostics.as_slice().into(),
            }),
        }),
        sketch: None,
        diagnostics,
    })
}

/// What became of a document, as far as its text alone says.
struct Change<'d> {
    desired: &'d Desired,
    reading: &'d Reading,
    difference: Difference,
    /// The old document's webhooks in the order of its text.
    webhooks: Vec<(&'d Address, &'d Resource)>,
    /// Those that may be others now, or gone.
    touched: BTreeSet<&'d Address>,
    /// Those that are not read again.
    runs: Vec<Range<usize>>,
}

impl<'d> Change<'d> {
    /// `None`: something else than webhooks changed.
    fn between(old: &str, new: &str, desired: &'d Desired, reading: &'d Reading) -> Option<Self> {
        let difference = Difference::between(old.as_bytes(), new.as_bytes());
        let (start, end) = (difference.old.start, difference.old.end);
        let webhooks = cut::webhooks(desired);
        let places: Vec<usize> = webhooks.iter().map(|(_, webhook)| webhook.place() as usize).collect();
        // Between the key of a side and the next key of a section stand webhooks of that side alone.
        let keys = || reading.outline.iter().map(|key| *key as usize);
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
        cut::keep_ends(old, &webhooks, &mut keep);
        keep[touched.start.saturating_sub(1)..(touched.end + 1).min(webhooks.len())].fill(true);
        Some(Self {
            desired,
            reading,
            difference,
            touched: webhooks[touched].iter().map(|(address, _)| *address).collect(),
            runs: cut::runs(old, reading.format, &webhooks, &keep),
            webhooks,
        })
    }

    /// The new text without what is not read again.
    fn rest(&self, new: &str) -> Option<Rest> {
        let place = |i: usize| self.shift(self.webhooks[i].1.place()).map(|place| place as usize);
        let gaps = self.runs.iter().map(|run| Some(place(run.start)?..place(run.end)?));
        Rest::of(new, gaps.collect::<Option<_>>()?)
    }

    fn shift(&self, place: u32) -> Option<u32> {
        self.difference.shift(place)
    }

    fn is_cut(&self, webhook: usize) -> bool {
        self.runs.iter().any(|run| run.contains(&webhook))
    }

    /// What stands in the new document as it stood in the old one.
    fn staying(&self) -> impl Iterator<Item = (&'d Address, &'d Resource)> {
        let all = self.desired.resources.iter();
        all.filter(|(address, _)| !self.touched.contains(address))
    }

    /// Whether everything around the change came out as it was and where it was: then the keys of the new text's sections.
    fn witnessed(&self, rest: &Rest, left: &Desired) -> Option<Arc<[u32]>> {
        let outline: Arc<[u32]> = (self.reading.outline.iter())
            .map(|key| self.shift(*key))
            .collect::<Option<_>>()?;
        let place = |place| self.shift(place).map(|place| rest.to_rest(place));
        let same = |(address, old): (&Address, &Resource)| {
            let found = left.resources.get(address).filter(|found| *found == old);
            found.is_some_and(|found| {
                !cut::is_webhook(address)
                    || (place(old.place()) == Some(found.place()) && place(old.end()) == Some(found.end()))
            })
        };
        let settings = self.staying().filter(|(address, _)| !cut::is_webhook(address));
        let kept = self.webhooks.iter().enumerate().filter(|(i, _)| !self.is_cut(*i));
        let kept = kept
            .map(|(_, webhook)| *webhook)
            .filter(|(address, _)| !self.touched.contains(address));
        let keys = left.reading.as_ref()?.outline.iter().copied();
        let all = keys.eq(outline.iter().map(|key| rest.to_rest(*key)))
            && settings.chain(kept).all(same)
            && left.providers == self.desired.providers;
        all.then_some(outline)
    }

    /// The new webhooks and the changed ones; `None`: one has the name of one that was cut out.
    fn changed<'l>(&self, left: &'l Desired) -> Option<BTreeMap<&'l Address, &'l Resource>> {
        let stays = |address| self.desired.resources.contains_key(address) && !self.touched.contains(address);
        let webhooks = left.resources.iter().filter(|(address, _)| cut::is_webhook(address));
        let (kept, changed): (Vec<_>, Vec<_>) = webhooks.partition(|(address, _)| stays(address));
        // Every one that was kept came out.
        let cut: usize = self.runs.iter().map(ExactSizeIterator::len).sum();
        (kept.len() + cut + self.touched.len() == self.webhooks.len()).then(|| changed.into_iter().collect())
    }

    /// Whether the rules between webhooks hold for those that were cut out too.
    fn agrees(&self, changed: &BTreeMap<&Address, &Resource>) -> bool {
        let follows = |resource: &Resource| resource.get("previousName").is_some();
        if self.staying().any(|(_, resource)| follows(resource)) || changed.values().any(|resource| follows(resource)) {
            return false;
        }
        let is_inbound = |address: &Address| matches!(address, Address::Inbound(_));
        // Senders name routes, and say what they do with a platform's messages.
        let before = self.touched.iter().filter(|address| is_inbound(address));
        let before = before.map(|address| (*address, self.desired.resources[*address].get("platform")));
        let after = || changed.iter().filter(|(address, _)| is_inbound(address));
        let names = |resource: &Resource| resource.get("from").is_some() || resource.get("agentHook").is_some();
        let same_routes = before.eq(after().map(|(address, resource)| (*address, resource.get("platform"))));
        if !same_routes && self.staying().any(|(_, resource)| names(resource)) {
            return false;
        }
        let paths: HashSet<_> = after().map(|(_, resource)| resource.get("path")).collect();
        let mut others = self.staying().filter(|(address, _)| is_inbound(address));
        paths.is_empty() || !others.any(|(_, resource)| paths.contains(&resource.get("path")))
    }

    /// What was found in the rest, and before in the webhooks that were cut out; `None`: something cannot be told apart.
    fn diagnostics(&self, found: &[Diagnostic], rest: &Rest) -> Option<Vec<Diagnostic>> {
        let mut all = Vec::new();
        for diagnostic in &*self.reading.diagnostics {
            let path = diagnostic.path.strip_prefix("webhooks.")?;
            if !["inbound", "outbound"].iter().any(|side| path.starts_with(side)) {
                continue;
            }
            let span = &diagnostic.span;
            let behind = self
                .webhooks
                .partition_point(|(_, webhook)| webhook.place() <= span.start);
            let (address, webhook) = self.webhooks[behind.checked_sub(1)?];
            // It may stand in `defaults`: then it is not known whose it is.
            let inside = diagnostic.path.strip_prefix(&address.to_string())?;
            if span.end > webhook.end() || !(inside.is_empty() || inside.starts_with(['.', '['])) {
                return None;
            }
            if self.is_cut(behind - 1) {
                all.push(Diagnostic {
                    span: self.shift(span.start)?..self.shift(span.end)?,
                    ..diagnostic.clone()
                });
            }
        }
        for diagnostic in found {
            diagnostic.path.strip_prefix("webhooks.")?;
            all.push(Diagnostic {
                span: rest.to_whole(diagnostic.span.start)..rest.to_whole(diagnostic.span.end),
                ..diagnostic.clone()
            });
        }
        // Of very many only the first are shown.
        (all.len() < MAX_DIAGNOSTICS / 2).then_some(all)
    }

    /// What the new document means, each where it stands now.
    fn resources(&self, changed: &BTreeMap<&Address, &Resource>, rest: &Rest) -> Option<BTreeMap<Address, Resource>> {
        let staying = self.staying().map(|(address, resource)| {
            let extent = resource.extent();
            let extent = if cut::is_webhook(address) {
                self.shift(extent.start)?..self.shift(extent.end)?
            } else {
                extent
            };
            Some((address.clone(), resource.clone().placed(extent)))
        });
        let mut resources: BTreeMap<_, _> = staying.collect::<Option<_>>()?;
        resources.extend(changed.iter().map(|(address, resource)| {
            let extent = rest.to_whole(resource.place())..rest.to_whole(resource.end());
            ((*address).clone(), (*resource).clone().placed(extent))
        }));
        Some(resources)
    }
}

/// In the order of the text, with their places in it.
fn placed(mut diagnostics: Vec<Diagnostic>, text: &str, path: &str) -> Vec<Diagnostic> {
    if diagnostics.is_empty() {
        return diagnostics;
    }
    let (lines, file) = (Lines::new(text), Arc::from(path));
    for diagnostic in &mut diagnostics {
        (diagnostic.line, diagnostic.column) = lines.position(text, diagnostic.span.start);
        diagnostic.file = Arc::clone(&file);
    }
    diagnostics.sort_by_key(|d| (d.span.start, d.span.end, d.severity));
    diagnostics
}

#[cfg(test)]
pub(super) mod tests;
