//! What a plan would have meant for the events that a store holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use crate::clock;
use crate::document::{Desired, Value};
use crate::expression::{Filter, Seen, Template};
use crate::plan::impact::{Compile, Impact, MOST_EVENTS, Stored, Weigher};
use crate::store::{EventQuery, Listing, Page, Store, StoreError};

/// Since when events are replayed, where nothing else is said: 24 h.
pub const DEFAULT_SINCE_MS: i64 = 24 * 3_600_000;

/// How long events are replayed; what is older than what was reached then is left out.
const DEADLINE: Duration = Duration::from_secs(20);

/// Events of one page.
const PAGE: usize = 1_000;

/// A sender's filter and templates as a plan weighs them. A text with a reference in it is left out: what it refers to is
/// known where the gateway runs.
const COMPILE: Compile<'static> = &|resource| {
    let message = resource.effective("agentHook");
    let message = message.as_ref().and_then(|agent_hook| agent_hook.get("message"));
    let readable = |value: &Value| value.as_text().filter(|text| !text.contains("${")).map(str::to_owned);
    let text = |field| resource.effective(field).as_ref().and_then(readable);
    // What cannot be read is an error of the document, which has no plan.
    let filter = text("filter").and_then(|text| Filter::parse(&text).ok());
    let templates: Vec<Template> = [text("body"), text("text"), message.and_then(readable)]
        .into_iter()
        .flatten()
        .filter_map(|text| Template::parse(&text).ok())
        .collect();
    if filter.is_none() && templates.is_empty() {
        return None;
    }
    Some(Box::new(move |event| {
        let seen = Seen {
            event: event.name,
            id: event.id,
            timestamp: event.timestamp,
            source: event.source,
            data: event.data,
        };
        if let Some(filter) = &filter
            && !filter.passes(&seen).map_err(|why| format!("filter: {why}"))?
        {
            return Ok(false);
        }
        for template in &templates {
            template.render(&seen).map_err(|why| format!("template: {why}"))?;
        }
        Ok(true)
    }))
};

/// Replays what was stored since then, the newest first, through two documents. Test traffic is not counted. Memory holds
/// one page at a time; filters and templates run away from the runtime's threads.
pub async fn weigh(store: &dyn Store, [old, new]: [Arc<Desired>; 2], since_ms: i64) -> Result<Impact, StoreError> {
    let mut weigher = away(move || Weigher::new(&old, &new, COMPILE)).await?;
    let end = Instant::now() + DEADLINE;
    let (mut cursor, mut left) = (None, MOST_EVENTS);
    loop {
        let query = EventQuery {
            since_ms: Some(since_ms),
            page: Page {
                limit: PAGE.min(left),
                cursor,
            },
            ..EventQuery::default()
        };
        let Listing { items, next } = store.events(query).await?;
        left -= items.len().min(left);
        weigher = away(move || {
            for row in items.iter().filter(|row| !row.test) {
                weigher.weigh(&Stored {
                    id: &row.id,
                    name: &row.event,
                    source: row.source.as_deref(),
                    timestamp: &row.timestamp,
                    data: row.data.as_str(),
                });
            }
            weigher
        })
        .await?;
        cursor = next;
        let cut = cursor.is_some() && (left == 0 || Instant::now() > end);
        if cursor.is_none() || cut {
            return Ok(weigher.finish(clock::rfc3339_seconds(clock::from_ms(since_ms)), cut));
        }
    }
}

async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| StoreError::Engine(format!("the impact was cut short: {error}")))
}
