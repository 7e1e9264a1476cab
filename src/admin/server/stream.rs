//! `GET /v1/events/stream`: events as they are stored, as server-sent events. `Last-Event-ID` resumes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::{Answer, Api, Failure, State};
use crate::store::{EventQuery, EventRow, Page, StoreError};

/// How many streams are open at once.
pub(super) const STREAMS: usize = 64;

/// How often the log is looked at for what is new.
const LOOK: Duration = Duration::from_millis(200);

/// Silence that is broken with a comment, so that nothing on the way takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The most events, and the most bytes of data, that are sent between two looks (or after a `Last-Event-ID`). What is more
/// is skipped, and an event `gap` says so.
const MOST: (usize, usize) = (10_000, 16 * 1024 * 1024);

struct Follower {
    api: Arc<Api>,
    /// The last event that was sent or skipped, or that was there when the stream began; `None`: the log was empty.
    last: Option<String>,
    spoke: Instant,
    _permit: OwnedSemaphorePermit,
}

pub(super) async fn events(api: State, headers: HeaderMap) -> Answer<Response> {
    let permit = api.streams.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{STREAMS} streams are open already");
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "too many streams", detail)
    })?;
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last = match resumed {
        Some(id) => Some(id.to_owned()),
        None => newest(&api, 1, None).await?.0.into_iter().next().map(|row| row.id),
    };
    let follower = Follower {
        api: api.0.clone(),
        last,
        spoke: Instant::now(),
        _permit: permit,
    };
    let chunks = stream::unfold((follower, true), |(mut follower, first)| async move {
        let bytes = if first {
            // A client sees at once that it is heard.
            Bytes::from_static(b": following\n\n")
        } else {
            follower.next().await?
        };
        Some((Ok::<_, Infallible>(bytes), (follower, false)))
    });
    let headers = [("content-type", "text/event-stream"), ("cache-control", "no-store")];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

async fn newest(
    api: &Api,
    limit: usize,
    cursor: Option<String>,
) -> Result<(Vec<EventRow>, Option<String>), StoreError> {
    let query = EventQuery {
        page: Page { limit, cursor },
        ..EventQuery::default()
    };
    let listing = api.store.events(query).await?;
    Ok((listing.items, listing.next))
}

impl Follower {
    /// The next bytes; `None`: the gateway stops, or its store fails.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.api.reconciler.is_stopped() {
                return None;
            }
            let bytes = self.look().await.ok()?;
            if !bytes.is_empty() {
                self.spoke = Instant::now();
                return Some(bytes.into());
            }
            if self.spoke.elapsed() >= KEEP_ALIVE {
                self.spoke = Instant::now();
                return Some(Bytes::from_static(b":\n\n"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was stored since the last event, oldest first.
    async fn look(&mut self) -> Result<Vec<u8>, StoreError> {
        let (mut new, mut size, mut cursor, mut newest_id) = (Vec::new(), 0, None, None);
        // Most looks find nothing: they read one row.
        let mut limit = 1;
        let mut gap = false;
        'pages: loop {
            let (rows, next) = newest(&self.api, limit, cursor).await?;
            for row in rows {
                if self.last.as_ref() == Some(&row.id) {
                    break 'pages;
                }
                newest_id.get_or_insert_with(|| row.id.clone());
                size += row.data.as_str().len();
                gap = new.len() >= MOST.0 || size > MOST.1;
                if gap {
                    break 'pages;
                }
                new.push(row);
            }
            cursor = next;
            limit = 100;
            if cursor.is_none() {
                // The log's end, and the last event was not met: it is older than the retention.
                gap = self.last.is_some() && !new.is_empty();
                break;
            }
        }
        let mut bytes = Vec::with_capacity(size);
        if gap {
            bytes.extend_from_slice(b"event: gap\ndata: {}\n\n");
        }
        // The newest may be among what is skipped: it alone is larger than what is sent at once.
        if newest_id.is_some() {
            self.last = newest_id;
        }
        for row in new.iter().rev() {
            let json = serde_json::to_string(row).map_err(|error| StoreError::Engine(error.to_string()))?;
            bytes.extend_from_slice(format!("id: {}\nevent: {}\ndata: {json}\n\n", row.id, row.event).as_bytes());
        }
        Ok(bytes)
    }
}
