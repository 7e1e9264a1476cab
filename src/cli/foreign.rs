//! Commands of the OpenClaw assistant, whose binary has the same name: handed to it unchanged.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use super::Error;

/// The assistant's commands that are none of ours. `status` is ours, and so is `webhooks`, except for `webhooks gmail`.
const COMMANDS: [&str; 71] = [
    "acp",
    "agent",
    "agents",
    "approvals",
    "attach",
    "audit",
    "automations",
    "backup",
    "browser",
    "capability",
    "channels",
    "chat",
    "clawbot",
    "claws",
    "completion",
    "config",
    "configure",
    "connect",
    "cron",
    "daemon",
    "dashboard",
    "database",
    "devices",
    "directory",
    "dns",
    "docs",
    "doctor",
    "exec-policy",
    "file-transfer",
    "fleet",
    "gateway",
    "health",
    "hooks",
    "infer",
    "logs",
    "mcp",
    "memory",
    "message",
    "migrate",
    "models",
    "node",
    "nodes",
    "onboard",
    "pairing",
    "path",
    "plugins",
    "policy",
    "promos",
    "proxy",
    "qr",
    "reset",
    "resume",
    "sandbox",
    "secrets",
    "security",
    "sessions",
    "setup",
    "skills",
    "system",
    "tasks",
    "terminal",
    "transcripts",
    "triage",
    "tui",
    "uninstall",
    "update",
    "voicecall",
    "wiki",
    "workboard",
    "worker",
    "worktrees",
];

/// Options with a value that may stand before a command, ours and the assistant's.
const OPTIONS: [&str; 6] = [
    "--config",
    "--gateway",
    "--output",
    "--profile",
    "--container",
    "--log-level",
];

/// Our own names, on a machine where both are installed.
const NAMES: [&str; 2] = ["openclaw", "openclaw-webhooks"];

/// Hands a command of the assistant's to it: then this process is the assistant's. Returns where the command is ours, or clap's
/// to complain about.
///
/// # Errors
/// The command is the assistant's, and there is none on this machine, or it cannot be started.
pub(crate) fn hand_over(arguments: &[OsString]) -> Result<(), Error> {
    let Some(command) = foreign(arguments) else {
        return Ok(());
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = std::env::current_exe().ok();
    let Some(assistant) = later_on(&path, ours.as_deref()) else {
        return Err(Error::new(format!(
            "\"{command}\" belongs to the OpenClaw assistant (npm install -g openclaw); this is its webhook gateway"
        )));
    };
    let error = std::process::Command::new(&assistant).args(arguments).exec();
    Err(Error::new(format!("cannot start {}: {error}", assistant.display())))
}

/// The assistant's command that the arguments begin with.
fn foreign(arguments: &[OsString]) -> Option<String> {
    let mut words = arguments.iter().filter_map(|word| word.to_str());
    let command = loop {
        let word = words.next()?;
        if OPTIONS.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            break word;
        }
    };
    if command == "webhooks" && words.next() == Some("gmail") {
        return Some("webhooks gmail".to_owned());
    }
    COMMANDS.contains(&command).then(|| command.to_owned())
}

/// Another `openclaw`, not before ours on the path: two gateways that hand over to each other come to an end.
fn later_on(path: &OsStr, ours: Option<&Path>) -> Option<PathBuf> {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let ours = ours.and_then(real);
    let is_ours = |candidate: &Path| ours.is_some() && real(candidate) == ours;
    let directories: Vec<PathBuf> = std::env::split_paths(path).collect();
    let at = directories
        .iter()
        .position(|directory| NAMES.iter().any(|name| is_ours(&directory.join(name))));
    let later = directories.iter().skip(at.unwrap_or(0));
    later.map(|directory| directory.join(NAMES[0])).find(|candidate| {
        let runs = candidate
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
        runs && !is_ours(candidate)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn foreign_in(line: &str) -> Option<String> {
        foreign(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_assistants_commands_are_known_from_ours() {
        assert_eq!(foreign_in("gateway --port 18789").as_deref(), Some("gateway"));
        assert_eq!(foreign_in("--profile work doctor --fix").as_deref(), Some("doctor"));
        assert_eq!(foreign_in("webhooks gmail run").as_deref(), Some("webhooks gmail"));
        for ours in [
            "run",
            "webhooks list",
            "--gateway hooks status",
            "stauts",
            "--help",
            "init --assistant config",
        ] {
            assert_eq!(foreign_in(ours), None, "{ours}");
        }
        for ours in crate::cli::Cli::command().get_subcommands() {
            assert!(!COMMANDS.contains(&ours.get_name()), "{}", ours.get_name());
        }
    }

    #[test]
    fn only_another_binary_behind_ours_is_handed_to() {
        let root = tempfile::tempdir().unwrap();
        let file = |place: &str, mode| {
            let path = root.path().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let ours = file("ours/openclaw", 0o755);
        let theirs = file("theirs/openclaw", 0o755);
        file("plain/openclaw", 0o644);
        std::fs::create_dir(root.path().join("link")).unwrap();
        std::os::unix::fs::symlink(&ours, root.path().join("link/openclaw")).unwrap();
        let on = |directories: &[&str]| {
            let path = std::env::join_paths(directories.iter().map(|name| root.path().join(name))).unwrap();
            later_on(&path, Some(&ours))
        };
        assert_eq!(on(&["ours", "link", "plain", "theirs"]), Some(theirs.clone()));
        assert_eq!(on(&["theirs"]), Some(theirs.clone()), "ours was started by its path");
        assert_eq!(
            on(&["theirs", "ours"]),
            None,
            "what is before ours would have been started"
        );
        assert_eq!(on(&["ours", "link"]), None);
        // Both in one directory, ours under its second name.
        std::os::unix::fs::symlink(&ours, root.path().join("theirs/openclaw-webhooks")).unwrap();
        assert_eq!(on(&["theirs"]), Some(theirs));
    }
}
