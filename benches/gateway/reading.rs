//! What the commands that read take when the log is long.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::delivery::at;
use super::filling::{document, ends, fill};
use super::{gateway_in, runtime, start};

/// How often each reading is timed.
const TIMES: usize = 25;

/// Prints the figures. A store that lies in `kept` is used, one that is missing there is made.
pub(super) fn measure(attempts: u64, kept: Option<&Path>) {
    let temporary = tempfile::tempdir().expect("a directory can be made");
    let directory = kept.unwrap_or(temporary.path());
    let store = directory.join(".openclaw-webhooks");
    if !store.exists() {
        std::fs::create_dir_all(directory).expect("the directory can be made");
        std::fs::write(directory.join("openclaw.yaml"), document()).expect("the document can be written");
        // The gateway itself makes the store and its senders.
        drop(start(gateway_in(directory), "Inbound webhooks on ", None));
        runtime(2).block_on(fill(&store, attempts));
    }
    let (oldest, newest) = runtime(1).block_on(ends(&store));
    let file = store.join("store.db");
    let bytes = std::fs::metadata(&file).expect("the store is there").len();
    println!("a store of {} MiB", bytes >> 20);
    println!("| | nothing in memory | p50 | worst of {TIMES} |\n|---|---:|---:|---:|");
    let row = |what: &str, reading: &dyn Fn() -> Duration| {
        forget(&file);
        let server = start(gateway_in(directory), "Inbound webhooks on ", None);
        // Retention runs when a gateway starts; it is not what is measured.
        std::thread::sleep(Duration::from_secs(2));
        forget(&file);
        let cold = reading();
        let mut times: Vec<Duration> = (0..TIMES).map(|_| reading()).collect();
        times.sort_unstable();
        println!(
            "| {what} | {:.1} ms | {:.1} ms | {:.1} ms |",
            at(&[cold], 100),
            at(&times, 50),
            at(&times, 100)
        );
        drop(server);
    };
    for (name, what) in [
        ("busy", "1 of 20 failed"),
        ("rarely", "a few of the oldest failed"),
        ("always", "all failed"),
        ("never", "none failed"),
    ] {
        row(&format!("`webhooks logs {name} --failed`: {what}"), &|| {
            command(directory, &["webhooks", "logs", name, "--failed"]).0
        });
    }
    row("`webhooks logs busy --status 503`", &|| {
        command(directory, &["webhooks", "logs", "busy", "--status", "503"]).0
    });
    row("`events show` of the newest", &|| {
        command(directory, &["events", "show", &newest]).0
    });
    row("`events show` of the oldest", &|| {
        command(directory, &["events", "show", &oldest]).0
    });
    row("`GET /v1/logs?failed=true`: of all senders", &|| {
        get(directory, "/v1/logs?failed=true")
    });
    row("`GET /v1/logs?failed=true&sender=busy`", &|| {
        get(directory, "/v1/logs?failed=true&sender=busy&limit=50")
    });
    row("`GET /v1/events/ID` of the oldest", &|| {
        get(directory, &format!("/v1/events/{oldest}"))
    });
}

/// How long a whole command takes, from its start to its end, and what it says. One that fails ends the program.
pub(super) fn command(directory: &Path, arguments: &[&str]) -> (Duration, String) {
    let begin = Instant::now();
    let done = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the command starts");
    let took = begin.elapsed();
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{arguments:?}: {complaint}");
    (took, String::from_utf8_lossy(&done.stdout).into_owned())
}

/// One answer of the API.
fn get(directory: &Path, path: &str) -> Duration {
    let begin = Instant::now();
    let mut stream = UnixStream::connect(directory.join("admin.sock")).expect("the gateway accepts");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the gateway reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the gateway answers");
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    begin.elapsed()
}

/// Takes a file out of the memory of the operating system.
fn forget(file: &Path) {
    let file = File::open(file).expect("the store is there");
    file.sync_all().expect("it can be synced");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("Linux");
}
