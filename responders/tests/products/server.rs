//! A small HTTP/1.1 server whose answers come from a product's stand-in, which keeps state.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// As it came.
    pub path: String,
    /// Percent-decoded, one by one, as a server that does it right would.
    pub segments: Vec<String>,
    pub query: BTreeMap<String, String>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Null where it is no JSON.
    pub body: Value,
}

impl Request {
    /// Method and segments, to match on.
    pub fn route(&self) -> (&str, Vec<&str>) {
        (&self.method, self.segments.iter().map(String::as_str).collect())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn asks(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// Before each byte of the body.
    pub drip: Option<Duration>,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Reply {
        Reply { status, body: body.to_string(), ..Reply::default() }
    }

    pub fn empty(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }
}

/// Answers as a product does.
pub trait StandIn: Send + 'static {
    fn answer(&mut self, request: &Request) -> Reply;
}

/// One request that does not reach the product, and what is answered in its place.
#[derive(Default)]
struct Nonsense {
    /// How many requests come before.
    after: usize,
    reply: Option<Reply>,
}

pub struct Server<S> {
    pub url: String,
    address: SocketAddr,
    product: Arc<Mutex<S>>,
    seen: Arc<Mutex<Vec<Request>>>,
    nonsense: Arc<Mutex<Nonsense>>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl<S: StandIn> Server<S> {
    pub fn start(product: S) -> Server<S> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let product = Arc::new(Mutex::new(product));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let nonsense = Arc::new(Mutex::new(Nonsense::default()));
        let shared = (product.clone(), seen.clone(), nonsense.clone(), stop.clone());
        let accepting = std::thread::spawn(move || {
            let (product, seen, nonsense, stop) = shared;
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (product, seen, nonsense, stop) = (product.clone(), seen.clone(), nonsense.clone(), stop.clone());
                // Ends with its connection, which ends with the client or the time-out below.
                std::thread::spawn(move || serve(stream.unwrap(), &product, &seen, &nonsense, &stop));
            }
        });
        let url = format!("http://{address}");
        Server { url, address, product, seen, nonsense, stop, accepting: Some(accepting) }
    }

    pub fn product(&self) -> MutexGuard<'_, S> {
        self.product.lock().unwrap()
    }

    /// The request after so many does not reach the product: it is answered with this.
    pub fn answer_nonsense(&self, after: usize, reply: &Reply) {
        *self.nonsense.lock().unwrap() = Nonsense { after, reply: Some(reply.clone()) };
    }

    /// Takes back what was not used; gives whether there was anything to take back.
    pub fn makes_sense_again(&self) -> bool {
        self.nonsense.lock().unwrap().reply.take().is_some()
    }

    /// Everything asked since the last call, as `METHOD path`.
    pub fn asked(&self) -> Vec<String> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve<S: StandIn>(
    stream: TcpStream,
    product: &Mutex<S>,
    seen: &Mutex<Vec<Request>>,
    nonsense: &Mutex<Nonsense>,
    stop: &AtomicBool,
) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read(&mut reader) {
        seen.lock().unwrap().push(request.clone());
        let instead = {
            let mut nonsense = nonsense.lock().unwrap();
            let now = nonsense.after == 0;
            nonsense.after = nonsense.after.saturating_sub(1);
            if now { nonsense.reply.take() } else { None }
        };
        let answer = || product.lock().unwrap_or_else(|broken| broken.into_inner()).answer(&request);
        let reply = instead.unwrap_or_else(answer);
        if write(&stream, &reply).is_err() || stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).unwrap();
    let (before, query) = path.split_once('?').unwrap_or((&path, ""));
    let segments = before.trim_start_matches('/').split('/').map(decoded).collect();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Some(Request { method, segments, query, headers, body, path })
}

fn write(mut stream: &TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Test\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let Some(drip) = reply.drip else {
        head.push_str(&reply.body);
        return stream.write_all(head.as_bytes());
    };
    stream.write_all(head.as_bytes())?;
    for byte in reply.body.as_bytes() {
        std::thread::sleep(drip);
        stream.write_all(&[*byte])?;
    }
    Ok(())
}

pub fn decoded(text: &str) -> String {
    let bytes = text.replace('+', " ").into_bytes();
    let (mut at, mut plain) = (0, Vec::new());
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| std::str::from_utf8(&bytes[at + 1..at + 3]).unwrap());
        match hex {
            Some(hex) => plain.push(u8::from_str_radix(hex, 16).unwrap()),
            None => plain.push(bytes[at]),
        }
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).unwrap()
}
