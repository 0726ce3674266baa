//! Whoever receives: a web server that answers as it is told, certificates, and syslog collectors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::not_run::not_run;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A web server of one connection at a time, that ends with the test: its thread waits in `accept` until then.
pub struct Web {
    pub address: SocketAddr,
    pub requests: Receiver<Request>,
}

impl Web {
    /// `answer` gives the whole answer to the request of each number; an empty one closes the connection unanswered.
    pub fn start(answer: impl Fn(usize) -> String + Send + 'static) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for (number, socket) in listener.incoming().enumerate() {
                let Ok(mut socket) = socket else { return };
                let Some(request) = read_request(&mut socket) else { continue };
                let _ = socket.write_all(answer(number).as_bytes());
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Web { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn read_request(socket: &mut TcpStream) -> Option<Request> {
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut request = Request { head, body: Vec::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// An authority, a server's certificate for 127.0.0.1, and a client's; `None`, said loudly, where there is no openssl.
pub struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    pub fn make() -> Option<Certificates> {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |arguments: &[&str]| -> Option<()> {
            let run = Command::new("openssl").args(arguments).current_dir(folder.path()).output();
            let run = match run {
                Ok(run) => run,
                Err(error) if std::env::var_os("CI").is_none() => {
                    not_run(&format!("syslog over TLS needs openssl for certificates: {error}"));
                    return None;
                }
                Err(error) => panic!("syslog over TLS needs openssl for certificates: {error}"),
            };
            assert!(run.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
            Some(())
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(&[&ca[..], &key, &["-addext", "keyUsage=critical,keyCertSign,cRLSign"]].concat())?;
        for (name, san) in
            [("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"), ("client", "subjectAltName=DNS:vedette")]
        {
            let (key_file, request, certificate) =
                (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
            let subject = format!("/CN={name}");
            let ask = ["req", "-subj", &subject, "-addext", san, "-keyout", &key_file, "-out", &request];
            openssl(&[&ask[..], &key].concat())?;
            openssl(&[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-copy_extensions",
                "copy",
                "-out",
                &certificate,
            ])?;
        }
        Some(Certificates { folder })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server's side that believes clients of this authority only.
    pub fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![CertificateDer::from_pem_file(self.path("server.pem")).unwrap()],
                PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap(),
            )
            .unwrap();
        Arc::new(config)
    }

    pub fn toml(&self, of: &Path) -> String {
        format!(
            "tls = {{ ca = '{}', certificate = '{}', key = '{}' }}\n",
            of.display(),
            self.path("client.pem").display(),
            self.path("client.key").display()
        )
    }
}

/// Where nobody listens: of an address that is one test's alone, no other is given the port.
pub fn closed(number: u8) -> SocketAddr {
    TcpListener::bind(SocketAddr::from(([127, 77, 0, number], 0))).unwrap().local_addr().unwrap()
}

/// A collector of counted messages: after `each` of them it closes the connection, and takes the next.
pub struct Collector {
    pub address: SocketAddr,
    pub messages: Receiver<String>,
}

impl Collector {
    pub fn start(tls: Option<Arc<ServerConfig>>, each: usize) -> Collector {
        Collector::start_at(([127, 0, 0, 1], 0).into(), tls, each)
    }

    pub fn start_at(address: SocketAddr, tls: Option<Arc<ServerConfig>>, each: usize) -> Collector {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, messages) = channel();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                match &tls {
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        let mut stream = StreamOwned::new(connection, socket);
                        read_messages(&mut stream, &sender, each);
                        stream.conn.send_close_notify();
                        let _ = stream.flush();
                    }
                    None => read_messages(&mut &socket, &sender, each),
                }
            }
        });
        Collector { address, messages }
    }

    pub fn next(&self) -> String {
        self.messages.recv_timeout(PATIENCE).expect("a message arrives")
    }
}

/// RFC 5425: a length in decimal, a space, as many bytes.
fn read_messages(stream: &mut impl Read, to: &Sender<String>, each: usize) {
    for _ in 0..each {
        let mut length = 0;
        loop {
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            match byte[0] {
                b' ' => break,
                digit => {
                    assert!(digit.is_ascii_digit(), "`{digit}` in a length");
                    length = length * 10 + usize::from(digit - b'0');
                }
            }
        }
        let mut message = vec![0; length];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        let _ = to.send(String::from_utf8(message).expect("messages are UTF-8"));
    }
}
