//! Clients that are slow, many, too large, or two-faced do not keep others out.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Gateway, PATIENCE, Receiver, Request, document, eventually, number, sha256_signature, system};
use crate::load::{SECRET, delivered, github};

fn route() -> String {
    document(&format!("  inbound:\n    github: {{ secret: {SECRET} }}\n"))
}

/// Sends bytes as they are; what comes back until the connection ends, or is silent for a second.
fn raw(to: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        text.extend(&buffer[..length]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn statuses(text: &str) -> Vec<u16> {
    let heads = text.match_indices("HTTP/1.1 ");
    heads
        .filter_map(|(at, _)| text[at + 9..].get(..3)?.parse().ok())
        .collect()
}

fn accepts(gateway: &Gateway, id: &str) -> bool {
    let answer = github("/webhook/github", id).try_send(gateway.public);
    answer.is_ok_and(|answer| answer.status == 200)
}

#[test]
fn a_client_that_has_closed_its_side_is_answered() {
    let gateway = Gateway::start(&route());
    for id in 0..20 {
        let body = format!(r#"{{"action":"opened","id":"{id}"}}"#);
        let mut stream = TcpStream::connect(gateway.public).unwrap();
        let head = format!(
            "POST /webhook/github HTTP/1.1\r\nHost: x\r\nX-GitHub-Delivery: {id}\r\nX-Hub-Signature-256: {}\r\nContent-Length: {}\r\n\r\n",
            sha256_signature(SECRET, body.as_bytes()),
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(statuses(&text), [200], "{text}");
    }
}

#[test]
fn smuggled_requests_are_refused_or_never_read() {
    let gateway = Gateway::start(&route());
    let hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /webhook/github HTTP/1.1\r\nHost: x\r\n";
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for (what, request) in [
        // To whoever counts by the length there is one request; to whoever reads chunks another follows.
        (
            "length and chunks",
            format!(
                "{post}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
                5 + hidden.len()
            ),
        ),
        (
            "chunks and length",
            format!(
                "{post}Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n0\r\n\r\n{hidden}",
                5 + hidden.len()
            ),
        ),
        (
            "two lengths",
            format!(
                "{post}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}",
                hidden.len()
            ),
        ),
        (
            "a list of lengths",
            format!("{post}Content-Length: 0, {}\r\n\r\n{hidden}", hidden.len()),
        ),
        ("a signed length", format!("{post}Content-Length: +0\r\n\r\n{hidden}")),
        (
            "an unknown coding",
            format!("{post}Transfer-Encoding: xchunked\r\n\r\n{chunk}"),
        ),
        (
            "chunked twice over",
            format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n{chunk}"),
        ),
        (
            "a folded line",
            format!("{post}X-A: b\r\n Content-Length: 5\r\nContent-Length: 0\r\n\r\n{hidden}"),
        ),
        (
            "a space before the colon",
            format!("{post}Content-Length : {}\r\n\r\n{hidden}", hidden.len()),
        ),
        (
            "a bare line feed in a chunk",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n0\n\n{hidden}"),
        ),
        (
            "a name with a NUL",
            format!("{post}Content-\0Length: 5\r\nContent-Length: 0\r\n\r\n{hidden}"),
        ),
    ] {
        let answer = raw(gateway.public, &request);
        let found = statuses(&answer);
        // The hidden one would be answered 404: no route has its path.
        assert!(found.len() <= 1 && !found.contains(&404), "{what}: {found:?}\n{answer}");
    }
    assert!(accepts(&gateway, "after"));
}

#[test]
fn oversized_requests_are_refused_without_being_read() {
    let gateway = Gateway::start(&route().replace("server: {", "server: { maxBodyBytes: 100000,"));
    let post = "POST /webhook/github HTTP/1.1\r\nHost: x\r\n";
    let large = format!("{post}Content-Length: 30000000\r\n\r\n");
    assert_eq!(statuses(&raw(gateway.public, &large)), [413]);
    let long_header = format!("{post}X-A: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(100_000));
    // Where more is on the way than is read, the answer may be lost with the connection.
    assert!(matches!(statuses(&raw(gateway.public, &long_header))[..], [] | [431]));
    let many_headers = format!("{post}{}Content-Length: 0\r\n\r\n", "X-A: b\r\n".repeat(200));
    assert_eq!(statuses(&raw(gateway.public, &many_headers)), [431]);
    let long_path = format!(
        "POST /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(70_000)
    );
    assert!(matches!(
        statuses(&raw(gateway.public, &long_path))[..],
        [] | [414 | 431]
    ));
    // A length of chunks that no body can have.
    let huge_chunk = format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n");
    assert!(matches!(statuses(&raw(gateway.public, &huge_chunk))[..], [] | [400]));
    assert!(accepts(&gateway, "after"));
}

#[test]
fn slow_headers_and_slow_bodies_are_cut_and_keep_nobody_out() {
    let gateway = Gateway::start(&route().replace("server: {", "server: { maxConnections: 64,"));
    let begun = Instant::now();
    let mut slow: Vec<_> = (0..40)
        .map(|n| {
            let mut stream = TcpStream::connect(gateway.public).unwrap();
            stream.set_nonblocking(true).unwrap();
            let head = "POST /webhook/github HTTP/1.1\r\nHost: x\r\n";
            let head = if n % 2 == 0 {
                head.to_owned()
            } else {
                format!("{head}Content-Length: 1000\r\n\r\n")
            };
            stream.write_all(head.as_bytes()).unwrap();
            (stream, n % 2 == 0)
        })
        .collect();
    // A byte of a header at a time: after 10 s each is closed, whatever it sends. Meanwhile others are served.
    eventually("slow headers are cut", || {
        assert!(accepts(&gateway, &format!("beside-{}", begun.elapsed().as_millis())));
        std::thread::sleep(Duration::from_millis(200));
        slow.retain_mut(|(stream, header)| {
            let sent = if *header { stream.write_all(b"X") } else { Ok(()) };
            let read = stream.read(&mut [0; 512]);
            let closed =
                matches!(read, Ok(0)) || matches!(&read, Err(e) if e.kind() != ErrorKind::WouldBlock) || sent.is_err();
            !closed
        });
        slow.iter().all(|(_, header)| !header).then_some(())
    });
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(9) && took < PATIENCE, "{took:?}");
    assert!(!slow.is_empty(), "bodies may take 30 s");
}

/// Many clients that connect and say nothing: `OPENCLAW_TEST_IDLE` of them; 10000 is the full number. Each end takes as many
/// descriptors, so both processes raise their limits as far as they may.
#[test]
fn idle_connections_keep_nobody_out() {
    let wanted = number("OPENCLAW_TEST_IDLE").unwrap_or(600);
    raise_descriptors();
    let text = route().replace("server: {", &format!("server: {{ maxConnections: {},", wanted + 100));
    let gateway = Gateway::start_under("ulimit -n \"$(ulimit -Hn)\"", &text);
    let mut idle = Vec::new();
    while idle.len() < wanted {
        match TcpStream::connect(gateway.public) {
            Ok(stream) => idle.push(stream),
            Err(error) => {
                println!("{} connections, then {error}", idle.len());
                // Room for this test's own requests.
                idle.truncate(idle.len().saturating_sub(50));
                break;
            }
        }
    }
    let begun = Instant::now();
    for n in 0..20 {
        assert!(accepts(&gateway, &format!("beside-idle-{n}")));
    }
    let took = begun.elapsed();
    assert_eq!(gateway.get("/healthz").0, 200);
    let open = idle.iter().filter(|stream| {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    });
    println!(
        "20 requests beside {} idle connections, {} of them open to the end: {took:?}",
        idle.len(),
        open.count()
    );
}

/// As many descriptors for this process as it may have.
fn raise_descriptors() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    if let Some(hard) = line.and_then(|line| line.split_whitespace().nth(4)) {
        system(
            "prlimit",
            &[
                "--pid",
                &std::process::id().to_string(),
                &format!("--nofile={hard}:{hard}"),
            ],
        );
    }
}

#[test]
fn a_lack_of_descriptors_backs_off_and_recovers() {
    let receiver = Receiver::start();
    let text = document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"{}\", secret: s, retries: 0 }}\n",
        receiver.url("/")
    ));
    let gateway = Gateway::start_under("ulimit -n 80", &text);
    assert!(accepts(&gateway, "before"));
    receiver.wait_for(1);
    let mut crowd = Vec::new();
    while crowd.len() < 160 {
        crowd.push(TcpStream::connect(gateway.public).unwrap());
    }
    // Whoever comes now waits in the queue of the kernel; the gateway says what it lacks and goes on.
    eventually("it says what it lacks", || {
        gateway.output().contains("Too many open files").then_some(())
    });
    let waiting = std::thread::spawn({
        let to = gateway.public;
        move || {
            github("/webhook/github", "waiting")
                .try_send(to)
                .map(|answer| answer.status)
        }
    });
    drop(crowd);
    let status = waiting.join().unwrap();
    assert!(matches!(status, Ok(200 | 503)), "{status:?}");
    eventually("it accepts again", || accepts(&gateway, "after").then_some(()));
    // `retries: 0`: our own lack of sockets is not charged to a delivery.
    eventually("it delivers again", || {
        delivered(&receiver.received()).contains("after").then_some(())
    });
    let totals = &gateway.status()["totals"];
    assert_eq!(totals["dead"], 0, "{totals}");
}

#[test]
fn the_admin_api_answers_beside_a_crowd() {
    let gateway = Gateway::start(&route().replace("server: {", "server: { maxConnections: 20,"));
    let _crowd: Vec<_> = (0..60).map(|_| TcpStream::connect(gateway.public).unwrap()).collect();
    assert_eq!(gateway.get("/healthz").0, 200);
    assert_eq!(Request::get("/v1/status").send(gateway.admin).status, 200);
}

/// What a page that the operator happens to look at can make their browser send.
#[test]
fn a_foreign_page_reads_and_changes_nothing() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&document(&format!(
        "  outbound:\n    all: {{ url: \"{}\", events: [page.spoke] }}\n",
        receiver.url("/")
    )));
    let event = r#"{"event":"page.spoke","data":{}}"#;
    let calls = [
        Request::get("/v1/status"),
        Request::get("/v1/document"),
        Request::get("/v1/events/stream"),
        Request::get("/metrics"),
        Request::new("OPTIONS", "/v1/apply", ""),
        Request::post("/v1/events", event),
        Request::post("/v1/apply", r#"{"document":"webhooks: {}"}"#),
        Request::post("/v1/reload", "{}"),
        Request::post("/v1/dead/purge", "{}"),
        Request::post("/v1/webhooks/outbound/all/test", "{}"),
    ];
    for call in &calls {
        for (name, value) in [
            ("Origin", "https://evil.example"),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ] {
            let sent = call
                .clone()
                .header(name, value)
                .header("Content-Type", "application/json");
            let answer = sent.send(gateway.admin);
            assert_eq!(answer.status, 403, "{name}: {value}: {}", answer.text());
            let allows = answer
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("access-control-"));
            assert!(!allows, "{:?}", answer.headers);
        }
    }
    // A form sends no JSON and, in an old browser, no Origin.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let answer = Request::post("/v1/events", event)
            .header("Content-Type", kind)
            .send(gateway.admin);
        assert_eq!(answer.status, 415, "{kind}: {}", answer.text());
    }
    assert_eq!(Request::post("/v1/events", event).send(gateway.admin).status, 415);
    // A name of the page's own that leads to this machine is no name of ours.
    let rebound = format!(
        "POST /v1/events HTTP/1.1\r\nHost: evil.example:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{event}",
        gateway.admin.port(),
        event.len()
    );
    assert_eq!(statuses(&raw(gateway.admin, &rebound)), [421]);
    // Nothing of it had an effect: the first event of the kind is the operator's own.
    assert_eq!(gateway.generation(), 1);
    gateway.publish("page.spoke", &serde_json::json!({ "by": "the operator" }));
    let received = receiver.wait_for(1);
    assert_eq!(received[0].json()["data"]["by"], "the operator");
    let events = gateway.json("/v1/events?limit=100");
    let spoken = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["event"] == "page.spoke");
    assert_eq!(spoken.count(), 1, "{events}");
}
