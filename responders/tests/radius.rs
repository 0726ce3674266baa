//! RADIUS against FreeRADIUS as a device that takes disconnects and changes of authorisation.

mod support;

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleet::Level;
use responders::gateways::radius::{Authorisation, MacForm, RadiusConfig, RadiusGateway};
use responders::gateways::{FailureKind, Found, Gateway, Key, Order, Undone};
use support::{Program, demand, free_udp_port, order, permit, secret};
use tempfile::TempDir;

const SECRET: &str = "testing123-and-more";
const CONNECTED: &str = "00:10:a4:23:19:c0";
const GONE: &str = "00:10:a4:23:19:c1";
const FORBIDDEN: &str = "00:10:a4:23:19:c2";

/// Answers by attributes: who is connected, who must not be touched, and that a quarantine comes whole.
const CONFIGURATION: &str = r#"
prefix = /usr
libdir = /usr/lib/freeradius
logdir = FOLDER
run_dir = FOLDER
max_request_time = 5
cleanup_delay = 5
max_requests = 1024
log { destination = stdout }
security { max_attributes = 200, reject_delay = 0, status_server = no }
client test { ipaddr = 127.0.0.1, secret = "SECRET", require_message_authenticator = yes }
thread pool { start_servers = 1, max_servers = 4, min_spare_servers = 1, max_spare_servers = 2 }
modules {
  always ok {
    rcode = ok
  }
  always reject {
    rcode = reject
  }
  linelog {
    filename = FOLDER/asked
    format = "%{Packet-Type}|%{User-Name}|%{Calling-Station-Id}|%{Tunnel-Type:0}|%{Tunnel-Medium-Type:0}|%{Tunnel-Private-Group-Id:0}|%{Filter-Id}|%{NAS-IP-Address}|%{Event-Timestamp}"
  }
}
listen { type = coa, ipaddr = 127.0.0.1, port = PORT, virtual_server = device }
server device {
  recv-coa {
    linelog
    if (&Calling-Station-Id == "00-10-A4-23-19-C2") {
      update reply { Error-Cause := Administratively-Prohibited }
      reject
    }
    if (&Calling-Station-Id != "00-10-A4-23-19-C0") {
      update reply { Error-Cause := Session-Context-Not-Found }
      reject
    }
    if (Packet-Type == CoA-Request) {
      if (&Filter-Id == "quarantine" && &Tunnel-Private-Group-Id:0 == "666" && &Tunnel-Type:0 == VLAN && &Tunnel-Medium-Type:0 == IEEE-802) {
        ok
      }
      elsif (&Tunnel-Private-Group-Id:0 == "10") {
        ok
      }
      else {
        update reply { Error-Cause := Invalid-Attribute-Value }
        reject
      }
    }
  }
  send-coa {
    ok
  }
}
"#;

struct Device {
    folder: TempDir,
    port: u16,
    _program: Program,
}

impl Device {
    fn start(what: &str) -> Option<Device> {
        const PATH: &str = "/usr/sbin/freeradius";
        if !demand(Path::new(PATH).exists(), what, "it needs Debian's freeradius") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_udp_port();
        let text = CONFIGURATION
            .replace("FOLDER", folder.path().to_str().expect("its name is text"))
            .replace("SECRET", SECRET)
            .replace("PORT", &port.to_string());
        std::fs::write(folder.path().join("radiusd.conf"), text).expect("the folder can be written to");
        std::fs::write(folder.path().join("dictionary"), "").expect("the folder can be written to");
        let directory = folder.path().to_str().expect("its name is text");
        let mut program = Program::start(&[PATH, "-f", "-x", "-l", "stdout", "-d", directory, "-n", "radiusd"]);
        program.wait_for("Ready to process requests");
        Some(Device { folder, port, _program: program })
    }

