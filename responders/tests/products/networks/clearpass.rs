//! Aruba ClearPass: the attribute changes nothing until the session ends.

use std::collections::BTreeMap;

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct ClearPass {
    endpoints: BTreeMap<String, Value>,
    /// MAC to whether it sits in quarantine, as of its last sign-in.
    sessions: BTreeMap<String, bool>,
    /// PATCH replaces attributes instead of merging them.
    replaces: bool,
    disconnects: u32,
    busy: bool,
}

impl StandIn for ClearPass {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.path == "/api/oauth" {
            let good = request.body["client_secret"] == PASSWORD && request.body["grant_type"] == "client_credentials";
            let failed =
                || Reply::json(400, json!({"title": "invalid_grant", "detail": "Client authentication failed"}));
            return if good {
                Reply::json(200, json!({"access_token": "bearer-1", "expires_in": 28800}))
            } else {
                failed()
            };
        }
        if request.header("authorization") != "Bearer bearer-1" {
            return Reply::json(403, json!({"title": "Forbidden", "detail": "Forbidden"}));
        }
        let missing = || Reply::json(404, json!({"title": "Not Found", "detail": "Endpoint not found"}));
        match request.route() {
            ("GET", path) if path == ["api", "endpoint"] => Reply::json(200, json!({"_embedded": {"items": []}})),
            ("GET", path) if path.len() == 4 && path[2] == "mac-address" => match self.endpoints.get(path[3]) {
                None => missing(),
                Some(attributes) => {
                    Reply::json(200, json!({"id": 7, "mac_address": path[3], "attributes": attributes}))
                }
            },
            ("PATCH", path) if path.len() == 4 && path[2] == "mac-address" => {
                let replaces = self.replaces;
                let Some(attributes) = self.endpoints.get_mut(path[3]) else { return missing() };
                if replaces {
                    *attributes = json!({});
                }
                for (name, value) in request.body["attributes"].as_object().unwrap() {
                    attributes[name] = value.clone();
                }
                Reply::json(200, json!({"id": 7, "mac_address": path[3], "attributes": attributes}))
            }
            ("POST", path) if path.len() == 5 && path[2] == "disconnect" => {
                assert_eq!((request.asks("async"), &request.body["async"]), ("false", &json!(false)));
                if self.busy {
                    return Reply::json(503, json!({"detail": "busy"})).with("Retry-After", "3");
                }
                let Some(quarantined) = self.sessions.get_mut(path[4]) else { return missing() };
                self.disconnects += 1;
                // It signs in again at once, and the policy looks at the attribute.
                *quarantined = self.endpoints[path[4]]["Quarantine"] == "true";
                Reply::json(200, json!({"success": true}))
            }
            (method, path) => panic!("{method} {path:?}"),
        }
    }
}

const MAC: &str = "aabbcc000042";

fn clearpass() -> Rig<ClearPass> {
    let mut stand_in = ClearPass::default();
    stand_in.endpoints.insert(MAC.to_owned(), json!({"Owner": "plant 3"}));
    stand_in.sessions.insert(MAC.to_owned(), false);
    Rig::new("aruba-clearpass", stand_in, "", &["client_id", "client_secret"])
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Mac, "AA:BB:CC:00:00:42")])
}

#[test]
fn clearpass_marks_and_ends_the_session() {
    for replaces in [false, true] {
        let mut rig = clearpass();
        rig.server.product().replaces = replaces;
        rig.round(&device());
        let known = rig.applied(&device());
        assert!(rig.server.product().sessions[MAC], "without the second step it would go on as before");
        assert_eq!(rig.server.product().endpoints[MAC]["Owner"], "plant 3");
        rig.undo(&known).unwrap();
        assert!(!rig.server.product().sessions[MAC]);
        assert_eq!(rig.server.product().endpoints[MAC]["Owner"], "plant 3");
    }
}

#[test]
fn clearpass_interrupted_between_its_steps_is_finished() {
    let mut rig = clearpass();
    rig.server.product().busy = true;
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!((failure.kind, failure.retry_after.map(|wait| wait.as_secs())), (FailureKind::Busy, Some(3)));
    rig.server.product().busy = false;
    assert!(rig.apply(&device()).unwrap().already);
    assert!(rig.server.product().sessions[MAC]);
    rig.server.product().busy = true;
    rig.undo(&device()).unwrap_err();
    rig.server.product().busy = false;
    rig.undo(&device()).unwrap();
    assert!(!rig.server.product().sessions[MAC], "the mark was gone, the session was not");
}

#[test]
fn clearpass_leaves_what_somebody_else_marked() {
    let mut rig = clearpass();
    rig.server.product().endpoints.insert(MAC.to_owned(), json!({"Quarantine": "true"}));
    assert_eq!(rig.found(&device()), Found::Foreign { by: "somebody else".to_owned() });
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Conflict);
    assert_eq!(rig.undo(&device()), Ok(Undone::Foreign { by: "somebody else".to_owned() }));
    assert_eq!(rig.server.product().endpoints[MAC], json!({"Quarantine": "true"}));
    assert_eq!(rig.server.product().disconnects, 0);
}

#[test]
fn clearpass_does_not_know_every_endpoint() {
    let mut rig = clearpass();
    rig.server.product().endpoints.clear();
    assert_eq!(rig.found(&device()), Found::Absent);
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn clearpass_that_says_nothing_is_not_believed() {
    believes_nothing(clearpass, &device());
}
