//! A large document without most of its webhooks: what is left is read in a few milliseconds, and says of every place
//! where it stands in the whole.
//!
//! Cut out are runs of whole entries, each from its key to the key of an entry of the same side. At both a reader waits
//! for the next key of the same map, so what is left is read as it was: docs/decisions/008-parse-again.md.

use std::ops::Range;
use std::sync::Arc;

use super::text::{Data, MAX_BYTES, Tree};
use super::{Address, Desired, Diagnostic, Format, Resource};

/// Cutting out fewer webhooks is not worth it.
pub(super) const FEWEST: usize = 64;

/// What a reading leaves for the next one, beside what the document means.
#[derive(Debug, Clone)]
pub struct Reading {
    pub(super) format: Format,
    /// The bytes of the text: a guard against the text of another document.
    pub(super) length: usize,
    pub(super) outline: Arc<[u32]>,
    pub(super) diagnostics: Arc<[Diagnostic]>,
}

/// Where the keys of the document stand, and then those of `webhooks`; `None`: the text is such that one part of it may
/// mean something else without another.
pub(super) fn outline(tree: &Tree<'_>) -> Option<Arc<[u32]>> {
    let Data::Map(members) = &tree.root.as_ref().filter(|_| tree.plain)?.data else {
        return None;
    };
    let webhooks = members.iter().find(|entry| &*entry.key == "webhooks");
    let parts = match webhooks.map(|entry| &entry.value.data) {
        Some(Data::Map(parts)) => &**parts,
        _ => &[],
    };
    Some(members.iter().chain(parts).map(|entry| entry.at).collect())
}

/// The webhooks of a document in the order of its text.
pub(super) fn webhooks(desired: &Desired) -> Vec<(&Address, &Resource)> {
    let webhooks = desired.resources.iter().filter(|(address, _)| is_webhook(address));
    let mut webhooks: Vec<_> = webhooks.collect();
    webhooks.sort_by_key(|(_, resource)| resource.place());
    webhooks
}

pub(super) fn is_webhook(address: &Address) -> bool {
    matches!(address, Address::Inbound(_) | Address::Outbound(_))
}

/// Keeps the first and the last webhooks of each side, up to one with something inside: what is written anew takes its
/// style from them.
pub(super) fn keep_ends(text: &str, webhooks: &[(&Address, &Resource)], keep: &mut [bool]) {
    let is_inbound = |(address, _): &(&Address, &Resource)| matches!(address, Address::Inbound(_));
    let filled = |i: &usize| {
        let (from, to) = (webhooks[*i].1.place() as usize, webhooks[*i].1.end() as usize);
        text.get(from..to).is_none_or(|text| text.matches(':').nth(1).is_some())
    };
    let mut from = 0;
    for side in webhooks.chunk_by(|a, b| is_inbound(a) == is_inbound(b)) {
        let to = from + side.len();
        let first = (from..to).find(filled).unwrap_or(to - 1);
        let last = (from..to).rev().find(filled).unwrap_or(from);
        keep[from..=first].fill(true);
        keep[last..to].fill(true);
        from = to;
    }
}

/// The runs of webhooks that are not kept, as indices: behind each stands one that is.
pub(super) fn runs(text: &str, format: Format, webhooks: &[(&Address, &Resource)], keep: &[bool]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut from = 0;
    for kept in keep.chunk_by(|a, b| a == b) {
        let run = from..from + kept.len();
        from = run.end;
        let places = [run.start, run.end].map(|i| webhooks.get(i).map(|(_, resource)| resource.place() as usize));
        let [Some(start), Some(end)] = places else { continue };
        let lead = lead(text, format, start);
        if !kept[0] && lead.is_some() && lead == self::lead(text, format, end) {
            runs.push(run);
        }
    }
    runs
}

/// The blanks before a key that begins its line.
fn lead(text: &str, format: Format, at: usize) -> Option<&str> {
    let line = text.get(..at)?;
    let lead = &line[line.rfind(['\n', '\r'])? + 1..];
    let blank = |byte: u8| byte == b' ' || (byte == b'\t' && format == Format::Json5);
    lead.bytes().all(blank).then_some(lead)
}

