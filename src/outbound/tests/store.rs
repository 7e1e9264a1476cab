//! A store in memory: what a sender needs of it, and failures on demand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::event::{Event, Ordering};
use crate::store::*;

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) sender: SenderKey,
    pub(super) event: Arc<Event>,
    pub(super) due_ms: i64,
    pub(super) attempts: u32,
    pub(super) owed_since_ms: i64,
    pub(super) claimed: bool,
}

#[derive(Default)]
pub(super) struct FakeStore {
    rows: Mutex<BTreeMap<i64, Row>>,
    settled: Mutex<Vec<Settlement>>,
    pub(super) suspended: Mutex<BTreeMap<SenderKey, String>>,
    pub(super) closed: Mutex<Vec<SenderKey>>,
    wake: Mutex<Option<Arc<dyn Wake>>>,
    next_seq: AtomicUsize,
    /// Every call fails.
    pub(super) broken: AtomicBool,
    pub(super) settle_calls: AtomicUsize,
    /// The most claimed at once.
    pub(super) most_claimed: AtomicUsize,
}

impl FakeStore {
    pub(super) fn rows(&self) -> MutexGuard<'_, BTreeMap<i64, Row>> {
        self.rows.lock().unwrap()
    }

    pub(super) fn settled(&self) -> Vec<Settlement> {
        self.settled.lock().unwrap().clone()
    }

    /// The attempts of all settlements, in order.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.settled().into_iter().filter_map(|s| s.attempt).collect()
    }

    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.settled().into_iter().map(|s| s.outcome).collect()
    }

    /// Owes an event to a sender, without telling anybody.
    pub(super) fn owe(&self, sender: SenderKey, event: Event, now_ms: i64) -> i64 {
        let seq = i64::try_from(self.next_seq.fetch_add(1, SeqCst)).unwrap();
        let row = Row {
            sender,
            event: Arc::new(event),
            due_ms: now_ms,
            attempts: 0,
            owed_since_ms: now_ms,
            claimed: false,
        };
        self.rows().insert(seq, row);
        seq
    }

    pub(super) fn tell(&self, sender: SenderKey) {
        let wake = self.wake.lock().unwrap().clone();
        if let Some(wake) = wake {
            wake.wake(&[sender]);
        }
    }

    fn check(&self) -> Result<()> {
        if self.broken.load(SeqCst) {
            Err(StoreError::Engine("broken on demand".into()))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Store for FakeStore {
    fn set_wake(&self, wake: Arc<dyn Wake>) {
        *self.wake.lock().unwrap() = Some(wake);
    }

    async fn clock_set_back(&self, by_ms: i64, now_ms: i64) -> Result<()> {
        self.check()?;
        for row in self.rows().values_mut().filter(|row| row.due_ms > now_ms) {
            row.due_ms -= by_ms;
        }
        Ok(())
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Owed>> {
        self.check()?;
        assert!(claim.limit >= 1 && claim.limit <= 1024);
        let mut rows = self.rows();
        let mut heads = std::collections::HashSet::new();
        let mut picked = Vec::new();
        for (seq, row) in rows.iter().filter(|(_, row)| row.sender == claim.sender) {
            let lane = match claim.ordering {
                Ordering::None => None,
                Ordering::Fifo => Some(String::new()),
                Ordering::Session => row.event.session.as_ref().map(ToString::to_string),
            };
            let is_head = lane.is_none_or(|lane| heads.insert(lane));
            if is_head && !row.claimed && row.due_ms <= claim.now_ms {
                picked.push((row.due_ms, *seq));
            }
        }
        if claim.ordering == Ordering::None {
            picked.sort_unstable();
        }
        picked.truncate(claim.limit);
        let mut bytes = 0;
        picked.retain(|(_, seq)| {
            let fits = bytes == 0 || bytes < claim.bytes;
            bytes += rows[seq].event.data.as_str().len();
            fits
        });
        let owed = picked
            .iter()
            .map(|(_, seq)| {
                let row = rows.get_mut(seq).unwrap();
                row.claimed = true;
                Owed {
                    sender: row.sender,
                    seq: Seq(*seq),
                    event: Arc::clone(&row.event),
                    attempts: row.attempts,
                    owed_since_ms: row.owed_since_ms,
                    filter_passed: false,
                }
            })
            .collect();
        let claimed = rows
            .values()
            .filter(|row| row.sender == claim.sender && row.claimed)
            .count();
        self.most_claimed.fetch_max(claimed, SeqCst);
        Ok(owed)
    }

    async fn next_due(&self, sender: SenderKey) -> Result<Option<i64>> {
        self.check()?;
        Ok(self
            .rows()
            .values()
            .filter(|row| row.sender == sender && !row.claimed)
            .map(|row| row.due_ms)
            .min())
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<()> {
        self.settle_calls.fetch_add(1, SeqCst);
        self.check()?;
        let mut rows = self.rows();
        for settlement in settlements {
            let row = rows.get_mut(&settlement.seq.0).expect("settled once");
            assert!(row.claimed, "only what is claimed is settled");
            row.claimed = false;
            match settlement.outcome {
                Outcome::Retry { due_ms } => {
                    row.attempts += 1;
                    row.due_ms = due_ms;
                }
                Outcome::Postpone { due_ms } => row.due_ms = due_ms,
                _ => drop(rows.remove(&settlement.seq.0)),
            }
            self.settled.lock().unwrap().push(settlement);
        }
        Ok(())
    }

    async fn release(&self, _: SenderKey, seqs: Vec<Seq>) -> Result<()> {
        self.check()?;
        let mut rows = self.rows();
        for seq in seqs {
            rows.get_mut(&seq.0).unwrap().claimed = false;
        }
        Ok(())
    }

    async fn close_sender(&self, sender: SenderKey) -> Result<u64> {
        self.check()?;
        let mut rows = self.rows();
        let before = rows.len();
        assert!(
            !rows.values().any(|row| row.sender == sender && row.claimed),
            "nothing is in hand"
        );
        rows.retain(|_, row| row.sender != sender);
        self.closed.lock().unwrap().push(sender);
        Ok((before - rows.len()) as u64)
    }

    async fn set_suspended(&self, sender: SenderKey, reason: Option<String>) -> Result<()> {
        self.check()?;
        let mut suspended = self.suspended.lock().unwrap();
        match reason {
            Some(reason) => suspended.insert(sender, reason),
            None => suspended.remove(&sender),
        };
        Ok(())
    }

    async fn append(&self, _: Append) -> Result<Vec<Appended>> {
        unreachable!()
    }
    async fn commit(&self, _: Commit) -> Result<Committed> {
        unreachable!()
    }
    async fn last_generation(&self) -> Result<Option<(Generation, Vec<u8>)>> {
        unreachable!()
    }
    async fn generation(&self, _: u64) -> Result<Option<(Generation, Vec<u8>)>> {
        unreachable!()
    }
    async fn generations(&self, _: Page) -> Result<Listing<Generation>> {
        unreachable!()
    }
    async fn senders(&self) -> Result<Vec<SenderRow>> {
        unreachable!()
    }
    fn fingerprint_key(&self) -> [u8; 32] {
        unreachable!()
    }
    async fn logs(&self, _: LogQuery) -> Result<Listing<LogEntry>> {
        unreachable!()
    }
    async fn events(&self, _: EventQuery) -> Result<Listing<EventRow>> {
        unreachable!()
    }
    async fn story(&self, _: &str) -> Result<Option<Story>> {
        unreachable!()
    }
    async fn raw_request(&self, _: &str) -> Result<Option<StoredRequest>> {
        unreachable!()
    }
    async fn dead(&self, _: DeadQuery) -> Result<Listing<DeadLetter>> {
        unreachable!()
    }
    async fn sender_figures(&self, _: SenderKey) -> Result<SenderFigures> {
        unreachable!()
    }
    async fn route_figures(&self, _: &str, _: i64) -> Result<RouteFigures> {
        unreachable!()
    }
    async fn totals(&self) -> Result<Totals> {
        unreachable!()
    }
    fn note(&self, _: RouteNote) {
        unreachable!()
    }
    async fn replay(&self, _: Replay) -> Result<u64> {
        unreachable!()
    }
    async fn purge_dead(&self, _: DeadQuery) -> Result<u64> {
        unreachable!()
    }
    async fn retain(&self, _: Retention, _: i64) -> Result<Retained> {
        unreachable!()
    }
    async fn backup(&self, _: &std::path::Path) -> Result<()> {
        unreachable!()
    }
    async fn close(&self) {}
}
