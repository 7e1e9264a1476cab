//! What many webhooks cost: a start, a restart, one changed field, memory.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Server, gateway_in, start};

/// Changes measured for each size; the table shows the median.
const CHANGES: usize = 5;

pub(super) fn measure() {
    println!("| webhooks | first start | start again | one changed field | resident | at most |");
    println!("|---:|---:|---:|---:|---:|---:|");
    for webhooks in [2, 10_000, 100_000] {
        let found = figures(webhooks);
        println!(
            "| {webhooks} | {:.3} s | {:.3} s | {:.3} s | {:.0} MiB | {:.0} MiB |",
            found.first, found.again, found.change, found.resident, found.most
        );
    }
}

/// Times in seconds, memory in MiB.
pub(super) struct Figures {
    pub(super) first: f64,
    pub(super) again: f64,
    pub(super) change: f64,
    pub(super) resident: f64,
    pub(super) most: f64,
}

pub(super) fn figures(webhooks: usize) -> Figures {
    let dir = tempfile::tempdir().expect("a directory can be made");
    write(dir.path(), webhooks, "/webhook/first");
    let (first, _) = started(dir.path());
    let (again, server) = started(dir.path());
    let resident = server.memory("VmRSS:");
    let mut changes: Vec<f64> = (0..CHANGES)
        .map(|n| {
            let path = format!("/webhook/changed-{n}");
            write(dir.path(), webhooks, &path);
            let begin = Instant::now();
            while answers(server.address, &path) == 404 {
                assert!(begin.elapsed() < Duration::from_mins(1), "a change has no effect");
                std::thread::sleep(Duration::from_millis(2));
            }
            let took = begin.elapsed().as_secs_f64();
            // The next one is another change, not one more of the same burst.
            std::thread::sleep(Duration::from_secs(1));
            took
        })
        .collect();
    changes.sort_by(f64::total_cmp);
    Figures {
        first,
        again,
        change: changes[CHANGES / 2],
        resident,
        most: server.memory("VmHWM:"),
    }
}

/// How long a start takes, until it serves.
fn started(directory: &Path) -> (f64, Server) {
    let begin = Instant::now();
    let server = start(gateway_in(directory), "Inbound webhooks on ", None);
    (begin.elapsed().as_secs_f64(), server)
}

/// Half of them routes, half of them senders; `path` is the first route's. Renamed into place, as editors do.
fn write(directory: &Path, webhooks: usize, path: &str) {
    use std::fmt::Write as _;
    let mut text = String::from(
        "webhooks:\n  server: { listen: \"127.0.0.1:0\" }\n  admin: { listen: \"127.0.0.1:0\" }\n  inbound:\n",
    );
    for n in 0..webhooks / 2 {
        let path = if n == 0 {
            path.to_owned()
        } else {
            format!("/webhook/in-{n}")
        };
        writeln!(
            text,
            "    in-{n}: {{ platform: github, secret: secret-{n}, path: {path} }}"
        )
        .expect("memory");
    }
    text.push_str("  outbound:\n");
    for n in 0..webhooks / 2 {
        writeln!(
            text,
            "    out-{n}: {{ url: \"https://example.com/{n}\", events: [message.received], secret: secret-{n} }}"
        )
        .expect("memory");
    }
    let draft = directory.join("draft");
    std::fs::write(&draft, text).expect("the document can be written");
    std::fs::rename(draft, directory.join("openclaw.yaml")).expect("and renamed");
}

/// The status that an unsigned request to a path gets: 404 where there is no route.
fn answers(to: SocketAddr, path: &str) -> u16 {
    let mut stream = TcpStream::connect(to).expect("the gateway accepts");
    let request = format!("POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the gateway reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the gateway answers");
    answer.get(9..12).and_then(|s| s.parse().ok()).expect("a status")
}
