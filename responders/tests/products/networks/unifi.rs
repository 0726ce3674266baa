//! UniFi: two ways to sign in, failures in the body, and notes that say who blocked.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, another, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

struct UniFi {
    os: bool,
    users: Vec<Value>,
    logins: u32,
    /// What is signed in by now.
    token: u32,
    fails: bool,
}

const MAC: &str = "aa:bb:cc:00:00:42";

fn ok(data: Value) -> Reply {
    Reply::json(200, json!({"meta": {"rc": "ok"}, "data": data}))
}

fn error(status: u16, what: &str) -> Reply {
    Reply::json(status, json!({"meta": {"rc": "error", "msg": what}, "data": []}))
}

impl UniFi {
    fn user(&mut self, name: &str, value: &str) -> Option<&mut Value> {
        self.users.iter_mut().find(|user| user[name] == value)
    }
}

impl StandIn for UniFi {
    fn answer(&mut self, request: &Request) -> Reply {
        let (login, prefix) = if self.os { ("/api/auth/login", "/proxy/network") } else { ("/api/login", "") };
        if request.path == login {
            self.logins += 1;
            if request.body["password"] != PASSWORD {
                return error(400, "api.err.Invalid");
            }
            let token = format!("token-{}", self.token);
            return match self.os {
                true => Reply::json(200, json!({}))
                    .with("Set-Cookie", format!("TOKEN={token}; path=/; secure"))
                    .with("X-CSRF-Token", "csrf-1"),
                false => ok(json!([]))
                    .with("Set-Cookie", format!("unifises={token}; Path=/"))
                    .with("Set-Cookie", "csrf_token=csrf-1; Path=/"),
            };
        }
        let cookie = format!("{}=token-{}", if self.os { "TOKEN" } else { "unifises" }, self.token);
        if request.header("cookie") != cookie || request.header("x-csrf-token") != "csrf-1" {
            return error(401, "api.err.LoginRequired");
        }
        let Some(path) = request.path.strip_prefix(&format!("{prefix}/api/s/default/")) else {
            return Reply::empty(404);
        };
        if request.method == "POST" && self.fails {
            return error(200, "api.err.NoPermission");
        }
        if let Some(mac) = path.strip_prefix("stat/user/") {
            let mac = mac.to_owned();
            return self.user("mac", &mac).map_or_else(|| error(400, "api.err.UnknownUser"), |user| ok(json!([user])));
        }
        if let Some(id) = path.strip_prefix("upd/user/") {
            let Some(user) = self.user("_id", id) else { return error(400, "api.err.IdInvalid") };
            (user["note"], user["noted"]) = (request.body["note"].clone(), request.body["noted"].clone());
            return ok(json!([]));
        }
        match (path, request.body["cmd"].as_str()) {
            ("self", _) => ok(json!([])),
            ("cmd/stamgr", Some(command)) => {
                let mac = request.body["mac"].as_str().unwrap().to_owned();
                self.user("mac", &mac).unwrap()["blocked"] = json!(command == "block-sta");
                ok(json!([]))
            }
            _ => error(404, "api.err.NotFound"),
        }
    }
}

fn unifi(os: bool) -> Rig<UniFi> {
    let users = vec![
        json!({"_id": "u1", "mac": MAC, "note": "hall 3", "noted": true}),
        json!({"_id": "u2", "mac": "aa:bb:cc:00:00:01"}),
    ];
    let stand_in = UniFi { os, users, logins: 0, token: 0, fails: false };
    Rig::new("unifi", stand_in, &format!("unifi_os = {os}"), &["user", "password"])
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Mac, "AA-BB-CC-00-00-42")])
}

#[test]
fn unifi_blocks_and_notes_by_whom() {
    for os in [true, false] {
        let mut rig = unifi(os);
        let known = rig.round(&device());
        assert_eq!(rig.server.product().users[0]["note"], "hall 3", "what people wrote stays");
        assert_eq!(rig.server.product().logins, 1, "logins are limited: one does for all");
        rig.apply(&known).unwrap();
        assert_eq!(rig.server.product().users[0]["note"], "hall 3 vedette:act-1");
        assert_eq!(rig.server.product().users[1]["blocked"], Value::Null);
    }
}

#[test]
fn unifi_without_a_note_gets_one_and_loses_it() {
    let mut rig = unifi(true);
    let order = order(Level::Quarantine, &[(Key::Mac, "aa:bb:cc:00:00:01")]);
    rig.round(&order);
    let user = rig.server.product().users[1].clone();
    assert_eq!((&user["note"], &user["noted"]), (&json!(""), &json!(false)));
}

#[test]
fn unifi_leaves_blocks_of_others() {
    let mut rig = unifi(true);
    rig.server.product().users[0]["blocked"] = json!(true);
    assert_eq!(rig.found(&device()), Found::Foreign { by: "somebody else".to_owned() });
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Conflict);
    assert_eq!(rig.undo(&device()), Ok(Undone::Foreign { by: "somebody else".to_owned() }));
    assert_eq!(rig.server.product().users[0]["blocked"], true);
    assert_eq!(rig.server.product().users[0]["note"], "hall 3");

    let mut rig = unifi(true);
    let known = rig.applied(&device());
    assert_eq!(rig.undo(&another(&known)), Ok(Undone::Foreign { by: "somebody else".to_owned() }));
}

#[test]
fn unifi_unblocked_by_hand_keeps_no_mark() {
    let mut rig = unifi(true);
    let known = rig.applied(&device());
    rig.server.product().users[0]["blocked"] = json!(false);
    assert_eq!(rig.undo(&known), Ok(Undone::Already));
    assert_eq!(rig.server.product().users[0]["note"], "hall 3");
}

#[test]
fn unifi_says_200_to_a_failure() {
    let mut rig = unifi(true);
    rig.server.product().fails = true;
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("api.err.NoPermission"), "{failure}");
    assert_eq!(rig.server.product().users[0]["blocked"], Value::Null);
}

#[test]
fn unifi_is_signed_in_to_again() {
    let mut rig = unifi(true);
    let known = rig.applied(&device());
    rig.server.product().token = 1;
    assert_eq!(rig.found(&known), Found::InForce);
    assert_eq!(rig.server.product().logins, 2);
}

#[test]
fn unifi_does_not_know_every_client() {
    let mut rig = unifi(true);
    rig.server.product().users.clear();
    assert_eq!(rig.found(&device()), Found::Absent);
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn unifi_that_says_nothing_is_not_believed() {
    believes_nothing(|| unifi(true), &device());
}
