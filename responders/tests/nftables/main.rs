//! The real nftables, on a gateway between namespaces, with traffic that stops and flows again.

#[path = "../isolating/mod.rs"]
mod isolating;
#[path = "../../../tests/not_run/mod.rs"]
mod not_run;
#[path = "../programs/mod.rs"]
mod programs;

mod failures;
mod levels;
mod others;
mod quarantine;
mod site;
mod storm;

use std::time::{SystemTime, UNIX_EPOCH};

use fleet::{EventTime, Level};
use responders::gateways::nftables::{NftConfig, Nftables};
use responders::gateways::{Gateway, Key, Order, Permit};

use site::Site;

fn config(site: &Site) -> NftConfig {
    NftConfig { run: site.gateway.inside(&["nft"]), ..NftConfig::default() }
}

fn gateway(site: &Site) -> Nftables {
    Nftables::new("gw1", config(site)).expect("the configuration is right")
}

fn order(level: Level, address: &str) -> Order {
    Order {
        action_id: format!("incident-7/{level}"),
        incident_id: "incident-7".to_owned(),
        device_id: "cam-1".into(),
        level,
        names: [(Key::Ip, address.into())].into(),
        further: Vec::new(),
        until: None,
        note: "vedette incident-7".to_owned(),
        receipt: None,
    }
}

/// Ends so many seconds from now.
#[expect(clippy::disallowed_methods, reason = "a time-out ends by the clock, not in event time")]
fn until(seconds: i64, order: &Order) -> Order {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = EventTime(i64::try_from(since.as_micros()).expect("before 294247"));
    Order { until: Some(now.plus_seconds(seconds)), ..order.clone() }
}

fn permit() -> Permit {
    Permit::for_tests()
}

fn elements(site: &Site, set: &str) -> String {
    site.gateway.run(&["nft", "list", "set", "inet", "vedette", set])
}

/// Applied now, by this call.
fn apply(gateway: &mut Nftables, order: &Order) {
    let applied = gateway.apply(&permit(), order).expect("it is applied");
    assert!(!applied.already && applied.receipt.is_some_and(|receipt| receipt.get("elements").is_some()));
}
