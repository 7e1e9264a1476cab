//! The document of a simulation: which senders there are to be, and its random edits.

use std::time::Duration;

use super::dice::Dice;
use super::world::ENDPOINTS;
use crate::document::settings::{Breaker, OnDelete, Outbound, Rate, Schedule};
use crate::event::{EventPattern, Name, Ordering};
use crate::outbound::prepared::tests::settings;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const PATTERNS: [&str; 3] = ["*", "message.*", "message.sent"];

/// A sender of the document.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) settings: Outbound,
    pub(super) previous: Option<Name>,
    /// Rises with each edit.
    pub(super) edition: u64,
    /// Its secret is missing: a start goes on without it.
    pub(super) unready: bool,
}

/// The document.
#[derive(Clone, Default)]
pub(super) struct Document {
    pub(super) senders: Vec<Wanted>,
    edition: u64,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

impl Document {
    pub(super) fn first(dice: &mut Dice) -> Self {
        let mut document = Self::default();
        for _ in 0..dice.between(1, 4) {
            document.create(dice);
        }
        document
    }

    /// One to three edits.
    pub(super) fn edit(&mut self, dice: &mut Dice) {
        for _ in 0..dice.between(1, 3) {
            match dice.below(10) {
                0 | 1 => self.create(dice),
                2 if !self.senders.is_empty() => {
                    let place = dice.index(self.senders.len());
                    self.senders.remove(place);
                }
                3 => self.rename(dice),
                4..=6 => self.change(dice, |one, _| one.settings.paused = !one.settings.paused),
                _ => self.change(dice, Wanted::vary),
            }
        }
    }

    /// Whatever could keep a delivery back for good is taken out.
    pub(super) fn heal(&mut self) {
        for one in &mut self.senders {
            self.edition += 1;
            one.edition = self.edition;
            one.settings.paused = false;
            one.unready = false;
        }
    }

    /// A name that no sender has.
    fn free(&self, dice: &mut Dice) -> Option<Name> {
        let taken = |free: &Name| {
            let mut senders = self.senders.iter();
            senders.any(|one| one.settings.name == *free || one.previous.as_ref() == Some(free))
        };
        let free: Vec<Name> = NAMES.into_iter().map(name).filter(|free| !taken(free)).collect();
        (!free.is_empty()).then(|| dice.pick(&free).clone())
    }

    fn create(&mut self, dice: &mut Dice) {
        if let Some(free) = self.free(dice) {
            self.edition += 1;
            let mut one = Wanted {
                settings: settings("http://e0.sim/"),
                previous: None,
                edition: self.edition,
                unready: false,
            };
            one.settings.name = free;
            one.settings.max_retry_delay = Duration::from_secs(20);
            for _ in 0..8 {
                one.vary(dice);
            }
            self.senders.push(one);
        }
    }

    fn rename(&mut self, dice: &mut Dice) {
        if let Some(free) = self.free(dice) {
            self.change(dice, |one, _| {
                one.previous = Some(std::mem::replace(&mut one.settings.name, free));
            });
        }
    }

    fn change(&mut self, dice: &mut Dice, change: impl FnOnce(&mut Wanted, &mut Dice)) {
        if !self.senders.is_empty() {
            self.edition += 1;
            let place = dice.index(self.senders.len());
            self.senders[place].edition = self.edition;
            change(&mut self.senders[place], dice);
        }
    }
}

impl Wanted {
    fn vary(&mut self, dice: &mut Dice) {
        let settings = &mut self.settings;
        match dice.below(12) {
            0 => {
                let url = format!("http://e{}.sim/", dice.below(ENDPOINTS as u64));
                settings.url = url::Url::parse(&url).unwrap();
            }
            1 => {
                settings.schedule = if dice.chance(50) {
                    Schedule::List((0..dice.below(5)).map(|_| dice.ms(0, 8000)).collect())
                } else {
                    Schedule::Law {
                        retries: u32::try_from(dice.below(6)).unwrap(),
                        delay: dice.ms(1, 3000),
                        exponential: dice.chance(50),
                    }
                };
            }
            2 => settings.timeout = dice.ms(6, 150) * 10,
            3 => settings.concurrency = 1 + dice.index(6),
            4 | 5 => settings.ordering = *dice.pick(&[Ordering::None, Ordering::Fifo, Ordering::Session]),
            6 => {
                let breaker = Breaker {
                    failures: u32::try_from(dice.between(1, 6)).unwrap(),
                    cooldown: dice.ms(100, 15_000),
                };
                settings.breaker = dice.chance(70).then_some(breaker);
            }
            7 => {
                let rate = Rate {
                    count: u32::try_from(dice.between(5, 50)).unwrap(),
                    per: Duration::from_secs(1),
                };
                settings.rate_limit = dice.chance(30).then_some(rate);
            }
            8 => {
                let long = dice.chance(70);
                settings.max_age = if long {
                    Duration::from_hours(72)
                } else {
                    dice.ms(500, 60_000)
                };
            }
            9 => {
                settings.on_delete = *dice.pick(&[OnDelete::Drain, OnDelete::Drain, OnDelete::Discard]);
                settings.drain_timeout = dice.ms(0, 20_000);
            }
            10 => {
                settings.events = vec![EventPattern::parse(PATTERNS[dice.index(3)]).unwrap()];
                settings.from = dice.chance(20).then(|| vec![name("telegram")]);
            }
            _ => self.unready = dice.chance(20),
        }
        settings.jitter = [0.0, 0.2][dice.index(2)];
    }
}
