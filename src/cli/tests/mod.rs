//! The commands, through their own streams.

mod harness;
mod outputs;
mod reading;
mod weak;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use axum::http::header;
use axum::response::IntoResponse;
use clap::CommandFactory;
use serde_json::{Value as Json, json};

use super::*;
use crate::admin::wire::{ConditionStatus, Generation, Listing, PlanDocument, Problem, Status};
use crate::clock::{ManualClock, from_ms};
use crate::plan::Held;
use crate::store::Cause;
use harness::{DOCUMENT, Gateway, NOW, Shell, Sink, answer, applied, generation, no_changes, plan, problem, status};

// ---- the command line itself ----

#[test]
fn every_command_has_help_with_an_example() {
    Cli::command().debug_assert();
    let mut help = String::new();
    let mut root = Cli::command().term_width(100);
    help.push_str(&root.render_long_help().to_string());
    root.build();
    help_below(&mut root, "", &mut help);
    insta::assert_snapshot!("help", help);
}

/// The help of each command below this one, and of those below them.
fn help_below(above: &mut clap::Command, path: &str, help: &mut String) {
    for command in above.get_subcommands_mut() {
        let path = format!("{path} {}", command.get_name());
        let text = command.render_long_help().to_string();
        assert!(text.contains("Examples:\n  openclaw "), "{text}");
        assert!(text.contains(&format!("  openclaw{path}")), "{text}");
        // The global options are the same everywhere.
        let (own, rest) = text.split_once("Global options:\n").unwrap();
        let examples = &rest[rest.find("Examples:\n").unwrap()..];
        help.extend(["\n========", &path, "\n", own, examples]);
        help_below(command, &path, help);
    }
}

#[test]
fn a_usage_error_is_1_and_help_is_an_answer() {
    let code = |line: &str| usage_code(&Cli::try_parse_from(line.split(' ')).unwrap_err());
    for line in [
        "openclaw",
        "openclaw frobnicate",
        "openclaw plan --frobnicate",
        "openclaw rollback x",
        "openclaw apply a -f b",
    ] {
        assert_eq!(code(line), 1, "{line}");
    }
    for line in ["openclaw --help", "openclaw plan -h", "openclaw --version"] {
        assert_eq!(code(line), 0, "{line}");
    }
}

#[test]
fn a_broken_pipe_is_success_and_a_full_disk_is_not() {
    struct Failing(std::io::ErrorKind);
    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for (kind, code) in [
        (std::io::ErrorKind::BrokenPipe, 0),
        (std::io::ErrorKind::StorageFull, 1),
    ] {
        let gateway = Gateway::with(vec![("GET /v1/status", answer(&status()))]);
        let cli = Cli::try_parse_from(["openclaw", "--gateway", &gateway.address, "status"]).unwrap();
        let mut terminal = Terminal::of_process(&cli.global);
        let err = Sink::default();
        terminal.stdout = Box::new(Failing(kind));
        terminal.stderr = Box::new(err.clone());
        let clock = Arc::new(ManualClock::at(from_ms(NOW)));
        let mut context = Context {
            global: cli.global,
            terminal,
            surroundings: Surroundings::default(),
            clock,
        };
        assert_eq!(conclude(&cli.command, &mut context), code);
        assert_eq!(err.text().is_empty(), code == 0, "{}", err.text());
    }
}

#[test]
fn a_gateway_that_was_named_has_to_answer() {
    let shell = Shell::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for command in ["plan", "history", "export", "status", "apply --yes", "rollback 6 --yes"] {
        let ran = shell.run_words(&format!("--gateway {address} {command}"));
        let expected = format!(
            "error: nothing answers at {address}\nhint: start the gateway with `openclaw run`, or name it with --gateway\n"
        );
        assert_eq!((ran.code, ran.out.as_str(), ran.err), (1, "", expected), "{command}");
    }
    let ran = shell.run_words(&format!("--gateway {address} --json status"));
    let error: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        error["error"]["message"],
        json!(format!("nothing answers at {address}"))
    );
    let ran = shell.run_words("--gateway 127.0.0.1:1 status");
    assert!(
        ran.err
            .starts_with("error: --gateway 127.0.0.1:1: not a gateway's address, such as http://"),
        "{}",
        ran.err
    );
}

#[test]
fn without_a_document_the_places_are_named() {
    let shell = Shell::new();
    std::fs::remove_file(shell.path("openclaw.yaml")).unwrap();
    let ran = shell.run_words("validate");
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.err, @r"
    error: no document found: looked for openclaw.yaml, openclaw.yml, openclaw.json, openclaw.json5
    hint: `openclaw init` writes one; --config FILE or OPENCLAW_CONFIG names one
    ");
}

