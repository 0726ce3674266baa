//! HiveMQ: disconnects, and cannot ban.

use std::collections::BTreeMap;

use fleet::Level;
use responders::gateways::{FailureKind, Found, Gateway, Key, Permit, Undone};
use serde_json::json;

use crate::rig::{PASSWORD, Rig, basic, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct HiveMq {
    /// Client id to the time it connected; none while its session waits for it.
    clients: BTreeMap<String, Option<&'static str>>,
}

impl StandIn for HiveMq {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != basic(PASSWORD, PASSWORD) {
            return Reply::json(401, json!({"errors": [{"title": "Unauthorized"}]}));
        }
        let missing = || Reply::json(404, json!({"errors": [{"title": "Resource not found"}]}));
        match request.route() {
            ("GET", path) if path == ["api", "v1", "mqtt", "clients"] => Reply::json(200, json!({"items": []})),
            ("GET", path) if path.len() == 5 && path[3] == "clients" => match self.clients.get(path[4]) {
                None => missing(),
                Some(since) => {
                    let client = json!({"id": path[4], "connected": since.is_some(), "connectedAt": since});
                    Reply::json(200, json!({"client": client}))
                }
            },
            ("DELETE", path) if path.len() == 6 && path[5] == "connection" => match self.clients.get_mut(path[4]) {
                Some(since @ Some(_)) => {
                    assert_eq!(request.asks("preventWillMessage"), "true");
                    *since = None;
                    Reply::empty(204)
                }
                _ => missing(),
            },
            _ => missing(),
        }
    }
}

fn connected() -> Rig<HiveMq> {
    let mut stand_in = HiveMq::default();
    stand_in.clients.insert("site/dev-1".to_owned(), Some("2026-01-01T00:00:00Z"));
    stand_in.clients.insert("site".to_owned(), Some("2026-01-01T00:00:00Z"));
    Rig::new("hivemq", stand_in, "", &["user", "password"])
}

#[test]
fn hivemq_ends_sessions_and_bans_nobody() {
    let mut rig = connected();
    rig.gateway.probe(&Permit::for_tests()).unwrap();
    let order = order(Level::TerminateSession, &[(Key::ClientId, "site/dev-1")]);
    assert_eq!(rig.found(&order), Found::Absent);
    let known = rig.applied(&order);
    assert_eq!(rig.found(&known), Found::InForce);
    assert!(rig.apply(&known).unwrap().already);
    rig.server.product().clients.insert("site/dev-1".to_owned(), Some("2026-01-01T00:05:00Z"));
    assert_eq!(rig.found(&known), Found::InForce, "that is another connection");
    assert_eq!(rig.undo(&known), Ok(Undone::Already));
    assert!(rig.server.product().clients["site"].is_some());

    assert!(rig.gateway.about().ability(Level::Quarantine).is_none());
    let harder = responders::gateways::Order { level: Level::Quarantine, ..order };
    assert_eq!(rig.apply(&harder).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn hivemq_that_says_nothing_is_not_believed() {
    believes_nothing(connected, &order(Level::TerminateSession, &[(Key::ClientId, "site/dev-1")]));
}
