//! One request and its answer over UDP: the same bytes from the same port, again and again until a genuine answer comes.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::packet;
use crate::gateways::Failure;

/// As RFC 5176 has it for a first wait; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Ack,
    /// With its Error-Cause.
    Nak(Option<u32>),
}

pub(super) fn exchange(
    server: SocketAddr,
    request: &[u8],
    secret: &[u8],
    must_be_sealed: bool,
    limit: Duration,
) -> Result<Reply, Failure> {
    let deadline = Instant::now() + limit;
    let failed = |error: std::io::Error| Failure::unreachable(format!("`{server}`: {error}"));
    let own: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(own).map_err(failed)?;
    socket.connect(server).map_err(failed)?;

    let (mut wait, mut send_at, mut sent, mut rejected) = (FIRST_WAIT, Instant::now(), 0, 0);
    let mut buffer = [0; 4096];
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Err(silence(server, sent, rejected));
        }
        if now >= send_at {
            match socket.send(request) {
                // Word of an earlier one that nobody has heard; whoever restarts is back in a moment.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(failed(error)),
            }
            sent += 1;
            send_at = now + wait;
            wait *= 2;
        }
        let pause = send_at.min(deadline).saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(pause)).map_err(failed)?;
        match socket.recv(&mut buffer) {
            Ok(length) => match packet::answer(&buffer[..length], request, secret, must_be_sealed) {
                Some(answer) if answer.ack => return Ok(Reply::Ack),
                Some(answer) => return Ok(Reply::Nak(answer.error_cause)),
                None => rejected += 1,
            },
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// A server that has another secret for us says nothing at all.
fn silence(server: SocketAddr, sent: u32, rejected: u32) -> Failure {
    let told = if rejected > 0 {
        format!("{rejected} answers that are not genuine: is the secret the same on both sides?")
    } else {
        "no answer: is it there, does it know us as a client, and is the secret the same?".to_owned()
    };
    Failure::unreachable(format!("`{server}`, asked {sent} times: {told}"))
}
