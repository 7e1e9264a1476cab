//! SIGTERM under load: requests in flight are answered, what was answered is delivered, and the exit code is 0.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::{Behaviour, Gateway, Provider, Receiver, document, eventually};
use crate::load::{Load, SECRET, delivered, github};

#[test]
fn ten_stops_under_load_lose_nothing_and_exit_0() {
    let (receiver, hanging) = (Receiver::start(), Receiver::start());
    hanging.behave(Behaviour::Hang);
    let text = document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"{}\", secret: s }}\n    hanging: {{ url: \"{}\", timeout: 60s, retries: 9 }}\n",
        receiver.url("/"),
        hanging.url("/")
    ))
    .replace("server: {", "server: { shutdownTimeout: 500ms,");
    let dir = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("openclaw.yaml"), text).unwrap();
    let mut accepted = BTreeSet::new();
    for round in 0..10 {
        let mut gateway = Gateway::start_in(dir.clone(), Vec::new());
        let load = Load::start(gateway.public, "/webhook/github", 8, true);
        eventually("requests are accepted", || {
            (load.accepted() > 10 + 53 * round).then_some(())
        });
        gateway.signal("TERM");
        assert_eq!(gateway.wait(), Some(0), "round {round}");
        let (now, bad) = load.stop();
        assert!(bad.is_empty(), "round {round}: {bad:?}");
        accepted.extend(now);
    }
    let gateway = Gateway::start_in(dir, Vec::new());
    eventually("every accepted event is delivered", || {
        let seen = delivered(&receiver.received());
        accepted.iter().all(|id| seen.contains(id)).then_some(())
    });
    // A cut attempt is not charged, and its event stays owed.
    let owed = gateway.json("/v1/webhooks/outbound/hanging")["sender"]["owed"].as_u64();
    assert!(owed >= Some(accepted.len() as u64), "{owed:?} of {}", accepted.len());
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let hanging = Receiver::start();
    hanging.behave(Behaviour::Hang);
    let mut gateway = Gateway::start(
        &document(&format!(
            "  outbound:\n    hanging: {{ url: \"{}\", timeout: 60s, events: [system.started] }}\n",
            hanging.url("/")
        ))
        .replace("server: {", "server: { shutdownTimeout: 60s,"),
    );
    hanging.wait_for(1);
    a_second_sigterm_ends(&mut gateway);
}

/// Whatever the first one waits for.
fn a_second_sigterm_ends(gateway: &mut Gateway) {
    let begun = Instant::now();
    gateway.signal("TERM");
    eventually("it stops", || gateway.output().contains("stopping").then_some(()));
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn a_sender_that_is_gone_at_a_start_is_owed_nothing_more_whatever_names_it() {
    let receiver = Receiver::start();
    let route = format!("  inbound:\n    github: {{ secret: {SECRET} }}\n");
    let sender = |name: &str, more: &str| {
        format!(
            "    {name}: {{ url: \"{}\", secret: s, events: [webhook.received]{more} }}\n",
            receiver.url(&format!("/{name}"))
        )
    };
    let both = document(&format!(
        "{route}  outbound:\n{}{}",
        sender("one", ""),
        sender("two", "")
    ));
    let mut gateway = Gateway::start(&both);
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    // The name is taken: this is no rename, and `one` is gone.
    let two = document(&format!("{route}  outbound:\n{}", sender("two", ", previousName: one")));
    std::fs::write(gateway.path("openclaw.yaml"), two).unwrap();
    let gateway = Gateway::start_in(gateway.dir.clone(), Vec::new());
    assert_eq!(github("/webhook/github", "after").send(gateway.public).status, 200);
    receiver.wait_for(1);
    eventually("nothing is owed", || {
        (gateway.status()["totals"]["owed"] == 0).then_some(())
    });
    assert_eq!(receiver.count(), 1);
}

#[test]
fn a_second_sigterm_ends_at_once_while_the_document_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::new(dir.path());
    std::fs::write(dir.path().join("openclaw.yaml"), provider.document("")).unwrap();
    let mut gateway = Gateway::start_in(dir.into(), Vec::new());
    provider.hold();
    gateway.signal("HUP");
    provider.wait_until_asked();
    a_second_sigterm_ends(&mut gateway);
}

#[test]
fn everything_that_hangs_together_holds_a_stop_up_for_shutdown_timeout_alone() {
    use std::io::{Read as _, Write as _};
    let hanging = Receiver::start();
    hanging.behave(Behaviour::Hang);
    let text = |listen: std::net::SocketAddr| {
        let head = document("").replace(
            "server: { listen: \"127.0.0.1:0\"",
            &format!("server: {{ listen: \"{listen}\", shutdownTimeout: 3s"),
        );
        let url = hanging.url("/");
        format!(
            "{head}  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    hanging: {{ url: \"{url}\", timeout: 60s, events: [system.*] }}\n"
        )
    };
    let mut gateway = Gateway::start(&text("127.0.0.1:0".parse().unwrap()));
    hanging.wait_for(1);
    // Requests whose bodies do not come, at a listener that is rebound and at its successor.
    let half = |to: std::net::SocketAddr| {
        let mut connection = std::net::TcpStream::connect(to).unwrap();
        let head = "POST /webhook/github HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n";
        connection.write_all(head.as_bytes()).unwrap();
        // It is asked for its body: the gateway has the request.
        let mut answer = [0; 25];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        connection
    };
    let first = half(gateway.public);
    let moved = std::net::SocketAddr::from(([127, 0, 0, 2], gateway.public.port()));
    gateway.save_and_wait(&text(moved));
    let second = half(moved);
    let begun = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    drop((first, second));
}
