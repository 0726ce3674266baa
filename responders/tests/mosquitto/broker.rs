//! A real Mosquitto with dynamic security and TLS, and devices that publish through it.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleet::Secret;
use responders::gateways::mosquitto::{Mosquitto, MosquittoConfig};
use responders::tls::TlsConfig;
use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::programs::{PATH, Started, mortal, run, there, wait_for};

const PLUGIN: &str = "mosquitto_dynamic_security.so";
const PASSWORD: &str = "open sesame";

pub struct Broker {
    pub folder: TempDir,
    pub port: u16,
    plain_port: u16,
    process: Option<Started>,
}

impl Broker {
    /// `None`, and said so: this machine has none.
    pub fn new() -> Option<Broker> {
        if !there(&["mosquitto", "mosquitto_ctrl", "openssl", "setpriv"]) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let (one, other) = (free(), free());
        let port_of = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
        let (port, plain_port) = (port_of(&one), port_of(&other));
        drop((one, other));
        let mut broker = Broker { folder, port, plain_port, process: None };
        broker.certificates();
        let security = broker.path("dynsec.json");
        run(&["mosquitto_ctrl", "dynsec", "init", &security, "admin", PASSWORD]);
        fs::write(broker.path("password"), format!("{PASSWORD}\n")).expect("the folder can be written to");
        fs::write(broker.path("mosquitto.conf"), broker.configuration(&plugin()))
            .expect("the folder can be written to");
        // As root it becomes somebody else, who writes its file.
        fs::set_permissions(broker.folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
        for file in ["dynsec.json", "server.key"] {
            fs::set_permissions(broker.path(file), Permissions::from_mode(0o666)).expect("it is ours");
        }
        broker.start();
        Some(broker)
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn configuration(&self, plugin: &Path) -> String {
        let Broker { port, plain_port, .. } = self;
        let at = |name| self.path(name);
        format!(
            "allow_anonymous false\nplugin {}\nplugin_opt_config_file {}\nlistener {port} 127.0.0.1\ncertfile {}\nkeyfile {}\n\
             listener {plain_port} 127.0.0.1\n",
            plugin.display(),
            at("dynsec.json"),
            at("server.pem"),
            at("server.key"),
        )
    }

    /// An authority, and a server that it vouches for.
    fn certificates(&self) {
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let names =
            ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
        let openssl = |rest: &[&str]| run(&[&["openssl", "req", "-x509"][..], &key, rest].concat());
        openssl(&["-subj", "/CN=vedette tests", "-keyout", &self.path("ca.key"), "-out", &self.path("ca.pem")]);
        let server = ["-subj", "/CN=localhost", "-keyout", &self.path("server.key"), "-out", &self.path("server.pem")];
        let issued = ["-CA", &self.path("ca.pem"), "-CAkey", &self.path("ca.key")];
        openssl(&[&server[..], &names, &issued].concat());
    }

    pub fn start(&mut self) {
        let mut command = mortal(&[], &["mosquitto", "-c", &self.path("mosquitto.conf")]);
        let log = fs::File::options().create(true).append(true).open(self.path("log")).expect("it can be written to");
        command.stderr(log);
        self.process = Some(Started::new(command));
        let port = self.port;
        wait_for("Mosquitto", Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").0.id()
    }

    pub fn config(&self) -> MosquittoConfig {
        MosquittoConfig {
            url: format!("mqtts://localhost:{}", self.port),
            username: "admin".into(),
            password: Secret::File(self.path("password").into()),
            tls: TlsConfig { ca: Some(self.path("ca.pem").into()), ..TlsConfig::default() },
            own: vec!["bridge".into()],
            time_limit_seconds: 10,
            workers: 4,
        }
    }

    pub fn gateway(&self) -> Mosquitto {
        Mosquitto::new("broker", self.config()).expect("the configuration is right")
    }

    /// As an operator would, beside us.
    pub fn control(&self, words: &[&str]) -> String {
        let port = self.plain_port.to_string();
        let who = ["mosquitto_ctrl", "-h", "127.0.0.1", "-p", &port, "-u", "admin", "-P", PASSWORD, "dynsec"];
        run(&[&who, words].concat())
    }

    /// Makes them clients that may do everything below `devices/`, in one message.
    pub fn enrol(&self, usernames: &[&str]) {
        let mut commands = vec![json!({ "command": "createRole", "rolename": "device", "acls": [
            { "acltype": "publishClientSend", "topic": "devices/#", "allow": true },
            { "acltype": "subscribePattern", "topic": "devices/#", "allow": true },
        ] })];
        let client = |username: &&str| {
            let roles = json!([{ "rolename": "device" }]);
            json!({ "command": "createClient", "username": username, "password": PASSWORD, "roles": roles })
        };
        commands.extend(usernames.iter().map(client));
        self.command(&json!({ "commands": commands }));
    }

    /// To the control topic, without waiting for what it answers.
    pub fn command(&self, message: &Value) {
        let (client, mut connection) = Client::new(self.options("operator", "admin"), 10);
        client
            .publish("$CONTROL/dynamic-security/v1", QoS::AtLeastOnce, false, message.to_string())
            .expect("it is queued");
        loop {
            let event = connection.recv().expect("it goes on").expect("it is connected");
            if matches!(event, Event::Incoming(Packet::PubAck(_))) {
                return;
            }
        }
    }

    fn options(&self, id: &str, username: &str) -> MqttOptions {
        let mut options = MqttOptions::new(id, "localhost", self.port);
        let tls = self.config().tls.client().expect("the certificates are there");
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        options.set_credentials(username, PASSWORD).set_keep_alive(Duration::from_secs(5));
        options
    }

    /// Whether it is let in, now.
    pub fn signs_in(&self, username: &str) -> bool {
        let (_client, mut connection) = Client::new(self.options(&format!("try-{username}"), username), 10);
        matches!(connection.recv(), Ok(Ok(Event::Incoming(Packet::ConnAck(_)))))
    }

    pub fn device(&self, username: &str) -> Device {
        self.device_that_tries(username, Duration::from_millis(20))
    }

    /// It waits so long before it connects again.
    pub fn device_that_tries(&self, username: &str, every: Duration) -> Device {
        let (client, connection) = Client::new(self.options(username, username), 10);
        let state = Arc::new(State::default());
        let seen = Arc::clone(&state);
        let thread = std::thread::spawn(move || seen.follow(connection, every));
        let device = Device { client, state, thread: Some(thread), username: username.to_owned() };
        wait_for("a device to connect", Duration::from_secs(10), || device.is_connected());
        device
    }
}

fn plugin() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").expect("there is one").flatten().map(|entry| entry.path());
    let places = libraries.chain(["/usr/lib".into()]);
    let found = places.map(|place| place.join(PLUGIN)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{PLUGIN} is in no folder of /usr/lib, although Mosquitto is in {PATH}"))
}

#[derive(Default)]
struct State {
    connected: AtomicBool,
    /// How often the connection ended.
    cuts: AtomicU32,
    acknowledged: AtomicU32,
    ends: AtomicBool,
    last: Mutex<String>,
}

impl State {
    fn follow(&self, mut connection: Connection, every: Duration) {
        while !self.ends.load(Ordering::Relaxed) {
            match connection.recv_timeout(every.clamp(Duration::from_millis(50), Duration::from_millis(250))) {
                Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => self.connected.store(true, Ordering::Relaxed),
                Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Err(error)) => {
                    if self.connected.swap(false, Ordering::Relaxed) {
                        self.cuts.fetch_add(1, Ordering::Relaxed);
                    }
                    *self.last.lock().expect("nobody panics with it") = error.to_string();
                    // As devices do: it tries again and again.
                    let until = Instant::now() + every;
                    while Instant::now() < until && !self.ends.load(Ordering::Relaxed) {
                        std::thread::sleep(every.min(Duration::from_millis(50)));
                    }
                }
                _ => {}
            }
        }
    }
}

/// One that connects again whenever it is cut off.
pub struct Device {
    client: Client,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
    username: String,
}

impl Device {
    pub fn is_connected(&self) -> bool {
        self.state.connected.load(Ordering::Relaxed)
    }

    pub fn cuts(&self) -> u32 {
        self.state.cuts.load(Ordering::Relaxed)
    }

    /// Whether the broker acknowledges a message of it, soon.
    pub fn publishes(&self) -> bool {
        let before = self.state.acknowledged.load(Ordering::Relaxed);
        let topic = format!("devices/{}", self.username);
        if !self.is_connected() || self.client.try_publish(topic, QoS::AtLeastOnce, false, "21.5").is_err() {
            return false;
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            if self.state.acknowledged.load(Ordering::Relaxed) > before {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// What it was told when it last could not.
    pub fn last_error(&self) -> String {
        self.state.last.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| {
            let _ = thread.join();
        });
    }
}
