//! A real Mosquitto with dynamic security and TLS, which ends with the test. Each device may publish below a topic of its
//! own only, so the topic of a message says whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use responders::tls::TlsConfig;
use rumqttc::{Client, ConnectionError, Event, MqttOptions, Outgoing, Packet, QoS, TlsConfiguration, Transport};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::not_run::not_run;
use crate::vedette::{mortal, output, start, text};

pub const ADMINISTRATOR: &str = "admin";
/// Who brings messages to Kafka.
pub const BRIDGE: &str = "bridge";
pub const PASSWORD: &str = "open sesame";
/// Begins the names of roles by which the gateway knows its own.
pub const MARK: &str = "vedette:";
const PLUGIN: &str = "mosquitto_dynamic_security.so";
/// Where Debian has what only root runs, which is not in everybody's path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const NEEDED: [&str; 4] = ["mosquitto", "mosquitto_ctrl", "openssl", "setpriv"];

/// Whether it can be started here; says loudly when not, and that is an error in CI.
pub fn is_there(what: &str) -> bool {
    let is_there = |program: &&&str| PATH.split(':').any(|folder| Path::new(folder).join(program).is_file());
    let missing: Vec<&str> = NEEDED.iter().filter(|program| !is_there(program)).copied().collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{what}: {} is missing, and this is CI", missing.join(", "));
    not_run(&format!("{what}; it needs {}", missing.join(", ")));
    false
}

pub struct Mosquitto {
    folder: TempDir,
    pub port: u16,
    process: Child,
}

