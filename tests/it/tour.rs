//! README's five minutes are true word for word: its commands are run in its order, in one shell, and what it shows is
//! what they print. `…` in the README stands for what differs from run to run; a line that is only `…` stands for any lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::harness::PATIENCE;

/// What a person looks at until it has come: run again until it shows what the README shows.
const LOOKED_AT_AGAIN: [&str; 5] = [
    "openclaw status",
    "openclaw history",
    "openclaw webhooks logs",
    "openclaw plan",
    "cat ",
];

struct Step {
    command: String,
    shown: Vec<String>,
}

/// The `console` blocks of a README: a command begins with `$ `, goes on behind a `\`, and what follows is its output.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    let mut continued = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                shown: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            if continued {
                step.command.push('\n');
                step.command.push_str(line);
            } else {
                step.shown.push(line.to_owned());
            }
        }
        continued = (continued || line.starts_with("$ ")) && line.ends_with('\\');
    }
    steps
}

/// Whether the output is what is shown.
fn matches(shown: &[String], output: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else {
        return output.is_empty();
    };
    if first == "…" {
        return (0..=output.len()).any(|skipped| matches(rest, &output[skipped..]));
    }
    output
        .split_first()
        .is_some_and(|(line, more)| line_matches(first, line) && matches(rest, more))
}

/// Words must be equal; how many blanks stand between columns depends on what is in them.
fn line_matches(shown: &str, line: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, line) = (squeeze(shown), squeeze(line));
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first.trim_end())) else {
        return false;
    };
    for part in parts {
        let part = part.trim();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    shown.ends_with('…') || rest.trim().is_empty()
}

/// One bash for the whole tour, as a person has one.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Shell {
    fn open(directory: &Path) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_openclaw")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let mut child = Command::new("bash")
            // Job control, so that `%1` means what it means at a prompt.
            .args(["--norc", "--noprofile", "-m"])
            .current_dir(directory)
            .env("PATH", path)
            .env_remove("OPENCLAW_GATEWAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        // What a person sees beside the answers (notes, job messages) is not what the README shows.
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).for_each(drop));
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin, lines }
    }

    fn run(&mut self, command: &str) -> Vec<String> {
        const MARK: &str = "--- done ---";
        writeln!(self.stdin, "{command}\necho\necho '{MARK}'").unwrap();
        let end = Instant::now() + PATIENCE;
        let mut output = Vec::new();
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no end within {PATIENCE:?}: {command}\n{output:#?}"));
            if line == MARK {
                break;
            }
            output.push(line);
        }
        // The blank that the mark's `echo` made, where the output ended its last line itself.
        if output.last().is_some_and(String::is_empty) {
            output.pop();
        }
        output
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = writeln!(self.stdin, "kill $(jobs -p) 2>/dev/null; wait; exit");
        let _ = self.child.wait();
    }
}

#[test]
fn the_readmes_tour_is_true_word_for_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let document = std::fs::read_to_string(root.join("openclaw.yaml")).unwrap();
    // The README's ports may be taken on this machine: the tour runs on ports that are free.
    let ports: Vec<String> = {
        let taken: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        taken
            .iter()
            .map(|port| port.local_addr().unwrap().port().to_string())
            .collect()
    };
    let here = |text: &str| {
        ["8790", "8791", "8792"]
            .iter()
            .zip(&ports)
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("openclaw.yaml"), here(&document)).unwrap();
    let steps = steps(&readme);
    assert!(
        steps.len() > 30,
        "only {} commands were found in the README",
        steps.len()
    );

    let mut shell = Shell::open(dir.path());
    for step in steps {
        let command = here(&step.command);
        let again = LOOKED_AT_AGAIN.iter().any(|start| command.starts_with(start));
        let end = Instant::now() + PATIENCE;
        loop {
            let output = shell.run(&command);
            if matches(&step.shown, &output) {
                break;
            }
            let gateway = std::fs::read_to_string(dir.path().join("gateway.log")).unwrap_or_default();
            assert!(
                again && Instant::now() < end,
                "$ {command}\nshown in the README:\n{}\nprinted:\n{}\n--- gateway.log ---\n{gateway}",
                step.shown.join("\n"),
                output.join("\n")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn what_is_shown_is_held_to_what_is_printed() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a\n…\nz"), &lines("a\nb\nc\nz")));
    assert!(matches(&lines("a … c"), &lines("a b  c")));
    assert!(!matches(&lines("a"), &lines("a\nb")));
    assert!(!matches(&lines("a … c"), &lines("a b d")));
    assert!(!matches(&lines("a\n…\nz"), &lines("a\nb")));
    assert!(!matches(&lines(""), &lines("x")));
}
