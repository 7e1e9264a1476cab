//! Every known answer of `tests/vectors/`, over real HTTP against the real binary: sent byte by byte as the vector says,
//! the events read back through the admin API.
#![allow(clippy::unwrap_used)] // all of this is test

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::harness::Gateway;
use crate::vector_core::{Case, Reply, SeenEvent, differences, groups};

/// Every file of known answers, by its platform.
fn files() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_platform_has_known_answers_and_is_on_its_page() {
    let mut platforms: Vec<&str> = openclaw::document::platforms::all()
        .map(|platform| platform.name)
        .collect();
    platforms.sort_unstable();
    assert_eq!(files(), platforms);
    let page = include_str!("../../docs/platforms.md");
    for platform in platforms {
        assert!(
            page.contains(&format!("\n| [`{platform}`]")),
            "docs/platforms.md leaves out {platform}"
        );
    }
}

/// Where the originals lie beside the repository, the copies are compared with them.
#[test]
fn the_known_answers_are_copied_unchanged() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("../shared/vectors");
    if !source.exists() {
        eprintln!("skipped: {} is not on this machine", source.display());
        return;
    }
    for platform in files() {
        let file = format!("{platform}.json");
        let read = |folder: &Path| std::fs::read(folder.join(&file)).unwrap();
        assert!(read(&source) == read(&root.join("tests/vectors")), "{file}");
    }
    assert_eq!(std::fs::read_dir(source).unwrap().count(), files().len());
}

#[test]
fn every_known_answer_holds_over_http() {
    let mut wrong = Vec::new();
    for platform in files() {
        for group in groups(&platform) {
            wrong.extend(run(&group));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs the cases of one gateway, in order.
fn run(group: &[Case]) -> Vec<String> {
    let first = &group[0];
    let document = json!({ "webhooks": {
        "server": { "listen": "127.0.0.1:0" },
        "admin": { "listen": "127.0.0.1:0" },
        "inbound": { first.platform.clone(): first.inbound },
    }});
    let now = first.now.to_string();
    let gateway = Gateway::start_with(&document.to_string(), &[("OPENCLAW_TEST_NOW", &now)]);
    let mut seen = HashSet::new();
    let mut wrong = Vec::new();
    for case in group {
        let mut reply = send(gateway.public, case);
        reply.events = new_events(gateway.admin, &case.platform, &mut seen);
        wrong.extend(differences(case, &reply));
    }
    wrong
}

/// Sends a case's request: its headers as listed, with Host, Content-Length and `Connection: close` added.
fn send(to: SocketAddr, case: &Case) -> Reply {
    let body = case.request.body();
    let mut head = format!("{} {} HTTP/1.1\r\n", case.request.method, case.request.path);
    for (name, value) in &case.request.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    let length = body.len();
    write!(
        head,
        "Host: {to}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let answer = exchange(to, &[head.as_bytes(), &body].concat());
    Reply {
        status: answer.status,
        content_type: answer.header("content-type"),
        durable: answer.header("x-openclaw-delivery-accepted"),
        body: answer.body,
        events: Vec::new(),
    }
}

/// The events that the route made since the last look, in the order in which they were made.
fn new_events(admin: SocketAddr, route: &str, seen: &mut HashSet<String>) -> Vec<SeenEvent> {
    #[derive(Deserialize)]
    struct Listing {
        items: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        id: String,
        event: String,
        timestamp: String,
        source: Option<String>,
        data: Box<RawValue>,
    }
    let ask = format!("GET /v1/events?limit=1000 HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let answer = exchange(admin, ask.as_bytes());
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let listing: Listing = serde_json::from_slice(&answer.body).expect("the listing is JSON");
    listing
        .items
        .into_iter()
        .rev()
        .filter(|row| row.source.as_deref() == Some(route) && seen.insert(row.id.clone()))
        .map(|row| SeenEvent {
            event: row.event,
            timestamp: row.timestamp,
            data: row.data.get().to_owned(),
        })
        .collect()
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }
}

/// One request, one answer, on a connection of its own.
fn exchange(to: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = TcpStream::connect(to).expect("the gateway listens");
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    connection.write_all(request).unwrap();
    let mut bytes = Vec::new();
    connection
        .read_to_end(&mut bytes)
        .expect("the gateway answers and closes");
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("an answer has a head");
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let answer = Answer {
        status: status.parse().unwrap(),
        headers,
        body: bytes[end + 4..].to_vec(),
    };
    if answer.header("transfer-encoding").is_some() {
        let body = unchunk(&answer.body);
        return Answer { body, ..answer };
    }
    answer
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|window| window == b"\r\n")
            .expect("a chunk has a size");
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}
