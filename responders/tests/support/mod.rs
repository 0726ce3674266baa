//! What tests of gateways share: orders, secrets in files, programs that end with their test.

#![allow(dead_code, reason = "each test program takes what it needs")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use fleet::Secret;
use fleet::{EventTime, Level};
use responders::gateways::{Key, Order, Permit, clock};
use tempfile::TempDir;

pub mod http;
#[path = "../../../tests/not_run/mod.rs"]
mod not_run;

pub fn permit() -> Permit {
    Permit::for_tests()
}

pub fn order(action_id: &str, level: Level, names: &[(Key, &str)]) -> Order {
    Order {
        action_id: action_id.to_owned(),
        incident_id: "incident-1".to_owned(),
        device_id: "device-1".into(),
        level,
        names: names.iter().map(|(key, name)| (*key, (*name).into())).collect::<BTreeMap<_, _>>(),
        further: Vec::new(),
        until: None,
        note: "vedette incident-1".to_owned(),
        receipt: None,
    }
}

pub fn in_seconds(seconds: i64) -> EventTime {
    let now = clock::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    EventTime(i64::try_from(now.as_micros()).expect("it is before the year 292471")).plus_seconds(seconds)
}

pub fn secret(folder: &TempDir, name: &str, text: &str) -> Secret {
    let path = folder.path().join(name);
    std::fs::write(&path, format!("{text}\n")).expect("the temporary folder can be written to");
    Secret::File(path)
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the room is in the workspace").to_owned()
}

/// Whether to go on: in CI everything has to be there.
pub fn demand(there: bool, what: &str, remedy: &str) -> bool {
    if !there {
        assert!(std::env::var_os("CI").is_none(), "{what}: {remedy}, and this is CI");
        not_run::not_run(&format!("{what}: {remedy}"));
    }
    there
}

/// Ends with the test, however that ends.
pub struct Program(Child);

impl Program {
    pub fn start(words: &[&str]) -> Program {
        let mortal = ["--pdeathsig", "KILL", "--"];
        let child = Command::new("setpriv")
            .args(mortal)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("setpriv {words:?}: {error}"));
        Program(child)
    }

    /// Waits for a line that has this in it, and gives it; what comes after is read and thrown away.
    pub fn wait_for(&mut self, part: &str) -> String {
        let mut output = BufReader::new(self.0.stdout.take().expect("it is asked once"));
        let mut told = String::new();
        let found = loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).expect("its output is text") > 0, "no `{part}` in:\n{told}");
            if line.contains(part) {
                break line;
            }
            told.push_str(&line);
        };
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        found
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Tests that share a port between looking for it and listening there do so one after the other.
pub fn free_udp_port() -> u16 {
    static LAST: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = LAST.lock().expect("nobody panics in here");
    loop {
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = socket.local_addr().expect("it is bound").port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}
