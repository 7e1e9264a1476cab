//! For tests: a store in memory that keeps what it is given, and settings that a test varies.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{Limits, RouteChange, Routes};
use crate::clock::{ManualClock, from_ms};
use crate::document::Inbound;
use crate::document::settings::{Jwks, SignatureScheme};
use crate::event::Name;
use crate::secret::Secret;
use crate::store::{
    Append, Appended, Claim, Commit, Committed, DeadLetter, DeadQuery, EventQuery, EventRow, Generation, Listing,
    LogEntry, LogQuery, Owed, Page, Replay, Result, Retained, Retention, RouteFigures, RouteNote, SenderFigures,
    SenderKey, SenderRow, Seq, Settlement, Store, StoreError, StoredRequest, Story, Totals, Wake,
};

/// The time of the vectors.
pub(super) const NOW_S: i64 = 1_773_570_600;

type Keys = HashMap<(Arc<str>, String), (String, i64)>;

/// Keeps appends and notes; everything else is refused.
#[derive(Default)]
pub(super) struct FakeStore {
    /// Scope and key to the first event's id and the end of its window.
    keys: Mutex<Keys>,
    pub(super) appends: Mutex<Vec<Append>>,
    pub(super) notes: Mutex<Vec<RouteNote>>,
    pub(super) full: AtomicBool,
}

impl FakeStore {
    /// As it was made.
    pub(super) fn forget(&self) {
        self.keys.lock().unwrap().clear();
        self.appends.lock().unwrap().clear();
        self.notes.lock().unwrap().clear();
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn append(&self, mut append: Append) -> Result<Vec<Appended>> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full("no space is left".into()));
        }
        let mut keys = self.keys.lock().unwrap();
        let mut appended = Vec::new();
        let mut kept = Vec::new();
        for new in append.events {
            let id = new.event.id.to_string();
            if let Some(key) = &new.key {
                let place = (Arc::clone(&key.scope), key.key.clone());
                if let Some((first, expires_ms)) = keys.get(&place)
                    && *expires_ms > append.now_ms
                {
                    appended.push(Appended {
                        id: first.clone(),
                        duplicate: true,
                    });
                    continue;
                }
                keys.insert(place, (id.clone(), key.expires_ms));
            }
            appended.push(Appended { id, duplicate: false });
            kept.push(new);
        }
        if !kept.is_empty() {
            append.events = kept;
            self.appends.lock().unwrap().push(append);
        }
        Ok(appended)
    }

    fn note(&self, entry: RouteNote) {
        self.notes.lock().unwrap().push(entry);
    }

    fn set_wake(&self, _: Arc<dyn Wake>) {}

    fn fingerprint_key(&self) -> [u8; 32] {
        [0; 32]
    }

    async fn claim(&self, _: Claim) -> Result<Vec<Owed>> {
        Err(StoreError::Closed)
    }
    async fn next_due(&self, _: SenderKey) -> Result<Option<i64>> {
        Err(StoreError::Closed)
    }
    async fn settle(&self, _: Vec<Settlement>) -> Result<()> {
        Err(StoreError::Closed)
    }
    async fn release(&self, _: SenderKey, _: Vec<Seq>) -> Result<()> {
        Err(StoreError::Closed)
    }
    async fn close_sender(&self, _: SenderKey) -> Result<u64> {
        Err(StoreError::Closed)
    }
    async fn clock_set_back(&self, _: i64, _: i64) -> Result<()> {
        Err(StoreError::Closed)
    }
    async fn set_suspended(&self, _: SenderKey, _: Option<String>) -> Result<()> {
        Err(StoreError::Closed)
    }
    async fn commit(&self, _: Commit) -> Result<Committed> {
        Err(StoreError::Closed)
    }
    async fn last_generation(&self) -> Result<Option<(Generation, Vec<u8>)>> {
        Err(StoreError::Closed)
    }
    async fn generation(&self, _: u64) -> Result<Option<(Generation, Vec<u8>)>> {
        Err(StoreError::Closed)
    }
    async fn generations(&self, _: Page) -> Result<Listing<Generation>> {
        Err(StoreError::Closed)
    }
    async fn senders(&self) -> Result<Vec<SenderRow>> {
        Err(StoreError::Closed)
    }
    async fn logs(&self, _: LogQuery) -> Result<Listing<LogEntry>> {
        Err(StoreError::Closed)
    }
    async fn events(&self, _: EventQuery) -> Result<Listing<EventRow>> {
        Err(StoreError::Closed)
    }
    async fn story(&self, _: &str) -> Result<Option<Story>> {
        Err(StoreError::Closed)
    }
    async fn raw_request(&self, _: &str) -> Result<Option<StoredRequest>> {
        Err(StoreError::Closed)
    }
    async fn dead(&self, _: DeadQuery) -> Result<Listing<DeadLetter>> {
        Err(StoreError::Closed)
    }
    async fn sender_figures(&self, _: SenderKey) -> Result<SenderFigures> {
        Err(StoreError::Closed)
    }
    async fn route_figures(&self, _: &str, _: i64) -> Result<RouteFigures> {
        Err(StoreError::Closed)
    }
    async fn totals(&self) -> Result<Totals> {
        Err(StoreError::Closed)
    }
    async fn replay(&self, _: Replay) -> Result<u64> {
        Err(StoreError::Closed)
    }
    async fn purge_dead(&self, _: DeadQuery) -> Result<u64> {
        Err(StoreError::Closed)
    }
    async fn retain(&self, _: Retention, _: i64) -> Result<Retained> {
        Err(StoreError::Closed)
    }
    async fn backup(&self, _: &std::path::Path) -> Result<()> {
        Err(StoreError::Closed)
    }
    async fn close(&self) {}
}

