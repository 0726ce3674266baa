//! What cannot be done is told for what it is, in time.

use std::time::{Duration, Instant};

use fleet::Level;
use fleet::Secret;
use responders::gateways::mosquitto::{Mosquitto, MosquittoConfig};
use responders::gateways::{Failure, FailureKind, Found, Gateway, Order, Undone};
use responders::tls::TlsConfig;

use crate::broker::Broker;
use crate::programs::{run, wait_for};
use crate::{order, permit};

const SOON: Duration = Duration::from_secs(20);

/// Of every call.
fn failures(gateway: &mut Mosquitto) -> [Failure; 4] {
    let order = order("cam-1");
    [
        gateway.apply(&permit(), &order).unwrap_err(),
        gateway.read_back(&permit(), &order).unwrap_err(),
        gateway.undo(&permit(), &order).unwrap_err(),
        gateway.probe(&permit()).unwrap_err(),
    ]
}

#[test]
fn an_unknown_username_is_refused_with_a_remedy() {
    let Some(broker) = Broker::new() else { return };
    let mut gateway = broker.gateway();
    assert_eq!(gateway.probe(&permit()), Ok(()));
    let failure = gateway.apply(&permit(), &order("stranger")).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("`stranger`") && failure.message.contains("createClient"), "{failure}");
    assert_eq!(gateway.read_back(&permit(), &order("stranger")), Ok(Found::Absent));
    assert_eq!(gateway.undo(&permit(), &order("stranger")), Ok(Undone::Already));
    assert!(!broker.control(&["listRoles"]).contains("vedette:"));
    let nameless = Order { names: [].into(), ..order("stranger") };
    assert!(gateway.apply(&permit(), &nameless).unwrap_err().message.contains("has no username"));
    let peers = Order { level: Level::BlockPeers, ..order("stranger") };
    assert!(gateway.apply(&permit(), &peers).unwrap_err().message.contains("has no level"));
}

#[test]
fn a_broker_that_is_down_is_unreachable_and_found_again() {
    let Some(mut broker) = Broker::new() else { return };
    broker.enrol(&["cam-1"]);
    let mut gateway = broker.gateway();
    gateway.apply(&permit(), &order("cam-1")).unwrap();
    broker.stop();
    for failure in failures(&mut gateway) {
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    }
    broker.start();
    assert_eq!(gateway.read_back(&permit(), &order("cam-1")), Ok(Found::InForce));
}

#[test]
fn a_broker_that_hangs_is_left_within_the_time_limit() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1"]);
    let mut gateway = Mosquitto::new("broker", MosquittoConfig { time_limit_seconds: 1, ..broker.config() }).unwrap();
    // A second is short for a connection on a slow machine: it is tried again.
    wait_for("a connection", SOON, || gateway.probe(&permit()).is_ok());
    run(&["kill", "-STOP", &broker.id().to_string()]);
    let began = Instant::now();
    // Over the connection that stands, then over a new one, which is not answered either.
    for _ in 0..2 {
        let failure = gateway.read_back(&permit(), &order("cam-1")).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    run(&["kill", "-CONT", &broker.id().to_string()]);
    wait_for("the broker to be found again", SOON, || gateway.probe(&permit()).is_ok());
    assert_eq!(broker.gateway().read_back(&permit(), &order("cam-1")), Ok(Found::Absent));
}

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    let Some(broker) = Broker::new() else { return };
    let mut gateway = broker.gateway();
    std::fs::write(broker.path("password"), "a wrong one").unwrap();
    for failure in failures(&mut gateway) {
        assert_eq!(failure.kind, FailureKind::Unauthorised, "{failure}");
        assert!(failure.message.contains("`admin`") && !failure.message.contains("a wrong one"), "{failure}");
    }
    // It is read anew each time: whoever replaces it need not restart us.
    std::fs::write(broker.path("password"), "open sesame\n").unwrap();
    assert_eq!(gateway.probe(&permit()), Ok(()));
    let missing = MosquittoConfig { password: Secret::File(broker.path("nowhere").into()), ..broker.config() };
    let failure = Mosquitto::new("broker", missing).unwrap().probe(&permit()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorised);
    assert!(failure.message.contains("nowhere"), "{failure}");
}

#[test]
fn who_may_not_use_the_control_topic_is_told_so() {
    let Some(broker) = Broker::new() else { return };
    broker.enrol(&["cam-1", "half"]);
    // One that may read the answers, and not ask.
    broker.control(&["createRole", "listener"]);
    broker.control(&["addRoleACL", "listener", "subscribePattern", "$CONTROL/#", "allow"]);
    broker.control(&["addClientRole", "half", "listener"]);
    for username in ["cam-1", "half"] {
        let config = MosquittoConfig { username: username.into(), ..broker.config() };
        let mut gateway = Mosquitto::new("broker", config).unwrap();
        let failure = gateway.probe(&permit()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unauthorised, "{failure}");
        assert!(failure.message.contains(&format!("`{username}` may not")), "{failure}");
    }
}

#[test]
fn a_certificate_nobody_vouches_for_is_not_believed() {
    let Some(broker) = Broker::new() else { return };
    let system = MosquittoConfig { tls: TlsConfig::default(), ..broker.config() };
    let failure = Mosquitto::new("broker", system).unwrap().probe(&permit()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("`tls.ca`"), "{failure}");
    let another_name = MosquittoConfig { url: format!("mqtts://127.0.0.2:{}", broker.port), ..broker.config() };
    assert!(Mosquitto::new("broker", another_name).unwrap().probe(&permit()).is_err());
}
