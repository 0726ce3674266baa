//! PacketFence: opened by the number of the type, closed by the number of the instance; failures come with status 200.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct PacketFence {
    /// Instance, MAC, type, open.
    events: Vec<(u64, String, String, bool)>,
    isolated: Vec<String>,
}

impl PacketFence {
    fn open(&mut self, mac: &str, kind: &str) {
        let instance = self.events.len() as u64 + 1;
        self.events.push((instance, mac.to_owned(), kind.to_owned(), true));
        self.isolated.push(mac.to_owned());
    }
}

impl StandIn for PacketFence {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.path == "/api/v1/login" {
            let good = request.body["password"] == PASSWORD;
            let failed = || Reply::json(401, json!({"message": "Unable to login"}));
            return if good { Reply::json(200, json!({"token": "token-1"})) } else { failed() };
        }
        if request.header("authorization") != "token-1" {
            return Reply::json(401, json!({"message": "invalid token"}));
        }
        let named = request.body["security_event_id"].as_str().unwrap_or("").to_owned();
        match request.route() {
            ("GET", path) if path.len() == 5 && path[3] == "security_event" => {
                Reply::json(200, json!({"item": {}, "status": 200}))
            }
            ("POST", path) if path == ["api", "v1", "security_events", "search"] => {
                let clauses = request.body["query"]["values"].as_array().unwrap();
                let wanted =
                    |field: &str| clauses.iter().find(|clause| clause["field"] == field).unwrap()["value"].clone();
                let items: Vec<Value> = self
                    .events
                    .iter()
                    .map(|(id, mac, kind, open)| {
                        let status = if *open { "open" } else { "closed" };
                        json!({"id": id, "mac": mac, "security_event_id": kind, "status": status})
                    })
                    .filter(|item| {
                        ["mac", "security_event_id", "status"].iter().all(|field| item[*field] == wanted(field))
                    })
                    .collect();
                Reply::json(200, json!({"items": items, "status": 200}))
            }
            ("PUT", path) if path.len() == 5 && path[4] == "apply_security_event" => {
                if named != "1300900" {
                    return Reply::json(200, json!({"status": 422, "message": "no such type"}));
                }
                self.open(path[3], &named);
                Reply::json(200, json!({"status": "200"}))
            }
            ("PUT", path) if path.len() == 5 && path[4] == "close_security_event" => {
                let of_it =
                    |event: &&mut (u64, String, String, bool)| event.0.to_string() == named && event.1 == path[3];
                match self.events.iter_mut().find(of_it) {
                    None => Reply::json(200, json!({"status": 404, "message": "no such instance"})),
                    Some(event) => {
                        event.3 = false;
                        Reply::json(200, json!({"status": 200}))
                    }
                }
            }
            ("PUT", path) if path.len() == 5 && path[4] == "reevaluate_access" => {
                let mac = path[3].to_owned();
                if !self.events.iter().any(|event| event.1 == mac && event.3) {
                    self.isolated.retain(|isolated| *isolated != mac);
                }
                Reply::json(200, json!({"status": 200}))
            }
            (method, path) => panic!("{method} {path:?}"),
        }
    }
}

const MAC: &str = "aa:bb:cc:00:00:42";

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Mac, MAC)])
}

#[test]
fn packetfence_opens_by_type_and_closes_by_instance() {
    let mut rig = Rig::new("packetfence", PacketFence::default(), "", &["user", "password"]);
    rig.server.product().open("aa:bb:cc:00:00:01", "1300900");
    rig.server.product().open(MAC, "1100013");
    rig.round(&device());
    let open: Vec<u64> = rig.server.product().events.iter().filter(|event| event.3).map(|event| event.0).collect();
    assert_eq!(open, [1, 2], "another device's, and another kind of event");
    assert_eq!(rig.server.product().events.len(), 3, "applied once");
}

#[test]
fn packetfence_lets_it_in_again() {
    let mut rig = Rig::new("packetfence", PacketFence::default(), "", &["user", "password"]);
    let known = rig.applied(&device());
    assert_eq!(rig.server.product().isolated, [MAC]);
    // The event was closed by somebody else, or by us before a crash.
    rig.server.product().events[0].3 = false;
    assert_eq!(rig.found(&known), Found::Absent);
    rig.undo(&known).unwrap();
    assert_eq!(rig.server.product().isolated, Vec::<String>::new());
}

#[test]
fn packetfence_says_200_to_a_failure() {
    let mut rig = Rig::new("packetfence", PacketFence::default(), "event = \"7\"", &["user", "password"]);
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("no such type"), "{failure}");
}

#[test]
fn packetfence_that_says_nothing_is_not_believed() {
    believes_nothing(|| Rig::new("packetfence", PacketFence::default(), "", &["user", "password"]), &device());
}
