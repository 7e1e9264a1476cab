//! The room against receivers on this machine and a store in memory. The clock stands still unless a test moves it.

mod law;
mod life;
mod names;
mod receiver;
mod store;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use self::receiver::Receiver;
use self::store::FakeStore;
use super::clients::Clients;
use super::prepared::tests::settings;
use super::{Dispatcher, PreparedSender, SenderChange};
use crate::clock::{Clock as _, ManualClock, from_ms};
use crate::document::settings::{Egress, OnDelete, Outbound};
use crate::event::{Data, Event, EventId, EventName};
use crate::store::{SenderKey, Store};

/// The start of every test's clock: 2026-03-15T10:30:00Z.
const START_MS: i64 = 1_773_570_600_000;
const KEY: SenderKey = SenderKey(7);

fn this_machine() -> Egress {
    Egress {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_hosts: Vec::new(),
        max_in_flight: 1024,
        max_per_origin: 64,
    }
}

/// A dispatcher with what stands around it.
struct Gateway {
    store: Arc<FakeStore>,
    clock: Arc<ManualClock>,
    dispatcher: Arc<Dispatcher>,
}

impl Gateway {
    fn new() -> Self {
        Self::on(Clients::new())
    }

    fn on(clients: Clients) -> Self {
        let store = Arc::new(FakeStore::default());
        let clock = Arc::new(ManualClock::at(from_ms(START_MS)));
        let dispatcher = Dispatcher::with(
            Arc::<FakeStore>::clone(&store),
            Arc::<ManualClock>::clone(&clock),
            1,
            clients,
            Duration::from_millis(5),
        );
        dispatcher.set_egress(&this_machine());
        store.set_wake(Arc::<Dispatcher>::clone(&dispatcher));
        Self {
            store,
            clock,
            dispatcher,
        }
    }

    /// With one sender for this receiver.
    fn with(receiver: &Receiver, change: impl FnOnce(&mut Outbound)) -> Self {
        let gateway = Self::new();
        gateway.put(KEY, &receiver.url(), change);
        gateway
    }

    fn prepare(&self, url: &str, change: impl FnOnce(&mut Outbound)) -> PreparedSender {
        let mut settings = settings(url);
        change(&mut settings);
        self.dispatcher.prepare(settings, &this_machine()).unwrap()
    }

    fn put(&self, key: SenderKey, url: &str, change: impl FnOnce(&mut Outbound)) {
        let sender = Box::new(self.prepare(url, change));
        self.dispatcher.commit(vec![SenderChange::Put {
            key,
            sender,
            suspended: None,
            owed: false,
        }]);
    }

    fn remove(&self, key: SenderKey, on_delete: OnDelete, drain_timeout: Duration) {
        self.dispatcher.commit(vec![SenderChange::Remove {
            key,
            on_delete,
            drain_timeout,
        }]);
    }

    /// Owes an event to a sender and says so.
    fn owe(&self, key: SenderKey, event: Event) -> i64 {
        let seq = self.store.owe(key, event, self.clock.now_ms());
        self.store.tell(key);
        seq
    }

    async fn settled(&self, count: usize) {
        until(&format!("{count} settlements"), || self.store.settled().len() >= count).await;
    }

    fn in_ms(&self, ms: i64) {
        self.clock.advance_ms(ms);
    }
}

fn event(number: usize) -> Event {
    Event {
        id: EventId::from_stored(&format!("evt_{number:032}")),
        name: EventName::parse("message.received").unwrap(),
        timestamp: from_ms(START_MS),
        data: Data::written(format!(r#"{{"n":{number},"text":"你好"}}"#)),
        source: None,
        session: None,
        traceparent: None,
        test: false,
    }
}

/// Waits for a condition, for ten seconds at most.
async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..5000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("waited in vain for {what}");
}

/// Gives everything that could happen wrongly now the time to do so: a few turns of the timer.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}