// ---- plan, show ----

#[test]
fn plan_sends_the_documents_bytes_and_prints_the_gateways_plan() {
    let shell = Shell::new();
    let gateway = Gateway::with(vec![("POST /v1/plan", answer(&plan()))]);
    let ran = shell.run(&gateway, "plan");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, crate::plan::render::text::render(&plan(), false));
    assert_eq!(gateway.requests(), ["POST /v1/plan"]);
    let body = gateway.body(0);
    assert_eq!((&body["document"], &body["format"]), (&json!(DOCUMENT), &json!("yaml")));
    assert_eq!(body["path"], json!(shell.path("openclaw.yaml")));
}

#[test]
fn detailed_exit_codes_tell_changes_and_nothing_else_does() {
    for (plan, flag, code) in [
        (plan(), "", 0),
        (plan(), "--detailed-exitcode", 2),
        (no_changes(), "--detailed-exitcode", 0),
        (
            PlanDocument {
                drift: vec![drift()],
                ..no_changes()
            },
            "--detailed-exitcode",
            0,
        ),
    ] {
        let gateway = Gateway::with(vec![("POST /v1/plan", answer(&plan))]);
        assert_eq!(Shell::new().run(&gateway, &format!("plan {flag}")).code, code, "{flag}");
    }
}

fn drift() -> crate::plan::render::Drift {
    crate::plan::render::Drift {
        address: "webhooks.server".to_owned(),
        reason: "ListenFailed".to_owned(),
        message: "in use".to_owned(),
    }
}

#[test]
fn a_document_that_is_applied_already_says_so() {
    let mut same = no_changes();
    same.base.sha256 = Some(same.document.sha256.clone());
    let gateway = Gateway::with(vec![("POST /v1/plan", answer(&same))]);
    let ran = Shell::new().run(&gateway, "plan");
    assert_eq!(ran.out, "No changes. The gateway matches the document.\n");
    assert_eq!(ran.err, "openclaw.yaml is already applied as generation 6\n");
}

#[test]
fn a_plan_is_written_in_other_forms_and_saved() {
    let shell = Shell::new();
    let gateway = Gateway::with(vec![("POST /v1/plan", answer(&plan()))]);
    let (json, markdown, saved) = (shell.path("p.json"), shell.path("p.md"), shell.path("p.plan"));
    let line = format!("plan --format json --write json={json} --write markdown={markdown} --out {saved}");
    let ran = shell.run(&gateway, &line);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(serde_json::from_str::<PlanDocument>(&ran.out).unwrap(), plan());
    assert_eq!(std::fs::read_to_string(json).unwrap(), ran.out);
    assert!(
        std::fs::read_to_string(markdown)
            .unwrap()
            .starts_with("<!-- openclaw-plan -->\n")
    );
    assert!(
        !std::fs::read_to_string(&saved).unwrap().contains("频道"),
        "the document is not in it"
    );
    let shown = shell.run_words(&format!("show {saved}"));
    assert_eq!(
        (shown.code, shown.out),
        (0, crate::plan::render::text::render(&plan(), false))
    );
    let ran = shell.run_words("show openclaw.yaml");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .ends_with("hint: to apply a document, write `openclaw apply -f openclaw.yaml`\n"),
        "{}",
        ran.err
    );
}

#[test]
fn a_broken_document_is_told_with_all_that_is_wrong() {
    let mut wrong = Problem::new(
        422,
        Problem::DOCUMENT,
        "the document is broken",
        "the document has 1 error",
    );
    wrong.diagnostics = vec![crate::admin::wire::DiagnosticRow {
        code: "OC102".to_owned(),
        severity: "error".to_owned(),
        file: "openclaw.yaml".to_owned(),
        line: 3,
        column: 5,
        message: "unknown field `ulr`".to_owned(),
        ..Default::default()
    }];
    let gateway = Gateway::with(vec![("POST /v1/plan", problem(&wrong))]);
    let ran = Shell::new().run(&gateway, "plan --detailed-exitcode");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_eq!(
        ran.err,
        "error: the document has 1 error\n  error[OC102]: openclaw.yaml:3:5: unknown field `ulr`\n"
    );
}

// ---- apply, rollback ----

