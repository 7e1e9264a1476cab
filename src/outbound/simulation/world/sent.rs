//! What endpoints see: may it have been sent?

use super::{End, Tried, Try, World};
use crate::clock::Clock as _;
use crate::event::Ordering;
use crate::outbound::backoff::millis;
use crate::outbound::simulation::dice::hash;
use crate::outbound::simulation::network::{Mood, Seen};

impl World {
    /// A request is complete: may it have been sent?
    #[expect(
        clippy::too_many_lines,
        reason = "every promise about a request, one after the other"
    )]
    pub(in crate::outbound::simulation) fn arrive(&self, endpoint: usize, seen: &Seen) -> Tried {
        let (now, now_ms) = (self.clock.elapsed(), self.clock.now_ms());
        let tables = self.disk.tables();
        let mut state = self.state();
        let state = &mut *state;
        state.counts.requests += 1;
        let serial = state.counts.requests;
        state.digest = hash(&[
            state.digest,
            u64::try_from(now.as_millis()).unwrap(),
            seen.version as u64,
            seen.number.into(),
        ]);
        let version = &state.versions[seen.version];
        let settings = &version.settings;
        let key = version.key.expect("only what is in force is sent with");
        let seq = tables.seq(&seen.event).unwrap_or_default();
        let mut faults = Vec::new();
        let waited = state.moods[endpoint] == Mood::NeverConnects
            || state.unconnected[endpoint].is_some_and(|last| last + settings.timeout >= now);

        // Whatever is sent is owed, with so many attempts before.
        match tables.owed.get(&(key, seq)) {
            None => faults.push("it is not owed".to_owned()),
            Some(row) => {
                if row.attempts + 1 != seen.number {
                    faults.push(format!("{} attempts are charged", row.attempts));
                }
                if !waited && now_ms - row.since_ms > millis(settings.max_age) {
                    faults.push("it is older than maxAge".to_owned());
                }
            }
        }
        if seen.number > settings.schedule.retries() + 1 {
            faults.push(format!("only {} retries are allowed", settings.schedule.retries()));
        }
        // No attempt is made twice, but for those that are not charged.
        let tries = state.tries.entry(seen.delivery.clone()).or_default();
        let last = tries
            .last()
            .filter(|last| last.life == state.life && last.number == seen.number);
        let again = last.is_some_and(|last| last.end == End::Stale);
        if let Some(last) = last.filter(|last| !matches!(last.end, End::Stale | End::Answered(410))) {
            faults.push(format!("the same attempt was made before: {:?}", last.end));
        }
        // The settings in force, and what they allow.
        let standing = state.standing.entry(key).or_default();
        if !again && !waited {
            if version.superseded.is_some_and(|at| at < now) {
                faults.push("with settings that are not in force any more".to_owned());
            }
            if settings.paused {
                faults.push("to a paused sender".to_owned());
            }
            if standing
                .removed
                .is_some_and(|(at, until_ms)| at < now && now_ms >= until_ms)
            {
                faults.push("to a deleted sender".to_owned());
            }
            if standing.gone.is_some_and(|at| at < now) {
                faults.push("to a suspended sender".to_owned());
            }
        }
        // Nothing overtakes.
        let session = |seq: i64| tables.events.get(&seq).and_then(|stored| stored.event.session.as_ref());
        let mut older = tables
            .owed_to(key)
            .map(|(older, _)| older)
            .take_while(|older| *older < seq);
        let overtaken = match settings.ordering {
            Ordering::None => None,
            Ordering::Fifo => older.next(),
            Ordering::Session => older.find(|older| session(seq).is_some() && session(*older) == session(seq)),
        };
        drop(older);
        if let Some(older) = overtaken {
            faults.push(format!("it overtakes {older}"));
        }
        // What waited for its connection, or was sent before, began earlier: when it ends is not known, or known from there.
        let until = match last.filter(|_| again) {
            Some(last) => last.until,
            None if waited => now,
            None => now + settings.timeout,
        };
        // As many at once as are allowed.
        state.open.retain(|(_, _, until)| *until > now);
        let open = state.open.iter().filter(|(_, of, _)| *of == key).count();
        state.open.push((serial, key, until));
        let at_once = match settings.ordering {
            Ordering::Fifo => 1,
            _ => settings.concurrency,
        };
        if open >= at_once {
            faults.push(format!("{open} others are under way"));
        }
        let tries = state.tries.entry(seen.delivery.clone()).or_default();
        tries.push(Try {
            life: state.life,
            number: seen.number,
            version: seen.version,
            until,
            end: End::Open,
        });
        let came = Tried {
            delivery: seen.delivery.clone(),
            place: (key, seq),
            index: tries.len() - 1,
            serial,
        };
        let name = settings.name.clone();
        drop(tables);
        let line = || format!("{name} (version {}) sends {seq}, attempt {}", seen.version, seen.number);
        if !faults.is_empty() {
            let elapsed = now;
            let what = format!("after {elapsed:?}: {}: {}", line(), faults.join("; "));
            state.broken.get_or_insert(what);
        }
        if self.told {
            println!("{now:>12?} {} {}", line(), faults.join("; "));
        }
        came
    }

    pub(in crate::outbound::simulation) fn ends(&self, tried: &Tried, end: End) {
        self.say(|| format!("{} ends: {end:?}", tried.place.1));
        let now = self.clock.elapsed();
        let mut state = self.state();
        state.digest = hash(&[state.digest, u64::try_from(now.as_millis()).unwrap()]);
        let one = &mut state.tries.get_mut(&tried.delivery).unwrap()[tried.index];
        one.end = end;
        let version = one.version;
        state.open.retain(|(serial, ..)| *serial != tried.serial);
        match end {
            End::Answered(200..=299) => {
                state.delivered.insert(tried.place);
                state.counts.delivered += 1;
            }
            // An endpoint that the sender has left says nothing of the one it has now.
            End::Answered(410) if state.versions[version].superseded.is_none() => {
                state.standing.entry(tried.place.0).or_default().gone.get_or_insert(now);
            }
            _ => {}
        }
    }
}
