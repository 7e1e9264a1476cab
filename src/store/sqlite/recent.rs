//! The events that were appended last, so that a claim need not read what was just written.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::event::Event;

/// Events kept at most.
const EVENTS: usize = 4096;
/// Bytes of data kept at most.
const BYTES: usize = 16 * 1024 * 1024;

/// Bounded by [`EVENTS`] and [`BYTES`]; the oldest go first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    events: HashMap<i64, (i64, Arc<Event>)>,
    order: VecDeque<i64>,
    bytes: usize,
}

impl Recent {
    pub(super) fn put(&mut self, seq: i64, at_ms: i64, event: Arc<Event>) {
        self.bytes += event.data.as_str().len();
        self.events.insert(seq, (at_ms, event));
        self.order.push_back(seq);
        while self.order.len() > EVENTS || self.bytes > BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some((_, event)) = self.events.remove(&oldest) {
                self.bytes -= event.data.as_str().len();
            }
        }
    }

    /// The event and when it was stored.
    pub(super) fn get(&self, seq: i64) -> Option<(i64, Arc<Event>)> {
        self.events.get(&seq).map(|(at_ms, event)| (*at_ms, event.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Data, EventId, EventName};

    #[test]
    fn it_never_grows_beyond_its_bounds() {
        let mut recent = Recent::default();
        for seq in 0..6_000 {
            let text = format!("\"{}\"", "x".repeat(if seq < 5_000 { 10 } else { 100_000 }));
            let event = Event {
                id: EventId::new(),
                name: EventName::parse("a.b").unwrap(),
                timestamp: crate::clock::from_ms(0),
                data: Data::written(text),
                source: None,
                session: None,
                traceparent: None,
                test: false,
            };
            recent.put(seq, 0, Arc::new(event));
            assert!(recent.events.len() <= EVENTS && recent.bytes <= BYTES);
        }
        assert!(recent.get(5_999).is_some() && recent.get(4_999).is_none());
    }
}
