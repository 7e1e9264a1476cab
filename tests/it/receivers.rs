//! Endpoints that misbehave: what an attempt makes of them, and what it costs.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Behaviour, ByteReceiver, Connection, Gateway, Receiver, document, eventually};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn start(url: &str, fields: &str) -> Gateway {
    Gateway::start(&document(&format!(
        "  outbound:\n    out: {{ url: \"{url}\", events: [message.sent], jitter: 0, circuitBreaker: false, {fields} }}\n"
    )))
}

/// Publishes one event to a byte receiver, and gives the log's attempts once it is delivered or dead.
fn attempts(
    fields: &str,
    serve: impl Fn(&mut Connection) -> std::io::Result<()> + Send + Sync + 'static,
) -> Vec<Value> {
    let receiver = ByteReceiver::start(serve);
    let gateway = start(&receiver.url(), fields);
    gateway.publish("message.sent", &json!({ "n": 1 }));
    eventually("it is settled", || {
        (gateway.status()["totals"]["owed"] == 0).then_some(())
    });
    gateway.attempts("out", 1)
}

fn errors(attempts: &[Value]) -> Vec<&str> {
    attempts.iter().map(|a| a["error"].as_str().unwrap_or("none")).collect()
}

#[test]
fn an_answer_that_drips_ends_with_the_timeout() {
    let began = Instant::now();
    let tried = attempts("timeout: 150ms, retries: 1, retryDelay: 1", |connection| {
        connection.request()?;
        connection
            .stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
        while !connection.is_stopped() {
            connection.stream.write_all(b".")?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
    assert_eq!(errors(&tried), ["timeout", "timeout"]);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_cut_connection_is_retried_wherever_it_was_cut() {
    let cuts: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\ncontent-len",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
    ];
    for cut in cuts {
        let first = std::sync::atomic::AtomicBool::new(true);
        let tried = attempts("retries: 3, retryDelay: 1", move |connection| {
            connection.request()?;
            let whole = !first.swap(false, std::sync::atomic::Ordering::SeqCst);
            connection.stream.write_all(if whole { ANSWER } else { cut })
        });
        assert_eq!(errors(&tried), ["cut", "none"], "{:?}", String::from_utf8_lossy(cut));
    }
}

#[test]
fn what_is_no_http_is_a_failed_attempt() {
    let tried = attempts("retries: 0", |connection| {
        connection.request()?;
        connection.stream.write_all(b"220 mail.example.com ESMTP\r\n")
    });
    assert_eq!(errors(&tried), ["cut"]);
}

#[test]
fn a_redirect_is_final_and_its_target_never_asked() {
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let gateway = start(&receiver.url("/"), "retries: 3, retryDelay: 1");
    for (n, status) in [301, 302, 303, 307, 308].into_iter().enumerate() {
        let location: &'static str = target.url("/").leak();
        receiver.behave(Behaviour::AnswerWith(status, "location", location));
        gateway.publish("message.sent", &json!({ "n": n }));
        let dead = gateway.dead(n + 1);
        assert_eq!(dead[0]["reason"], "status");
        assert_eq!(receiver.count(), n + 1);
    }
    assert_eq!(target.count(), 0);
}

/// Memory of a process that is resident, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn of_an_answer_of_64_mib_little_is_read_and_less_is_kept() {
    let receiver = ByteReceiver::start(|connection| {
        connection.request()?;
        let length = 64 * 1024 * 1024;
        write!(connection.stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")?;
        let block = vec![b'x'; 64 * 1024];
        for _ in 0..length / block.len() {
            connection.stream.write_all(&block)?;
        }
        Ok(())
    });
    let gateway = start(&receiver.url(), "concurrency: 8");
    let before = resident_kib(gateway.pid());
    for n in 0..8 {
        gateway.publish("message.sent", &json!({ "n": n }));
    }
    let tried = gateway.attempts("out", 8);
    assert_eq!(errors(&tried), ["none"; 8]);
    assert!(tried.iter().all(|a| a["response"].as_str().unwrap().len() == 2048));
    let grown = resident_kib(gateway.pid()).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more are resident");
    assert_eq!(receiver.requests(), 8);
}

#[test]
fn an_answer_that_is_longer_than_it_says_is_taken_as_it_says_and_does_not_answer_the_next() {
    let receiver = ByteReceiver::start(|connection| {
        loop {
            connection.request()?;
            let more = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
            connection.stream.write_all(&[ANSWER, more].concat())?;
        }
    });
    let gateway = start(&receiver.url(), "concurrency: 1, retries: 0");
    for n in 0..5 {
        gateway.publish("message.sent", &json!({ "n": n }));
        eventually("it is delivered", || {
            (gateway.status()["totals"]["owed"] == 0).then_some(())
        });
    }
    let tried = gateway.attempts("out", 5);
    assert_eq!(errors(&tried), ["none"; 5]);
    assert_eq!(
        (gateway.status()["totals"]["dead"].as_u64(), receiver.requests()),
        (Some(0), 5)
    );
}

#[test]
fn an_answer_with_two_lengths_is_no_answer() {
    let tried = attempts("retries: 0", |connection| {
        connection.request()?;
        let two = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 20\r\n\r\nok";
        connection.stream.write_all(two)
    });
    assert_eq!(errors(&tried), ["cut"]);
}
