//! A gateway that answers what it is told to, and a command line in a directory of its own.

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, body::Bytes, extract::Request, routing::any};
use clap::Parser;
use serde_json::Value as Json;

use crate::admin::wire::{
    ApplyOutcome, Attention, Condition, ConditionStatus, DocumentState, DocumentStatus, Generation, Mode, PlanDocument,
    Problem, Status, Totals, WebhookState,
};
use crate::cli::{Cli, Context, Surroundings, Terminal, conclude, surroundings};
use crate::clock::{ManualClock, from_ms};
use crate::plan::Summary;
use crate::plan::render::tests::sample;
use crate::store::Cause;

/// 2026-03-15T10:30:00Z
pub(super) const NOW: i64 = 1_773_570_600_000;

/// The document that the sample plan is about.
pub(super) const DOCUMENT: &str = "webhooks: {} # 频道\r\n";

// ---- a gateway that answers what it is told to ----

type Answers = Arc<Mutex<Vec<(&'static str, Option<Response>)>>>;
type Requests = Arc<Mutex<Vec<(String, Json)>>>;

pub(super) struct Gateway {
    pub(super) address: String,
    requests: Requests,
    /// Serves until it is dropped.
    _runtime: tokio::runtime::Runtime,
}

impl Gateway {
    /// Answers each `METHOD /path` with the first unused answer for it, then with 404.
    pub(super) fn with(answers: Vec<(&'static str, Response)>) -> Self {
        let requests: Requests = Arc::default();
        let answers: Answers = Arc::new(Mutex::new(
            answers.into_iter().map(|(to, answer)| (to, Some(answer))).collect(),
        ));
        let seen = requests.clone();
        let answer = move |request: Request| {
            let (answers, seen) = (answers.clone(), seen.clone());
            async move {
                let to = format!("{} {}", request.method(), request.uri());
                let body: Bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
                seen.lock()
                    .unwrap()
                    .push((to.clone(), serde_json::from_slice(&body).unwrap_or(Json::Null)));
                let mut answers = answers.lock().unwrap();
                let found = answers
                    .iter_mut()
                    .find(|(path, answer)| *path == to && answer.is_some());
                found
                    .and_then(|(_, answer)| answer.take())
                    .unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, Router::new().fallback(any(answer))).await });
        Self {
            address,
            requests,
            _runtime: runtime,
        }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(to, _)| to.clone()).collect()
    }

    pub(super) fn body(&self, number: usize) -> Json {
        self.requests.lock().unwrap()[number].1.clone()
    }
}

pub(super) fn answer(value: &impl serde::Serialize) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        serde_json::to_vec(value).unwrap(),
    )
        .into_response()
}

pub(super) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        serde_json::to_vec(problem).unwrap(),
    )
        .into_response()
}

pub(super) fn generation(number: u64) -> Generation {
    Generation {
        number,
        sha256: "aa".repeat(32),
        at_ms: NOW - 120_000,
        cause: Cause::Apply,
        who: Some("mia".to_owned()),
        git_commit: None,
        summary: [1, 3, 1, 1],
        fingerprints: std::collections::BTreeMap::new(),
        format: "yaml".to_owned(),
    }
}

pub(super) fn applied() -> Response {
    let summary = Summary {
        add: 1,
        change: 3,
        replace: 1,
        delete: 1,
    };
    answer(&ApplyOutcome {
        generation: Some(generation(7)),
        made: true,
        summary,
        notes: vec!["noted".to_owned()],
    })
}

/// The sample plan for [`DOCUMENT`].
pub(super) fn plan() -> PlanDocument {
    let mut plan = sample();
    plan.document.sha256 = surroundings::sha256(DOCUMENT.as_bytes());
    plan
}

pub(super) fn no_changes() -> PlanDocument {
    PlanDocument {
        changes: Vec::new(),
        summary: Summary::default(),
        ..plan()
    }
}

pub(super) fn status() -> Status {
    let condition = |kind: &str, status, reason: &str, message: &str| Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: "2026-03-15T09:30:00Z".to_owned(),
        observed_generation: Some(6),
    };
    Status {
        version: "0.1.0".to_owned(),
        started_ms: Some(NOW - 3 * 3_600_000),
        generation: Some(generation(6)),
        document: DocumentStatus {
            path: "openclaw.yaml".to_owned(),
            sha256: Some("bb".repeat(32)),
            mode: Mode::Auto,
            state: DocumentState::Held,
            reasons: vec!["it would delete all 5 webhooks".to_owned()],
        },
        inbound: 3,
        outbound: 2,
        totals: Totals {
            owed: 12,
            dead: 1,
            oldest_owed_ms: Some(NOW - 300_000),
            ..Totals::default()
        },
        conditions: vec![
            condition("Ready", ConditionStatus::True, "Serving", "generation 6 serves"),
            condition(
                "Held",
                ConditionStatus::True,
                "DeletesAll",
                "it would delete all 5 webhooks",
            ),
        ],
        attention: vec![Attention {
            address: "webhooks.inbound.slack".to_owned(),
            state: WebhookState::Degraded,
            reason: "SecretMissing".to_owned(),
            message: "SLACK_SIGNING_SECRET is not set".to_owned(),
        }],
    }
}

// ---- a command line in a directory of its own ----

#[derive(Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

pub(super) struct Ran {
    pub(super) code: u8,
    pub(super) out: String,
    pub(super) err: String,
}

pub(super) struct Shell {
    directory: tempfile::TempDir,
    /// What the person at the terminal types; `None`: there is no terminal.
    types: Option<&'static str>,
}

impl Shell {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("openclaw.yaml"), DOCUMENT).unwrap();
        Self { directory, types: None }
    }

    pub(super) fn typing(text: &'static str) -> Self {
        Self {
            types: Some(text),
            ..Self::new()
        }
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn run(&self, gateway: &Gateway, line: &str) -> Ran {
        self.run_words(&format!("--gateway {} {line}", gateway.address))
    }

    pub(super) fn run_words(&self, line: &str) -> Ran {
        let cli = Cli::try_parse_from(std::iter::once("openclaw").chain(line.split_whitespace())).unwrap();
        let (out, err) = (Sink::default(), Sink::default());
        let terminal = Terminal {
            stdout: Box::new(out.clone()),
            stderr: Box::new(err.clone()),
            stdin: Box::new(Cursor::new(self.types.unwrap_or_default())),
            interactive: self.types.is_some(),
            colour: false,
            colour_notes: false,
            json: cli.global.json(),
            verbose: cli.global.verbose,
        };
        let surroundings = Surroundings {
            directory: self.directory.path().to_owned(),
            who: Some("mia".to_owned()),
            ..Surroundings::default()
        };
        let clock = Arc::new(ManualClock::at(from_ms(NOW)));
        let mut context = Context {
            global: cli.global,
            terminal,
            surroundings,
            clock,
        };
        let code = conclude(&cli.command, &mut context);
        // Where the document lies is this test's alone.
        let place = format!("{}/", self.directory.path().display());
        Ran {
            code,
            out: out.text().replace(&place, ""),
            err: err.text().replace(&place, ""),
        }
    }
}
