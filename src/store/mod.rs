//! What must outlive the process: events, what is owed to whom, what was tried, and what was applied.
//!
//! One trait, one conformance suite ([`conformance`]), any number of engines. The promises, which every engine keeps:
//!
//! * [`Store::append`] is one durable transaction (fsync before it returns): the raw request, its events, their
//!   de-duplication keys and one *owed delivery* for each sender subscribed at that moment, or nothing of it.
//! * Which senders are subscribed is settled by the last [`Store::commit`]: the two are serialised.
//! * An owed delivery leaves only by [`Store::settle`]: delivered, filtered, or dead with a reason. Retention and
//!   restarts never touch what is owed.
//! * A delivery that is claimed is in one pair of hands until it is settled or released; claims die with the process.
//!
//! Times are milliseconds since the Unix epoch. Memory is bounded whatever the backlog: see each method.

#[cfg(test)]
pub(crate) mod conformance;
pub mod model;
#[cfg(test)]
pub(crate) mod simulated;
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;

pub use model::*;

/// The result of every call into the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bound of `store.maxBytes` is reached, or the disk is full: nothing was stored; try again later.
    #[error("the store is full: {0}")]
    Full(String),
    /// Too many appends wait already: nothing was stored; try again later.
    #[error("the store is busy: {0} requests wait to be written")]
    Busy(usize),
    /// Another gateway has the store's directory.
    #[error("{path} is in use by another gateway: {owner}")]
    Locked {
        /// The directory.
        path: String,
        /// What the other one wrote into the lock file.
        owner: String,
    },
    /// A newer release wrote this store.
    #[error(
        "the store was written by version {written_by} (format {found}, this release knows {known}): install that version"
    )]
    Newer {
        /// The format found.
        found: u32,
        /// The newest format that this release knows.
        known: u32,
        /// The release that wrote it.
        written_by: String,
    },
    /// The stored bytes are not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The generation that a commit builds on is not the newest any more.
    #[error("generation {expected} is not the newest any more: {found} is")]
    Stale {
        /// What the caller built on.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A page's cursor is none that a listing gave.
    #[error("`{0}` is no cursor of this listing")]
    Cursor(String),
    /// The engine's own failure.
    #[error("{0}")]
    Engine(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Told which senders have new work, after it is durable. Must return at once.
pub trait Wake: Send + Sync + 'static {
    /// These senders may have something to claim.
    fn wake(&self, senders: &[SenderKey]);
}

/// The store: see the promises above.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // ---- accepting ----

    /// Stores one accepted request's events, or says that they are repeats.
    ///
    /// An event whose key is already there (and not expired) is a repeat: it makes nothing. A key that comes twice in one
    /// append is one event. When all are repeats nothing is stored. An event of the gateway's own (`gateway.*`) that names
    /// a sender in `data.sender` is not owed to that sender, whatever it subscribes to.
    async fn append(&self, append: Append) -> Result<Vec<Appended>>;

    /// Whom to tell of new work. At most one; a second call replaces the first.
    fn set_wake(&self, wake: Arc<dyn Wake>);

    // ---- delivering ----

    /// Takes what is due for one sender, at most `claim.limit` deliveries and about `claim.bytes` of data, oldest due first
    /// (or in the claim's order).
    async fn claim(&self, claim: Claim) -> Result<Vec<Owed>>;

    /// When the sender's next unclaimed delivery is due; 0: one was never put off, and is due whatever the clock shows; `None`:
    /// it is owed nothing that is not claimed.
    async fn next_due(&self, sender: SenderKey) -> Result<Option<i64>>;

    /// Records outcomes: the attempt's log entry and what becomes of the delivery, in one durable write.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<()>;

    /// Gives back claimed deliveries untouched.
    async fn release(&self, sender: SenderKey, seqs: Vec<Seq>) -> Result<()>;

    /// Ends a draining sender: what it is still owed becomes dead letters with reason `deleted`. Returns how many. One that
    /// was not removed, or was taken back, stays as it is.
    async fn close_sender(&self, sender: SenderKey) -> Result<u64>;

    /// The clock was set back by so much, to `now_ms`: what is put off to a later time comes earlier by as much, so that
    /// nobody waits for the clock to catch up. Not in one transaction: an end in between leaves the rest as it was.
    async fn clock_set_back(&self, by_ms: i64, now_ms: i64) -> Result<()>;

    /// Suspends a sender (410, 401 of an agent hook) with the reason, or lifts it with `None`. Survives restarts.
    async fn set_suspended(&self, sender: SenderKey, reason: Option<String>) -> Result<()>;

    // ---- generations ----

    /// Makes sender changes, and the generation that they belong to, durable in one transaction.
    ///
    /// With `generation: None` (a restart with equal bytes) no generation is made.
    async fn commit(&self, commit: Commit) -> Result<Committed>;

    /// The newest generation with its document; `None` in an empty store.
    async fn last_generation(&self) -> Result<Option<(Generation, Vec<u8>)>>;

    /// One generation with its document.
    async fn generation(&self, number: u64) -> Result<Option<(Generation, Vec<u8>)>>;

    /// Generations, newest first.
    async fn generations(&self, page: Page) -> Result<Listing<Generation>>;

    /// The senders that the store knows: active, draining and suspended ones.
    async fn senders(&self) -> Result<Vec<SenderRow>>;

    /// A key of this store's own (32 random bytes, made with the store): fingerprints of secrets are keyed with it.
    fn fingerprint_key(&self) -> [u8; 32];

    // ---- reading ----

    /// Attempts and refusals, newest first.
    async fn logs(&self, query: LogQuery) -> Result<Listing<LogEntry>>;

    /// Events, newest first; a page has at most about [`PAGE_BYTES`] of data.
    async fn events(&self, query: EventQuery) -> Result<Listing<EventRow>>;

    /// One event's whole story.
    async fn story(&self, id: &str) -> Result<Option<Story>>;

    /// The request that made an event, as it was stored; `None`: no such event, or one that no request made.
    async fn raw_request(&self, event_id: &str) -> Result<Option<StoredRequest>>;

    /// Dead letters, newest first.
    async fn dead(&self, query: DeadQuery) -> Result<Listing<DeadLetter>>;

    /// What one sender is owed, has dead, and how its last hour went.
    async fn sender_figures(&self, sender: SenderKey) -> Result<SenderFigures>;

    /// When a route last received something, and how many messages since `since` (test traffic is not counted).
    async fn route_figures(&self, route: &str, since: i64) -> Result<RouteFigures>;

    /// Sums over everything: cheap enough to be asked at each scrape.
    async fn totals(&self) -> Result<Totals>;

    /// Whether it can be read: one row, whatever it holds, for whoever may ask.
    async fn answers(&self) -> Result<()> {
        Ok(())
    }

    /// How much room there is: cheap enough to be asked every second.
    fn space(&self) -> Space {
        Space::default()
    }

    /// Adds entries to a route's log (refusals, duplicates). Best effort: bounded, never durable before anything else,
    /// dropped (and counted) when the writer is behind.
    fn note(&self, entry: RouteNote);

    // ---- mending ----

    /// Puts events back into a sender's queue: see [`Replay`]. Returns how many deliveries are owed anew.
    async fn replay(&self, replay: Replay) -> Result<u64>;

    /// Drops dead letters. Returns how many.
    async fn purge_dead(&self, query: DeadQuery) -> Result<u64>;

    /// Removes what is settled and older than the retention says, in slices that do not hold up appends.
    async fn retain(&self, retention: Retention, now_ms: i64) -> Result<Retained>;

    /// Writes a consistent copy of the store into a new file or directory, while it runs.
    async fn backup(&self, to: &std::path::Path) -> Result<()>;

    /// Ends the store: what was accepted is written, later calls answer [`StoreError::Closed`].
    async fn close(&self);
}
