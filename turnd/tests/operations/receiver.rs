//! A receiver of usage records over HTTP, with failures to order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) key: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
    /// What it was answered with.
    pub(crate) status: u16,
}

#[derive(Default)]
struct Shared {
    posted: Vec<Posted>,
    /// Answers to give first.
    failures: Vec<u16>,
}

/// Answers 204, after the failures ordered.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Receiver {
    pub(crate) fn start(failures: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new(Shared {
            posted: Vec::new(),
            failures: failures.iter().rev().copied().collect(),
        }));
        let inner = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&inner);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.shared.lock().expect("a lock").posted.clone()
    }

    /// The records of requests that were taken.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.posted()
            .iter()
            .filter(|posted| posted.status == 204)
            .flat_map(|posted| -> Vec<Value> {
                serde_json::from_slice(&posted.body).expect("an array")
            })
            .collect()
    }
}

fn serve(stream: &TcpStream, shared: &Mutex<Shared>) {
    let mut reader = BufReader::new(stream);
    while let Some(()) = serve_one(&mut reader, stream, shared) {}
}

fn serve_one(
    reader: &mut BufReader<&TcpStream>,
    mut stream: &TcpStream,
    shared: &Mutex<Shared>,
) -> Option<()> {
    let mut length = 0;
    let mut posted = Posted {
        key: String::new(),
        authorization: None,
        body: Vec::new(),
        status: 204,
    };
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST /usage HTTP/1.1"), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().expect("a length"),
            "idempotency-key" => posted.key = value.to_owned(),
            "authorization" => posted.authorization = Some(value.to_owned()),
            "content-type" => assert_eq!(value, "application/json"),
            _ => {}
        }
    }
    posted.body = vec![0; length];
    reader.read_exact(&mut posted.body).ok()?;
    let mut shared = shared.lock().expect("a lock");
    posted.status = shared.failures.pop().unwrap_or(204);
    let answer = format!("HTTP/1.1 {} x\r\nContent-Length: 0\r\n\r\n", posted.status);
    shared.posted.push(posted);
    drop(shared);
    stream.write_all(answer.as_bytes()).ok()
}
