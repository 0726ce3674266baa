//! A small site in network namespaces: a device, its neighbour and a server, each behind a gateway that routes between them and
//! accepts whatever is established.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use crate::programs::{Started, cannot, mortal, output, run, there, wait_for};

pub const DEVICE: &str = "10.77.1.2";
pub const DEVICE6: &str = "fd77:1::2";
pub const GATEWAY: &str = "10.77.1.1";
pub const NEIGHBOUR: &str = "10.77.3.2";
pub const SERVER: &str = "10.77.2.2";
pub const SERVER6: &str = "fd77:2::2";
/// Another address of the server: documentation's, hence nobody's.
pub const INTERNET: &str = "198.51.100.2";
pub const HARDWARE: &str = "02:77:00:00:00:01";
/// Seconds for what is to come about, however late the other side is.
const PATIENCE: f64 = 10.0;
/// Seconds in which what is kept out would have come about.
const SILENCE: f64 = 0.8;
/// A rule set that others made: it accepts what is established before anything else.
const OTHERS: &str = "add table inet filter
add chain inet filter forward { type filter hook forward priority 0; policy accept; }
add rule inet filter forward ct state established,related accept";

/// A namespace, for as long as its process lives.
pub struct Host {
    process: Started,
}

impl Host {
    fn new() -> Option<Host> {
        let process = Started::new(mortal(&["unshare", "--net"], &["sleep", "600"]));
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let pid = process.0.id().to_string();
        let mut host = Host { process };
        wait_for("a namespace", Duration::from_secs(5), || {
            let ended = host.process.0.try_wait().expect("it can be asked").is_some();
            ended || of(&pid) != of("self")
        });
        let has_ended = host.process.0.try_wait().expect("it can be asked").is_some();
        if has_ended {
            cannot("needs to make network namespaces: run as root");
            return None;
        }
        host.run(&["ip", "link", "set", "lo", "up"]);
        // Nobody else has these addresses: without the second in which IPv6 makes sure.
        host.run(&["sh", "-c", "cd /proc/sys/net/ipv6/conf/default && echo 0 > accept_dad && echo 0 > dad_transmits"]);
        Some(host)
    }

    fn pid(&self) -> String {
        self.process.0.id().to_string()
    }

    /// Words that run a program in it.
    pub fn inside(&self, words: &[&str]) -> Vec<String> {
        let pid = self.pid();
        ["nsenter", "--net", "-t", &pid].iter().chain(words).map(|word| (*word).to_owned()).collect()
    }

