//! The real binary in a directory of its own, real receivers on ports of their own, and nothing that sleeps "long enough".

mod authority;
mod bytes;
pub mod console;
mod provider;
mod receiver;
mod request;
mod signature;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

pub use authority::Authority;
pub use bytes::{ByteReceiver, Connection};
pub use provider::Provider;
pub use receiver::{Behaviour, Received, Receiver};
pub use request::{Answer, KeptAlive, Request};
pub use signature::{sha256_signature, standard_signature};

/// How long a condition may take before the test fails: generous, since machines are shared.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `condition` gives something, or fails the test with `what`.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A number that a variable may set: how often, how many, how long.
pub fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

/// The binary under test.
pub fn openclaw() -> Command {
    without_variables(Command::new(env!("CARGO_BIN_EXE_openclaw")))
}

fn without_variables(mut command: Command) -> Command {
    command
        .env_remove("OPENCLAW_CONFIG")
        .env_remove("OPENCLAW_GATEWAY")
        .env_remove("OPENCLAW_ADMIN_TOKEN");
    command
}

/// Whether a program of the system is there and does what it is told; says on stderr where it does not.
pub fn system(program: &str, args: &[&str]) -> bool {
    match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            eprintln!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
            false
        }
        Err(error) => {
            eprintln!("{program}: {error}");
            false
        }
    }
}

/// The first lines of every document of these tests: ports that the system chooses.
pub const HEAD: &str = "webhooks:\n  server: { listen: \"127.0.0.1:0\" }\n  admin: { listen: \"127.0.0.1:0\" }\n  egress: { allow: [127.0.0.0/8] }\n";