/// Routes on a fake store; the clock moves by hand.
pub(super) struct Stage {
    pub(super) routes: Arc<Routes>,
    pub(super) store: Arc<FakeStore>,
    pub(super) clock: Arc<ManualClock>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let store = Arc::new(FakeStore::default());
        let clock = Arc::new(ManualClock::at(from_ms(NOW_S * 1000)));
        Self {
            routes: Routes::new(store.clone(), clock.clone(), clock.clone()),
            store,
            clock,
        }
    }

    /// A stage with one route.
    pub(super) fn with(settings: Inbound) -> Self {
        let stage = Self::new();
        stage.put(settings);
        stage
    }

    pub(super) fn put(&self, settings: Inbound) {
        let route = self.routes.prepare(settings).unwrap();
        self.routes.commit(vec![RouteChange::Put(route)]);
    }

    pub(super) fn limits(&self, change: impl FnOnce(&mut Limits)) {
        let mut limits = Limits::default();
        change(&mut limits);
        self.routes.set_limits(limits);
    }

    /// What was appended last.
    pub(super) fn last<T>(&self, look: impl FnOnce(&Append) -> T) -> T {
        look(
            self.store
                .appends
                .lock()
                .unwrap()
                .last()
                .expect("something was appended"),
        )
    }

    /// The reasons of all notes so far.
    pub(super) fn reasons(&self) -> Vec<&'static str> {
        self.store
            .notes
            .lock()
            .unwrap()
            .iter()
            .map(|note| note.reason)
            .collect()
    }
}

/// An inbound webhook with the defaults of the document and the secret `secret`.
pub(super) fn inbound(name: &str, platform: &'static str) -> Inbound {
    Inbound {
        name: Name::parse(name).unwrap(),
        channel: format!("{name}-main"),
        platform,
        path: format!("/webhook/{name}"),
        url: None,
        verify_signature: true,
        secrets: vec![Secret::new("secret")],
        public_keys: Vec::new(),
        verify_tokens: Vec::new(),
        encrypt_keys: Vec::new(),
        corp_id: None,
        username: None,
        audience: None,
        jwks: None,
        signature: SignatureScheme::default(),
        tolerance: None,
        max_body_bytes: None,
        rate_limit: None,
        allow_from: Vec::new(),
        dedupe_window: Duration::from_hours(7 * 24),
        paused: false,
    }
}

/// The same with all that the platform needs beside the secret.
pub(super) fn ready(name: &str, platform: &'static str) -> Inbound {
    Inbound {
        url: Some(format!("https://gateway.example.com/webhook/{name}")),
        verify_tokens: vec![Secret::new("verify")],
        encrypt_keys: vec![Secret::new("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")],
        corp_id: Some("ww1".into()),
        username: Some("me".into()),
        audience: Some("https://gateway.example.com".into()),
        jwks: Some(Jwks::Inline(
            r#"{"keys":[{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB"}]}"#.into(),
        )),
        ..inbound(name, platform)
    }
}
