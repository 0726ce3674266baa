//! OPNsense: says 200 to everything, and lets states live.

use std::collections::{BTreeMap, BTreeSet};

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, basic, believes_nothing, order, text};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct Opnsense {
    aliases: BTreeMap<String, BTreeSet<String>>,
    states: Vec<String>,
    /// Addresses that stay, though deleting them says `done`.
    sticky: BTreeSet<String>,
    kill_fails: bool,
}

impl StandIn for Opnsense {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != basic(PASSWORD, PASSWORD) {
            return Reply::json(401, json!({"status": 401, "message": "Authentication Failed"}));
        }
        let address = text(&request.body, "address").to_owned();
        match request.route() {
            ("GET", path) if path.len() == 5 && path[3] == "list" => {
                let rows = self.aliases.get(path[4]).into_iter().flatten();
                let rows: Vec<Value> = rows.map(|ip| json!({"ip": ip})).collect();
                Reply::json(200, json!({"total": rows.len(), "rowCount": rows.len(), "current": 1, "rows": rows}))
            }
            ("POST", path) if path.len() == 5 && path[3] == "add" => match self.aliases.get_mut(path[4]) {
                None => Reply::json(200, json!({"status": "failed", "status_msg": "nonexistent alias"})),
                Some(_) if address.parse::<std::net::IpAddr>().is_err() => {
                    Reply::json(200, json!({"status": "not_an_address"}))
                }
                Some(alias) => {
                    alias.insert(address);
                    Reply::json(200, json!({"status": "done"}))
                }
            },
            ("POST", path) if path.len() == 5 && path[3] == "delete" => {
                if let Some(alias) = self.aliases.get_mut(path[4])
                    && !self.sticky.contains(&address)
                {
                    alias.remove(&address);
                }
                Reply::json(200, json!({"status": "done"}))
            }
            ("POST", path) if path == ["api", "diagnostics", "firewall", "kill_states"] => {
                if self.kill_fails {
                    return Reply::json(200, json!({"result": "failed"}));
                }
                let before = self.states.len();
                self.states.retain(|state| state != text(&request.body, "filter"));
                Reply::json(200, json!({"result": "ok", "dropped_states": before - self.states.len()}))
            }
            _ => Reply::json(404, json!({"errorMessage": "Endpoint not found"})),
        }
    }
}

fn opnsense(alias: &str) -> Rig<Opnsense> {
    let mut stand_in = Opnsense::default();
    stand_in.aliases.insert("vedette_quarantine".to_owned(), BTreeSet::from(["10.0.0.7".to_owned()]));
    stand_in.states = vec!["10.0.0.42".to_owned(), "10.0.0.8".to_owned()];
    Rig::new("opnsense", stand_in, &format!("alias = \"{alias}\""), &["key", "password"])
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Ip, "10.0.0.42")])
}

#[test]
fn opnsense_adds_and_cuts_states() {
    let mut rig = opnsense("vedette_quarantine");
    let known = rig.applied(&device());
    assert_eq!(rig.server.product().states, ["10.0.0.8"], "states live on until they are cut");
    assert_eq!(rig.found(&known), Found::InForce);
    rig.undo(&known).unwrap();
    rig.round(&device());
    assert_eq!(rig.server.product().aliases["vedette_quarantine"], BTreeSet::from(["10.0.0.7".to_owned()]));
    assert!(rig.server.asked().iter().all(|asked| !asked.contains("flush")));
}

#[test]
fn opnsense_says_200_to_an_alias_that_is_not_there() {
    let mut rig = opnsense("misspelt");
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("nonexistent alias"), "{failure}");
}

#[test]
fn opnsense_says_200_to_states_that_were_not_cut() {
    let mut rig = opnsense("vedette_quarantine");
    rig.server.product().kill_fails = true;
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Refused);
    rig.server.product().kill_fails = false;
    // Repeated: the address is in the alias by now, and its states still have to go.
    assert!(rig.apply(&device()).unwrap().already);
    assert_eq!(rig.server.product().states, ["10.0.0.8"]);
}

#[test]
fn opnsense_says_done_to_what_it_did_not_delete() {
    let mut rig = opnsense("vedette_quarantine");
    let known = rig.applied(&device());
    rig.server.product().sticky.insert("10.0.0.42".to_owned());
    let failure = rig.undo(&known).unwrap_err();
    assert!(failure.message.starts_with("see that it is gone"), "{failure}");
    assert_eq!(rig.found(&known), Found::InForce);
}

#[test]
fn opnsense_that_says_nothing_is_not_believed() {
    believes_nothing(|| opnsense("vedette_quarantine"), &device());
}
