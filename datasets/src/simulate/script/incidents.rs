//! What goes wrong in the judged days: each incident strikes one device (guessing: both sides), with records labelled.

use std::net::{IpAddr, Ipv4Addr};

use fleet::id::stable_id;
use fleet::reading::{Message, Outcome, Session, SessionEvent, SignIn};
use smol_str::{SmolStr, format_smolstr};

use super::changes::{ROLL_OUT_AT, ROLL_OUT_LASTS};
use super::{Action, Episode, Scene, Script};
use crate::simulate::clock::{MINUTE, SECOND, seconds};
use crate::simulate::life::{Bend, Pause, posture};
use crate::simulate::records::{Shape, Stage};
use crate::simulate::roster::{OFFICE, Roster, Site, WORKS};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Calls one address at intervals: mean seconds, and their standard deviation as a share.
    Call {
        address: [u8; 4],
        port: u16,
        interval: f64,
        jitter: f64,
    },
    /// Probes its neighbours on the ports that malware tries.
    Scan {
        interval: f64,
    },
    Upload {
        address: [u8; 4],
        bytes_a_minute: f64,
    },
    /// Somebody on the site's network tries passwords on the device, and gets in.
    GuessedByHost {
        method: &'static str,
        port: u16,
        interval: f64,
    },
    /// The device tries passwords on another one.
    GuessedBy {
        victim: usize,
        method: &'static str,
        port: u16,
        interval: f64,
    },
    /// Publishes commands its type never sends.
    Commands {
        topic: &'static str,
        names: &'static [&'static str],
        interval: f64,
        tampered: bool,
    },
    /// A second holder of its identity, elsewhere; each displaces the other.
    Clone {
        address: [u8; 4],
        interval: f64,
    },
}

struct Plan<'a> {
    roster: &'a Roster,
    judged: i64,
    script: &'a mut Script,
}

pub(super) fn plan(roster: &Roster, judged: i64, script: &mut Script) {
    let mut plan = Plan { roster, judged, script };

    plan.bend("ten-times-data", ("plug", &WORKS, 5), 60, 120, 10.0);
    plan.bend("ten-times-payload", ("air_sensor", &OFFICE, 11), 14 * 60 + 5, 40, 10.0);
    plan.silence("silence", ("thermostat", &WORKS, 14), 6 * 60, 360);
    plan.silence("silence-2", ("badge_reader", &WORKS, 6), 20 * 60, 90);

    let unexpected = Kind::Call { address: [203, 0, 113, 77], port: 443, interval: 420.0, jitter: 0.5 };
    plan.scene("unexpected-address", ("thermostat", &WORKS, 7), 150, 360, unexpected);
    let beacon = Kind::Call { address: [198, 51, 100, 23], port: 8443, interval: 300.0, jitter: 0.01 };
    plan.scene("beacon", ("gateway", &WORKS, 2), 5 * 60, 360, beacon);
    let master = Kind::Call { address: [185, 244, 25, 7], port: 6667, interval: 240.0, jitter: 0.08 };
    for (number, nth) in [2, 7, 12].into_iter().enumerate() {
        let name = format!("infected-three-{}", number + 1);
        plan.scene(&name, ("camera", &OFFICE, nth), 20 * 60 + 30 * number, 180 - 30 * number, master);
    }

    plan.scene("internal-scan", ("camera", &WORKS, 4), 4 * 60 + 7, 20, Kind::Scan { interval: 4.0 });
    plan.scene("slow-scan", ("lamp", &WORKS, 10), 21 * 60, 120, Kind::Scan { interval: 55.0 });
    let upload = |address, bytes_a_minute| Kind::Upload { address, bytes_a_minute };
    plan.scene("slow-upload", ("camera", &WORKS, 11), 720, 180, upload([198, 51, 100, 9], 330e3));
    let start = (ROLL_OUT_AT / MINUTE) as usize + 30;
    let lasts = (ROLL_OUT_LASTS / MINUTE) as usize - 30;
    plan.scene("hidden-in-rollout", ("lamp", &WORKS, 3), start, lasts, upload([185, 220, 101, 33], 210e3));

    let guessing = Kind::GuessedByHost { method: "telnet", port: 23, interval: 12.0 };
    plan.scene("telnet-guessing", ("camera", &WORKS, 6), 8 * 60 + 20, 25, guessing);
    plan.guessing_between(("plug", &OFFICE, 13), ("badge_reader", &OFFICE, 4), 22 * 60, 30);

    const LOCKS: &[&str] = &["unlock"];
    let unlocking =
        Kind::Commands { topic: "access/works/door_lock-00#/set", names: LOCKS, interval: 40.0, tampered: true };
    plan.scene("foreign-commands", ("lamp", &WORKS, 8), 3 * 60 + 12, 35, unlocking);
    const PROGRAM: &[&str] = &["write_program", "disable_safety", "stop_line"];
    let writing =
        Kind::Commands { topic: "works/line/controller-00#/program", names: PROGRAM, interval: 75.0, tampered: false };
    plan.scene("foreign-commands-2", ("controller", &WORKS, 5), 2 * 60 + 40, 25, writing);

    let clone = Kind::Clone { address: [91, 92, 240, 61], interval: 45.0 };
    plan.scene("cloned-identity", ("door_lock", &OFFICE, 5), 15 * 60, 45, clone);
}

