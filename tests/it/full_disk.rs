//! A disk that is full is answered 503, and over when there is room again. What was answered 2xx is never lost.

use std::collections::BTreeSet;

use crate::disk::Disk;
use crate::harness::{Gateway, Receiver, document, eventually, system};
use crate::load::{SECRET, delivered, github};

/// A route, a sender, and where the store is.
fn text(receiver: &Receiver, store: &str) -> String {
    document(&format!(
        "{store}  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"{}\", secret: s, events: [webhook.received] }}\n",
        receiver.url("/")
    ))
}

/// What was answered 2xx, and what was refused.
#[derive(Default)]
struct Sent {
    accepted: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Sent {
    /// Sends a request; the only other answer than 2xx is a 503 that says when to come again.
    fn send(&mut self, gateway: &Gateway, id: &str) -> u16 {
        let answer = github("/webhook/github", id).send(gateway.public);
        match answer.status {
            200..=299 => {
                self.refused.remove(id);
                self.accepted.insert(id.to_owned());
            }
            503 => {
                assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
                self.refused.insert(id.to_owned());
            }
            status => panic!("{id}: {status} {}", answer.text()),
        }
        answer.status
    }

    fn until_refused(&mut self, gateway: &Gateway) {
        eventually("a request is refused", || {
            let id = format!("full-{}", self.accepted.len() + self.refused.len());
            (self.send(gateway, &id) == 503).then_some(())
        });
        for _ in 0..20 {
            let id = format!("full-{}", self.accepted.len() + self.refused.len());
            self.send(gateway, &id);
        }
        assert_eq!(gateway.get("/healthz").0, 200);
    }

    /// With room again, platforms send again what was refused; all of it is delivered, and the store is whole.
    fn all_is_delivered(&mut self, gateway: &Gateway, receiver: &Receiver) {
        let refused = self.refused.clone();
        assert!(!refused.is_empty());
        for id in &refused {
            eventually("a refused request is taken", || {
                (self.send(gateway, id) != 503).then_some(())
            });
        }
        eventually("everything accepted is delivered", || {
            let seen = delivered(&receiver.received());
            self.accepted.iter().all(|id| seen.contains(id)).then_some(())
        });
        let check = gateway.cli(&["store", "check"]);
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}

#[test]
fn a_full_disk_is_answered_503_until_there_is_room() {
    let Some(disk) = Disk::mount(8) else { return };
    let receiver = Receiver::start();
    let store = format!("  store: {{ path: \"{}\" }}\n", disk.path().join("store").display());
    let gateway = Gateway::start(&text(&receiver, &store));
    let mut sent = Sent::default();
    for round in 0..3 {
        for n in 0..10 {
            sent.send(&gateway, &format!("room-{round}-{n}"));
        }
        disk.fill();
        sent.until_refused(&gateway);
        disk.make_room();
        sent.all_is_delivered(&gateway, &receiver);
    }
    // Killed while the disk is full, it is all there after a start with room.
    disk.fill();
    sent.until_refused(&gateway);
    let (dir, env) = gateway.kill();
    if let Err(output) = Gateway::try_start_in(dir.clone(), env.clone()) {
        assert!(
            output.contains("store") && output.contains("full"),
            "it says why:\n{output}"
        );
    }
    disk.make_room();
    let gateway = Gateway::start_in(dir, env);
    sent.all_is_delivered(&gateway, &receiver);
}

#[test]
fn a_limit_of_file_sizes_is_answered_503_until_it_is_lifted() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&text(&receiver, ""));
    let pid = gateway.pid().to_string();
    let mut sent = Sent::default();
    for n in 0..10 {
        sent.send(&gateway, &format!("before-{n}"));
    }
    if !system("prlimit", &["--pid", &pid, "--fsize=4096:unlimited"]) {
        eprintln!("skipped: the limits of a process cannot be changed here");
        return;
    }
    sent.until_refused(&gateway);
    assert!(system("prlimit", &["--pid", &pid, "--fsize=unlimited:unlimited"]));
    sent.all_is_delivered(&gateway, &receiver);
    let (dir, env) = gateway.kill();
    let gateway = Gateway::start_in(dir, env);
    eventually("nothing is owed", || {
        (gateway.status()["totals"]["owed"] == 0).then_some(())
    });
}
