//! Others who administer the same broker: what they disabled stays so, and their answers are not ours.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet::Level;
use responders::gateways::mosquitto::{Mosquitto, MosquittoConfig};
use responders::gateways::{FailureKind, Found, Gateway, Key, Order, Undone};
use serde_json::json;

use crate::broker::Broker;
use crate::{order, permit};

#[test]
fn who_was_disabled_by_somebody_else_stays_so() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1"]);
    broker.control(&["disableClient", "cam-1"]);
    let mut gateway = broker.gateway();
    let order = order("cam-1");
    let applied = gateway.apply(&permit(), &order).unwrap();
    assert!(!applied.already && applied.receipt.unwrap().get("foreign").is_some());
    assert!(matches!(gateway.read_back(&permit(), &order), Ok(Found::Foreign { .. })));
    assert!(matches!(gateway.undo(&permit(), &order), Ok(Undone::Foreign { .. })));
    assert!(!broker.signs_in("cam-1"));
    assert!(!broker.control(&["listRoles"]).contains("vedette:"));
    broker.control(&["enableClient", "cam-1"]);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
}

#[test]
fn two_actions_hold_one_device_until_both_are_over() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1"]);
    let mut gateway = broker.gateway();
    let first = order("cam-1");
    let second = Order { action_id: "cam-1/incident-7/disable".to_owned(), level: Level::Disable, ..first.clone() };
    gateway.apply(&permit(), &first).unwrap();
    assert_eq!(gateway.read_back(&permit(), &second), Ok(Found::Foreign { by: first.mark() }));
    assert!(!gateway.apply(&permit(), &second).unwrap().already);
    assert_eq!(gateway.read_back(&permit(), &second), Ok(Found::InForce));
    assert_eq!(gateway.undo(&permit(), &first), Ok(Undone::Foreign { by: second.mark() }));
    assert!(!broker.signs_in("cam-1"));
    assert_eq!(gateway.read_back(&permit(), &second), Ok(Found::InForce));
    assert_eq!(gateway.undo(&permit(), &second), Ok(Undone::Done));
    assert!(broker.signs_in("cam-1"));
    assert_eq!(gateway.undo(&permit(), &first), Ok(Undone::Already));
}

#[test]
fn a_device_that_got_another_username_is_followed_and_let_go() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1", "cam-1b"]);
    let mut gateway = broker.gateway();
    let before = order("cam-1");
    let receipt = gateway.apply(&permit(), &before).unwrap().receipt;
    let after = Order { names: [(Key::Username, "cam-1b".into())].into(), receipt, ..before.clone() };
    assert_eq!(gateway.read_back(&permit(), &after), Ok(Found::Absent));
    let receipt = gateway.apply(&permit(), &after).unwrap().receipt;
    assert!(broker.signs_in("cam-1") && !broker.signs_in("cam-1b"));
    // It is one of ours by now, and was renamed: what we did is taken back all the same.
    let config = MosquittoConfig { own: vec!["cam-1b".into()], ..broker.config() };
    let mut gateway = Mosquitto::new("broker", config).unwrap();
    let renamed = Order { receipt, ..before };
    assert_eq!(gateway.undo(&permit(), &renamed), Ok(Undone::Done));
    assert!(broker.signs_in("cam-1") && broker.signs_in("cam-1b"));
    assert!(!broker.control(&["listRoles"]).contains("vedette:"));
}

#[test]
fn somebody_who_enables_it_is_noticed() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1"]);
    let mut gateway = broker.gateway();
    let order = order("cam-1");
    gateway.apply(&permit(), &order).unwrap();
    broker.control(&["enableClient", "cam-1"]);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    assert!(!gateway.apply(&permit(), &order).unwrap().already);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    broker.control(&["deleteClient", "cam-1"]);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
    assert!(!broker.control(&["listRoles"]).contains("vedette:"));
}

/// The broker sends everybody's answers to all who listen to them.
#[test]
fn answers_to_others_are_not_taken_for_ours() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1", "cam-2"]);
    let mut gateway = broker.gateway();
    let stops = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stops);
        scope.spawn(|| {
            // As if another asked the same of the other device, with and without words of theirs.
            let get = json!({ "command": "getClient", "username": "cam-2" });
            let named = json!({ "command": "getClient", "username": "cam-2", "correlationData": "0" });
            while !stops.load(Ordering::Relaxed) {
                broker.command(&json!({ "commands": [get, named, get, named] }));
            }
        });
        for _ in 0..10 {
            let order = order("cam-1");
            gateway.apply(&permit(), &order).unwrap();
            assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
            assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
            assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

/// Also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn who_keeps_the_broker_going_is_never_disabled() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["bridge", "second"]);
    broker.control(&["addClientRole", "second", "admin", "1"]);
    let mut gateway = broker.gateway();
    for username in ["admin", "bridge", "second"] {
        let failure = gateway.apply(&permit(), &order(username)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{username}");
        assert!(failure.message.contains("never disabled"), "{failure}");
    }
    assert!(["admin", "bridge", "second"].iter().all(|username| broker.signs_in(username)));
}
