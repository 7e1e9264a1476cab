//! Listings, stories and figures.

use std::sync::Arc;

use super::tables::{Entry, Stored, Tables};
use crate::clock::rfc3339_seconds;
use crate::store::{
    DeadLetter, DeadQuery, EventQuery, EventRow, Generation, Listing, LogEntry, LogQuery, PAGE_BYTES, Page, Result,
    RouteFigures, SenderFigures, SenderKey, SenderRow, Seq, StoreError, StoredRequest, Story, StoryDelivery,
    StoryRequest, Totals, delivery_id,
};

const HOUR_MS: i64 = 60 * 60 * 1000;

/// A page of rows that are sorted by their places, largest first. The cursor is the last place.
fn paged<T, const N: usize>(page: &Page, rows: Vec<([i64; N], T)>) -> Result<Listing<T>> {
    paged_by_bytes(page, rows, |_| 0)
}

/// As [`paged`]; a page ends with the row that makes it [`PAGE_BYTES`] too.
fn paged_by_bytes<T, const N: usize>(
    page: &Page,
    rows: Vec<([i64; N], T)>,
    bytes: impl Fn(&T) -> usize,
) -> Result<Listing<T>> {
    let before = match &page.cursor {
        None => None,
        Some(text) => {
            let numbers: Option<Vec<i64>> = text.split('.').map(|number| number.parse().ok()).collect();
            let place: Option<[i64; N]> = numbers.and_then(|numbers| numbers.try_into().ok());
            Some(place.ok_or_else(|| StoreError::Cursor(text.clone()))?)
        }
    };
    let mut rows = rows;
    rows.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    rows.retain(|(place, _)| before.is_none_or(|before| *place < before));
    let mut sum = 0;
    let fitting = rows.iter().take(page.limit).take_while(|(_, row)| {
        let fits = sum < PAGE_BYTES;
        sum += bytes(row);
        fits
    });
    let fitting = fitting.count();
    let more = rows.len() > fitting;
    rows.truncate(fitting);
    let last = rows
        .last()
        .map(|(place, _)| place.map(|number| number.to_string()).join("."));
    Ok(Listing {
        items: rows.into_iter().map(|(_, row)| row).collect(),
        next: last.filter(|_| more),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a latency")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

impl Tables {
    pub(super) fn raw_request(&self, event_id: &str) -> Option<StoredRequest> {
        let stored = self.events.get(&self.seq(event_id)?)?;
        let request = stored.request.as_ref()?;
        let of = |stored: &Stored| stored.request.as_ref().is_some_and(|other| Arc::ptr_eq(other, request));
        let mut seqs = self.events.iter().filter(|(_, stored)| of(stored)).map(|(seq, _)| *seq);
        let first = seqs.next()?;
        Some(StoredRequest {
            first: Seq(first),
            last: Seq(seqs.next_back().unwrap_or(first)),
            at_ms: stored.at_ms,
            request: (**request).clone(),
        })
    }

    fn name(&self, sender: SenderKey) -> String {
        self.senders[&sender].name.to_string()
    }

    pub(super) fn sender_rows(&self) -> Vec<SenderRow> {
        let rows = self.senders.iter().map(|(key, sender)| SenderRow {
            key: *key,
            name: sender.name.clone(),
            removed_ms: sender.removed_ms,
            suspended: sender.suspended.clone(),
            owed: self.owed_to(*key).count() as u64,
        });
        rows.filter(|row| row.removed_ms.is_none() || row.owed > 0).collect()
    }

    pub(super) fn list_generations(&self, page: &Page) -> Result<Listing<Generation>> {
        let rows = self.generations.values().map(|(generation, _)| {
            let number = i64::try_from(generation.number).unwrap();
            ([number], generation.clone())
        });
        paged(page, rows.collect())
    }

    fn log_entry(&self, entry: &Entry) -> LogEntry {
        match entry {
            Entry::Attempt(sender, seq, attempt) => {
                let stored = self.events.get(seq);
                let event_id = stored.map(|stored| stored.event.id.as_str().to_owned());
                LogEntry {
                    at_ms: attempt.started_ms,
                    sender: Some(self.name(*sender)),
                    route: None,
                    delivery: event_id.as_deref().map(|id| delivery_id(id, *sender)),
                    event_id,
                    event: stored.map(|stored| stored.event.name.as_str().to_owned()),
                    attempt: Some(attempt.number),
                    of: Some(attempt.of),
                    status: attempt.status,
                    error: attempt.error.map(str::to_owned),
                    detail: attempt.detail.clone(),
                    response: attempt.response.clone(),
                    latency_ms: Some(milliseconds(attempt.latency_us)),
                    next_ms: attempt.next_ms,
                }
            }
            Entry::Note(note) => LogEntry {
                at_ms: note.at_ms,
                sender: None,
                route: Some(note.route.to_string()),
                event_id: None,
                event: None,
                delivery: None,
                attempt: None,
                of: None,
                status: Some(note.status),
                error: Some(note.reason.to_owned()),
                detail: Some(note.detail.clone()),
                response: None,
                latency_ms: None,
                next_ms: None,
            },
        }
    }

    pub(super) fn list_logs(&self, query: &LogQuery) -> Result<Listing<LogEntry>> {
        let mut rows = Vec::new();
        for (id, entry) in &self.log {
            let meant = match entry {
                Entry::Attempt(sender, _, attempt) => {
                    query.route.is_none()
                        && query.sender.is_none_or(|wanted| wanted == *sender)
                        && (!query.failed || attempt.error.is_some())
                }
                Entry::Note(note) => {
                    query.sender.is_none()
                        && query.route.as_ref().is_none_or(|route| note.route.as_str() == route)
                        && (!query.failed || note.reason != "duplicate")
                }
            };
            let shown = self.log_entry(entry);
            if meant
                && query.status.is_none_or(|status| shown.status == Some(status))
                && query.since_ms.is_none_or(|since_ms| shown.at_ms >= since_ms)
            {
                rows.push(([shown.at_ms, i64::try_from(*id).unwrap()], shown));
            }
        }
        paged(&query.page, rows)
    }

    fn event_row(&self, seq: i64, stored: &Stored) -> EventRow {
        let event = &stored.event;
        EventRow {
            id: event.id.to_string(),
            event: event.name.to_string(),
            timestamp: rfc3339_seconds(event.timestamp),
            at_ms: stored.at_ms,
            source: event.source.as_ref().map(ToString::to_string),
            owed: self.owed.keys().filter(|(_, of)| *of == seq).count() as u64,
            dead: self.dead.keys().filter(|(_, of)| *of == seq).count() as u64,
            test: event.test,
            data: event.data.clone(),
        }
    }

    pub(super) fn list_events(&self, query: &EventQuery) -> Result<Listing<EventRow>> {
        let rows = self
            .events
            .iter()
            .map(|(seq, stored)| ([*seq], self.event_row(*seq, stored)));
        let rows = rows.filter(|(_, row)| {
            (!query.undelivered || row.owed + row.dead > 0)
                && query.name.as_ref().is_none_or(|name| row.event == *name)
                && (query.source.is_none() || row.source == query.source)
                && query.since_ms.is_none_or(|since_ms| row.at_ms >= since_ms)
        });
        paged_by_bytes(&query.page, rows.collect(), |row| row.data.as_str().len())
    }

    pub(super) fn story(&self, id: &str) -> Option<Story> {
        let seq = *self.ids.get(id)?;
        let stored = &self.events[&seq];
        let request = stored.request.as_ref().map(|request| StoryRequest {
            route: request.route.to_string(),
            method: request.method.to_string(),
            path: request.target.split('?').next().unwrap_or_default().to_owned(),
            body_bytes: request.body.len() as u64,
            verified: request.verified,
        });
        let mut deliveries = Vec::new();
        for key in self.senders.keys() {
            let place = (*key, seq);
            let sent = self.log.values().rev().find_map(|entry| match entry {
                Entry::Attempt(sender, of, attempt) if (*sender, *of) == place && attempt.error.is_none() => {
                    Some(attempt.number)
                }
                _ => None,
            });
            let (state, attempts, due_ms, reason) = if let Some(row) = self.owed.get(&place) {
                ("owed", row.attempts, Some(row.due()), None)
            } else if let Some(dead) = self.dead.get(&place) {
                ("dead", dead.row.attempts, None, Some(dead.reason.as_str().to_owned()))
            } else if let Some(state) = self.settled.get(&place) {
                (*state, 0, None, None)
            } else if let Some(number) = sent {
                ("delivered", number, None, None)
            } else {
                continue;
            };
            deliveries.push(StoryDelivery {
                sender: self.name(*key),
                delivery: delivery_id(id, *key),
                state: state.to_owned(),
                attempts,
                due_ms,
                reason,
            });
        }
        let attempts = self
            .log
            .values()
            .filter(|entry| matches!(entry, Entry::Attempt(_, of, _) if *of == seq));
        Some(Story {
            event: self.event_row(seq, stored),
            request,
            deliveries,
            attempts: attempts.map(|entry| self.log_entry(entry)).collect(),
        })
    }

    pub(super) fn list_dead(&self, query: &DeadQuery) -> Result<Listing<DeadLetter>> {
        let meant = self
            .dead
            .iter()
            .filter(|(place, dead)| self.is_meant(query, **place, dead));
        let rows = meant.map(|((sender, seq), dead)| {
            let event = &self.events[seq].event;
            let letter = DeadLetter {
                sender: self.name(*sender),
                event_id: event.id.to_string(),
                event: event.name.to_string(),
                delivery: delivery_id(event.id.as_str(), *sender),
                reason: dead.reason.as_str().to_owned(),
                detail: dead.detail.clone(),
                since_ms: dead.at_ms,
                attempts: dead.row.attempts,
            };
            ([dead.at_ms, *seq, sender.0], letter)
        });
        paged(&query.page, rows.collect())
    }

    pub(super) fn sender_figures(&self, sender: SenderKey, now_ms: i64) -> SenderFigures {
        let of_it = self.log.values().filter_map(|entry| match entry {
            Entry::Attempt(by, _, attempt) if *by == sender => Some(attempt),
            _ => None,
        });
        let attempts: Vec<_> = of_it.collect();
        let recent: Vec<_> = attempts.iter().filter(|a| a.started_ms >= now_ms - HOUR_MS).collect();
        let mut latencies: Vec<u64> = recent.iter().map(|attempt| attempt.latency_us).collect();
        latencies.sort_unstable();
        let at = |percent: usize| {
            let place = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
            latencies.get(place).map(|us| milliseconds(*us))
        };
        let delivered = attempts.iter().filter(|attempt| attempt.error.is_none());
        SenderFigures {
            owed: self.owed_to(sender).count() as u64,
            dead: self.dead.keys().filter(|(of, _)| *of == sender).count() as u64,
            oldest_owed_ms: self.owed_to(sender).map(|(_, row)| row.since_ms).min(),
            attempts_hour: recent.len() as u64,
            delivered_hour: recent.iter().filter(|attempt| attempt.error.is_none()).count() as u64,
            p50_ms: at(50),
            p99_ms: at(99),
            last_delivered_ms: delivered
                .map(|attempt| attempt.started_ms + i64::try_from(attempt.latency_us / 1000).unwrap())
                .max(),
            last_five_failed: attempts.len() >= 5 && attempts.iter().rev().take(5).all(|a| a.error.is_some()),
        }
    }

    pub(super) fn route_figures(&self, route: &str, since_ms: i64) -> RouteFigures {
        let of_it = self.messages.iter().filter(|(name, _)| name.as_str() == route);
        let times: Vec<i64> = of_it.map(|(_, at_ms)| *at_ms).collect();
        RouteFigures {
            last_received_ms: times.iter().copied().max(),
            messages: times.iter().filter(|at_ms| **at_ms >= since_ms).count() as u64,
        }
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            owed: self.owed.len() as u64,
            dead: self.dead.len() as u64,
            oldest_owed_ms: self.owed.values().map(|row| row.since_ms).min(),
            bytes: self.bytes(),
            notes_dropped: 0,
        }
    }
}
