//! EMQX 5: bans that end no session, errors on repeat, and a detector that bans too.

use std::collections::BTreeMap;

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, another, basic, believes_nothing, from_now, order, text};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct Emqx {
    bans: Vec<Value>,
    /// Client id to user name and time of connecting.
    clients: BTreeMap<String, (String, u64)>,
    /// Bans of client ids end no session either.
    spares: bool,
    cleared: bool,
}

impl Emqx {
    fn position(&self, kind: &str, who: &str) -> Option<usize> {
        self.bans.iter().position(|ban| text(ban, "as") == kind && text(ban, "who") == who)
    }

    /// The client comes back at once unless it is banned by then; gives whether it was there.
    fn kick(&mut self, id: &str) -> bool {
        let Some((user, since)) = self.clients.remove(id) else { return false };
        if self.position("clientid", id).is_none() && self.position("username", &user).is_none() {
            self.clients.insert(id.to_owned(), (user, since + 1));
        }
        true
    }

    fn foreign(kind: &str, who: &str) -> Value {
        json!({"as": kind, "who": who, "by": "flapping detector", "reason": "", "at": "2026-01-01T00:00:00Z", "until": "infinity"})
    }
}

/// The first page, as long as it was asked for.
fn listed(mut items: Vec<Value>, request: &Request) -> Reply {
    let limit = request.asks("limit").parse().unwrap();
    let meta = json!({"page": 1, "limit": limit, "count": items.len(), "hasnext": items.len() > limit});
    items.truncate(limit);
    Reply::json(200, json!({"data": items, "meta": meta}))
}

impl StandIn for Emqx {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != basic(PASSWORD, PASSWORD) {
            return Reply::json(401, json!({"code": "BAD_API_KEY_OR_SECRET", "message": "Check api_key/api_secret"}));
        }
        match request.route() {
            ("GET", path) if path == ["api", "v5", "banned"] => {
                // A release that knows no filter: it gives all.
                listed(self.bans.clone(), request)
            }
            ("POST", path) if path == ["api", "v5", "banned"] => {
                let (kind, who) = (text(&request.body, "as"), text(&request.body, "who"));
                if let Some(at) = self.position(kind, who) {
                    return Reply::json(400, json!({"code": "ALREADY_EXISTS", "message": self.bans[at].to_string()}));
                }
                // Only bans of client ids end sessions.
                if kind == "clientid" && !self.spares {
                    self.clients.remove(who);
                }
                let mut ban = request.body.clone();
                if ban.get("until").is_none() {
                    ban["until"] = json!("infinity");
                }
                self.bans.push(ban.clone());
                Reply::json(200, ban)
            }
            ("DELETE", path) if path == ["api", "v5", "banned"] => {
                self.bans.clear();
                self.cleared = true;
                Reply::empty(204)
            }
            ("DELETE", path) if path.len() == 5 && path[2] == "banned" => match self.position(path[3], path[4]) {
                None => Reply::json(404, json!({"code": "NOT_FOUND", "message": "The ban was not found."})),
                Some(at) => {
                    self.bans.remove(at);
                    Reply::empty(204)
                }
            },
            ("GET", path) if path == ["api", "v5", "clients"] => {
                let named = self.clients.iter().filter(|(_, (user, _))| user == request.asks("username"));
                let data: Vec<Value> = named.map(|(id, (user, _))| json!({"clientid": id, "username": user})).collect();
                listed(data, request)
            }
            ("POST", path) if path == ["api", "v5", "clients", "kickout", "bulk"] => {
                for id in request.body.as_array().unwrap() {
                    self.kick(id.as_str().unwrap());
                }
                Reply::empty(204)
            }
            ("GET", path) if path.len() == 4 && path[2] == "clients" => match self.clients.get(path[3]) {
                None => Reply::json(404, json!({"code": "CLIENTID_NOT_FOUND", "message": "Client ID not found"})),
                Some((user, since)) => {
                    let client =
                        json!({"clientid": path[3], "username": user, "connected": true, "connected_at": since});
                    Reply::json(200, client)
                }
            },
            ("DELETE", path) if path.len() == 4 && path[2] == "clients" => match self.kick(path[3]) {
                false => Reply::json(404, json!({"code": "CLIENTID_NOT_FOUND", "message": "Client ID not found"})),
                true => Reply::empty(204),
            },
            _ => Reply::empty(404),
        }
    }
}

