//! Server-sent events, as far as the gateway sends them.

use std::time::Duration;

use memchr::memmem;

use crate::store::EventRow;

/// The largest event: its data is at most a request's body, written as JSON.
const LARGEST: usize = 256 << 20;

/// Three times the gateway's silence: it breaks its own with a comment every 15 s. What says nothing for so long is gone,
/// though no packet told so.
pub(super) const SILENCE: Duration = Duration::from_secs(45);

/// What a stream of events says next.
#[derive(Debug)]
pub enum Streamed {
    /// An event was stored.
    Event(Box<EventRow>),
    /// Some were skipped: more came than the gateway sends at once.
    Gap,
}

/// Events as they are stored.
pub struct EventStream {
    response: reqwest::Response,
    buffer: Vec<u8>,
    /// No message ends before this place of the buffer.
    looked: usize,
}

impl EventStream {
    pub(super) fn of(response: reqwest::Response) -> Self {
        Self {
            response,
            buffer: Vec::new(),
            looked: 0,
        }
    }

    /// The next event; `None`: the stream broke off or fell silent, or is none of a gateway of this version.
    pub async fn next(&mut self) -> Option<Streamed> {
        loop {
            while let Some(at) = memmem::find(&self.buffer[self.looked..], b"\n\n") {
                let message: Vec<u8> = self.buffer.drain(..self.looked + at + 2).collect();
                self.looked = 0;
                if let Some(streamed) = read(&message) {
                    return Some(streamed);
                }
            }
            // Half of the end may be there.
            self.looked = self.buffer.len().saturating_sub(1);
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            let chunk = chunk.ok()?.ok()??;
            if self.buffer.len() + chunk.len() > LARGEST {
                return None;
            }
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

/// One message; a comment, or something of a later version, is nothing.
fn read(message: &[u8]) -> Option<Streamed> {
    let text = std::str::from_utf8(message).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    if field("event: ") == Some("gap") {
        return Some(Streamed::Gap);
    }
    serde_json::from_str(field("data: ")?)
        .ok()
        .map(|row| Streamed::Event(Box::new(row)))
}
