//! CrowdSec: every alert adds a decision, and what is allow-listed is never enforced.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, another, believes_nothing, from_now, order};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct Crowdsec {
    /// Alerts as they came, decisions numbered.
    alerts: Vec<Value>,
    next: u64,
    allowed: bool,
    /// Which token is good by now: they do not last.
    token: u32,
}

impl Crowdsec {
    fn add(&mut self, mut alert: Value) {
        for decision in alert["decisions"].as_array_mut().unwrap() {
            self.next += 1;
            decision["id"] = json!(self.next);
        }
        self.alerts.push(alert);
    }

    fn decisions(&self) -> usize {
        self.alerts.iter().map(|alert| alert["decisions"].as_array().unwrap().len()).sum()
    }
}

impl StandIn for Crowdsec {
    fn answer(&mut self, request: &Request) -> Reply {
        if let ("POST", path) = request.route()
            && path == ["v1", "watchers", "login"]
        {
            if request.body["password"] != PASSWORD {
                return Reply::json(403, json!({"message": "incorrect Username or Password"}));
            }
            return Reply::json(200, json!({"code": 200, "token": format!("jwt-token-{}", self.token)}));
        }
        if request.header("authorization") != format!("Bearer jwt-token-{}", self.token) {
            return Reply::json(401, json!({"code": 401, "message": "token is expired"}));
        }
        match request.route() {
            ("GET", path) if path == ["v1", "alerts"] => {
                let about = |alert: &&Value| alert["source"]["value"] == request.asks("ip");
                let alerts: Vec<&Value> = self.alerts.iter().filter(about).collect();
                Reply::json(200, if alerts.is_empty() { Value::Null } else { json!(alerts) })
            }
            ("POST", path) if path == ["v1", "alerts"] => {
                for alert in request.body.as_array().unwrap() {
                    for decision in alert["decisions"].as_array().unwrap() {
                        for required in ["origin", "type", "scope", "value", "duration", "scenario"] {
                            assert!(decision[required].is_string(), "{required}");
                        }
                    }
                    self.add(alert.clone());
                }
                Reply::json(201, json!(["1"]))
            }
            ("GET", path) if path.len() == 4 && path[..3] == ["v1", "allowlists", "check"] => {
                Reply::json(200, json!({"allowlisted": self.allowed, "reason": "office"}))
            }
            ("DELETE", path) if path.len() == 3 && path[1] == "decisions" => {
                let (before, id) = (self.decisions(), path[2].parse::<u64>().unwrap());
                for alert in &mut self.alerts {
                    alert["decisions"].as_array_mut().unwrap().retain(|decision| decision["id"] != id);
                }
                Reply::json(200, json!({"nbDeleted": (before - self.decisions()).to_string()}))
            }
            (method, path) => panic!("{method} {path:?}"),
        }
    }
}

fn crowdsec() -> Rig<Crowdsec> {
    Rig::new("crowdsec", Crowdsec::default(), "", &["machine", "password"])
}

fn device() -> Order {
    order(Level::BlockInternet, &[(Key::Ip, "10.0.0.42")])
}

fn foreign() -> Value {
    let decision = json!({"origin": "cscli", "type": "ban", "scope": "Ip", "value": "10.0.0.42", "duration": "4h",
        "scenario": "manual"});
    json!({"source": {"scope": "Ip", "value": "10.0.0.42"}, "decisions": [decision]})
}

#[test]
fn crowdsec_decides_once() {
    let mut rig = crowdsec();
    let known = rig.round(&device());
    rig.apply(&known).unwrap();
    rig.apply(&known).unwrap();
    assert_eq!(rig.server.product().decisions(), 1);
    let longer = Order { until: Some(from_now(7200)), ..known };
    rig.apply(&longer).unwrap();
    assert_eq!(rig.server.product().decisions(), 1);
    assert_eq!(rig.found(&longer), Found::InForce);
}

#[test]
fn crowdsec_takes_back_every_copy_and_nothing_else() {
    let mut rig = crowdsec();
    rig.server.product().add(foreign());
    assert_eq!(rig.found(&device()), Found::Foreign { by: "cscli".to_owned() });
    assert_eq!(rig.undo(&device()), Ok(Undone::Foreign { by: "cscli".to_owned() }));
    let known = rig.applied(&device());
    assert_eq!(rig.found(&known), Found::InForce);
    let copy = rig.server.product().alerts[1].clone();
    rig.server.product().add(copy);
    assert_eq!(rig.server.product().decisions(), 3);
    assert_eq!(rig.undo(&known), Ok(Undone::Done));
    assert_eq!(rig.server.product().decisions(), 1);
    assert_eq!(rig.undo(&another(&known)), Ok(Undone::Foreign { by: "cscli".to_owned() }));
}

#[test]
fn crowdsec_does_not_decide_what_is_not_enforced() {
    let mut rig = crowdsec();
    rig.server.product().allowed = true;
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(
        failure.message.starts_with("ask the allow-lists again") && failure.message.contains("office"),
        "{failure}"
    );
    assert_eq!(rig.server.product().decisions(), 0);
    rig.server.product().allowed = false;
    let known = rig.applied(&device());
    rig.server.product().allowed = true;
    assert_eq!(rig.found(&known), Found::Partly, "it stands, and holds nobody");
    assert_eq!(rig.undo(&known), Ok(Undone::Done));
    assert_eq!(rig.server.product().decisions(), 0);
}

#[test]
fn crowdsec_is_signed_in_to_again_when_the_token_ends() {
    let mut rig = crowdsec();
    let known = rig.applied(&device());
    rig.server.asked();
    rig.server.product().token = 1;
    assert_eq!(rig.found(&known), Found::InForce);
    let logins = rig.server.asked().iter().filter(|asked| asked.ends_with("/login")).count();
    assert_eq!(logins, 1);
}

#[test]
fn crowdsec_with_a_wrong_password_is_not_signed_in() {
    let secrets = [("machine", PASSWORD), ("password", "wrong")];
    let mut rig = Rig::with_secrets("crowdsec", Crowdsec::default(), "", &secrets);
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorised);
    assert!(failure.message.contains("sign in: status 403: incorrect"), "{failure}");
}

#[test]
fn crowdsec_that_says_nothing_is_not_believed() {
    believes_nothing(crowdsec, &device());
}