/// Type, site and place among its kind there.
type Whom = (&'static str, &'static Site, usize);

impl Plan<'_> {
    fn episode(&mut self, name: &str, whom: Whom, after: usize, minutes: usize) -> Option<(usize, i64, i64)> {
        let unit = self.roster.pick(whom.0, whom.1, whom.2)?;
        let start = self.judged + after as i64 * MINUTE;
        let end = start + minutes as i64 * MINUTE;
        self.script.episodes.push(Episode { name: name.to_owned(), units: vec![unit], start, end, incident: true });
        Some((unit, start, end))
    }

    fn scene(&mut self, name: &str, whom: Whom, after: usize, minutes: usize, kind: Kind) {
        if let Some((unit, start, end)) = self.episode(name, whom, after, minutes) {
            self.script.scenes.push(Scene { unit, start, end, malicious: true, action: Action::Incident(kind) });
        }
    }

    fn bend(&mut self, name: &str, whom: Whom, after: usize, minutes: usize, volume: f64) {
        if let Some((unit, from, to)) = self.episode(name, whom, after, minutes) {
            self.script.bends.push((unit, Bend { from, to, volume, rate: 1.0, value: 0.0, malicious: true }));
        }
    }

    fn silence(&mut self, name: &str, whom: Whom, after: usize, minutes: usize) {
        if let Some((unit, from, to)) = self.episode(name, whom, after, minutes) {
            self.script.pauses.push((unit, Pause { from, to, boots: false }));
        }
    }

    fn guessing_between(&mut self, from: Whom, against: Whom, after: usize, minutes: usize) {
        let Some(victim) = self.roster.pick(against.0, against.1, against.2) else { return };
        let kind = Kind::GuessedBy { victim, method: "ssh", port: 22, interval: 9.0 };
        self.scene("guessing-from", from, after, minutes, kind);
        self.episode("guessing-against", against, after, minutes);
    }
}

pub(super) fn play(kind: Kind, scene: &Scene, stage: &mut Stage<'_>) {
    match kind {
        Kind::Call { address, port, interval, jitter } => {
            for time in times(scene, stage, interval, jitter) {
                let (out, back) = (stage.random.log_normal(210.0, 0.1), stage.random.log_normal(310.0, 0.1));
                let shape = Shape::tcp(port, "", out, back, 0.5).in_country(b"MD");
                stage.flow(scene.unit, time, address_of(address), shape);
            }
        }
        Kind::Scan { interval } => scan(scene, stage, interval),
        Kind::Upload { address, bytes_a_minute } => {
            for time in times(scene, stage, 60.0, 0.01) {
                let bytes = stage.random.log_normal(bytes_a_minute, 0.05);
                let shape = Shape::tcp(443, "ssl", bytes, bytes / 900.0, 55.0).in_country(b"PA");
                stage.flow(scene.unit, time, address_of(address), shape);
            }
        }
        Kind::GuessedByHost { method, port, interval } => {
            let host = stage.roster.units[scene.unit].site.server(77);
            for (time, success) in tries(scene, stage, interval) {
                let shape = attempt(stage, port, method);
                stage.flow_to(scene.unit, time, host, shape);
                let guess = guess(stage, method, true, success, Some(host), success);
                stage.sign_in(scene.unit, time + SECOND / 2, guess);
            }
        }
        Kind::GuessedBy { victim, method, port, interval } => {
            for (time, _) in tries(scene, stage, interval) {
                let shape = attempt(stage, port, method);
                stage.flow_between(scene.unit, victim, time, shape);
                let from = stage.roster.units[scene.unit].address(time);
                let guess = guess(stage, method, true, false, from, false);
                stage.sign_in(victim, time + SECOND / 2, guess.clone());
                let address = stage.roster.units[victim].address(time);
                stage.sign_in(scene.unit, time + SECOND / 2, SignIn { inbound: false, address, ..guess });
            }
        }
        Kind::Commands { topic, names, interval, tampered } => commands(scene, stage, topic, names, interval, tampered),
        Kind::Clone { address, interval } => displace(scene, stage, address_of(address), interval),
    }
}

fn address_of([a, b, c, d]: [u8; 4]) -> IpAddr {
    Ipv4Addr::new(a, b, c, d).into()
}

/// Instants about `interval` seconds apart, the first within it, all a few seconds before the scene's end.
fn times(scene: &Scene, stage: &mut Stage<'_>, interval: f64, jitter: f64) -> Vec<i64> {
    let mut times = Vec::new();
    let mut time = scene.start + seconds(stage.random.unit() * interval.min(60.0));
    while time < scene.end - 5 * SECOND {
        times.push(time);
        time += seconds(interval * (1.0 + jitter * stage.random.normal()).max(0.2));
    }
    times
}