    fn asked(&self) -> Vec<String> {
        let path: PathBuf = self.folder.path().join("asked");
        std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn gateway(&self) -> RadiusGateway {
        self.gateway_with(self.port, SECRET, |_| {})
    }

    fn gateway_with(&self, port: u16, shared: &str, change: impl Fn(&mut RadiusConfig)) -> RadiusGateway {
        let mut config = configuration(port, secret(&self.folder, "secret", shared));
        change(&mut config);
        RadiusGateway::new("switches", &config).expect("the configuration is right")
    }
}

fn configuration(port: u16, secret: fleet::Secret) -> RadiusConfig {
    RadiusConfig {
        server: format!("127.0.0.1:{port}"),
        secret,
        keys: vec![Key::Mac],
        mac_form: MacForm::UpperDashes,
        nas_ip_address: Some([10, 0, 0, 9].into()),
        nas_identifier: None,
        quarantine: Some(Authorisation { filter_id: Some("quarantine".to_owned()), vlan: Some("666".to_owned()) }),
        normal: Some(Authorisation { filter_id: None, vlan: Some("10".to_owned()) }),
        answers_are_authenticated: false,
        time_limit_seconds: 5,
        own: Default::default(),
    }
}

fn of(mac: &str, level: Level) -> Order {
    order("action-1", level, &[(Key::Mac, mac), (Key::Username, "bob")])
}

#[test]
fn a_session_is_ended_and_one_that_is_gone_is_done() {
    let Some(device) = Device::start("RADIUS disconnect") else { return };
    let mut gateway = device.gateway();
    gateway.probe(&permit()).expect("it answers");

    let ended = gateway.apply(&permit(), &of(CONNECTED, Level::TerminateSession)).expect("it is ended");
    assert!(!ended.already);
    let gone = gateway.apply(&permit(), &of(GONE, Level::TerminateSession)).expect("it is gone");
    assert!(gone.already, "Error-Cause 503 means that there is nothing left to end");
    let refused = gateway.apply(&permit(), &of(FORBIDDEN, Level::TerminateSession)).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.message.contains("501: administratively prohibited"), "{refused}");

    assert_eq!(gateway.undo(&permit(), &of(CONNECTED, Level::TerminateSession)), Ok(Undone::Already));
    assert_eq!(gateway.read_back(&permit(), &of(CONNECTED, Level::TerminateSession)), Ok(Found::Unknown));

    let asked = device.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked[0].contains("vedette-probe/"), "{}", asked[0]);
    assert!(asked[1].starts_with("Disconnect-Request||00-10-A4-23-19-C0|||||10.0.0.9|"), "{}", asked[1]);
    assert!(!asked[1].ends_with('|'), "Event-Timestamp is there: {}", asked[1]);
}

#[test]
fn a_quarantine_is_another_authorisation_and_undo_gives_the_first_one_back() {
    let Some(device) = Device::start("RADIUS change of authorisation") else { return };
    let mut gateway = device.gateway_with(device.port, SECRET, |config| config.keys = vec![Key::Mac, Key::Username]);
    let order = of(CONNECTED, Level::Quarantine);
    gateway.apply(&permit(), &order).expect("it is quarantined");
    gateway.apply(&permit(), &order).expect("twice is no harm");
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Unknown));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(gateway.undo(&permit(), &of(GONE, Level::Quarantine)), Ok(Undone::Already));

    let asked = device.asked();
    assert!(
        asked[0].starts_with("CoA-Request|bob|00-10-A4-23-19-C0|VLAN|IEEE-802|666|quarantine|10.0.0.9|"),
        "{}",
        asked[0]
    );
    assert!(asked[2].starts_with("CoA-Request|bob|00-10-A4-23-19-C0|VLAN|IEEE-802|10||10.0.0.9|"), "{}", asked[2]);

    // Its next session would be an ordinary one: not done, and worth another try.
    let absent = gateway.apply(&permit(), &of(GONE, Level::Quarantine)).unwrap_err();
    assert_eq!(absent.kind, FailureKind::Conflict);

    let other = |config: &mut RadiusConfig| {
        config.quarantine = Some(Authorisation { filter_id: None, vlan: Some("667".to_owned()) });
    };
    let mut wrong_vlan = device.gateway_with(device.port, SECRET, other);
    let refused = wrong_vlan.apply(&permit(), &order).unwrap_err();
    assert!(refused.kind == FailureKind::Refused && refused.message.contains("407"), "{refused}");
}