impl Mosquitto {
    pub fn start() -> Mosquitto {
        let folder = tempfile::tempdir().expect("a temporary folder");
        certificates(folder.path());
        let path = |name: &str| folder.path().join(name);
        run(&["mosquitto_ctrl", "dynsec", "init", text(&path("dynsec.json")), ADMINISTRATOR, PASSWORD]);
        fs::write(path("password"), format!("{PASSWORD}\n")).expect("the password is written");
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            free.local_addr().expect("it has an address").port()
        };
        // Whoever becomes another user is not ended with the tests any more. All is logged: of a refused sign-in only that
        // says from where it came.
        let configuration = format!(
            "user root\nlog_type all\nallow_anonymous false\nplugin {}\nplugin_opt_config_file {}\n\
             listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
            text(&plugin()),
            text(&path("dynsec.json")),
            text(&path("server.pem")),
            text(&path("server.key")),
        );
        fs::write(path("mosquitto.conf"), configuration).expect("the configuration is written");
        let mut command = mortal(&[], "mosquitto");
        command.args(["-c", text(&path("mosquitto.conf"))]).env("PATH", PATH);
        let log = File::create(path("log")).expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mosquitto = Mosquitto { port, process: start(command), folder };
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(mosquitto.log()).expect("its log can be read");
            if said.contains(" running") {
                return mosquitto;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "Mosquitto does not start:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn password(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Through `port`: its own, or that of a door.
    pub fn options(&self, id: &str, username: &str, port: u16) -> MqttOptions {
        let mut options = MqttOptions::new(id, "localhost", port);
        let tls = TlsConfig { ca: Some(self.ca()), ..TlsConfig::default() };
        let tls = tls.client().expect("the authority's certificate is there");
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        options.set_credentials(username, PASSWORD).set_keep_alive(Duration::from_secs(30));
        options
    }

    /// Makes them clients, and the bridge one that may read everything, in one message.
    pub fn enrol(&self, devices: &[String]) {
        let may = |acltype: &str, topic: &str| json!({ "acltype": acltype, "topic": topic, "allow": true });
        let role = |name: &str, right: Value| json!({ "command": "createRole", "rolename": name, "acls": [right] });
        let client = |name: &str| {
            let roles = json!([{ "rolename": name }]);
            json!({ "command": "createClient", "username": name, "password": PASSWORD, "roles": roles })
        };
        let mut commands = vec![role(BRIDGE, may("subscribePattern", "#")), client(BRIDGE)];
        for device in devices {
            commands.push(role(device, may("publishClientSend", &format!("devices/{device}/#"))));
            commands.push(client(device));
        }
        self.control(&commands);
    }

    /// What its dynamic security answers to the commands, each of which it has to obey.
    pub fn control(&self, commands: &[Value]) -> Vec<Value> {
        const CONTROL: &str = "$CONTROL/dynamic-security/v1";
        let mut options = self.options("operator", ADMINISTRATOR, self.port);
        options.set_max_packet_size(8 << 20, 8 << 20);
        let (client, mut connection) = Client::new(options, 10);
        client.subscribe(format!("{CONTROL}/response"), QoS::AtLeastOnce).expect("it is queued");
        let mut answers = Vec::new();
        loop {
            match connection.recv().expect("it goes on").expect("it is connected") {
                Event::Incoming(Packet::SubAck(_)) => {
                    let message = json!({ "commands": commands }).to_string();
                    client.publish(CONTROL, QoS::AtLeastOnce, false, message).expect("it is queued");
                }
                Event::Incoming(Packet::Publish(message)) => {
                    let said: Value = serde_json::from_slice(&message.payload).expect("answers are JSON");
                    answers.extend(said["responses"].as_array().expect("there are answers").iter().cloned());
                    if answers.len() >= commands.len() {
                        client.disconnect().expect("it is queued");
                    }
                }
                Event::Outgoing(Outgoing::Disconnect) => break,
                _ => {}
            }
        }
        let refused: Vec<&Value> = answers.iter().filter(|answer| !answer["error"].is_null()).collect();
        assert!(refused.is_empty() && answers.len() == commands.len(), "{refused:?}");
        answers
    }

    /// All clients that dynamic security knows: whether they are disabled, and the roles that are marks of ours.
    pub fn accounts(&self) -> BTreeMap<String, (bool, Vec<String>)> {
        let clients = self.control(&[json!({ "command": "listClients", "verbose": true })]).remove(0);
        let account = |client: &Value| {
            let roles = client["roles"].as_array().into_iter().flatten().filter_map(|role| role["rolename"].as_str());
            let marks = roles.filter(|role| role.starts_with(MARK)).map(str::to_owned).collect();
            let name = client["username"].as_str().expect("a client has a name").to_owned();
            (name, (client["disabled"] == true, marks))
        };
        clients["data"]["clients"].as_array().expect("there are clients").iter().map(account).collect()
    }

    /// The roles that are marks of ours, whoever has them.
    pub fn marks(&self) -> BTreeSet<String> {
        let roles = self.control(&[json!({ "command": "listRoles" })]).remove(0);
        let names = roles["data"]["roles"].as_array().expect("there are roles").iter().filter_map(Value::as_str);
        names.filter(|role| role.starts_with(MARK)).map(str::to_owned).collect()
    }

    /// Whether it is let in, now. Not through its door: nobody is told of it.
    pub fn signs_in(&self, username: &str) -> bool {
        let (_client, mut connection) = Client::new(self.options(&format!("try-{username}"), username, self.port), 10);
        match connection.recv() {
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => true,
            Ok(Err(ConnectionError::ConnectionRefused(_))) => false,
            other => panic!("`{username}` got no answer from Mosquitto: {other:?}"),
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An authority, and a server that it vouches for.
fn certificates(folder: &Path) {
    let path = |name: &str| text(&folder.join(name)).to_owned();
    let (ca, ca_key, server, server_key) = (path("ca.pem"), path("ca.key"), path("server.pem"), path("server.key"));
    let make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let days = ["-days", "2"];
    let authority = ["-subj", "/CN=vedette tests", "-keyout", &ca_key, "-out", &ca];
    run(&[&make[..], &days, &authority].concat());
    let named = ["-subj", "/CN=localhost", "-keyout", &server_key, "-out", &server];
    let names =
        ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
    let vouched = ["-CA", &ca, "-CAkey", &ca_key];
    run(&[&make[..], &days, &named, &names, &vouched].concat());
}

fn plugin() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").expect("there is one").flatten().map(|entry| entry.path());
    let found = libraries.chain(["/usr/lib".into()]).map(|place| place.join(PLUGIN)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{PLUGIN} is in no folder of /usr/lib, although Mosquitto is there"))
}

fn run(words: &[&str]) {
    let mut command = mortal(&[], words[0]);
    command.args(&words[1..]).env("PATH", PATH);
    let output = output(command);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
