//! The benign life of one device: its habits become records, hour by hour, bent by what the script says of it.

use std::net::{IpAddr, Ipv4Addr};

use fleet::id::stable_id;
use fleet::reading::{Message, Outcome, Posture, Protocol, Session, SessionEvent, SignIn};
use smol_str::{SmolStr, format_smolstr};

use super::clock::{Activity, DAY, HOUR, MINUTE, SECOND, START, seconds};
use super::random::Random;
use super::records::{Sent, Shape, Stage};
use super::roster::{Roster, Unit, public_address};
use super::types::{Act, Call, Habit, Measure, Rhythm, Size, Target};

/// The device is off, or heard no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub from: i64,
    pub to: i64,
    /// It starts anew afterwards: looks names up, sets its clock, connects.
    pub boots: bool,
}

/// For a while the device does more, bigger or other things than usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bend {
    pub from: i64,
    pub to: i64,
    /// Factor on what it sends.
    pub volume: f64,
    /// Factor on how often it reports.
    pub rate: f64,
    /// Added to its values, rising and falling over an hour.
    pub value: f64,
    pub malicious: bool,
}

pub(super) struct Life {
    unit: usize,
    random: Random,
    habits: Vec<HabitState>,
    /// Each device is a bit bigger or smaller than its type.
    gain: f64,
    offset: f64,
    sessions: u32,
    pub pauses: Vec<Pause>,
    pub bends: Vec<Bend>,
    /// Pauses whose boot has been played.
    booted: usize,
}

struct HabitState {
    habit: &'static Habit,
    next: i64,
    topic: SmolStr,
    answer: SmolStr,
    /// Where its calls go until when.
    host: IpAddr,
    host_name: Option<SmolStr>,
    host_until: i64,
}

impl Life {
    /// `traffic` multiplies how often everything happens.
    pub fn new(unit: usize, roster: &Roster, seed: u64, traffic: f64) -> Life {
        let member = &roster.units[unit];
        let mut random = Random::named(seed, &["life", &member.id]);
        let mut habits = Vec::new();
        for habit in member.kind.habits {
            let (topic, answer) = match &habit.act {
                Act::Report { topic, .. } | Act::Command { topic, .. } => (*topic, ""),
                Act::Receive { topic, answer, .. } => (*topic, *answer),
                Act::Call(_) | Act::SignIn { .. } | Act::Posture | Act::Reconnect => ("", ""),
            };
            let first = match habit.rhythm {
                Rhythm::Every { seconds: interval, .. } => random.unit() * interval / traffic,
                Rhythm::PerDay { count, .. } => random.exponential(86_400.0 / (count * Activity::PEAK * traffic)),
            };
            habits.push(HabitState {
                habit,
                next: member.born + seconds(first),
                topic: fill(topic, member),
                answer: fill(answer, member),
                host: Ipv4Addr::UNSPECIFIED.into(),
                host_name: None,
                host_until: i64::MIN,
            });
        }
        let (gain, offset) = (random.log_normal(1.0, 0.12), random.normal());
        Life { unit, random, habits, gain, offset, sessions: 0, pauses: Vec::new(), bends: Vec::new(), booted: 0 }
    }

    /// Plays up to `until`; `pauses` must be in order of time.
    pub fn live(&mut self, roster: &Roster, until: i64, traffic: f64, out: &mut Vec<Sent>) {
        self.boot(roster, until, out);
        let Life { unit, random, habits, gain, offset, sessions, pauses, bends, .. } = self;
        for state in habits {
            while state.next < until {
                let now = state.next;
                if let Some(pause) = pauses.iter().find(|pause| (pause.from..pause.to).contains(&now)) {
                    state.next = after_pause(state.habit, pause, now, random);
                    continue;
                }
                let bend = bends.iter().find(|bend| (bend.from..bend.to).contains(&now));
                let rate = match (bend, &state.habit.act) {
                    (Some(bend), Act::Report { .. }) => bend.rate,
                    _ => 1.0,
                };
                state.next = now + wait(&state.habit.rhythm, rate * traffic, random);
                if !happens(&state.habit.rhythm, now, random) {
                    continue;
                }
                let mut moment = Moment {
                    unit: *unit,
                    now,
                    gain: *gain,
                    offset: *offset,
                    bend,
                    stage: Stage { roster, random, out, malicious: false },
                };
                moment.act(state, sessions);
            }
        }
    }

