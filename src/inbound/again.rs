//! A stored request, read once more by today's normaliser.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::request::Request;
use super::routes::{Mode, Routes};
use super::trace;
use crate::clock;
use crate::event::{Data, Event, EventId};
use crate::store::{NewEvent, RawRequest};

/// Why a stored request makes no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// Its route is gone, or could not be prepared.
    #[error("its route does not serve")]
    NoRoute,
    /// The platform's normaliser does not understand it.
    #[error("{0}")]
    Refused(String),
    /// A fault of ours.
    #[error("a panic while reading the request")]
    Panic,
}

impl Routes {
    /// The events of a stored request, new and under new ids, as its route reads it now. It is not verified again: what
    /// proves a request is not stored, and it was verified when it was stored. Repeats of nothing: none has a delivery key.
    pub fn read_again(&self, raw: &RawRequest, stored_ms: i64) -> Result<Vec<NewEvent>, NotRead> {
        let route = self.route_named(&raw.route).ok_or(NotRead::NoRoute)?;
        let Mode::Serving(serving) = &route.mode else {
            return Err(NotRead::NoRoute);
        };
        let traceparent = trace::parent(&raw.headers);
        let request = Request::new(
            raw.method.clone(),
            raw.target.clone(),
            raw.headers.clone(),
            raw.body.clone(),
        );
        let read = catch_unwind(AssertUnwindSafe(|| serving.platform.read(&request, &serving.source)));
        let reading = read
            .map_err(|_| NotRead::Panic)?
            .map_err(|refusal| NotRead::Refused(refusal.detail.into_owned()))?;
        let events = reading.events.into_iter().map(|mut event| {
            if !raw.verified {
                event.mark_unverified();
            }
            let event = Event {
                id: EventId::new(),
                name: event.name,
                timestamp: event.timestamp.unwrap_or_else(|| clock::from_ms(stored_ms)),
                data: Data::written(event.data),
                source: Some(route.name.clone()),
                session: event.session.map(Into::into),
                traceparent: traceparent.clone(),
                test: false,
            };
            NewEvent { event, key: None }
        });
        Ok(events.collect())
    }
}
