//! Omada: status 200 for everything, the rest is in `errorCode`.

use std::collections::BTreeMap;

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct Omada {
    /// MAC as `AA-BB-..` to whether it is blocked.
    clients: BTreeMap<String, bool>,
    token: u32,
    full: bool,
}

const MAC: &str = "AA-BB-CC-00-00-42";

fn coded(code: i64, what: &str, result: Value) -> Reply {
    Reply::json(200, json!({"errorCode": code, "msg": what, "result": result}))
}

impl StandIn for Omada {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.segments == ["openapi", "authorize", "token"] {
            let body = &request.body;
            if body["omadacId"] != "abc" || body["client_secret"] != PASSWORD {
                return coded(-44106, "The client id or client secret is invalid", Value::Null);
            }
            return coded(0, "Success.", json!({"accessToken": format!("AT-{}", self.token), "expiresIn": 7200}));
        }
        if request.header("authorization") != format!("AccessToken=AT-{}", self.token) {
            return coded(-44112, "The access token has expired", Value::Null);
        }
        let (method, path) = request.route();
        assert_eq!(path[..6], ["openapi", "v1", "abc", "sites", "s1", "clients"]);
        let Some(mac) = path.get(6) else { return coded(0, "Success.", json!({"data": []})) };
        let Some(blocked) = self.clients.get_mut(*mac) else {
            return coded(-41011, "This client does not exist.", Value::Null);
        };
        match (method, path.get(7).copied()) {
            ("GET", None) => coded(0, "Success.", json!({"mac": mac, "blocked": blocked})),
            ("POST", Some("block")) if self.full => {
                coded(-41003, "The number of clients to be blocked has reached the limit.", Value::Null)
            }
            ("POST", Some(action @ ("block" | "unblock"))) => {
                *blocked = action == "block";
                coded(0, "Success.", Value::Null)
            }
            other => panic!("{other:?}"),
        }
    }
}

fn omada(settings: &str) -> Rig<Omada> {
    let mut stand_in = Omada::default();
    stand_in.clients.insert(MAC.to_owned(), false);
    let settings = format!("omadac_id = \"abc\"\nsite = \"s1\"\n{settings}");
    Rig::new("omada", stand_in, &settings, &["client_id", "client_secret"])
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Mac, "aa:bb:cc:00:00:42")])
}

#[test]
fn omada_blocks_and_unblocks() {
    omada("").round(&device());
}

#[test]
fn omada_leaves_what_was_blocked_before() {
    let mut rig = omada("");
    rig.server.product().clients.insert(MAC.to_owned(), true);
    assert_eq!(rig.found(&device()), Found::Foreign { by: "somebody else".to_owned() });
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Conflict);
    assert_eq!(rig.undo(&device()), Ok(Undone::Foreign { by: "somebody else".to_owned() }));
    assert!(rig.server.product().clients[MAC]);

    let mut rig = omada("blocks_are_ours = true");
    rig.server.product().clients.insert(MAC.to_owned(), true);
    assert_eq!(rig.found(&device()), Found::InForce);
    assert_eq!(rig.undo(&device()), Ok(Undone::Done));
}

#[test]
fn omada_says_200_to_a_failure() {
    let mut rig = omada("");
    rig.server.product().full = true;
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("has reached the limit"), "{failure}");
}

#[test]
fn omada_says_200_to_a_token_that_ended() {
    let mut rig = omada("");
    let known = rig.applied(&device());
    rig.server.product().token = 1;
    assert_eq!(rig.found(&known), Found::InForce);
}

#[test]
fn omada_does_not_know_every_client() {
    let mut rig = omada("");
    rig.server.product().clients.clear();
    assert_eq!(rig.found(&device()), Found::Absent);
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn omada_needs_to_know_its_site() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = [("client_id", PASSWORD), ("client_secret", PASSWORD)];
    let mut config = crate::rig::config(folder.path(), "https://omada.example", "omadac_id = \"abc\"", &secrets);
    config.product = Some("omada".to_owned());
    let error = responders::gateways::http::HttpGateway::new("wlan", &config).err().unwrap().to_string();
    assert_eq!(error, "gateway `wlan`: setting `site` is missing: the site's id");
}

#[test]
fn omada_that_says_nothing_is_not_believed() {
    believes_nothing(|| omada(""), &device());
}