/// A document: [`HEAD`] and what follows, indented as inside of `webhooks`.
pub fn document(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

/// A running gateway. Dropping it kills it.
pub struct Gateway {
    child: Child,
    pub dir: Arc<tempfile::TempDir>,
    /// Where platforms post to.
    pub public: SocketAddr,
    /// Where the admin API is.
    pub admin: SocketAddr,
    env: Vec<(String, String)>,
    output: Arc<Mutex<String>>,
}

impl Gateway {
    /// Starts a gateway on `document` (YAML) in a new directory and waits until it is ready.
    #[track_caller]
    pub fn start(document: &str) -> Self {
        Self::start_with(document, &[])
    }

    /// The same with environment variables.
    #[track_caller]
    pub fn start_with(document: &str, env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("openclaw.yaml"), document).unwrap();
        let env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self::start_in(Arc::new(dir), env)
    }

    /// Starts a gateway on what is in `dir` already.
    #[track_caller]
    pub fn start_in(dir: Arc<tempfile::TempDir>, env: Vec<(String, String)>) -> Self {
        match Self::try_start_in(dir, env) {
            Ok(gateway) => gateway,
            Err(output) => panic!("the gateway did not start:\n{output}"),
        }
    }

    /// Starts a gateway after what a shell says first: `ulimit -n 64`.
    #[track_caller]
    pub fn start_under(limits: &str, document: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("openclaw.yaml"), document).unwrap();
        let mut command = without_variables(Command::new("sh"));
        let script = format!("{limits} && exec \"$0\" run");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_openclaw")]);
        match Self::launch(command, Arc::new(dir), Vec::new()) {
            Ok(gateway) => gateway,
            Err(output) => panic!("the gateway did not start:\n{output}"),
        }
    }

    /// Starts a gateway, or gives what it printed before it exited.
    pub fn try_start_in(dir: Arc<tempfile::TempDir>, env: Vec<(String, String)>) -> Result<Self, String> {
        let mut command = openclaw();
        command.arg("run");
        Self::launch(command, dir, env)
    }

    fn launch(mut command: Command, dir: Arc<tempfile::TempDir>, env: Vec<(String, String)>) -> Result<Self, String> {
        let mut child = command
            .current_dir(dir.path())
            .envs(env.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let (lines, seen) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        for reader in [Box::new(stdout) as Box<dyn std::io::Read + Send>, Box::new(stderr)] {
            let (output, lines) = (output.clone(), lines.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(reader).lines().map_while(Result::ok) {
                    output.lock().unwrap().push_str(&format!("{line}\n"));
                    let _ = lines.send(line);
                }
            });
        }
        drop(lines);
        let (mut public, mut admin, mut tls) = (None, None, false);
        let end = Instant::now() + PATIENCE;
        while public.is_none() || admin.is_none() {
            let Ok(line) = seen.recv_timeout(end.saturating_duration_since(Instant::now())) else {
                let _ = child.kill();
                let _ = child.wait();
                return Err(output.lock().unwrap().clone());
            };
            let address = |line: &str| line.rsplit("://").next().and_then(|a| a.trim().parse().ok());
            if line.starts_with("Inbound webhooks on ") {
                public = address(&line);
            } else if line.starts_with("Admin API on ") {
                admin = address(&line);
                tls = line.contains("https://");
            }
        }
        let gateway = Self {
            child,
            dir,
            public: public.unwrap(),
            admin: admin.unwrap(),
            env,
            output,
        };
        if !tls {
            eventually("the gateway is ready", || {
                (gateway.get("/readyz").0 == 200).then_some(())
            });
        }
        Ok(gateway)
    }

    /// All that it printed so far, stdout and stderr.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// The path of a file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces the document as an editor does: a new file, renamed over the old one.
    pub fn save(&self, document: &str) {
        let new = self.path(".openclaw.yaml.new");
        std::fs::write(&new, document).unwrap();
        std::fs::rename(&new, self.path("openclaw.yaml")).unwrap();
    }

    /// Replaces the document and waits until the gateway has taken it as a new generation.
    #[track_caller]
    pub fn save_and_wait(&self, document: &str) -> u64 {
        let before = self.generation();
        self.save(document);
        eventually("a new generation", || {
            Some(self.generation()).filter(|now| *now > before)
        })
    }

    /// The applied generation.
    pub fn generation(&self) -> u64 {
        self.status()["generation"]["number"].as_u64().unwrap_or(0)
    }

    /// `GET /v1/status`.
    pub fn status(&self) -> serde_json::Value {
        self.json("/v1/status")
    }

    /// A JSON answer of the admin API.
    #[track_caller]
    pub fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("GET {path}: {status} {e}: {body}"))
    }

    /// A GET to the admin API.
    pub fn get(&self, path: &str) -> (u16, String) {
        let answer = Request::get(path).send(self.admin);
        (answer.status, answer.text())
    }

    /// A POST of JSON to the admin API.
    pub fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        Request::post(path, body.to_string())
            .header("content-type", "application/json")
            .send(self.admin)
    }

    /// Runs a command against this gateway, in its directory.
    pub fn cli(&self, args: &[&str]) -> Output {
        openclaw()
            .args(args)
            .current_dir(self.dir.path())
            .env("OPENCLAW_GATEWAY", format!("http://{}", self.admin))
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .output()
            .unwrap()
    }

    /// Publishes events through the API: each a name and data.
    #[track_caller]
    pub fn publish(&self, event: &str, data: &serde_json::Value) -> String {
        let answer = self.post("/v1/events", &serde_json::json!({ "event": event, "data": data }));
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["events"][0]["id"].as_str().unwrap().to_owned()
    }

    /// What a sender's log says of its attempts, oldest first; at least `n`.
    #[track_caller]
    pub fn attempts(&self, sender: &str, n: usize) -> Vec<serde_json::Value> {
        eventually(&format!("{n} attempts of {sender}"), || {
            let logs = self.json(&format!("/v1/logs?sender={sender}&limit=1000"));
            let mut items = logs["items"].as_array().unwrap().clone();
            items.reverse();
            Some(items).filter(|items| items.len() >= n)
        })
    }

    /// The dead letters, newest first; at least `n`.
    #[track_caller]
    pub fn dead(&self, n: usize) -> Vec<serde_json::Value> {
        eventually(&format!("{n} dead letters"), || {
            let dead = self.json("/v1/dead?limit=1000");
            Some(dead["items"].as_array().unwrap().clone()).filter(|items| items.len() >= n)
        })
    }

    /// A condition of the gateway, once it has this reason.
    #[track_caller]
    pub fn condition(&self, kind: &str, reason: &str) -> serde_json::Value {
        eventually(&format!("condition {kind} with reason {reason}"), || {
            let status = self.status();
            let mut conditions = status["conditions"].as_array().unwrap().iter();
            conditions.find(|c| c["type"] == kind && c["reason"] == reason).cloned()
        })
    }

    /// A signal by name: `TERM`, `HUP`, `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// kill -9, and waits until it is gone. Gives what a restart needs.
    pub fn kill(mut self) -> (Arc<tempfile::TempDir>, Vec<(String, String)>) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.dir.clone(), self.env.clone())
    }

    /// Waits until it has ended by itself; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        eventually("the gateway ends", || self.child.try_wait().unwrap()).code()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway's output ---\n{}", self.output());
        }
    }
}
