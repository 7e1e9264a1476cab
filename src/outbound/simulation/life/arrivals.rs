//! Requests of platforms, which come again until they are answered.

use super::{Incoming, Process, Script};
use crate::clock::Clock as _;
use crate::event::{Data, Event, EventId, EventName, Name};
use crate::outbound::simulation::dice::hash;
use crate::store::{Append, DedupeKey, NewEvent, Store as _};

impl Script {
    pub(super) fn arrival(&mut self, process: &Process) {
        let number = self.incoming.lock().unwrap().len() as u64;
        let incoming = Incoming {
            sent: 0,
            answered: false,
            under_way: false,
        };
        self.incoming.lock().unwrap().insert(number, incoming);
        self.send(process, number);
    }

    pub(super) fn platforms_try_again(&mut self, process: &Process) {
        let numbers: Vec<u64> = {
            let incoming = self.incoming.lock().unwrap();
            let waiting = incoming.iter().filter(|(_, one)| !one.answered && !one.under_way);
            waiting.map(|(number, _)| *number).collect()
        };
        for number in numbers {
            self.send(process, number);
        }
    }

    /// One request of a platform's, with the same content and key each time.
    fn send(&self, process: &Process, number: u64) {
        let sent = {
            let mut incoming = self.incoming.lock().unwrap();
            let one = incoming.get_mut(&number).unwrap();
            one.under_way = true;
            one.sent += 1;
            one.sent
        };
        let now = self.world.clock.now();
        let kind = hash(&[self.world.seed(), 3, number]);
        let names = ["message.received", "message.sent", "channel.connected"];
        let sessions = [None, Some("x"), Some("y"), Some("z")];
        let pick = |by: u64, of: usize| usize::try_from((kind >> by) % of as u64).unwrap();
        let event = Event {
            id: EventId::from_stored(&format!("evt_{number:028}{sent:04}")),
            name: EventName::parse(names[pick(0, 3)]).unwrap(),
            timestamp: now,
            data: Data::written(number.to_string()),
            source: Some(Name::parse(["telegram", "slack"][pick(8, 2)]).unwrap()),
            session: sessions[pick(16, 4)].map(Into::into),
            traceparent: None,
            test: false,
        };
        let key = DedupeKey {
            scope: "route".into(),
            key: number.to_string(),
            expires_ms: i64::MAX,
        };
        let append = Append {
            request: None,
            events: vec![NewEvent { event, key: Some(key) }],
            to: None,
            now_ms: now.as_millisecond(),
        };
        let (store, world, incoming) = (process.store.clone(), self.world.clone(), self.incoming.clone());
        tokio::spawn(async move {
            let answer = store.append(append).await;
            let mut incoming = incoming.lock().unwrap();
            let one = incoming.get_mut(&number).unwrap();
            one.under_way = false;
            if let Ok(appended) = answer {
                one.answered = true;
                if !appended[0].duplicate {
                    world.accepted(&appended[0].id);
                }
            }
        });
    }
}
