//! Requests to the byte, over connections of the test's own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

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