fn emqx() -> Rig<Emqx> {
    Rig::new("emqx5", Emqx::default(), "", &["key", "password"])
}

fn banned(name: &str) -> Order {
    order(Level::Quarantine, &[(Key::ClientId, name)])
}

#[test]
fn emqx_bans_and_ends_the_session() {
    let mut rig = emqx();
    rig.server.product().clients.insert("dev-1".to_owned(), ("user".to_owned(), 1));
    rig.round(&banned("dev-1"));
    assert!(rig.server.product().clients.is_empty());
    assert!(!rig.server.product().cleared);
}

/// A client comes back within a moment: whoever ends its session first has ended nothing.
#[test]
fn emqx_bans_before_it_ends_the_session() {
    for (level, key, name) in [(Level::Quarantine, Key::ClientId, "dev-1"), (Level::Disable, Key::Username, "user")] {
        let mut rig = emqx();
        rig.server.product().spares = true;
        rig.server.product().clients.insert("dev-1".to_owned(), ("user".to_owned(), 1));
        rig.applied(&order(level, &[(key, name)]));
        assert!(rig.server.product().clients.is_empty(), "{}", level.name());
    }
}

/// Bans and sessions that do not stand on the page that was asked for.
#[test]
fn emqx_with_more_than_a_page_is_not_believed() {
    let disabled = order(Level::Disable, &[(Key::Username, "mallory")]);
    for (sessions, all) in [(101, true), (1000, true), (1001, false)] {
        let mut rig = emqx();
        for number in 0..sessions {
            rig.server.product().clients.insert(format!("c{number}"), ("mallory".to_owned(), 1));
        }
        let applied = rig.apply(&disabled);
        assert_eq!(applied.is_ok(), all, "{sessions}: {applied:?}");
        assert_eq!(rig.server.product().clients.is_empty(), all, "{sessions}");
    }
    let mut rig = emqx();
    rig.server.product().bans = (0..1001).map(|number| Emqx::foreign("clientid", &format!("c{number}"))).collect();
    assert_eq!(rig.apply(&banned("dev-1")).unwrap_err().kind, FailureKind::Refused);
    assert_eq!(rig.apply(&disabled).unwrap_err().kind, FailureKind::Refused);
    assert_eq!(rig.server.product().bans.len(), 1001);
}

#[test]
fn emqx_bans_one_with_a_name_like_a_path() {
    let mut rig = emqx();
    rig.server.product().bans.push(Emqx::foreign("clientid", "site"));
    let order = rig.round(&banned("site/dev 1?x=é#%2F"));
    assert_eq!(rig.server.product().bans.len(), 1);
    assert_eq!(rig.found(&order), Found::Absent);
}

#[test]
fn emqx_never_clears_all_bans() {
    for hostile in ["", "a/../../banned", "..", "../../banned", ".", "a\\..\\b", "\u{0}"] {
        let mut rig = emqx();
        rig.server.product().bans.push(Emqx::foreign("clientid", "other"));
        let order = banned(hostile);
        assert_eq!(rig.apply(&order).unwrap_err().kind, FailureKind::Refused);
        assert_eq!(rig.undo(&order).unwrap_err().kind, FailureKind::Refused);
        assert_eq!(rig.server.product().bans.len(), 1);
        assert!(rig.server.asked().iter().all(|asked| asked.starts_with("GET ")));
    }
}

