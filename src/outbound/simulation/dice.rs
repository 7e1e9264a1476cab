//! Chance that can be repeated, and time that a simulation owns.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp, from_ms};
use crate::outbound::backoff::Rng;

/// 2026-03-15T10:30:00Z.
const START_MS: i64 = 1_773_570_600_000;

/// A number that depends on nothing but these.
pub(super) fn hash(parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(0x6f70_656e_636c_6177, |sum, part| Rng::new(sum ^ part).next_u64())
}

pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::new(hash(&[seed])))
    }

    /// 0 to `sides` - 1.
    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.0.next_u64() % sides
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    pub(super) fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }
}

/// The clock on the wall: it may be set forward and back. True time goes on through every life.
pub(super) struct WallClock(Mutex<Time>);

#[derive(Default)]
struct Time {
    /// True time of the lives before this one.
    before: Duration,
    began: Option<Instant>,
    set_by_ms: i64,
}

impl Time {
    fn elapsed(&self) -> Duration {
        self.before + self.began.map_or(Duration::ZERO, |began| Instant::now() - began)
    }
}

impl WallClock {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Each life has a runtime of its own, whose time begins anew.
    pub(super) fn life_begins(&self) {
        self.0.lock().unwrap().began = Some(Instant::now());
    }

    pub(super) fn life_ends(&self) {
        let mut time = self.0.lock().unwrap();
        time.before = time.elapsed();
        time.began = None;
    }

    /// Since the start of the simulation.
    pub(super) fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().elapsed()
    }

    pub(super) fn jump_ms(&self, by: i64) {
        self.0.lock().unwrap().set_by_ms += by;
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let time = self.0.lock().unwrap();
        from_ms(START_MS + i64::try_from(time.elapsed().as_millis()).unwrap() + time.set_by_ms)
    }
}
