//! The connection to a syslog collector: kept while it works, made anew when it does not.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};

use super::super::super::config::Transport;
use crate::gateways::Failure;

/// How long a server that says nothing is waited for after the handshake.
const HEARD_OUT: Duration = Duration::from_millis(500);

pub(super) struct Line {
    host: String,
    port: u16,
    transport: Transport,
    tls: Option<Arc<ClientConfig>>,
    /// For one message, the connection to begin with included.
    limit: Duration,
    open: Option<Open>,
}

enum Open {
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
    Tcp(Timed),
    Udp(UdpSocket),
}

pub(super) fn host_and_port(address: &str) -> Result<(String, u16), String> {
    let wrong = || format!("address is `{address}`, expected `host:port`, such as `siem.example:6514`");
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match port.parse() {
        Ok(port) if port > 0 && !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err(wrong()),
    }
}

impl Line {
    pub fn new(
        address: &str,
        transport: Transport,
        tls: Option<Arc<ClientConfig>>,
        limit: Duration,
    ) -> Result<Line, String> {
        let (host, port) = host_and_port(address)?;
        Ok(Line { host, port, transport, tls, limit, open: None })
    }

    /// What failed is sent over a new connection next time.
    pub fn send(&mut self, text: &[u8]) -> Result<(), Failure> {
        let until = Instant::now() + self.limit;
        let sent = self.try_to_send(text, until);
        sent.map_err(|error| {
            self.open = None;
            Failure::unreachable(format!("syslog at `{}:{}`: {error}", self.host, self.port))
        })
    }

    fn try_to_send(&mut self, text: &[u8], until: Instant) -> io::Result<()> {
        if self.open.as_mut().is_some_and(Open::is_gone) {
            self.open = None;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let open = self.connect(until)?;
                self.open.insert(open)
            }
        };
        let counted = || [format!("{} ", text.len()).as_bytes(), text].concat();
        match open {
            Open::Udp(socket) => socket.send(text).map(drop),
            Open::Tcp(socket) => {
                socket.until = until;
                socket.write_all(&counted())
            }
            Open::Tls(stream) => {
                stream.sock.until = until;
                stream.write_all(&counted())?;
                stream.flush()
            }
        }
    }

    fn connect(&self, until: Instant) -> io::Result<Open> {
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            let opened = if self.transport == Transport::Udp {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| Open::Udp(socket)))
            } else {
                TcpStream::connect_timeout(&address, left(until)?).and_then(|socket| self.greet(socket, until))
            };
            match opened {
                Ok(open) => return Ok(open),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn greet(&self, socket: TcpStream, until: Instant) -> io::Result<Open> {
        socket.set_nodelay(true)?;
        let mut socket = Timed { socket, until };
        let Some(tls) = &self.tls else { return Ok(Open::Tcp(socket)) };
        let name =
            ServerName::try_from(self.host.clone()).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        let mut connection = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        hear_out(&mut connection, &mut socket)?;
        socket.until = until;
        Ok(Open::Tls(Box::new(StreamOwned::new(connection, socket))))
    }
}

impl Open {
    /// Whether the other end has closed it: a first write after that would seem to succeed.
    fn is_gone(&mut self) -> bool {
        let (socket, read) = match self {
            Open::Udp(_) => return false,
            Open::Tcp(timed) => {
                let quiet = timed.socket.set_nonblocking(true);
                (&timed.socket, quiet.and_then(|()| (&timed.socket).read(&mut [0; 256])))
            }
            Open::Tls(stream) => {
                let quiet = stream.sock.socket.set_nonblocking(true);
                // What it says after the handshake, session tickets for instance, is taken in by reading.
                stream.sock.until = Instant::now() + Duration::from_secs(1);
                let read = quiet.and_then(|()| stream.read(&mut [0; 256]));
                (&stream.sock.socket, read)
            }
        };
        let blocks_again = socket.set_nonblocking(false);
        let alive = match read {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        !alive || blocks_again.is_err()
    }
}

/// In TLS 1.3 the client is done before the server has looked at its certificate: a first message would seem to arrive
/// with a server that refuses us. Most servers say something at once, a session ticket or why they do not want us.
fn hear_out(connection: &mut ClientConnection, socket: &mut Timed) -> io::Result<()> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    socket.until = socket.until.min(Instant::now() + HEARD_OUT);
    match connection.read_tls(socket) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(_) => {
            let state = connection.process_new_packets().map_err(io::Error::other)?;
            if state.peer_has_closed() { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A socket all of whose calls together end in time.
struct Timed {
    socket: TcpStream,
    until: Instant,
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(bytes)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}
