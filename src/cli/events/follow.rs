//! Follows a gateway's events; goes on where it was when the gateway comes back.

use std::time::Duration;

use crate::admin::client::{Client, ClientError, EventStream, Streamed};
use crate::cli::Error;
use crate::store::EventRow;

/// How long after a stream broke off the gateway is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What comes next.
pub(crate) enum Followed {
    /// An event was stored.
    Event(Box<EventRow>),
    /// More came than is sent at once: some are skipped.
    Gap,
    /// The stream broke off; it is asked for again.
    BrokenOff,
    /// The person at the terminal ends it.
    Ended,
}

/// A gateway's events as they are stored.
pub(crate) struct Follower {
    client: Client,
    /// `None`: it broke off.
    stream: Option<EventStream>,
    last: Option<String>,
}

impl Follower {
    /// Begins after the event with this id, or now.
    pub(crate) async fn start(client: Client, last: Option<String>) -> Result<Self, Error> {
        let stream = Some(client.events(last.as_deref()).await?);
        Ok(Self { client, stream, last })
    }

    /// Waits for what comes next.
    pub(crate) async fn next(&mut self) -> Result<Followed, Error> {
        loop {
            let Some(stream) = &mut self.stream else {
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    _ = tokio::signal::ctrl_c() => return Ok(Followed::Ended),
                }
                match self.client.events(self.last.as_deref()).await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(
                        ClientError::NothingAnswers(_) | ClientError::Unreachable { .. } | ClientError::Timeout { .. },
                    ) => {}
                    Err(error) => return Err(error.into()),
                }
                continue;
            };
            let next = tokio::select! {
                next = stream.next() => next,
                _ = tokio::signal::ctrl_c() => return Ok(Followed::Ended),
            };
            return Ok(match next {
                Some(Streamed::Event(row)) => {
                    self.last = Some(row.id.clone());
                    Followed::Event(row)
                }
                Some(Streamed::Gap) => Followed::Gap,
                None => {
                    self.stream = None;
                    Followed::BrokenOff
                }
            });
        }
    }
}
