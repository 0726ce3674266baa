//! pfSense: changes are pending until they are applied, which takes its time; the last address stays.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

struct Pfsense {
    aliases: Vec<(String, Vec<String>)>,
    /// Source and destination.
    states: Vec<(String, String)>,
    /// Questions that are answered with pending still.
    pending: u32,
    never_applied: bool,
    /// Somebody deletes the first alias before this change arrives: all numbers shift.
    shift: bool,
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn done(data: Value) -> Reply {
    Reply::json(200, json!({"code": 200, "status": "ok", "message": "", "data": data}))
}

impl Pfsense {
    fn shown(&self, at: usize) -> Value {
        json!({"id": at, "name": self.aliases[at].0, "type": "host", "address": self.aliases[at].1})
    }

    fn change(&mut self, body: &Value) -> Reply {
        if std::mem::take(&mut self.shift) {
            self.aliases.remove(0);
        }
        let at = usize::try_from(body["id"].as_u64().unwrap()).unwrap();
        if at >= self.aliases.len() {
            return Reply::json(404, json!({"code": 404, "message": "Object with ID does not exist."}));
        }
        let name = body["name"].as_str().unwrap();
        if self.aliases.iter().enumerate().any(|(other, alias)| other != at && alias.0 == name) {
            return Reply::json(400, json!({"code": 400, "message": "Field `name` must be unique."}));
        }
        let given = strings(&body["address"]);
        let alias = &mut self.aliases[at];
        alias.0 = name.to_owned();
        if body["append"] == true {
            alias.1.extend(given);
        } else if body["remove"] == true {
            // Values that equal the whole list: nothing happens, and nothing is said.
            if given != alias.1 {
                alias.1.retain(|address| !given.contains(address));
            }
        } else {
            alias.1 = given;
        }
        self.pending = if body["apply"] == true { 6 } else { u32::MAX };
        done(self.shown(at))
    }
}

impl StandIn for Pfsense {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("x-api-key") != PASSWORD {
            return Reply::json(401, json!({"code": 401, "message": "Authentication failed."}));
        }
        match request.route() {
            ("GET", path) if path == ["api", "v2", "firewall", "aliases"] => {
                done((0..self.aliases.len()).map(|at| self.shown(at)).collect())
            }
            ("PATCH", path) if path == ["api", "v2", "firewall", "alias"] => self.change(&request.body),
            ("GET", path) if path == ["api", "v2", "firewall", "apply"] => {
                self.pending = self.pending.saturating_sub(1);
                let applied = self.pending == 0 && !self.never_applied;
                done(json!({"applied": applied, "pending_subsystems": if applied { vec![] } else { vec!["aliases"] }}))
            }
            ("POST", path) if path == ["api", "v2", "firewall", "apply"] => {
                (self.pending, self.never_applied) = (1, false);
                done(json!({"applied": false}))
            }
            ("DELETE", path) if path == ["api", "v2", "firewall", "states"] => {
                let (source, destination) =
                    (request.asks("source__startswith"), request.asks("destination__startswith"));
                assert!(source.ends_with([':', '[']) || destination.ends_with([':', '[']));
                self.states.retain(|(from, to)| !from.starts_with(source) || !to.starts_with(destination));
                done(json!([]))
            }
            _ => Reply::empty(404),
        }
    }
}

fn pfsense(addresses: &[&str]) -> Rig<Pfsense> {
    let ours = addresses.iter().map(|address| (*address).to_owned()).collect();
    let stand_in = Pfsense {
        aliases: vec![
            ("office".to_owned(), vec!["10.1.0.0/16".to_owned()]),
            ("vedette_quarantine".to_owned(), ours),
            ("printers".to_owned(), vec!["10.2.0.9".to_owned()]),
        ],
        states: [
            ("10.0.0.4:4000", "192.0.2.9:443"),
            ("10.1.0.7:5000", "10.0.0.4:80"),
            ("10.0.0.42:4000", "192.0.2.9:443"),
            ("10.1.0.7:5000", "10.0.0.42:80"),
        ]
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .into(),
        pending: 0,
        never_applied: false,
        shift: false,
    };
    Rig::new("pfsense", stand_in, "", &["key"])
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Ip, "10.0.0.4")])
}

#[test]
fn pfsense_waits_until_it_is_applied_and_cuts_states() {
    let mut rig = pfsense(&["192.0.2.255"]);
    rig.round(&device());
    let states = rig.server.product().states.clone();
    let states: Vec<(&str, &str)> = states.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let neighbours = [("10.0.0.42:4000", "192.0.2.9:443"), ("10.1.0.7:5000", "10.0.0.42:80")];
    assert_eq!(states, neighbours, "the longer address is another device");
    assert_eq!(rig.server.product().aliases[1].1, ["192.0.2.255"]);
}

#[test]
fn pfsense_without_permanent_is_refused_before_anything_is_set() {
    // Its only address could never be taken out again.
    let mut rig = pfsense(&[]);
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Refused);
    assert_eq!(rig.server.product().aliases[1].1, Vec::<String>::new());
}

#[test]
fn pfsense_that_takes_nothing_out_is_noticed() {
    let mut rig = pfsense(&["192.0.2.255"]);
    let known = rig.applied(&device());
    rig.server.product().aliases[1].1 = vec!["10.0.0.4".to_owned()];
    assert!(rig.undo(&known).is_err());
    assert_eq!(rig.server.product().aliases[1].1, ["10.0.0.4"]);
}

#[test]
fn pfsense_never_changes_another_alias() {
    let mut rig = pfsense(&["192.0.2.255"]);
    rig.server.product().shift = true;
    let failure = rig.apply(&device()).unwrap_err();
    assert!(failure.message.contains("must be unique"), "{failure}");
    assert_eq!(rig.server.product().aliases[1].1, ["10.2.0.9"]);
    rig.round(&device());
}

#[test]
fn pfsense_with_a_change_that_is_pending_is_not_in_force() {
    let mut rig = pfsense(&["192.0.2.255"]);
    rig.server.product().aliases[1].1.push("10.0.0.4".to_owned());
    rig.server.product().never_applied = true;
    assert_eq!(rig.found(&device()), Found::Partly);
    let known = rig.applied(&device());
    assert_eq!(rig.found(&known), Found::InForce);
    assert_eq!(rig.server.product().aliases[1].1, ["192.0.2.255", "10.0.0.4"], "it is not in there twice");
}

#[test]
fn pfsense_that_never_gets_done_is_given_up() {
    let mut rig = pfsense(&["192.0.2.255"]);
    rig.server.product().never_applied = true;
    rig.server.product().aliases[1].1.push("10.0.0.4".to_owned());
    let known = Order { receipt: None, ..device() };
    let failure = rig.undo(&known).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Busy);
    assert!(failure.message.contains("wait until it is applied: it has not finished"), "{failure}");
}

#[test]
fn pfsense_that_says_nothing_is_not_believed() {
    believes_nothing(|| pfsense(&["192.0.2.255"]), &device());
}
