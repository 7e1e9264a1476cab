//! Asking an exec provider, in OpenClaw's protocol 1: one JSON object in, one out.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value as Json, json};

use super::LARGEST_FILE;
use crate::document::reference::{LONGEST_PROVIDER_TIMEOUT, PROVIDER_TIMEOUT};
use crate::secret::Secret;

/// Values that one call asks for at most.
pub(super) const IDS: usize = 64;

/// What a provider says of one id: its value, or why it has none; `None`: nothing.
pub(super) type Said = Option<Result<Secret, String>>;

/// Asks for values, at most [`IDS`]; what is said of each, in their order. Whatever the provider does and starts, it is over
/// after `timeoutMs`, a minute at most.
pub(super) fn ask(provider: &str, definition: &Json, ids: &[&str]) -> Result<Vec<Said>, String> {
    let answer = run(provider, definition, ids)?;
    let said = ids.iter().map(|id| {
        let value = answer["values"][id].as_str().and_then(Secret::parse);
        value.map(Ok).or_else(|| {
            let error = answer["errors"].get(id)?;
            let why = error["code"].as_str().unwrap_or("no reason given");
            Some(Err(format!("it has no value: {why}")))
        })
    });
    Ok(said.collect())
}

fn run(provider: &str, definition: &Json, ids: &[&str]) -> Result<Json, String> {
    let command = definition["command"].as_str().filter(|c| Path::new(c).is_absolute());
    let command = command.ok_or("`command` must be an absolute path")?;
    let texts = |member: &str| -> Vec<&str> {
        definition[member]
            .as_array()
            .map(|items| items.iter().filter_map(Json::as_str).collect())
            .unwrap_or_default()
    };
    let timeout = definition["timeoutMs"]
        .as_u64()
        .map_or(PROVIDER_TIMEOUT, Duration::from_millis)
        .min(LONGEST_PROVIDER_TIMEOUT);
    let passed = texts("passEnv")
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = Command::new(command)
        .args(texts("args"))
        .env_clear()
        .envs(passed)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A script's own children are ended with it.
        .process_group(0)
        .spawn()
        .map_err(|e| format!("{command}: {e}"))?;
    let question = json!({ "protocolVersion": 1, "provider": provider, "ids": ids }).to_string();
    let limit = LARGEST_FILE * ids.len() as u64;
    let answer = converse(&mut child, question.as_bytes(), limit, timeout);
    // Before it is reaped: until then nobody else has its number.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let _ = child.wait();
    let answer = answer.map_err(|e| match e.kind() {
        ErrorKind::TimedOut => format!("no answer within {} ms", timeout.as_millis()),
        ErrorKind::FileTooLarge => format!("its answer is larger than {limit} bytes"),
        _ => e.to_string(),
    })?;
    let text = std::str::from_utf8(&answer).map_err(|_| "its answer is not UTF-8")?;
    serde_json::from_str(text).map_err(|_| "its answer is no JSON".to_owned())
}

/// Writes the question and reads the answer to its end. Never waits in a read or a write: what left the provider's process
/// group may hold both pipes open for ever.
fn converse(child: &mut Child, mut question: &[u8], limit: u64, timeout: Duration) -> io::Result<Vec<u8>> {
    let end = Instant::now() + timeout;
    let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut stdout = stdout.expect("the output is a pipe");
    rustix::io::ioctl_fionbio(&stdout, true)?;
    if let Some(stdin) = &stdin {
        rustix::io::ioctl_fionbio(stdin, true)?;
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let mut pipes = vec![PollFd::new(&stdout, PollFlags::IN)];
        pipes.extend(stdin.as_ref().map(|stdin| PollFd::new(stdin, PollFlags::OUT)));
        match poll(&mut pipes, Timespec::try_from(left).ok().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(pipes);
        match stdout.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
        if answer.len() as u64 > limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        if let Some(pipe) = &mut stdin {
            match pipe.write(question) {
                Ok(count) => question = &question[count..],
                Err(error) if waits(&error) => {}
                // A provider that does not read its question may answer all the same.
                Err(_) => question = &[],
            }
            if question.is_empty() {
                stdin = None;
            }
        }
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(dir: &tempfile::TempDir, lines: &str) -> String {
        let path = dir.path().join("vault");
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_provider_whose_child_holds_its_output_is_cut_off_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let lines = format!("sleep 1000 &\necho $! > {}\nwait\necho", pid.display());
        let definition = json!({ "command": script(&dir, &lines), "timeoutMs": 500 });
        let begun = Instant::now();
        assert_eq!(
            run("vault", &definition, &["a"]).unwrap_err(),
            "no answer within 500 ms"
        );
        assert!(begun.elapsed() < Duration::from_secs(100));
        let pid = fs::read_to_string(&pid).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        // Gone, or a zombie that its new parent has not yet reaped.
        while fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < end, "the child still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_child_that_left_the_group_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "setsid sleep 3 &\nexec sleep 1000";
        let definition = json!({ "command": script(&dir, lines), "timeoutMs": 100, "passEnv": ["PATH"] });
        let begun = Instant::now();
        assert_eq!(
            run("vault", &definition, &["a"]).unwrap_err(),
            "no answer within 100 ms"
        );
        assert!(begun.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn an_endless_answer_is_not_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let definition = json!({ "command": script(&dir, "exec cat /dev/zero"), "passEnv": ["PATH"] });
        assert_eq!(
            run("vault", &definition, &["a"]).unwrap_err(),
            "its answer is larger than 1048576 bytes"
        );
    }

    #[test]
    fn a_question_that_nobody_reads_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "echo '{\"values\":{}}'";
        let definition = json!({ "command": script(&dir, lines) });
        let id = "a".repeat(1 << 20);
        assert_eq!(run("vault", &definition, &[&id]).unwrap(), json!({ "values": {} }));
    }
}
