//! Completions in real shells, colours, and pipes that break.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::harness::openclaw;

const DOCUMENT: &str = "\
webhooks:
  inbound:
    telegram: { secret: s }
  outbound:
    event-logger: { url: https://log.example }
    event-backup: { url: https://backup.example }
";

/// A directory with a document, and a script of completions for each shell.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("openclaw.yaml"), DOCUMENT).unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(dir.path(), &["completions", shell]);
        assert!(script.status.success());
        fs::write(dir.path().join(shell), script.stdout).unwrap();
    }
    dir
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = openclaw();
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.output().unwrap()
}

/// Whether a shell is there. Says so where it is not.
fn is_there(shell: &str) -> bool {
    let there = Command::new(shell)
        .args(["-c", "exit 0"])
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped: there is no {shell} on this machine");
    }
    there
}

/// What bash offers for a line; the cursor stands behind its last word.
fn offered(dir: &Path, line: &[&str]) -> Vec<String> {
    let script = r#"
        source ./bash
        COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        registered=$(complete -p openclaw); function=${registered#*-F }; function=${function%% *}
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash", env!("CARGO_BIN_EXE_openclaw")])
        .args(line)
        .current_dir(dir)
        .env_remove("OPENCLAW_CONFIG")
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success() && err.is_empty(), "{line:?}\n{out}\n{err}");
    out.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_values_and_names() {
    if !is_there("bash") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    assert_eq!(offered(dir, &["webh"]), ["webhooks"]);
    assert_eq!(offered(dir, &["webhooks", "set"]), ["set-inbound"]);
    assert_eq!(
        offered(dir, &["webhooks", "create", "x", "--retry-d"]),
        ["--retry-delay"]
    );
    assert_eq!(offered(dir, &["plan", "--format", "mark"]), ["markdown"]);
    assert_eq!(offered(dir, &["webhooks", "show", "tele"]), ["telegram"]);
    assert_eq!(
        offered(dir, &["webhooks", "pause", "event-"]),
        ["event-backup", "event-logger"]
    );
    assert_eq!(offered(dir, &["replay", "event-l"]), ["event-logger"]);
    assert_eq!(offered(dir, &["webhooks", "show", "--inb"]), ["--inbound"]);
    assert!(
        !offered(dir, &["show", "tele"]).contains(&"telegram".to_owned()),
        "a saved plan's file"
    );
    fs::write(dir.join("openclaw.yaml"), "webhooks: [").unwrap();
    assert_eq!(
        offered(dir, &["webhooks", "show", "tele"]),
        [""],
        "a broken document has no names"
    );
}

#[test]
fn the_scripts_of_zsh_and_fish_are_well_formed() {
    let dir = directory();
    for (shell, check) in [("zsh", ["-n", "zsh"]), ("fish", ["--no-execute", "fish"])] {
        if is_there(shell) {
            let output = Command::new(shell)
                .args(check)
                .current_dir(dir.path())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let script = fs::read_to_string(dir.path().join(shell)).unwrap();
        for word in ["set-inbound", "retry-delay", "markdown"] {
            assert!(script.contains(word), "{shell} does not know `{word}`");
        }
    }
}

#[test]
fn colour_is_for_terminals_alone() {
    let dir = directory();
    fs::write(dir.path().join("broken.yaml"), "webhooks:\n  inbuond: {}\n").unwrap();
    let args = ["validate", "--config", "broken.yaml"];
    let escapes = |output: &Output| output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b);
    assert!(!escapes(&run(dir.path(), &args)), "no terminal, no colour");
    // `script` gives its command a terminal.
    let terminal = |env: &[(&str, &str)], more: &str| {
        let line = format!("{} {} {more}", env!("CARGO_BIN_EXE_openclaw"), args.join(" "));
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .current_dir(dir.path())
            .stdin(Stdio::null());
        // A build server (`CI`) is taken for a terminal with colours, whatever `TERM` says.
        for name in ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm").envs(env.iter().copied());
        command.output()
    };
    let Ok(coloured) = terminal(&[], "") else {
        eprintln!("skipped: there is no `script` on this machine, which makes a terminal");
        return;
    };
    assert!(escapes(&coloured), "{}", String::from_utf8_lossy(&coloured.stdout));
    assert!(!escapes(&terminal(&[("NO_COLOR", "1")], "").unwrap()));
    assert!(!escapes(&terminal(&[], "--no-color").unwrap()));
    assert!(!escapes(&terminal(&[("TERM", "dumb")], "").unwrap()));
}

#[test]
fn a_pipe_that_breaks_is_no_error_and_says_nothing() {
    let dir = directory();
    // More than a pipe holds.
    for args in [&["schema"][..], &["completions", "zsh"], &["--help"]] {
        let mut child = openclaw()
            .args(args)
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() && err.is_empty(), "{args:?}: {status} {err}");
    }
}