    fn boot(&mut self, roster: &Roster, until: i64, out: &mut Vec<Sent>) {
        while let Some(pause) = self.pauses.get(self.booted).filter(|pause| pause.to < until) {
            self.booted += 1;
            if pause.boots && roster.units[self.unit].uses_broker() {
                let now = pause.to + seconds(self.random.between(3.0, 30.0));
                let mut stage = Stage { roster, random: &mut self.random, out, malicious: false };
                connect(&mut stage, self.unit, now, &mut self.sessions);
            }
        }
    }
}

/// One habit acting at one instant.
struct Moment<'a> {
    unit: usize,
    now: i64,
    gain: f64,
    offset: f64,
    bend: Option<&'a Bend>,
    stage: Stage<'a>,
}

impl Moment<'_> {
    fn act(&mut self, state: &mut HabitState, sessions: &mut u32) {
        self.stage.malicious = self.bend.is_some_and(|bend| bend.malicious)
            && matches!(state.habit.act, Act::Report { .. } | Act::Call(_));
        match &state.habit.act {
            Act::Report { payload, value, .. } => self.report(&state.topic, *payload, value.as_ref()),
            Act::Command { names, payload, .. } => self.command(&state.topic, names, *payload),
            Act::Receive { names, payload, .. } => self.receive(&state.topic, &state.answer, names, *payload),
            Act::Call(call) => self.call(state, call),
            Act::SignIn { method, users, failure_share } => self.sign_in(method, *users, *failure_share),
            Act::Posture => {
                let posture = posture(&self.stage.roster.units[self.unit], self.now);
                self.stage.posture(self.unit, self.now, posture);
            }
            Act::Reconnect => {
                let session = Session { reason: Some(SmolStr::new_static("keepalive_timeout")), ..Session::default() };
                self.stage.session(self.unit, self.now, SessionEvent::Disconnected, session);
                let back = self.now + seconds(self.stage.random.between(2.0, 9.0));
                connect(&mut self.stage, self.unit, back, sessions);
            }
        }
    }

    fn draw(&mut self, size: Size, factor: f64) -> f64 {
        self.stage.random.log_normal(size.median, size.sigma) * factor
    }

    fn volume(&self) -> f64 {
        self.bend.map_or(1.0, |bend| bend.volume)
    }

    fn report(&mut self, topic: &SmolStr, payload: Size, value: Option<&Measure>) {
        let volume = self.volume();
        let message = Message {
            topic: topic.clone(),
            payload_bytes: self.draw(payload, volume) as u32,
            value: value.map(|measure| self.measure(measure)),
            ..Message::default()
        };
        self.stage.message(self.unit, self.now, message);
    }

    fn measure(&mut self, measure: &Measure) -> f64 {
        let mut value = measure.base + measure.swing * measure.activity.at(self.now) / 2.0;
        value += measure.spread * self.offset + measure.noise * self.stage.random.normal();
        if let Some(bend) = self.bend {
            let edge = (self.now - bend.from).min(bend.to - self.now);
            value += bend.value * (edge as f64 / HOUR as f64).min(1.0);
        }
        (value * 100.0).round() / 100.0
    }

    fn command(&mut self, topic: &SmolStr, names: &[&'static str], payload: Size) {
        let message = Message {
            topic: topic.clone(),
            payload_bytes: self.draw(payload, 1.0) as u32,
            command: Some(SmolStr::new_static(self.stage.random.choose(names))),
            ..Message::default()
        };
        self.stage.message(self.unit, self.now, message);
    }

    fn receive(&mut self, topic: &SmolStr, answer: &SmolStr, names: &[&'static str], payload: Size) {
        let command = Message {
            inbound: true,
            topic: topic.clone(),
            payload_bytes: self.draw(payload, 1.0) as u32,
            command: Some(SmolStr::new_static(self.stage.random.choose(names))),
            ..Message::default()
        };
        self.stage.message(self.unit, self.now, command);
        let state =
            Message { topic: answer.clone(), payload_bytes: self.draw(payload, 1.1) as u32, ..Message::default() };
        let answered = self.now + seconds(self.stage.random.between(0.1, 1.5));
        self.stage.message(self.unit, answered, state);
    }

    /// People mistype; then they try again.
    fn sign_in(&mut self, method: &'static str, users: usize, failure_share: f64) {
        let user = format_smolstr!("u-{:04}", self.stage.random.below(users));
        let mut time = self.now;
        loop {
            let success = !self.stage.random.chance(failure_share);
            let sign_in = SignIn {
                inbound: true,
                success,
                method: SmolStr::new_static(method),
                user: user.clone(),
                ..SignIn::default()
            };
            self.stage.sign_in(self.unit, time, sign_in);
            if success || self.stage.random.chance(0.3) {
                return;
            }
            time += seconds(self.stage.random.between(2.0, 8.0));
        }
    }

    fn call(&mut self, state: &mut HabitState, call: &Call) {
        let shape = self.shape(call);
        if let Target::Device(type_name) = call.target {
            let partners = &self.stage.roster.units[self.unit].partners;
            if let Some((_, partner)) = partners.iter().find(|(name, _)| *name == type_name) {
                let answers = self.stage.roster.units[*partner].answers(self.now);
                let shape = if answers { shape } else { shape.ending(Outcome::Unanswered) };
                self.stage.flow_between(self.unit, *partner, self.now, shape);
            }
            return;
        }
        if state.host_until <= self.now {
            self.resolve(state, call.target);
        }
        let country = match call.target {
            Target::Name(_) => Some(*b"IE"),
            Target::Cloud(_) => Some(*b"SG"),
            Target::TimePool => Some(*b"DE"),
            Target::Server(_) | Target::Group(_) | Target::Device(_) => None,
        };
        let shape = Shape { server_name: state.host_name.clone(), country, ..shape };
        self.stage.flow(self.unit, self.now, state.host, shape);
    }

    fn shape(&mut self, call: &Call) -> Shape {
        let busy = 1.0 - call.follows + call.follows * call.activity.at(self.now);
        let factor = self.gain * busy * self.volume();
        // A time request or a multicast is as long as it is.
        let factor = if call.out.sigma == 0.0 { 1.0 } else { factor };
        let shape = Shape {
            port: call.port,
            protocol: if call.tcp { Protocol::Tcp } else { Protocol::Udp },
            service: call.service,
            server_name: None,
            country: None,
            seconds: call.seconds * self.stage.random.between(0.9, 1.0),
            out: self.draw(call.out, factor),
            back: self.draw(call.back, factor.min(3.0)),
            outcome: Outcome::Established,
        };
        let luck = self.stage.random.unit();
        if matches!(call.target, Target::Group(_)) {
            Shape { outcome: Outcome::Unanswered, ..shape }
        } else if luck < 0.003 {
            shape.ending(Outcome::Unanswered)
        } else if luck < 0.004 {
            shape.ending(Outcome::Refused)
        } else {
            shape
        }
    }

    /// Names are looked up again, and clouds hand out another address, every few hours.
    fn resolve(&mut self, state: &mut HabitState, target: Target) {
        let unit = &self.stage.roster.units[self.unit];
        let random = &mut *self.stage.random;
        let mut kept = random.between(3.0, 11.0);
        state.host_name = None;
        state.host = match target {
            Target::Name(pattern) => {
                let name = SmolStr::from(pattern.replace('#', ["1", "2", "3"][random.below(3)]));
                let address = public_address(&[&name, ["a", "b", "c", "d"][random.below(4)]]);
                state.host_name = Some(name);
                address
            }
            Target::Cloud(networks) => {
                // 48 addresses at a time, of which six are replaced each day.
                let day = (self.now - START.0).div_euclid(DAY);
                let number = (day * 6) as usize + random.below(48);
                let [first, second] = networks[number % 2];
                let low = fleet::id::stable_hash(&["cloud", &number.to_string()]).to_be_bytes();
                Ipv4Addr::new(first, second, low[0] % 250, 1 + low[1] % 250).into()
            }
            Target::TimePool => {
                kept = f64::INFINITY;
                public_address(&["time", &random.below(8).to_string()])
            }
            Target::Server(last) => unit.site.server(last),
            Target::Group([a, b, c, d]) => Ipv4Addr::new(a, b, c, d).into(),
            Target::Device(_) => state.host,
        };
        state.host_until = if kept.is_finite() { self.now + (kept * HOUR as f64) as i64 } else { i64::MAX };
    }
}

/// A broker session begins: the device signs in and gets a new token.
fn connect(stage: &mut Stage<'_>, unit: usize, time: i64, sessions: &mut u32) {
    *sessions += 1;
    let member = &stage.roster.units[unit];
    let sign_in = SignIn {
        success: true,
        method: SmolStr::new_static("mqtt"),
        user: member.id.clone(),
        address: Some(member.site.server(super::types::BROKER)),
        ..SignIn::default()
    };
    let session = Session {
        address: member.address(time),
        token: Some(SmolStr::from(stable_id(&["token", &member.id, &sessions.to_string()]))),
        ..Session::default()
    };
    stage.sign_in(unit, time, sign_in);
    stage.session(unit, time + SECOND / 5, SessionEvent::Connected, session);
}

/// What the device reports about itself when it is well.
pub(super) fn posture(unit: &Unit, time: i64) -> Posture {
    let mut listening_ports = unit.kind.listens.to_vec();
    if unit.neglected {
        listening_ports.push(23);
    }
    Posture {
        firmware: Some(SmolStr::new_static(unit.firmware(time))),
        attested: Some(true),
        configuration: Some(SmolStr::from(&stable_id(&["configuration", unit.kind.name])[..12])),
        listening_ports,
        default_credential: unit.neglected,
        credential: Some(SmolStr::from(&stable_id(&["credential", &unit.id])[..12])),
        site: Some(SmolStr::new_static(unit.site.name)),
        country: Some(*b"DE"),
    }
}

fn fill(template: &str, unit: &Unit) -> SmolStr {
    SmolStr::from(template.replace("{id}", &unit.id).replace("{site}", unit.site.name))
}

fn wait(rhythm: &Rhythm, rate: f64, random: &mut Random) -> i64 {
    let waited = match rhythm {
        Rhythm::Every { seconds: interval, jitter } => interval * (1.0 + jitter * random.normal()).max(0.05) / rate,
        Rhythm::PerDay { count, .. } => random.exponential(86_400.0 / (count * Activity::PEAK * rate)),
    };
    seconds(waited).max(SECOND / 10)
}

/// Thins the events of busy hours' rate to those of this hour.
fn happens(rhythm: &Rhythm, now: i64, random: &mut Random) -> bool {
    match rhythm {
        Rhythm::Every { .. } => true,
        Rhythm::PerDay { activity, .. } => random.chance(activity.at(now) / Activity::PEAK),
    }
}

fn after_pause(habit: &Habit, pause: &Pause, now: i64, random: &mut Random) -> i64 {
    match habit.rhythm {
        Rhythm::Every { seconds: interval, .. } if interval > 3600.0 && now + HOUR > pause.to => pause.to + 10 * MINUTE,
        Rhythm::Every { .. } if pause.boots => pause.to + seconds(random.between(2.0, 40.0)),
        Rhythm::Every { seconds: interval, .. } => pause.to + seconds(random.unit() * interval),
        Rhythm::PerDay { .. } => pause.to + seconds(random.between(1.0, 900.0)),
    }
}
