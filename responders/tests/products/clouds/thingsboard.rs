//! ThingsBoard: whole devices are written back, with the version that was read.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, another, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

struct ThingsBoard {
    device: Value,
    meanwhile: bool,
    /// Answers 200 and leaves the profile.
    ignores: bool,
}

impl StandIn for ThingsBoard {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.path == "/api/auth/login" {
            let good = request.body["password"] == PASSWORD;
            let failed = || Reply::json(401, json!({"status": 401, "message": "Invalid username or password"}));
            return if good { Reply::json(200, json!({"token": "jwt-1", "refreshToken": "r"})) } else { failed() };
        }
        if request.header("x-authorization") != "Bearer jwt-1" {
            return Reply::json(401, json!({"message": "Token has expired"}));
        }
        match request.route() {
            ("GET", path) if path.len() == 3 && path[1] == "deviceProfile" => Reply::json(200, json!({"name": "q"})),
            ("GET", path) if path == ["api", "tenant", "devices"] => {
                if request.asks("deviceName") != self.device["name"] {
                    return Reply::json(404, json!({"message": "Requested item wasn't found!", "errorCode": 32}));
                }
                let shown = self.device.clone();
                if std::mem::take(&mut self.meanwhile) {
                    self.device["version"] = json!(self.device["version"].as_u64().unwrap() + 1);
                }
                Reply::json(200, shown)
            }
            ("POST", path) if path == ["api", "device"] => {
                if request.body["version"] != self.device["version"] {
                    return Reply::json(409, json!({"message": "Device was already changed by someone else!"}));
                }
                if self.ignores {
                    return Reply::json(200, self.device.clone());
                }
                self.device = request.body.clone();
                self.device["version"] = json!(self.device["version"].as_u64().unwrap() + 1);
                Reply::json(200, self.device.clone())
            }
            (method, path) => panic!("{method} {path:?}"),
        }
    }
}

fn thingsboard() -> Rig<ThingsBoard> {
    let device = json!({"id": {"entityType": "DEVICE", "id": "d1"}, "name": "pump 7/a", "label": "hall", "version": 3,
        "deviceProfileId": {"entityType": "DEVICE_PROFILE", "id": "pumps"}, "additionalInfo": null});
    let stand_in = ThingsBoard { device, meanwhile: false, ignores: false };
    Rig::new("thingsboard", stand_in, "profile = \"quarantine\"", &["user", "password"])
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Thing, "pump 7/a")])
}

#[test]
fn thingsboard_moves_to_the_profile_and_back() {
    let mut rig = thingsboard();
    let known = rig.round(&device());
    assert_eq!(known.receipt, Some(json!({"profile": "pumps"})));
    let after = rig.server.product().device.clone();
    assert_eq!((&after["deviceProfileId"]["id"], &after["label"]), (&json!("pumps"), &json!("hall")));
}

#[test]
fn thingsboard_moves_back_without_its_receipt() {
    let mut rig = thingsboard();
    rig.apply(&device()).unwrap();
    assert_eq!(rig.found(&device()), Found::InForce);
    assert_eq!(rig.undo(&device()), Ok(Undone::Done), "which profile it had is kept on the device");
    assert_eq!(rig.server.product().device["deviceProfileId"]["id"], "pumps");
}

#[test]
fn thingsboard_leaves_whom_somebody_else_moved() {
    let mut rig = thingsboard();
    rig.server.product().device["deviceProfileId"]["id"] = json!("quarantine");
    assert_eq!(rig.found(&device()), Found::Foreign { by: "somebody else".to_owned() });
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Conflict);
    assert_eq!(rig.undo(&device()), Ok(Undone::Foreign { by: "somebody else".to_owned() }));

    let mut rig = thingsboard();
    let known = rig.applied(&device());
    assert_eq!(rig.undo(&another(&known)), Ok(Undone::Foreign { by: "vedette:act-1".to_owned() }));
}

#[test]
fn thingsboard_changed_meanwhile_is_a_conflict() {
    let mut rig = thingsboard();
    rig.server.product().meanwhile = true;
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Conflict);
    rig.apply(&device()).unwrap();
}

#[test]
fn thingsboard_that_did_not_move_it_is_noticed() {
    let mut rig = thingsboard();
    rig.server.product().ignores = true;
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn thingsboard_that_says_nothing_is_not_believed() {
    believes_nothing(thingsboard, &device());
}
