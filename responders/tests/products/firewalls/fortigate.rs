//! FortiGate: bans have an end, and no word on who set them.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, believes_nothing, from_now, now, order};
use crate::server::{Reply, Request, StandIn};

#[derive(Default)]
struct Fortigate {
    bans: Vec<Value>,
    fails: bool,
    /// Its clock, seconds.
    ahead: i64,
}

impl Fortigate {
    fn ban(&mut self, ip: &str, source: &str, expires: i64) {
        self.bans.push(json!({"ip_address": ip, "source": source, "created": now(), "expires": expires}));
    }
}

impl StandIn for Fortigate {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != format!("Bearer {PASSWORD}") {
            return Reply::empty(401);
        }
        assert_eq!(request.asks("vdom"), "root");
        self.bans.retain(|ban| ban["expires"] == 0 || ban["expires"].as_i64().unwrap() > now() + self.ahead);
        let named = request.body["ip_addresses"].as_array().cloned().unwrap_or_default();
        if self.fails && request.method == "POST" {
            return Reply::json(200, json!({"status": "error", "error": "-3", "vdom": "root"}));
        }
        match request.route() {
            ("GET", path) if path.ends_with(&["banned", "select"]) => {
                Reply::json(200, json!({"status": "success", "results": self.bans}))
            }
            ("POST", path) if path.ends_with(&["banned", "add_users"]) => {
                let expiry = request.body["expiry"].as_i64().unwrap();
                for ip in named {
                    // One that is there keeps its end.
                    if !self.bans.iter().any(|ban| ban["ip_address"] == ip) {
                        let expires = if expiry == 0 { 0 } else { now() + self.ahead + expiry };
                        self.ban(ip.as_str().unwrap(), "Administrative", expires);
                    }
                }
                Reply::json(200, json!({"status": "success"}))
            }
            ("POST", path) if path.ends_with(&["banned", "clear_users"]) => {
                self.bans.retain(|ban| !named.contains(&ban["ip_address"]));
                Reply::json(200, json!({"status": "success"}))
            }
            (method, path) => panic!("{method} {path:?}"),
        }
    }
}

fn fortigate() -> Rig<Fortigate> {
    Rig::new("fortigate", Fortigate::default(), "", &["token"])
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Ip, "10.0.0.42")])
}

#[test]
fn fortigate_bans_until_the_end() {
    let mut rig = fortigate();
    rig.server.product().ban("10.0.0.43", "Administrative", 0);
    rig.round(&device());
    assert_eq!(rig.server.product().bans.len(), 1);
    let known = rig.applied(&device());
    let ends = rig.server.product().bans[1]["expires"].as_i64().unwrap();
    assert!((ends - now() - 3600).abs() < 5);
    let longer = Order { until: Some(from_now(7200)), ..known };
    assert_eq!(rig.found(&longer), Found::Partly);
    let known = rig.applied(&longer);
    assert_eq!(rig.found(&known), Found::InForce);
    let short = Order { until: Some(from_now(2)), ..device() };
    rig.undo(&known).unwrap();
    let known = rig.applied(&short);
    assert_eq!(rig.found(&known), Found::InForce);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(rig.found(&known), Found::Absent, "it ended by itself");
}

#[test]
fn fortigate_with_another_clock_knows_what_is_ours() {
    for ahead in [-600, 8, 600] {
        let mut rig = fortigate();
        rig.server.product().ahead = ahead;
        let known = rig.applied(&device());
        assert_eq!(rig.found(&known), Found::InForce, "{ahead} s");
        let longer = Order { until: Some(from_now(7200)), ..known };
        assert_eq!(rig.found(&longer), Found::Partly);
        let known = rig.applied(&longer);
        assert_eq!(rig.found(&known), Found::InForce);
        assert_eq!(rig.undo(&known), Ok(Undone::Done));
        assert!(rig.server.product().bans.is_empty());
    }
}

#[test]
fn fortigate_leaves_a_ban_for_good_that_came_after_ours() {
    for receipt in [None, Some(json!({"until": now() + 3600, "expires": null}))] {
        let mut rig = fortigate();
        rig.server.product().ban("10.0.0.42", "Administrative", 0);
        assert!(matches!(rig.found(&Order { receipt, ..device() }), Found::Foreign { .. }));
    }
}

#[test]
fn fortigate_leaves_bans_of_others() {
    for (source, expires) in [("IPS", now() + 3600), ("Administrative", 0), ("Administrative", now() + 900)] {
        let mut rig = fortigate();
        rig.server.product().ban("10.0.0.42", source, expires);
        assert!(matches!(rig.found(&device()), Found::Foreign { .. }), "{source}");
        assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Conflict);
        assert!(matches!(rig.undo(&device()), Ok(Undone::Foreign { .. })));
        assert_eq!(rig.server.product().bans.len(), 1);
    }
}

#[test]
fn fortigate_says_200_to_a_failure() {
    let mut rig = fortigate();
    rig.server.product().fails = true;
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn fortigate_that_says_nothing_is_not_believed() {
    believes_nothing(fortigate, &device());
}
