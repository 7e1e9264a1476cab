//! Where a document's references lead on this machine: variables, the `.env` beside it, files, exec providers.

mod exec; // asks a program

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::document::Lookup;
use crate::secret::Secret;

/// The file beside the document that is asked after the process's own variables.
pub const DOTENV: &str = ".env";

/// The largest file that is read for a reference: secrets, certificates and key sets are far smaller.
pub const LARGEST_FILE: u64 = 1024 * 1024;

/// The machine as one reconcile sees it: `.env` is read once, files when they are asked for.
pub struct Environment {
    directory: PathBuf,
    dotenv: HashMap<String, Secret>,
    providers: BTreeMap<String, Json>,
}

impl Environment {
    /// What a document at this path can refer to.
    #[must_use]
    pub fn beside(document: &Path) -> Self {
        let directory = match document.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let dotenv = read(&directory.join(DOTENV))
            .map(|text| parse_dotenv(&text))
            .unwrap_or_default();
        Self {
            directory,
            dotenv,
            providers: BTreeMap::new(),
        }
    }

    /// With the document's `secrets.providers`.
    #[must_use]
    pub fn with_providers(mut self, providers: &BTreeMap<String, Json>) -> Self {
        self.providers.clone_from(providers);
        self
    }
}

impl Lookup for Environment {
    fn env(&self, name: &str) -> Option<Secret> {
        let own = std::env::var(name)
            .ok()
            .filter(|value| !value.is_empty())
            .map(Secret::new);
        own.or_else(|| {
            self.dotenv
                .get(name)
                .filter(|value| !value.expose().is_empty())
                .cloned()
        })
    }

    fn file(&self, path: &str) -> Result<Secret, String> {
        read(&self.directory.join(path))
            .map(Secret::new)
            .map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => "no such file".to_owned(),
                io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                io::ErrorKind::InvalidData => "not UTF-8".to_owned(),
                _ => e.to_string(),
            })
    }

    fn exec(&self, provider: &str, definition: &Json, id: &str) -> Result<Secret, String> {
        let answer = exec::ask(provider, definition, id)?;
        answer["values"][id].as_str().and_then(Secret::parse).ok_or_else(|| {
            let why = answer["errors"][id]["code"].as_str().unwrap_or("no reason given");
            format!("it has no value: {why}")
        })
    }

    fn provider(&self, name: &str) -> Option<&Json> {
        self.providers.get(name)
    }

    fn directory(&self) -> &Path {
        &self.directory
    }
}

fn read(path: &Path) -> io::Result<String> {
    let (bytes, _) = read_regular(path, LARGEST_FILE)?;
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The whole content of a regular file of at most `limit` bytes, and what the file was when it had been read.
///
/// # Errors
/// `InvalidInput`: it is no regular file; `FileTooLarge`; whatever the system says.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<(Vec<u8>, fs::Metadata)> {
    // Before it is opened: opening a pipe would wait for a writer, and a device may have no end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    (&file).take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let error = format!("larger than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok((bytes, file.metadata()?))
}

/// `NAME=value` lines as OpenClaw reads them: `#` comments, an optional `export`, quotes taken off, nothing expanded.
/// The crates for it expand `$NAME` inside of values, which would change a secret that holds a `$`.
fn parse_dotenv(text: &str) -> HashMap<String, Secret> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            if name.starts_with('#') {
                return None;
            }
            let quoted = ['"', '\'']
                .into_iter()
                .find_map(|quote| value.strip_prefix(quote)?.split_once(quote));
            let value = match quoted {
                Some((inner, _)) => inner,
                None => value.split(" #").next().unwrap_or(value).trim_end(),
            };
            Some((name.to_owned(), Secret::new(value)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use serde_json::json;

    use super::*;

    #[test]
    fn dotenv_takes_quotes_off_and_expands_nothing() {
        let values = parse_dotenv("# no\nA=1\nexport B = 'x # y'\nC=\"a\" # c\nD=a$B # c\nE=\n=x\nF");
        let get = |name: &str| values.get(name).map(Secret::expose);
        assert_eq!(get("A"), Some("1"));
        assert_eq!(get("B"), Some("x # y"));
        assert_eq!(get("C"), Some("a"));
        assert_eq!(get("D"), Some("a$B"));
        assert_eq!((get("E"), get("F")), (Some(""), None));
    }

    #[test]
    fn a_file_is_read_from_the_documents_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "t").unwrap();
        fs::write(dir.path().join("binary"), [0xff]).unwrap();
        fs::write(dir.path().join(".env"), "FROM_DOTENV=yes").unwrap();
        let environment = Environment::beside(&dir.path().join("openclaw.yaml"));
        assert_eq!(environment.file("./token").unwrap().expose(), "t");
        assert_eq!(environment.file("absent").unwrap_err(), "no such file");
        assert_eq!(environment.file("binary").unwrap_err(), "not UTF-8");
        assert_eq!(environment.env("FROM_DOTENV").unwrap().expose(), "yes");
    }

    #[test]
    fn what_is_no_regular_file_or_too_large_does_not_resolve() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let large = fs::File::create(dir.path().join("large")).unwrap();
        large.set_len(LARGEST_FILE + 1).unwrap();
        let environment = Environment::beside(&dir.path().join("openclaw.yaml"));
        for (path, why) in [
            ("pipe", "not a regular file"),
            ("/dev/zero", "not a regular file"),
            (".", "not a regular file"),
            ("large", "larger than 1048576 bytes"),
        ] {
            assert_eq!(environment.file(path).unwrap_err(), why, "{path}");
        }
        large.set_len(LARGEST_FILE).unwrap();
        assert_eq!(environment.file("large").unwrap().expose().len(), 1 << 20);
        fs::rename(&pipe, dir.path().join(".env")).unwrap();
        assert!(
            Environment::beside(&dir.path().join("openclaw.yaml"))
                .env("X")
                .is_none()
        );
    }

    #[test]
    fn an_exec_provider_answers_fails_or_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("vault");
        let text = "#!/bin/sh\ncat > /dev/null\necho '{\"protocolVersion\":1,\"values\":{\"a\":\"secret\"},\"errors\":{\"b\":{\"code\":\"NOT_FOUND\"}}}'\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        let environment = Environment::beside(&dir.path().join("openclaw.yaml"));
        let definition = json!({ "command": script.to_str().unwrap() });
        let ask = |definition: &Json, id| environment.exec("vault", definition, id);
        assert_eq!(ask(&definition, "a").unwrap().expose(), "secret");
        assert!(ask(&definition, "b").unwrap_err().contains("NOT_FOUND"));
        let hangs = json!({ "command": "/bin/sleep", "args": ["60"], "timeoutMs": 50 });
        assert!(ask(&hangs, "a").unwrap_err().contains("50 ms"));
        assert!(
            ask(&json!({ "command": "sleep" }), "a")
                .unwrap_err()
                .contains("absolute")
        );
    }
}