#[test]
fn apply_shows_asks_and_converges() {
    let gateway = Gateway::with(vec![("POST /v1/plan", answer(&plan())), ("POST /v1/apply", applied())]);
    let ran = Shell::typing("yes\n").run(&gateway, "apply");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let shown = crate::plan::render::text::render(&plan(), false);
    assert_eq!(
        ran.out,
        format!("{shown}\nApply complete! Generation 7: 1 added, 3 changed, 1 replaced, 1 deleted.\n")
    );
    assert!(
        ran.err
            .contains(&format!("Carry out this plan at {}?", gateway.address)),
        "{}",
        ran.err
    );
    assert!(ran.err.ends_with("noted\n"), "{}", ran.err);
    let expected = json!({
        "document": DOCUMENT, "format": "yaml", "baseGeneration": 6, "allowDeletes": false, "who": "mia",
    });
    assert_eq!(gateway.body(1), expected);
}

#[test]
fn apply_changes_nothing_without_consent() {
    for (shell, expected) in [
        (
            Shell::typing("y\n"),
            "error: nothing was changed: the answer was not `yes`\n",
        ),
        (
            Shell::typing(""),
            "error: nothing was changed: the answer was not `yes`\n",
        ),
        (
            Shell::new(),
            "error: nobody can be asked here: stdin or stderr is no terminal\nhint: look at the plan, then add --yes\n",
        ),
    ] {
        let gateway = Gateway::with(vec![("POST /v1/plan", answer(&plan())), ("POST /v1/apply", applied())]);
        let ran = shell.run(&gateway, "apply");
        assert_eq!(ran.code, 1);
        assert!(ran.err.ends_with(expected), "{}", ran.err);
        assert_eq!(gateway.requests(), ["POST /v1/plan"]);
    }
}

#[test]
fn apply_of_what_runs_already_does_nothing_and_of_other_bytes_asks_nothing() {
    let mut same = no_changes();
    same.base.sha256 = Some(same.document.sha256.clone());
    let gateway = Gateway::with(vec![("POST /v1/plan", answer(&same))]);
    let ran = Shell::new().run(&gateway, "apply");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "No changes. The gateway matches the document.\n")
    );
    assert_eq!(gateway.requests(), ["POST /v1/plan"]);

    let gateway = Gateway::with(vec![
        ("POST /v1/plan", answer(&no_changes())),
        ("POST /v1/apply", applied()),
    ]);
    assert_eq!(Shell::new().run(&gateway, "apply").code, 0);
    assert_eq!(gateway.requests(), ["POST /v1/plan", "POST /v1/apply"]);
}

#[test]
fn a_held_plan_needs_allow_deletes() {
    let held = PlanDocument {
        held: Some(Held {
            reasons: vec!["it would delete all 5 webhooks".to_owned()],
        }),
        ..plan()
    };
    let answers = || vec![("POST /v1/plan", answer(&held)), ("POST /v1/apply", applied())];
    let gateway = Gateway::with(answers());
    let ran = Shell::new().run(&gateway, "apply --yes");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("  it would delete all 5 webhooks\n"), "{}", ran.out);
    assert_eq!(
        ran.err,
        "error: nothing was changed: the plan is held\nhint: --allow-deletes carries it out\n"
    );
    assert_eq!(gateway.requests(), ["POST /v1/plan"]);
    let gateway = Gateway::with(answers());
    assert_eq!(Shell::new().run(&gateway, "apply --yes --allow-deletes").code, 0);
    assert_eq!(gateway.body(1)["allowDeletes"], json!(true));
}

#[test]
fn apply_as_json_is_one_document() {
    let gateway = Gateway::with(vec![("POST /v1/plan", answer(&plan())), ("POST /v1/apply", applied())]);
    let ran = Shell::new().run(&gateway, "apply --yes --json");
    let printed: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(printed["outcome"]["generation"]["number"], json!(7));
    assert_eq!(printed["plan"]["summary"]["add"], json!(1));
}

#[test]
fn a_stale_answer_of_the_gateway_is_told() {
    let stale = Problem::new(
        409,
        Problem::STALE,
        "stale",
        "generation 6 is not the newest any more: 8 is (apply by mia)",
    );
    let gateway = Gateway::with(vec![
        ("POST /v1/plan", answer(&plan())),
        ("POST /v1/apply", problem(&stale)),
    ]);
    let ran = Shell::new().run(&gateway, "apply --yes");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "error: generation 6 is not the newest any more: 8 is (apply by mia)\nhint: look at `openclaw history`, then plan again\n"
    );
}

fn save(shell: &Shell) -> String {
    let mut plan = plan();
    plan.document.path = shell.path("openclaw.yaml");
    let path = shell.path("p.plan");
    std::fs::write(&path, crate::plan::saved::write(&plan)).unwrap();
    path
}

