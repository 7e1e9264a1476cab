//! A segment: requests and events that one transaction accepted, as the bytes of one row.
//!
//! ```text
//! row: length of what is packed (u32) | LZ4 block | CRC-32 of all before
//! packed: records ... | an offset for each event (u32, 0: the event is gone)
//! ```
//!
//! Requests of one platform repeat one another's headers and members, and each byte is written twice (log and database). A row
//! of format 1 holds what is packed as it is, and the CRC-32.
//!
//! An event whose data repeats its request's body holds what stands before and after it: the body is stored once.

use std::sync::Arc;

use http::Method;

use super::row::{self, Id};
use crate::clock::Timestamp;
use crate::event::{Data, Event, EventId, EventName, Name};
use crate::store::{RawRequest, Result, Seq, StoreError, StoredRequest};

/// A body below this is not looked for in the data: to say where it is would take as much.
const LEAST_SHARED: usize = 32;

/// Places in the data that are compared with the body.
const MOST_BEGINNINGS: usize = 64;

const TEST: u8 = 1;
const SOURCE: u8 = 2;
const SESSION: u8 = 4;
const TRACEPARENT: u8 = 8;
const OTHER_ID: u8 = 16;
const REQUEST: u8 = 32;
const SHARED: u8 = 64;

/// A segment that is being written, or one append's part of it.
#[derive(Debug, Default)]
pub(super) struct Draft {
    bytes: Vec<u8>,
    offsets: Vec<u32>,
}

/// Where a request was written, and where its body is within it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    at: usize,
    body: usize,
}

impl Draft {
    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for so many bytes at once.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Events, those that are gone too.
    pub(super) fn events(&self) -> usize {
        self.offsets.len()
    }

    /// Events that are not gone.
    pub(super) fn there(&self) -> usize {
        self.offsets.iter().filter(|offset| **offset != 0).count()
    }

    /// Adds an append that was written into a draft of its own, where everything else in it says how far it is from where it
    /// stands: its request's first event has the seq `first` now. An event that is gone has its seq and no more.
    pub(super) fn append(&mut self, part: &Self, first: i64, has_request: bool, is_gone: impl Iterator<Item = bool>) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&part.bytes);
        if has_request {
            self.bytes[at..at + size_of::<i64>()].copy_from_slice(&first.to_le_bytes());
        }
        let base = u32::try_from(at).expect("a segment is far below 4 GiB");
        let offsets = part.offsets.iter().zip(is_gone);
        self.offsets
            .extend(offsets.map(|(offset, gone)| if gone { 0 } else { base + offset }));
    }

    /// Adds a request before its events, of which there are `count` from the seq `first` on.
    pub(super) fn request(&mut self, request: &RawRequest, first: i64, count: usize) -> Place {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&first.to_le_bytes());
        self.uint(count);
        self.bytes.push(u8::from(request.verified));
        self.part(request.route.as_str().as_bytes());
        self.part(request.method.as_str().as_bytes());
        self.part(request.target.as_bytes());
        self.uint(row::headers_len(request));
        row::headers(request, &mut self.bytes);
        self.uint(request.body.len());
        let body = self.bytes.len();
        self.bytes.extend_from_slice(&request.body);
        Place { at, body }
    }

    /// Adds the next event.
    pub(super) fn event(&mut self, event: &Event, id: &Id, at_ms: i64, request: Option<(Place, &RawRequest)>) {
        let at = self.bytes.len();
        self.offsets.push(offset(at));
        let data = event.data.as_str().as_bytes();
        let shared = request.and_then(|(place, request)| Shared::of(data, place, &request.body));
        let flags = [
            (TEST, event.test),
            (SOURCE, event.source.is_some()),
            (SESSION, event.session.is_some()),
            (TRACEPARENT, event.traceparent.is_some()),
            (OTHER_ID, matches!(id, Id::Other(_))),
            (REQUEST, request.is_some()),
            (SHARED, shared.is_some()),
        ];
        let flags = flags
            .into_iter()
            .filter(|(_, set)| *set)
            .fold(0, |all, (flag, _)| all | flag);
        self.bytes.push(flags);
        match id {
            Id::Usual(bytes) => self.bytes.extend_from_slice(bytes),
            Id::Other(text) => self.part(text.as_bytes()),
        }
        self.bytes.extend_from_slice(&at_ms.to_le_bytes());
        self.bytes
            .extend_from_slice(&event.timestamp.as_microsecond().to_le_bytes());
        self.part(event.name.as_str().as_bytes());
        for text in [
            event.source.as_ref().map(Name::as_str),
            event.session.as_deref(),
            event.traceparent.as_deref(),
        ]
        .into_iter()
        .flatten()
        {
            self.part(text.as_bytes());
        }
        if let Some((place, _)) = request {
            self.uint(at - place.at);
        }
        match shared {
            Some(shared) => {
                self.part(shared.before);
                self.uint(at - shared.at);
                self.uint(shared.len);
                self.part(shared.after);
            }
            None => self.part(data),
        }
    }

    /// Adds an event that is gone: its seq stays taken.
    fn gone(&mut self) {
        self.offsets.push(0);
    }

    /// The row's bytes; the draft is empty again.
    pub(super) fn end(&mut self) -> Vec<u8> {
        for offset in self.offsets.drain(..) {
            self.bytes.extend_from_slice(&offset.to_le_bytes());
        }
        let mut row = lz4_flex::block::compress_prepend_size(&self.bytes);
        self.bytes.clear();
        row.extend_from_slice(&crc32fast::hash(&row).to_le_bytes());
        row
    }

    fn uint(&mut self, number: usize) {
        let mut number = number as u64;
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push((number & 0x7f) as u8);
    }

    fn part(&mut self, bytes: &[u8]) {
        self.uint(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }
}

