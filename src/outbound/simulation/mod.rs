//! The delivery engine under simulated time, network and store: whatever happens, the promises hold.
//!
//! A seed decides everything that happens: arrivals, moods of endpoints, reloads, a failing store, clocks that are set,
//! stops and crashes. The dispatcher, its senders, limits, breaker, backoff and HTTP client are the real ones; the network
//! is memory (`network.rs`), the store one of its own (`store::simulated`), the time tokio's paused clock. `world.rs` knows
//! what is true and holds the gateway to it at every request and after every step. After the last step everything is well
//! again, and whatever is owed has to be delivered.
//!
//! | variable | effect |
//! |---|---|
//! | `OPENCLAW_SIM_SEEDS` | how many seeds are run |
//! | `OPENCLAW_SIM_SEED` | this seed alone is run, and everything that happens printed |

mod dice;
mod life;
mod network;
mod wanted;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use self::world::{Counts, World};

const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// What came of a seed: the promise that it broke, a digest of all that happened, and how much did.
fn simulate(seed: u64, told: bool) -> (Option<String>, u64, Counts) {
    let world = World::new(seed, told);
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| life::run(&world)));
    if ran.is_err() {
        world.break_promise("a panic: see above");
    }
    (world.broken(), world.digest(), world.counts())
}

#[test]
fn whatever_happens_what_was_accepted_is_delivered_owed_or_dead() {
    if let Some(seed) = number("OPENCLAW_SIM_SEED") {
        let (broken, ..) = simulate(seed, true);
        assert!(broken.is_none(), "seed {seed}: {}", broken.unwrap_or_default());
        return;
    }
    let seeds = number("OPENCLAW_SIM_SEEDS").unwrap_or(SEEDS);
    let (next, broken, sum) = (AtomicU64::new(0), Mutex::new(Vec::new()), Mutex::new(Counts::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds || broken.lock().unwrap().len() >= 10 {
                return;
            }
            let (fault, _, counts) = simulate(seed, false);
            sum.lock().unwrap().add(&counts);
            if let Some(fault) = fault {
                broken.lock().unwrap().push(format!("seed {seed}: {fault}"));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (sum, broken) = (sum.into_inner().unwrap(), broken.into_inner().unwrap());
    println!("{seeds} seeds: {sum:#?}");
    assert!(
        broken.is_empty(),
        "{}\nrun one again and see all that happens: OPENCLAW_SIM_SEED=N cargo test --lib simulation -- --nocapture",
        broken.join("\n")
    );
    // Histories without any of these would show nothing.
    let faults = [
        sum.dead,
        sum.crashes,
        sum.stops,
        sum.reloads,
        sum.jumps,
        sum.store_failures,
    ];
    assert!(
        seeds < 1000 || faults.iter().all(|count| *count > seeds / 10),
        "{sum:#?}"
    );
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..20 {
        let (first, second) = (simulate(seed, false), simulate(seed, false));
        assert_eq!(first.1, second.1, "seed {seed}");
    }
}
