//! Benign changes with a name, which must not alarm device by device: they strike a type or a site at once, or are
//! something an analyst would be asked about and wave through.

use std::net::{IpAddr, Ipv4Addr};

use super::everyday;
use super::{Action, Episode, Scene, Script};
use crate::simulate::clock::{HOUR, MINUTE, SECOND, seconds};
use crate::simulate::life::{Bend, Pause, posture};
use crate::simulate::random::Random;
use crate::simulate::records::Stage;
use crate::simulate::roster::{OFFICE, Roster, WORKS, public_address};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Fetches the new firmware and reports it after the restart.
    RollOut,
    PhoneView,
    Technician,
}

pub(super) const NEW_FIRMWARE: &str = "2.4.0";
/// When the roll-out begins, after the first judged midnight, and how long it takes.
pub(super) const ROLL_OUT_AT: i64 = 16 * HOUR;
pub(super) const ROLL_OUT_LASTS: i64 = 2 * HOUR;

/// Units whose story belongs to the changes: they join the roster before anyone's life begins.
pub(super) fn enrol(roster: &mut Roster, judged: i64) {
    roster.add_new_unit("plug", &OFFICE, judged + 10 * HOUR);
    roster.add_visitor(&OFFICE, judged + 11 * HOUR + 15 * MINUTE);
    let (Some(first), Some(second)) = (roster.pick("camera", &OFFICE, 3), roster.pick("camera", &OFFICE, 8)) else {
        return;
    };
    // The second takes over the address the first has left.
    let Some(IpAddr::V4(left)) = roster.units[first].address(judged) else { return };
    let free = Ipv4Addr::new(left.octets()[0], left.octets()[1], left.octets()[2], 240);
    roster.units[first].leases.push((judged + 13 * HOUR, free));
    roster.units[second].leases.push((judged + 13 * HOUR + 20 * MINUTE, left));
}

pub(super) fn plan(roster: &mut Roster, judged: i64, seed: u64, script: &mut Script) {
    power_cut(roster, judged, seed, script);
    heatwave(roster, judged, script);
    roll_out(roster, judged, seed, script);

    let leases: Vec<usize> = (0..roster.units.len()).filter(|index| roster.units[*index].leases.len() > 1).collect();
    for (number, unit) in leases.iter().enumerate() {
        let start = roster.units[*unit].leases[1].0;
        add_episode(script, &format!("new-lease-{}", number + 1), vec![*unit], start, start + HOUR);
    }
    let late_arrival = |unit: &usize| roster.units[*unit].listed && roster.units[*unit].born > judged;
    if let Some(unit) = (0..roster.units.len()).find(late_arrival) {
        let born = roster.units[unit].born;
        add_episode(script, "new-unit", vec![unit], born, born + 6 * HOUR);
    }
    if let Some(unit) = roster.pick("camera", &WORKS, 9) {
        let start = judged + 19 * HOUR + 5 * MINUTE;
        add_scene(script, "phone-view", unit, start, start + 25 * MINUTE, Kind::PhoneView);
    }
    if let Some(unit) = roster.pick("controller", &WORKS, 7) {
        let start = judged + 10 * HOUR + 30 * MINUTE;
        add_scene(script, "technician", unit, start, start + 40 * MINUTE, Kind::Technician);
    }
}

fn add_episode(script: &mut Script, name: &str, units: Vec<usize>, start: i64, end: i64) {
    script.episodes.push(Episode { name: name.to_owned(), units, start, end, incident: false });
}

fn add_scene(script: &mut Script, name: &str, unit: usize, start: i64, end: i64, kind: Kind) {
    script.scenes.push(Scene { unit, start, end, malicious: false, action: Action::Change(kind) });
    add_episode(script, name, vec![unit], start, end);
}

/// The whole site goes dark and comes back together.
fn power_cut(roster: &Roster, judged: i64, seed: u64, script: &mut Script) {
    let mut random = Random::named(seed, &["power-cut"]);
    let start = judged + 9 * HOUR + 10 * MINUTE;
    let end = start + 18 * MINUTE;
    let mut units = Vec::new();
    for (index, unit) in roster.units.iter().enumerate() {
        if unit.site != &OFFICE || unit.born > start {
            continue;
        }
        units.push(index);
        let back = end - seconds(random.between(0.0, 60.0));
        script.pauses.push((index, Pause { from: start, to: back, boots: true }));
    }
    add_episode(script, "power-cut", units, start, end + 5 * MINUTE);
}

/// Every thermostat measures more and reports more often, and nothing is broken.
fn heatwave(roster: &Roster, judged: i64, script: &mut Script) {
    let (start, end) = (judged + 12 * HOUR, judged + 18 * HOUR);
    let units = roster.of_type("thermostat", None);
    for unit in &units {
        let bend = Bend { from: start, to: end, volume: 1.0, rate: 2.0, value: 7.5, malicious: false };
        script.bends.push((*unit, bend));
    }
    add_episode(script, "heatwave", units, start, end);
}

/// Lamp by lamp within two hours: download, restart, new version.
fn roll_out(roster: &mut Roster, judged: i64, seed: u64, script: &mut Script) {
    let mut random = Random::named(seed, &["firmware-rollout"]);
    let start = judged + ROLL_OUT_AT;
    let units = roster.of_type("lamp", None);
    for unit in &units {
        let begins = start + seconds(random.between(0.0, 100.0 * 60.0));
        let restarts = begins + 4 * MINUTE;
        let back = restarts + seconds(random.between(40.0, 90.0));
        script.pauses.push((*unit, Pause { from: restarts, to: back, boots: true }));
        let end = back + MINUTE;
        script.scenes.push(Scene {
            unit: *unit,
            start: begins,
            end,
            malicious: false,
            action: Action::Change(Kind::RollOut),
        });
        roster.units[*unit].installed.push((restarts, NEW_FIRMWARE));
    }
    add_episode(script, "firmware-rollout", units, start, start + ROLL_OUT_LASTS);
}

pub(super) fn play(kind: Kind, scene: &Scene, stage: &mut Stage<'_>) {
    match kind {
        Kind::PhoneView => everyday::look_in(scene, stage),
        Kind::Technician => everyday::visit(scene, stage),
        Kind::RollOut => {
            let name = "firmware.lumen.example";
            let fetching = Scene { end: scene.start + 4 * MINUTE, ..*scene };
            everyday::download(&fetching, stage, public_address(&[name]), Some(name));
            let report = posture(&stage.roster.units[scene.unit], scene.end - SECOND);
            stage.posture(scene.unit, scene.end - SECOND, report);
        }
    }
}
