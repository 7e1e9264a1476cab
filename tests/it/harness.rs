//! The real binary in a directory of its own, real receivers on ports of their own, and nothing that sleeps "long enough".

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

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

/// The binary under test.
pub fn openclaw() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openclaw"));
    command
        .env_remove("OPENCLAW_CONFIG")
        .env_remove("OPENCLAW_GATEWAY")
        .env_remove("OPENCLAW_ADMIN_TOKEN");
    command
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

    /// Starts a gateway, or gives what it printed before it exited.
    pub fn try_start_in(dir: Arc<tempfile::TempDir>, env: Vec<(String, String)>) -> Result<Self, String> {
        let mut child = openclaw()
            .arg("run")
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
        let (mut public, mut admin) = (None, None);
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
        eventually("the gateway is ready", || {
            (gateway.get("/readyz").0 == 200).then_some(())
        });
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

/// A request, byte for byte as it will be sent.
#[derive(Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target, "")
    }

    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target, body)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The request's bytes, for a connection that stays open.
    fn bytes(&self, host: SocketAddr, close: bool) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target).into_bytes();
        if self.method != "GET" || !self.body.is_empty() {
            bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
        }
        if close {
            bytes.extend(b"Connection: close\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend(name.bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }

    /// Sends it over a connection of its own.
    #[track_caller]
    pub fn send(&self, to: SocketAddr) -> Answer {
        self.try_send(to)
            .unwrap_or_else(|e| panic!("{} {}: {e}", self.method, self.target))
    }

    /// Sends it over a connection of its own; an error where the connection breaks.
    pub fn try_send(&self, to: SocketAddr) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&self.bytes(to, true))?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Answer::parse(&bytes).ok_or_else(|| std::io::Error::other(format!("no answer: {bytes:?}")))
    }
}

/// A connection that is kept open between requests.
pub struct KeptAlive {
    stream: TcpStream,
    to: SocketAddr,
}

impl KeptAlive {
    pub fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, to }
    }

    /// Sends one request and reads its answer.
    pub fn send(&mut self, request: &Request) -> std::io::Result<Answer> {
        self.stream.write_all(&request.bytes(self.to, false))?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if let Some(answer) = Answer::parse_framed(&bytes) {
                return Ok(answer);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(std::io::Error::other("closed")),
                n => bytes.extend(&buffer[..n]),
            }
        }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn head(bytes: &[u8]) -> Option<(u16, Vec<(String, String)>, usize)> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        Some((status, headers, end))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (status, headers, end) = Self::head(bytes)?;
        let mut answer = Self {
            status,
            headers,
            body: bytes[end..].to_vec(),
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunk(&answer.body)?;
        }
        Some(answer)
    }

    fn parse_framed(bytes: &[u8]) -> Option<Self> {
        let (status, headers, end) = Self::head(bytes)?;
        let answer = Self {
            status,
            headers,
            body: Vec::new(),
        };
        let length: usize = answer.header("content-length").map_or(Some(0), |l| l.parse().ok())?;
        (bytes.len() >= end + length).then(|| Self {
            body: bytes[end..end + length].to_vec(),
            ..answer
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?.trim(), 16).ok()?;
        bytes = &bytes[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
}

/// What a receiver does with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Behaviour {
    /// Answers this status.
    Answer(u16),
    /// Answers this status with a header.
    AnswerWith(u16, &'static str, &'static str),
    /// Never answers.
    Hang,
}

/// A request as a receiver saw it.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An endpoint on this machine: records what comes in, and behaves as told.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Mutex<ReceiverState>>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct ReceiverState {
    received: Vec<Received>,
    behaviour: Behaviour,
}

impl Receiver {
    /// A receiver that answers 200.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    /// A receiver on a given address (one that was another receiver's before).
    pub fn start_at(address: SocketAddr) -> Self {
        use axum::body::Bytes;
        use axum::http::{HeaderMap, StatusCode};
        let state = Arc::new(Mutex::new(ReceiverState {
            received: Vec::new(),
            behaviour: Behaviour::Answer(200),
        }));
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
                    let shared = shared.clone();
                    async move {
                        let headers = headers
                            .iter()
                            .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
                            .collect();
                        let behaviour = {
                            let mut state = shared.lock().unwrap();
                            state.received.push(Received {
                                headers,
                                body: body.to_vec(),
                            });
                            state.behaviour.clone()
                        };
                        match behaviour {
                            Behaviour::Answer(status) => (StatusCode::from_u16(status).unwrap(), HeaderMap::new()),
                            Behaviour::AnswerWith(status, name, value) => {
                                let mut headers = HeaderMap::new();
                                headers.insert(name, value.parse().unwrap());
                                (StatusCode::from_u16(status).unwrap(), headers)
                            }
                            Behaviour::Hang => std::future::pending().await,
                        }
                    }
                });
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serve = async { hyper_serve(listener, app).await };
                tokio::select! { () = serve => {}, _ = ended => {} }
            });
        });
        Self {
            address,
            state,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().unwrap().behaviour = behaviour;
    }

    /// What came in so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    pub fn count(&self) -> usize {
        self.state.lock().unwrap().received.len()
    }

    /// Waits until at least `n` requests came in.
    #[track_caller]
    pub fn wait_for(&self, n: usize) -> Vec<Received> {
        eventually(&format!("{n} requests at the receiver ({} came)", self.count()), || {
            Some(self.received()).filter(|r| r.len() >= n)
        })
    }

    /// Stops listening and closes every connection.
    pub fn stop(mut self) -> SocketAddr {
        self.end();
        self.address
    }

    fn end(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end();
    }
}

async fn hyper_serve(listener: tokio::net::TcpListener, app: axum::Router) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = hyper_util::service::TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
