//! Signed requests, as many as are wanted, and a record of which were accepted.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{KeptAlive, Received, Receiver, Request, eventually, sha256_signature};

/// The secret of the `github` route of these tests.
pub const SECRET: &str = "it-secret";

/// A signed GitHub request with this delivery id.
pub fn github(path: &str, id: &str) -> Request {
    let body = format!(r#"{{"action":"opened","id":"{id}"}}"#);
    let signature = sha256_signature(SECRET, body.as_bytes());
    Request::post(path, body)
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", "issues")
        .header("X-GitHub-Delivery", id)
        .header("X-Hub-Signature-256", signature)
}

/// The delivery ids that a receiver has seen.
pub fn delivered(received: &[Received]) -> BTreeSet<String> {
    received
        .iter()
        .filter_map(|r| r.json()["data"]["deliveryId"].as_str().map(str::to_owned))
        .collect()
}

/// Waits until a receiver has seen each of these, however many there are: it fails when nothing more comes for too long.
#[track_caller]
pub fn all_delivered(receiver: &Receiver, accepted: &BTreeSet<String>) {
    let (mut seen, mut looked_at) = (BTreeSet::new(), 0);
    while !accepted.is_subset(&seen) {
        let new = eventually("another event is delivered", || {
            Some(receiver.received_from(looked_at)).filter(|new| !new.is_empty())
        });
        looked_at += new.len();
        seen.extend(delivered(&new));
    }
}

/// Threads that post over connections that stay open, until told to stop or (where that is allowed) until cut.
pub struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<Mutex<BTreeSet<String>>>,
    bad: Arc<Mutex<Vec<String>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Load {
    /// `threads` connections. With `may_be_cut` a broken connection ends its thread and is no fault.
    pub fn start(to: SocketAddr, path: &str, threads: usize, may_be_cut: bool) -> Self {
        Self::paced(to, path, threads, may_be_cut, Duration::ZERO)
    }

    /// The same with a pause after each request.
    pub fn paced(to: SocketAddr, path: &str, threads: usize, may_be_cut: bool, pause: Duration) -> Self {
        let load = Self {
            stop: Arc::default(),
            accepted: Arc::default(),
            bad: Arc::default(),
            threads: Vec::new(),
        };
        let spawn = |_| {
            let (stop, accepted, bad) = (load.stop.clone(), load.accepted.clone(), load.bad.clone());
            let path = path.to_owned();
            std::thread::spawn(move || {
                let mut connection = KeptAlive::open(to);
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(pause);
                    let id = format!("load-{}", NEXT.fetch_add(1, Ordering::Relaxed));
                    match connection.send(&github(&path, &id)) {
                        Ok(answer) if (200..300).contains(&answer.status) => drop(accepted.lock().unwrap().insert(id)),
                        Ok(answer) => bad
                            .lock()
                            .unwrap()
                            .push(format!("{id}: {} {}", answer.status, answer.text())),
                        Err(_) if may_be_cut => return,
                        Err(e) => {
                            bad.lock().unwrap().push(format!("{id}: {e}"));
                            return;
                        }
                    }
                }
            })
        };
        let threads = (0..threads).map(spawn).collect();
        Self { threads, ..load }
    }

    /// How many were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Waits until more than so many were accepted.
    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        eventually("requests are accepted", || (self.accepted() > count).then_some(()));
    }

    /// Which were accepted so far.
    pub fn accepted_so_far(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap().clone()
    }

    /// Ends the threads; what was accepted, and every answer that was no 2xx.
    pub fn stop(self) -> (BTreeSet<String>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let accepted = std::mem::take(&mut *self.accepted.lock().unwrap());
        let bad = std::mem::take(&mut *self.bad.lock().unwrap());
        (accepted, bad)
    }
}
