//! Endpoints that speak bytes, and so can misbehave as no HTTP library would.

use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// An endpoint on this machine: what happens on each connection is the test's, on a thread of its own.
pub struct ByteReceiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

/// One connection, seen from the endpoint.
pub struct Connection {
    pub stream: TcpStream,
    shared: Arc<Shared>,
    unread: Vec<u8>,
}

impl ByteReceiver {
    /// Serves each connection with `serve` until it returns.
    pub fn start(serve: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (serve, mine) = (Arc::new(serve), shared.clone());
        let thread = std::thread::spawn(move || {
            let mut threads: Vec<JoinHandle<()>> = Vec::new();
            for stream in listener.incoming() {
                if mine.stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                mine.open.lock().unwrap().push(stream.try_clone().unwrap());
                let (serve, shared) = (serve.clone(), mine.clone());
                threads.push(std::thread::spawn(move || {
                    let mut connection = Connection {
                        stream,
                        shared,
                        unread: Vec::new(),
                    };
                    // A client that goes away is what these tests are about.
                    let _ = serve(&mut connection);
                    let _ = connection.stream.shutdown(Shutdown::Both);
                }));
            }
            for stream in mine.open.lock().unwrap().drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Whole requests read so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for ByteReceiver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Connection {
    /// Reads one request, head and body, as text; an error when the client is gone.
    pub fn request(&mut self) -> io::Result<String> {
        let mut buffer = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&self.unread).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                if body.len() >= length {
                    self.unread.clear();
                    self.shared.requests.fetch_add(1, Ordering::SeqCst);
                    return Ok(text);
                }
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.unread.extend(&buffer[..n]),
            }
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }
}