/// The server drops what is not signed by its secret and says nothing.
#[test]
fn another_secret_is_silence_and_ends_within_the_limit() {
    let Some(device) = Device::start("RADIUS with another secret") else { return };
    let mut gateway = device.gateway_with(device.port, "another secret", |config| config.time_limit_seconds = 3);
    let began = Instant::now();
    let silent = gateway.apply(&permit(), &of(CONNECTED, Level::TerminateSession)).unwrap_err();
    assert_eq!(silent.kind, FailureKind::Unreachable);
    assert!(silent.message.contains("asked 2 times") && !silent.message.contains("another secret"), "{silent}");
    assert!((2.9..10.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    assert!(device.asked().is_empty());
}

/// The first answer is lost: the same bytes come again, and the server answers from memory instead of acting twice.
#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_request() {
    let Some(device) = Device::start("RADIUS with a lost answer") else { return };
    let between = UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = between.local_addr().expect("it is bound").port();
    let server = ("127.0.0.1", device.port);
    let relay = std::thread::spawn(move || {
        let onward = UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
        let limit = Some(Duration::from_secs(5));
        between.set_read_timeout(limit).expect("it takes a limit");
        onward.set_read_timeout(limit).expect("it takes a limit");
        let mut requests = Vec::new();
        for number in 0..2 {
            let mut buffer = [0; 4096];
            let (length, from) = between.recv_from(&mut buffer).expect("a request comes");
            requests.push(buffer[..length].to_vec());
            onward.send_to(&buffer[..length], server).expect("it is sent on");
            let length = onward.recv(&mut buffer).expect("an answer comes");
            if number == 1 {
                between.send_to(&buffer[..length], from).expect("it is sent back");
            }
        }
        requests
    });
    let mut gateway = device.gateway_with(port, SECRET, |_| {});
    let ended = gateway.apply(&permit(), &of(CONNECTED, Level::TerminateSession)).expect("the second answer comes");
    assert!(!ended.already);
    let requests = relay.join().expect("the relay has done its part");
    assert_eq!(requests[0], requests[1]);
    assert_eq!(device.asked().len(), 1, "the server did it once");
}

/// Whoever is on the way and does not know the secret can say nothing.
#[test]
fn a_forged_answer_is_not_believed() {
    let liar = UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = liar.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((_, from)) = liar.recv_from(&mut buffer) {
            let mut ack = vec![41, buffer[1], 0, 20];
            ack.extend([9; 16]);
            liar.send_to(&ack, from).ok();
        }
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = configuration(port, secret(&folder, "secret", SECRET));
    let mut gateway = RadiusGateway::new("switches", &config).expect("the configuration is right");
    let told = gateway.apply(&permit(), &of(CONNECTED, Level::TerminateSession)).unwrap_err();
    assert!(told.kind == FailureKind::Unreachable && told.message.contains("not genuine"), "{told}");
}

#[test]
fn a_server_that_is_not_there_is_unreachable_within_the_limit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_udp_port();
    let mut config = configuration(port, secret(&folder, "secret", SECRET));
    config.time_limit_seconds = 1;
    let mut gateway = RadiusGateway::new("switches", &config).expect("the configuration is right");
    let began = Instant::now();
    let failure = gateway.probe(&permit()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn devices_that_cannot_be_named_are_refused() {
    let Some(device) = Device::start("RADIUS without names") else { return };
    let mut gateway = device.gateway();
    for names in [vec![], vec![(Key::Mac, "00:10:a4")], vec![(Key::Mac, "")]] {
        let refused = gateway.apply(&permit(), &order("action-1", Level::TerminateSession, &names)).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused, "{refused}");
    }
    let other = gateway.apply(&permit(), &of(CONNECTED, Level::Disable)).unwrap_err();
    assert_eq!(other.kind, FailureKind::Refused);
    assert!(device.asked().is_empty());
}

#[test]
fn configurations_that_cannot_be_undone_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let right = configuration(3799, secret(&folder, "secret", SECRET));
    let error = |change: fn(&mut RadiusConfig)| {
        let mut config = right.clone();
        change(&mut config);
        RadiusGateway::new("switches", &config).err().expect("it is refused").to_string()
    };
    assert!(error(|config| config.normal = None).contains("belong together"));
    assert!(error(|config| config.normal = config.quarantine.clone()).contains("the same"));
    assert!(error(|config| config.quarantine = Some(Authorisation::default())).contains("empty"));
    assert!(error(|config| config.keys = vec![Key::Ip]).contains("keys"));
    assert!(error(|config| config.server = "10.0.0.1".to_owned()).contains("`10.0.0.1`"));
}
