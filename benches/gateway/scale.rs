//! What many webhooks cost: a start, a restart, one changed field, a plan, memory.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::reading::command;
use super::{Server, gateway_in, start};

/// Changes and plans measured for each size; the table shows the medians.
const TIMES: usize = 5;

/// How a document is written.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Yaml,
    Json,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
        }
    }
}

pub(super) fn measure() {
    println!(
        "| webhooks | form | first start | start again | one changed field | plan | plan without a gateway | resident | at most |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for form in [Form::Yaml, Form::Json] {
        for webhooks in [2, 10_000, 100_000] {
            let found = figures(form, webhooks);
            println!(
                "| {webhooks} | {} | {:.3} s | {:.3} s | {:.3} s | {:.3} s | {:.3} s | {:.0} MiB | {:.0} MiB |",
                form.name(),
                found.first,
                found.again,
                found.change,
                found.plan,
                found.offline,
                found.resident,
                found.most
            );
        }
    }
}

/// Times in seconds, memory in MiB.
pub(super) struct Figures {
    pub(super) first: f64,
    pub(super) again: f64,
    pub(super) change: f64,
    pub(super) plan: f64,
    pub(super) offline: f64,
    pub(super) resident: f64,
    pub(super) most: f64,
}

pub(super) fn figures(form: Form, webhooks: usize) -> Figures {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let write = |name: &str, path: &str| write(dir.path(), name, form, webhooks, path);
    write("openclaw", "/webhook/first");
    let (first, _) = started(dir.path());
    let (again, server) = started(dir.path());
    let resident = server.memory("VmRSS:");
    let change = median(|n| {
        let path = format!("/webhook/changed-{n}");
        write("openclaw", &path);
        let begin = Instant::now();
        while answers(server.address, &path) == 404 {
            assert!(begin.elapsed() < Duration::from_mins(1), "a change has no effect");
            std::thread::sleep(Duration::from_millis(2));
        }
        let took = begin.elapsed();
        // The next one is another change, not one more of the same burst.
        std::thread::sleep(Duration::from_secs(1));
        took
    });
    let edited = format!("edited.{}", form.name());
    let plan = |n: usize| {
        let path = format!("/webhook/edited-{n}");
        write("edited", &path);
        let (took, answer) = command(dir.path(), &["plan", "--file", &edited]);
        assert!(answer.contains(&path), "{answer}");
        took
    };
    let with_gateway = median(plan);
    let most = server.memory("VmHWM:");
    drop(server);
    Figures {
        first,
        again,
        change,
        plan: with_gateway,
        offline: median(plan),
        resident,
        most,
    }
}

/// The median of a few times, in seconds.
fn median(once: impl FnMut(usize) -> Duration) -> f64 {
    let mut times: Vec<Duration> = (0..TIMES).map(once).collect();
    times.sort_unstable();
    times[TIMES / 2].as_secs_f64()
}

/// How long a start takes, until it serves.
fn started(directory: &Path) -> (f64, Server) {
    let begin = Instant::now();
    let server = start(gateway_in(directory), "Inbound webhooks on ", None);
    (begin.elapsed().as_secs_f64(), server)
}

/// Half of them routes, half of them senders; `path` is the first route's. Renamed into place, as editors do.
fn write(directory: &Path, name: &str, form: Form, webhooks: usize, path: &str) {
    let routes = (0..webhooks / 2).map(|n| {
        let path = if n == 0 {
            path.to_owned()
        } else {
            format!("/webhook/in-{n}")
        };
        (n, path)
    });
    let text = match form {
        Form::Yaml => yaml(webhooks, routes),
        Form::Json => json(webhooks, routes),
    };
    let draft = directory.join("draft");
    std::fs::write(&draft, text).expect("the document can be written");
    std::fs::rename(draft, directory.join(format!("{name}.{}", form.name()))).expect("and renamed");
}

fn yaml(webhooks: usize, routes: impl Iterator<Item = (usize, String)>) -> String {
    let mut text = String::from(
        "webhooks:\n  server: { listen: \"127.0.0.1:0\" }\n  admin: { listen: \"unix:./admin.sock\" }\n  inbound:\n",
    );
    for (n, path) in routes {
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
    text
}

fn json(webhooks: usize, routes: impl Iterator<Item = (usize, String)>) -> String {
    let inbound: Map<String, Value> = routes
        .map(|(n, path)| {
            let route = json!({ "platform": "github", "secret": format!("secret-{n}"), "path": path });
            (format!("in-{n}"), route)
        })
        .collect();
    let outbound: Map<String, Value> = (0..webhooks / 2)
        .map(|n| {
            let (url, secret) = (format!("https://example.com/{n}"), format!("secret-{n}"));
            let sender = json!({ "url": url, "events": ["message.received"], "secret": secret });
            (format!("out-{n}"), sender)
        })
        .collect();
    let document = json!({ "webhooks": {
        "server": { "listen": "127.0.0.1:0" },
        "admin": { "listen": "unix:./admin.sock" },
        "inbound": inbound,
        "outbound": outbound,
    } });
    format!("{document:#}\n")
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
