//! One device is disabled, read back, enabled again.

use std::time::{Duration, Instant};

use fleet::Level;
use responders::gateways::{Found, Gateway, Order, Undone};
use serde_json::json;

use crate::broker::Broker;
use crate::programs::{told, wait_for};
use crate::{order, permit};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_device_is_cut_off_and_comes_back() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1", "cam-2"]);
    let (one, other) = (broker.device("cam-1"), broker.device("cam-2"));
    assert!(one.publishes() && other.publishes());
    let mut gateway = broker.gateway();
    let order = order("cam-1");
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));

    let applied = gateway.apply(&permit(), &order).unwrap();
    assert!(!applied.already);
    assert_eq!(applied.receipt.unwrap()["username"], "cam-1");
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    wait_for("its connection to end", SOON, || !one.is_connected());
    assert!(!broker.signs_in("cam-1") && !one.publishes());
    assert!(!one.is_connected() && !one.last_error().is_empty());
    assert!(other.publishes() && other.cuts() == 0 && broker.signs_in("cam-2"));
    // Whoever looks at the broker sees who did it, and why.
    assert!(broker.control(&["getClient", "cam-1"]).contains(&order.mark()));
    assert!(broker.control(&["getRole", &order.mark()]).contains(&order.mark()));

    assert!(gateway.apply(&permit(), &order).unwrap().already);
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    wait_for("it to come back by itself", SOON, || one.is_connected());
    assert!(one.publishes() && other.publishes() && other.cuts() == 0);
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
    let roles = broker.control(&["listRoles"]);
    assert!(!roles.contains("vedette:"), "{roles}");
}

#[test]
fn it_outlives_a_restart_of_the_broker_and_of_ours() {
    let Some(mut broker) = Broker::new() else { return };
    broker.enrol(&["cam-1"]);
    let mut gateway = broker.gateway();
    let order = Order { level: Level::Disable, ..order("cam-1") };
    assert!(!gateway.apply(&permit(), &order).unwrap().already);
    broker.stop();
    broker.start();
    // The same connection, which is dead now, and a new process.
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert!(!broker.signs_in("cam-1"));
    let mut another = broker.gateway();
    assert!(another.apply(&permit(), &order).unwrap().already);
    assert_eq!(another.undo(&permit(), &order), Ok(Undone::Done));
    broker.stop();
    broker.start();
    assert!(broker.signs_in("cam-1"));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
}

#[test]
fn a_crash_between_any_two_steps_is_made_good() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1"]);
    let mut gateway = broker.gateway();
    let order = order("cam-1");
    let role = json!({ "command": "createRole", "rolename": order.mark() });
    let given = json!({ "command": "addClientRole", "username": "cam-1", "rolename": order.mark() });
    let disabled = json!({ "command": "disableClient", "username": "cam-1" });
    let enabled = json!({ "command": "enableClient", "username": "cam-1" });
    let taken = json!({ "command": "removeClientRole", "username": "cam-1", "rolename": order.mark() });
    // What was done before the crash; whether the device is out then; what undoing says.
    let crashes = [
        (vec![&role], false),
        (vec![&role, &given], false),
        (vec![&role, &given, &disabled], true),
        (vec![&role, &given, &disabled, &enabled], false),
        (vec![&role, &given, &disabled, &enabled, &taken], false),
    ];
    for (steps, is_out) in crashes {
        for begins_with_undo in [false, true] {
            broker.command(&json!({ "commands": steps }));
            let found = if is_out { Found::InForce } else { Found::Absent };
            assert_eq!(gateway.read_back(&permit(), &order), Ok(found), "{steps:?}");
            if begins_with_undo {
                let undone = if is_out { Undone::Done } else { Undone::Already };
                assert_eq!(gateway.undo(&permit(), &order), Ok(undone), "{steps:?}");
            } else {
                assert_eq!(gateway.apply(&permit(), &order).unwrap().already, is_out, "{steps:?}");
                assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce), "{steps:?}");
                assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done), "{steps:?}");
            }
            assert!(broker.signs_in("cam-1"));
            assert!(!broker.control(&["listRoles"]).contains("vedette:"), "{steps:?}");
        }
    }
}

#[test]
fn from_apply_to_read_back() {
    let Some(broker) = Broker::new() else { return };
    let names: Vec<String> = (0..40).map(|number| format!("cam-{number}")).collect();
    broker.enrol(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut gateway = broker.gateway();
    let mut times = Vec::new();
    for name in &names {
        let device = broker.device(name);
        let began = Instant::now();
        gateway.apply(&permit(), &order(name)).unwrap();
        assert_eq!(gateway.read_back(&permit(), &order(name)), Ok(Found::InForce));
        times.push(began.elapsed());
        wait_for("its connection to end", SOON, || !device.is_connected());
    }
    assert!(times.iter().all(|time| *time < Duration::from_secs(5)));
    told("Mosquitto, apply to read back", times);
}