#[test]
fn a_saved_plan_is_carried_out_as_it_was_shown() {
    let shell = Shell::new();
    let gateway = Gateway::with(vec![
        ("GET /v1/status", answer(&status())),
        ("POST /v1/apply", applied()),
    ]);
    let ran = shell.run(&gateway, &format!("apply --yes {}", save(&shell)));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(gateway.requests(), ["GET /v1/status", "POST /v1/apply"]);
    assert_eq!(gateway.body(1)["baseGeneration"], json!(6));
}

#[test]
fn a_stale_saved_plan_says_what_moved_and_by_whom() {
    let shell = Shell::new();
    let saved = save(&shell);
    std::fs::write(Path::new(&shell.path("openclaw.yaml")), "webhooks: {}\n").unwrap();
    let moved = Status {
        generation: Some(generation(8)),
        ..status()
    };
    let gateway = Gateway::with(vec![("GET /v1/status", answer(&moved)), ("POST /v1/apply", applied())]);
    let ran = shell.run(&gateway, &format!("apply --yes {saved}"));
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.err, @r"
    error: the saved plan is stale:
      the plan was made against generation 6, the gateway runs generation 8 (apply by mia, 2 minutes ago)
      openclaw.yaml changed since the plan was made: its sha256 was aaba83d98daf, now it is 5f89d4830b9a
    hint: plan again, look at it, and apply that
    ");
    assert_eq!(gateway.requests(), ["GET /v1/status"]);
}

#[test]
fn rollback_plans_and_applies_an_old_document() {
    let old = ([(header::ETAG, "\"6\"")], "webhooks: {} # old\n").into_response();
    let gateway = Gateway::with(vec![
        ("GET /v1/status", answer(&status())),
        ("GET /v1/document?generation=6", old),
        ("POST /v1/plan", answer(&plan())),
        ("POST /v1/apply", applied()),
    ]);
    let ran = Shell::typing("yes\n").run(&gateway, "rollback 6");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(gateway.body(2)["path"], json!("generation 6"));
    let applied = gateway.body(3);
    assert_eq!(
        (&applied["document"], &applied["rollbackTo"]),
        (&json!("webhooks: {} # old\n"), &json!(6))
    );
}

// ---- status, history, export ----

#[test]
fn status_tells_what_is_wrong_and_why() {
    let gateway = Gateway::with(vec![("GET /v1/status", answer(&status()))]);
    let ran = Shell::new().run(&gateway, "status");
    assert_eq!(ran.code, 0);
    insta::assert_snapshot!("status", ran.out);
    let gateway = Gateway::with(vec![("GET /v1/status", answer(&status()))]);
    let ran = Shell::new().run(&gateway, "status --output json");
    assert_eq!(serde_json::from_str::<Status>(&ran.out).unwrap(), status());
}

#[test]
fn status_waits_for_a_condition() {
    let mut starting = status();
    starting.conditions[0].status = ConditionStatus::False;
    let gateway = Gateway::with(vec![
        ("GET /v1/status", answer(&starting)),
        ("GET /v1/status", answer(&status())),
    ]);
    assert_eq!(Shell::new().run(&gateway, "status --wait ready").code, 0);
    assert_eq!(gateway.requests().len(), 2);

    let gateway = Gateway::with(vec![("GET /v1/status", answer(&starting))]);
    let ran = Shell::new().run(&gateway, "status --wait Ready --timeout 0s");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "waited 0 seconds for Ready: Ready is False: Serving: generation 6 serves\n"
    );
}

#[test]
fn history_is_a_table() {
    let listing = Listing {
        items: vec![
            Generation {
                git_commit: Some("1f2e3d4c5b6a79880".to_owned()),
                ..generation(7)
            },
            Generation {
                cause: Cause::SecretFile,
                who: None,
                at_ms: NOW - 86_400_000,
                summary: [0, 1, 0, 0],
                ..generation(6)
            },
        ],
        next: Some("6".to_owned()),
    };
    let gateway = Gateway::with(vec![("GET /v1/generations?limit=2", answer(&listing))]);
    let ran = Shell::new().run(&gateway, "history --last 2");
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!("history", ran.out);
}

#[test]
fn export_is_byte_for_byte() {
    let document = ([(header::ETAG, "\"6\"")], DOCUMENT).into_response();
    let gateway = Gateway::with(vec![("GET /v1/document?generation=6", document)]);
    let ran = Shell::new().run(&gateway, "export --generation 6");
    assert_eq!((ran.code, ran.out.as_str()), (0, DOCUMENT));
}
