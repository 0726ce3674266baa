//! Cisco ISE: applying twice is an error, and so is clearing what is not there.

use std::collections::BTreeMap;

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, basic, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct Ise {
    /// MAC in upper case to policy.
    endpoints: BTreeMap<String, String>,
    filters: bool,
    csrf: bool,
    /// Tokens given so far; the last one is good.
    tokens: u32,
}

fn error(status: u16, title: &str) -> Reply {
    Reply::json(status, json!({"ERSResponse": {"messages": [{"title": title, "type": "ERROR"}]}}))
}

fn given(body: &Value, name: &str) -> String {
    let data = body["OperationAdditionalData"]["additionalData"].as_array().unwrap();
    let pair = data.iter().find(|pair| pair["name"] == name);
    pair.map_or_else(String::new, |pair| pair["value"].as_str().unwrap().to_owned())
}

impl StandIn for Ise {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != basic(PASSWORD, PASSWORD) {
            return Reply::empty(401);
        }
        if self.csrf {
            if request.header("x-csrf-token") == "fetch" {
                self.tokens += 1;
                let reply = Reply::json(200, json!({"SearchResult": {"total": 0, "resources": []}}));
                let token = format!("csrf-{}", self.tokens);
                return reply.with("X-CSRF-Token", token).with("Set-Cookie", "JSESSIONID=abc; Path=/; Secure");
            }
            let good = request.header("x-csrf-token") == format!("csrf-{}", self.tokens);
            if !good || request.header("cookie") != "JSESSIONID=abc" {
                return error(403, "CSRF nonce validation failed");
            }
        }
        match request.route() {
            ("GET", path) if path == ["ers", "config", "ancpolicy"] => {
                let resources = json!([{"id": "p1", "name": "Vedette_Quarantine"}]);
                Reply::json(200, json!({"SearchResult": {"total": 1, "resources": resources}}))
            }
            ("GET", path) if path == ["ers", "config", "ancendpoint"] => {
                let wanted = request.asks("filter").strip_prefix("macAddress.EQ.").unwrap();
                let found = self.endpoints.keys().filter(|mac| !self.filters || *mac == wanted);
                let resources: Vec<Value> = found.map(|mac| json!({"id": format!("id-{mac}")})).collect();
                Reply::json(200, json!({"SearchResult": {"total": resources.len(), "resources": resources}}))
            }
            ("GET", path) if path.len() == 4 && path[2] == "ancendpoint" => {
                let mac = path[3].strip_prefix("id-").unwrap();
                let Some(policy) = self.endpoints.get(mac) else { return error(404, "Resource not found") };
                Reply::json(200, json!({"ErsAncEndpoint": {"id": path[3], "macAddress": mac, "policyName": policy}}))
            }
            ("PUT", path) if path.ends_with(&["ancendpoint", "apply"]) => {
                let (mac, policy) = (given(&request.body, "macAddress"), given(&request.body, "policyName"));
                if policy != "Vedette_Quarantine" {
                    return error(400, "policy does not exist");
                }
                if self.endpoints.contains_key(&mac) {
                    return error(400, "endpoint already has a policy");
                }
                self.endpoints.insert(mac, policy);
                Reply::empty(204)
            }
            ("PUT", path) if path.ends_with(&["ancendpoint", "clear"]) => {
                match self.endpoints.remove(&given(&request.body, "macAddress")) {
                    Some(_) => Reply::empty(204),
                    None => error(400, "endpoint has no policy"),
                }
            }
            (method, path) => panic!("{method} {path:?}"),
        }
    }
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Mac, "aa-bb-cc-00-00-42")])
}

fn others() -> BTreeMap<String, String> {
    [
        ("AA:BB:CC:00:00:01".to_owned(), "Printers".to_owned()),
        ("AA:BB:CC:00:00:02".to_owned(), "Vedette_Quarantine".to_owned()),
    ]
    .into()
}

#[test]
fn ise_applies_and_clears_once() {
    for filters in [true, false] {
        let stand_in = Ise { endpoints: others(), filters, ..Ise::default() };
        let mut rig = Rig::new("cisco-ise", stand_in, "", &["user", "password"]);
        rig.round(&device());
        assert_eq!(rig.server.product().endpoints, others());
    }
}

#[test]
fn ise_with_tokens_is_given_them() {
    let stand_in = Ise { csrf: true, filters: true, ..Ise::default() };
    let mut rig = Rig::new("cisco-ise", stand_in, "csrf = true", &["user", "password"]);
    let known = rig.round(&device());
    // Somebody else's request, or time, made ours worthless.
    rig.server.product().tokens += 1;
    rig.apply(&known).unwrap();
    assert_eq!(rig.found(&known), Found::InForce);
}

#[test]
fn ise_leaves_another_policy() {
    let mut rig = Rig::new("cisco-ise", Ise::default(), "", &["user", "password"]);
    rig.server.product().endpoints.insert("AA:BB:CC:00:00:42".to_owned(), "Shutdown".to_owned());
    assert_eq!(rig.found(&device()), Found::Foreign { by: "Shutdown".to_owned() });
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Conflict);
    assert_eq!(rig.undo(&device()), Ok(Undone::Foreign { by: "Shutdown".to_owned() }));
    assert_eq!(rig.server.product().endpoints.len(), 1);
}

#[test]
fn ise_without_the_policy_says_so() {
    let mut rig = Rig::new("cisco-ise", Ise::default(), "policy = \"Misspelt\"", &["user", "password"]);
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("status 400: policy does not exist"), "{failure}");
}

#[test]
fn ise_that_says_nothing_is_not_believed() {
    believes_nothing(
        || Rig::new("cisco-ise", Ise { endpoints: others(), ..Ise::default() }, "", &["user", "password"]),
        &device(),
    );
}
