//! What happens to single devices on any day and means nothing: reboots, somebody looking in, a technician, another
//! server of the time pool, an update fetched alone. Kinds and rates are those scripted into the recordings of
//! `datasets/fleet.toml`: about six in ten device-days see one.

use std::net::{IpAddr, Ipv4Addr};

use fleet::reading::SignIn;
use smol_str::{SmolStr, format_smolstr};

use super::{Action, Everyday, Scene, Script};
use crate::simulate::clock::{Activity, DAY, HOUR, MINUTE, SECOND, seconds};
use crate::simulate::life::Pause;
use crate::simulate::random::Random;
use crate::simulate::records::{Shape, Stage};
use crate::simulate::roster::{Unit, public_address};
use crate::simulate::types::{Act, Target};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    TimeServer,
    Reboot,
    RemoteView,
    Technician,
    OwnUpdate,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::TimeServer, Kind::Reboot, Kind::RemoteView, Kind::Technician, Kind::OwnUpdate];

    fn name(self) -> &'static str {
        match self {
            Kind::TimeServer => "time-server",
            Kind::Reboot => "reboot",
            Kind::RemoteView => "remote-view",
            Kind::Technician => "technician",
            Kind::OwnUpdate => "own-update",
        }
    }

    /// How often it happens to such a device on one day.
    fn daily_chance(self, unit: &Unit) -> f64 {
        let keeps_time = unit
            .kind
            .habits
            .iter()
            .any(|habit| matches!(&habit.act, Act::Call(call) if call.target == Target::TimePool));
        match (self, unit.kind.name) {
            (Kind::TimeServer, _) if keeps_time => 0.5,
            (Kind::Reboot, _) => 0.08,
            (Kind::RemoteView, "camera") => 0.35,
            (Kind::Technician, "camera" | "badge_reader" | "controller" | "gateway" | "door_lock") => 0.06,
            (Kind::OwnUpdate, "camera" | "plug" | "thermostat" | "gateway") => 0.025,
            _ => 0.0,
        }
    }

    fn when(self) -> Activity {
        match self {
            Kind::TimeServer | Kind::Reboot => Activity::Even,
            Kind::RemoteView => Activity::Household,
            Kind::Technician | Kind::OwnUpdate => Activity::Office,
        }
    }

    fn lasts(self, random: &mut Random) -> i64 {
        match self {
            Kind::TimeServer => 5 * SECOND,
            Kind::Reboot => seconds(random.between(100.0, 500.0)),
            Kind::RemoteView => seconds(random.between(300.0, 1500.0)),
            Kind::Technician => seconds(random.between(240.0, 900.0)),
            Kind::OwnUpdate => 3 * MINUTE,
        }
    }
}

/// Draws what happens to this device on the day that begins at `midnight`.
pub(super) fn plan(index: usize, unit: &Unit, midnight: i64, seed: u64, script: &mut Script) {
    let mut random = Random::named(seed, &["everyday", &unit.id, &midnight.to_string()]);
    for kind in Kind::ALL {
        if !random.chance(kind.daily_chance(unit)) {
            continue;
        }
        let start = loop {
            let time = midnight + (random.unit() * DAY as f64) as i64;
            if random.chance((kind.when().at(time) / Activity::PEAK).max(0.02)) {
                break time;
            }
        };
        let end = start + kind.lasts(&mut random);
        if start < unit.born + HOUR || end >= midnight + DAY || script.is_busy(index, start, end) {
            continue;
        }
        if kind == Kind::Reboot {
            script.pauses.push((index, Pause { from: start, to: end, boots: true }));
        } else {
            script.scenes.push(Scene { unit: index, start, end, malicious: false, action: Action::Everyday(kind) });
        }
        script.everyday.push(Everyday { kind: kind.name(), unit: index, start, end });
    }
}

pub(super) fn play(kind: Kind, scene: &Scene, stage: &mut Stage<'_>) {
    match kind {
        Kind::TimeServer => {
            let server = public_address(&["time", &(8 + stage.random.below(500)).to_string()]);
            let shape = Shape::udp(123, "ntp", 48.0, 48.0, 0.04).in_country(b"DE");
            stage.flow(scene.unit, scene.start, server, shape);
        }
        Kind::Reboot => {}
        Kind::RemoteView => look_in(scene, stage),
        Kind::Technician => visit(scene, stage),
        Kind::OwnUpdate => {
            let host = Ipv4Addr::new(203, 0, 113, 100 + stage.random.below(100) as u8).into();
            download(scene, stage, host, None);
        }
    }
}

/// A phone in a mobile network watches: the camera streams to it over UDP, minute after minute.
pub(super) fn look_in(scene: &Scene, stage: &mut Stage<'_>) {
    let phone: IpAddr = Ipv4Addr::new(
        80 + stage.random.below(12) as u8,
        stage.random.below(250) as u8,
        stage.random.below(250) as u8,
        1 + stage.random.below(250) as u8,
    )
    .into();
    let mut time = scene.start + 59 * SECOND;
    while time < scene.end {
        let bytes = stage.random.between(260e3, 900e3);
        let port = 10_000 + stage.random.below(50_000) as u16;
        let shape = Shape::udp(port, "", bytes, bytes / 40.0, 59.0).in_country(b"DE");
        stage.flow(scene.unit, time, phone, shape);
        time += MINUTE;
    }
}

/// A technician's laptop opens the device's web pages, after signing in once.
pub(super) fn visit(scene: &Scene, stage: &mut Stage<'_>) {
    let number = stage.random.below(5);
    let site = stage.roster.units[scene.unit].site;
    let laptop = site.server(20 + number as u8);
    let sign_in = SignIn {
        inbound: true,
        success: true,
        method: SmolStr::new_static("http"),
        user: format_smolstr!("tech-{:02}", number + 1),
        address: Some(laptop),
        ..SignIn::default()
    };
    stage.sign_in(scene.unit, scene.start, sign_in);
    let mut time = scene.start + SECOND;
    while time < scene.end {
        let shape = Shape::tcp(
            80,
            "http",
            stage.random.between(330.0, 800.0),
            stage.random.between(2e3, 37e3),
            stage.random.between(0.4, 3.5),
        );
        stage.flow_to(scene.unit, time, laptop, shape);
        time += seconds(stage.random.exponential(18.0).max(0.3));
    }
}

/// Some megabytes from one host, and no more of it: how an update looks from outside.
pub(super) fn download(scene: &Scene, stage: &mut Stage<'_>, host: IpAddr, name: Option<&str>) {
    let mut time = scene.start + 50 * SECOND;
    while time < scene.end {
        let shape = Shape::tcp(443, "ssl", 900.0, stage.random.between(1.5e6, 4e6), 50.0).in_country(b"IE");
        let shape = match name {
            Some(name) => shape.named(name),
            None => shape,
        };
        stage.flow(scene.unit, time, host, shape);
        time += MINUTE;
    }
}