#[test]
fn emqx_leaves_the_flapping_detectors_ban() {
    let mut rig = emqx();
    let order = banned("dev-1");
    rig.server.product().bans.push(Emqx::foreign("clientid", "dev-1"));
    let foreign = Found::Foreign { by: "flapping detector".to_owned() };
    assert_eq!(rig.found(&order), foreign);
    let failure = rig.apply(&order).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert!(failure.message.contains("`flapping detector`"), "{failure}");
    assert_eq!(rig.undo(&order), Ok(Undone::Foreign { by: "flapping detector".to_owned() }));
    assert_eq!(rig.server.product().bans.len(), 1);
}

#[test]
fn emqx_tells_our_actions_apart() {
    let mut rig = emqx();
    let order = rig.applied(&banned("dev-1"));
    assert_eq!(rig.undo(&another(&order)), Ok(Undone::Foreign { by: "vedette:act-1".to_owned() }));
    assert_eq!(rig.found(&order), Found::InForce);
}

#[test]
fn emqx_is_told_of_another_end() {
    let mut rig = emqx();
    let order = rig.applied(&banned("dev-1"));
    let longer = Order { until: Some(from_now(7200)), ..order };
    assert_eq!(rig.found(&longer), Found::Partly, "it would end too early");
    assert!(!rig.apply(&longer).unwrap().already);
    assert_eq!(rig.found(&longer), Found::InForce);
    assert_eq!(rig.server.product().bans.len(), 1);
    let endless = Order { until: None, ..longer };
    rig.apply(&endless).unwrap();
    assert_eq!(rig.server.product().bans[0]["until"], "infinity");
    assert_eq!(rig.found(&endless), Found::InForce);
}

#[test]
fn emqx_disables_a_user_and_ends_its_sessions() {
    let mut rig = emqx();
    for (id, user) in [("c1", "mallory"), ("c/2", "mallory"), ("c3", "alice")] {
        rig.server.product().clients.insert(id.to_owned(), (user.to_owned(), 1));
    }
    rig.round(&order(Level::Disable, &[(Key::Username, "mallory")]));
    let left: Vec<String> = rig.server.product().clients.keys().cloned().collect();
    assert_eq!(left, ["c3"], "a ban by user name ends no session by itself");
}

#[test]
fn emqx_ends_one_session_only() {
    let mut rig = emqx();
    rig.server.product().clients.insert("dev-1".to_owned(), ("user".to_owned(), 1));
    let order = order(Level::TerminateSession, &[(Key::ClientId, "dev-1")]);
    assert_eq!(rig.found(&order), Found::Absent);
    let known = rig.applied(&order);
    assert_eq!(rig.server.product().clients["dev-1"].1, 2, "it came back at once");
    assert_eq!(rig.found(&known), Found::InForce, "the session of then has ended");
    assert_eq!(rig.undo(&known), Ok(Undone::Already));
}

#[test]
fn emqx_with_a_wrong_key_is_not_signed_in() {
    let mut rig = Rig::with_secrets("emqx5", Emqx::default(), "", &[("key", PASSWORD), ("password", "wrong")]);
    let failure = rig.apply(&banned("dev-1")).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorised);
    assert!(failure.message.contains("look for a ban: status 401: Check api_key"), "{failure}");
}

#[test]
fn emqx_with_nobody_connected_has_nothing_to_end() {
    let mut rig = emqx();
    let order = order(Level::TerminateSession, &[(Key::ClientId, "dev-1")]);
    assert!(rig.apply(&order).unwrap().already);
    assert_eq!(rig.found(&order), Found::InForce);
}

#[test]
fn emqx_that_says_nothing_is_not_believed() {
    let connected = || {
        let rig = emqx();
        rig.server.product().clients.insert("dev-1".to_owned(), ("user".to_owned(), 1));
        rig
    };
    believes_nothing(connected, &banned("dev-1"));
    believes_nothing(connected, &order(Level::Disable, &[(Key::Username, "user")]));
    believes_nothing(connected, &order(Level::TerminateSession, &[(Key::ClientId, "dev-1")]));
}
