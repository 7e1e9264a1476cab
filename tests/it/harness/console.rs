//! Documents that a person follows at a prompt: their commands are run in their order, in one shell, and what they show is
//! what is printed. `…` stands for what differs from run to run; a line that is only `…` stands for any lines. A block
//! with a name behind its language (` ```yaml openclaw.yaml `) is a file to save.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// What a person looks at until it has come: run again until it shows what the document shows.
const LOOKED_AT_AGAIN: [&str; 6] = [
    "openclaw status",
    "openclaw history",
    "openclaw webhooks logs",
    "openclaw webhooks show",
    "openclaw plan",
    "cat ",
];

/// The ports that documents name.
const PORTS: [&str; 3] = ["8790", "8791", "8792"];

/// What the reader does.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Types a command, and sees this.
    Command { line: String, shown: Vec<String> },
    /// Saves a file.
    File { name: String, text: String },
}

/// The steps of a document. In a `console` block a command begins with `$ `, goes on behind a `\`, and what follows is its
/// output.
pub fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        match language.split_once(' ') {
            Some((_, name)) => steps.push(Step::File {
                name: name.to_owned(),
                text: block.join("\n") + "\n",
            }),
            None if language == "console" => steps.extend(commands(&block)),
            None => {}
        }
    }
    steps
}

fn commands(block: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continued = false;
    for text in block {
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step::Command {
                line: command.to_owned(),
                shown: Vec::new(),
            });
        } else if let Some(Step::Command { line, shown }) = steps.last_mut() {
            if continued {
                line.push('\n');
                line.push_str(text);
            } else {
                shown.push((*text).to_owned());
            }
        }
        continued = (continued || text.starts_with("$ ")) && text.ends_with('\\');
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

/// One bash for the whole document, as a person has one.
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
            .env_remove("OPENCLAW_CONFIG")
            .env_remove("OPENCLAW_GATEWAY")
            .env_remove("OPENCLAW_ADMIN_TOKEN")
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
        // What a person sees beside the answers (notes, job messages) is not what documents show.
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

/// A person at a prompt in a directory. The ports that documents name may be taken on this machine: free ones stand in.
pub struct Console {
    directory: tempfile::TempDir,
    ports: Vec<String>,
    shell: Shell,
}

impl Console {
    pub fn open() -> Self {
        let taken: Vec<_> = PORTS
            .iter()
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |socket: &TcpListener| socket.local_addr().unwrap().port().to_string();
        let directory = tempfile::tempdir().unwrap();
        let shell = Shell::open(directory.path());
        Self {
            ports: taken.iter().map(port).collect(),
            directory,
            shell,
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A text with the ports of here.
    fn here(&self, text: &str) -> String {
        let ports = PORTS.iter().zip(&self.ports);
        ports.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    pub fn save(&self, name: &str, text: &str) {
        std::fs::write(self.directory().join(name), self.here(text)).unwrap();
    }

    /// Runs a command, and gives what it printed.
    pub fn run(&mut self, command: &str) -> Vec<String> {
        let command = self.here(command);
        self.shell.run(&command)
    }

    /// Does all that a document says, and fails where what is printed is not what it shows.
    #[track_caller]
    pub fn follow(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::File { name, text } => self.save(name, text),
                Step::Command { line, shown } => self.look(line, shown),
            }
        }
    }

    #[track_caller]
    fn look(&mut self, command: &str, shown: &[String]) {
        let shown: Vec<String> = shown.iter().map(|line| self.here(line)).collect();
        let again = LOOKED_AT_AGAIN.iter().any(|start| command.starts_with(start));
        let end = Instant::now() + PATIENCE;
        loop {
            let output = self.run(command);
            if matches(&shown, &output) {
                return;
            }
            let gateway = std::fs::read_to_string(self.directory().join("gateway.log")).unwrap_or_default();
            assert!(
                again && Instant::now() < end,
                "$ {command}\nshown:\n{}\nprinted:\n{}\n--- gateway.log ---\n{gateway}",
                shown.join("\n"),
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

#[test]
fn commands_and_files_are_steps_and_other_blocks_are_not() {
    let document = "```sh\nx\n```\n```yaml a.yaml\nb: c\n```\n```console\n$ one \\\n    two\nout\n\n$ three\n```\n";
    let command = |line: &str, shown: &[&str]| Step::Command {
        line: line.to_owned(),
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    let file = Step::File {
        name: "a.yaml".to_owned(),
        text: "b: c\n".to_owned(),
    };
    assert_eq!(
        steps(document),
        [file, command("one \\\n    two", &["out", ""]), command("three", &[])]
    );
}
