//! A device: it tells its temperature, connects again whenever it is cut off, and has an address of its own.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rumqttc::{Client, Connection, ConnectionError, Event, MqttOptions, Packet, QoS};

use super::mosquitto::{ADMINISTRATOR, Mosquitto};

const TELLS_EVERY: Duration = Duration::from_millis(300);
/// As devices do, it tries again and again.
const TRIES_AGAIN: Duration = Duration::from_secs(1);
/// Five in a window match the rule, whichever window's end falls between them.
const GUESSES: [&str; 10] =
    ["admin", "1234", "password", "mosquitto", "root", "letmein", "changeme", "default", "qwerty", "camera"];

pub struct Device {
    pub id: String,
    state: Arc<State>,
    options: MqttOptions,
}

#[derive(Default)]
struct State {
    ends: AtomicBool,
    connected: AtomicBool,
    /// How often its connection ended, and how often it was not let in.
    cuts: AtomicU32,
    refusals: AtomicU32,
}

impl Device {
    pub fn start(mosquitto: &Mosquitto, id: &str, address: Ipv4Addr) -> Device {
        let options = mosquitto.options(id, id, door(address, mosquitto.port));
        let state = Arc::new(State::default());
        let (client, connection) = Client::new(options.clone(), 10);
        let (followed, told) = (Arc::clone(&state), Arc::clone(&state));
        let topic = format!("devices/{id}/telemetry");
        std::thread::spawn(move || follow(&followed, connection));
        std::thread::spawn(move || tell(&told, &client, &topic));
        Device { id: id.to_owned(), state, options }
    }

    pub fn is_connected(&self) -> bool {
        self.state.connected.load(Ordering::Relaxed)
    }

    pub fn cuts(&self) -> u32 {
        self.state.cuts.load(Ordering::Relaxed)
    }

    pub fn refusals(&self) -> u32 {
        self.state.refusals.load(Ordering::Relaxed)
    }

    /// Something in it tries to become the broker's administrator, in vain.
    pub fn guess(&self) {
        for word in GUESSES {
            let mut options = self.options.clone();
            options.set_credentials(ADMINISTRATOR, word);
            let (_client, mut connection) = Client::new(options, 1);
            let answer = connection.recv();
            let is_refused = matches!(answer, Ok(Err(ConnectionError::ConnectionRefused(_))));
            assert!(is_refused, "`{}` guessed a password: {answer:?}", self.id);
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::Relaxed);
    }
}

/// Ends once whoever tells hangs up.
fn follow(state: &State, mut connection: Connection) {
    loop {
        match connection.recv() {
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => state.connected.store(true, Ordering::Relaxed),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                if state.connected.swap(false, Ordering::Relaxed) {
                    state.cuts.fetch_add(1, Ordering::Relaxed);
                }
                if matches!(error, ConnectionError::ConnectionRefused(_)) {
                    state.refusals.fetch_add(1, Ordering::Relaxed);
                }
                if state.ends.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(TRIES_AGAIN);
            }
            Err(_) => return,
        }
    }
}

fn tell(state: &State, client: &Client, topic: &str) {
    for number in 0_u32.. {
        if state.ends.load(Ordering::Relaxed) {
            let _ = client.try_disconnect();
            return;
        }
        if state.connected.load(Ordering::Relaxed) {
            let temperature = f64::from(200 + number % 30) / 10.0;
            let reading = format!("{{\"temperature\": {temperature:.1}}}");
            // One that was cut off this moment loses it, as a device does.
            let _ = client.try_publish(topic, QoS::AtLeastOnce, false, reading);
        }
        std::thread::sleep(TELLS_EVERY);
    }
}

/// A port that leads to the broker's, where connections come from the address: the broker's log names an address, and no
/// client, when it does not let somebody in. It stands open as long as the tests run.
fn door(address: Ipv4Addr, broker: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    std::thread::spawn(move || {
        for inside in listener.incoming().flatten() {
            // Where the broker does not answer, the device is hung up on.
            let Ok(outside) = connect_from(address, broker) else { continue };
            let _ = pipe(&inside, &outside).and_then(|()| pipe(&outside, &inside));
        }
    });
    port
}

fn connect_from(address: Ipv4Addr, broker: u16) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((address, 0)))?;
        socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, broker))).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// One direction, until either side ends; then both are over.
fn pipe(from: &TcpStream, to: &TcpStream) -> std::io::Result<()> {
    from.set_nodelay(true)?;
    let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    Ok(())
}
