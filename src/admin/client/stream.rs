//! Server-sent events, as far as the gateway sends them.

use crate::store::EventRow;

/// The largest event: its data is at most a request's body, written as JSON.
const LARGEST: usize = 256 << 20;

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
}

impl EventStream {
    pub(super) fn of(response: reqwest::Response) -> Self {
        Self {
            response,
            buffer: Vec::new(),
        }
    }

    /// The next event; `None`: the stream broke off, or is none of a gateway of this version.
    pub async fn next(&mut self) -> Option<Streamed> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let message: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(streamed) = read(&message) {
                    return Some(streamed);
                }
            }
            let chunk = self.response.chunk().await.ok()??;
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