    pub fn run(&self, words: &[&str]) -> String {
        let words = self.inside(words);
        run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn succeeds(&self, words: &[&str]) -> bool {
        let words = self.inside(words);
        output(&words.iter().map(String::as_str).collect::<Vec<_>>()).status.success()
    }

    fn talk(&self, words: &[&str]) -> Started {
        let starter = self.inside(&[]);
        let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
        let mut command = mortal(&starter, &[&["python3", "tests/nftables/talk.py"], words].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Started::new(command)
    }
}

/// Somebody who talks from a host.
pub struct Talker {
    _process: Started,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Talker {
    fn new(host: &Host) -> Talker {
        let mut process = host.talk(&[]);
        let words = process.0.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.0.stdout.take().expect("it is piped"));
        Talker { _process: process, words, answers }
    }

    fn ask(&mut self, word: &str, address: &str, seconds: f64) -> Option<String> {
        writeln!(self.words, "{word} {address} {seconds}").expect("it listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        answer.strip_prefix("ok").map(|rest| rest.trim().to_owned())
    }

    /// Whether a new connection comes about.
    pub fn opens(&mut self, address: &str) -> bool {
        self.ask("open", address, PATIENCE).is_some()
    }

    pub fn cannot_open(&mut self, address: &str) -> bool {
        self.ask("open", address, SILENCE).is_none()
    }

    /// Whether the connection that was opened first still carries words there and back.
    pub fn says(&mut self, address: &str) -> bool {
        self.ask("say", address, PATIENCE).is_some()
    }

    pub fn cannot_say(&mut self, address: &str) -> bool {
        self.ask("say", address, SILENCE).is_none()
    }

    /// Whether it can renew its lease there.
    pub fn renews(&mut self, address: &str) -> bool {
        self.ask("renew", address, PATIENCE).is_some()
    }

    pub fn cannot_renew(&mut self, address: &str) -> bool {
        self.ask("renew", address, SILENCE).is_none()
    }

    /// 300 datagrams of 1,000 bytes, as they are taken.
    pub fn floods(&mut self, address: &str) {
        self.ask("flood", address, PATIENCE).expect("the server counts them");
    }

    /// As many in some 0.4 seconds, whatever becomes of them. How long it took.
    pub fn rushes(&mut self, address: &str) -> Duration {
        let began = Instant::now();
        self.ask("rush", address, PATIENCE).expect("nothing is awaited");
        began.elapsed()
    }

    /// How many of them have come.
    pub fn counts(&mut self, address: &str) -> u32 {
        self.ask("count", address, PATIENCE).expect("the server answers").parse().expect("a number")
    }
}

pub struct Site {
    pub gateway: Host,
    pub device: Talker,
    pub neighbour: Talker,
    pub device_host: Host,
    _servers: Vec<Started>,
    _hosts: Vec<Host>,
}

impl Site {
    /// `None`, and said so: this machine cannot.
    pub fn new() -> Option<Site> {
        if !there(&["nft", "ip", "conntrack", "nsenter", "unshare", "setpriv", "python3"]) {
            return None;
        }
        let (gateway, device, neighbour, server) = (Host::new()?, Host::new()?, Host::new()?, Host::new()?);
        for (number, host) in [(1, &device), (2, &server), (3, &neighbour)] {
            link(&gateway, host, number);
        }
        device.run(&["ip", "link", "set", "eth0", "address", HARDWARE]);
        server.run(&["ip", "addr", "add", &format!("{INTERNET}/32"), "dev", "eth0"]);
        gateway.run(&["ip", "route", "add", INTERNET, "via", SERVER]);
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
        gateway.run(&["sh", "-c", forward]);
        for rule in OTHERS.lines() {
            gateway.run(&["nft", rule]);
        }
        let servers = vec![server.talk(&["serve"]), neighbour.talk(&["serve"]), gateway.talk(&["serve"])];
        let (mut talks, mut talks_too) = (Talker::new(&device), Talker::new(&neighbour));
        for address in [SERVER, NEIGHBOUR, GATEWAY, SERVER6, INTERNET] {
            wait_for(address, Duration::from_secs(30), || talks.opens(address));
        }
        assert!(talks_too.opens(SERVER));
        let hosts = vec![neighbour, server];
        Some(Site {
            gateway,
            device: talks,
            neighbour: talks_too,
            device_host: device,
            _servers: servers,
            _hosts: hosts,
        })
    }
}

/// A wire between the gateway and a host, a network of its own on it.
fn link(gateway: &Host, host: &Host, number: u8) {
    let near = format!("lan{number}");
    gateway.run(&["ip", "link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", &host.pid()]);
    let ends = [(gateway, near.as_str(), 1), (host, "eth0", 2)];
    for (end, name, last) in ends {
        end.run(&["ip", "addr", "add", &format!("10.77.{number}.{last}/24"), "dev", name]);
        end.run(&["ip", "addr", "add", &format!("fd77:{number}::{last}/64"), "dev", name, "nodad"]);
        end.run(&["ip", "link", "set", name, "up"]);
    }
    host.run(&["ip", "route", "add", "default", "via", &format!("10.77.{number}.1")]);
    host.run(&["ip", "-6", "route", "add", "default", "via", &format!("fd77:{number}::1")]);
}
