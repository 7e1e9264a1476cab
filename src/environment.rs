//! Where a document's references lead on this machine: variables, the `.env` beside it, files, exec providers.

mod exec; // asks a program

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;

use crate::document::{Lookup, Target};
use crate::secret::Secret;

/// The file beside the document that is asked after the process's own variables.
pub const DOTENV: &str = ".env";

/// The largest file that is read for a reference: secrets, certificates and key sets are far smaller.
pub const LARGEST_FILE: u64 = 1024 * 1024;

/// The machine as one reconcile sees it: `.env` is read once, an exec provider is asked once, files are read when they are
/// asked for.
pub struct Environment {
    directory: PathBuf,
    dotenv: HashMap<String, Secret>,
    providers: BTreeMap<String, Json>,
    /// What exec providers answered, by provider and id: a fingerprint has to be that of the value that runs.
    answers: Mutex<HashMap<(String, String), Result<Secret, String>>>,
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
            answers: Mutex::default(),
        }
    }

    /// With the document's `secrets.providers`.
    #[must_use]
    pub fn with_providers(mut self, providers: &BTreeMap<String, Json>) -> Self {
        self.providers.clone_from(providers);
        self
    }
}

impl Environment {
    /// Asks for many values at once. One of which nothing is said is asked for alone, once it is needed.
    fn ask_ahead(&self, provider: &str, definition: &Json, ids: &[&str]) {
        let place = |id: &&str| (provider.to_owned(), (*id).to_owned());
        for (n, some) in ids.chunks(exec::IDS).enumerate() {
            match exec::ask(provider, definition, some) {
                Ok(said) => {
                    let said = some.iter().zip(said).filter_map(|(id, said)| Some((place(id), said?)));
                    self.answers().extend(said);
                }
                // It would fail at the others too, and each takes its time.
                Err(why) => {
                    let left = ids.iter().skip(n * exec::IDS);
                    self.answers().extend(left.map(|id| (place(id), Err(why.clone()))));
                    return;
                }
            }
        }
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<(String, String), Result<Secret, String>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
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
        let place = (provider.to_owned(), id.to_owned());
        if let Some(answer) = self.answers().get(&place) {
            return answer.clone();
        }
        let answer = exec::ask(provider, definition, &[id]).and_then(|said| {
            said.into_iter()
                .next()
                .flatten()
                .ok_or("it has no value: no reason given")?
        });
        self.answers().insert(place, answer.clone());
        answer
    }

    fn expect(&self, targets: &BTreeSet<Target>) {
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for target in targets {
            if let Target::Exec { provider, id } = target {
                wanted.entry(provider).or_default().push(id);
            }
        }
        for (provider, ids) in wanted {
            if let Some(definition) = self.provider(provider).filter(|found| found["source"] == "exec") {
                self.ask_ahead(provider, definition, &ids);
            }
        }
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

    /// A provider that writes down each question, and an environment with it as `vault`.
    fn vault(dir: &tempfile::TempDir, lines: &str) -> Environment {
        let script = dir.path().join("vault");
        let text = format!(
            "#!/bin/sh\ncat >> {0}/asked\necho >> {0}/asked\n{lines}\n",
            dir.path().display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        let providers = json!({
            "vault": { "source": "exec", "command": script, "passEnv": ["PATH"] },
            "hangs": { "source": "exec", "command": "/bin/sleep", "args": ["60"], "timeoutMs": 50 },
            "near": { "source": "exec", "command": "sleep" },
        });
        let providers = serde_json::from_value(providers).unwrap();
        Environment::beside(&dir.path().join("openclaw.yaml")).with_providers(&providers)
    }

    fn ask(environment: &Environment, provider: &str, id: &str) -> Result<Secret, String> {
        let definition = environment.provider(provider).unwrap().clone();
        environment.exec(provider, &definition, id)
    }

    fn asked(dir: &tempfile::TempDir) -> Vec<Json> {
        let text = fs::read_to_string(dir.path().join("asked")).unwrap();
        let questions = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        questions.map(|question| question["ids"].clone()).collect()
    }

    fn expected(ids: &[&str]) -> BTreeSet<Target> {
        let target = |id: &&str| Target::Exec {
            provider: "vault".to_owned(),
            id: (*id).to_owned(),
        };
        ids.iter().map(target).collect()
    }

    const ANSWER: &str = "echo '{\"protocolVersion\":1,\"values\":{\"a\":\"secret\",\"c\":\"other\"},\"errors\":{\"b\":{\"code\":\"NOT_FOUND\"}}}'";

    #[test]
    fn an_exec_provider_answers_fails_or_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let environment = vault(&dir, ANSWER);
        assert_eq!(ask(&environment, "vault", "a").unwrap().expose(), "secret");
        let why = ask(&environment, "vault", "b").unwrap_err();
        assert_eq!(why, "it has no value: NOT_FOUND");
        let why = ask(&environment, "vault", "d").unwrap_err();
        assert_eq!(why, "it has no value: no reason given");
        let why = ask(&environment, "hangs", "a").unwrap_err();
        assert_eq!(why, "no answer within 50 ms");
        assert!(ask(&environment, "near", "a").unwrap_err().contains("absolute"));
    }

    #[test]
    fn an_exec_provider_is_asked_once_for_all_that_is_expected() {
        let dir = tempfile::tempdir().unwrap();
        let environment = vault(&dir, ANSWER);
        environment.expect(&expected(&["a", "b", "c", "d"]));
        for _ in 0..2 {
            assert_eq!(ask(&environment, "vault", "a").unwrap().expose(), "secret");
            assert_eq!(ask(&environment, "vault", "c").unwrap().expose(), "other");
            assert!(ask(&environment, "vault", "b").is_err() && ask(&environment, "vault", "d").is_err());
        }
        assert_eq!(
            asked(&dir),
            [json!(["a", "b", "c", "d"]), json!(["d"])],
            "of `d` nothing was said at first"
        );
    }

    #[test]
    fn a_provider_that_fails_costs_one_call_whatever_is_expected_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let environment = vault(&dir, "exit 1");
        let ids: Vec<String> = (0..exec::IDS * 3).map(|n| format!("{n:03}")).collect();
        environment.expect(&expected(&ids.iter().map(String::as_str).collect::<Vec<_>>()));
        for id in &ids {
            assert_eq!(ask(&environment, "vault", id).unwrap_err(), "its answer is no JSON");
        }
        assert_eq!(asked(&dir).len(), 1);
    }

    #[test]
    fn many_values_are_asked_for_in_several_calls() {
        let dir = tempfile::tempdir().unwrap();
        let values: BTreeMap<String, String> = (0..=exec::IDS).map(|n| (format!("{n:03}"), n.to_string())).collect();
        let environment = vault(&dir, &format!("echo '{}'", json!({ "values": values })));
        environment.expect(&expected(&values.keys().map(String::as_str).collect::<Vec<_>>()));
        for (id, value) in &values {
            assert_eq!(ask(&environment, "vault", id).unwrap().expose(), value);
        }
        assert_eq!(asked(&dir).len(), 2);
    }
}
