//! What a transaction will have changed in memory when it is committed, and sums that it writes once at its end.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use crate::event::{Event, Name};
use crate::store::{Result, SenderKey};

/// How many deliveries of a sender came and went.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Change {
    pub(super) owed: i64,
    pub(super) dead: i64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Minute {
    attempts: u32,
    delivered: u32,
    delivered_ms: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) counts: HashMap<SenderKey, Change>,
    /// Who has new work; with repeats.
    pub(super) wake: Vec<SenderKey>,
    /// New events that someone is owed.
    pub(super) recent: Vec<(i64, i64, Arc<Event>)>,
    /// Claims that end.
    pub(super) settled: Vec<(SenderKey, i64)>,
    routes: HashMap<(Name, i64), (u64, i64)>,
    minutes: HashMap<(SenderKey, i64), Minute>,
}

impl Staged {
    pub(super) fn owed(&mut self, sender: SenderKey, by: i64) {
        self.counts.entry(sender).or_default().owed += by;
    }

    pub(super) fn dead(&mut self, sender: SenderKey, by: i64) {
        self.counts.entry(sender).or_default().dead += by;
    }

    /// A message came in by a route.
    pub(super) fn message(&mut self, route: &Name, at_ms: i64) {
        let quarter = at_ms.div_euclid(super::QUARTER_MS);
        let (messages, last) = self.routes.entry((route.clone(), quarter)).or_default();
        *messages += 1;
        *last = at_ms.max(*last);
    }

    /// An attempt was made.
    pub(super) fn attempt(&mut self, sender: SenderKey, at_ms: i64, delivered: bool) {
        let minute = self.minutes.entry((sender, at_ms.div_euclid(60_000))).or_default();
        minute.attempts += 1;
        if delivered {
            minute.delivered += 1;
            minute.delivered_ms = minute.delivered_ms.max(Some(at_ms));
        }
    }

    /// Adds what one command staged.
    pub(super) fn merge(&mut self, other: Self) {
        for (sender, change) in other.counts {
            let mine = self.counts.entry(sender).or_default();
            mine.owed += change.owed;
            mine.dead += change.dead;
        }
        self.wake.extend(other.wake);
        self.recent.extend(other.recent);
        self.settled.extend(other.settled);
        for (route, (messages, last)) in other.routes {
            let mine = self.routes.entry(route).or_default();
            mine.0 += messages;
            mine.1 = mine.1.max(last);
        }
        for (minute, sums) in other.minutes {
            let mine = self.minutes.entry(minute).or_default();
            mine.attempts += sums.attempts;
            mine.delivered += sums.delivered;
            mine.delivered_ms = mine.delivered_ms.max(sums.delivered_ms);
        }
    }

    /// Writes the sums: a row for each route and sender that had something, not for each event.
    pub(super) fn write_sums(&self, conn: &Connection) -> Result<()> {
        for ((route, quarter), (messages, last)) in &self.routes {
            conn.prepare_cached(
                "INSERT INTO route_quarters(route, quarter, messages, last_ms) VALUES(?1, ?2, ?3, ?4)
                 ON CONFLICT(route, quarter) DO UPDATE
                 SET messages = messages + excluded.messages, last_ms = max(last_ms, excluded.last_ms)",
            )?
            .execute((route.as_str(), quarter, messages, last))?;
        }
        for ((sender, minute), sums) in &self.minutes {
            conn.prepare_cached(
                "INSERT INTO sender_minutes(sender, minute, attempts, delivered, delivered_ms) VALUES(?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT(sender, minute) DO UPDATE
                 SET attempts = attempts + excluded.attempts, delivered = delivered + excluded.delivered,
                     delivered_ms = max(coalesce(delivered_ms, excluded.delivered_ms),
                                        coalesce(excluded.delivered_ms, delivered_ms))",
            )?
            .execute((sender.0, minute, sums.attempts, sums.delivered, sums.delivered_ms))?;
        }
        Ok(())
    }
}