fn offset(at: usize) -> u32 {
    // 0 marks an event that is gone.
    u32::try_from(at + 1).expect("a segment is one append longer than its bound, far below 4 GiB")
}

/// Data that repeats its request's body.
struct Shared<'a> {
    before: &'a [u8],
    after: &'a [u8],
    /// Where in the segment, and how long.
    at: usize,
    len: usize,
}

impl<'a> Shared<'a> {
    fn of(data: &'a [u8], place: Place, body: &[u8]) -> Option<Self> {
        let blanks = body.len() - body.trim_ascii_start().len();
        let text = body.trim_ascii();
        if text.len() < LEAST_SHARED || text.len() > data.len() {
            return None;
        }
        // It stands near the beginning: to prepare a search for more than its first byte takes longer than that search.
        let at = memchr::memchr_iter(text[0], data)
            .take(MOST_BEGINNINGS)
            .find(|at| data[*at..].starts_with(text))?;
        Some(Self {
            before: &data[..at],
            after: &data[at + text.len()..],
            at: place.body + blanks,
            len: text.len(),
        })
    }
}

/// A segment that was read.
#[derive(Debug)]
pub(super) struct Segment {
    first: i64,
    bytes: Vec<u8>,
    /// Where the offsets begin.
    table: usize,
}

/// An event as it is stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) event: Event,
    pub(super) at_ms: i64,
    /// Where its request is in the segment.
    pub(super) request: Option<usize>,
}

