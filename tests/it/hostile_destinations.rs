//! Endpoints that hang, cut, drip, lie about lengths or answer without end harm nobody but themselves.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use crate::harness::{ByteReceiver, Connection, Gateway, Receiver, document, eventually};
use crate::load::{SECRET, delivered, github};

/// What an endpoint does after it has read a request, and how its attempt is told in the log (`""`: as delivered).
type Hostile = (&'static str, fn(&mut Connection) -> io::Result<()>, &'static str);

const MEBIBYTE: usize = 1 << 20;

const ENDPOINTS: [Hostile; 14] = [
    ("hangs", wait, "timeout"),
    ("cuts-at-once", |_| Ok(()), "cut"),
    ("cuts-the-head", |c| say(c, "HTTP/1.1 200 O"), "cut"),
    (
        "cuts-the-body",
        |c| say(c, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf"),
        "cut",
    ),
    ("drips-the-head", |c| drip(c, "HTTP/1.1 200 OK\r\nx-a: "), "timeout"),
    (
        "drips-the-body",
        |c| drip(c, "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"),
        "timeout",
    ),
    // Its length says more than comes, and the connection stays: the rest is waited for in vain.
    (
        "says-too-much",
        |c| say(c, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").and_then(|()| wait(c)),
        "timeout",
    ),
    // Its length says less than comes: what is left over must not be taken for the next answer.
    (
        "says-too-little",
        |c| {
            say(
                c,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 x\r\n\r\n",
            )
            .and_then(|()| wait(c))
        },
        "",
    ),
    (
        "says-two-lengths",
        |c| {
            say(
                c,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
            )
        },
        "cut",
    ),
    (
        "says-no-number",
        |c| say(c, "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok"),
        "cut",
    ),
    (
        "says-a-huge-chunk",
        |c| {
            say(
                c,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff0\r\nx",
            )
        },
        "cut",
    ),
    (
        "floods-the-head",
        |c| {
            flood(
                c,
                "HTTP/1.1 200 OK\r\n",
                "x-flood: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
            )
        },
        "cut",
    ),
    (
        "floods-the-body",
        |c| {
            flood(
                c,
                "HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n",
                "0123456789abcdef",
            )
        },
        "",
    ),
    (
        "floods-in-chunks",
        |c| {
            flood(
                c,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                "10\r\n0123456789abcdef\r\n",
            )
        },
        "",
    ),
];

fn say(connection: &mut Connection, text: &str) -> io::Result<()> {
    connection.stream.write_all(text.as_bytes())
}

/// Until the client has had enough.
fn wait(connection: &mut Connection) -> io::Result<()> {
    while connection.stream.read(&mut [0; 512])? > 0 {}
    Ok(())
}

fn drip(connection: &mut Connection, text: &str) -> io::Result<()> {
    say(connection, text)?;
    while !connection.is_stopped() {
        say(connection, "x")?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// 64 MiB, or until the client has had enough.
fn flood(connection: &mut Connection, head: &str, piece: &str) -> io::Result<()> {
    say(connection, head)?;
    let block = piece.repeat(64 * 1024 / piece.len());
    for _ in 0..64 * MEBIBYTE / block.len() {
        say(connection, &block)?;
    }
    wait(connection)
}

/// The most memory that a process has ever held, in MiB.
fn most_resident(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? / 1024)
}

#[test]
fn destinations_that_hang_cut_drip_lie_or_flood_harm_only_themselves() {
    let healthy = Receiver::start();
    let hostile = ENDPOINTS.map(|(.., serve, _)| {
        ByteReceiver::start(move |connection| {
            connection.request()?;
            serve(connection)
        })
    });
    let senders: String = ENDPOINTS
        .iter()
        .zip(&hostile)
        .map(|((name, ..), receiver)| {
            let fields = "events: [webhook.received], timeout: 1500ms, retries: 0, circuitBreaker: false";
            format!("    {name}: {{ url: \"{}\", {fields} }}\n", receiver.url())
        })
        .collect();
    let gateway = Gateway::start(&document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n{senders}    healthy: {{ url: \"{}\", events: [webhook.received] }}\n",
        healthy.url("/")
    )));
    let before = most_resident(gateway.pid());
    for n in 0..8 {
        assert_eq!(
            github("/webhook/github", &format!("h{n}")).send(gateway.public).status,
            200
        );
    }
    healthy.wait_for(8);
    assert_eq!(delivered(&healthy.received()).len(), 8);
    for (name, _, expected) in ENDPOINTS {
        let attempts = gateway.attempts(name, 8);
        assert_eq!(attempts.len(), 8, "{name}: no retries");
        for attempt in attempts {
            assert_eq!(attempt["error"].as_str().unwrap_or(""), expected, "{name}: {attempt}");
        }
    }
    let failing = ENDPOINTS.iter().filter(|(.., expected)| !expected.is_empty()).count();
    eventually("what failed is dead, and nothing is owed", || {
        let totals = &gateway.status()["totals"];
        (totals["dead"] == 8 * failing && totals["owed"] == 0).then_some(())
    });
    // 24 answers of 64 MiB each were on offer.
    if let (Some(before), Some(after)) = (before, most_resident(gateway.pid())) {
        println!("{before} MiB before, {after} MiB at most");
        assert!(after < before + 64, "{before} MiB before, {after} MiB at most");
    }
}
