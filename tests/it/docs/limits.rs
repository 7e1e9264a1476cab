//! docs/limits.md says the numbers that the code has.

use super::read;

/// What a row begins with, a number in it, and the line of code that it is from.
const NUMBERS: &[(&str, &str, &str, &str)] = &[
    (
        "document",
        "64 MiB",
        "document/text/mod.rs",
        "MAX_BYTES: usize = 64 * 1024 * 1024;",
    ),
    (
        "document",
        "128 levels",
        "document/text/mod.rs",
        "MAX_DEPTH: usize = 128;",
    ),
    (
        "diagnostics of",
        "1,000",
        "document/check/mod.rs",
        "MAX_DIAGNOSTICS: usize = 1000;",
    ),
    (
        "file behind",
        "1 MiB",
        "environment.rs",
        "LARGEST_FILE: u64 = 1024 * 1024;",
    ),
    (
        "values of an exec",
        "64 in one call",
        "environment/exec.rs",
        "IDS: usize = 64;",
    ),
    (
        "values of an exec",
        "5 s",
        "document/reference.rs",
        "PROVIDER_TIMEOUT: Duration = Duration::from_secs(5);",
    ),
    (
        "values of an exec",
        "60 s",
        "document/reference.rs",
        "LONGEST_PROVIDER_TIMEOUT: Duration = Duration::from_mins(1);",
    ),
    (
        "request body",
        "1 MiB",
        "inbound/routes.rs",
        "max_body_bytes: 1024 * 1024,",
    ),
    (
        "bodies in memory",
        "512 MiB",
        "inbound/routes.rs",
        "max_held_bytes: 512 * 1024 * 1024,",
    ),
    (
        "key set that is fetched",
        "1 MiB",
        "inbound/jwks.rs",
        "MAX_BYTES: usize = 1024 * 1024;",
    ),
    (
        "marks of test traffic",
        "1,024",
        "inbound/routes.rs",
        "MOST: usize = 1024;",
    ),
    (
        "appends that wait",
        "8,192",
        "store/sqlite/shared.rs",
        "APPENDS: usize = 8192;",
    ),
    (
        "appends that wait",
        "64 MiB",
        "store/sqlite/shared.rs",
        "APPEND_BYTES: usize = 64 * 1024 * 1024;",
    ),
    (
        "recently appended",
        "4,096",
        "store/sqlite/recent.rs",
        "EVENTS: usize = 4096;",
    ),
    (
        "recently appended",
        "16 MiB",
        "store/sqlite/recent.rs",
        "BYTES: usize = 16 * 1024 * 1024;",
    ),
    (
        "connections that read",
        "4",
        "store/sqlite/readers.rs",
        "READERS: usize = 4;",
    ),
    (
        "filter of the delivery keys",
        "2 MiB",
        "store/sqlite/filter.rs",
        "WORDS: usize = 1 << 18;",
    ),
    (
        "write-ahead log",
        "16,000 pages",
        "store/sqlite/checkpoint.rs",
        "WRITER: u32 = 16_000;",
    ),
    (
        "notes of routes",
        "4,096",
        "store/sqlite/shared.rs",
        "NOTES: usize = 4096;",
    ),
    (
        "claimed deliveries",
        "16 MiB",
        "outbound/sender.rs",
        "IN_HAND_BYTES: usize = 16 * 1024 * 1024;",
    ),
    (
        "idle connections to",
        "64 for each",
        "outbound/clients.rs",
        "POOL_IDLE_PER_ORIGIN: usize = 64;",
    ),
    (
        "idle connections to",
        "2,048",
        "outbound/clients.rs",
        "OPEN_KEPT: usize = 2048;",
    ),
    ("DNS look-ups", "256", "outbound/clients.rs", "LOOKUPS: usize = 256;"),
    (
        "answer of an endpoint",
        "64 KiB",
        "outbound/attempt.rs",
        "READ_BYTES: usize = 64 * 1024;",
    ),
    (
        "answer of an endpoint",
        "2 KiB",
        "outbound/attempt.rs",
        "KEPT_BYTES: usize = 2 * 1024;",
    ),
    (
        "filter or template",
        "300,000 steps",
        "expression/mod.rs",
        "FUEL: u64 = 300_000;",
    ),
    (
        "filter or template",
        "250,000 values",
        "expression/mod.rs",
        "MAX_VALUES: usize = 250_000;",
    ),
    (
        "what `body` makes",
        "4 MiB",
        "expression/mod.rs",
        "MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;",
    ),
    (
        "notices about senders",
        "1,024",
        "outbound/dispatcher.rs",
        "NOTICES: usize = 1024;",
    ),
    (
        "`gateway.*` events",
        "4,096",
        "gateway/own_events.rs",
        "RECENT: usize = 4096;",
    ),
    (
        "generations kept",
        "100",
        "store/sqlite/commit.rs",
        "GENERATIONS: u64 = 100;",
    ),
    (
        "generations kept",
        "256 MiB",
        "store/sqlite/commit.rs",
        "DOCUMENT_BYTES: u64 = 256 * 1024 * 1024;",
    ),
    (
        "commands to the reconciler",
        "64",
        "reconcile/mod.rs",
        "COMMANDS: usize = 64;",
    ),
    (
        "files looked at",
        "1,000",
        "reconcile/watcher/eyes.rs",
        "POLL_FILES: usize = 1_000;",
    ),
    (
        "paths of file events",
        "4,096",
        "reconcile/watcher.rs",
        "EVENTS: usize = 4_096;",
    ),
    (
        "API request",
        "160 MiB",
        "admin/server/mod.rs",
        "LARGEST_REQUEST: usize = 160 * 1024 * 1024;",
    ),
    (
        "rows of a listing",
        "100, at most 1,000",
        "admin/server/read.rs",
        "LIMITS: (usize, usize) = (100, 1000);",
    ),
    (
        "rows of a listing",
        "16 MiB",
        "store/model/reading.rs",
        "PAGE_BYTES: usize = 16 * 1024 * 1024;",
    ),
    (
        "streams of events",
        "64",
        "admin/server/stream.rs",
        "STREAMS: usize = 64;",
    ),
    (
        "streams of events",
        "10,000 events",
        "admin/server/stream.rs",
        "MOST: (usize, usize) = (10_000, 16 * 1024 * 1024);",
    ),
    (
        "a replay under",
        "10,000 events",
        "admin/server/replay.rs",
        "MOST_NEW: usize = 10_000;",
    ),
];

#[test]
fn each_number_in_the_table_of_limits_is_the_codes() {
    let page = read("docs/limits.md");
    let mut faults = Vec::new();
    for (row, number, file, line) in NUMBERS {
        let start = format!("| {row}");
        let bound = page
            .lines()
            .find(|line| line.starts_with(&start))
            .and_then(|line| line.split(" | ").nth(1))
            .unwrap_or_default();
        if !bound.contains(number) {
            faults.push(format!("docs/limits.md: the bound of `{row}` does not say {number}"));
        }
        if !read(&format!("src/{file}")).contains(line) {
            faults.push(format!(
                "src/{file} has no `{line}` any more: docs/limits.md says {number} for `{row}`"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
