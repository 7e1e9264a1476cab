//! A reconcile loses no request, no event and no connection.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::harness::{Behaviour, Gateway, KeptAlive, Receiver, Request, document, eventually, number};
use crate::load::{Load, SECRET, all_delivered, delivered, github};

/// `OPENCLAW_TEST_RECONCILES=1000` is the full number.
#[test]
fn two_hundred_reconciles_under_load_lose_no_request_and_no_event() {
    let receiver = Receiver::start();
    let version = |n: usize| {
        document(&format!(
            "  reconcile: {{ debounce: 5ms }}\n  inbound:\n    github: {{ secret: {SECRET}, description: \"version {n}\" }}\n{}  outbound:\n    all: {{ url: \"{}\", secret: s{}, timeout: {} }}\n",
            if n.is_multiple_of(2) {
                "    extra: { platform: token, secret: t }\n"
            } else {
                ""
            },
            receiver.url("/"),
            n % 3,
            5000 + n
        ))
    };
    let (reconciles, begun) = (number("OPENCLAW_TEST_RECONCILES").unwrap_or(200), Instant::now());
    let gateway = Gateway::start(&version(0));
    let load = Load::start(gateway.public, "/webhook/github", 4, false);
    for n in 1..=reconciles {
        gateway.save_and_wait(&version(n));
    }
    let (accepted, bad) = load.stop();
    assert!(bad.is_empty(), "not 2xx: {bad:?}");
    assert!(
        accepted.len() > reconciles,
        "only {} requests were made",
        accepted.len()
    );
    all_delivered(&receiver, &accepted);
    assert_eq!(gateway.generation(), reconciles as u64 + 1);
    println!(
        "{reconciles} reconciles, {} requests accepted, in {:?}",
        accepted.len(),
        begun.elapsed()
    );
}

#[test]
fn an_unrelated_change_keeps_connections_and_counters() {
    let receiver = Receiver::start();
    let version = |timeout: u32| {
        document(&format!(
            "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"{}\", events: [webhook.received] }}\n    other: {{ url: \"{}\", events: [message.sent], timeout: {timeout} }}\n",
            receiver.url("/all"),
            receiver.url("/other")
        ))
    };
    let gateway = Gateway::start(&version(1000));
    let mut connection = KeptAlive::open(gateway.public);
    assert_eq!(connection.send(&github("/webhook/github", "one")).unwrap().status, 200);
    receiver.wait_for(1);
    gateway.save_and_wait(&version(2000));
    assert_eq!(connection.send(&github("/webhook/github", "two")).unwrap().status, 200);
    receiver.wait_for(2);
    let route = gateway.json("/v1/webhooks/inbound/github");
    assert_eq!(route["counters"]["accepted"], 2, "{route}");
    eventually("both attempts are counted", || {
        (gateway.json("/v1/webhooks/outbound/all")["live"]["delivered"] == 2).then_some(())
    });
}

#[test]
fn a_listener_rebind_refuses_no_connection() {
    let at = |listen: SocketAddr| {
        format!(
            "webhooks:\n  server: {{ listen: \"{listen}\" }}\n  admin: {{ listen: \"127.0.0.1:0\" }}\n  inbound:\n    github: {{ secret: {SECRET} }}\n"
        )
    };
    let gateway = Gateway::start(&at("127.0.0.1:0".parse().unwrap()));
    let port = gateway.public.port();
    let mut kept = KeptAlive::open(gateway.public);
    assert_eq!(kept.send(&github("/webhook/github", "before")).unwrap().status, 200);

    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (stop, made) = (stop.clone(), made.clone());
            std::thread::spawn(move || {
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    TcpStream::connect(to).map_err(|e| format!("connect: {e}"))?;
                    let answer = github("/webhook/github", &format!("rebind-{thread}-{n}")).try_send(to);
                    let status = answer.map_err(|e| format!("request: {e}"))?.status;
                    if status != 200 {
                        return Err(format!("status {status}"));
                    }
                    made.fetch_add(1, Ordering::Relaxed);
                    n += 1;
                }
                Ok(())
            })
        })
        .collect();
    for round in 0..6 {
        let host = if round % 2 == 0 {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        let before = made.load(Ordering::Relaxed);
        gateway.save_and_wait(&at((host, port).into()));
        eventually("requests go on", || {
            (made.load(Ordering::Relaxed) > before + 20).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
    assert_eq!(
        kept.send(&github("/webhook/github", "after")).unwrap().status,
        200,
        "the first connection is kept"
    );
}

#[test]
fn a_hanging_endpoint_does_not_slow_another() {
    let (healthy, hanging) = (Receiver::start(), Receiver::start());
    hanging.behave(Behaviour::Hang);
    let gateway = Gateway::start(&document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    healthy: {{ url: \"{}\" }}\n    hanging: {{ url: \"{}\", timeout: 60s }}\n",
        healthy.url("/"),
        hanging.url("/")
    )));
    for n in 0..200 {
        assert_eq!(
            github("/webhook/github", &format!("h{n}")).send(gateway.public).status,
            200
        );
    }
    healthy.wait_for(200);
    assert!(hanging.count() >= 1, "the hanging endpoint was tried too");
}

#[test]
fn pausing_a_sender_keeps_its_backlog() {
    let receiver = Receiver::start();
    let version = |paused: bool| {
        document(&format!(
            "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"{}\", events: [webhook.received], paused: {paused} }}\n",
            receiver.url("/")
        ))
    };
    let gateway = Gateway::start(&version(true));
    for n in 0..5 {
        assert_eq!(
            github("/webhook/github", &format!("p{n}")).send(gateway.public).status,
            200
        );
    }
    assert_eq!(gateway.json("/v1/webhooks/outbound/all")["sender"]["owed"], 5);
    assert_eq!(receiver.count(), 0);
    gateway.save_and_wait(&version(false));
    receiver.wait_for(5);
}

#[test]
fn deleting_a_sender_drains_its_backlog_and_new_events_stop() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(500));
    let route = format!("  inbound:\n    github: {{ secret: {SECRET} }}\n");
    let with = document(&format!(
        "{route}  outbound:\n    all: {{ url: \"{}\", events: [webhook.received], retries: 100, retryDelay: 50, backoff: fixed, circuitBreaker: false }}\n",
        receiver.url("/")
    ));
    let gateway = Gateway::start(&with);
    for n in 0..5 {
        let id = format!("d{n}");
        assert_eq!(github("/webhook/github", &id).send(gateway.public).status, 200);
    }
    receiver.wait_for(5);
    gateway.save_and_wait(&document(&route));
    assert_eq!(github("/webhook/github", "too-late").send(gateway.public).status, 200);
    assert_eq!(
        gateway.status()["totals"]["owed"],
        5,
        "still owed, and the sixth to nobody"
    );
    receiver.behave(Behaviour::Answer(200));
    eventually("the backlog is delivered", || {
        let totals = &gateway.status()["totals"];
        (totals["owed"] == 0 && totals["dead"] == 0).then_some(())
    });
    assert!(!delivered(&receiver.received()).contains("too-late"));
}

#[test]
fn the_public_port_serves_nothing_of_the_admin_api() {
    let gateway = Gateway::start(&document(&format!("  inbound:\n    github: {{ secret: {SECRET} }}\n")));
    for path in ["/v1/status", "/metrics", "/healthz", "/", "/openapi.json"] {
        assert_eq!(Request::get(path).send(gateway.public).status, 404, "{path}");
    }
}