impl Segment {
    /// The bytes of a row that holds the seqs from `first` to `last`.
    pub(super) fn open(first: i64, last: i64, packed: bool, row: &[u8]) -> Result<Self> {
        let damaged = || StoreError::Damaged(format!("the events from {first} to {last} are not what was written"));
        let events = usize::try_from(last - first + 1).map_err(|_| damaged())?;
        let (rest, sum) = row.split_last_chunk().ok_or_else(damaged)?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*sum) {
            return Err(damaged());
        }
        let bytes = if packed {
            lz4_flex::block::decompress_size_prepended(rest).map_err(|_| damaged())?
        } else {
            rest.to_vec()
        };
        let table = events
            .checked_mul(4)
            .and_then(|table| bytes.len().checked_sub(table))
            .ok_or_else(damaged)?;
        Ok(Self { first, bytes, table })
    }

    /// Its seqs, those of events that are gone too.
    pub(super) fn seqs(&self) -> std::ops::Range<i64> {
        let events = (self.bytes.len() - self.table) / 4;
        self.first..self.first + i64::try_from(events).expect("it fits in memory")
    }

    /// Where an event's record is; `None`: it is gone, or in another segment.
    fn at(&self, seq: i64) -> Option<usize> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let at = self.table + index.checked_mul(4)?;
        let offset = self.bytes.get(at..)?.first_chunk()?;
        (u32::from_le_bytes(*offset) as usize).checked_sub(1)
    }

    fn reader(&self, at: usize) -> Reader<'_> {
        Reader(self.bytes[..self.table].get(at..).unwrap_or_default())
    }

    fn damaged(&self) -> StoreError {
        StoreError::Damaged(format!("the events from {} on are not what was written", self.first))
    }

    /// One event; `None`: it is gone.
    pub(super) fn event(&self, seq: i64) -> Result<Option<Stored>> {
        self.at(seq)
            .map(|at| self.read_event(at).ok_or_else(|| self.damaged()))
            .transpose()
    }

    fn read_event(&self, at: usize) -> Option<Stored> {
        let mut reader = self.reader(at);
        let flags = reader.byte()?;
        let id = if flags & OTHER_ID == 0 {
            Id::Usual(*reader.chunk()?).text()
        } else {
            reader.text()?.to_owned()
        };
        let at_ms = i64::from_le_bytes(*reader.chunk()?);
        let ts_us = i64::from_le_bytes(*reader.chunk()?);
        let name = EventName::parse(reader.text()?)?;
        let mut optional = |flag| -> Option<Option<&str>> {
            if flags & flag == 0 {
                Some(None)
            } else {
                reader.text().map(Some)
            }
        };
        let (source, session, traceparent) = (optional(SOURCE)?, optional(SESSION)?, optional(TRACEPARENT)?);
        let request = if flags & REQUEST == 0 {
            None
        } else {
            Some(at.checked_sub(reader.uint()?)?)
        };
        let data = if flags & SHARED == 0 {
            reader.text()?.to_owned()
        } else {
            let before = reader.text()?;
            let from = at.checked_sub(reader.uint()?)?;
            let body = self.bytes.get(from..from.checked_add(reader.uint()?)?)?;
            [before, std::str::from_utf8(body).ok()?, reader.text()?].concat()
        };
        let event = Event {
            id: EventId::from_stored(&id),
            name,
            timestamp: Timestamp::from_microsecond(ts_us).ok()?,
            data: Data::written(data),
            source: source.map(Name::parse).transpose().ok()?,
            session: session.map(Arc::from),
            traceparent: traceparent.map(Arc::from),
            test: flags & TEST != 0,
        };
        Some(Stored { event, at_ms, request })
    }

    /// The seq of the event with this id.
    pub(super) fn find(&self, id: &[u8; 16]) -> Option<i64> {
        self.seqs().find(|seq| {
            self.at(*seq).is_some_and(|at| {
                let mut reader = self.reader(at);
                reader.byte().is_some_and(|flags| flags & OTHER_ID == 0) && reader.chunk() == Some(id)
            })
        })
    }

    /// The request that made an event.
    pub(super) fn request(&self, stored: &Stored) -> Result<Option<StoredRequest>> {
        stored
            .request
            .map(|at| self.read_request(at, stored.at_ms).ok_or_else(|| self.damaged()))
            .transpose()
    }

    fn read_request(&self, at: usize, at_ms: i64) -> Option<StoredRequest> {
        let mut reader = self.reader(at);
        let first = i64::from_le_bytes(*reader.chunk()?);
        let count = i64::try_from(reader.uint()?).ok()?;
        let verified = reader.byte()? != 0;
        Some(StoredRequest {
            first: Seq(first),
            last: Seq(first.checked_add(count)? - 1),
            at_ms,
            request: RawRequest {
                verified,
                route: Name::parse(reader.text()?).ok()?,
                method: Method::from_bytes(reader.part()?).ok()?,
                target: reader.text()?.to_owned(),
                headers: row::read_headers(reader.part()?)?,
                body: reader.part()?.to_vec().into(),
            },
        })
    }

    /// The bytes of this segment with those events alone, and how many there are.
    pub(super) fn only(&self, keep: impl Fn(i64) -> bool) -> Result<(Vec<u8>, usize)> {
        let mut draft = Draft::default();
        let mut kept = 0;
        let mut last: Option<(usize, Place, RawRequest)> = None;
        for seq in self.seqs() {
            let Some(stored) = self.event(seq)?.filter(|_| keep(seq)) else {
                draft.gone();
                continue;
            };
            if let Some(at) = stored.request
                && last.as_ref().is_none_or(|(known, ..)| *known != at)
            {
                let request = self.read_request(at, stored.at_ms).ok_or_else(|| self.damaged())?;
                let count = usize::try_from(request.last.0 - request.first.0 + 1).map_err(|_| self.damaged())?;
                let place = draft.request(&request.request, request.first.0, count);
                last = Some((at, place, request.request));
            }
            let request = stored
                .request
                .and(last.as_ref())
                .map(|(_, place, request)| (*place, request));
            let id = Id::from(stored.event.id.as_str());
            draft.event(&stored.event, &id, stored.at_ms, request);
            kept += 1;
        }
        Ok((draft.end(), kept))
    }
}

/// What a [`Draft`] wrote, read again.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.chunk::<1>().map(|[byte]| *byte)
    }

    fn chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(chunk)
    }

    fn uint(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(number).ok();
            }
        }
        None
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let len = self.uint()?;
        let (part, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(part)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.part()?).ok()
    }
}

#[cfg(test)]
mod tests;