/// What is left of a text.
pub(super) struct Rest {
    pub(super) text: String,
    /// What was cut out of the whole, in order.
    gaps: Vec<Range<usize>>,
}

impl Rest {
    /// `None`: a gap is no part of the text.
    pub(super) fn of(whole: &str, gaps: Vec<Range<usize>>) -> Option<Self> {
        let mut text = String::with_capacity(whole.len() - gaps.iter().map(ExactSizeIterator::len).sum::<usize>());
        let mut at = 0;
        for gap in &gaps {
            text.push_str(whole.get(at..gap.start)?);
            at = gap.end;
        }
        text.push_str(whole.get(at..)?);
        Some(Self { text, gaps })
    }

    /// Where a place of the rest is in the whole.
    pub(super) fn to_whole(&self, place: u32) -> u32 {
        let mut at = place as usize;
        for gap in &self.gaps {
            if at < gap.start {
                break;
            }
            at += gap.len();
        }
        offset(at)
    }

    /// Where a place of the whole that was not cut out is in the rest.
    pub(super) fn to_rest(&self, place: u32) -> u32 {
        let before = self.gaps.iter().take_while(|gap| gap.end <= place as usize);
        place - offset(before.map(ExactSizeIterator::len).sum())
    }

    /// Whether something was cut out inside of these bytes of the rest, or at their ends.
    pub(super) fn is_cut_in(&self, range: &Range<usize>) -> bool {
        let mut before = 0;
        self.gaps.iter().any(|gap| {
            let at = gap.start - before;
            before += gap.len();
            range.start <= at && at <= range.end
        })
    }
}

/// What differs between two texts: the bytes of the old one and those that took their place.
pub(super) struct Difference {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

impl Difference {
    pub(super) fn between(old: &[u8], new: &[u8]) -> Self {
        let start = common(old.iter(), new.iter(), old.chunks(CHUNK), new.chunks(CHUNK));
        let (old_rest, new_rest) = (&old[start..], &new[start..]);
        let end = common(
            old_rest.iter().rev(),
            new_rest.iter().rev(),
            old_rest.rchunks(CHUNK),
            new_rest.rchunks(CHUNK),
        );
        let (mut old_range, mut new_range) = (start..old.len() - end, start..new.len() - end);
        // Lines that came or went do so from the start of a line on, not from the first word behind its blanks.
        let (longer, range) = if old_range.is_empty() {
            (new, &new_range)
        } else {
            (old, &old_range)
        };
        let blanks = longer[..range.start].iter().rev().zip(longer[..range.end].iter().rev());
        let blanks = blanks.take_while(|(a, b)| a == b && **a == b' ').count();
        if old_range.is_empty() || new_range.is_empty() {
            old_range = old_range.start - blanks..old_range.end - blanks;
            new_range = new_range.start - blanks..new_range.end - blanks;
        }
        Self {
            old: old_range,
            new: new_range,
        }
    }

    /// Where a place of the old text is in the new one; `None`: nowhere.
    pub(super) fn shift(&self, place: u32) -> Option<u32> {
        let at = place as usize;
        if at >= self.old.end {
            return Some(offset(at - self.old.end + self.new.end));
        }
        (at < self.old.start).then_some(place)
    }
}

const CHUNK: usize = 4096;

/// How many bytes two texts have in common where they begin: chunk by chunk, then byte by byte.
fn common<'a>(
    old: impl Iterator<Item = &'a u8>,
    new: impl Iterator<Item = &'a u8>,
    old_chunks: impl Iterator<Item = &'a [u8]>,
    new_chunks: impl Iterator<Item = &'a [u8]>,
) -> usize {
    let chunks = old_chunks.zip(new_chunks).take_while(|(old, new)| old == new);
    let known: usize = chunks.map(|(chunk, _)| chunk.len()).sum();
    known + old.zip(new).skip(known).take_while(|(old, new)| old == new).count()
}

/// A byte offset; texts are smaller than this.
fn offset(at: usize) -> u32 {
    const { assert!(MAX_BYTES < u32::MAX as usize) };
    u32::try_from(at).unwrap_or(u32::MAX)
}