/// Attempts, of which the last succeeds.
fn tries(scene: &Scene, stage: &mut Stage<'_>, interval: f64) -> Vec<(i64, bool)> {
    let times = times(scene, stage, interval, 0.1);
    let last = times.len().saturating_sub(1);
    times.into_iter().enumerate().map(|(number, time)| (time, number == last)).collect()
}

fn scan(scene: &Scene, stage: &mut Stage<'_>, interval: f64) {
    const PORTS: [u16; 6] = [23, 2323, 22, 80, 8080, 5555];
    let Some(IpAddr::V4(own)) = stage.roster.units[scene.unit].address(scene.start) else { return };
    let [a, b, c, _] = own.octets();
    for (number, time) in times(scene, stage, interval, 0.05).into_iter().enumerate() {
        let address: IpAddr = Ipv4Addr::new(a, b, c, 1 + (number % 250) as u8).into();
        let port = stage.random.choose(&PORTS);
        let neighbour =
            (0..stage.roster.units.len()).find(|unit| stage.roster.units[*unit].address(time) == Some(address));
        let outcome = if neighbour.is_some() { Outcome::Refused } else { Outcome::Unanswered };
        let shape = Shape::tcp(port, "", 0.0, 0.0, 0.0).ending(outcome);
        match neighbour {
            Some(neighbour) if neighbour != scene.unit => stage.flow_between(scene.unit, neighbour, time, shape),
            Some(_) => {}
            None => stage.flow(scene.unit, time, address, shape),
        }
    }
}

fn attempt(stage: &mut Stage<'_>, port: u16, method: &'static str) -> Shape {
    Shape::tcp(port, method, stage.random.between(22.0, 60.0), stage.random.between(40.0, 130.0), 0.5)
}

fn guess(
    stage: &mut Stage<'_>,
    method: &'static str,
    inbound: bool,
    success: bool,
    address: Option<IpAddr>,
    default_credential: bool,
) -> SignIn {
    const USERS: [&str; 5] = ["root", "admin", "user", "support", "guest"];
    SignIn {
        inbound,
        success,
        method: SmolStr::new_static(method),
        user: SmolStr::new_static(stage.random.choose(&USERS)),
        address,
        default_credential,
        ..SignIn::default()
    }
}

/// `#` in the topic is a number from 1 to 8. The broker refuses some of it.
fn commands(scene: &Scene, stage: &mut Stage<'_>, topic: &str, names: &[&'static str], interval: f64, tampered: bool) {
    if tampered {
        let mut report = posture(&stage.roster.units[scene.unit], scene.start);
        report.attested = Some(false);
        report.configuration = Some(SmolStr::from(&stable_id(&["configuration", "tampered"])[..12]));
        stage.posture(scene.unit, scene.start + 20 * SECOND, report);
    }
    for time in times(scene, stage, interval, 0.3) {
        let number = 1 + stage.random.below(8);
        let message = Message {
            topic: SmolStr::from(topic.replace('#', &number.to_string())),
            payload_bytes: stage.random.between(60.0, 140.0) as u32,
            command: Some(SmolStr::new_static(stage.random.choose(names))),
            refused: stage.random.chance(0.4),
            ..Message::default()
        };
        stage.message(scene.unit, time, message);
    }
}

/// Two clients with one identity: whoever connects throws the other out. The copy presents the stolen token.
fn displace(scene: &Scene, stage: &mut Stage<'_>, elsewhere: IpAddr, interval: f64) {
    let unit = &stage.roster.units[scene.unit];
    let (own_address, id) = (unit.address(scene.start), unit.id.clone());
    let token = Some(SmolStr::from(stable_id(&["token", &id, "stolen"])));
    for (number, time) in times(scene, stage, interval, 0.3).into_iter().enumerate() {
        let by_copy = number % 2 == 0;
        let (new, old) = if by_copy { (Some(elsewhere), own_address) } else { (own_address, Some(elsewhere)) };
        let country = if by_copy { Some(*b"RO") } else { None };
        let connected = Session { address: new, country, token: token.clone(), ..Session::default() };
        stage.session_from(scene.unit, time, SessionEvent::Connected, connected);
        let reason = Some(SmolStr::new_static("taken_over"));
        let displaced = Session { address: old, reason, ..Session::default() };
        stage.session_from(scene.unit, time + SECOND / 10, SessionEvent::TakenOver, displaced);
        if by_copy {
            let message = Message {
                topic: format_smolstr!("access/office/{id}/state"),
                payload_bytes: stage.random.between(80.0, 130.0) as u32,
                ..Message::default()
            };
            stage.message_from(scene.unit, time + 2 * SECOND, elsewhere, message);
        }
    }
}
